from __future__ import annotations

from tests.counters.conftest import redis_alone
from tests.proxy.conftest import make_proxy, start_proxy

__all__ = ["make_proxy", "redis_alone", "start_proxy"]
