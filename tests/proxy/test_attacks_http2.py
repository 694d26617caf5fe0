"""The same dangers over HTTP/2, and those of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.attacks import (
    CHAT,
    POLICY,
    Answer,
    Closed,
    Line,
    ask,
    assert_refused,
    chat_request,
    connect,
    tls_line,
    tunnel,
    undisturbed,
)
from tests.support.assertions import assert_only_key
from tests.support.proxy import MitmdumpProxy, Proxy

Fields = list[tuple[str, str]]
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture(scope="module")
def hasty(make_proxy: Any) -> Iterator[Proxy]:
    server = {"header_timeout": 0.5, "body_timeout": 0.5, "max_body_mb": 1}
    with make_proxy({"server": server}) as proxy:
        yield proxy


@pytest.fixture
def proxy(hasty: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    with undisturbed(hasty):
        yield hasty


@pytest.fixture(scope="module")
def token(hasty: Proxy) -> str:
    return hasty.token(POLICY)


class Http2:
    """One HTTP/2 connection, which sends whatever it is told."""

    def __init__(self, line: Line, host: str = "localhost") -> None:
        self.line = line
        self.host = host
        self.http = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                header_encoding="latin-1",
            )
        )
        self.http.initiate_connection()
        self.flush()
        self.heads: dict[int, Fields] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: dict[int, str] = {}

    def __enter__(self) -> Http2:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.line.__exit__(None, None, None)

    def flush(self) -> None:
        self.line.send(self.http.data_to_send())

    def fields(
        self, method: str = "GET", path: str = "/v1/models", *more: tuple[str, str], token: str = ""
    ) -> Fields:
        fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", self.host),
            (":path", path),
            *more,
        ]
        return [*fields, ("authorization", f"Bearer {token}")] if token else fields

    def begin(self, fields: Fields, *, end: bool = True) -> int:
        stream = self.http.get_next_available_stream_id()
        self.http.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def chat(self, token: str, model: str = "gpt-4o", text: str = "hi", **members: Any) -> int:
        body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": text}], **members}
        ).encode()
        stream = self.begin(
            self.fields("POST", CHAT, ("content-type", "application/json"), token=token), end=False
        )
        self.send(stream, body, end=True)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        while data:
            window = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if not window:
                self.receive()
                continue
            self.http.send_data(stream, data[:window])
            data = data[window:]
            self.flush()
        if end:
            self.http.end_stream(stream)
        self.flush()

    def receive(self) -> None:
        data = self.line.sock.recv(65536)
        if not data:
            raise Closed
        for event in self.http.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self.heads[event.stream_id] = event.headers
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended[event.stream_id] = "whole"
                case h2.events.StreamReset():
                    self.ended[event.stream_id] = "reset"
                case h2.events.ConnectionTerminated():
                    raise Closed
        self.flush()

    def answer(self, stream: int) -> Answer:
        """Raises Closed when the stream or the connection was ended instead."""
        while stream not in self.ended:
            try:
                self.receive()
            except (ConnectionError, h2.exceptions.ProtocolError) as error:
                raise Closed from error
        if self.ended[stream] == "reset" and stream not in self.heads:
            raise Closed
        (_, status), *headers = self.heads[stream]
        return Answer(int(status), "", headers, self.bodies.get(stream, b""))


def dial(proxy: Proxy, way: str = "tls", *, timeout: float = 5) -> Http2:
    if way == "tunnel":
        return Http2(tunnel(proxy, alpn=["h2"]), "api.openai.com")
    return Http2(tls_line(connect(proxy, timeout=timeout), "localhost", trust=proxy.ca, alpn=["h2"]))


WAYS = ["tls", "tunnel"]


@pytest.mark.parametrize("way", WAYS)
def test_serves(proxy: Proxy, fake_provider: FakeProvider, token: str, way: str) -> None:
    with dial(proxy, way) as client:
        answer = client.answer(client.chat(token))
        assert answer.json["choices"][0]["message"]["content"] == "pong: hi"
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


REFUSED: dict[str, tuple[int, str, str, Fields]] = {
    "no token": (401, "GET", "/v1/models", []),
    "TRACE": (405, "TRACE", "/v1/models", []),
    "FOO": (405, "FOO", "/v1/models", []),
    "small letters": (405, "get", "/v1/models", []),
    "NUL in the path": (400, "GET", "/v1/\x00models", []),
    "blank in the path": (400, "GET", "/v1/mod els", []),
    "absolute path": (400, "GET", "http://127.0.0.1/v1/models", []),
    "no slash": (400, "GET", "v1/models", []),
    "star": (400, "GET", "*", []),
    "encoded dots": (400, "GET", "/v1/%2e%2e/admin", []),
    "encoded line end": (400, "GET", "/v1/models%0d%0a", []),
    "long path": (414, "GET", "/" + "a" * 20_000, []),
    "many headers": (431, "GET", "/v1/models", [(f"x-{number}", "1") for number in range(200)]),
    "NUL in a value": (400, "GET", "/v1/models", [("x-bad", "a\x00b")]),
    "control character": (400, "GET", "/v1/models", [("x-bad", "a\x01b")]),
    "CR in a value": (400, "GET", "/v1/models", [("x-bad", "a\rb")]),
    "LF in a value": (400, "GET", "/v1/models", [("x-bad", "a\nx-injected: b")]),
    "blank in a name": (400, "GET", "/v1/models", [("x bad", "1")]),
    "colon in a name": (400, "GET", "/v1/models", [("x:bad", "1")]),
    "capital in a name": (400, "GET", "/v1/models", [("X-Bad", "1")]),
    "no name": (400, "GET", "/v1/models", [("", "1")]),
    "transfer-encoding": (400, "POST", "/v1/models", [("transfer-encoding", "chunked")]),
    "connection": (400, "GET", "/v1/models", [("connection", "x-named"), ("x-named", "1")]),
    "upgrade": (400, "GET", "/v1/models", [("upgrade", "websocket")]),
    "te": (400, "GET", "/v1/models", [("te", "gzip")]),
    "wrong length": (400, "GET", "/v1/models", [("content-length", "5")]),
    "two lengths": (400, "GET", "/v1/models", [("content-length", "0"), ("content-length", "5")]),
    "encoded body": (415, "POST", "/v1/models", [("content-encoding", "gzip")]),
    "length too large": (413, "POST", "/v1/models", [("content-length", "53687091200")]),
    "expectation": (417, "POST", "/v1/models", [("expect", "200-ok")]),
    "two tokens": (400, "GET", "/v1/models", [("x-api-key", "a"), ("x-api-key", "b")]),
    "other host": (400, "GET", "/v1/models", [("host", "127.0.0.1")]),
    "two hosts": (400, "GET", "/v1/models", [("host", "localhost"), ("host", "localhost")]),
    "pseudo header late": (400, "GET", "/v1/models", [("x-a", "1"), (":path", "/v1/files")]),
    "unknown pseudo header": (400, "GET", "/v1/models", [(":protocol", "websocket")]),
    "path twice": (400, "GET", "/v1/models", [(":path", "/v1/files")]),
    "answer's pseudo header": (400, "GET", "/v1/models", [(":status", "200")]),
}
WITHOUT_TOKEN = ("no token",)
AWAITS_BODY = ("length too large", "wrong length")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(proxy: Proxy, fake_provider: FakeProvider, token: str, name: str, way: str) -> None:
    """By our answer, or by the end of the stream or the connection where it is no HTTP/2."""
    status, method, path, more = REFUSED[name]
    with dial(proxy, way) as client:
        pseudo = [field for field in more if field[0].startswith(":")]
        fields = client.fields(method, path, *more, token="" if name in WITHOUT_TOKEN else token)
        if name != "pseudo header late":
            fields = [*pseudo, *[field for field in fields if field not in pseudo]]
        try:
            stream = client.begin(fields, end=name not in AWAITS_BODY)
            if name == "wrong length":
                client.send(stream, b"a", end=True)
            assert_refused(client.answer(stream), status)
        except Closed:
            assert status == 400
    assert fake_provider.records == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.2", "[::1]", "169.254.169.254", "localhost", "2130706433", "example.com"]
)
@pytest.mark.parametrize("more", [[], [(":scheme", "https"), (":path", "/")]])
def test_connect_is_refused(proxy: Proxy, fake_provider: FakeProvider, host: str, more: Fields) -> None:
    with dial(proxy) as client, suppress(Closed):
        fields = [(":method", "CONNECT"), (":authority", f"{host}:{fake_provider.port}"), *more]
        assert_refused(client.answer(client.begin(fields, end=False)), 403)
    assert fake_provider.records == []


@pytest.mark.parametrize("scheme", ["http", "ftp", ""])
@pytest.mark.parametrize("way", WAYS)
def test_other_scheme(proxy: Proxy, fake_provider: FakeProvider, token: str, way: str, scheme: str) -> None:
    with dial(proxy, way) as client:
        client.host = f"127.0.0.1:{fake_provider.port}"
        fields = [
            (name, scheme if name == ":scheme" else value) for name, value in client.fields(token=token)
        ]
        with suppress(Closed):
            assert_refused(client.answer(client.begin(fields)), 400, 403)
    assert fake_provider.records == []


def test_foreign_authority_in_a_tunnel(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy, "tunnel") as client:
        client.host = "api.anthropic.com"
        assert_refused(client.answer(client.begin(client.fields(token=token))), 403)
    assert fake_provider.records == []


def test_refusals_and_answers_side_by_side(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """Each stream gets its own answer."""
    with dial(proxy) as client:
        tokens = [token, "tkn_unknown", token, "sk-no"] * 10
        streams = [client.chat(each, text=str(number)) for number, each in enumerate(tokens)]
        for number, (stream, each) in enumerate(zip(streams, tokens, strict=True)):
            answer = client.answer(stream)
            if each == token:
                assert answer.json["choices"][0]["message"]["content"] == f"pong: {number}"
            else:
                assert_refused(answer, 401)
    assert len(fake_provider.records) == 20
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


def test_reset_ends_the_provider_s_work(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy) as client:
        slow = client.chat(token, "slow-stream,delay=0.05,tokens=200", stream=True)
        while slow not in client.bodies:
            client.receive()
        client.http.reset_stream(slow, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        assert fake_provider.wait_ended()[0].left
        assert client.answer(client.chat(token)).status == 200


def test_reset_before_anything_was_sent_on(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy) as client:
        stream = client.begin(client.fields("POST", CHAT, token=token), end=False)
        client.send(stream, b'{"model":')
        client.http.reset_stream(stream)
        client.flush()
        assert client.answer(client.chat(token)).status == 200
    assert len(fake_provider.records) == 1


@pytest.mark.long
@pytest.mark.parametrize("kind", [Proxy, MitmdumpProxy])
def test_rapid_reset(start_proxy: Any, fake_provider: FakeProvider, kind: type[Proxy]) -> None:
    """Others are served meanwhile, and not one of the exchanges is left behind as if it were running."""
    proxy = start_proxy(kind=kind)
    token = proxy.token(POLICY)
    with dial(proxy) as client, suppress(Closed, ConnectionError):
        for _ in range(500):
            stream = client.chat(token)
            client.http.reset_stream(stream)
        client.flush()
    started = time.monotonic()
    with undisturbed(proxy):
        assert ask(proxy, chat_request(token)).status == 200
    assert time.monotonic() - started < 2
    assert proxy.stop() == 0
    assert "cut at the stop" not in proxy.log()


@pytest.mark.parametrize("sent", [b"", b'{"model":'])
def test_body_that_stalls(proxy: Proxy, fake_provider: FakeProvider, token: str, sent: bytes) -> None:
    with dial(proxy) as client:
        stream = client.begin(client.fields("POST", CHAT, token=token), end=False)
        client.send(stream, sent)
        with suppress(Closed):
            assert_refused(client.answer(stream), 408)
    assert fake_provider.records == []


def test_body_that_drips(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy) as client:
        stream = client.begin(client.fields("POST", CHAT, token=token), end=False)
        client.line.sock.settimeout(0.05)
        started = time.monotonic()
        with suppress(Closed):
            while stream not in client.ended:
                assert time.monotonic() - started < 3
                client.send(stream, b" ")
                with suppress(TimeoutError):
                    client.receive()
            assert_refused(client.answer(stream), 408)
    assert fake_provider.records == []


def test_stalled_body_holds_up_no_other_stream(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy) as client:
        client.begin(client.fields("POST", CHAT, token=token), end=False)
        assert client.answer(client.chat(token, "slow-first-byte,delay=0.9")).status == 200
    assert len(fake_provider.records) == 1


def test_upload_that_stalls(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy) as client:
        kind = ("content-type", "multipart/form-data; boundary=x")
        stream = client.begin(client.fields("POST", "/v1/files", kind, token=token), end=False)
        client.send(stream, b"a" * 2000)
        with suppress(Closed):
            assert_refused(client.answer(stream), 408)
    assert not fake_provider.wait_ended()[0].received


def test_half_a_head(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """HEADERS without their end, and nothing more."""
    with dial(proxy) as client:
        frame = bytes.fromhex("00000101000000000182")
        client.line.send(frame)
        with pytest.raises(Closed):
            client.answer(1)
    assert fake_provider.records == []


def test_silence(proxy: Proxy, fake_provider: FakeProvider) -> None:
    with dial(proxy) as client, pytest.raises(Closed):
        client.answer(1)
    assert fake_provider.records == []


@pytest.mark.parametrize("length", [True, False])
def test_body_too_large(proxy: Proxy, fake_provider: FakeProvider, token: str, length: bool) -> None:
    with dial(proxy) as client:
        size = 2 * 1024 * 1024
        more = [("content-length", str(size))] if length else []
        stream = client.begin(client.fields("POST", CHAT, *more, token=token), end=False)
        client.send(stream, b"a" * size, end=True)
        assert_refused(client.answer(stream), 413)
        assert client.answer(client.chat(token)).status == 200
    assert len(fake_provider.records) == 1


def test_refused_upload(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    """The client sees the refusal though it keeps sending, and its connection goes on."""
    with dial(proxy) as client:
        kind = ("content-type", "multipart/form-data; boundary=x")
        stream = client.begin(client.fields("POST", "/v1/files", kind, token="tkn_unknown"), end=False)
        client.send(stream, b"a" * 3_000_000, end=True)
        assert_refused(client.answer(stream), 401)
        assert client.answer(client.chat(token)).status == 200
    assert [record.path for record in fake_provider.records] == [CHAT]


@pytest.mark.parametrize("length", [True, False])
def test_upload_keeps_its_frame(proxy: Proxy, fake_provider: FakeProvider, token: str, length: bool) -> None:
    """A body without a length must not be read as another request by the provider."""
    body = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with dial(proxy) as client:
        more = [("content-type", "multipart/form-data; boundary=x")]
        more += [("content-length", str(len(body)))] if length else []
        stream = client.begin(client.fields("POST", "/v1/files", *more, token=token), end=False)
        client.send(stream, body, end=True)
        client.answer(stream)
    assert [record.path for record in fake_provider.records] == ["/v1/files"]
    assert fake_provider.last.body == body


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_trailers(proxy: Proxy, fake_provider: FakeProvider, token: str, path: str) -> None:
    """They are dropped."""
    kind = "application/json" if path == CHAT else "multipart/form-data; boundary=x"
    with dial(proxy) as client:
        fields = client.fields("POST", path, ("content-type", kind), token=token)
        stream = client.begin(fields, end=False)
        client.send(stream, BODY)
        client.http.send_headers(stream, [("x-trailer", "1"), ("x-api-key", "sk-other")], end_stream=True)
        client.flush()
        assert client.answer(stream).status in (200, 400)
        assert client.answer(client.chat(token)).status == 200
    assert fake_provider.records[0].body == BODY
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])


@pytest.mark.parametrize("model", ["trailers", "early-hints-103", "set-cookie", "bad-header-cr", "obs-fold"])
@pytest.mark.parametrize("stream", [False, True])
def test_strange_answers(
    proxy: Proxy, fake_provider: FakeProvider, token: str, model: str, stream: bool
) -> None:
    with dial(proxy) as client:
        answer = client.answer(client.chat(token, model, stream=stream))
        assert answer.status == 200
        assert b"pong" in answer.body
        assert not {"set-cookie", "x-bad", "x-folded", "x-trailer"} & {name for name, _ in answer.headers}
    assert len(fake_provider.records) == 1


@pytest.mark.parametrize(
    "model", ["garbage", "status-000", "unasked-101", "two-lengths", "reset-before-headers"]
)
def test_answers_that_are_none(proxy: Proxy, fake_provider: FakeProvider, token: str, model: str) -> None:
    with dial(proxy) as client:
        assert_refused(client.answer(client.chat(token, model)), 502)
        assert client.answer(client.chat(token)).status == 200
    assert len(fake_provider.records) == 2


@pytest.mark.parametrize("model", ["die-mid-stream", "close-mid-stream"])
def test_stream_breaks_off(proxy: Proxy, fake_provider: FakeProvider, token: str, model: str) -> None:
    """An error event and a reset, not an end; the other streams go on."""
    with dial(proxy) as client:
        stream = client.chat(token, model, stream=True)
        answer = client.answer(stream)
        assert client.ended[stream] == "reset"
        assert b'"error"' in answer.body
        assert b"[DONE]" not in answer.body
        assert client.answer(client.chat(token)).status == 200
    assert len(fake_provider.records) == 2


def test_no_continue_without_a_token(proxy: Proxy, fake_provider: FakeProvider, token: str) -> None:
    with dial(proxy) as client:
        more = [("expect", "100-continue"), ("content-type", "application/json")]
        stream = client.begin(client.fields("POST", CHAT, *more, token="tkn_unknown"), end=False)
        assert_refused(client.answer(stream), 401)
        stream = client.begin(client.fields("POST", CHAT, *more, token=token), end=False)
        client.send(stream, BODY, end=True)
        assert client.answer(stream).status == 200
    assert len(fake_provider.records) == 1


def test_preface_in_clear(proxy: Proxy, fake_provider: FakeProvider) -> None:
    """HTTP/2 is spoken over TLS only."""
    with connect(proxy) as line:
        line.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert_refused(line.answer(), 400, 405)
    assert fake_provider.records == []
