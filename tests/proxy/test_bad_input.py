"""What is no proper request gets a clear error in its own dialect, never HTML, and does no harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller, Outcome, rows_of
from tests.proxy.formats import ANTHROPIC, FORMATS, GEMINI, OPENAI, Format, Json
from tests.support.proxy import Proxy
from tests.support.raw_http import exchange

MEGABYTE = 1024 * 1024
NO_TOKEN = "missing or invalid token (use x-api-key header or Authorization bearer token)"
UNKNOWN = "tkn_00000000-0000-4000-8000-000000000000"


def _tokenomics_told(body: Json) -> tuple[str, str]:
    error = body["error"]
    assert list(error) == ["code", "message", "type"]
    assert error["type"] == "tokenomics_error"
    return str(error["code"]), error["message"]


STYLED = replace(OPENAI, name="tokenomics", told=_tokenomics_told)
"""A client of the gateway that words all its errors in one form."""

CLIENTS = [*FORMATS, STYLED]

KINDS = {
    "anthropic": {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        413: "request_too_large",
        415: "invalid_request_error",
        500: "api_error",
    },
    "gemini": {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        413: "INVALID_ARGUMENT",
        415: "INVALID_ARGUMENT",
        500: "INTERNAL",
    },
}


@dataclass(frozen=True)
class Case:
    """body: bytes, or members laid over the format's body. message: the whole, or with … its beginning.

    rows: 0 where the head itself is refused, before anybody looks for a token in it.
    """

    status: int
    code: str
    message: str
    body: bytes | Json | None = None
    headers: tuple[tuple[str, str], ...] = ()
    token: str = "good"
    rows: int = 1


BODIES = {
    "not JSON": Case(400, "invalid_json", "invalid JSON body…", b"{nonsense"),
    "nothing": Case(400, "invalid_json", "invalid JSON body…", b""),
    "an array": Case(400, "invalid_json", "invalid JSON body…", b'[{"model": "gpt-4o"}]'),
    "a text": Case(400, "invalid_json", "invalid JSON body…", b'"gpt-4o"'),
    "text after it": Case(400, "invalid_json", "invalid JSON body…", b'{"model": "gpt-4o"} {}'),
    "invalid UTF-8": Case(400, "invalid_json", "invalid JSON body…", b'{"model": "\xff\xfe"}'),
    "half a surrogate": Case(400, "invalid_json", "invalid JSON body…", b'{"model": "\\ud800"}'),
    "NaN": Case(400, "invalid_json", "invalid JSON body…", b'{"model": "gpt-4o", "temperature": NaN}'),
    "too deep": Case(400, "invalid_json", "invalid JSON body…", b'{"a": ' + b"[" * 100_000),
    "a key twice": Case(400, "invalid_json", "invalid JSON body…", b'{"model": "o3", "model": "gpt-4o"}'),
    "model of a wrong type": Case(400, "invalid_model", "model must be a string", {"model": ["gpt-4o"]}),
    "model null": Case(400, "invalid_model", "model must be a string", {"model": None}),
    "compressed": Case(
        415,
        "encoding_not_supported",
        "send the request body without content-encoding",
        b"\x1f\x8b",
        headers=(("Content-Encoding", "gzip"),),
        rows=0,
    ),
    "too large": Case(
        413, "request_too_large", "the request body is larger than 20 MiB", b" " * (20 * MEGABYTE + 1)
    ),
}
TOKENS = {
    "none": Case(401, "missing_token", NO_TOKEN, token=""),
    "unknown": Case(401, "invalid_token", "invalid token", token="unknown"),
    "expired": Case(401, "invalid_token", "invalid token", token="expired"),
    "deleted": Case(401, "invalid_token", "invalid token", token="deleted"),
    "disabled": Case(401, "invalid_token", "invalid token", token="disabled"),
    "a real key": Case(401, "invalid_token", "invalid token", token="real"),
}
KEYS = {
    "not set": Case(500, "key_not_set", 'base key env "NOT_SET" is not set', token="NOT_SET"),
    "empty": Case(500, "key_not_set", 'base key env "EMPTY_KEY" is not set', token="EMPTY_KEY"),
    "a wrapper token": Case(
        500,
        "key_is_wrapper_token",
        'base key env "WRAPPED_KEY" holds a wrapper token; put the real key there',
        token="WRAPPED_KEY",
    ),
    "two lines": Case(
        500, "key_not_valid", 'base key env "BROKEN_KEY" holds no valid key', token="BROKEN_KEY"
    ),
}
ENVIRON = {"EMPTY_KEY": "", "WRAPPED_KEY": UNKNOWN, "BROKEN_KEY": "sk-one\nsk-two"}


@pytest.fixture(scope="module")
def gateways(make_proxy: Callable[..., Proxy]) -> Iterator[dict[str, Proxy]]:
    quick = {"server": {"body_timeout": 1, "header_timeout": 1}}
    with (
        make_proxy(quick, ENVIRON) as provider_style,
        make_proxy({"errors": {"style": "tokenomics"}}, ENVIRON) as own_style,
    ):
        yield {**{format.name: provider_style for format in FORMATS}, "tokenomics": own_style}


@pytest.fixture(scope="module")
def token(gateways: dict[str, Proxy]) -> Callable[[Format, str], str]:
    """A token of a kind: good, or one that is refused, or one whose policy names this key variable."""
    made: dict[tuple[str, str], str] = {}

    def create(format: Format, kind: str) -> str:
        proxy = gateways[format.name]
        if kind in ("", "unknown", "real"):
            return {"": "", "unknown": UNKNOWN, "real": "sk-real-openai-0123456789"}[kind]
        if kind in ENVIRON or kind == "NOT_SET":
            return proxy.token({**format.policy, "base_key_env": kind})
        created = proxy.create_token(format.policy)
        change = {
            "expired": ("update", "--expires", "2020-01-01T00:00:00Z"),
            "disabled": ("update", "--disable"),
            "deleted": ("delete",),
        }.get(kind)
        if change:
            verb, *flags = change
            done = proxy.cli("token", verb, "--hash", created["hash"], *flags)
            assert done.returncode == 0, done.stderr
        return str(created["token"])

    def get(format: Format, kind: str) -> str:
        if (format.name, kind) not in made:
            made[format.name, kind] = create(format, kind)
        return made[format.name, kind]

    return get


@pytest.fixture
def caller_of(
    gateways: dict[str, Proxy], token: Callable[[Format, str], str], fake_provider: FakeProvider
) -> Iterator[Callable[..., Caller]]:
    opened: list[Caller] = []

    def make(format: Format, kind: str = "good") -> Caller:
        opened.append(Caller(gateways[format.name], token(format, kind)))
        return opened[-1]

    yield make
    for one in opened:
        one.client.close()
        assert one.proxy.alive


def check(format: Format, case: Case, outcome: Outcome) -> None:
    assert outcome.status == case.status
    assert outcome.headers["content-type"] == "application/json"
    code, message = format.told(outcome.json)
    expected = {"openai": case.code, "tokenomics": str(case.status)}
    assert code == (expected.get(format.name) or KINDS[format.name][case.status])
    beginning, more, _ = case.message.partition("…")
    assert message.startswith(beginning) if more else message == case.message
    assert len(message) < 200


def send(caller: Caller, format: Format, case: Case, stream: bool = False) -> Outcome:
    body: Any = format.body(format.model, "hello", stream)
    body = case.body if isinstance(case.body, bytes) else {**body, **(case.body or {})}
    headers = {"Content-Type": "application/json", **dict(case.headers)}
    return caller.send("POST", format.path(format.model, stream), body, format=format, headers=headers)


@pytest.mark.parametrize("format", CLIENTS, ids=lambda format: format.name)
@pytest.mark.parametrize("name", BODIES)
def test_body(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format, name: str
) -> None:
    case = BODIES[name]
    caller = caller_of(format)
    outcome = send(caller, format, case)
    check(format, case, outcome)
    for row in caller.rows(case.rows):
        assert (row["status"], row["refusal"], row["dialect"]) == (case.status, case.code, format.dialect)
        assert (row["upstream_status"], row["attempts"], row["input_tokens"]) == (0, [], 0)
    assert fake_provider.records == []
    assert caller.ask(format).status == 200


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("format", CLIENTS, ids=lambda format: format.name)
@pytest.mark.parametrize("name", TOKENS)
def test_token(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format, name: str, stream: bool
) -> None:
    case = TOKENS[name]
    caller = caller_of(format, case.token)
    check(format, case, send(caller, format, case, stream))
    # Nobody is charged for a stranger; the log has a line for him.
    log = caller.proxy.wait_for(caller.proxy.log, lambda text: caller.name in text)
    line = next(json.loads(line) for line in log.splitlines() if caller.name in line)
    assert (line["status_code"], line["token_hash"]) == (401, "")
    assert caller.rows(0) == []
    assert fake_provider.records == []


@pytest.mark.long
@pytest.mark.parametrize("format", CLIENTS, ids=lambda format: format.name)
@pytest.mark.parametrize("name", KEYS)
def test_key(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format, name: str
) -> None:
    case = KEYS[name]
    caller = caller_of(format, case.token)
    check(format, case, send(caller, format, case))
    row = caller.row()
    assert (row["status"], row["refusal"], row["base_key_env"]) == (500, case.code, case.token)
    assert fake_provider.records == []


@pytest.mark.parametrize("body", [{"model": ""}, {}], ids=["empty", "missing"])
def test_model_that_is_not_named(gateways: dict[str, Proxy], fake_provider: FakeProvider, body: Json) -> None:
    """It is the empty string, and judged like any other."""
    proxy = gateways["openai"]
    messages = [{"role": "user", "content": "hi"}]
    with Caller(proxy, proxy.token({**OPENAI.policy, "model_regex": "^gpt-"})) as caller:
        outcome = caller.send("POST", "/v1/chat/completions", {"messages": messages, **body})
        check(OPENAI, Case(403, "model_not_allowed", 'model "" does not match policy regex "^gpt-"'), outcome)
        assert caller.row()["requested_model"] is None
    assert fake_provider.records == []


# What is not even HTTP. A row is written where the head was read, and with it the token.


def raw(proxy: Proxy, name: str, token: str, lines: str, body: bytes) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {name}\r\n"
    head += f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n{lines}\r\n"
    return exchange(proxy.http_port, head.encode("latin-1") + body, timeout=5)[0]


GOOD = json.dumps(OPENAI.body("gpt-4o", "hello", False)).encode()
MALFORMED = {
    "header of 100 kB": (f"X-Large: {'x' * 100_000}\r\nContent-Length: {len(GOOD)}\r\n", GOOD, 431, 0),
    "1000 headers": ("X-One: 1\r\n" * 1000 + f"Content-Length: {len(GOOD)}\r\n", GOOD, 431, 0),
    "no chunk": ("Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n", 400, 1),
    "a chunk of the wrong length": ("Transfer-Encoding: chunked\r\n", b"5\r\n{}\r\n0\r\n\r\n", 400, 1),
    "two lengths": (f"Content-Length: {len(GOOD)}\r\nContent-Length: 2\r\n", GOOD, 400, 0),
    "length and chunks": ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400, 0),
    "no length": ("Content-Length: many\r\n", GOOD, 400, 0),
    "a longer length": (f"Content-Length: {len(GOOD) + 10}\r\n", GOOD, 408, 1),
    "a shorter length": (f"Content-Length: {len(GOOD) - 10}\r\n", GOOD, 400, 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(
    gateways: dict[str, Proxy], token: Callable[..., str], fake_provider: FakeProvider, name: str
) -> None:
    proxy = gateways["openai"]
    lines, body, status, rows = MALFORMED[name]
    agent = f"malformed/{name}"
    answer = raw(proxy, agent, token(OPENAI, "good"), lines, body)
    head, _, told = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/json" in head.lower()
    assert OPENAI.told(json.loads(told[: told.index(b"}}") + 2]))[1]
    found = rows_of(proxy, agent, rows)
    assert [row["status"] for row in found] == [status] * rows
    assert fake_provider.records == []
    assert proxy.alive


def test_50_megabytes(
    gateways: dict[str, Proxy], token: Callable[..., str], fake_provider: FakeProvider
) -> None:
    """With a length it is refused before it is sent; in chunks, once it is too much."""
    proxy = gateways["openai"]
    for chunked in (False, True):
        with Caller(proxy, token(OPENAI, "good")) as caller:
            pieces = (b"x" * MEGABYTE for _ in range(50))
            outcome = caller.client.post(
                "/v1/chat/completions",
                content=pieces if chunked else b"".join(pieces),
                headers={"Content-Type": "application/json", **OPENAI.head(caller.token)},
            )
            assert outcome.status_code == 413
            assert OPENAI.told(outcome.json())[0] == "request_too_large"
            assert caller.row()["status"] == 413
    assert fake_provider.records == []


@pytest.mark.parametrize("format", [ANTHROPIC, GEMINI], ids=lambda format: format.name)
def test_path_without_a_format(caller_of: Callable[..., Caller], format: Format) -> None:
    """The words are those of the SDK that asks."""
    caller = caller_of(format, "unknown")
    outcome = caller.send("GET", "/v1/nothing", format=format)
    check(format, TOKENS["unknown"], outcome)
