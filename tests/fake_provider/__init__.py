"""A provider on loopback that speaks every dialect, misbehaves on request, and bills."""

from tests.fake_provider.records import Bill, Record
from tests.fake_provider.server import FakeProvider

__all__ = ["Bill", "FakeProvider", "Record"]
