"""Evaluated by real shells, the printed lines set hostile values and run nothing.

There is no PowerShell here to ask: its rule is checked against its own definition of a single-quoted string.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenomics_cli.shells import NotWritable, dotenv, script

HOSTILE = [
    "$(touch run)",
    "`touch run`",
    "'; touch run; '",
    '"; touch run; "',
    "'",
    "''",
    "\\",
    "\\'",
    "'\\''",
    "!!",
    "a\nb\n",
    "\ttab  spaces ",
    "${HOME} $HOME ~ *",
    "%PATH%",
    "é ü \u2019 \U0001f600",
    "# no comment",
    "(touch run)",
    "",
    "&& touch run |",
]
# The bounds of what an environment can hold: no NUL, and nothing that UTF-8 cannot say.
TEXTS = st.text(
    st.sampled_from("'\"\\$`!(){}[]*?~#&|;<>\n\t ab=%\u2019")
    | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=20,
)
VALUES = st.lists(TEXTS, min_size=1, max_size=8)

READ = "import os, sys; sys.stdout.write('\\0'.join(os.environ[name] for name in sys.argv[1:]))"
EVALUATE = {
    "bash": ["bash", "--norc", "-c", 'eval "$(cat script)"; exec "$PYTHON" -c "$@"', "bash"],
    # History expansion is on in an interactive shell only; it must not meet what eval is given.
    "bash -i": ["bash", "--norc", "-ic", 'set -H; eval "$(cat script)"; exec "$PYTHON" -c "$@"', "bash"],
    "dash": ["sh", "-c", 'eval "$(cat script)"; exec "$PYTHON" -c "$@"', "sh"],
    "zsh": ["zsh", "-f", "-c", 'eval "$(cat script)"; exec "$PYTHON" -c "$@"', "zsh"],
    "zsh rcquotes": [
        "zsh",
        "-f",
        "-c",
        'setopt rcquotes; eval "$(cat script)"; exec "$PYTHON" -c "$@"',
        "zsh",
    ],
    "fish": ["fish", "--no-config", "-c", "source script; exec $PYTHON -c $argv"],
}


def evaluated(shell: str, folder: Path, values: list[str]) -> list[str]:
    """The values as a program sees them that the shell starts after it evaluated the lines."""
    names = [f"V{number}" for number in range(len(values))]
    text = script(shell.split()[0].replace("dash", "shell"), dict(zip(names, values, strict=True)), ["GONE"])
    (folder / "script").write_text(text, newline="")
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "GONE": "x",
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        [*EVALUATE[shell], READ, *names], cwd=folder, env=environ, capture_output=True, check=True, timeout=60
    )
    assert not (folder / "run").exists()
    return done.stdout.decode().split("\0")


@pytest.mark.parametrize("shell", list(EVALUATE))
def test_hostile_values(shell: str, tmp_path: Path) -> None:
    assert evaluated(shell, tmp_path, HOSTILE) == HOSTILE


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_any_value(shell: str, tmp_path: Path, values: list[str]) -> None:
    assert evaluated(shell, tmp_path, values) == values


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_a_dotenv_file_may_be_sourced(tmp_path: Path, values: list[str]) -> None:
    lines, kept = [], []
    for value in values:
        try:
            lines.append(dotenv(f"V{len(kept)}", value) + "\n")
        except NotWritable:
            continue
        kept.append(value)
    (tmp_path / ".env").write_text("".join(lines), newline="")
    names = [f"V{number}" for number in range(len(kept))]
    words = ["bash", "-c", 'set -a; . ./.env; exec "$PYTHON" -c "$@"', "bash", READ, *names]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHON": sys.executable}
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().split("\0") == (kept or [""])


@given(TEXTS)
def test_powershell_ends_the_string_where_we_do(value: str) -> None:
    """In it a quote of any of five kinds ends a single-quoted string, unless another one follows."""
    line = script("powershell", {"V": value}, ["GONE"])
    lead = "Remove-Item Env:GONE -ErrorAction Ignore\n${env:V} = '"
    assert line.startswith(lead)
    quote = "['\u2018\u2019\u201a\u201b]"
    found = re.match(f"((?:[^'\u2018\u2019\u201a\u201b]|{quote}{quote})*)'", line[len(lead) :])
    assert found is not None
    assert line[len(lead) + found.end() :] == "\n"
    assert re.sub(f"({quote}){quote}", r"\1", found[1]) == value


def test_plain_values_stand_in_double_quotes() -> None:
    assert script("shell", {"A": "http://localhost:8080/v1"}) == 'export A="http://localhost:8080/v1"\n'
    assert script("zsh", {"A": "a b"}) == "export A='a b'\n"
