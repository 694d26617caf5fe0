import io
import json
import threading
from types import SimpleNamespace

import pytest

from tests.ledger.build import KEY, START, TOKEN_HASH, WRAPPER, a_row, an_exchange, row_of
from tokenomics_core.ledger import Row
from tokenomics_core.request_log import RequestLog, always_logged, entry, line

FULL_ORDER = [
    "timestamp",
    "method",
    "path",
    "token_hash",
    "model",
    "base_key_env",
    "upstream_url",
    "status_code",
    "duration_ms",
    "input_tokens",
    "output_tokens",
    "stream",
    "error",
    "remote_addr",
    "user_agent",
    "retry_count",
    "fallback_model",
    "metadata",
    "rule_matches",
    "upstream_request_id",
    "upstream_id",
    "client_request_id",
]


def full_row():
    return a_row(
        2,
        error="the stream broke off",
        retry_count=1,
        fallback_model="gpt-4o",
        rule_matches=[{"name": "cards", "action": "warn", "message": "detected"}],
    )


def test_a_full_entry():
    values = entry(full_row())
    assert list(values) == FULL_ORDER
    assert values == {
        "timestamp": "2026-03-02T08:16:12.480113000Z",
        "method": "POST",
        "path": "/v1/chat/completions",
        "token_hash": TOKEN_HASH[:16],
        "model": "gpt-4o",
        "base_key_env": "OPENAI_API_KEY",
        "upstream_url": "https://api.openai.com/v1/chat/completions",
        "status_code": 200,
        "duration_ms": 2310,
        "input_tokens": 1500,
        "output_tokens": 655,
        "stream": True,
        "error": "the stream broke off",
        "remote_addr": "127.0.0.1",
        "user_agent": "shop-bot/2.1",
        "retry_count": 1,
        "fallback_model": "gpt-4o",
        "metadata": {"team": "billing", "cost_center": "cc-204"},
        "rule_matches": [{"name": "cards", "action": "warn", "message": "detected"}],
        "upstream_request_id": "req_5d0e",
        "upstream_id": "chatcmpl-Zq81",
        "client_request_id": "tkn_00000000000000000000000000000002",
    }


def test_an_empty_entry_keeps_what_is_always_there():
    row = Row(id="", started_at=START, ended_at=START)
    assert entry(row) == {
        "timestamp": "2026-03-02T08:16:10.480113000Z",
        "method": "",
        "path": "",
        "token_hash": "",
        "base_key_env": "",
        "upstream_url": "",
        "status_code": 0,
        "duration_ms": 0,
        "remote_addr": "",
    }


@pytest.mark.parametrize(("token_hash", "shown"), [(TOKEN_HASH, "****"), ("", "")])
def test_hidden_hashes(token_hash, shown):
    row = a_row(1, token_hash=token_hash)
    assert entry(row, hide_token_hash=True)["token_hash"] == shown
    assert TOKEN_HASH[:8] not in line(row, hide_token_hash=True)
    assert TOKEN_HASH[:8] not in line(row, hide_token_hash=True, format="text")


def test_a_json_line():
    row = full_row()
    assert json.loads(line(row)) == entry(row)
    assert "\n" not in line(row)


def test_a_text_line():
    row = a_row(1, user_agent='shop "bot"', error="it\u2028broke")
    assert line(row, format="text") == (
        "2026-03-02T08:16:11.480113000Z 200 POST /v1/chat/completions 2310ms"
        f" token_hash={TOKEN_HASH[:16]} model=gpt-4o base_key_env=OPENAI_API_KEY"
        " upstream_url=https://api.openai.com/v1/chat/completions input_tokens=1500 output_tokens=655"
        ' stream=true error="it\u2028broke" remote_addr=127.0.0.1 user_agent="shop \\"bot\\""'
        " upstream_request_id=req_5d0e upstream_id=chatcmpl-Zq81"
        " client_request_id=tkn_00000000000000000000000000000001"
        " metadata.team=billing metadata.cost_center=cc-204"
    )


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_in_a_line(form):
    row = row_of(
        an_exchange(
            path=f"/v1/{WRAPPER}",
            query=f"key={KEY}",
            user_agent=WRAPPER,
            agent={"team": KEY},
            error=f"cannot reach https://h/v1?key={KEY} with Authorization: Bearer {WRAPPER}",
        )
    )
    text = line(row, format=form)
    assert "/v1/[hidden]" in text
    for secret in (WRAPPER, KEY, "key="):
        assert secret not in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": 401, "upstream_status": 0, "token_hash": ""}, True),
        ({"status": 401, "upstream_status": 0}, True),
        ({"status": 401, "upstream_status": 401}, False),
        ({"status": 503, "upstream_status": 0, "token_hash": ""}, True),
        ({"status": 502, "upstream_status": 0}, False),
        ({"status": 403, "upstream_status": 0, "token_hash": ""}, False),
        ({"status": 200}, False),
    ],
)
def test_what_is_logged_always(changes, expected):
    assert always_logged(a_row(1, **changes)) is expected


def settings(**changes):
    return SimpleNamespace(
        **({"format": "json", "disable_request": False, "hide_token_hash": False} | changes)
    )


def test_lines_in_order():
    stream = io.StringIO()
    log = RequestLog(settings(), stream)
    for number in range(1000):
        log.add(a_row(number))
    assert log.flush()
    assert [json.loads(text)["client_request_id"] for text in stream.getvalue().splitlines()] == [
        a_row(number).id for number in range(1000)
    ]
    assert log.close()


def test_switched_off_it_still_tells_of_unknown_callers():
    stream = io.StringIO()
    log = RequestLog(settings(disable_request=True, format="text", hide_token_hash=True), stream)
    log.add(a_row(1))
    log.add(a_row(2, status=401, upstream_status=0, token_hash=""))
    assert log.close()
    (text,) = stream.getvalue().splitlines()
    assert text.startswith("2026-03-02T08:16:12.480113000Z 401 POST")


class StuckStream(io.StringIO):
    """A pipe whose reader has stopped reading."""

    def __init__(self):
        super().__init__()
        self.released = threading.Event()

    def write(self, text):
        self.released.wait(30)
        return super().write(text)


def test_a_stuck_stream_costs_lines_not_time():
    stream = StuckStream()
    log = RequestLog(settings(), stream, capacity=10)
    for number in range(25):
        log.add(a_row(number))
    assert log.dropped == 15
    stream.released.set()
    assert log.close()
    assert len(stream.getvalue().splitlines()) == 10


class GoneStream(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [GoneStream(), io.StringIO()])
def test_a_stream_that_is_gone(stream):
    stream.close()
    log = RequestLog(settings(), stream)
    log.add(a_row(1))
    assert log.close()
    log.add(a_row(2))
    assert log.dropped == 2


def test_a_terminal_without_utf_8():
    raw = io.BytesIO()
    log = RequestLog(settings(), io.TextIOWrapper(raw, encoding="ascii"))
    log.add(a_row(1, model="modèle"))
    log.close()
    assert json.loads(raw.getvalue())["model"] == "mod?le"
