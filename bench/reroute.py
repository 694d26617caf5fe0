"""The least that a gateway on mitmproxy does: mitmdump -s bench/reroute.py sends every request to one place.

The environment variable BENCH_UPSTREAM_PORT names the port on 127.0.0.1.
"""

import os

from mitmproxy import http

PORT = int(os.environ["BENCH_UPSTREAM_PORT"])


def request(flow: http.HTTPFlow) -> None:
    flow.request.scheme, flow.request.host, flow.request.port = "http", "127.0.0.1", PORT


def responseheaders(flow: http.HTTPFlow) -> None:
    # Without this mitmdump holds a stream back until it is complete, which no agent could use.
    assert flow.response is not None
    flow.response.stream = flow.response.headers.get("content-type") == "text/event-stream"
