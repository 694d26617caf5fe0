"""tokenomics-cli events: list, retry, test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.program import Program
from tests.events.receiving import Answer, Receiver, receiver
from tests.events.test_delivery import emitting, numbered
from tokenomics_cli.events import announce
from tokenomics_core.config import Webhook
from tokenomics_core.events.signature import verify


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def configure(program: Program, *webhooks: dict[str, Any]) -> list[Webhook]:
    text = json.dumps({"dir": str(program.data), "events": {"webhooks": list(webhooks)}})
    (program.folder / "config.yaml").write_text(text)
    return [Webhook(**each) for each in webhooks]


def events(program: Program, *words: str, code: int = 0) -> str:
    done = program.run("events", *words)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 or done.stdout else done.stderr


async def given_up(program: Program, hooks: list[Webhook], target: Receiver, count: int) -> None:
    target.answer = lambda got: Answer(410)
    async with emitting(program.data, *hooks) as emitter:
        emitter.emit(*(numbered(each) for each in range(count)))
    target.answer = lambda got: Answer()


def test_nothing_is_configured(program: Program) -> None:
    assert events(program, "list") == (
        "No webhooks are configured; events.webhooks in the config file names them.\n"
    )
    assert json.loads(events(program, "list", "--json")) == {"webhooks": [], "deliveries": []}
    assert events(program, "retry", "--all-dead") == "0 deliveries will be made again.\n"
    assert "no webhooks are configured" in events(program, "test", code=1)
    assert not Path(program.data, "events.db").exists()


async def test_what_was_given_up_is_shown_and_sent_again(
    program: Program, target: Receiver, other: Receiver
) -> None:
    secret = {"secret": "hush-hush", "signing_key": "hush-key"}
    url = target.url.replace("http://", "http://user:hush-pw@") + "?token=hush-query"
    hooks = configure(program, {"url": url, **secret}, {"url": other.url})
    await given_up(program, hooks, target, 3)

    told = json.loads(events(program, "list", "--json"))
    assert [(each["webhook"], each["dead"], each["delivered"]) for each in told["webhooks"]] == [
        (1, 3, 0),
        (2, 0, 3),
    ]
    assert told["webhooks"][0]["url"] == target.url
    ids = [each["id"] for each in told["deliveries"]]
    first = told["deliveries"][0]
    assert (first["webhook"], first["type"], first["state"], first["attempts"]) == (
        1,
        "request.completed",
        "dead",
        1,
    )
    assert (first["last_status"], first["last_error"], first["next_at"]) == (410, "HTTP 410", None)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["changed_at"])

    shown = events(program, "list", "--dead") + json.dumps(told)
    assert "given up" in shown
    assert ids[0] in shown
    assert "hush" not in shown
    assert ids[0] not in events(program, "list", "--dead", "--webhook", "2")
    assert ids[0] in events(program, "list", "--done", "--webhook", "2")
    assert json.loads(events(program, "list", "--json", "--limit", "1"))["deliveries"][0]["id"] == ids[2]

    assert events(program, "retry", ids[1]) == "1 delivery will be made again.\n"
    assert json.loads(events(program, "retry", "--all-dead", "--json")) == {"retried": 2}
    assert "waits already" in events(program, "retry", ids[1], code=1)
    async with emitting(program.data, *hooks):
        got = await target.expect(6)
    assert [each.number for each in got[3:]] == [0, 1, 2]
    assert len(other.got) == 3


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["retry"], "either the event's ID or --all-dead"),
        (["retry", "evt_1", "--all-dead"], "either the event's ID or --all-dead"),
        (["retry", "evt_1"], "there is no event evt_1"),
        (["list", "--webhook", "3"], "there are 1 webhook"),
        (["test", "--webhook", "0"], "there are 1 webhook"),
    ],
)
def test_mistakes(program: Program, target: Receiver, words: list[str], error: str) -> None:
    configure(program, {"url": target.url})
    assert error in events(program, *words, code=1)


def test_a_test_is_sent_at_once(program: Program, target: Receiver, other: Receiver) -> None:
    configure(
        program,
        {"url": target.url, "signing_key": "k", "events": ["token.*"]},
        {"url": other.url + "?token=hush"},
    )
    other.answer = lambda got: Answer(500)
    said = events(program, "test", code=1).splitlines()
    assert re.fullmatch(rf"1  {target.url}  delivered, HTTP 200, \d+ ms", said[0])
    assert re.fullmatch(rf"2  {other.url}  failed: HTTP 500, \d+ ms", said[1])
    (got,) = target.got
    assert got.event["type"] == "test.event"
    assert verify("k", got.body, got.headers["X-Webhook-Signature"])
    (told,) = json.loads(events(program, "test", "--webhook", "1", "--json"))
    assert (told["webhook"], told["delivered"], told["status"], told["error"]) == (1, True, 200, None)
    assert len(other.got) == 1
    assert not Path(program.data, "events.db").exists()


def test_an_announcement_that_fails_is_a_warning(
    target: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = [Webhook(url=target.url)]
    config = SimpleNamespace(dir=tmp_path, events=SimpleNamespace(webhooks=hooks))
    announce(SimpleNamespace(config=config), numbered(1))
    assert capsys.readouterr().err == ""
    (tmp_path / "events.db").write_bytes(b"not a database, by any means" * 100)
    for path in tmp_path.glob("events.db-*"):
        path.unlink()
    announce(SimpleNamespace(config=config), numbered(2))
    assert capsys.readouterr().err.startswith("Warning: webhooks are not told: cannot open the outbox")
