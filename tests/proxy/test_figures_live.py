"""The figures of a running gateway: `/stats`, `/metrics`, the session file and the rows say the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.events.receiving import Answer, receiver
from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import OPENAI
from tests.proxy.test_frames import create, socket, until_done
from tests.support.proxy import Proxy

POLICY = {**OPENAI.policy, "model_regex": "^(gpt|o[0-9])", "retry": {"max_retries": 1}}
# Where the gateway answers by itself, and no statistics count it.
NOT_COUNTED = {"missing_token", "invalid_token", "invalid_json", "key_not_set"}
LAYERS = {"admission", "identity", "routing", "guardrails", "budget", "credentials"}
ERRORS = {"4xx", "5xx", "broken", "none"}


class Samples:
    """What `/metrics` says, read by prometheus-client's own parser."""

    def __init__(self, proxy: Proxy, accept: str = "") -> None:
        answer = httpx.get(f"{proxy.http_url}/metrics", headers={"Accept": accept}, trust_env=False)
        assert answer.status_code == 200, answer.text
        opened = answer.headers["content-type"].startswith("application/openmetrics-text")
        read = read_openmetrics if opened else read_text
        self.all = [sample for family in read(answer.text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        return sum(
            each.value for each in self.all if each.name == name and labels.items() <= each.labels.items()
        )

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        return [(each.labels, each.value) for each in self.all if each.name == name]


def stats_of(proxy: Proxy) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{proxy.http_url}/stats", trust_env=False).json()
    return told


def in_all_time(proxy: Proxy, count: int) -> dict[str, Any]:
    """The statistics, once the ledger has so many requests of all times."""
    return proxy.wait_for(lambda: stats_of(proxy), lambda told: requests_of(told["all_time"]) >= count)


def requests_of(part: dict[str, Any]) -> int:
    return int(part["totals"]["request_count"])


@pytest.fixture(scope="module")
def gateway(make_proxy: Callable[..., Proxy]) -> Iterator[Proxy]:
    with make_proxy({"server": {"timing": True}}) as proxy:
        yield proxy


def test_one_rule_for_all_figures(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Of every kind one: answered, streamed, tried again, broken off, refused by either side, on a socket."""
    token = gateway.token(POLICY)
    keyless = gateway.token({**POLICY, "base_key_env": "NOT_SET"})
    with Caller(gateway, token) as caller, Caller(gateway, "tkn_unknown") as unknown:
        assert caller.ask().status == 200
        assert caller.ask(stream=True).status == 200
        fake_provider.script([{"status": 503}, {}, {"status": 404}, {"do": "die-mid-stream"}])
        assert caller.ask().status == 200
        assert caller.ask().status == 404
        assert caller.ask(stream=True).status == 200
        assert caller.ask(model="claude-3").status == 403
        assert caller.send("POST", "/v1/chat/completions", b"{").status == 400
        assert unknown.ask().status == 401
        with Caller(gateway, keyless) as other:
            assert other.ask().status == 500
    with socket(gateway, token) as connection:
        connection.send(create())
        assert until_done(connection)[-1]["type"] == "response.completed"
    stats = in_all_time(gateway, 7)
    found = Samples(gateway)
    totals = stats["totals"]
    # Seven of them are statistics': all but the gateway's own 400, 401 and 500, and the upgrade.
    assert (totals["request_count"], totals["error_count"]) == (7, 3)
    assert stats["all_time"]["totals"] == totals
    assert requests_of(stats) == sum(each["request_count"] for each in stats["by_token"])

    def requests(counted: bool, failed: bool) -> float:
        return sum(
            value
            for labels, value in found.series("tokenomics_requests_total")
            if (labels["refusal"] in NOT_COUNTED) is not counted
            and (labels["status_class"] in ERRORS) is failed
        )

    assert requests(True, True) == totals["error_count"]
    assert requests(True, True) + requests(True, False) == totals["request_count"]
    assert (requests(False, True), requests(False, False)) == (3, 0)
    for type in ("input", "output"):
        tokens = totals[f"{type}_tokens"]
        assert found.total("tokenomics_tokens_total", type=type) == tokens > 0
        assert found.total("tokenomics_ledger_tokens", type=type) == tokens
    cost = Decimal(totals["cost_usd"])
    assert found.total("tokenomics_cost_usd_total") == pytest.approx(float(cost))
    assert found.total("tokenomics_ledger_cost_usd") == float(cost)
    assert found.total("tokenomics_ledger_requests") == totals["request_count"]
    assert found.total("tokenomics_ledger_errors") == totals["error_count"]
    assert found.total("tokenomics_retries_total", provider="openai", status="503") == 1
    assert found.total("tokenomics_requests_total", status_class="broken") == 1
    assert found.total("tokenomics_upstream_seconds_count") == found.total("tokenomics_requests_total") - 4
    gateway.stop()
    (file,) = (gateway.dir / "sessions").glob("*.json")
    session = json.loads(file.read_text())["totals"]
    # An entry is every request whose token is known, and an error of the file is a status.
    assert session["request_count"] == totals["request_count"] + 2
    assert session["error_count"] == totals["error_count"] - 1 + 2
    assert (session["input_tokens"], session["output_tokens"]) == (
        totals["input_tokens"],
        totals["output_tokens"],
    )
    gateway.restart()
    again = stats_of(gateway)
    assert again["totals"]["request_count"] == 0
    assert again["all_time"]["totals"] == totals


def test_what_is_open_is_counted_and_ends(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = gateway.token(POLICY)

    def opened() -> tuple[float, float, float]:
        found = Samples(gateway)
        open_streams = "tokenomics_open_streams"
        return (
            found.total(open_streams, kind="http"),
            found.total(open_streams, kind="websocket"),
            found.total("tokenomics_requests_in_flight"),
        )

    assert gateway.wait_for(opened, lambda told: told == (0, 0, 0))
    fake_provider.script([{"do": "hang-mid-stream"}])
    with Caller(gateway, token) as caller:
        body = OPENAI.body("gpt-4o", "hello", True)
        with caller.begin("POST", "/v1/chat/completions", body):
            gateway.wait_for(opened, lambda told: told == (1, 0, 1))
    with socket(gateway, token) as connection:
        connection.send(create())
        until_done(connection)
        gateway.wait_for(opened, lambda told: told == (0, 1, 0))
    assert gateway.wait_for(opened, lambda told: told == (0, 0, 0))


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_every_queue_is_told(gateway: Proxy, accept: str) -> None:
    found = Samples(gateway, accept)
    depths = {labels["queue"]: value for labels, value in found.series("tokenomics_queue_depth")}
    assert set(depths) == {"counters", "events", "ledger", "request_log", "telemetry"}
    assert [labels["queue"] for labels, _ in found.series("tokenomics_queue_bytes")] == ["memory"]
    dropped = {labels["queue"]: value for labels, value in found.series("tokenomics_dropped_total")}
    assert dropped == {"events": 0, "memory": 0, "request_log": 0, "telemetry": 0}


def test_the_layers_times_in_the_answer(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Of a stream, as far as they are known when its head goes out; of a refusal without a provider's."""
    fake_provider.script([{"first_byte": 0.2}, {"first_byte": 0.2}])
    with Caller(gateway, gateway.token(POLICY)) as caller:
        whole, stream, refused = caller.ask(), caller.ask(stream=True), caller.ask(model="claude-3")
        rows = caller.rows(3)
    layers = {}
    for name, outcome in (("whole", whole), ("stream", stream), ("refused", refused)):
        field = outcome.headers["server-timing"]
        layers[name] = {word: float(ms) for word, ms in re.findall(r"([a-z]+);dur=([0-9.]+)", field)}
    for name in ("whole", "stream"):
        assert {"admission", "identity", "routing", "guardrails", "budget", "credentials"} <= set(
            layers[name]
        )
        assert layers[name]["upstream"] >= 190
        assert sum(ms for layer, ms in layers[name].items() if layer != "upstream") < 190
    assert "metering" in layers["whole"]
    assert "metering" not in layers["stream"]
    assert "upstream" not in layers["refused"]
    for row in rows[:2]:
        assert set(json.loads(row["timings"])) >= LAYERS
        (attempt,) = row["attempts"]
        assert 200 <= attempt["ended_ms"] - attempt["began_ms"] <= row["duration_ms"] + 1


def test_without_the_switch_there_is_no_such_field(proxy: Proxy) -> None:
    with Caller(proxy, proxy.token(POLICY)) as caller:
        assert "server-timing" not in caller.ask().headers


@pytest.mark.long
def test_two_gateways_on_one_directory(
    start_proxy: StartProxy, make_proxy: StartProxy, fake_provider: FakeProvider
) -> None:
    """What a process counts is added up; what the directory says is the same whichever of them is asked."""
    with receiver() as target:
        target.answer = lambda got: Answer(503, {"Retry-After": "300"})
        webhooks = [{"url": target.url, "events": ["request.completed"]}]
        config = {"events": {"webhooks": webhooks}}
        first, second = start_proxy(config), make_proxy(config)
        second.dir = first.dir
        policy = {**POLICY, "budgets": [{"limit": "10", "unit": "usd", "period": "day"}]}
        token = first.token(policy)
        with second, Caller(first, token) as one, Caller(second, token) as two:
            for caller, count in ((one, 3), (two, 2)):
                for _ in range(count):
                    assert caller.ask().status == 200
            in_all_time(first, 5)
            one_found, two_found = Samples(first), Samples(second)
            assert [found.total("tokenomics_requests_total") for found in (one_found, two_found)] == [3, 2]
            for name in (
                "tokenomics_ledger_requests",
                "tokenomics_ledger_cost_usd",
                "tokenomics_ledger_tokens",
            ):
                assert one_found.total(name) == two_found.total(name) > 0
            summed = sum(found.total("tokenomics_cost_usd_total") for found in (one_found, two_found))
            assert summed == pytest.approx(one_found.total("tokenomics_ledger_cost_usd"))
            left = [found.series("tokenomics_budget_remaining") for found in (one_found, two_found)]
            assert left[0] == left[1]
            ((labels, amount),) = left[0]
            assert (labels["unit"], labels["period"], labels["scope"]) == ("usd", "day", "token")
            assert amount == pytest.approx(10 - summed)

            def waiting() -> list[float]:
                return [
                    Samples(each).total("tokenomics_webhook_deliveries", webhook="1", state="waiting")
                    for each in (first, second)
                ]

            assert first.wait_for(waiting, lambda told: told == [5, 5])
