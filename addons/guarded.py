"""The decorator around every hook: what goes wrong in a hook ends in a refusal, never in a request sent on.

mitmproxy logs an exception in a hook, skips the rest of the chain and forwards the request.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.answer import EXCHANGE, refuse
from addons.engine import AttemptEnded, Cut, Extend
from tokenomics_core.refusal import Refusal

log = logging.getLogger("tokenomics")

_BEFORE_THE_ANSWER = frozenset({"http_connect", "requestheaders", "request"})


def guarded[F: Callable[..., Any]](hook: F) -> F:
    """Wraps a hook method. Hooks of the request are not called once there is an answer or an error."""
    before = hook.__name__ in _BEFORE_THE_ANSWER

    if inspect.iscoroutinefunction(hook):

        @functools.wraps(hook)
        async def guard_async(self: Any, data: Any) -> None:
            if before and (data.response is not None or data.error is not None):
                return
            begun = time.perf_counter()
            try:
                await hook(self, data)
            except Exception as error:
                close(data, error, hook)
            _time(self, data, begun)

        return guard_async  # type: ignore[return-value]

    @functools.wraps(hook)
    def guard(self: Any, data: Any) -> None:
        if before and (data.response is not None or data.error is not None):
            return
        begun = time.perf_counter()
        try:
            hook(self, data)
        except Exception as error:
            close(data, error, hook)
        _time(self, data, begun)

    return guard  # type: ignore[return-value]


def _time(addon: Any, data: Any, begun: float) -> None:
    """Adds to what the layer took of the exchange, in milliseconds; what it waited for is in it."""
    exchange = data.metadata.get(EXCHANGE) if isinstance(data, http.HTTPFlow) else None
    if exchange is not None and not exchange.recorded:
        layer = type(addon).__name__.lower()
        taken = (time.perf_counter() - begun) * 1000
        exchange.timings[layer] = exchange.timings.get(layer, 0.0) + taken


def close(data: Any, error: Exception, hook: Callable[..., Any]) -> None:
    """Turns an exception of a hook into a refusal of what it was asked about. data: the hook's argument."""
    refusal = error if isinstance(error, Refusal) else _internal(error, hook)
    if isinstance(data, http.HTTPFlow) and data.websocket is not None and data.websocket.messages:
        data.websocket.messages[-1].drop()
    elif isinstance(data, http.HTTPFlow):
        refuse(data, refusal)
    elif isinstance(data, Client):
        data.error = refusal.message
    elif isinstance(data, ServerConnectionHookData):
        data.server.error = refusal.message
    elif isinstance(data, AttemptEnded):
        data.again = False
        refuse(data.flow, refusal)
    elif isinstance(data, Cut):
        data.tail = b""
    elif isinstance(data, Extend):
        # Nobody knows whether there is room: the stream ends here, and breaks off.
        data.ended = True


def _internal(error: Exception, hook: Callable[..., Any]) -> Refusal:
    # The words of an unforeseen exception may hold a key or a prompt: only its kind and place are logged.
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    log.error("%s in %s at %s; the request was refused", type(error).__name__, hook.__qualname__, place)
    return Refusal(500, "internal_error", "the gateway failed on this request and refused it")
