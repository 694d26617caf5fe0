import http.server
import logging
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.ledger.build import a_row
from tokenomics_core.telemetry import start_telemetry, wanted

HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environ", "enabled", "traces", "metrics"),
    [
        ({}, False, False, False),
        ({}, True, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, False, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, False, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE}, False, True, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_METRICS_EXPORTER": "none"}, False, True, False),
        ({"OTEL_METRICS_EXPORTER": "none"}, True, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "true"}, True, False, False),
    ],
)
def test_when_it_is_wanted(environ, enabled, traces, metrics):
    assert wanted("traces", environ, enabled=enabled) is traces
    assert wanted("metrics", environ, enabled=enabled) is metrics


def test_who_does_not_ask_imports_nothing():
    code = (
        "import sys\n"
        "from tokenomics_core.telemetry import start_telemetry\n"
        "assert start_telemetry({}) is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_extra_it_says_what_to_do(monkeypatch, caplog):
    for name in list(sys.modules):
        if name.startswith(("opentelemetry.exporter", "tokenomics_core.telemetry.export")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    assert start_telemetry({"OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert "pip install 'tokenomics[otel]'" in caplog.text


def test_another_protocol_is_told(caplog):
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert start_telemetry(environ) is None
    assert "only http/protobuf is spoken, not 'grpc'" in caplog.text


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, self.headers["x-api-key"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_standard_variables(collector, monkeypatch, caplog):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=to-the-collector,this is,no header",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.DEBUG):
        telemetry = start_telemetry(environ)
        telemetry.add(a_row(0))
        assert telemetry.flush()
        assert telemetry.close()
    paths = {path: body for path, _, body in collector.received}
    assert set(paths) == {"/v1/traces", "/v1/metrics"}
    assert {key for _, key, _ in collector.received} == {"to-the-collector"}
    assert "no header" not in caplog.text
    assert "to-the-collector" not in caplog.text
    (resource,) = ExportTraceServiceRequest.FromString(paths["/v1/traces"]).resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "tokenomics"
    assert named["deployment.environment.name"] == "test"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == [
        "chat gpt-4o",
        "POST openai_chat",
    ]
    (resource,) = ExportMetricsServiceRequest.FromString(paths["/v1/metrics"]).resource_metrics
    names = {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
    assert "gen_ai.client.token.usage" in names


def test_a_name_of_the_service_that_is_given_stays(collector, monkeypatch):
    environ = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{collector.server_port}/in",
        "OTEL_SERVICE_NAME": "team-gateway",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    telemetry = start_telemetry(environ)
    telemetry.add(a_row(0))
    assert telemetry.close()
    ((path, _, body),) = collector.received
    assert path == "/in"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "team-gateway"
