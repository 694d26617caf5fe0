"""Attempts to get a value past the content rules: by breaking them, by spelling, by place, and by detours."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as websocket

from tests.conftest import PROXIES
from tests.fake_provider import FakeProvider
from tests.money.governed import POLICY, Token, create, rows_of
from tests.proxy.attacks import ask, request
from tests.proxy.caller import Caller
from tests.proxy.conftest import StartProxy
from tests.proxy.formats import FORMATS, OPENAI, Format, by_name
from tests.proxy.guarding import CARD, MAIL, ONE_PROVIDER, TEXT, VALUES, chat, passed, pii, post, ruled
from tests.proxy.test_attacks_broken_addons import Serve
from tests.support.environment import GUARD_FOLDER
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy() as proxy:
        yield proxy
        assert proxy.refusals() == []
        # Of everything that was tried here, nothing is left in any file: rows, counters, logs.
        for value in (*VALUES, base64.b64encode(MAIL.encode()).decode(), quote(MAIL, safe="")):
            assert proxy.files_with(value) == []


@pytest.fixture(scope="module")
def masking(gateway: Proxy) -> Token:
    return create(gateway, ruled(pii("email", "credit_card")))


@pytest.fixture(scope="module")
def failing(gateway: Proxy) -> Token:
    return create(gateway, ruled(pii("email", "credit_card", action="fail")))


# The guard itself broken.

METHODS = ["request", "inspect", "_request", "_inspected", "_edits"]
RAW_METHODS = ["request", "_request", "_raw", "_text", "_inspected", "_edits"]


@pytest.fixture(scope="module")
def breakable(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    provider_server: FakeProvider,
    make_proxy: Any,
) -> Iterator[Serve]:
    orders = tmp_path_factory.mktemp("sabotage") / "orders"
    proxy = make_proxy(
        {"server": {"drain_timeout": 0.2}},
        {"PYTHONPATH": str(GUARD_FOLDER.parent / "sabotage"), "SABOTAGE": str(orders)},
        kind=Serve,
    )
    with proxy:
        # An error that is logged while it still starts would end it.
        token = create(proxy, POLICY)
        for _ in range(3):
            assert post(proxy, token, "/v1/chat/completions", chat("hi"))[0] == 200
        yield proxy
    assert proxy.files_with(MAIL) == []
    request.config.stash[PROXIES].remove(proxy)


@pytest.fixture
def broken(breakable: Serve, fake_provider: FakeProvider) -> Iterator[Serve]:
    yield breakable
    breakable.break_hook()
    token = create(breakable, ruled(pii("email")))
    assert post(breakable, token, "/v1/chat/completions", chat(f"to {MAIL}"))[0] == 200
    assert fake_provider.last.holds("to [REDACTED]")


@pytest.mark.parametrize("how", ["inside", "whole", "nothing"])
@pytest.mark.parametrize("method", METHODS)
def test_a_broken_guard_refuses(broken: Serve, fake_provider: FakeProvider, method: str, how: str) -> None:
    token = create(broken, ruled(pii("email", restore=True)))
    broken.break_hook(f"guardrails.Guardrails.{method}", how)
    for stream in (False, True):
        status, body = post(broken, token, "/v1/chat/completions", chat(f"to {MAIL}", stream=stream))
        assert status in (500, 503), body
        assert body["error"]["type"] == "server_error"
    assert fake_provider.records == []


@pytest.mark.parametrize("how", ["inside", "whole", "nothing"])
@pytest.mark.parametrize("method", RAW_METHODS)
def test_a_broken_guard_refuses_what_is_no_object(
    broken: Serve, fake_provider: FakeProvider, method: str, how: str
) -> None:
    token = create(broken, ruled(pii("email")))
    broken.break_hook(f"guardrails.Guardrails.{method}", how)
    status, body = post(broken, token, "/v1/something/new", f"to {MAIL}".encode(), "text/plain")
    assert status in (500, 503), body
    assert fake_provider.records == []


@pytest.mark.parametrize("how", ["inside", "whole", "nothing"])
def test_a_broken_guard_refuses_uploads(broken: Serve, fake_provider: FakeProvider, how: str) -> None:
    token = create(broken, ruled(pii("email", action="warn")))
    broken.break_hook("guardrails.Guardrails.requestheaders", how)
    with Caller(broken, token.key) as caller:
        files = {"file": ("a", MAIL.encode())}
        head = {"authorization": f"Bearer {token.key}"}
        answer = caller.client.post("/v1/files", files=files, headers=head)
    assert answer.status_code in (500, 503)
    assert fake_provider.records == []


@pytest.mark.parametrize("how", ["inside", "whole", "nothing"])
@pytest.mark.parametrize("method", ["inspect", "_inspected", "_edits"])
def test_a_broken_guard_refuses_frames(
    broken: Serve, fake_provider: FakeProvider, method: str, how: str
) -> None:
    token = create(broken, ONE_PROVIDER | {"rules": [pii("email")]})
    broken.break_hook(f"guardrails.Guardrails.{method}", how)
    headers = {"Authorization": f"Bearer {token.key}"}
    url = f"ws://127.0.0.1:{broken.http_port}/v1/responses"
    with (
        # What looks at URLs too does not even let it begin.
        suppress(ConnectionClosed, InvalidStatus),
        websocket(url, additional_headers=headers, proxy=None) as connection,
    ):
        connection.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": f"to {MAIL}"}))
        assert json.loads(connection.recv(timeout=5))["status"] == 500
    assert passed(fake_provider) == []
    assert all(record.frames == [] for record in fake_provider.records)


@pytest.mark.parametrize(
    "hook",
    [
        "admission.Admission.requestheaders",
        "identity.Identity.requestheaders",
        "routing.Routing.request",
        "budget.Budget.request",
        "budget.Budget.reserve",
        "credentials.Credentials.request",
    ],
)
def test_a_step_that_does_nothing_is_no_step(broken: Serve, fake_provider: FakeProvider, hook: str) -> None:
    token = create(broken, ruled(pii("email")))
    broken.break_hook(hook, "nothing")
    status, _ = post(broken, token, "/v1/chat/completions", chat(f"to {MAIL}"))
    assert status in (500, 502, 503)
    assert fake_provider.records == []


# Bodies that are read in two ways.

OBJECT = json.dumps(OPENAI.body(OPENAI.model, f"to {MAIL}", False))
REFUSED_BODIES: dict[str, tuple[bytes, str]] = {
    "twice": (
        f'{{"model":"gpt-4o","messages":[{{"role":"user","content":"to {MAIL}","content":"hi"}}]}}'.encode(),
        "application/json",
    ),
    "twice at the top": (OBJECT[:-1].encode() + b',"messages":[]}', "application/json"),
    "another case": (OBJECT[:-1].encode() + b',"Messages":[]}', "application/json"),
    "twice by an escape": (OBJECT[:-1].encode() + b',"m\\u0065ssages":[]}', "application/json"),
    "mark": (b"\xef\xbb\xbf" + OBJECT.encode(), "application/json"),
    "UTF-16": (OBJECT.encode("utf-16"), "application/json; charset=utf-16"),
    "UTF-16 without a mark": (OBJECT.encode("utf-16-le"), "application/json"),
    "UTF-32": (OBJECT.encode("utf-32-be"), "application/json"),
    "UTF-7": (OBJECT.replace("@", "+AEA-").encode() + b"x", "application/json; charset=utf-7"),
    "half a pair": (OBJECT.replace("to ", "to \\ud800 ").encode(), "application/json"),
    "no number": (OBJECT[:-1].encode() + b',"top_p":NaN}', "application/json"),
    "more behind": (OBJECT.encode() + OBJECT.encode(), "application/json"),
    "gzip": (gzip.compress(OBJECT.encode()), "application/json"),
    "deflate": (zlib.compress(OBJECT.encode()), "application/json"),
}


@pytest.mark.parametrize("name", REFUSED_BODIES)
def test_a_body_that_can_be_read_in_two_ways(
    gateway: Proxy, masking: Token, fake_provider: FakeProvider, name: str
) -> None:
    raw, kind = REFUSED_BODIES[name]
    assert post(gateway, masking, "/v1/chat/completions", raw, kind)[0] == 400
    assert fake_provider.records == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/something/new"])
def test_a_compressed_request(
    gateway: Proxy, masking: Token, fake_provider: FakeProvider, coding: str, path: str
) -> None:
    raw = gzip.compress(OBJECT.encode())
    assert post(gateway, masking, path, raw, **{"content-encoding": coding})[0] == 415
    assert fake_provider.records == []


RAW_BODIES: dict[str, tuple[bytes, str]] = {
    "array": (json.dumps([{"a": f"to {MAIL}"}]).encode(), "application/json"),
    "array with one twice": (f'[{{"a":"to {MAIL}","a":"x"}}]'.encode(), "application/json"),
    "array with an escape": (b'["to \\u0061lice.liddell@wonderland.example"]', "application/json"),
    "object as text": (OBJECT.encode(), "text/plain"),
    "object with one twice as text": (f'{{"a":"to {MAIL}","a":"x"}}'.encode(), "text/plain"),
    "escape as text": (b'{"a":"\\u0061lice.liddell\\u0040wonderland.example"}', "text/plain"),
    "escape and NaN": (b'{"n":NaN,"a":"alice.liddell\\u0040wonderland.example"}', "text/plain"),
    "escape and half a pair": (b'["\\ud800","alice.liddell\\u0040wonderland.example"]', "text/plain"),
    "lines": (b'{"n":1}\n{"a":"alice.liddell\\u0040wonderland.example"}\n', "application/x-ndjson"),
    "mark": (b'\xef\xbb\xbf["alice.liddell\\u0040wonderland.example"]', "text/plain"),
    "UTF-16": (f"to {MAIL}".encode("utf-16"), "text/plain; charset=utf-16"),
    "UTF-16 array": (json.dumps([MAIL]).encode("utf-16-le"), "application/json"),
    "UTF-7": (b"to alice.liddell+AEA-wonderland.example", 'text/plain; charset="UTF-7"'),
    "form": (b"a=1&to=alice.liddell%40wonderland.example", "application/x-www-form-urlencoded"),
    "octets": (f"to {MAIL}".encode(), "application/octet-stream"),
    "no kind": (f"to {MAIL}".encode(), ""),
    "image": (f"to {MAIL}".encode(), "image/png"),
    "multipart": (
        f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{MAIL}\r\n--x--\r\n'.encode(),
        "multipart/form-data; boundary=x",
    ),
    "gzip": (gzip.compress(MAIL.encode()), "text/plain"),
}


@pytest.mark.parametrize("name", RAW_BODIES)
def test_bodies_of_unknown_paths(
    gateway: Proxy, masking: Token, failing: Token, fake_provider: FakeProvider, name: str
) -> None:
    """Masked or refused, but not passed."""
    raw, kind = RAW_BODIES[name]
    for token in (masking, failing):
        post(gateway, token, "/v1/something/new", raw, kind)
    assert passed(fake_provider) == []
    assert all(b"alice" not in record.body for record in fake_provider.records)
    assert all(b"AEA" not in record.body for record in fake_provider.records)
    assert all(b"\0" not in record.body and b"\x1f" not in record.body for record in fake_provider.records)
    assert len(fake_provider.records) <= 1


def test_text_in_another_encoding_passes_where_the_policy_says_so(
    gateway: Proxy, fake_provider: FakeProvider
) -> None:
    token = create(gateway, ruled(pii("iban"), uninspected="allow"))
    post(gateway, token, "/v1/something/new", "héllo".encode("latin-1"), "text/plain; charset=latin1")
    assert fake_provider.last.body == "héllo".encode("latin-1")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunks(gateway: Proxy, masking: Token, fake_provider: FakeProvider, size: int) -> None:
    raw = OBJECT.encode()
    chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    head = request(
        "POST",
        "/v1/chat/completions",
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
        token=masking.key,
    )
    assert ask(gateway, head + body).status == 200
    assert passed(fake_provider) == []
    assert fake_provider.last.holds("to [REDACTED]")


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_http2(gateway: Proxy, masking: Token, fake_provider: FakeProvider, format: Format) -> None:
    with Caller(gateway, masking.key, version="HTTP/2") as caller:
        outcome = caller.ask(format, text=f"to {MAIL}")
    assert (outcome.status, outcome.version) == (200, "HTTP/2")
    assert passed(fake_provider) == []
    assert fake_provider.last.holds("to [REDACTED]")


# Spellings.

SPELLINGS = {
    "escaped": "\\u0061\\u006cice.liddell\\u0040wonderland.example",
    "full width": "ａｌｉｃｅ．ｌｉｄｄｅｌｌ＠ｗｏｎｄｅｒｌａｎｄ．ｅｘａｍｐｌｅ",
    "zero width": "\u200b".join(MAIL),
    "soft hyphens": "alice.lid\u00addell@wonder\u00adland.example",
    "bidi": "\u202aalice.liddell\u2060@wonderland.example\u202c",
    "percent": quote(MAIL, safe="").replace("a", "%61"),
    "entities": "".join(f"&#{ord(character)};" for character in MAIL),
    "base64": base64.b64encode(f"write to {MAIL} now".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"to {MAIL}??>>".encode()).decode().rstrip("="),
    "hex": f"to {MAIL}".encode().hex(),
    "base64 twice": base64.b64encode(base64.b64encode(f"write to {MAIL}".encode())).decode(),
    "percent in base64": base64.b64encode(f"to {quote(MAIL, safe='')}".encode()).decode(),
}


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(
    gateway: Proxy, masking: Token, failing: Token, fake_provider: FakeProvider, name: str, format: Format
) -> None:
    spelling = SPELLINGS[name]
    body = json.dumps(format.body(format.model, "to VALUE.", False), ensure_ascii=False)
    escaped = spelling if name == "escaped" else json.dumps(spelling)[1:-1]
    raw = body.replace("VALUE", escaped).encode()
    head = {**format.head(masking.key), "content-type": "application/json"}
    with Caller(gateway, masking.key) as caller:
        answer = caller.client.post(format.path(format.model, False), content=raw, headers=head)
    assert answer.status_code == 200
    assert fake_provider.last.holds("[REDACTED]")
    assert not fake_provider.last.holds(escaped)
    assert passed(fake_provider) == []
    head = {**format.head(failing.key), "content-type": "application/json"}
    with Caller(gateway, failing.key) as caller:
        answer = caller.client.post(format.path(format.model, False), content=raw, headers=head)
    assert answer.status_code == 403
    assert len(fake_provider.records) == 1


# Detours.


@pytest.mark.parametrize("stream", [False, True])
def test_every_attempt_sends_the_masked_body(
    gateway: Proxy, fake_provider: FakeProvider, stream: bool
) -> None:
    """Retries and fallbacks, also to a model of another name; what comes back is restored."""
    retry = {"max_retries": 2, "retry_on": [503], "fallbacks": ["gpt-4o-mini"]}
    token = create(gateway, ruled(pii("email", "credit_card", restore=True), retry=retry))
    fake_provider.script([{"status": 503, "count": 3}])
    with Caller(gateway, token.key) as caller:
        outcome = caller.ask(OPENAI, text=f"to {MAIL} and {CARD}", stream=stream)
    assert outcome.status == 200
    assert len(fake_provider.records) == 4
    assert passed(fake_provider) == []
    for record in fake_provider.records:
        assert record.json["messages"][0]["content"] == "to <EMAIL_1> and <CREDIT_CARD_1>"
    assert fake_provider.last.json["model"] == "gpt-4o-mini"
    if stream:
        said = "".join(c["delta"].get("content") or "" for e in outcome.events for c in e["choices"])
    else:
        said = OPENAI.text(outcome.json)
    assert said == f"pong: to {MAIL} and {CARD}"


def test_a_connection_that_breaks_sends_no_other_body(gateway: Proxy, fake_provider: FakeProvider) -> None:
    token = create(gateway, ruled(pii("email"), retry={"max_retries": 1}))
    fake_provider.script([{"reset": "before_headers"}])
    with Caller(gateway, token.key) as caller:
        caller.ask(OPENAI, text=TEXT)
    assert fake_provider.records
    assert passed(fake_provider) == []


def test_tunnels_are_under_the_rules(gateway: Proxy, masking: Token, fake_provider: FakeProvider) -> None:
    trust = ssl.create_default_context(cafile=gateway.ca)
    with httpx.Client(proxy=gateway.http_url, verify=trust, timeout=20) as client:
        answer = client.post(
            "https://api.openai.com/v1/chat/completions",
            json=OPENAI.body(OPENAI.model, TEXT, False),
            headers=OPENAI.head(masking.key),
        )
    assert answer.status_code == 200
    assert passed(fake_provider) == []


def test_rows_tell_the_rule_and_not_the_value(
    gateway: Proxy, masking: Token, fake_provider: FakeProvider
) -> None:
    token = create(gateway, ruled(pii("email", "credit_card", name="no pii", scope="both")))
    with Caller(gateway, token.key) as caller:
        caller.ask(OPENAI, text=f"{TEXT} {CARD}", headers={"X-Session-ID": "s"})
    (row,) = rows_of(gateway, token.hash)
    assert json.loads(row["rule_matches"])[0] == {
        "name": "no pii",
        "action": "mask",
        "message": 'detected PII in rule "no pii": Email Address, Credit Card Number',
    }
    assert [value for value in VALUES if value in json.dumps(row)] == []
