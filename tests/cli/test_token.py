from __future__ import annotations

import json
import re
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.program import Program
from tokenomics_core.tokens import hash_token, looks_like_token

POLICY = '{"base_key_env":"OPENAI_API_KEY","max_tokens":1000}'
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_create_shows_the_token_once(program: Program) -> None:
    out = program.ok("create", "--policy", POLICY)
    shown = re.fullmatch(
        "Token created successfully.\n"
        "WARNING: [^\n]+\n"
        "\n"
        "  Token:   (tkn_[0-9a-f-]{36})\n"
        "  Hash:    ([0-9a-f]{64})\n"
        "\n",
        out,
    )
    assert shown
    assert looks_like_token(shown[1])
    key = (program.data / "keys" / "hash.key").read_bytes().strip()
    assert hash_token(shown[1], key) == shown[2]
    for file in program.data.rglob("*"):
        assert file.is_dir() or shown[1].encode() not in file.read_bytes()
        assert file.is_dir() or b"OPENAI_API_KEY" not in file.read_bytes()
        if file.name != ".gitignore":
            assert _mode(file) == (0o700 if file.is_dir() else 0o600)


def test_create_with_everything(program: Program) -> None:
    out = program.ok(
        "create", "--policy", POLICY, "--expires", "2099-01-31T02:00:00+02:00", "--label", "für CI"
    )
    assert "  Expires: 2099-01-31T02:00:00+02:00\n  Label:   für CI\n" in out
    made = program.json("create", "--policy", POLICY, "--expires", "30d", TOKENOMICS_HASH_KEY="")
    assert list(made) == [
        "token",
        "hash",
        "label",
        "status",
        "created_at",
        "expires_at",
        "last_used_at",
        "warnings",
    ]
    assert looks_like_token(made["token"])
    assert (made["label"], made["status"], made["last_used_at"], made["warnings"]) == (
        None,
        "active",
        None,
        [],
    )
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lasts.total_seconds() == 30 * 86400


def test_create_with_keys_from_the_environment(program: Program) -> None:
    environ = {"TOKENOMICS_HASH_KEY": "my key", "TOKENOMICS_ENCRYPTION_KEY": "my secret"}
    made = program.json("create", "--policy", POLICY, **environ)
    assert made["hash"] == hash_token(made["token"], b"my key")
    assert not (program.data / "keys").exists()
    done = program.token("list")
    assert done.returncode == 1
    assert re.fullmatch(
        r"Error: token database .*: its tokens were hashed with another key .*\n", done.stderr
    )


def test_the_policy_may_stand_in_a_file(program: Program) -> None:
    text = '{\n  "base_key_env": "OPENAI_API_KEY",\n  "max_tokens": 1e3\n}\n'.replace("1e3", "1000")
    (program.folder / "policy.json").write_text(text)
    made = program.json("create", "--policy", "@policy.json")
    assert program.json("get", "--hash", made["hash"])["policy"] == json.loads(text)
    done = program.run(
        "token", "create", "--policy", "@-", "--json", "--dir", str(program.data), stdin=POLICY
    )
    assert done.returncode == 0
    done = program.token("create", "--policy", "@missing.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: policy file missing.json: No such file or directory; check the path\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--policy", "nonsense"], "Error: invalid policy: invalid policy JSON: "),
        (["--policy", "{}"], "Error: invalid policy: base_key_env is required (or at least one provider)\n"),
        (
            ["--policy", '{"base_key_env":"K","rules":[{"type":"regex","pattern":"("}]}'],
            'Error: invalid policy: global rule 0: invalid rule regex "(": ',
        ),
        (
            ["--policy", POLICY, "--expires", "1.5d"],
            'Error: invalid expiration "1.5d": use a duration (24h, 7d, 30d, 1y), RFC3339 timestamp, ',
        ),
        (["--policy", POLICY, "--expires", "-1h"], "Error: expiration must be positive, got -1h\n"),
        (["--policy", POLICY, "--expires", "clear"], "Error: 'clear' takes an expiry away in token update"),
        (["--policy", POLICY, "--label", "a\nb"], "Error: a label is one line"),
        ([], 'Error: required flag(s) "policy" not set\nUsage: tokenomics-cli token create [OPTIONS]\n'),
        (["--policy"], "Error: Option '--policy' requires an argument"),
        (["--polcy", "{}"], "Error: unknown flag: --polcy; did you mean --policy?\nUsage: "),
    ],
)
def test_create_refuses(program: Program, words: list[str], error: str) -> None:
    done = program.token("create", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(error)
    assert "Traceback" not in done.stderr
    assert program.json("list") == []


def test_a_bad_policy_is_located(program: Program) -> None:
    done = program.token("create", "--policy", '{"base_key_env":"K","rules":["ok","("]}')
    assert done.stderr.splitlines()[1:] == ["  at $.rules[1].pattern"]


def test_unknown_fields_are_pointed_out(program: Program) -> None:
    policy = '{"base_key_env":"K","max_token":5}'
    done = program.token("create", "--policy", policy)
    assert done.returncode == 0
    assert done.stdout.startswith("Token created successfully.")
    assert done.stderr.startswith("Warning: $.max_token: unknown field ")
    assert "max_tokens" in done.stderr
    made = program.json("create", "--policy", policy)
    assert [text.split(":")[0] for text in made["warnings"]] == ["$.max_token"]


def test_get(program: Program) -> None:
    made = program.json("create", "--policy", POLICY)
    out = program.ok("get", "--hash", made["hash"])
    assert out == (
        f"Hash:       {made['hash']}\n"
        f"Created:    {made['created_at']}\n"
        "Expires:    never\n"
        "Policy:\n"
        '{\n  "base_key_env": "OPENAI_API_KEY",\n  "max_tokens": 1000\n}\n'
    )
    assert program.ok("get", "--hash", made["hash"][:8].upper()) == out
    got = program.json("get", "--hash", made["hash"][:12])
    assert got == {key: value for key, value in made.items() if key not in ("token", "warnings")} | {
        "policy": json.loads(POLICY)
    }


@pytest.mark.parametrize(
    ("expires", "status"), [("2020-01-01T00:00:00Z", "EXPIRED"), ("2099-01-01T00:00:00Z", "active")]
)
def test_the_state_of_an_expiry_is_shown(program: Program, expires: str, status: str) -> None:
    made = program.json("create", "--policy", POLICY, "--expires", expires)
    line = f"Expires:    {expires} ({status})\n"
    assert line in program.ok("get", "--hash", made["hash"])
    assert line in program.ok("list")
    assert made["status"] == status.lower()


def test_what_is_not_found(program: Program) -> None:
    for _ in range(2):
        assert program.ok("get", "--hash", "0" * 64) == "Token not found.\n"
        assert program.ok("get", "--hash", "no such hash") == "Token not found.\n"
        assert program.json("get", "--hash", "0" * 64) is None
        for verb, more in (("update", ["--expires", "1d"]), ("delete", [])):
            done = program.token(verb, "--hash", "0" * 64, *more)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith(f"Error: {verb} token: {'0' * 64}: token not found")
        # The second time with a database that has a token.
        program.ok("create", "--policy", POLICY)


def test_reading_makes_no_files(program: Program) -> None:
    assert program.ok("list") == "No tokens found.\n"
    assert program.json("list") == []
    assert program.ok("purge") == "Purged 0 expired tokens.\n"
    assert not program.data.exists()
    assert [path.name for path in program.folder.iterdir() if path.is_dir()] == ["home"]
    assert list((program.folder / "home").iterdir()) == []


def test_prefixes(program: Program) -> None:
    program.ok("create", "--policy", POLICY)
    made = program.json("create", "--policy", POLICY)
    done = program.token("get", "--hash", made["hash"][:7])
    assert (done.returncode, done.stderr) == (
        1,
        "Error: --hash needs the whole hash, or at least 8 characters of its beginning\n",
    )
    done = program.token("get", "--hash", made["token"])
    assert (done.returncode, done.stderr) == (
        1,
        "Error: --hash takes the hash that token create printed, not the token\n",
    )
    raw = sqlite3.connect(program.data / "tokenomics.db")
    raw.execute(
        "INSERT INTO tokens SELECT ?, policy, key_id, created_at, '', '', 0 FROM tokens LIMIT 1",
        (made["hash"][:20] + "0" * 44,),
    )
    raw.commit()
    raw.close()
    done = program.token("delete", "--hash", made["hash"][:20])
    assert done.returncode == 1
    assert (
        done.stderr == f"Error: 2 tokens begin with {made['hash'][:20]}; give more characters of the hash\n"
    )
    assert program.ok("delete", "--hash", made["hash"][:63]) == "Token deleted.\n"


def test_list(program: Program) -> None:
    assert program.ok("list") == "No tokens found.\n"
    rich = {
        "base_key_env": "OPENAI_API_KEY",
        "upstream_url": "https://example.com",
        "model": "gpt-4o",
        "model_regex": "^gpt",
        "max_tokens": 1000,
        "prompts": [{"role": "system", "content": "Be brief."}],
        "rules": ["one", "two"],
    }
    poor = {"providers": {"openai": [{"base_key_env": "K"}]}}
    first = program.json("create", "--policy", json.dumps(rich), "--expires", "2099-01-01T00:00:00Z")
    second = program.json("create", "--policy", json.dumps(poor), "--label", "the other")
    blocks = {
        first["hash"]: (
            f"Hash:       {first['hash']}\n"
            f"Created:    {first['created_at']}\n"
            "Expires:    2099-01-01T00:00:00Z (active)\n"
            "Key Env:    OPENAI_API_KEY\n"
            "Upstream:   https://example.com\n"
            "Model:      gpt-4o\n"
            "Model Regex: ^gpt\n"
            "Max Tokens: 1000\n"
            "Prompts:    1\n"
            "Rules:      2\n"
            "---\n"
        ),
        second["hash"]: (
            f"Hash:       {second['hash']}\n"
            f"Created:    {second['created_at']}\n"
            "Label:      the other\n"
            "Key Env:    \n"
            "Prompts:    0\n"
            "Rules:      0\n"
            "---\n"
        ),
    }
    assert program.ok("list") == "".join(blocks[hash] for hash in sorted(blocks))
    assert [item["hash"] for item in program.json("list")] == sorted(blocks)


def test_a_record_that_was_altered_is_skipped_and_told(program: Program) -> None:
    made = program.json("create", "--policy", POLICY, "--expires", "1d")
    raw = sqlite3.connect(program.data / "tokenomics.db")
    raw.execute("UPDATE tokens SET expires_at = '2099-01-01T00:00:00Z'")
    raw.commit()
    raw.close()
    done = program.token("list")
    assert (done.returncode, done.stdout) == (0, "No tokens found.\n")
    assert done.stderr.startswith(f"Warning: token {made['hash'][:16]} cannot be read: decrypt policy: ")
    done = program.token("get", "--hash", made["hash"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: token {made['hash'][:16]} cannot be read: ")


@pytest.mark.parametrize(
    ("words", "changes", "policy"),
    [
        (
            ["--policy", '{"max_tokens":100000}'],
            ["  max_tokens: 1000 -> 100000"],
            {"base_key_env": "OPENAI_API_KEY", "max_tokens": 100000},
        ),
        (
            ["--policy", '{"max_tokens":null,"model":"gpt-4o"}'],
            ["  max_tokens: 1000 -> (not set)", '  model: (not set) -> "gpt-4o"'],
            {"base_key_env": "OPENAI_API_KEY", "model": "gpt-4o"},
        ),
        (
            ["--policy", '{"base_key_env":"OTHER"}'],
            ['  base_key_env: "OPENAI_API_KEY" -> "OTHER"', "  max_tokens: 1000 -> (not set)"],
            {"base_key_env": "OTHER"},
        ),
        (
            ["--merge", "--policy", '{"base_key_env":"OTHER"}'],
            ['  base_key_env: "OPENAI_API_KEY" -> "OTHER"'],
            {"base_key_env": "OTHER", "max_tokens": 1000},
        ),
        (["--policy", POLICY], [], json.loads(POLICY)),
    ],
)
def test_update_of_the_policy(
    program: Program, words: list[str], changes: list[str], policy: dict[str, object]
) -> None:
    made = program.json("create", "--policy", POLICY)
    out = program.ok("update", "--hash", made["hash"], *words)
    assert out.splitlines() == ["Token updated.", *changes]
    assert program.json("get", "--hash", made["hash"])["policy"] == policy


def test_update_of_the_rest(program: Program) -> None:
    hash = program.json("create", "--policy", POLICY)["hash"]
    assert program.ok("update", "--hash", hash, "--expires", "2099-01-01T00:00:00Z", "--label", "ci") == (
        "Token updated.\n  expires: never -> 2099-01-01T00:00:00Z\n  label: (none) -> ci\n"
    )
    assert program.ok("update", "--hash", hash, "--disable") == "Token updated.\n  disabled\n"
    got = program.ok("get", "--hash", hash)
    assert "Expires:    2099-01-01T00:00:00Z (active)\nLabel:      ci\nState:      disabled\nPolicy:" in got
    changed = program.json(
        "update", "--hash", hash, "--enable", "--expires", "clear", "--label", "", "--policy", '{"timeout":9}'
    )
    assert changed["changes"] == [{"path": "$.timeout", "old": None, "new": 9}]
    assert (changed["status"], changed["expires_at"], changed["label"]) == ("active", None, None)
    assert changed["warnings"] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "Error: must provide --policy and/or --expires"),
        (["--disable", "--enable"], "Error: --disable and --enable contradict each other"),
        (["--policy", "{}", "--merge", "--replace"], "Error: --replace and --merge contradict each other"),
        (["--policy", "["], "Error: invalid policy: invalid policy JSON: "),
        (
            ["--replace", "--policy", '{"max_tokens":5}'],
            "Error: invalid policy: base_key_env is required (or at least one provider)",
        ),
        (["--policy", '{"max_tokens":"many"}'], "Error: invalid policy: invalid policy JSON: "),
        (["--policy", '{"base_key_env":null}'], "Error: invalid policy: base_key_env is required"),
        (["--expires", "soon"], 'Error: invalid expiration "soon"'),
    ],
)
def test_update_refuses(program: Program, words: list[str], error: str) -> None:
    hash = program.json("create", "--policy", POLICY)["hash"]
    done = program.token("update", "--hash", hash, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(error)
    assert program.json("get", "--hash", hash)["policy"] == json.loads(POLICY)


def test_delete_and_purge(program: Program) -> None:
    kept = program.json("create", "--policy", POLICY)["hash"]
    gone = program.json("create", "--policy", POLICY)["hash"]
    old = program.json("create", "--policy", POLICY, "--expires", "2020-01-01T00:00:00Z")["hash"]
    older = program.json("create", "--policy", POLICY, "--expires", "2019-01-01T00:00:00Z")["hash"]
    assert program.json("delete", "--hash", gone) == {"hash": gone, "deleted": True}
    assert program.ok("purge").splitlines() == [*sorted([old, older]), "Purged 2 expired tokens."]
    assert program.json("purge") == {"purged": []}
    assert [item["hash"] for item in program.json("list")] == [kept]


def test_rekey(program: Program) -> None:
    made = program.json("create", "--policy", POLICY)
    new = {"TOKENOMICS_ENCRYPTION_KEY": "a new secret of some length"}
    done = program.token("list", **new)
    assert done.returncode == 1
    assert "encrypted with another secret than $TOKENOMICS_ENCRYPTION_KEY" in done.stderr
    out = program.ok("rekey", "--old-file", str(program.data / "keys" / "encryption.key"), **new)
    assert out == "Encrypted 1 policy with $TOKENOMICS_ENCRYPTION_KEY.\n"
    assert [item["hash"] for item in program.json("list", **new)] == [made["hash"]]
    assert program.token("list").returncode == 1
    third = {"TOKENOMICS_ENCRYPTION_KEY": "third", "OLD": new["TOKENOMICS_ENCRYPTION_KEY"]}
    assert program.json("rekey", "--old-env", "OLD", **third) == {"rekeyed": 1}
    for words in ([], ["--old-env", "OLD", "--old-file", "x"], ["--old-env", "NOT_SET"], ["--old-file", "x"]):
        done = program.token("rekey", *words, **third)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1


def test_times_are_in_utc(program: Program) -> None:
    made = program.json("create", "--policy", POLICY, "--expires", "1h", TZ="Asia/Tokyo")
    assert re.fullmatch(TIMESTAMP, made["created_at"])
    assert re.fullmatch(TIMESTAMP, made["expires_at"])
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made["created_at"])).total_seconds()) < 30
