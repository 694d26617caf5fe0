from __future__ import annotations

from pathlib import Path

from tokenomics_cli.logs import Tail


def test_it_goes_on_across_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("1\n2\n3\n")
    tail = Tail(path)
    assert tail.last(2) == ["2", "3"]
    with path.open("a") as file:
        file.write("4\nhalf")
    assert tail.more() == ["4"]
    with path.open("a") as file:
        file.write(" line\nlast of the old\n")
    path.rename(tmp_path / "a.log.1")
    assert tail.more() == ["half line", "last of the old"]
    path.write_text("first of the new\n")
    assert tail.more() == ["first of the new"]
    path.write_text("x\n")
    assert tail.more() == ["x"]


def test_a_file_that_comes_later(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "a.log")
    assert tail.last(10) == []
    assert tail.more() == []
    (tmp_path / "a.log").write_text("begun\n")
    assert tail.more() == ["begun"]
