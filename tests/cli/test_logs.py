from __future__ import annotations

import signal
from pathlib import Path

from tests.cli.program import Program
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


def test_following_until_ctrl_c(program: Program) -> None:
    program.data.mkdir()
    log = program.data / "gateway.log"
    log.write_text("old\n")
    with program.start("--dir", str(program.data), "logs", "-f", "-n", "1") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "old\n"
        log.rename(program.data / "gateway.log.1")
        log.write_text("new\n")
        assert child.stdout.readline() == "new\n"
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=30)
    assert (child.returncode, told) == (130, "")


def test_no_log_yet(program: Program) -> None:
    done = program.run("--dir", str(program.data), "logs")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: there is no log yet at ")
