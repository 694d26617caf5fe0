"""docs/CONFIGURATION.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tests.config.conftest import Load
from tests.config.test_defaults import KEYS
from tokenomics_core.config.keys import leaves
from tokenomics_core.providers import load_catalogue

PAGE = (Path(__file__).parents[2] / "docs" / "CONFIGURATION.md").read_text()
ROWS = {
    cells[0].strip("`"): (cells[2].strip("`"), cells[3].strip("`"))
    for line in PAGE.splitlines()
    if line.startswith("| `")
    and len(cells := [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]) == 5
}


def test_every_key_has_its_row() -> None:
    assert set(ROWS) == {key.name for key in leaves()}


def test_variables() -> None:
    assert {name: variable for name, (_, variable) in ROWS.items()} == {
        key.name: key.variable.removeprefix("TOKENOMICS_") for key in leaves()
    }


def test_defaults() -> None:
    for name, default, _, _ in KEYS:
        shown = str(default).replace("HOME/.tokenomics", "DIR")
        shown = "" if default in (None, []) else shown.lower() if isinstance(default, bool) else shown
        assert (name, ROWS[name][0]) == (name, shown)


def test_the_example(load: Load, cwd: Path, home: Path) -> None:
    example = PAGE.rpartition("```yaml\n")[2].partition("```")[0]
    config = load(example)
    assert config.warnings == []
    assert config.dir == home / "gateway"
    catalogue = load_catalogue(config, cwd, home)
    lab = catalogue.get("lab")
    assert lab is not None
    assert lab.auth_scheme == "none"
