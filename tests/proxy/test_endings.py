"""Exchanges that do not end as they should: the client leaves, the provider breaks off or falls silent.

Each leaves exactly one row, with what was counted until then, and no connection behind it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import openai
import pytest

from tests.fake_provider import FakeProvider, Record
from tests.proxy.caller import Caller, rows_of
from tests.proxy.formats import ANTHROPIC, FORMATS, OPENAI, Format, by_name
from tests.support.http2 import Http2Client
from tests.support.proxy import Proxy
from tests.support.raw_http import request_bytes

SOON = 1.0
"""Seconds within which the provider must notice that its client is gone."""

LEFT = "the client left"
BROKE_OFF = "the provider broke off its answer"
FELL_SILENT = "the provider stopped in the middle of its answer"


@pytest.fixture(scope="module")
def gateway(make_proxy: Callable[..., Proxy]) -> Iterator[Proxy]:
    with make_proxy({"server": {"idle_timeout": 1}}) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def tokens(gateway: Proxy) -> dict[str, str]:
    return {format.name: gateway.token(format.policy) for format in FORMATS}


@pytest.fixture
def caller(gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider) -> Iterator[Caller]:
    with Caller(gateway, tokens["openai"]) as one:
        yield one


@pytest.fixture
def caller_of(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider
) -> Iterator[Callable[[Format, str], Caller]]:
    opened: list[Caller] = []

    def make(format: Format, version: str = "HTTP/1.1") -> Caller:
        opened.append(Caller(gateway, tokens[format.name], version=version))
        return opened[-1]

    yield make
    for one in opened:
        one.client.close()


@contextmanager
def raw_request(gateway: Proxy, data: bytes) -> Iterator[socket.socket]:
    """A connection on which a request was begun; leaving the block closes it."""
    with socket.create_connection(("127.0.0.1", gateway.http_port), timeout=5) as connection:
        connection.sendall(data)
        yield connection


def asking(token: str, name: str, **body: Any) -> bytes:
    headers = {"User-Agent": name, "Content-Type": "application/json"}
    body = OPENAI.body("gpt-4o", "hello", False) | body
    return request_bytes("/v1/chat/completions", body, headers=headers, key=token)


def ended(provider: FakeProvider, count: int = 1) -> Record:
    return provider.wait_ended(count)[-1]


# The client leaves.


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_client_leaves_a_stream(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format
) -> None:
    fake_provider.script([{"do": "slow-stream", "delay": 0.05, "tokens": 100}])
    caller = caller_of(format)
    path, body = format.path(format.model, True), format.body(format.model, "hello", True)
    with caller.begin("POST", path, body, format=format) as response:
        received = b""
        for data in response.iter_raw():
            received += data
            if received.count(b" the") >= 5:
                break
    left = time.time()
    record = ended(fake_provider)
    assert record.left
    assert record.ended - left < SOON
    row = caller.row()
    assert (row["status"], row["error"], row["estimated"]) == (200, LEFT, 1)
    assert 5 <= row["output_tokens"] <= record.bill.output_tokens + 1
    assert row["input_tokens"] > 0


def test_client_leaves_before_the_first_byte(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider
) -> None:
    fake_provider.script([{"do": "hang"}])
    with raw_request(gateway, asking(tokens["openai"], "leaves-early")):
        gateway.wait_for(lambda: fake_provider.records, lambda records: bool(records) and records[0].received)
    left = time.time()
    record = ended(fake_provider)
    assert record.left
    assert record.ended - left < SOON
    (row,) = rows_of(gateway, "leaves-early", 1)
    assert (row["status"], row["upstream_status"], row["error"]) == (0, 0, LEFT)
    assert len(row["attempts"]) == 1


def test_client_leaves_while_a_retry_waits(gateway: Proxy, fake_provider: FakeProvider) -> None:
    """Nothing more is sent for a client that is gone."""
    token = gateway.token({**OPENAI.policy, "retry": {"max_retries": 3}})
    fake_provider.script([{"status": 429, "retry_after": 1}, {}])
    with raw_request(gateway, asking(token, "leaves-waiting")):
        ended(fake_provider)
    (row,) = rows_of(gateway, "leaves-waiting", 1)
    assert (row["status"], row["error"]) == (0, LEFT)
    assert len(fake_provider.records) == 1


def test_client_leaves_in_its_own_body(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider
) -> None:
    request = asking(tokens["openai"], "leaves-sending")
    with raw_request(gateway, request[:-10]):
        pass
    (row,) = rows_of(gateway, "leaves-sending", 1)
    assert (row["status"], row["error"], row["upstream_status"]) == (0, LEFT, 0)
    assert fake_provider.records == []


def test_client_leaves_in_an_upload(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider
) -> None:
    """What was begun upstream is broken off there too."""
    headers = {"User-Agent": "leaves-uploading", "Content-Type": "multipart/form-data; boundary=b"}
    request = request_bytes("/v1/files", b"x" * 100_000, headers=headers, key=tokens["openai"])
    with raw_request(gateway, request[:-10]):
        gateway.wait_for(
            lambda: fake_provider.records, lambda records: bool(records) and records[0].body_bytes > 50_000
        )
    ended(fake_provider)
    (row,) = rows_of(gateway, "leaves-uploading", 1)
    assert (row["status"], row["error"]) == (0, LEFT)
    assert not fake_provider.last.received


def test_http2_stream_is_cancelled(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider
) -> None:
    """One stream of a connection ends; the others go on."""
    fake_provider.script([{"do": "slow-stream", "delay": 0.05, "tokens": 100}])
    head = OPENAI.head(tokens["openai"])
    body = OPENAI.body("gpt-4o", "hello", True)
    with Http2Client(gateway.https_port, gateway.ca) as client:
        first = client.ask("/v1/chat/completions", body, {**head, "User-Agent": "cancels"})
        client.read_until(first, b" the")
        second = client.ask("/v1/chat/completions", body, {**head, "User-Agent": "goes-on"})
        client.cancel(first)
        assert client.read_to_end(second).endswith(OPENAI.ending)
    cancelled, _ = fake_provider.wait_ended(2)
    assert cancelled.left
    (row,) = rows_of(gateway, "cancels", 1)
    assert (row["status"], row["error"]) == (200, LEFT)
    (row,) = rows_of(gateway, "goes-on", 1)
    assert (row["status"], row["error"]) == (200, None)


@pytest.mark.parametrize("how", ["die-mid-stream", "hang-mid-stream"])
def test_http2_stream_breaks_off(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider, how: str
) -> None:
    """What befalls one stream does not befall the connection."""
    fake_provider.script([{"do": how, "after": 4, "tokens": 20}])
    head = {**OPENAI.head(tokens["openai"]), "User-Agent": f"two-{how}"}
    body = OPENAI.body("gpt-4o", "hello", True)
    with Http2Client(gateway.https_port, gateway.ca) as client:
        first = client.ask("/v1/chat/completions", body, head)
        assert b"the provider" in client.read_to_end(first)
        second = client.ask("/v1/chat/completions", body, head)
        assert client.read_to_end(second).endswith(OPENAI.ending)
    assert [row["error"] is None for row in rows_of(gateway, f"two-{how}", 2)] == [False, True]


# The provider breaks off.


@pytest.mark.parametrize("how", ["die-mid-stream", "close-mid-stream"])
@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_provider_dies_in_a_stream(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format, how: str
) -> None:
    """The client is told in the format's own words, and the connection breaks off."""
    fake_provider.script([{"do": how, "after": 8, "tokens": 50}])
    caller = caller_of(format)
    outcome = caller.ask(format, stream=True)
    assert (outcome.status, outcome.broken) == (200, True)
    assert format.told(outcome.events[-1])[1] == BROKE_OFF
    row = caller.row()
    assert (row["status"], row["upstream_status"], row["error"]) == (200, 200, BROKE_OFF)
    assert row["output_tokens"] == fake_provider.bill.output_tokens
    assert row["estimated"] == 1
    assert caller.ask(format).status == 200


@pytest.mark.parametrize("how", ["die-mid-stream", "close-mid-stream", "short-body", "bad-chunk"])
@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_provider_dies_in_a_whole_answer(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format, how: str
) -> None:
    fake_provider.script([{"do": how}])
    caller = caller_of(format)
    outcome = caller.ask(format)
    assert (outcome.status, outcome.broken) == (502, False)
    assert format.told(outcome.json)[1] == "failed to read upstream response"
    row = caller.row()
    assert (row["status"], row["upstream_status"], row["refusal"]) == (502, 200, "upstream_failed")
    assert (row["input_tokens"] > 0, row["estimated"]) == (True, 1)
    assert caller.ask(format).socket == outcome.socket
    assert len(fake_provider.records) == 2


# The provider falls silent.


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_provider_falls_silent_in_a_stream(
    caller_of: Callable[..., Caller], fake_provider: FakeProvider, format: Format
) -> None:
    fake_provider.script([{"do": "hang-mid-stream", "after": 8, "tokens": 50}])
    caller = caller_of(format)
    begun = time.monotonic()
    outcome = caller.ask(format, stream=True)
    assert 1 <= time.monotonic() - begun < 3
    assert format.told(outcome.events[-1])[1] == FELL_SILENT
    assert ended(fake_provider).left
    row = caller.row()
    assert (row["status"], row["error"]) == (200, FELL_SILENT)
    assert row["output_tokens"] == fake_provider.bill.output_tokens


def test_provider_falls_silent_in_a_whole_answer(caller: Caller, fake_provider: FakeProvider) -> None:
    fake_provider.script([{"do": "hang-mid-stream"}])
    outcome = caller.ask()
    assert (outcome.status, OPENAI.told(outcome.json)) == (504, ("upstream_timeout", FELL_SILENT))
    assert ended(fake_provider).left
    assert caller.row()["refusal"] == "upstream_timeout"


def test_slow_stream_is_not_cut(caller: Caller, fake_provider: FakeProvider) -> None:
    """Longer than idle_timeout in all, and never that long silent."""
    fake_provider.script([{"do": "slow-stream", "delay": 0.3, "tokens": 5}])
    outcome = caller.ask(stream=True)
    assert outcome.body.endswith(OPENAI.ending)
    row = caller.row()
    assert (row["error"], row["estimated"], row["output_tokens"]) == (None, 0, 5)
    assert row["duration_ms"] > 1000


# What SDKs make of it.


@pytest.mark.parametrize("how", ["die-mid-stream", "close-mid-stream", "hang-mid-stream"])
def test_openai_sdk_raises(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider, how: str
) -> None:
    fake_provider.script([{"do": how, "after": 4, "tokens": 20}])
    url, key = f"{gateway.http_url}/v1", tokens["openai"]
    with openai.DefaultHttpxClient(trust_env=False) as http:
        client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, http_client=http)
        stream = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="the provider"):
            list(stream)
    assert len(fake_provider.records) == 1


@pytest.mark.parametrize("how", ["die-mid-stream", "close-mid-stream", "hang-mid-stream"])
def test_anthropic_sdk_raises(
    gateway: Proxy, tokens: dict[str, str], fake_provider: FakeProvider, how: str
) -> None:
    fake_provider.script([{"do": how, "after": 5, "tokens": 20}])
    with anthropic.DefaultHttpxClient(trust_env=False) as http:
        client = anthropic.Anthropic(
            base_url=gateway.http_url, api_key=tokens["anthropic"], max_retries=0, http_client=http
        )
        stream = client.messages.create(
            model=ANTHROPIC.model,
            max_tokens=100,
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
        )
        with pytest.raises(anthropic.APIError, match="the provider"):
            list(stream)
    assert len(fake_provider.records) == 1
