"""Appending, setting aside, packing: nothing is lost, doubled or torn."""

import gzip
import logging
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tokenomics_core.memory.archive import Packer, set_aside
from tokenomics_core.memory.files import Files

NOON = datetime(2026, 4, 5, 12, 0, 0, tzinfo=UTC)


class Harness:
    def __init__(self, folder):
        self.now = NOON
        self.unpacked = []
        self.packer = Packer(lambda archive, error: self.unpacked.append((archive, error)))
        self.files = self.more()
        self.folder = folder

    def more(self, **changes):
        return Files(lambda: self.now, self.packer, **changes)


@pytest.fixture
def harness(tmp_path):
    harness = Harness(tmp_path)
    yield harness
    assert harness.packer.wait(30)
    harness.files.close()


def contents(folder: Path) -> bytes:
    """Of all files there, packed or not."""
    return b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def test_files_and_folders_are_their_owners_alone(harness):
    old = os.umask(0)
    try:
        harness.files.append(harness.folder / "a" / "b" / "c.md", b"x" * 10, 15, compress=True)
        harness.files.append(harness.folder / "a" / "b" / "c.md", b"y" * 10, 15, compress=True)
        assert harness.packer.wait(30)
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (harness.folder / "a").rglob("*")}
    assert modes == {"b": 0o700, "c.md": 0o600, "c.20260405-120000.md.gz": 0o600}


def test_a_file_that_was_open_to_others_is_tightened(harness, caplog):
    path = harness.folder / "old.md"
    path.write_text("before\n")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        harness.files.append(path, b"after\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "before\nafter\n"


def test_the_size_on_disk_counts(harness):
    """As after a restart."""
    path = harness.folder / "t.md"
    path.write_bytes(b"x" * 90)
    harness.files.append(path, b"y" * 11, 100)
    assert path.read_bytes() == b"y" * 11
    assert (harness.folder / "t.20260405-120000.md").read_bytes() == b"x" * 90
    harness.files.close()
    harness.files = harness.more()
    harness.files.append(path, b"z" * 89, 100)
    assert path.read_bytes() == b"y" * 11 + b"z" * 89


def test_what_is_larger_than_the_limit_has_a_file_of_its_own(harness):
    path = harness.folder / "t.md"
    for letter in (b"a", b"b", b"c"):
        harness.files.append(path, letter * 500, 100)
    assert path.read_bytes() == b"c" * 500
    assert (harness.folder / "t.20260405-120000.md").read_bytes() == b"a" * 500
    assert (harness.folder / "t.20260405-120000-1.md").read_bytes() == b"b" * 500


def test_hundreds_set_aside_in_one_second_lose_nothing(harness):
    path = harness.folder / "t.md"
    lines = [b"%04d\n" % number for number in range(300)]
    for line in lines:
        harness.files.append(path, line, 10, compress=True)
        if line.endswith(b"50\n"):
            # Packed ones keep their names, too.
            assert harness.packer.wait(30)
    assert harness.packer.wait(60)
    assert Counter(contents(harness.folder).split()) == Counter(line.strip() for line in lines)
    names = sorted(path.name for path in harness.folder.iterdir())
    assert names[0] == "t.20260405-120000-1.md.gz"
    assert len(names) == 150
    assert harness.unpacked == []


def test_several_writers_of_one_file_lose_and_tear_nothing(harness):
    """Each as a process of its own: with its own handles."""
    path = harness.folder / "t.md"
    failed = []

    def write(writer):
        files = harness.more()
        try:
            for number in range(300):
                files.append(
                    path, b"<%d:%d:%s>\n" % (writer, number, b"x" * (number % 50)), 4000, compress=True
                )
        except Exception as error:
            failed.append(error)
        files.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert harness.packer.wait(60)
    assert failed == []
    expected = [b"<%d:%d:%s>" % (w, n, b"x" * (n % 50)) for w in range(6) for n in range(300)]
    assert Counter(contents(harness.folder).splitlines()) == Counter(expected)
    assert len(list(harness.folder.glob("*.gz"))) > 5
    assert not list(harness.folder.glob("*.part"))


def test_a_file_that_somebody_took_away_is_begun_anew(harness):
    path = harness.folder / "t.md"
    harness.files.append(path, b"one\n")
    path.rename(harness.folder / "moved.md")
    harness.files.append(path, b"two\n")
    path.unlink()
    harness.files.append(path, b"three\n")
    assert path.read_bytes() == b"three\n"
    assert (harness.folder / "moved.md").read_bytes() == b"one\n"


def test_few_files_are_open(harness):
    before = len(os.listdir("/proc/self/fd"))
    files = harness.more(most=8)
    for round_ in range(2):
        for number in range(300):
            files.append(harness.folder / f"{number}.md", b"%d\n" % round_)
    assert files.open_files == 8
    assert len(os.listdir("/proc/self/fd")) <= before + 8
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert {path.read_bytes() for path in harness.folder.iterdir()} == {b"0\n1\n"}


def test_midnight_closes_the_files_of_the_old_day(harness):
    harness.now = datetime(2026, 4, 5, 23, 59, 59, 999999, tzinfo=UTC)
    assert harness.files.today() == "2026-04-05"
    harness.files.append(harness.folder / "a.md", b"x")
    assert harness.files.today() == "2026-04-05"
    assert harness.files.open_files == 1
    harness.now += timedelta(microseconds=1)
    assert harness.files.today() == "2026-04-06"
    assert harness.files.open_files == 0


def test_sync_is_for_what_was_written(harness, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    harness.files.append(harness.folder / "a.md", b"x")
    harness.files.append(harness.folder / "a.md", b"x")
    harness.files.append(harness.folder / "b.md", b"x")
    assert harness.files.unsynced
    harness.files.sync()
    harness.files.sync()
    assert len(synced) == 2
    assert not harness.files.unsynced


def test_a_packed_file_can_be_read_and_names_its_source(harness):
    path = harness.folder / "t.md"
    text = os.urandom(3_000_000)
    path.write_bytes(text)
    harness.files.append(path, b"new", 1000, compress=True)
    assert harness.packer.wait(30)
    packed = harness.folder / "t.20260405-120000.md.gz"
    assert gzip.decompress(packed.read_bytes()) == text
    assert sorted(each.name for each in harness.folder.iterdir()) == [packed.name, "t.md"]


def test_what_cannot_be_packed_stays(harness):
    path = harness.folder / "t.md"
    path.write_bytes(b"x" * 100)
    (harness.folder / "t.20260405-120000.md.gz.part").mkdir()
    harness.files.append(path, b"new", 50, compress=True)
    assert harness.packer.wait(30)
    assert (harness.folder / "t.20260405-120000.md").read_bytes() == b"x" * 100
    assert [archive.name for archive, _ in harness.unpacked] == ["t.20260405-120000.md"]


def test_no_archive_is_overwritten(tmp_path):
    for name in ("t.20260405-120000.md", "t.20260405-120000-1.md.gz"):
        (tmp_path / name).write_bytes(b"old")
    path = tmp_path / "t.md"
    path.write_bytes(b"new")
    assert set_aside(path, NOON).name == "t.20260405-120000-2.md"
    assert (tmp_path / "t.20260405-120000.md").read_bytes() == b"old"


def make_folder(path):
    path.mkdir()


def make_pipe(path):
    os.mkfifo(path)


def make_link(path):
    target = path.with_name("target")
    target.write_bytes(b"keep")
    path.symlink_to(target)


def make_loose_link(path):
    path.symlink_to(path.with_name("target"))


def make_parent_file(path):
    path.parent.rmdir()
    path.parent.write_bytes(b"")


@pytest.mark.parametrize("make", [make_folder, make_pipe, make_link, make_loose_link, make_parent_file])
def test_what_is_no_file_is_an_error_and_is_left_alone(harness, make):
    path = harness.folder / "sub" / "t.md"
    path.parent.mkdir()
    make(path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"."):
        harness.files.append(path, b"x")
    assert len(os.listdir("/proc/self/fd")) == before
    if make is make_link:
        assert (path.parent / "target").read_bytes() == b"keep"
    assert make is not make_loose_link or not (path.parent / "target").exists()


FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from tokenomics_core.memory.archive import Packer
from tokenomics_core.memory.files import Files

path = Path(sys.argv[1])
files = Files(lambda: datetime.now(UTC), Packer(lambda *_: None))
files.append(path, b"a" * 600)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    files.append(path, b"b" * 600)
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
files.append(path, b"c" * 600)
"""


def test_a_full_disk_leaves_no_half_entry(tmp_path):
    path = tmp_path / "t.md"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "27", run.stderr
    assert path.read_bytes() == b"a" * 600 + b"c" * 600
