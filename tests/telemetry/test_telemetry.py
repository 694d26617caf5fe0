import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from opentelemetry import metrics as global_metrics
from opentelemetry import trace as global_trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.ledger.build import KEY, START, TOKEN_HASH, WRAPPER, a_row, an_attempt, an_exchange, row_of
from tokenomics_core.exchange import Failure
from tokenomics_core.telemetry.export import Telemetry
from tokenomics_core.telemetry.names import attempt_error, provider_name

ATTEMPT = {"model": "gpt-4o", "provider": "openai", "status": 200, "reason": ""}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collected:
    """What rows became, read back."""

    def __init__(self, *rows, traceparent=""):
        spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
        telemetry = Telemetry(spans=SimpleSpanProcessor(spans), metrics=reader)
        for row in rows:
            telemetry.add(row, traceparent)
        assert telemetry.flush()
        self.spans = spans.get_finished_spans()
        data = reader.get_metrics_data()
        self.metrics = (
            {
                metric.name: metric
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
            if data
            else {}
        )
        assert telemetry.dropped == 0
        assert telemetry.close()

    @property
    def server(self):
        (span,) = [span for span in self.spans if span.kind is SpanKind.SERVER]
        return span

    @property
    def clients(self):
        found = [span for span in self.spans if span.kind is SpanKind.CLIENT]
        assert all(span.parent.span_id == self.server.context.span_id for span in found)
        return found

    def points(self, name):
        return list(self.metrics[name].data.data_points) if name in self.metrics else []


def moment(span_time):
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=span_time // 1000)


def test_one_attempt():
    row = a_row(
        0,
        ended_at=START + timedelta(milliseconds=2310),
        cache_creation_tokens=7,
        session_id="night-shift",
        metadata={"agent_id": "shop-bot"},
        first_byte_ms=400,
        cost_usd=Decimal("0.0123"),
        timings={"guardrails": 1.5},
    )
    collected = Collected(row)
    (client,) = collected.clients
    assert client.name == "chat gpt-4o"
    assert dict(client.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2024-11-20",
        "gen_ai.response.id": "chatcmpl-Zq81",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.4,
        "gen_ai.usage.input_tokens": 1500,
        "gen_ai.usage.output_tokens": 655,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.cache_creation.input_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 192,
        "gen_ai.conversation.id": "night-shift",
        "gen_ai.agent.id": "shop-bot",
        "server.address": "api.openai.com",
        "server.port": 443,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "tokenomics.attempt.times_measured": False,
    }
    assert client.status.status_code is StatusCode.UNSET
    server = collected.server
    assert server.name == "POST openai_chat"
    assert (moment(server.start_time), moment(server.end_time)) == (row.started_at, row.ended_at)
    assert dict(server.attributes) == {
        "http.request.method": "POST",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "client.address": "127.0.0.1",
        "user_agent.original": "shop-bot/2.1",
        "gen_ai.conversation.id": "night-shift",
        "gen_ai.agent.id": "shop-bot",
        "tokenomics.request.id": row.id,
        "tokenomics.token.hash": TOKEN_HASH[:16],
        "tokenomics.cost.usd": 0.0123,
        "tokenomics.overhead.guardrails_ms": 1.5,
    }
    assert server.resource.attributes["service.name"] == "tokenomics"


def test_a_span_for_each_attempt():
    attempts = [
        {**ATTEMPT, "status": 429, "reason": "slow down", "began_ms": 1, "ended_ms": 101},
        {**ATTEMPT, "status": 0, "reason": "connection timed out", "began_ms": 150, "ended_ms": 600},
        {**ATTEMPT, "model": "claude", "provider": "anthropic", "began_ms": 601},
    ]
    row = a_row(
        0,
        attempts=attempts,
        retry_count=2,
        model="claude",
        provider="anthropic",
        upstream_host="api.anthropic.com",
        upstream_url="http://api.anthropic.com:8000/v1/messages",
        first_byte_ms=1601,
        actual_model="claude-4",
    )
    collected = Collected(row)
    told = [
        (
            span.name,
            span.attributes["gen_ai.provider.name"],
            span.attributes.get("error.type"),
            span.status.status_code,
            span.attributes.get("http.request.resend_count"),
            moment(span.start_time) - START,
            moment(span.end_time) - START,
        )
        for span in collected.clients
    ]
    ms = lambda number: timedelta(milliseconds=number)  # noqa: E731
    assert told == [
        ("chat gpt-4o", "openai", "429", StatusCode.ERROR, None, ms(1), ms(101)),
        ("chat gpt-4o", "openai", "timeout", StatusCode.ERROR, 1, ms(150), ms(600)),
        ("chat claude", "anthropic", None, StatusCode.UNSET, 2, ms(601), ms(2310)),
    ]
    first, _, last = collected.clients
    assert "server.address" not in first.attributes
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert (last.attributes["server.address"], last.attributes["server.port"]) == ("api.anthropic.com", 8000)
    assert last.attributes["gen_ai.response.time_to_first_chunk"] == 1.0
    durations = {
        (point.attributes["gen_ai.provider.name"], point.attributes.get("error.type")): point.sum
        for point in collected.points("gen_ai.client.operation.duration")
    }
    assert durations == {
        ("openai", "429"): 0.1,
        ("openai", "timeout"): 0.45,
        ("anthropic", None): pytest.approx(1.709),
    }


def test_attempts_of_which_nobody_knows_how_long_they_took_are_in_no_histogram():
    row = a_row(0, attempts=[{**ATTEMPT, "status": 503, "reason": "x"}, ATTEMPT], retry_count=1)
    collected = Collected(row)
    assert len(collected.clients) == 2
    assert not any(span.attributes["tokenomics.attempt.times_measured"] for span in collected.clients)
    assert collected.points("gen_ai.client.operation.duration") == []
    assert collected.points("gen_ai.server.request.duration")[0].sum == pytest.approx(2.31)


def test_the_histograms():
    rows = [
        a_row(number, first_byte_ms=400, input_tokens=1500, output_tokens=655, duration_ms=2310)
        for number in range(3)
    ]
    collected = Collected(*rows)
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-11-20",
        "server.address": "api.openai.com",
        "server.port": 443,
    }
    usage = collected.metrics["gen_ai.client.token.usage"]
    assert usage.unit == "{token}"
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in usage.data.data_points} == {
        "input": 4500,
        "output": 1965,
    }
    for point in usage.data.data_points:
        assert dict(point.attributes) == {
            **common,
            "gen_ai.token.type": point.attributes["gen_ai.token.type"],
        }
        assert point.explicit_bounds == tuple(
            [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
        )
    seconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
    first = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]
    for name, bounds, total in (
        ("gen_ai.client.operation.duration", seconds, 6.93),
        ("gen_ai.server.request.duration", seconds, 6.93),
        ("gen_ai.server.time_to_first_token", first, 1.2),
    ):
        (point,) = collected.points(name)
        assert collected.metrics[name].unit == "s"
        assert list(point.explicit_bounds) == bounds
        assert (point.count, point.sum) == (3, pytest.approx(total))
        assert dict(point.attributes) == common


def test_a_refused_request():
    row = a_row(
        0,
        status=403,
        upstream_status=0,
        refusal="model_not_allowed",
        error="this model is not allowed",
        attempts=[],
        provider="",
        upstream_host="",
        upstream_url="",
        actual_model="",
        input_tokens=0,
        output_tokens=0,
    )
    collected = Collected(row)
    assert collected.clients == []
    assert collected.server.attributes["error.type"] == "model_not_allowed"
    # It is the client's mistake, not the server's.
    assert collected.server.status.status_code is StatusCode.UNSET
    assert collected.points("gen_ai.client.token.usage") == []
    (point,) = collected.points("gen_ai.server.request.duration")
    assert dict(point.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        # No provider has answered for that name.
        "gen_ai.request.model": "other",
        "error.type": "model_not_allowed",
    }


def test_a_stream_that_broke_off():
    row = a_row(0, attempts=[{**ATTEMPT, "reason": "the stream broke off"}], error="the stream broke off")
    collected = Collected(row)
    assert collected.clients[0].attributes["error.type"] == "incomplete_answer"
    assert collected.server.attributes["error.type"] == "incomplete_answer"
    assert collected.server.status.status_code is StatusCode.ERROR
    assert collected.points("gen_ai.server.time_to_first_token") == []
    assert sum(point.sum for point in collected.points("gen_ai.client.token.usage")) == 2155


def test_what_is_no_operation_of_a_model():
    collected = Collected(a_row(0, operation="unknown", method="GET", dialect="unknown"))
    assert collected.clients[0].name == "GET"
    assert not any(name.startswith("gen_ai") for name in collected.clients[0].attributes)
    assert collected.metrics == {}


def test_the_client_s_trace_goes_on():
    collected = Collected(a_row(0), traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    assert {f"{span.context.trace_id:032x}" for span in collected.spans} == {TRACE}
    assert f"{collected.server.parent.span_id:016x}" == "00f067aa0ba902b7"


@pytest.mark.parametrize("traceparent", ["", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_without_one_a_trace_begins(traceparent):
    assert Collected(a_row(0), traceparent=traceparent).server.parent is None


def test_nothing_global_is_set():
    before = global_trace._TRACER_PROVIDER, global_metrics._internal._METER_PROVIDER
    Collected(a_row(0))
    after = global_trace._TRACER_PROVIDER, global_metrics._internal._METER_PROVIDER
    assert after == before


def test_no_secret_is_told():
    exchange = an_exchange(
        path=f"/v1/{WRAPPER}",
        query=f"key={KEY}",
        user_agent=WRAPPER,
        model=KEY,
        agent={"team": KEY, "agent_id": WRAPPER},
        session=WRAPPER,
        error=f"cannot reach https://h/v1?key={KEY} with Authorization: Bearer {WRAPPER}",
        attempts=[an_attempt(model=KEY), an_attempt(1)],
        current=1,
        failures=[Failure(an_attempt(model=KEY), 0, f"no https://h?key={KEY}")],
    )
    collected = Collected(row_of(exchange))
    told = "".join(span.to_json() for span in collected.spans) + repr(collected.metrics)
    assert "[hidden]" in told
    for secret in (WRAPPER, KEY, TOKEN_HASH):
        assert secret not in told


class Stuck(SpanExporter):
    """A collector that does not answer."""

    def __init__(self):
        self.released = threading.Event()

    def export(self, spans):
        self.released.wait(30)
        return SpanExportResult.SUCCESS


def test_a_collector_that_hangs_costs_spans_not_time():
    exporter = Stuck()
    telemetry = Telemetry(spans=SimpleSpanProcessor(exporter), metrics=None, capacity=10)
    for number in range(25):
        telemetry.add(a_row(number))
    assert telemetry.dropped == 15
    assert telemetry.backlog == 10
    assert not telemetry.close(timeout=0.05)
    exporter.released.set()


def test_a_row_that_cannot_be_told_holds_up_no_other():
    spans = InMemorySpanExporter()
    telemetry = Telemetry(spans=SimpleSpanProcessor(spans), metrics=None)
    telemetry.add(a_row(0, attempts=[{}]))
    telemetry.add(a_row(1))
    assert telemetry.flush()
    assert telemetry.dropped == 1
    assert "chat gpt-4o" in [span.name for span in spans.get_finished_spans()]
    assert telemetry.close()


@pytest.mark.parametrize(
    ("name", "dialect", "told"),
    [
        ("openai", "openai_chat", "openai"),
        ("anthropic", "anthropic_messages", "anthropic"),
        ("google_gemini", "gemini", "gcp.gemini"),
        ("vertex_ai", "gemini", "gcp.vertex_ai"),
        ("azure_openai", "openai_chat", "azure.ai.openai"),
        ("mistral", "openai_chat", "mistral_ai"),
        ("groq", "openai_chat", "groq"),
        ("bedrock", "", "aws.bedrock"),
        ("xai", "", "x_ai"),
        ("moonshot", "", "moonshot_ai"),
        ("deepseek", "", "deepseek"),
        ("our-own", "openai_chat", "our-own"),
        ("", "anthropic_messages", "anthropic"),
        ("", "unknown", "_OTHER"),
    ],
)
def test_names_of_providers(name, dialect, told):
    assert provider_name(name, dialect) == told


@pytest.mark.parametrize(
    ("status", "reason", "type"),
    [
        (200, "", ""),
        (429, "slow down", "429"),
        (200, "the stream broke off", "incomplete_answer"),
        (200, "the client left", "cancelled"),
        (0, "connection timed out", "timeout"),
        (0, "connection refused", "connection_refused"),
        (0, "the host name is not known", "name_resolution_error"),
        (0, "no connection", "connection_error"),
        (0, "", "connection_error"),
    ],
)
def test_errors_of_attempts(status, reason, type):
    assert attempt_error(status, reason) == type
