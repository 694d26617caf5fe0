from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.events.receiving import Clock, Receiver, receiver
from tests.proxy.conftest import make_proxy, start_proxy

__all__ = ["make_proxy", "start_proxy"]


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()
