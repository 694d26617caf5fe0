import re
import threading
from decimal import Decimal

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.ledger.build import TOKEN_HASH, a_row
from tokenomics_core import __version__
from tokenomics_core.guard.verdict import REDACTED_ENTRY
from tokenomics_core.meter.stats import Counters, Stats
from tokenomics_core.metrics import Metrics, Moment, Remaining
from tokenomics_core.metrics.prometheus import MOST_MODELS, upstream_ms

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples(metrics, accept="", moment=None):
    """Every sample by its name and labels, as the client's own parser reads it."""
    kind, body = metrics.expose(accept, moment)
    read = read_openmetrics if kind.startswith("application/openmetrics-text") else read_text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in read(body.decode())
        for sample in family.samples
    }


def metrics_of(*rows, **options):
    metrics = Metrics(**options)
    for row in rows:
        metrics.add(row)
    return metrics


def value(found, name, **labels):
    return found[(name, *sorted(labels.items()))]


def total(found, name, **labels):
    """The sum of all series of that name that have these labels."""
    wanted = set(labels.items())
    return sum(each for (series, *pairs), each in found.items() if series == name and wanted <= set(pairs))


PAIR = {"provider": "openai", "model": "gpt-4o"}


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", OPENMETRICS])
def test_one_request(accept):
    row = a_row(
        1,
        cost_usd=Decimal("0.0123"),
        cache_creation_tokens=7,
        first_byte_ms=400,
        timings={"admission": 0.2, "guardrails": 12},
        attempts=[
            {
                "provider": "openai",
                "model": "gpt-4o",
                "status": 200,
                "reason": "",
                "began_ms": 50.0,
                "ended_ms": 2150.0,
            }
        ],
    )
    found = samples(metrics_of(row), accept)
    request = {**PAIR, "status_class": "2xx", "dialect": "openai_chat", "refusal": ""}
    assert value(found, "tokenomics_requests_total", **request) == 1
    assert {
        type: value(found, "tokenomics_tokens_total", **PAIR, type=type)
        for type in ("input", "output", "cached_input", "cache_creation", "reasoning")
    } == {"input": 1500, "output": 655, "cached_input": 1024, "cache_creation": 7, "reasoning": 192}
    assert value(found, "tokenomics_cost_usd_total", **PAIR) == 0.0123
    for layer, seconds, bound in (("admission", 0.0002, "0.00025"), ("guardrails", 0.012, "0.025")):
        assert value(found, "tokenomics_overhead_seconds_sum", layer=layer) == seconds
        assert value(found, "tokenomics_overhead_seconds_bucket", layer=layer, le=bound) == 1
    assert value(found, "tokenomics_overhead_seconds_bucket", layer="guardrails", le="0.01") == 0
    assert total(found, "tokenomics_overhead_seconds_count") == 2
    assert value(found, "tokenomics_upstream_seconds_sum", **PAIR) == 2.1
    assert value(found, "tokenomics_time_to_first_token_seconds_sum", **PAIR) == 0.4
    assert value(found, "tokenomics_time_to_first_token_seconds_bucket", **PAIR, le="+Inf") == 1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("garbage;;;,,=", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_format_that_is_asked_for(accept, kind):
    found, body = metrics_of().expose(accept)
    assert found.startswith(kind)
    assert body.endswith(b"# EOF\n") is ("openmetrics" in kind)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"status": 429, "refusal": "rate_limited"}, {"status_class": "4xx", "refusal": "rate_limited"}),
        ({"status": 0, "error": "the client left"}, {"status_class": "none", "refusal": ""}),
        ({"status": 503, "upstream_status": 503}, {"status_class": "5xx", "refusal": ""}),
        ({"status": 401, "token_hash": "", "refusal": "invalid_token"}, {"refusal": "invalid_token"}),
        ({"kind": "upgrade", "status": 403}, {"status_class": "4xx"}),
        ({"kind": "frame"}, {"status_class": "2xx"}),
    ],
)
def test_what_became_of_it(changes, labels):
    assert total(samples(metrics_of(a_row(1, **changes))), "tokenomics_requests_total", **labels) == 1


def test_an_upgrade_that_succeeded_is_no_request():
    found = samples(metrics_of(a_row(1, kind="upgrade", status=101, upstream_status=101)))
    assert total(found, "tokenomics_requests_total") == 0


def test_what_has_no_price_is_told():
    rows = [a_row(1), a_row(2, input_tokens=0, output_tokens=0), a_row(3, cost_usd=Decimal(0))]
    found = samples(metrics_of(*rows))
    assert value(found, "tokenomics_unpriced_requests_total", **PAIR) == 1
    assert value(found, "tokenomics_cost_usd_total", **PAIR) == 0


def test_money_is_added_up_exactly():
    metrics = metrics_of(*(a_row(number, cost_usd=Decimal("0.1")) for number in range(1000)))
    assert value(samples(metrics), "tokenomics_cost_usd_total", **PAIR) == 100.0


def test_attempts_that_failed():
    attempts = [
        {"model": "gpt-4o", "provider": "openai", "status": 429, "reason": "slow down"},
        {"model": "gpt-4o", "provider": "openai", "status": 0, "reason": "connection refused"},
        {"model": "claude", "provider": "anthropic", "status": 200, "reason": ""},
    ]
    found = samples(metrics_of(a_row(1, attempts=attempts, retry_count=2)))
    assert value(found, "tokenomics_retries_total", provider="openai", status="429") == 1
    assert value(found, "tokenomics_retries_total", provider="openai", status="network") == 1
    assert total(found, "tokenomics_retries_total") == 2


def test_rules_by_action_and_type():
    matches = [
        {"name": "cards", "action": "fail", "message": 'detected PII in rule "cards": credit_card'},
        {"action": "warn", "message": 'matched keyword rule "x": x'},
        {"action": "log", "message": 'matched regex rule "x"'},
        {"action": "log", "message": 'matched regex rule "y"'},
        {"action": "warn", "message": 'detected jailbreak attempt in rule "j"'},
        dict(REDACTED_ENTRY),
    ]
    found = samples(metrics_of(a_row(1, rule_matches=matches)))
    assert {
        (dict(pairs)["action"], dict(pairs)["type"]): each
        for (name, *pairs), each in found.items()
        if name == "tokenomics_rule_hits_total"
    } == {
        ("fail", "pii"): 1,
        ("warn", "keyword"): 1,
        ("log", "regex"): 2,
        ("warn", "jailbreak"): 1,
        ("mask", ""): 1,
    }
    masked = {"action": "mask", "message": 'detected PII in rule "cards": credit_card'}
    found = samples(metrics_of(a_row(1, rule_matches=[masked, dict(REDACTED_ENTRY)])))
    assert total(found, "tokenomics_rule_hits_total") == 1
    assert value(found, "tokenomics_rule_hits_total", action="mask", type="pii") == 1


def test_time_to_first_token_is_of_streams_that_were_answered():
    rows = [
        a_row(1, first_byte_ms=100, stream=False),
        a_row(2, first_byte_ms=None),
        a_row(3, first_byte_ms=100, upstream_status=500),
    ]
    assert total(samples(metrics_of(*rows)), "tokenomics_time_to_first_token_seconds_count") == 0


@pytest.mark.parametrize(
    ("timings", "expected"),
    [({}, 2310), ({"guardrails": 10.5}, 2299.5), ({"x": 9999.0}, 0)],
)
def test_what_the_provider_took_where_no_attempt_was_measured(timings, expected):
    assert upstream_ms(a_row(1, timings=timings)) == expected


def test_what_the_provider_took_in_all_attempts():
    """The pause between them is not his."""
    attempts = [{"began_ms": 1.5, "ended_ms": 101.5}, {"began_ms": 400, "ended_ms": 600.25}]
    assert upstream_ms(a_row(1, timings={"credentials": 300.0}, attempts=attempts)) == 300.25


def test_what_was_not_sent_took_nothing_upstream():
    found = samples(metrics_of(a_row(1, attempts=[], status=403, upstream_status=0)))
    assert total(found, "tokenomics_upstream_seconds_count") == 0


def test_names_that_clients_make_up_are_bounded():
    rows = [
        a_row(
            number,
            model=f"made-up-{number}",
            status=404,
            upstream_status=404,
            refusal=f"r{number}",
            timings={f"layer-{number}": 1.0},
            attempts=[{"provider": f"p{number}", "model": "m", "status": number, "reason": ""}],
            retry_count=1,
        )
        for number in range(1000)
    ]
    answered = [a_row(number, model=f"real-{number}") for number in range(MOST_MODELS + 100)]
    found = samples(metrics_of(*rows, *answered))
    models = {dict(pairs).get("model") for (name, *pairs) in found if name == "tokenomics_requests_total"}
    assert len(models) == MOST_MODELS + 1
    assert not any("made-up" in (model or "") for model in models)
    assert total(found, "tokenomics_requests_total") == len(rows) + len(answered)
    assert len(found) < 12_000


def test_label_values_are_escaped():
    found = samples(metrics_of(a_row(1, model='a "b"\\c')))
    assert total(found, "tokenomics_requests_total", model='a "b"\\c') == 1


def test_what_is_asked_when_somebody_looks():
    moment = Moment(
        in_flight=7,
        open_streams={"http": 4, "websocket": 1},
        queues={"ledger": 5, "events": 0},
        queued_bytes={"memory": 4096},
        dropped={"request_log": 2},
        budgets=[
            Remaining(TOKEN_HASH, "usd", "day", "token", Decimal("0.75")),
            Remaining(TOKEN_HASH, "tokens", "total", "provider:openai", 12),
        ],
        webhooks={("1", "waiting"): 3, ("1", "given_up"): 0},
        ledger=Counters(10, 1000, 200, 3, Decimal("1.25")),
    )
    metrics = Metrics()
    found = samples(metrics, OPENMETRICS, moment)
    assert value(found, "tokenomics_requests_in_flight") == 7
    assert value(found, "tokenomics_open_streams", kind="http") == 4
    assert value(found, "tokenomics_open_streams", kind="websocket") == 1
    assert value(found, "tokenomics_queue_bytes", queue="memory") == 4096
    assert value(found, "tokenomics_webhook_deliveries", webhook="1", state="waiting") == 3
    assert value(found, "tokenomics_queue_depth", queue="ledger") == 5
    assert value(found, "tokenomics_queue_depth", queue="events") == 0
    assert value(found, "tokenomics_dropped_total", queue="request_log") == 2
    token = TOKEN_HASH[:16]
    left = "tokenomics_budget_remaining"
    assert value(found, left, unit="usd", period="day", scope="token", token=token) == 0.75
    assert value(found, left, unit="tokens", period="total", scope="provider:openai", token=token) == 12
    assert total(found, left) == 12.75
    assert value(found, "tokenomics_ledger_requests") == 10
    assert value(found, "tokenomics_ledger_errors") == 3
    assert value(found, "tokenomics_ledger_tokens", type="output") == 200
    assert value(found, "tokenomics_ledger_cost_usd") == 1.25
    assert total(found, "tokenomics_build_info", version=__version__) == 1
    assert value(found, "process_resident_memory_bytes") > 0
    # Those of the look before are gone.
    assert total(samples(metrics), left) == 0


def test_no_token_and_no_session_is_a_label():
    _, body = metrics_of(a_row(1, session_id="night-shift")).expose()
    assert TOKEN_HASH[:16].encode() not in body
    assert b"night-shift" not in body


def test_two_of_them_share_nothing():
    metrics_of(a_row(1))
    assert total(samples(metrics_of()), "tokenomics_requests_total") == 0
    assert not any(name.startswith("tokenomics") for name in prometheus_client.REGISTRY._names_to_collectors)


def test_counting_while_somebody_looks():
    metrics, done = Metrics(), threading.Event()
    answers = []

    def look():
        while not done.is_set():
            answers.append(samples(metrics))

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(3000):
        metrics.add(a_row(number, timings={f"layer-{number % 40}": 1.0}, model=f"model-{number % 50}"))
    done.set()
    thread.join()
    seen = [total(answer, "tokenomics_requests_total") for answer in [*answers, samples(metrics)]]
    assert seen == sorted(seen)
    assert seen[-1] == 3000


ERRORS = ("4xx", "5xx", "broken", "none")

rows = st.builds(
    lambda model, inputs, cost, status, error: a_row(
        1, model=model, input_tokens=inputs, cost_usd=cost, status=status, upstream_status=status, error=error
    ),
    st.sampled_from(["a", "b", "made up"]),
    st.integers(0, 10**6),
    st.none() | st.decimals(0, 10, places=9),
    st.sampled_from([200, 404, 500]),
    st.sampled_from(["", "the client left"]),
)


@given(st.lists(rows, max_size=20))
def test_it_says_what_the_statistics_say(found):
    metrics, stats = metrics_of(*found), Stats()
    for row in found:
        stats.add(row)
    told, totals = samples(metrics), stats.tally.totals
    assert total(told, "tokenomics_requests_total") == totals.request_count
    assert total(told, "tokenomics_tokens_total", type="input") == totals.input_tokens
    assert total(told, "tokenomics_tokens_total", type="output") == totals.output_tokens
    assert total(told, "tokenomics_cost_usd_total") == pytest.approx(float(totals.cost), abs=1e-9)
    errors = sum(total(told, "tokenomics_requests_total", status_class=each) for each in ERRORS)
    assert errors == totals.error_count


def test_every_name_is_in_good_style():
    _, body = metrics_of(a_row(1, cost_usd=Decimal(1))).expose()
    names = re.findall(r"^# TYPE (\S+) (\S+)$", body.decode(), re.MULTILINE)
    own = [(name, type) for name, type in names if name.startswith("tokenomics_")]
    assert len(own) > 10
    for name, type in own:
        assert (type == "counter") is name.endswith("_total")
