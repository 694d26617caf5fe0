"""The official SDKs under content rules: what the provider gets, and what a program gets back.

What a run without rules gives is what runs with rules are measured by.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fake_provider import FakeProvider, Record
from tests.money.governed import POLICY, Json, Token, create, rows_of
from tests.proxy.conftest import StartProxy
from tests.support.clients import ClientRun
from tests.support.proxy import Proxy
from tests.support.ways import through

pytestmark = pytest.mark.long

NAME = '@@Zoë "the Fox" C:\\temp\\new\nO\'Néil\t👋 </b>@@'
OTHER = '@@Ann "X" Lee@@'
MAIL = "alice.liddell@wonderland.example"
CARD = "4111 1111 1111 1111"
SECRET = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
SAY = f"write to {MAIL}, bill {CARD} of {NAME}; {NAME} is not {OTHER}."
SENT = "write to <EMAIL_1>, bill <CREDIT_CARD_1> of <PERSON_1>; <PERSON_1> is not <PERSON_2>."
VALUES = (NAME, OTHER, MAIL, CARD)

TEXTS = ["chat", "responses", "messages", "gemini"]
WHOLE = [*TEXTS, *(f"{name}_tool" for name in TEXTS)]
STREAMED = [f"{name}_stream" for name in WHOLE]
CHECKS = [*WHOLE, *STREAMED, "embeddings"]


def person(**fields: Any) -> Json:
    return {"name": "person", "pattern": "@@[^@]+@@", "action": "mask", **fields}


def pii(*detect: str, **fields: Any) -> Json:
    return {"type": "pii", "detect": list(detect), "action": "mask", **fields}


RESTORE: list[Json] = [person(restore=True), pii("email", "credit_card", restore=True)]
POLICIES: dict[str, list[Json]] = {
    "plain": [],
    "restore": RESTORE,
    "session": RESTORE,
    # Output rules are there, and find nothing in what comes back of it.
    "both": [*RESTORE, pii("iban", scope="output")],
    "masked": [person(scope="output"), pii("email", scope="output", style="typed")],
    "secret": [pii("github_token", "email", restore=True)],
    "trusted": [pii("github_token", "email", restore=True, restore_secrets=True)],
    "failing": [pii("email", scope="output", action="fail", name="no mail")],
}
"""By run. In the provider's place stands an echo of what it was sent."""

SAID = {name: SAY for name in POLICIES} | {
    "secret": f"the key {SECRET} of {MAIL}",
    "trusted": f"the key {SECRET} of {MAIL}",
    "failing": f"all is well and all is said until {MAIL} comes",
}
RUNS_OF = {
    "secret": ["chat", "chat_stream", "messages_tool"],
    "trusted": ["chat", "chat_stream", "messages_tool"],
    "failing": [*TEXTS, *(f"{name}_stream" for name in TEXTS)],
}


@pytest.fixture(scope="module")
def gateway(make_proxy: StartProxy) -> Iterator[Proxy]:
    with make_proxy() as proxy:
        yield proxy
        assert proxy.refusals() == []
        for value in (*VALUES, SECRET):
            assert proxy.files_with(value) == []
            assert proxy.files_with(json.dumps(value)[1:-1]) == []


@pytest.fixture(scope="module")
def tokens(gateway: Proxy) -> dict[str, Token]:
    return {name: create(gateway, POLICY | {"rules": rules}) for name, rules in POLICIES.items()}


@pytest.fixture(scope="module")
def runs(gateway: Proxy, tokens: dict[str, Token], run_sdk: Callable[..., ClientRun]) -> dict[str, ClientRun]:
    """By run; those of one list of checks share a process."""
    done: dict[str, ClientRun] = {}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in POLICIES:
        groups.setdefault(tuple(RUNS_OF.get(name, CHECKS)), []).append(name)
    for checks, names in groups.items():
        environs = {
            name: through(gateway, "base", "unused")
            | {"TOKEN": tokens[name].key, "SAY": SAID[name], "CASE": name}
            | ({"SESSION": "one"} if name == "session" else {})
            for name in names
        }
        run = run_sdk("guarded.py", environs, list(checks))
        done |= dict.fromkeys(names, run)
    return done


def sent(runs: dict[str, ClientRun], name: str, check: str) -> list[Record]:
    """What the provider got of a check."""
    records = [each for each in runs[name].records if each.header("x-test-case") == f"{name}/{check}"]
    assert records
    return records


def holds(record: Record, value: str) -> bool:
    """Whether the value stands in the request in any spelling, up to JSON in JSON."""
    spellings = {value}
    for _ in range(2):
        for text in list(spellings):
            spellings |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return any(record.holds(spelling) for spelling in spellings)


def texts_of(value: Any) -> list[str]:
    """All strings of a JSON value, and of the JSON that stands in strings."""
    match value:
        case str():
            try:
                inside = json.loads(value)
            except ValueError:
                return [value]
            return texts_of(inside) if isinstance(inside, dict) else [value]
        case list():
            return [text for item in value for text in texts_of(item)]
        case dict():
            return [text for item in value.values() for text in texts_of(item)]
    return []


# Values that come back.


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["restore", "session", "both"])
def test_the_provider_sees_placeholders_only(runs: dict[str, ClientRun], name: str, check: str) -> None:
    for record in sent(runs, name, check):
        assert [value for value in VALUES if holds(record, value)] == []
        assert SENT in texts_of(record.json)
    assert all(holds(record, value) for record in sent(runs, "plain", check) for value in VALUES)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["restore", "session", "both"])
def test_a_program_sees_no_difference(runs: dict[str, ClientRun], name: str, check: str) -> None:
    got, expected = runs[name].value(name, check), runs["plain"].value("plain", check)
    if isinstance(got, dict):
        # The provider counts what it said: placeholders.
        got, expected = got | {"tokens": 0}, expected | {"tokens": 0}
    if check == "gemini_tool":
        # This provider says the result as JSON in prose, where a value stands as it is, not escaped.
        assert json.loads(expected.pop("then").removeprefix("pong: "))["result"] in got.pop("then")
    assert got == expected


@pytest.mark.parametrize("check", WHOLE)
def test_what_is_measured_by_is_right(runs: dict[str, ClientRun], check: str) -> None:
    got = runs["plain"].value("plain", check)
    if check.endswith("_tool"):
        assert (got["name"], got["arguments"]) == ("lookup", {"city": SAY})
        assert json.dumps(SAY)[1:-1] in got["then"] if check == "gemini_tool" else SAY in got["then"]
    else:
        assert got["text"] == f"pong: {SAY}"


@pytest.mark.parametrize("check", [f"{name}_tool" for name in TEXTS])
@pytest.mark.parametrize("name", ["restore", "session", "both"])
def test_a_second_turn_sends_the_same_placeholders(runs: dict[str, ClientRun], name: str, check: str) -> None:
    """With the history of the first, in which the values stand again: what was said, the call, its result."""
    first, second = sent(runs, name, check)
    said = [text for text in texts_of(second.json) if "<PERSON_1>" in text]
    assert said == [SENT, SENT, f"the result of {SENT}"]
    assert SENT in texts_of(first.json)
    assert not any("PERSON_3" in text for text in texts_of(second.json))


@pytest.mark.parametrize("check", RUNS_OF["secret"])
def test_a_secret_comes_back_where_the_rule_says_so_only(runs: dict[str, ClientRun], check: str) -> None:
    for name, shown in (("secret", "the key [REDACTED] of"), ("trusted", f"the key {SECRET} of")):
        for record in sent(runs, name, check):
            assert not holds(record, SECRET)
            assert not holds(record, MAIL)
        got = runs[name].value(name, check)
        assert f"{shown} {MAIL}" in (got["arguments"]["city"] if "arguments" in got else got["text"])


# Masks on what comes back.

MASKED = "write to [REDACTED:email], bill 4111 1111 1111 1111 of [REDACTED]; [REDACTED] is not [REDACTED]."


@pytest.mark.parametrize("check", [check for check in CHECKS if check != "embeddings"])
def test_masks_on_what_comes_back(runs: dict[str, ClientRun], check: str) -> None:
    got, plain = runs["masked"].value("masked", check), runs["plain"].value("plain", check)
    for record in sent(runs, "masked", check)[:1]:
        assert all(holds(record, value) for value in VALUES)
    if "_tool" in check:
        assert (got["name"], got["arguments"]) == ("lookup", {"city": MASKED})
        return
    assert got["text"] == f"pong: {MASKED}"
    assert (got["finish"], got["tokens"]) == (plain["finish"], plain["tokens"])
    assert got.get("raised") is None
    if check == "responses_stream":
        assert set(got["told"].values()) == {f"pong: {MASKED}"}
        assert set(got["told"]) == set(plain["told"])
        assert got["in_order"]
    if check == "messages_stream":
        assert got["final"] == f"pong: {MASKED}"


# An answer that fails.

MESSAGE = 'response blocked by rule 0: detected PII in rule "no mail": Email Address'
WHOLE_ERRORS = {
    "chat": "PermissionDeniedError",
    "responses": "PermissionDeniedError",
    "messages": "PermissionDeniedError",
    "gemini": "ClientError",
}
STREAM_ERRORS = {
    "chat": "APIError",
    "responses": "APIError",
    "messages": "APIStatusError",
    "gemini": "APIError",
}


@pytest.mark.parametrize("check", TEXTS)
def test_an_answer_that_fails_raises(runs: dict[str, ClientRun], check: str) -> None:
    error = runs["failing"].error("failing", check)
    assert (error["error"], error["status"]) == (WHOLE_ERRORS[check], 403)
    assert MESSAGE in error["message"]
    assert MAIL not in json.dumps(error)


@pytest.mark.parametrize("check", TEXTS)
def test_a_stream_that_fails_raises_after_what_was_before(runs: dict[str, ClientRun], check: str) -> None:
    got = runs["failing"].value("failing", f"{check}_stream")
    assert got["raised"] is not None
    assert STREAM_ERRORS[check] in got["raised"]["kinds"]
    assert MESSAGE in got["raised"]["message"]
    assert got["text"].startswith("pong: all is well and all is")
    assert "pong: all is well and all is said until ".startswith(got["text"])
    assert "alice" not in json.dumps(got)
    assert got["finish"] is None


def test_what_failed_is_written_down_and_billed(
    runs: dict[str, ClientRun], gateway: Proxy, tokens: dict[str, Token]
) -> None:
    checks = RUNS_OF["failing"]
    rows = rows_of(gateway, tokens["failing"].hash, len(checks))
    for check, row in zip(checks, rows, strict=True):
        (record,) = sent(runs, "failing", check)
        assert row["error"] == MESSAGE
        assert [match["action"] for match in json.loads(row["rule_matches"])] == ["fail"]
        streamed = check.endswith("_stream")
        assert row["status"] == (200 if streamed else 403)
        assert row["output_tokens"] >= (0 if streamed else record.bill.output_tokens)
        assert row["input_tokens"] > 0


# Sessions.


def test_sessions_and_tokens_do_not_share(
    gateway: Proxy, tokens: dict[str, Token], run_sdk: Callable[..., ClientRun]
) -> None:
    """A session's second value is a second number; the same name under another token is another session."""
    orders = [
        ("a", "restore", "s1", f"to {MAIL}"),
        ("b", "restore", "s1", "to bob@x.org"),
        ("c", "restore", "s2", "to bob@x.org"),
        ("d", "both", "s1", "to carol@x.org"),
        ("e", "restore", "s1", f"to {MAIL} and bob@x.org"),
    ]
    environs = {
        case: through(gateway, "base", "unused")
        | {"TOKEN": tokens[name].key, "SAY": say, "CASE": case, "SESSION": session}
        for case, name, session, say in orders
    }
    run = run_sdk("guarded.py", environs, ["chat"])
    for case, _, _, say in orders:
        assert run.value(case, "chat")["text"] == f"pong: {say}"
    got = {record.header("x-test-case")[0]: record.json["messages"][0]["content"] for record in run.records}
    assert got == {
        "a": "to <EMAIL_1>",
        "b": "to <EMAIL_2>",
        "c": "to <EMAIL_1>",
        "d": "to <EMAIL_1>",
        "e": "to <EMAIL_1> and <EMAIL_2>",
    }


def test_the_provider_s_own_words_do_not_look_like_ours(
    gateway: Proxy, tokens: dict[str, Token], fake_provider: FakeProvider, run_sdk: Callable[..., ClientRun]
) -> None:
    """What a client itself calls <EMAIL_1> stays that; its value gets another number."""
    say = f"<EMAIL_1> is not {MAIL}, and <EMAIL_7> is nobody"
    environs = through(gateway, "base", "unused") | {"TOKEN": tokens["restore"].key, "SAY": say, "CASE": "x"}
    run = run_sdk("guarded.py", {"x": environs}, ["chat", "chat_tool", "messages_tool_stream"])
    assert run.value("x", "chat")["text"] == f"pong: {say}"
    assert run.value("x", "chat_tool")["arguments"] == {"city": say}
    assert run.value("x", "messages_tool_stream")["arguments"] == {"city": say}
    for record in run.records:
        assert not holds(record, MAIL)
        assert "<EMAIL_1> is not <EMAIL_2>, and <EMAIL_7> is nobody" in texts_of(record.json)
