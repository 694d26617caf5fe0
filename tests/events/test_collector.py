"""The example collector, as people start it, gets real deliveries and takes nothing else."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.events.test_delivery import emitting, numbered
from tests.support.environment import PROJECT
from tokenomics_core.config import Webhook
from tokenomics_core.events import token_created, token_deleted
from tokenomics_core.events.signature import sign, sign_at

COLLECTOR = PROJECT / "examples" / "webhook-collector" / "collector.py"
HASH = "bba56f48ebdf2da3b43fd69610d07ff4f4b22b0398cae6fb94af3c3152e9252e"
KEY = "signing-key"


@dataclass
class Collector:
    started: subprocess.Popen[str]
    banner: list[str]
    url: str

    def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = httpx.post(f"{self.url}/webhook", content=body, headers=named, trust_env=False)
        return answer.status_code, answer.text

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False)

    def printed(self) -> str:
        self.started.terminate()
        out, errors = self.started.communicate(timeout=10)
        assert errors == ""
        return out


@contextmanager
def collector(*words: str) -> Iterator[Collector]:
    started = subprocess.Popen(
        [sys.executable, "-I", str(COLLECTOR), "-addr", ":0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        banner = [started.stdout.readline().rstrip() for _ in range(3)]
        found = re.fullmatch(r"Listening on (http://127\.0\.0\.1:\d+)/webhook", banner[0])
        assert found is not None
        yield Collector(started, banner, found[1])
    finally:
        started.kill()
        started.communicate()


def an_event(number: int = 1, type: str = "token.created") -> bytes:
    event = {"id": f"evt_{number}", "type": type, "timestamp": "2026-03-02T08:15:00Z", "data": {"a": 1}}
    return json.dumps(event).encode()


def signed(body: bytes, at: float | None = None, key: str = KEY) -> dict[str, str]:
    moment = int(time.time() if at is None else at)
    return {
        "X_Webhook_Signature": sign(key, body),
        "X_Webhook_Timestamped_Signature": sign_at(key, body, moment),
    }


async def test_real_deliveries(tmp_path: Path) -> None:
    with collector("-secret", "hush-hush", "-signing-key", KEY, "-strict") as there:
        assert there.banner[1:] == ["Secret: hus...", "Signing key: sig..."]
        hook = Webhook(url=f"{there.url}/webhook", secret="hush-hush", signing_key=KEY)
        wrong = Webhook(url=f"{there.url}/webhook?2", secret="other", signing_key=KEY)
        async with emitting(tmp_path, hook, wrong) as emitter:
            emitter.emit(token_created(HASH), token_deleted(HASH), numbered(1, "budget.update"))
        assert [(each.pending, each.dead) for each in read_queues(tmp_path)] in (
            [(0, 0), (0, 3)],
            [(0, 3), (0, 0)],
        )
        told = there.get("/stats").json()
        assert told == {
            "counts": {"token.created": 1, "token.deleted": 1, "budget.update": 1},
            "total": 3,
        }
        printed = there.printed()
    for words in ("[+] token.created", "[-] token.deleted", "[B] budget.update", "ID:   evt_", HASH[:8]):
        assert words in printed
    assert "hush" not in printed


def read_queues(folder: Path) -> Any:
    from tokenomics_core.events.outbox import Outbox

    return Outbox(folder / "events.db").queues()


def test_what_is_taken_and_what_is_not() -> None:
    body, other = an_event(1), an_event(2)
    with collector("-secret", "s", "-signing-key", KEY) as there:
        secret = {"X_Webhook_Secret": "s"}
        assert there.post(body, **signed(body)) == (401, "unauthorized")
        assert there.post(body, X_Webhook_Secret="S", **signed(body)) == (401, "unauthorized")
        assert there.post(body, **secret) == (403, "bad signature")
        assert there.post(body, **secret, **signed(other)) == (403, "bad signature")
        assert there.post(body, **secret, **signed(body, key="k")) == (403, "bad signature")
        assert there.post(body, **secret, **signed(body, time.time() - 400)) == (403, "bad signature")
        assert there.post(body, **secret, **signed(body, time.time() + 400)) == (403, "bad signature")
        mixed = signed(body) | {"X_Webhook_Timestamped_Signature": sign_at(KEY, other, int(time.time()))}
        assert there.post(body, **secret, **mixed) == (403, "bad signature")
        assert there.post(b"{", **secret, **signed(b"{")) == (400, "invalid JSON")
        assert there.post(b"[1]", **secret, **signed(b"[1]")) == (400, "invalid JSON")
        assert there.post(body, **secret, **signed(body)) == (200, '{"status":"received"}')
        assert there.post(body, **secret, **signed(body)) == (200, '{"status":"duplicate"}')
        assert there.post(other, **secret, X_Webhook_Signature=sign(KEY, other))[0] == 200
        assert there.get("/stats").json() == {"counts": {"token.created": 2}, "total": 2}
        assert (there.get("/health").status_code, there.get("/health").text) == (200, "ok")
        assert there.get("/webhook").status_code == 405
        assert httpx.put(f"{there.url}/webhook", trust_env=False).status_code == 405
        assert there.get("/elsewhere").status_code == 404


def test_strict_wants_the_signed_time() -> None:
    body = an_event()
    with collector("-signing-key", KEY, "-strict") as there:
        assert there.post(body, X_Webhook_Signature=sign(KEY, body)) == (403, "bad signature")
        assert there.post(body, **signed(body))[0] == 200


@pytest.mark.parametrize(
    ("type", "tag"),
    [
        ("token.updated", "[~]"),
        ("token.expired", "[!]"),
        ("rule.violation", "[X]"),
        ("rule.warning", "[W]"),
        ("rule.mask", "[M]"),
        ("rule.match", "[R]"),
        ("budget.exceeded", "[$]"),
        ("rate.exceeded", "[T]"),
        ("request.completed", "[>]"),
        ("server.start", "[S]"),
        ("model.denied", "[?]"),
    ],
)
def test_tags(type: str, tag: str) -> None:
    with collector() as there:
        assert there.post(an_event(1, type))[0] == 200
        assert f" {tag} {type}\n" in there.printed()


def test_nothing_speaks_to_the_terminal() -> None:
    event = {"id": "evt_\x1b[2J", "type": "a\nb", "timestamp": "\x07", "data": {"x": "\x1b]0;t\x07"}}
    with collector() as there:
        assert there.post(json.dumps(event).encode())[0] == 200
        printed = there.printed()
    assert all(sign.isprintable() or sign == "\n" for sign in printed)
    assert " [?] a?b\n" in printed


def test_lines_for_programs() -> None:
    with collector("-pretty=false") as there:
        there.post(an_event(1))
        there.post(an_event(2))
        lines = there.printed().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["evt_1", "evt_2"]


def test_the_signatures_are_as_the_readme_says() -> None:
    body = an_event()
    plain = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    timed = hmac.new(KEY.encode(), b"1772440000." + body, hashlib.sha256).hexdigest()
    assert sign(KEY, body) == f"sha256={plain}"
    assert sign_at(KEY, body, 1_772_440_000) == f"t=1772440000,v1={timed}"
