"""The real rules on streams of every format: the deltas say what comes out of the unsplit text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guard.stream_cases import CASES, Case
from tests.guard.test_filter import compiled, cuts, texts, vault
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.guard.spans import Span
from tokenomics_core.guard.verdict import Hit
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.policy.schema import Rule

NAMES = [case.name for case in CASES]


def answer_guard(*, restore: bool = True) -> AnswerGuard:
    hits: list[Hit] = []
    return AnswerGuard(compiled("everything"), vault() if restore else None, hits.append)


def is_tool(case: Case) -> bool:
    return "tool" in case.name or "arguments" in case.name or "input" in case.name


def said(case: Case, deltas: list[str], whole: str, chunks: Sequence[int] = ()) -> str:
    """What the client reads of a stream with these deltas, as one text."""
    stream = answer_guard().stream(case.framing)
    data = case.data(deltas, whole)
    stops = sorted({place % (len(data) + 1) for place in chunks} | {0, len(data)})
    out = b"".join(stream.feed(data[a:b]) for a, b in pairwise(stops)) + stream.close()
    return "".join(case.deltas(case.events(out)))


def pieces(text: str, places: Sequence[int]) -> list[str]:
    stops = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(stops)]


def expected(case: Case, text: str) -> str:
    form: Any = "json" if is_tool(case) else "text"
    masked = answer_guard()._whole(Span((), text, form))
    return text if masked is None else masked


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@settings(max_examples=40, deadline=None)
@given(text=texts, places=cuts, chunks=st.lists(st.integers(0, 10**6), max_size=4))
def test_a_stream_says_what_the_whole_would(
    case: Case, text: str, places: list[int], chunks: list[int]
) -> None:
    text = json.dumps({"say": text}) if is_tool(case) else text or "."
    assert said(case, pieces(text, places), text, chunks) == expected(case, text)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_two_cuts_of_a_short_text(case: Case) -> None:
    text = "to a@b.co, <EMAIL_2>!"
    if is_tool(case):
        text = json.dumps({"q": text})
    whole = expected(case, text)
    assert "[REDACTED:email]" in whole
    assert "user1@" in whole
    for places in combinations(range(len(text) + 1), 2):
        assert said(case, pieces(text, places), text) == whole


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_no_rule_covers_keeps_its_bytes(case: Case) -> None:
    text = json.dumps({"say": "hello"}) if is_tool(case) else "Hello, and welcome to 2026. "
    data = case.data(list(text), text)
    stream = answer_guard().stream(case.framing)
    assert stream.feed(data) + stream.close() == data


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_violation_gives_nothing_of_the_value(case: Case) -> None:
    rules = [Rule.model_validate({"type": "pii", "detect": ["email"], "scope": "output"})]
    hits: list[Hit] = []
    stream = AnswerGuard(CompiledRules(rules, "output"), None, hits.append).stream(case.framing)
    text = json.dumps({"q": "now a@b.co "}) if is_tool(case) else "now a@b.co is here"
    data = case.data(list(text), text)
    out = b""

    def feed() -> None:
        nonlocal out
        for at in range(0, len(data), 7):
            out += stream.feed(data[at : at + 7])
        out += stream.close()

    with pytest.raises(RuleViolation):
        feed()
    assert b"a@b" not in out + stream.settled
    assert [hit.action for hit in hits] == ["fail"]


def test_a_whole_answer() -> None:
    body = {
        "id": "chatcmpl-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "mail a@b.co or <EMAIL_1>",
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "send", "arguments": '{"to": "<EMAIL_1>", "cc": "a@b.co"}'},
                        }
                    ],
                },
                "logprobs": {"content": [{"token": "a@b.co"}]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1234567890, "completion_tokens": 3},
    }
    raw = json.dumps(body, indent=1).encode()
    value = json.loads(answer_guard().body(raw))
    message = value["choices"][0]["message"]
    assert message["content"] == 'mail [REDACTED:email] or user0@"example".com'
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {
        "to": 'user0@"example".com',
        "cc": "[REDACTED:email]",
    }
    assert value["choices"][0]["logprobs"] is None
    assert value["usage"] == body["usage"]
    clean = raw.replace(b"a@b.co", b"nobody").replace(b"<EMAIL_1>", b"nobody")
    assert answer_guard().body(clean) == clean


def test_what_a_response_tells_of_its_request_is_the_clients_own() -> None:
    rules = CompiledRules(
        [Rule.model_validate({"type": "pii", "detect": ["email"], "scope": "output"})], "output"
    )
    hits: list[Hit] = []
    stream = AnswerGuard(rules, vault(), hits.append).stream("sse")
    created = {"id": "r", "instructions": "write to a@b.co and <EMAIL_1>", "output": []}
    data = b"data: " + json.dumps({"type": "response.created", "response": created}).encode() + b"\n\n"
    out = stream.feed(data) + stream.close()
    value = json.loads(out.removeprefix(b"data: "))
    assert value["response"]["instructions"] == 'write to a@b.co and user0@"example".com'
    assert hits == []


def test_a_hit_is_told_once_for_an_answer() -> None:
    rules = CompiledRules(
        [Rule.model_validate({"type": "pii", "detect": ["email"], "scope": "output", "action": "mask"})],
        "output",
    )
    hits: list[Hit] = []
    guard = AnswerGuard(rules, None, hits.append)
    case = next(case for case in CASES if case.name == "responses")
    stream = guard.stream(case.framing)
    stream.feed(case.data(["a@b", ".co is"], "a@b.co is"))
    stream.close()
    assert [hit.message for hit in hits] == ['detected PII in rule "pii": Email Address']
