from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tokenomics_core.tokens import Keys, TokenStore

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
KEYS = Keys(b"a hash key", b"an encryption secret")
POLICY = '{"base_key_env": "OPENAI_API_KEY",  "model": "gpt-4o"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tokenomics.db"


@pytest.fixture
def store(path: Path) -> Iterator[TokenStore]:
    store = TokenStore(path, KEYS)
    yield store
    store.close()
