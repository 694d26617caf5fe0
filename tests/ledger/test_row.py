import json
from contextlib import closing
from dataclasses import asdict, fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.build import KEY, START, TOKEN_HASH, WRAPPER, a_row, an_attempt, an_exchange, row_of
from tokenomics_core.counters.question import Claim, Limit
from tokenomics_core.dialects.base import Answer, Usage
from tokenomics_core.exchange import Failure
from tokenomics_core.ledger import Row, read_rows
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.git_context import GitContext
from tokenomics_core.ledger.row import COLUMNS, pack, unpack
from tokenomics_core.meter.lease import Lease
from tokenomics_core.meter.prices import assumed, cost
from tokenomics_core.providers import Target
from tokenomics_core.refusal import Refusal


def test_an_answered_request():
    row = row_of(an_exchange())
    assert asdict(row) == {
        "id": "tkn_0123456789abcdef0123456789abcdef",
        "started_at": START,
        "ended_at": START.replace(second=12, microsecond=790613),
        "duration_ms": 2310,
        "kind": "request",
        "parent_id": "",
        "token_hash": TOKEN_HASH,
        "ingress": "base_url",
        "method": "POST",
        "path": "/v1/chat/completions",
        "dialect": "openai_chat",
        "operation": "chat",
        "stream": True,
        "requested_model": "gpt-4o",
        "model": "gpt-4o",
        "fallback_model": "",
        "provider": "openai",
        "base_key_env": "OPENAI_API_KEY",
        "upstream_host": "api.openai.com",
        "upstream_url": "https://api.openai.com/v1/chat/completions",
        "status": 200,
        "upstream_status": 200,
        "refusal": "",
        "error": "",
        "input_tokens": 1500,
        "output_tokens": 655,
        "estimated": False,
        "cached_input_tokens": 1024,
        "cache_creation_tokens": None,
        "reasoning_tokens": 192,
        "actual_model": "gpt-4o-2024-11-20",
        "finish_reason": "stop",
        "rate_limit_remaining_requests": None,
        "rate_limit_remaining_tokens": None,
        "rate_limit_reset": "",
        "upstream_id": "chatcmpl-Zq81",
        "upstream_request_id": "req_5d0e",
        "retry_count": 0,
        "attempts": [{"model": "gpt-4o", "provider": "openai", "status": 200, "reason": ""}],
        "rule_matches": [],
        "metadata": {"team": "billing", "cost_center": "cc-204"},
        "request_bytes": 4321,
        "response_bytes": 9876,
        "remote_addr": "127.0.0.1",
        "user_agent": "shop-bot/2.1",
        "session_id": "",
        "cost_usd": None,
        "cost_by_class": {},
        "price_id": "",
        "price_source": "",
        "price_as_of": None,
        "reserved_tokens": 0,
        "reserved_usd": None,
        "recovered": False,
        "repo": "",
        "branch": "",
        "commit_hash": "",
        "dirty": None,
        "first_byte_ms": None,
        "timings": {},
        "run": "",
    }


def test_where_it_belongs_and_how_long_it_took():
    commit = "91be2f0" + "0" * 33
    exchange = an_exchange(
        git=GitContext("/srv/shop", "feat/invoice-export", commit, True),
        first_byte=100.2509,
        timings={"guardrails": 1.23456, "budget": 0.5},
    )
    row = row_of(exchange, run="7e19c0a4")
    assert (row.repo, row.branch, row.commit_hash) == ("/srv/shop", "feat/invoice-export", commit)
    assert (row.dirty, row.first_byte_ms, row.run) == (True, 250, "7e19c0a4")
    assert row.timings == {"guardrails": 1.235, "budget": 0.5}
    assert row_of(an_exchange(first_byte=99.0)).first_byte_ms == 0


@pytest.mark.parametrize("dirty", [None, False, True])
def test_unknown_is_not_the_same_as_unchanged(path, dirty):
    row = a_row(1, dirty=dirty, timings={"budget": 0.5})
    with closing(open_for_writing(path, busy_timeout=1)) as db:
        db.execute("DELETE FROM requests")
        insert_rows(db, [row])
        assert db.execute("SELECT dirty FROM requests").fetchone() == (None if dirty is None else int(dirty),)
    assert list(read_rows(path)) == [row]


def test_a_priced_request():
    price = replace(
        assumed("2.5", "10"),
        id="genai-prices:openai/gpt-4o@2024-10-01",
        source="genai-prices 0.1",
        as_of=date(2024, 10, 1),
        cached_input=Decimal("1.25"),
    )
    usage = Usage(1500, 655, 1024)
    row = row_of(an_exchange(session="s-1"), price=price, cost=cost(price, usage))
    assert (row.session_id, row.cost_usd) == ("s-1", Decimal("0.00902"))
    by_class = {name: Decimal(usd) for name, usd in row.cost_by_class.items()}
    assert by_class == {
        "input": Decimal("0.00119"),
        "cached_input": Decimal("0.00128"),
        "output": Decimal("0.00655"),
    }
    assert (row.price_id, row.price_source, row.price_as_of) == (price.id, price.source, price.as_of)


def test_a_free_request_costs_nothing_and_an_unknown_price_is_not_known():
    free = assumed("0", "0")
    row = row_of(an_exchange(), price=free, cost=cost(free, Usage(1500, 655)))
    assert (row.cost_usd, row.cost_by_class, row.price_as_of) == (0, {}, None)
    row = row_of(an_exchange(), price=None, cost=None)
    assert (row.cost_usd, row.price_id) == (None, "")


def test_what_was_reserved():
    total, money = Limit("tokens:total", "tokens"), Limit("usd:total", "usd")
    claims = (Claim(total, 20, 1), Claim(money, 50_000, 10_000))
    lease = Lease(claims, input_tokens=20, granted=100, left=None)
    row = row_of(an_exchange(lease=lease))
    assert (row.reserved_tokens, row.reserved_usd) == (120, Decimal("0.00105"))


def test_a_fallback_that_answered():
    first, second = an_attempt(), an_attempt(1, "mistral-small", provider_name="mistral")
    exchange = an_exchange(
        attempts=[first, second], current=1, failures=[Failure(first, 503, "status 503")], status=200
    )
    row = row_of(exchange)
    assert (row.requested_model, row.model, row.fallback_model) == (
        "gpt-4o",
        "mistral-small",
        "mistral-small",
    )
    assert row.retry_count == 1
    assert row.attempts == [
        {"model": "gpt-4o", "provider": "openai", "status": 503, "reason": "status 503"},
        {"model": "mistral-small", "provider": "mistral", "status": 200, "reason": ""},
    ]


def test_the_last_failure_is_not_listed_twice():
    attempt = an_attempt()
    exchange = an_exchange(
        attempts=[attempt],
        failures=[Failure(attempt, 0, "connection refused")],
        answer=None,
        upstream_status=0,
        status=502,
        refusal=Refusal(502, "upstream_unreachable", "upstream request failed after 1 attempts"),
    )
    row = row_of(exchange)
    assert row.attempts == [
        {"model": "gpt-4o", "provider": "openai", "status": 0, "reason": "connection refused"}
    ]
    assert (row.refusal, row.error) == ("upstream_unreachable", "upstream request failed after 1 attempts")


def test_a_refusal_names_the_model_that_was_asked_for_and_lists_no_attempt():
    exchange = an_exchange(
        attempts=[an_attempt(model="gpt-4o-mini")],
        sent=False,
        answer=None,
        upstream_status=0,
        status=403,
        refusal=Refusal(403, "model_not_allowed", 'model "gpt-4o" is not allowed'),
    )
    row = row_of(exchange, input_tokens=0, output_tokens=0)
    assert (row.model, row.fallback_model, row.attempts) == ("gpt-4o", "", [])
    assert (row.status, row.upstream_status, row.refusal) == (403, 0, "model_not_allowed")
    assert row.failed


def test_a_request_of_an_unknown_caller():
    exchange = an_exchange(
        token=None, policy=None, attempts=[], answer=None, sent=False, status=401, agent={}
    )
    row = row_of(exchange)
    assert (row.token_hash, row.provider, row.base_key_env, row.upstream_url) == ("", "", "", "")
    assert (row.upstream_host, row.metadata, row.model) == ("", {}, "gpt-4o")


def test_a_model_that_only_the_answer_names():
    assert row_of(an_exchange(model="", attempts=[an_attempt(model="")])).model == "gpt-4o-2024-11-20"


def test_a_provider_without_a_policy_entry_gives_its_own_name():
    attempt = an_attempt(provider_name="", provider=SimpleNamespace(name="groq"))
    row = row_of(an_exchange(attempts=[attempt]))
    assert row.provider == "groq"
    assert row.attempts[0]["provider"] == "groq"


def test_the_policy_wins_over_what_the_agent_says():
    policy = SimpleNamespace(policy=SimpleNamespace(metadata={"team": "platform"}))
    assert row_of(an_exchange(policy=policy)).metadata == {"team": "platform"}


def test_a_clock_that_went_backwards():
    row = row_of(an_exchange(), now=99.0)
    assert (row.duration_ms, row.ended_at) == (0, START)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (("https", "api.groq.com", 443, "/openai/v1/x"), "https://api.groq.com/openai/v1/x"),
        (("http", "localhost", 11434, "/api/chat"), "http://localhost:11434/api/chat"),
        (("http", "localhost", 80, "/"), "http://localhost/"),
        (("https", "::1", 8443, "/v1"), "https://[::1]:8443/v1"),
        (("https", "h", 443, f"/v1?key={KEY}"), "https://h/v1"),
    ],
)
def test_upstream_url(target, url):
    scheme, host, port, path = target
    attempt = an_attempt(target=Target(scheme=scheme, host=host, port=port, path=path))
    row = row_of(an_exchange(attempts=[attempt]))
    assert (row.upstream_url, row.upstream_host) == (url, host)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {
                "x-ratelimit-remaining-requests": "88",
                "x-ratelimit-remaining-tokens": "61200",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            (88, 61200, "12ms", ""),
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-03-02T08:17:00Z",
                "x-ratelimit-reset-tokens": "6m0s",
                "request-id": "req_011",
            },
            (49, 0, "2026-03-02T08:17:00Z", "req_011"),
        ),
        ({"x-ratelimit-remaining-tokens": "-1", "apim-request-id": "a"}, (None, -1, "", "a")),
        ({"x-ratelimit-remaining-tokens": "many", "mistral-correlation-id": "m"}, (None, None, "", "m")),
        ({"x-ratelimit-remaining-tokens": "9" * 400}, (None, None, "", "")),
        ({"x-ratelimit-remaining-tokens": "١٢"}, (None, None, "", "")),
        ({"x-request-id": "", "request-id": "r"}, (None, None, "", "r")),
    ],
)
def test_what_the_answer_s_headers_say(headers, expected):
    row = row_of(an_exchange(upstream_headers=headers))
    found = (
        row.rate_limit_remaining_requests,
        row.rate_limit_remaining_tokens,
        row.rate_limit_reset,
        row.upstream_request_id,
    )
    assert found == expected


def test_no_secret_wherever_it_was_put():
    attempt = an_attempt(
        model=f"m-{WRAPPER}",
        key_env=KEY,
        provider_name=f"p {KEY}",
        target=Target(scheme="https", host="h", port=443, path=f"/v1/{WRAPPER}?key={KEY}"),
    )
    exchange = an_exchange(
        path=f"/v1/{WRAPPER}/models?key={WRAPPER}",
        query=f"key={KEY}",
        model=f"m {WRAPPER}",
        user_agent=f"bot ({KEY})",
        agent={"team": WRAPPER, KEY: "x"},
        attempts=[attempt],
        failures=[Failure(attempt, 0, f"GET https://user:pass-word@h/v1?key={KEY} failed")],
        error=f"Incorrect API key: {KEY}, sent to https://h/v1?alt=sse&key=plainsecret, Bearer plainsecret",
        answer=Answer(usage=Usage(), id=WRAPPER, model=WRAPPER, finish_reason=KEY),
        upstream_headers={"x-request-id": WRAPPER, "x-ratelimit-reset-requests": KEY},
    )
    text = repr(row_of(exchange))
    for secret in (WRAPPER, WRAPPER[:20], KEY, KEY[:12], "plainsecret", "pass-word", "alt=sse"):
        assert secret not in text
    assert "Incorrect API key: [hidden], sent to https://h/v1 Bearer [hidden]" in text


def test_a_secret_at_the_limit_of_a_text_leaves_no_beginning():
    row = row_of(an_exchange(user_agent="x" * 500 + " " + WRAPPER, error="y" * 1000 + " " + KEY))
    assert "tkn_" not in row.user_agent
    assert "sk-" not in row.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("missing or invalid token (use x-api-key header or Authorization bearer token)", None),
        ("Bearer authentication is required", None),
        ("no Bearer token: see the docs", None),
        ("Basic credentials, not a bearer token.", None),
        ("Bearer plainsecret", "Bearer [hidden]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [hidden]"),
        ("Bearer token-1", "Bearer [hidden]"),
        ("Bearer tokens1", "Bearer [hidden]"),
        ("Bearer key.abc", "Bearer [hidden]"),
        ("Bearer token=abc, sent twice", "Bearer [hidden], sent twice"),
    ],
)
def test_a_word_after_bearer_is_no_credential(error, expected):
    assert row_of(an_exchange(error=error)).error == (expected or error)


def test_long_texts_are_cut_and_lines_stay_one_line():
    row = row_of(an_exchange(model="m" * 10**6, path="/" + "p" * 10**6, error="first\nsecond\x1b[31m"))
    assert (len(row.requested_model), len(row.path)) == (256, 2048)
    assert row.error == "first second\ufffd[31m"


anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
numbers = st.integers(-(2**80), 2**80)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "ledger.db"


@given(text=anything, number=numbers)
def test_any_row_survives_the_way_to_the_table_and_back(path, text, number):
    attempt = an_attempt(model=text, provider_name=text, key_env=text)
    exchange = an_exchange(
        path=text,
        model=text,
        user_agent=text,
        remote_addr=text,
        agent={text: text},
        attempts=[attempt],
        failures=[Failure(attempt, 500, text)],
        error=text,
        answer=Answer(usage=Usage(number, number, number, number, number), id=text, model=text),
        upstream_headers={"x-request-id": text, "x-ratelimit-remaining-tokens": str(number)},
        request_bytes=number,
        git=GitContext(text, text, text, None),
        timings={text: 1.0},
    )
    row = row_of(exchange, input_tokens=number, output_tokens=number)
    with closing(open_for_writing(path, busy_timeout=1)) as db:
        db.execute("DELETE FROM requests")
        assert insert_rows(db, [row]) == [row]
    assert list(read_rows(path)) == [row]


plain = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
counts = st.integers(0, 2**53)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))
money = st.decimals(0, 10**6, places=12)
json_objects = st.dictionaries(plain, plain | counts, max_size=3)
OF_TYPE = {
    "str": plain,
    "int": counts,
    "bool": st.booleans(),
    "bool | None": st.none() | st.booleans(),
    "datetime": moments,
    "int | None": st.none() | counts,
    "date | None": st.none() | st.dates(),
    "Decimal | None": st.none() | money,
    "Kind": st.sampled_from(["request", "upgrade", "frame"]),
    "dict[str, str]": st.dictionaries(plain, plain, max_size=3),
    "dict[str, float]": st.dictionaries(plain, st.floats(0, 10**6), max_size=3),
    "list[dict[str, Any]]": st.lists(json_objects, max_size=3),
}
rows = st.builds(Row, **{each.name: OF_TYPE[str(each.type)] for each in fields(Row)})


@given(row=rows)
def test_any_row_is_unpacked_as_it_was_packed(row):
    assert unpack(pack(row)) == row


@given(row=rows)
def test_any_packed_row_reaches_the_table(path, row):
    row = replace(row, id=row.id or "req_1")
    with closing(open_for_writing(path, busy_timeout=1)) as db:
        db.execute("DELETE FROM requests")
        assert insert_rows(db, [unpack(pack(row))]) == [row]
    assert list(read_rows(path)) == [row]


def test_money_is_packed_exactly():
    amounts = [Decimal("0.000000001"), Decimal("1E-12"), Decimal("123456789.000000001"), Decimal(0)]
    for amount in amounts:
        row = a_row(cost_usd=amount, reserved_usd=amount, price_as_of=date(2025, 6, 10))
        assert unpack(pack(row)) == row
        assert json.loads(pack(row))["cost_usd"] == f"{amount:f}"


def test_a_row_packed_by_another_version_is_read():
    packed = json.loads(pack(a_row(1, recovered=True)))
    packed["a_later_column"] = [1, 2]
    del packed["session_id"], packed["cost_usd"], packed["dirty"], packed["timings"], packed["run"]
    assert unpack(json.dumps(packed).encode()) == a_row(1, recovered=True)


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"{}", b'{"id": "req_1", "started_at": "yesterday"}'])
def test_what_is_no_packed_row_is_not_read(broken):
    with pytest.raises((ValueError, TypeError)):
        unpack(broken)


def test_every_column_is_packed():
    assert tuple(json.loads(pack(a_row()))) == COLUMNS
