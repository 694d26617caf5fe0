"""A current directory and a home directory, and the configuration that is loaded from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tokenomics_core.config import Config, load_config

Load = Callable[..., Config]


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    path = tmp_path / "cwd"
    path.mkdir()
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def load(cwd: Path, home: Path) -> Load:
    """load(text of ./config.yaml, environment, **flags)"""

    def load(text: str = "", environ: dict[str, str] | None = None, **flags: str) -> Config:
        if text:
            (cwd / "config.yaml").write_text(text)
        return load_config(environ=environ or {}, cwd=cwd, home=home, **flags)

    return load
