"""A refusal as an HTTP answer, in the dialect of the client it goes to."""

from __future__ import annotations

import math

from mitmproxy import http

from tokenomics_core.dialects import recognise, reference_error_body
from tokenomics_core.exchange import Exchange
from tokenomics_core.refusal import Refusal

EXCHANGE = "exchange"
"""Key of flow.metadata under which the exchange of a flow stands."""

STYLE = "error_style"
"""Key of flow.metadata: ``tokenomics`` gives the reference's error body to every client."""


HEAD = "head"
"""Key of flow.metadata: the client's header fields as a dict, by lower-case name, as they came."""


def fields_of(headers: http.Headers) -> dict[str, str]:
    """Header fields by lower-case name, those of one name joined. mitmproxy's own look-up walks them all."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers.fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def exchange_of(flow: http.HTTPFlow) -> Exchange | None:
    return flow.metadata.get(EXCHANGE)


def refuse(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Makes the refusal the flow's answer. The first refusal of an exchange is the one that is recorded."""
    exchange = exchange_of(flow)
    if exchange is not None and exchange.refusal is None:
        exchange.refusal = refusal
    flow.request.stream = False
    # The body of a refused request is not asked for.
    flow.request.headers.pop("expect", None)
    flow.response = refusal_response(flow, refusal)


def refusal_response(flow: http.HTTPFlow, refusal: Refusal) -> http.Response:
    exchange = exchange_of(flow)
    request_id = exchange.id if exchange else ""
    if flow.metadata.get(STYLE) == "tokenomics":
        body = reference_error_body(refusal)
    else:
        path = flow.request.path.partition("?")[0]
        hints = fields_of(flow.request.headers)
        dialect = exchange.dialect if exchange else recognise(flow.request.method, path, hints)
        body = dialect.error_body(refusal, request_id)
    headers = {"content-type": "application/json"}
    if request_id:
        headers["x-request-id"] = headers["request-id"] = request_id
    if refusal.retry_after is not None:
        headers["retry-after"] = str(math.ceil(refusal.retry_after))
    if refusal.retryable is not None:
        headers["x-should-retry"] = "true" if refusal.retryable else "false"
    if refusal.status == 426:
        headers["upgrade"] = "HTTP/1.1"
        headers["connection"] = "upgrade"
    if flow.request.method == "HEAD":
        body = b""
    return http.Response.make(refusal.status, body, headers)


def plain_error(status: int, message: str) -> http.Response:
    """An error for a request that never became one; no dialect is known."""
    body = recognise("GET", "/").error_body(Refusal(status, "bad_request", message), "")
    return http.Response.make(status, body, {"content-type": "application/json"})
