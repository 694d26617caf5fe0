"""Bodies: what no policy changes passes byte for byte, prompts find their place, files stream."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller
from tests.proxy.formats import ANTHROPIC, GEMINI, OPENAI, Format, Json
from tests.support.proxy import Proxy
from tests.support.raw_http import exchange, request_bytes

OLLAMA_POLICY = {"base_key_env": "OPENAI_API_KEY", "default_provider": "ollama"}
MEGABYTE = 1024 * 1024

# Each as a careful client might send it: blanks, order, escapes, numbers and unknown members are its own.
BODIES: dict[str, tuple[Json, str, str]] = {
    "chat": (
        OPENAI.policy,
        "/v1/chat/completions",
        '{ "temperature" : 1.0, "seed": 12345678901234567890123, "x-new": {"b":1,"a":[1e2, 1E-2]},\n'
        '"messages":[{"role":"user","content":"h\\u00e9llo \\ud83d\\ude00 / \\/"}],\t"model":"gpt-4o" }\n',
    ),
    "chat stream": (
        OPENAI.policy,
        "/v1/chat/completions",
        '{"stream": true, "stream_options": {"include_usage": true}, "model": "gpt-4o",'
        ' "messages": [ {"role":"user","content":"é"} ]}',
    ),
    "completions": (
        OPENAI.policy,
        "/v1/completions",
        '{"model":"gpt-3.5-turbo-instruct", "prompt":["one","two"],"max_tokens":16 }',
    ),
    "responses": (OPENAI.policy, "/v1/responses", '{"input" : "hello","model":"gpt-4o", "store":false}'),
    "responses stream": (
        OPENAI.policy,
        "/v1/responses",
        '{"input" : "hello","model":"gpt-4o", "stream":true}',
    ),
    "embeddings": (
        OPENAI.policy,
        "/v1/embeddings",
        '{"model":"text-embedding-3-small", "input": [ "a" , "b" ]}',
    ),
    "messages": (
        ANTHROPIC.policy,
        "/v1/messages",
        '{"max_tokens":50, "system" : [ {"type":"text","text":"be  brief"} ],\r\n'
        '"messages":[{"content":"hello","role":"user"}],"model":"claude-sonnet-4-6"}',
    ),
    "messages stream": (
        ANTHROPIC.policy,
        "/v1/messages",
        '{"max_tokens":50, "stream":true,"messages":[{"content":"hello","role":"user"}],"model":"c"}',
    ),
    "gemini": (
        GEMINI.policy,
        "/v1beta/models/gemini-2.5-flash:generateContent",
        '{"contents" : [{"parts":[{"text":"hello"}]}], "generationConfig":{"temperature":0.50}}',
    ),
    "gemini stream": (
        GEMINI.policy,
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        '{"contents" : [{"parts":[{"text":"hello"}]}]}',
    ),
    "ollama": (
        OLLAMA_POLICY,
        "/api/chat",
        '{"model":"llama3", "messages": [{"role":"user","content":"hello"}], "options":{"num_ctx":4096}}',
    ),
    "ollama generate": (
        OLLAMA_POLICY,
        "/api/generate",
        '{"prompt" : "hello","model":"llama3","stream":false}',
    ),
    "unknown": (OPENAI.policy, "/v1/moderations", '{"input" : "hello" , "model":"omni-moderation-latest"}'),
    "no JSON on an unknown path": (OPENAI.policy, "/v1/moderations", "input=hello"),
}

PROMPTS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Example."}]
SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Example."}]

# By body: the members that the prompts change, as they then are.
PROMPTED: dict[str, Json] = {
    "chat": {"messages": [*SAID, {"role": "user", "content": "héllo 😀 / /"}]},
    "chat stream": {"messages": [*SAID, {"role": "user", "content": "é"}]},
    "completions": {"prompt": ["Be brief.\n\nExample.\n\none", "Be brief.\n\nExample.\n\ntwo"]},
    "responses": {
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "Example."}, {"role": "user", "content": "hello"}],
    },
    "embeddings": {},
    "messages": {
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "be  brief"}],
        "messages": [{"role": "user", "content": "Example."}, {"content": "hello", "role": "user"}],
    },
    "messages stream": {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Example."}, {"content": "hello", "role": "user"}],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Example."}]}, {"parts": [{"text": "hello"}]}],
    },
    "ollama": {"messages": [*SAID, {"role": "user", "content": "hello"}]},
    "ollama generate": {"system": "Be brief.", "prompt": "Example.\n\nhello"},
    "unknown": {},
}


@pytest.fixture(scope="module")
def token(shared_proxy: Proxy) -> Callable[[Json], str]:
    """A token for a policy; the same one when asked again."""
    made: dict[str, str] = {}

    def get(policy: Json) -> str:
        if repr(policy) not in made:
            made[repr(policy)] = shared_proxy.token(policy)
        return made[repr(policy)]

    return get


def asking(caller: Caller, path: str, text: str) -> Any:
    kind = "application/json" if text.startswith("{") else "application/x-www-form-urlencoded"
    return caller.send("POST", path, text.encode(), headers={"Content-Type": kind})


@pytest.mark.parametrize("name", BODIES)
def test_untouched(proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], name: str) -> None:
    policy, path, text = BODIES[name]
    with Caller(proxy, token(policy)) as caller:
        assert asking(caller, path, text).status == 200
        assert caller.row()["request_bytes"] == len(text.encode())
    assert fake_provider.last.body == text.encode()
    assert fake_provider.last.target == path
    assert fake_provider.last.header("content-length") == str(len(text.encode()))


@pytest.mark.parametrize("name", PROMPTED)
def test_prompts(proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], name: str) -> None:
    policy, path, text = BODIES[name]
    with Caller(proxy, token({**policy, "prompts": PROMPTS})) as caller:
        outcome = asking(caller, path, text)
        assert outcome.status == 200, outcome.body
    record = fake_provider.last
    assert record.json == {**json.loads(text), **PROMPTED[name]}
    assert record.header("content-length") == str(len(record.body))
    if name == "chat":
        # What stands beside the messages is as it was, to the byte.
        assert record.body.startswith(text[: text.index("[{")].encode())
        assert record.body.endswith(text[text.index('{"role"') :].encode())


def test_prompts_of_an_entry_come_first(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    own = [{"role": "system", "content": "Entry."}]
    policy = {"prompts": PROMPTS[:1], "providers": {"openai": [{**OPENAI.policy, "prompts": own}]}}
    del policy["providers"]["openai"][0]["default_provider"]  # type: ignore[index]
    with Caller(proxy, token(policy)) as caller:
        assert caller.ask().status == 200
    assert [message["content"] for message in fake_provider.last.json["messages"]] == [
        "Entry.",
        "Be brief.",
        "hello",
    ]


@pytest.mark.parametrize(
    ("format", "members"),
    [
        (OPENAI, {"messages": "hello"}),
        (OPENAI, {"messages": None}),
        (ANTHROPIC, {"system": 5}),
        (GEMINI, {"systemInstruction": 5}),
    ],
)
def test_prompts_without_room(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], format: Format, members: Json
) -> None:
    """A policy that cannot be kept is not dropped in silence."""
    with Caller(proxy, token({**format.policy, "prompts": PROMPTS})) as caller:
        outcome = caller.ask(format, **members)
        assert outcome.status in (400, 403)
        assert format.told(outcome.json)[1]
        assert caller.row()["upstream_status"] == 0
    assert fake_provider.records == []


def test_usage_is_asked_for_and_hidden(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    with Caller(proxy, token(OPENAI.policy)) as caller:
        outcome = caller.ask(stream=True)
        assert fake_provider.last.json["stream_options"] == {"include_usage": True}
        assert [event for event in outcome.events if not event["choices"]] == []
        assert outcome.body.endswith(OPENAI.ending)
        row = caller.row()
    bill = fake_provider.bill
    assert (row["input_tokens"], row["output_tokens"]) == (bill.input_tokens, bill.output_tokens)
    assert row["estimated"] == 0


@pytest.mark.parametrize("options", [{"include_usage": True}, {"include_usage": True, "x": 1}])
def test_usage_that_the_client_asked_for(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], options: Json
) -> None:
    with Caller(proxy, token(OPENAI.policy)) as caller:
        outcome = caller.ask(stream=True, stream_options=options)
        assert fake_provider.last.json["stream_options"] == options
        assert outcome.events[-1]["usage"]["completion_tokens"] == fake_provider.bill.output_tokens


@pytest.mark.parametrize(
    "how", ["comments", "crlf", "cut-anywhere", "gzip-anyway", "trailers", "early-hints-103", "set-cookie"]
)
def test_unusual_stream(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], how: str
) -> None:
    """Read all the same, less the usage that only we asked for."""
    fake_provider.script([{"do": how, "tokens": 20}])
    with Caller(proxy, token(OPENAI.policy)) as caller:
        outcome = caller.ask(stream=True)
        events = outcome.events
        said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
        assert said == " the" * 20
        assert outcome.body.replace(b"\r", b"").endswith(OPENAI.ending)
        assert "content-encoding" not in outcome.headers
        assert "set-cookie" not in outcome.headers
        row = caller.row()
        assert (row["output_tokens"], row["estimated"], row["finish_reason"]) == (20, 0, "stop")
        assert caller.ask().socket == outcome.socket


def test_stream_without_its_end(proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]) -> None:
    fake_provider.script([{"do": "no-ending", "tokens": 20}])
    with Caller(proxy, token(OPENAI.policy)) as caller:
        assert not caller.ask(stream=True).broken
        row = caller.row()
    assert (row["output_tokens"], row["estimated"], row["finish_reason"]) == (20, 1, None)


def test_stream_that_tells_an_error(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    fake_provider.script([{"do": "error-in-stream", "tokens": 20, "after": 6}])
    with Caller(proxy, token(OPENAI.policy)) as caller:
        assert caller.ask(stream=True).events[-1]["error"]["type"] == "server_error"
        row = caller.row()
    assert (row["output_tokens"], row["estimated"]) == (5, 1)


def test_provider_closes_an_idle_connection(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    """The client's own connection outlives it."""
    fake_provider.script([{"do": "bytes-after"}])
    with Caller(proxy, token(OPENAI.policy)) as caller:
        first = caller.ask()
        assert first.body == b"{}"
        fake_provider.wait_ended()
        after = caller.ask()
        assert (after.status, after.socket) == (200, first.socket)
    assert len({record.connection for record in fake_provider.records}) == 2


# Files.


def multipart(size: int) -> Iterator[bytes]:
    head = '--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    head += '--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    yield head.encode()
    for _ in range(size // MEGABYTE):
        yield b"x" * MEGABYTE
    yield b"\r\n--edge--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.mark.parametrize("chunked", [False, True])
def test_upload(proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], chunked: bool) -> None:
    """More than fits into a buffered body passes, and is counted."""
    pieces = list(multipart(40 * MEGABYTE))
    size = sum(len(piece) for piece in pieces)
    with Caller(proxy, token(OPENAI.policy)) as caller:
        headers = {**FORM, **OPENAI.head(caller.token)}
        content: Any = iter(pieces) if chunked else b"".join(pieces)
        answer = caller.client.post("/v1/files", content=content, headers=headers)
        assert answer.json()["object"] == "file"
        row = caller.row()
    assert (row["request_bytes"], row["status"], row["estimated"]) == (size, 200, 0)
    record = fake_provider.last
    assert record.body_bytes == size
    assert bool(record.header("content-length")) is not chunked


def test_upload_streams(proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]) -> None:
    """The provider has the beginning while the client still has the end."""
    head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n"
    head += f"Authorization: Bearer {token(OPENAI.policy)}\r\nContent-Type: {FORM['Content-Type']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.http_port), timeout=5) as connection:
        connection.sendall(head.encode() + b"x" * MEGABYTE)
        proxy.wait_for(
            lambda: fake_provider.records, lambda found: bool(found) and found[0].body_bytes > 900_000
        )
        assert not fake_provider.last.received


def test_upload_that_is_too_large(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]
) -> None:
    """Its length says so: nothing of it is sent."""
    head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: {600 * MEGABYTE}\r\n"
    head += f"Authorization: Bearer {token(OPENAI.policy)}\r\nContent-Type: {FORM['Content-Type']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.http_port), timeout=5) as connection:
        begun = time.monotonic()
        connection.sendall(head.encode() + b"x" * MEGABYTE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - begun < 3
    assert fake_provider.records == []


def test_transcription(proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str]) -> None:
    """A form with a model is governed by it, and its bytes pass as they are."""
    part = '--edge\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = (part.format("model", "whisper-1") + part.format("file", "y" * 5000) + "--edge--\r\n").encode()
    with Caller(proxy, token({**OPENAI.policy, "model_regex": "^whisper"})) as caller:
        assert caller.send("POST", "/v1/audio/transcriptions", body, headers=FORM).status == 200
        refused = body.replace(b"whisper-1", b"whisker-1")
        assert caller.send("POST", "/v1/audio/transcriptions", refused, headers=FORM).status == 403
        rows = caller.rows(2)
    assert [row["requested_model"] for row in rows] == ["whisper-1", "whisker-1"]
    assert fake_provider.last.body == body
    assert (rows[0]["input_tokens"], rows[0]["output_tokens"]) == (
        fake_provider.bill.input_tokens,
        fake_provider.bill.output_tokens,
    )


@pytest.mark.parametrize("model", ["gpt-4o", "fail-400", "refused"])
@pytest.mark.parametrize("stream", [False, True])
def test_connection_close_is_honoured(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], model: str, stream: bool
) -> None:
    key = token({**OPENAI.policy, "model_regex": "^(gpt|fail)-"})
    body = OPENAI.body(model, "hello", stream)
    request = request_bytes("/v1/chat/completions", body, headers={"Connection": "close"}, key=key)
    assert exchange(proxy.http_port, request)[1] == "closed"


@pytest.mark.parametrize("step", [{}, {"do": "trailers"}])
@pytest.mark.parametrize("stream", [False, True])
def test_client_of_http_1_0(
    proxy: Proxy, fake_provider: FakeProvider, token: Callable[..., str], stream: bool, step: Json
) -> None:
    """It knows no chunks: the end of the connection ends the body."""
    fake_provider.script([step])
    body = OPENAI.body("gpt-4o", "hello", stream)
    request = request_bytes("/v1/chat/completions", body, key=token(OPENAI.policy))
    answer, end = exchange(proxy.http_port, request.replace(b"HTTP/1.1", b"HTTP/1.0"))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert end == "closed"
    assert content.endswith(OPENAI.ending) if stream else OPENAI.text(json.loads(content)) == "pong: hello"
