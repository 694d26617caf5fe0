import io
import json
import logging
import os
import re
import stat
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ledger.build import KEY, START, TOKEN_HASH, WRAPPER, a_row, an_exchange, row_of
from tokenomics_core.config import ConfigError, Logging
from tokenomics_core.ledger import Row
from tokenomics_core.request_log import (
    Bodies,
    Body,
    DebugLog,
    LogFile,
    MessageHandler,
    RequestLog,
    always_logged,
    entry,
    formatted,
    line,
    set_level,
    tokengate_entry,
)
from tokenomics_core.request_log.bodies import BODY_LIMIT
from tokenomics_core.request_log.hiding import CUT, body_text

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
    return Logging.model_validate({"disable_request": False} | changes)


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


# TokenGate's fields.


def test_an_entry_as_tokengate_writes_it():
    row = a_row(2, session_id="night", reserved_usd=Decimal("0.5"), cost_usd=Decimal("0.0125"))
    assert list(tokengate_entry(row).items()) == [
        ("timestamp", "2026-03-02T08:16:12.480113Z"),
        ("session_id", "night"),
        ("model", "gpt-4o"),
        ("estimated_cost", 0.5),
        ("decision", "allowed"),
        ("input_tokens", 1500),
        ("output_tokens", 655),
        ("actual_cost", 0.0125),
    ]
    assert json.loads(line(row, format="tokengate")) == tokengate_entry(row)


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({"status": 429, "refusal": "budget_exceeded", "error": "no"}, "blocked"),
        ({"status": 403, "refusal": "anomaly", "error": "no"}, "blocked_anomaly"),
        ({"status": 403, "refusal": "session_frozen", "error": "no"}, "blocked_anomaly"),
        ({"status": 503, "refusal": "ledger_unavailable", "error": "no"}, "error"),
        ({"status": 500, "upstream_status": 500}, "error"),
        ({"error": "the stream broke off"}, "error"),
        ({}, "allowed"),
    ],
)
def test_tokengate_s_decisions(changes, decision):
    told = tokengate_entry(a_row(1, **changes))
    assert told["decision"] == decision
    assert told.get("error") == changes.get("error")


@pytest.mark.parametrize(
    ("changes", "hide", "session"),
    [
        ({}, False, TOKEN_HASH[:16]),
        ({}, True, "****"),
        ({"token_hash": ""}, False, "default"),
        ({"session_id": "s"}, True, "s"),
    ],
)
def test_whose_session_it_is(changes, hide, session):
    told = tokengate_entry(a_row(1, model="", **changes), hide_token_hash=hide)
    assert (told["session_id"], told["model"], told["estimated_cost"]) == (session, "unknown", 0.0)


# Levels.


@pytest.mark.parametrize(
    ("changes", "both"),
    [
        ({"level": "debug"}, True),
        ({"level": "info"}, True),
        ({"level": "warn"}, False),
        ({"level": "error"}, False),
        ({"level": "error", "file": {"enabled": True}}, True),
        ({"level": "info", "file": {"enabled": True, "level": "warn"}}, False),
    ],
)
def test_lines_of_requests_are_of_level_info(changes, both):
    stream = io.StringIO()
    log = RequestLog(settings(**changes), stream)
    log.add(a_row(1))
    log.add(a_row(2, status=401, upstream_status=0, token_hash=""))
    assert log.close()
    assert len(stream.getvalue().splitlines()) == 1 + both


# Bodies.


@pytest.mark.parametrize("form", ["json", "text"])
def test_bodies_are_logged_where_they_are_asked_for(form):
    stream = io.StringIO()
    log = RequestLog(settings(request_body=True, format=form), stream)
    log.add(a_row(1), Bodies(Body(b'{"say": "hello\nworld"}'), Body(b"an answer")))
    assert log.flush()
    log.apply(settings(response_body=True, format=form))
    log.add(a_row(2), Bodies(Body("a question"), Body("an answer")))
    assert log.close()
    first, second = stream.getvalue().splitlines()
    assert "hello" in first
    assert "request_body" in first
    assert "an answer" not in first
    assert "an answer" in second
    assert "a question" not in second


def test_a_long_body_is_cut_and_no_secret_by_it():
    secret = f'"Authorization: Bearer {WRAPPER}"'
    for before in range(BODY_LIMIT - 80, BODY_LIMIT + 20):
        told = body_text(("x" * before + secret + "y" * 5000).encode(), BODY_LIMIT)
        assert len(told) <= BODY_LIMIT + len(CUT)
        assert told.endswith(CUT)
        assert WRAPPER[:13] not in told
    assert body_text("short", BODY_LIMIT) == "short"
    assert body_text("x" * BODY_LIMIT, BODY_LIMIT) == "x" * BODY_LIMIT
    assert body_text(b"\xff\xfe", 10) == "\ufffd\ufffd"


# Files.


def lines_of(path):
    return path.read_text().splitlines()


def test_a_file_is_moved_aside_when_it_is_full(tmp_path):
    path = tmp_path / "logs" / "t.log"
    file = LogFile(path, max_bytes=20, keep=2)
    for number in range(9):
        file.write(f"line {number}\n")
    file.close()
    assert lines_of(path) == ["line 8"]
    assert lines_of(tmp_path / "logs" / "t.log.1") == ["line 6", "line 7"]
    assert lines_of(tmp_path / "logs" / "t.log.2") == ["line 4", "line 5"]
    assert len(list(path.parent.iterdir())) == 3
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("max_bytes", "keep", "files"), [(0, 5, ["t.log"]), (20, 0, ["t.log"])])
def test_without_a_limit_and_without_old_files(tmp_path, max_bytes, keep, files):
    file = LogFile(tmp_path / "t.log", max_bytes=max_bytes, keep=keep)
    for number in range(9):
        file.write(f"line {number}\n")
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == files
    assert lines_of(tmp_path / "t.log")[-1] == "line 8"


def test_a_line_longer_than_a_file_may_be(tmp_path):
    file = LogFile(tmp_path / "t.log", max_bytes=20, keep=3)
    for _ in range(2):
        file.write("x" * 50 + "\n")
    file.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.log", "t.log.1"]


def test_a_file_that_somebody_moved_is_begun_anew(tmp_path):
    path = tmp_path / "t.log"
    file = LogFile(path)
    file.write("before\n")
    path.rename(tmp_path / "moved")
    file.write("after\n")
    path.unlink()
    file.write("again\n")
    file.close()
    assert lines_of(tmp_path / "moved") == ["before"]
    assert lines_of(path) == ["again"]


WRITE = """
import sys
from pathlib import Path
from tokenomics_core.request_log import LogFile
file = LogFile(Path(sys.argv[1]), max_bytes=5000, keep=100)
for number in range(500):
    file.write(f"{sys.argv[2]} {number:03d} {'x' * 40}\\n")
"""


def test_several_processes_lose_no_line(tmp_path):
    path = tmp_path / "t.log"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = list(tmp_path.iterdir())
    found = sorted(text[:5] for each in files for text in lines_of(each))
    assert found == [f"{name} {number:03d}" for name in "abc" for number in range(500)]
    # Some may hold a line more, of who had looked before it was moved.
    assert len(files) < 25


def test_the_log_writes_into_a_file(tmp_path):
    log = RequestLog(settings(), LogFile(tmp_path / "t.log", max_bytes=2000, keep=1000))
    for number in range(50):
        log.add(a_row(number, user_agent="Prüfer"))
        assert log.flush()
    assert log.close()
    written = [json.loads(text) for each in tmp_path.iterdir() for text in lines_of(each)]
    assert {each["client_request_id"] for each in written} == {a_row(number).id for number in range(50)}
    assert {each["user_agent"] for each in written} == {"Prüfer"}


def test_a_disk_that_is_gone_costs_lines(tmp_path):
    file = LogFile(tmp_path / "t.log")
    file.close()
    log = RequestLog(settings(), file)
    log.add(a_row(1))
    assert log.close()
    assert log.dropped == 1


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (Body(), ""),
        (Body(b"hello", "text/plain; charset=UTF-8"), "hello"),
        (Body(b"hello", "text/plain; charset=utf-7"), "[binary, 5 bytes]"),
        (Body(b"hello", "multipart/form-data; boundary=x"), "[binary, 5 bytes]"),
        (Body(b"\x89PNG\r\n\x1a\n", ""), "[binary, 8 bytes]"),
        (Body(b"a\0b", "application/json"), "[binary, 3 bytes]"),
        (Body(b"", "audio/mpeg", 12345), "[binary, 12345 bytes]"),
        (Body(b"", "application/json", 70), "[not kept, 70 bytes]"),
        (Body("", "", 70), "[not kept, 70 bytes]"),
        # A character that the beginning cuts.
        (Body("\u00e9".encode() * 20_000).beginning(), "\u00e9" * BODY_LIMIT + CUT),
        (Body(b"x" + "\u00e9".encode() * 20_000).beginning(), "x" + "\u00e9" * (BODY_LIMIT - 1) + CUT),
        (Body("\u00e9" * 90_000).beginning(), "\u00e9" * BODY_LIMIT + CUT),
    ],
)
def test_a_body_as_text(body, shown):
    assert body.text() == shown


def test_a_slow_place_costs_bodies_before_lines(tmp_path):
    """What waits must not fill the memory."""
    reading, writing = os.pipe()
    stuck = os.fdopen(writing, "w")
    log = RequestLog(settings(request_body=True), stuck)
    body = Bodies(Body(b"x" * BODY_LIMIT))
    for number in range(2000):
        log.add(a_row(number), body)
    waiting = sum(bool(each.bodies.request.data) for each in log._writer._queue)
    assert 500 <= waiting <= 502
    reader = threading.Thread(target=Path(f"/dev/fd/{reading}").read_bytes)
    reader.start()
    assert log.close(20)
    stuck.close()
    reader.join(20)
    os.close(reading)


def test_hashes_are_hidden_wherever_they_stand(tmp_path):
    config = settings(hide_token_hash=True, level="debug", request_body=True)
    stream = io.StringIO()
    log = RequestLog(config, stream, debug=DebugLog(tmp_path / "proxy.log"))
    row = a_row(
        1,
        error=f"token {TOKEN_HASH[:16]} is frozen",
        refusal="frozen",
        upstream_request_id="0123456789abcdef",
    )
    log.add(row, Bodies(Body(f"my hash is {TOKEN_HASH}")))
    assert log.close()
    for written in (stream.getvalue(), (tmp_path / "proxy.log").read_text()):
        assert TOKEN_HASH[:16] not in written
        assert "token **** is frozen" in written
    assert "0123456789abcdef" in stream.getvalue()


def test_settings_and_places_change_while_it_runs(tmp_path):
    stream = io.StringIO()
    log = RequestLog(settings(), stream)
    log.add(a_row(1))
    assert log.flush()
    there = LogFile(tmp_path / "new.log")
    log.apply(
        settings(file={"enabled": True}, format="text"), place=there, debug=DebugLog(tmp_path / "p.log")
    )
    log.add(a_row(2))
    assert log.flush()
    log.apply(settings(level="debug"), place=stream)
    log.add(a_row(3))
    assert log.close()
    assert len(lines_of(tmp_path / "new.log")) == 1
    assert f"{START.year}" in (tmp_path / "p.log").read_text()
    assert len(stream.getvalue().splitlines()) == 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        there.write("closed")


# What the gateway itself has to say.


@pytest.fixture
def logger():
    logger = logging.getLogger("tokenomics.test_request_log")
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    for name in ("tokenomics", "tokenomics_core"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize("form", ["json", "text", "tokengate"])
def test_messages_are_lines_among_the_others(logger, form):
    stream = io.StringIO()
    log = RequestLog(settings(format=form, file={"enabled": True}), stream)
    handler = MessageHandler(log.settings, io.StringIO())
    handler.into(log)
    logger.addHandler(handler)
    logger.debug("too quiet")
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.warning("token %s: 80 %% of\nbudget is used", TOKEN_HASH[:16], exc_info=True)
    log.add(a_row(1))
    assert log.close()
    message, request = stream.getvalue().splitlines()
    said = f"token {TOKEN_HASH[:16]}: 80 % of budget is used (ValueError at {os.path.basename(__file__)}:000)"
    message = re.sub(r":[0-9]+\)", ":000)", message)
    if form == "text":
        assert re.fullmatch(
            rf"[0-9-]{{10}}T[0-9:]{{8}}\.[0-9]{{6}}Z WARNING {re.escape(f'{logger.name}: {said}')}", message
        )
    else:
        told = json.loads(message)
        assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z", told.pop("timestamp"))
        assert told == {"level": "warn", "logger": logger.name, "message": said}
    assert "gpt-4o" in request


def test_hashes_are_hidden_in_messages_too():
    shown = logging.LogRecord("tokenomics", 30, "", 0, f"token {TOKEN_HASH[:16]} and {TOKEN_HASH}", (), None)
    assert formatted(shown, json=False, hide_token_hash=True).endswith("token **** and ****")


def stream_of(**changes):
    """What the terminal and the file show of one message of each level."""
    config = settings(format="text", **changes)
    stream, file = io.StringIO(), io.StringIO()
    log = RequestLog(config, file)
    handler = MessageHandler(config, stream)
    handler.into(log)
    for number, level in ((10, "debug"), (20, "info"), (30, "warn"), (40, "error")):
        handler.handle(logging.LogRecord("tokenomics", number, "", 0, f"of {level}", (), None))
    handler.flush()
    assert log.close()
    return [[line.rpartition(" ")[2] for line in each.getvalue().splitlines()] for each in (stream, file)]


@pytest.mark.parametrize(
    ("changes", "shown", "filed"),
    [
        ({}, ["info", "warn", "error"], []),
        ({"level": "debug"}, ["debug", "info", "warn", "error"], []),
        ({"level": "error"}, ["error"], []),
        ({"file": {"enabled": True}}, ["warn", "error"], ["info", "warn", "error"]),
        ({"level": "debug", "file": {"enabled": True, "level": "error"}}, ["warn", "error"], ["error"]),
        (
            {"level": "error", "file": {"enabled": True, "level": "debug"}},
            ["error"],
            ["debug", "info", "warn", "error"],
        ),
    ],
)
def test_what_goes_to_the_terminal_and_what_into_the_file(logger, changes, shown, filed):
    assert stream_of(**changes) == [shown, filed]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_people_read_text_at_a_terminal_whatever_the_form_of_the_log(logger):
    terminal = Terminal()
    handler = MessageHandler(settings(format="json"), terminal)
    handler.handle(logging.LogRecord("tokenomics", 30, "", 0, "hello", (), None))
    handler.flush()
    assert terminal.getvalue().endswith("Z WARNING tokenomics: hello\n")


def test_words_of_our_own_errors_are_shown_and_those_of_others_are_not(logger):
    said = []
    for error in (ConfigError("server.http_port is 'x'; write a number"), ValueError(f"what it held: {KEY}")):
        info = (type(error), error, None)
        record = logging.LogRecord("mitmproxy", 40, "", 0, "error in script", (), info)
        said.append(formatted(record, json=False).partition(": ")[2])
    assert said == [
        "error in script: server.http_port is 'x'; write a number",
        "error in script (ValueError)",
    ]


def test_a_lone_surrogate_costs_no_line(logger):
    stream = io.StringIO()
    log = RequestLog(settings(response_body=True), stream)
    log.add(a_row(1), Bodies(response=Body("half \ud83d of it")))
    log.add(a_row(2))
    assert log.close()
    assert json.loads(stream.getvalue().splitlines()[0])["response_body"] == "half ? of it"
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.parametrize(
    ("level", "others", "effective"),
    [
        ("info", (), logging.INFO),
        ("warn", ("debug",), logging.DEBUG),
        ("debug", ("error",), logging.DEBUG),
        ("error", (), logging.ERROR),
    ],
)
def test_the_level_of_messages(logger, level, others, effective):
    set_level(level, *others)
    assert logger.getEffectiveLevel() == effective
    assert logging.getLogger("tokenomics_core.x").getEffectiveLevel() == effective


# The debug log.


def test_the_debug_log_says_what_was_done(tmp_path):
    log = RequestLog(
        settings(level="debug", disable_request=True), io.StringIO(), debug=DebugLog(tmp_path / "proxy.log")
    )
    attempts = [
        {"model": "gpt-4o", "provider": "openai", "status": 0, "reason": "connection refused"},
        {"model": "o3", "provider": "openai", "status": 200, "reason": ""},
    ]
    log.add(a_row(1, attempts=attempts, session_id="night"))
    log.add(a_row(2, attempts=[], status=401, upstream_status=0, token_hash="", refusal="x", error="no"))
    assert log.close()
    begin = "2026-03-02T08:16:11.480113Z tkn_00000000000000000000000000000001"
    assert lines_of(tmp_path / "proxy.log") == [
        f"{begin} POST /v1/chat/completions (base_url, openai_chat): token {TOKEN_HASH[:16]}, session night",
        f"{begin} attempt 1 of 2: openai gpt-4o, status none: connection refused",
        f"{begin} attempt 2 of 2: openai o3, status 200",
        f"{begin} https://api.openai.com/v1/chat/completions with the key in OPENAI_API_KEY: 200,"
        " to the client 200, 2310 ms",
        "2026-03-02T08:16:12.480113Z tkn_00000000000000000000000000000002 POST /v1/chat/completions"
        " (base_url, openai_chat): token unknown",
        "2026-03-02T08:16:12.480113Z tkn_00000000000000000000000000000002 refused with 401 x: no",
    ]
    assert stat.S_IMODE((tmp_path / "proxy.log").stat().st_mode) == 0o600


def test_there_is_no_debug_log_at_other_levels(tmp_path):
    log = RequestLog(settings(), io.StringIO(), debug=DebugLog(tmp_path / "proxy.log"))
    log.add(a_row(1))
    assert log.close()
    assert os.listdir(tmp_path) == []


# Secrets.


PLANTED = [
    WRAPPER,
    KEY,
    "sk-ant-" + "api03-Zx9_y8W7v6U5t4S3r2Q1p0",
    "AIza" + "SyD4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T",
    "gsk_" + "a1B2c3D4e5F6g7H8i9J0",
    "Zm9vOmJhcl9iYXpfcXV4X2xvZ2lu",
]


@pytest.mark.parametrize("form", ["json", "text", "tokengate"])
@pytest.mark.parametrize("secret", PLANTED)
def test_no_secret_in_anything_that_is_written(tmp_path, logger, form, secret):
    """Planted in every field that is text, past all that a row has of its own to keep them out."""
    text = f"before {secret} Bearer {secret} Basic {secret}"
    if secret == PLANTED[-1]:
        # A login has no shape of its own.
        text = f"Basic {secret} bearer  {secret} Authorization: Basic%20{secret}"
    row = a_row(
        1,
        attempts=[{"model": text, "provider": text, "status": 0, "reason": text}],
        rule_matches=[{"name": text, "action": "warn", "message": text}],
        metadata={text: text},
        refusal=text,
    )
    for name in Row.__slots__:
        if isinstance(getattr(row, name), str) and name not in ("kind", "token_hash", "refusal"):
            setattr(row, name, text)
    config = settings(
        format=form, level="debug", request_body=True, response_body=True, file={"enabled": True}
    )
    log = RequestLog(config, LogFile(tmp_path / "t.log"), debug=DebugLog(tmp_path / "proxy.log"))
    handler = MessageHandler(config, io.StringIO())
    handler.into(log)
    logger.addHandler(handler)
    log.add(row, Bodies(Body(json.dumps({"say": text}).encode()), Body(text)))
    logger.error("failed on %s", text)
    assert log.close()
    handler.flush()
    assert secret not in handler._stream.getvalue()
    for name in ("t.log", "proxy.log"):
        written = (tmp_path / name).read_text()
        assert "[hidden]" in written
        assert secret not in written
