"""The dry run as a function: the steps of the gateway on one request, and what is told of each text."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.config import load_config
from tokenomics_core.guard import dry_run_steps
from tokenomics_core.guard.dry_run import DryRun, dry_run
from tokenomics_core.guard.dry_run_path import NoPath, guess_path
from tokenomics_core.guard.dry_run_steps import Request, Setting
from tokenomics_core.guard.inspection import inspect
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.spans import request_spans
from tokenomics_core.meter.prices import Prices
from tokenomics_core.meter.tokenizer import Tokenizer
from tokenomics_core.policy import compile, parse
from tokenomics_core.providers import load_catalogue
from tokenomics_core.routing import Defaults

Json = dict[str, Any]
MAIL = "ada@example.com"


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder: Path = tmp_path_factory.mktemp("setting")
    config = load_config(path=None, dir=str(folder), db=None, environ={}, cwd=folder, home=folder)
    return Setting(
        catalogue=load_catalogue(config, folder, folder, {}),
        defaults=Defaults(config.default_provider, config.server.upstream_url),
        prices=Prices(),
        tokenizer=Tokenizer(),
        now=datetime(2026, 3, 2, tzinfo=UTC),
    )


def run(
    setting: Setting,
    policy: Json,
    body: Any,
    path: str = "/v1/chat/completions",
    *,
    query: str = "",
    answer: Any = None,
    **headers: str,
) -> DryRun:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    compiled = compile(parse(json.dumps({"base_key_env": "K", **policy})))
    request = Request("POST", path, raw, query, headers)
    given = None if answer is None else json.dumps(answer).encode()
    return asyncio.run(dry_run(compiled, request, setting, given))


def chat(*texts: str) -> Json:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text} for text in texts]}


def mail(**fields: Any) -> Json:
    return {"rules": [{"type": "pii", "detect": ["email"], "action": "mask", **fields}]}


@pytest.mark.parametrize(
    ("body", "path", "masked"),
    [
        (chat(MAIL), "/v1/chat/completions", chat("[REDACTED]")),
        ({"model": "m", "input": MAIL}, "/v1/embeddings", {"model": "m", "input": "[REDACTED]"}),
        ([{"deep": [MAIL]}], "/other", [{"deep": ["[REDACTED]"]}]),
    ],
)
def test_what_is_masked(setting: Setting, body: Any, path: str, masked: Any) -> None:
    said = run(setting, mail(), body, path)
    assert said.refusal is None
    assert said.body is not None
    assert json.loads(said.body) == masked
    assert said.body == json.dumps(body).replace(MAIL, "[REDACTED]").encode()
    [finding] = said.findings
    assert [finding.text[match.start : match.end] for match in finding.matches] == [MAIL]


def test_plain_text_is_looked_at(setting: Setting) -> None:
    said = run(setting, mail(), f"mail {MAIL}".encode(), "/other", **{"content-type": "text/plain"})
    assert (said.body, said.findings[0].path) == (b"mail [REDACTED]", "$")


def test_a_member_name_is_told_apart(setting: Setting) -> None:
    said = run(setting, mail(), {"model": "m", "metadata": {MAIL: 1}}, "/other")
    [finding] = said.findings
    assert (finding.path, finding.name) == (f'$.metadata["{MAIL}"]', True)


@pytest.mark.parametrize(
    ("policy", "body", "path", "code", "message"),
    [
        ({}, b"{", "/v1/messages", "invalid_json", "invalid JSON body: "),
        ({}, b"", "/v1/messages", "invalid_json", "invalid JSON body"),
        (
            {"unknown_paths": "deny"},
            {},
            "/other",
            "path_not_allowed",
            "this path is not one that the policy allows",
        ),
        (
            {},
            {},
            "/v1/realtime/client_secrets",
            "path_not_allowed",
            "this path hands out a credential that leads around the gateway",
        ),
        (
            mail(action="fail"),
            {"model": "m", "input": [[1, 2]]},
            "/v1/embeddings",
            "not_inspected",
            "the policy's content rules cannot look into token ids, so none pass",
        ),
    ],
)
def test_refusals(setting: Setting, policy: Json, body: Any, path: str, code: str, message: str) -> None:
    said = run(setting, policy, body, path)
    assert said.refusal is not None
    assert said.refusal.code == code
    assert said.refusal.message.startswith(message)
    assert said.body is None


def test_token_ids_pass_where_the_policy_says_so(setting: Setting) -> None:
    policy = {**mail(action="fail"), "uninspected": "allow"}
    assert run(setting, policy, {"model": "m", "input": [1, 2]}, "/v1/embeddings").refusal is None


def test_a_value_in_the_query_is_refused(setting: Setting) -> None:
    said = run(setting, mail(), chat("x"), query="user=ada%40example.com")
    assert said.refusal is not None
    message = 'request blocked by rule 0: detected PII in rule "pii": Email Address in the query of the URL'
    assert said.refusal.message == message
    assert [finding.path for finding in said.findings] == ["query"]


def test_a_fallback_whose_rules_refuse_is_left_out(setting: Setting) -> None:
    entry = {"base_key_env": "K", "model": "o3", "rules": [{"pattern": "hello", "name": "hi"}]}
    policy = {"providers": {"openai": [entry]}, "retry": {"fallbacks": ["o3"]}}
    said = run(setting, policy, chat("hello"))
    assert [attempt.model for attempt in said.exchange.attempts] == ["gpt-4o"]
    assert said.left_out == ['request blocked by rule 0: matched regex rule "hi"']
    assert len(run(setting, policy, chat("bye")).exchange.attempts) == 2


def test_placeholders_avoid_the_clients_own_words(setting: Setting) -> None:
    said = run(setting, mail(restore=True), chat(f"{MAIL} is not <EMAIL_1>", MAIL))
    assert [finding.changes[0].new for finding in said.findings] == ["<EMAIL_2>", "<EMAIL_2>"]
    assert b"<EMAIL_2> is not <EMAIL_1>" in (said.body or b"")


def test_an_answer_is_looked_at_and_restored(setting: Setting) -> None:
    policy = mail(restore=True, scope="both")
    answer = {"choices": [{"message": {"content": "<EMAIL_1>, c@d.example"}}]}
    answered = run(setting, policy, chat(MAIL), answer=answer).answered
    assert answered is not None
    assert answered.body is not None
    assert json.loads(answered.body)["choices"][0]["message"]["content"] == f"{MAIL}, [REDACTED]"
    fails = run(setting, mail(action="fail", scope="output"), chat("x"), answer=answer).answered
    assert fails is not None
    assert fails.refusal is not None
    message = 'response blocked by rule 0: detected PII in rule "pii": Email Address'
    assert (fails.refusal.code, fails.refusal.message, fails.body) == ("rule_violation", message, None)


def test_a_rule_that_cannot_be_checked(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*anything: Any) -> None:
        raise RuleFailed(0, "email: KeyError")

    monkeypatch.setattr(dry_run_steps, "inspect", fails)
    said = run(setting, mail(name="no mail"), chat(MAIL))
    assert said.refusal is not None
    assert (said.refusal.status, said.refusal.message) == (
        500,
        'rule 0 "no mail" could not be checked, so nothing passes',
    )


WORDS = st.sampled_from(
    [MAIL, "b@c.example", "4111 1111 1111 1111", "DAN:", "hello", "<EMAIL_1>", '"\\', "é"]
)
POLICIES = st.sampled_from(
    [
        mail(),
        mail(restore=True),
        mail(style="partial", action="mask"),
        {"rules": [*mail()["rules"], {"type": "jailbreak", "action": "mask"}]},
        {"rules": [*mail()["rules"], {"pattern": "[a-z]+@", "action": "warn"}]},
    ]
)


@given(texts=st.lists(st.lists(WORDS, max_size=5).map(" ".join), min_size=1, max_size=4), policy=POLICIES)
def test_the_changes_that_are_told_are_those_that_are_made(
    setting: Setting, texts: list[str], policy: Json
) -> None:
    """Each told change, made by hand in its text, gives the text that leaves."""
    said = run(setting, policy, chat(*texts))
    assert said.body is not None
    made = list(texts)
    for finding in said.findings:
        index = int(finding.path.split("[")[1].split("]")[0])
        for change in reversed(finding.changes):
            made[index] = made[index][: change.start] + change.new + made[index][change.end :]
    assert [message["content"] for message in json.loads(said.body)["messages"]] == made
    again = run(setting, policy, chat(*texts))
    assert (again.body, again.findings) == (said.body, said.findings)


@given(texts=st.lists(st.lists(WORDS, max_size=5).map(" ".join), min_size=1, max_size=4))
def test_the_hits_are_the_gateways(setting: Setting, texts: list[str]) -> None:
    policy = {
        "rules": [
            {"type": "pii", "detect": ["all"], "action": "log"},
            {"type": "jailbreak", "action": "warn"},
        ]
    }
    body = chat(*texts)
    said = run(setting, policy, body)
    rules = parse(json.dumps({"base_key_env": "K", **policy})).rules
    hits = inspect(setting.rulebook.compiled(rules).input, request_spans(body), body).hits
    assert [hit for finding in said.findings for hit in finding.hits] == hits


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": []}, "/v1/chat/completions"),
        ({"messages": [], "model": "anthropic/claude-x"}, "/v1/chat/completions"),
        ({"messages": [], "model": "claude-x"}, "/v1/messages"),
        ({"messages": [], "stop_sequences": []}, "/v1/messages"),
        ({"messages": [{"content": [{"type": "thinking"}]}]}, "/v1/messages"),
        ({"messages": [{"content": [{"type": "image_url"}]}]}, "/v1/chat/completions"),
        ({"messages": "x", "tools": "y"}, "/v1/chat/completions"),
        ({"input": [], "dimensions": 3}, "/v1/embeddings"),
        ({"instructions": "x"}, "/v1/responses"),
        ({"prompt": "x"}, "/v1/completions"),
        ({"contents": [], "model": "models/g"}, "/v1beta/models/g:generateContent"),
        ({"model": 7}, "/"),
        ({}, "/"),
    ],
)
def test_the_path_of_a_shape(body: Json, path: str) -> None:
    assert guess_path(body) == path


def test_a_gemini_body_does_not_say_its_model() -> None:
    with pytest.raises(NoPath, match="give --path /v1beta/models/MODEL:generateContent"):
        guess_path({"contents": []})
