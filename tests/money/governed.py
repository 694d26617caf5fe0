"""Tokens with budgets, their rows, and the SDKs that ask with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.clients import Outcome, run_client
from tests.support.proxy import Proxy
from tests.support.ways import through

Json = dict[str, Any]

POLICY: Json = {
    "base_key_env": "OPENAI_API_KEY",
    "default_provider": "openai",
    "providers": {
        "anthropic": [{"base_key_env": "ANTHROPIC_API_KEY", "model_regex": "^claude"}],
        "google_gemini": [{"base_key_env": "GOOGLE_API_KEY", "model_regex": "^gemini"}],
        "ollama": [{"base_key_env": "OLLAMA_API_KEY", "model_regex": "^llama"}],
    },
}


def rows_of(gateway: Proxy, token_hash: str, count: int = 1) -> list[Json]:
    """The rows of a token, oldest first, which must be exactly so many."""

    def read() -> list[Json]:
        return [row for row in gateway.rows(0) if row["token_hash"] == token_hash]

    rows = gateway.wait_for(read, lambda found: len(found) >= count)
    assert len(rows) == count, rows
    return rows


@dataclass(frozen=True)
class Token:
    key: str
    hash: str


def create(gateway: Proxy, policy: Mapping[str, Any]) -> Token:
    """A wrapper token."""
    made = gateway.create_token(policy)
    return Token(made["token"], made["hash"])


def update(gateway: Proxy, token_hash: str, change: Mapping[str, Any], *flags: str) -> None:
    """Changes single fields of a token's policy."""
    done = gateway.cli("token", "update", "--hash", token_hash, "--policy", json.dumps(change), *flags)
    assert done.returncode == 0, done.stderr


def run_sdks(
    gateway: Proxy, runs: Mapping[str, Mapping[str, str]], say: str = "hello"
) -> dict[str, dict[str, Outcome]]:
    """Outcome by run and check of the script ``money.py``. runs: by name, each check's token, in order."""
    environs = {
        name: through(gateway, "base", "unused")
        | {"SAY": say}
        | {f"TOKEN_{check}": key for check, key in tokens.items()}
        for name, tokens in runs.items()
    }
    (checks,) = {tuple(tokens) for tokens in runs.values()}
    return run_client("money.py", gateway.folder / f"clients-{'-'.join(runs)}", environs, list(checks))


def values(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """What the checks gave; none of them may have raised."""
    assert [outcome for outcome in outcomes.values() if "value" not in outcome] == []
    return {check: outcome["value"] for check, outcome in outcomes.items()}
