from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import Any

import pytest

from tests.cli.program import Program
from tests.support.environment import BIN

Json = dict[str, Any]
MAIL, OTHER = "ada@example.com", "bob@example.org"
POLICY: Json = {
    "base_key_env": "OPENAI_API_KEY",
    "model_regex": "^gpt-",
    "rules": [
        {"type": "pii", "detect": ["email"], "action": "mask", "restore": True, "scope": "both"},
        {"name": "project", "type": "keyword", "keywords": ["bluebird"], "action": "warn", "scope": "both"},
        {"name": "words", "type": "keyword", "keywords": ["forbidden"]},
    ],
}
REQUEST: Json = {
    "model": "gpt-4o-mini",
    "max_tokens": 200,
    "messages": [
        {"role": "system", "content": "You work on Bluebird."},
        {"role": "user", "content": [{"type": "text", "text": f"To {OTHER}, {MAIL} and {OTHER}."}]},
    ],
}
ANSWER: Json = {"choices": [{"message": {"content": "<EMAIL_2> and <EMAIL_9>, not c@d.example: bluebird"}}]}
COLOUR = re.compile(r"\x1b\[[0-9;]*[0-9]m")


def write(program: Program, **files: Any) -> None:
    for name, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (program.folder / f"{name}.json").write_text(text)


def run(program: Program, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return program.run("policy", "test", "--policy", "p.json", "--request", "r.json", *words, **more)


def told(program: Program, *words: str, **more: Any) -> Json:
    done = run(program, "--json", *words, **more)
    assert (done.returncode, done.stderr) == (0, "")
    found: Json = json.loads(done.stdout)
    return found


def test_span_by_span(program: Program) -> None:
    write(program, p=POLICY, r=REQUEST, a=ANSWER)
    said = told(program, "--response", "a.json")
    assert (said["verdict"], said["refusal"], said["dialect"]) == ("forwarded", None, "openai_chat")
    assert said["route"] == {
        "entry": "$",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "url": "https://api.openai.com/v1/chat/completions",
        "key": "OPENAI_API_KEY",
    }
    first, second = said["findings"]
    assert (first["path"], first["changes"]) == ("$.messages[0].content", [])
    assert first["rules"] == [
        {
            "index": 1,
            "name": "project",
            "action": "warn",
            "message": 'matched keyword rule "project": bluebird',
        }
    ]
    assert second["path"] == "$.messages[1].content[0].text"
    assert [match["value"] for match in second["matches"]] == [OTHER, MAIL, OTHER]
    assert second["changes"] == [
        {"start": 3, "end": 18, "new": "<EMAIL_1>"},
        {"start": 20, "end": 35, "new": "<EMAIL_2>"},
        {"start": 40, "end": 55, "new": "<EMAIL_1>"},
    ]
    assert json.loads(said["body"])["messages"][1]["content"][0]["text"] == (
        "To <EMAIL_1>, <EMAIL_2> and <EMAIL_1>."
    )
    estimate = said["estimate"]
    assert (estimate["output_tokens_at_most"], estimate["price_id"]) == (
        200,
        "genai-prices:openai/gpt-4o-mini",
    )
    assert 10 < estimate["input_tokens"] < 80
    assert 0 < float(estimate["input_usd"]) < float(estimate["usd_at_most"]) < 0.001
    answer = said["response"]
    assert answer["verdict"] == "passed"
    assert json.loads(answer["body"])["choices"][0]["message"]["content"] == (
        f"{MAIL} and <EMAIL_9>, not [REDACTED]: bluebird"
    )
    assert [change.get("restored", False) for change in answer["findings"][0]["changes"]] == [True, False]


def test_a_refusal_shows_every_finding(program: Program) -> None:
    request = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "forbidden"}, {"role": "user", "content": MAIL}],
    }
    write(program, p=POLICY, r=request)
    said = told(program)
    message = 'request blocked by rule 2: matched keyword rule "words": forbidden'
    assert said["refusal"] == {"status": 403, "code": "rule_violation", "message": message}
    assert (said["body"], said["estimate"]) == (None, None)
    assert [finding["path"] for finding in said["findings"]] == [
        "$.messages[0].content",
        "$.messages[1].content",
    ]
    done = run(program)
    assert done.returncode == 0
    assert f"Verdict    403 rule_violation: {message}\n" in done.stdout
    assert "[!forbidden!]" in done.stdout


def test_a_model_that_is_refused(program: Program) -> None:
    write(program, p=POLICY, r={**REQUEST, "model": "o3"})
    done = run(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Request    POST /v1/chat/completions (openai_chat), model o3\n"
        "Rules      not asked: the request is refused before\n"
        'Verdict    403 model_not_allowed: model "o3" does not match policy regex "^gpt-"\n'
    )


def test_the_entry_and_the_fallbacks(program: Program) -> None:
    policy = {
        "providers": {
            "anthropic": [{"base_key_env": "A", "model_regex": "^claude"}],
            "openai": [{"base_key_env": "O", "model": "gpt-4o", "rules": ["nothing"]}],
        },
        "retry": {"max_retries": 1, "fallbacks": ["gpt-4o", "claude-sonnet-4-5", "o3"]},
    }
    write(program, p=policy, r={"model": "claude-haiku-4-5", "max_tokens": 5, "messages": []})
    said = told(program)
    assert (said["path"], said["route"]["entry"]) == ("/v1/messages", "$.providers.anthropic[0]")
    assert said["left_out"] == ['model "o3" matches no provider of the policy']
    assert [(way["entry"], way["model"]) for way in said["fallbacks"]] == [
        ("$.providers.openai[0]", "gpt-4o"),
        ("$.providers.anthropic[0]", "claude-sonnet-4-5"),
    ]


@pytest.mark.long
def test_the_same_twice_is_the_same_bytes(program: Program) -> None:
    write(program, p=POLICY, r=REQUEST, a=ANSWER)
    for words in (["--json"], [], ["--hide"]):
        first, second = (
            run(program, "--response", "a.json", *words, PYTHONHASHSEED=str(seed)) for seed in (1, 2)
        )
        assert first.returncode == 0
        assert first.stdout == second.stdout


def test_for_a_pipe_there_are_marks_and_no_colours(program: Program) -> None:
    write(program, p=POLICY, r=REQUEST)
    shown = run(program).stdout
    assert "\x1b" not in shown
    marked = f"To [-{OTHER}-]{{+<EMAIL_1>+}}, [-{MAIL}-]{{+<EMAIL_2>+}} and [-{OTHER}-]{{+<EMAIL_1>+}}."
    assert f"\n    {marked}\n" in shown
    assert "\n    You work on [!Bluebird!].\n" in shown
    assert "$OPENAI_API_KEY (not set here)" in shown
    assert "(not set here)" not in run(program, OPENAI_API_KEY="k" * 9).stdout


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_has_colours_unless_told_otherwise(program: Program, no_color: str) -> None:
    write(program, p=POLICY, r=REQUEST)
    master, slave = pty.openpty()
    environ = program.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    environ |= {"NO_COLOR": no_color} if no_color else {}
    words = [BIN / "tokenomics-cli", "policy", "test", "--policy", "p.json", "--request", "r.json"]
    with subprocess.Popen(words, cwd=program.folder, env=environ, stdout=slave, stderr=slave) as process:
        os.close(slave)
        output = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            output += piece
        assert process.wait() == 0
    os.close(master)
    text = output.decode()
    if no_color:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)
        assert f"[-{MAIL}-]" in COLOUR.sub("", text)
    else:
        assert f"\x1b[9;31m{MAIL}\x1b[0m\x1b[32m<EMAIL_2>\x1b[0m" in text


def test_hide_shows_no_value(program: Program) -> None:
    policy = {**POLICY, "rules": [*POLICY["rules"], {"pattern": "To [a-z]+", "action": "log"}]}
    write(program, p=policy, r=REQUEST, a=ANSWER)
    for words in (["--json"], []):
        done = run(program, "--hide", "--response", "a.json", *words)
        assert (done.returncode, done.stderr) == (0, "")
        for value in (MAIL, OTHER, "Bluebird", "c@d.example", "To bob"):
            assert value not in done.stdout, value
        assert "EMAIL_1" in done.stdout


def test_out_writes_the_masked_body(program: Program) -> None:
    raw = json.dumps({**REQUEST, "stream": True}, indent=3)
    write(program, p=POLICY, r=raw)
    done = run(program, "--out", "masked.json")
    assert done.returncode == 0
    out = program.folder / "masked.json"
    text = f"To {OTHER}, {MAIL} and {OTHER}."
    assert out.read_text() == raw.replace(text, "To <EMAIL_1>, <EMAIL_2> and <EMAIL_1>.")
    assert out.stat().st_mode & 0o777 == 0o600
    write(program, r={**REQUEST, "model": "o3"})
    refused = run(program, "--out", "none.json")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: the request is refused, so there is no body for --out; run it without\n"
    )
    assert not (program.folder / "none.json").exists()


@pytest.mark.long
def test_what_nothing_changes_leaves_byte_for_byte(program: Program) -> None:
    raw = '{ "model":"gpt-4o" ,\n "messages":[{"role":"user","content":"h\\u0069 1.50"}] }'
    write(program, p=POLICY, r=raw)
    said = told(program)
    assert (said["changed"], said["body"], said["findings"]) == (False, raw, [])
    assert "Body       the client's own, byte for byte\n" in run(program).stdout
    write(program, r=f'{{"path": "/v1/chat/completions?user={MAIL}", "body": {raw} }}')
    refused = told(program)
    message = 'request blocked by rule 0: detected PII in rule "pii": Email Address in the query of the URL'
    assert refused["refusal"]["message"] == message
    assert [finding["path"] for finding in refused["findings"]] == ["query"]
    write(program, r=f'{{"headers": {{"X-Session-ID": "s1"}}, "body": {raw} }}')
    again = told(program)
    assert (again["body"], again["session"]) == (raw, "s1")


@pytest.mark.long
@pytest.mark.parametrize(
    ("request_text", "path", "dialect"),
    [
        ('{"model":"gpt-4o","messages":[]}', "/v1/chat/completions", "openai_chat"),
        ('{"model":"claude-x","messages":[]}', "/v1/messages", "anthropic_messages"),
        ('{"model":"m","system":"s","messages":[]}', "/v1/messages", "anthropic_messages"),
        (
            '{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]}',
            "/v1/messages",
            "anthropic_messages",
        ),
        ('{"model":"m","messages":[],"tools":[{"input_schema":{}}]}', "/v1/messages", "anthropic_messages"),
        ('{"model":"gpt-4o","input":"x"}', "/v1/responses", "openai_responses"),
        ('{"model":"text-embedding-3-small","input":"x"}', "/v1/embeddings", "openai_embeddings"),
        ('{"model":"m","prompt":"x"}', "/v1/completions", "openai_completions"),
        ('{"model":"gemini-x","contents":[]}', "/v1beta/models/gemini-x:generateContent", "gemini"),
        ('{"what":"x"}', "/", "unknown"),
        (
            '{"headers":{"Anthropic-Version":"1"},"body":{"model":"m","messages":[]}}',
            "/v1/messages",
            "anthropic_messages",
        ),
        ('{"path":"/api/chat","body":{"model":"m","messages":[]}}', "/api/chat", "ollama_chat"),
    ],
)
def test_the_format_is_told_by_the_body(program: Program, request_text: str, path: str, dialect: str) -> None:
    write(program, p={"base_key_env": "K"}, r=request_text)
    said = told(program)
    assert (said["path"], said["dialect"]) == (path, dialect)


@pytest.mark.parametrize(
    ("files", "words", "error"),
    [
        ({"r": "{"}, [], "request file r.json holds no JSON: "),
        (
            {"r": "[1]"},
            [],
            "request file r.json holds no JSON object; give the body of a request, or"
            ' {"method", "path", "headers", "body"}\n',
        ),
        (
            {"r": '{"contents": []}'},
            [],
            "a Gemini request has its model in its path; give --path /v1beta/models/MODEL:generateContent\n",
        ),
        (
            {"r": '{"path": 1, "body": {}}'},
            [],
            "request file r.json: path is not a string; write it in quotes\n",
        ),
        (
            {"r": '{"headers": [], "body": {}}'},
            [],
            'request file r.json: headers is not an object of strings; write {"name": "value"}\n',
        ),
        ({}, ["--path", "v1"], 'the path v1 begins with no slash; write one such as "/v1/messages"\n'),
        (
            {},
            ["--response", "no.json"],
            "response file no.json: No such file or directory; check the path\n",
        ),
        ({"a": "data: x"}, ["--response", "a.json"], "response file a.json holds no JSON: "),
        ({"p": "{}"}, [], "invalid policy: base_key_env is required (or at least one provider)\n"),
    ],
)
def test_errors_are_one_line_with_a_remedy(
    program: Program, files: dict[str, str], words: list[str], error: str
) -> None:
    write(program, **{"p": POLICY, "r": REQUEST, **files})
    done = run(program, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {error}")
    assert len([line for line in done.stderr.splitlines() if not line.startswith("  ")]) == 1


def test_standard_input_is_one_of_the_files(program: Program) -> None:
    write(program, p=POLICY)
    words = ("policy", "test", "--policy", "p.json", "--request", "-", "--json")
    done = program.run(*words, stdin=json.dumps(REQUEST))
    assert json.loads(done.stdout)["verdict"] == "forwarded"
    both = program.run("policy", "test", "--policy", "-", "--request", "-")
    assert both.stderr == ("Error: standard input can be only one of the files; give the others by name\n")


def test_keys_are_asked_for_when_wanted(program: Program) -> None:
    write(program, p=POLICY, r=REQUEST)
    said = told(program, "--keys")
    assert said["refusal"] == {
        "status": 500,
        "code": "key_not_set",
        "message": 'base key env "OPENAI_API_KEY" is not set',
    }
    assert told(program, "--keys", OPENAI_API_KEY="sk-" + "x" * 20)["verdict"] == "forwarded"
