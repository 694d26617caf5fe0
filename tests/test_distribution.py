"""What is installed is all that runs: the data files of the packages go into the wheel."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch

from tests.support.environment import PROJECT

PACKAGES = ("addons", "tokenomics_core", "tokenomics_cli")


def test_every_data_file_is_in_the_wheel() -> None:
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "*"
    ]
    data = [
        path
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert len(data) > 5
    left_out = [path for path in data if not any(fnmatch(path.name, pattern) for pattern in patterns)]
    assert left_out == []


def test_the_container_has_what_the_project_is_built_from() -> None:
    text = (PROJECT / "Containerfile").read_text()
    copied = {word for line in text.splitlines() if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert {*PACKAGES, "pyproject.toml", "requirements.lock", "README.md"} <= copied
