"""Owners: a word belongs to one process, for as long as it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tokenomics_core.counters.owners import Owners

_CHILD = """
import sys
from pathlib import Path
from tokenomics_core.counters.owners import Owners
Owners(Path(sys.argv[1])).claim("child")
print("claimed", flush=True)
sys.stdin.read()
"""


def test_a_word_lives_as_long_as_its_process(tmp_path: Path) -> None:
    owners = Owners(tmp_path / "owners")
    assert not owners.alive("child")
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(tmp_path / "owners")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"claimed\n"
    assert owners.alive("child")
    with pytest.raises(ValueError, match="choose another"):
        owners.claim("child")
    child.kill()
    child.communicate()
    assert not owners.alive("child")
    owners.claim("child")
    assert owners.alive("child")
    assert not Owners(tmp_path / "owners").alive("other")
    assert Owners(tmp_path / "owners").alive("child")
    owners.release()
    assert not owners.alive("child")


@pytest.mark.parametrize("word", ["", "../up", "a/b", ".hidden", "a" * 200])
def test_a_word_is_no_path(tmp_path: Path, word: str) -> None:
    owners = Owners(tmp_path)
    with pytest.raises(ValueError, match="letters"):
        owners.claim(word)
    assert not owners.alive(word)
