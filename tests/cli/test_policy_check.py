from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.program import Program
from tokenomics_core.guard.detectors import GROUPS, detectors

POLICY = """{"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt-4", "max_tokens": 100000,
    "rate_limit": {"max_parallel": 4, "rules": [{"requests": 60, "window": "1m"}]},
    "budgets": [{"limit": "12.50", "period": "month", "name": "team", "timezone": "Europe/Berlin"},
                {"limit": 900, "unit": "tokens", "scope": "session", "action": "warn"}],
    "rules": [
        {"name": "no mail", "type": "pii", "detect": ["email", "secrets"], "action": "mask", "style": "typed",
         "restore": true, "scope": "both", "min_score": 0.6},
        {"type": "keyword", "keywords": ["blue", "red"]},
        "forbidden"],
    "providers": {"anthropic": [{"base_key_env": "ANTHROPIC_API_KEY", "model_regex": "^claude",
                                 "rules": [{"type": "jailbreak", "threshold": 0.7}]}]}}""".replace(
    '"forbidden"', '{"pattern": "proj-\\\\d+", "action": "warn"}'
)

TOLD = """\
The policy is valid.

Models:     matching ^gpt-4; the first of these that matches:
Key:        $OPENAI_API_KEY, for the default provider
Providers:  anthropic: matching ^claude, $ANTHROPIC_API_KEY, 1 rule
Limits:     100,000 tokens in all
            60 requests per 1m, sliding
            4 requests at a time
Budgets:    team: $12.50 per month, Europe/Berlin
            900 tokens in all, for each session, only warns
Rules:      4
  0 "no mail" pii email (Email Address), secrets (SECRETS detectors): mask on input and output, typed, \
restored in the answer, min_score 0.6
  1 keyword blue, red: fail on input
  2 regex proj-\\d+: warn on input
  3 [anthropic] jailbreak: fail on input, threshold 0.7

Warnings:   none
"""


def check(program: Program, policy: str, *words: str) -> Any:
    (program.folder / "p.json").write_text(policy)
    return program.run("policy", "check", "p.json", *words)


def test_what_a_policy_says(program: Program) -> None:
    done = check(program, POLICY)
    assert (done.returncode, done.stderr) == (0, "")
    secrets = sum(detector.kind == "secret" for detector in detectors().values())
    assert done.stdout == TOLD.replace("SECRETS", str(secrets))
    assert not program.data.exists()
    assert list((program.folder / "home").iterdir()) == []
    assert program.run("policy", "check", "-", stdin=POLICY).stdout == done.stdout


def test_the_same_for_programs(program: Program) -> None:
    done = check(program, POLICY, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["valid"], told["error"], told["warnings"]) == (True, None, [])
    assert [budget["limit"] for budget in told["budgets"]] == ["12.5", "900"]
    assert told["providers"][0]["path"] == "$.providers.anthropic[0]"
    assert [rule["index"] for rule in told["rules"]] == [0, 1, 2, 3]
    assert told["rules"][1] == {
        "index": 1,
        "path": "$.rules[1]",
        "provider": None,
        "name": None,
        "type": "keyword",
        "finds": ["blue", "red"],
        "action": "fail",
        "scope": "input",
        "style": None,
        "restore": False,
        "restore_secrets": False,
        "min_score": None,
        "threshold": None,
        "strict": False,
        "on_error": "fail",
    }
    assert told["rules"][3]["path"] == "$.providers.anthropic[0].rules[0]"
    assert check(program, POLICY, "--json").stdout == done.stdout


ODD = """{"base_key_env": "K", "rules": [{"pattern": "a"}, {"pattern": "a", "action": "warn", "acton": 1}],
    "max_tokens": -1}"""
WARNINGS = [
    ("$.rules[1].acton", 'unknown field "acton" has no effect; did you mean "action"?'),
    ("$.max_tokens", "-1 is negative and counts as not set"),
    ("$.rules[1]", "has no effect: $.rules[0] refuses everything that it finds"),
]


def test_warnings(program: Program) -> None:
    done = check(program, ODD)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[lines.index("Warnings:   3") + 1 :] == [f"  {path}: {message}" for path, message in WARNINGS]
    strict = check(program, ODD, "--strict")
    assert (strict.returncode, strict.stdout, strict.stderr) == (1, done.stdout, "")
    told = json.loads(check(program, ODD, "--json").stdout)
    assert told["warnings"] == [{"path": path, "message": message} for path, message in WARNINGS]
    assert check(program, POLICY, "--strict").returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "policy",
    [
        "{",
        "[]",
        "{}",
        '{"base_key_env": 7}',
        '{"base_key_env": "K", "rules": [{"pattern": "("}]}',
        '{"base_key_env": "K", "rules": [{"pattern": "(?<=a)b"}]}',
        '{"base_key_env": "K", "rules": [{"type": "pii", "detect": ["emial"]}]}',
        '{"base_key_env": "K", "budgets": [{"limit": -1}]}',
    ],
)
def test_an_invalid_policy_is_the_error_of_token_create(program: Program, policy: str) -> None:
    done = check(program, policy)
    assert (done.returncode, done.stdout) == (1, "")
    created = program.token("create", "--policy", "@p.json")
    assert done.stderr == created.stderr
    assert done.stderr.startswith("Error: invalid policy: ")
    told = check(program, policy, "--json")
    assert (told.returncode, told.stderr) == (1, "")
    said = json.loads(told.stdout)
    assert (said["valid"], said["rules"]) == (False, [])
    assert done.stderr.startswith(f"Error: invalid policy: {said['error']['message']}\n")


def test_values_of_keys_are_not_shown(program: Program) -> None:
    key = "sk-" + "proj-AbCdEf0123456789"
    policy = {"base_key_env": key, "upstream_url": "https://api.example.com/v1"}
    for words in ([], ["--json"]):
        done = check(program, json.dumps(policy), *words)
        assert done.returncode == 0
        assert key not in done.stdout + done.stderr
        assert "not a variable's name" in done.stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["check", "none.json"], "policy file none.json: No such file or directory; check the path"),
        (["test", "--policy", "p.json"], 'required flag(s) "request" not set'),
        (["replay"], 'required flag(s) "policy" not set'),
    ],
)
def test_what_is_missing_is_told_in_one_line(program: Program, words: list[str], error: str) -> None:
    done = program.run("policy", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == f"Error: {error}"


def test_detectors(program: Program) -> None:
    done = program.run("policy", "detectors", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert [each["name"] for each in told["detectors"]] == list(detectors())
    assert [each["name"] for each in told["groups"]] == list(GROUPS)
    for each in told["detectors"]:
        assert list(each) == ["name", "label", "kind", "family", "example"]
        whole = [text.replace("«", "").replace("»", "") for text in detectors()[each["name"]].found]
        assert each["example"] not in whole or len(each["example"]) <= 4
    shown = program.run("policy", "detectors").stdout
    assert "\x1b" not in shown
    for name in detectors():
        assert f" {name} " in shown


def test_help_of_the_program_does_not_load_the_commands(program: Program) -> None:
    code = "import sys, tokenomics_cli.app; print([m for m in sys.modules if 'policy' in m or 'guard' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    code = "import sys, tokenomics_cli.policy; print([m for m in sys.modules if 'tokenomics_core' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
