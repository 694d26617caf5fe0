"""What a running gateway sends to an OTLP collector: requests, attempts with their own times, metrics."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy, make_proxy, start_proxy
from tests.proxy.formats import OPENAI
from tests.proxy.test_frames import create, socket, until_done
from tests.support.proxy import Proxy

__all__ = ["make_proxy", "start_proxy"]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAID = "a sentence that nobody else may read"
SERVER, CLIENT = 2, 3


@dataclass
class Collector:
    """What came, by path."""

    port: int = 0
    got: dict[str, list[bytes]] = field(default_factory=dict)

    def spans(self) -> list[Any]:
        exports = [ExportTraceServiceRequest.FromString(body) for body in self.got.get("/v1/traces", [])]
        return [
            span
            for export in exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        exports = [ExportMetricsServiceRequest.FromString(body) for body in self.got.get("/v1/metrics", [])]
        return {
            metric.name: metric
            for export in exports
            for resource in export.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.got.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(thing: Any) -> dict[str, Any]:
    def value(told: Any) -> Any:
        return getattr(told, told.WhichOneof("value"))

    return {each.key: value(each.value) for each in thing.attributes}


def milliseconds(span: Any) -> float:
    return float(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6


def test_a_gateway_s_spans_and_metrics(
    start_proxy: StartProxy, fake_provider: FakeProvider, collector: Collector
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}", "NO_PROXY": "127.0.0.1"}
    gateway: Proxy = start_proxy(None, environ)
    token = gateway.token({**OPENAI.policy, "retry": {"max_retries": 1}})
    head = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1", "baggage": "user=7"}
    fake_provider.script([{"status": 503, "first_byte": 0.1}, {"first_byte": 0.2}])
    with Caller(gateway, token) as caller:
        assert caller.ask(text=SAID, headers=head).status == 200
        row = caller.row()
    assert not set(head) & {name for record in fake_provider.records for name in record.header_names()}
    with socket(gateway, token) as connection:
        connection.send(create())
        until_done(connection)
    # What waits is sent at the stop.
    gateway.stop()

    (request,) = [span for span in collector.spans() if span.trace_id.hex() == TRACE and span.kind == SERVER]
    assert request.parent_span_id.hex() == PARENT
    assert request.trace_state == "vendor=1"
    assert attributes(request)["tokenomics.request.id"] == row["id"]
    inside = [span for span in collector.spans() if span.parent_span_id == request.span_id]
    assert [span.kind for span in inside] == [CLIENT, CLIENT]
    failed, answered = sorted(inside, key=lambda span: int(span.start_time_unix_nano))
    assert attributes(failed)["error.type"] == "503"
    assert attributes(answered)["http.request.resend_count"] == 1
    assert attributes(answered)["gen_ai.usage.input_tokens"] == row["input_tokens"]
    assert not any("tokenomics.attempt.times_measured" in attributes(span) for span in inside)
    # Each has its own times, and the pause between them belongs to neither.
    assert request.start_time_unix_nano < failed.start_time_unix_nano
    assert failed.end_time_unix_nano < answered.start_time_unix_nano
    assert answered.end_time_unix_nano <= request.end_time_unix_nano
    assert milliseconds(failed) >= 100
    assert milliseconds(answered) >= 200
    assert milliseconds(failed) + milliseconds(answered) < milliseconds(request) - 100

    ids = [(span, attributes(span).get("gen_ai.response.id", "")) for span in collector.spans()]
    (frame,) = [span for span, id in ids if id.startswith("resp")]
    assert frame.kind == CLIENT
    assert frame.trace_id.hex() != TRACE

    points = collector.metrics()["gen_ai.client.operation.duration"].histogram.data_points
    by_error = {attributes(point).get("error.type", ""): point for point in points}
    assert by_error["503"].count == 1
    assert by_error["503"].sum == pytest.approx(milliseconds(failed) / 1000, abs=0.001)
    assert {"gen_ai.client.token.usage", "gen_ai.server.request.duration"} <= set(collector.metrics())

    everything = b"".join(body for bodies in collector.got.values() for body in bodies)
    for secret in (SAID, token, *gateway.keys.values()):
        assert secret.encode() not in everything


def test_a_trace_is_passed_on_where_the_switch_says_so(
    start_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    gateway = start_proxy({"server": {"forward_trace": True}})
    with Caller(gateway, gateway.token(OPENAI.policy)) as caller:
        caller.ask(headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert fake_provider.last.header("traceparent") == f"00-{TRACE}-{PARENT}-01"


def test_a_collector_that_is_gone_costs_no_request(
    start_proxy: StartProxy, fake_provider: FakeProvider, collector: Collector
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    gateway = start_proxy(None, environ)
    with Caller(gateway, gateway.token(OPENAI.policy)) as caller:
        for _ in range(20):
            assert caller.ask().status == 200
        assert len(caller.rows(20)) == 20
    # A stop would wait for the collector for some seconds.
    gateway.kill()
