"""Where a request belongs, with real repositories and git itself."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.ledger.repository import Repository
from tokenomics_core.ledger import git_context
from tokenomics_core.ledger.git_context import Git, GitContext, repo_of, run_git, surroundings


class Watched:
    """A Git whose clock stands still, and that counts how often git was started."""

    def __init__(self, run=run_git):
        self.now = 0.0
        self.started = 0
        self._run = run
        self.git = Git(lambda: self.now, self._counted)

    def _counted(self, arguments, repo):
        self.started += 1
        return self._run(arguments, repo)

    async def context(self, directory, hint=""):
        return await self.git.context(directory, hint)


def look(directory, hint="", run=run_git):
    async def ask():
        git = Git(run=run)
        try:
            return await git.context(directory, hint)
        finally:
            git.close()

    return asyncio.run(ask())


def test_three_commits_on_two_branches(repository):
    found = []
    first = repository.commit("one")
    found.append(look(repository.top))
    repository.git("checkout", "-q", "-b", "feat/export")
    second = repository.commit("two")
    found.append(look(repository.top))
    repository.git("checkout", "-q", "main")
    third = repository.commit("three")
    found.append(look(repository.top))
    top = str(repository.top)
    assert found == [
        GitContext(top, "main", first, False),
        GitContext(top, "feat/export", second, False),
        GitContext(top, "main", third, False),
    ]


async def test_a_commit_between_two_requests_is_seen_at_once(repository):
    first = repository.commit("one")
    watched = Watched()
    assert (await watched.context(repository.top)).commit == first
    second = repository.commit("two")
    assert await watched.context(repository.top) == GitContext(str(repository.top), "main", second, False)
    repository.git("checkout", "-q", "-b", "other")
    assert (await watched.context(repository.top)).branch == "other"


async def test_git_is_started_when_the_commit_changes_or_two_seconds_have_passed(repository):
    repository.commit("one")
    watched = Watched()
    for _ in range(5):
        assert (await watched.context(repository.top)).dirty is False
    assert watched.started == 1
    (repository.top / "notes.txt").write_text("changed")
    watched.now = 1.9
    assert (await watched.context(repository.top)).dirty is False
    watched.now = 2.1
    assert (await watched.context(repository.top)).dirty is True
    assert watched.started == 2
    repository.commit("changed")
    assert (await watched.context(repository.top)).dirty is False
    assert watched.started == 3


def grow_old(repository):
    """As if nothing had been done in the repository for some time."""
    for path in (repository.top / ".git").rglob("*"):
        os.utime(path, (1, 1))


@pytest.mark.parametrize("packed", [False, True])
async def test_without_a_change_nothing_is_read_again(repository, monkeypatch, packed):
    first = repository.commit("one")
    if packed:
        repository.git("pack-refs", "--all")
    grow_old(repository)
    looked = []
    find = git_context.find
    monkeypatch.setattr(git_context, "find", lambda directory: looked.append(directory) or find(directory))
    watched = Watched()
    for _ in range(10):
        assert (await watched.context(repository.top)).commit == first
    assert len(looked) == 1
    second = repository.commit("two")
    assert (await watched.context(repository.top)).commit == second
    repository.git("checkout", "-q", "--detach", first)
    assert (await watched.context(repository.top)).branch == "HEAD"
    # What has just changed may change again unnoticed.
    known = len(looked)
    assert (await watched.context(repository.top)).commit == first
    assert len(looked) == known + 1
    grow_old(repository)
    await watched.context(repository.top)
    await watched.context(repository.top)
    assert len(looked) == known + 2
    watched.now = 2.1
    await watched.context(repository.top)
    assert len(looked) == known + 3


async def test_many_at_once_start_git_once(repository):
    commit = repository.commit("one")
    watched = Watched()
    found = await asyncio.gather(*(watched.context(repository.top) for _ in range(50)))
    assert set(found) == {GitContext(str(repository.top), "main", commit, False)}
    assert watched.started == 1


def test_changed_and_untracked_files(repository):
    repository.commit("one")
    (repository.top / "untracked.txt").write_text("new")
    assert look(repository.top).dirty is False
    (repository.top / "notes.txt").unlink()
    assert look(repository.top).dirty is True


def test_a_staged_change_is_one(repository):
    repository.commit("one")
    (repository.top / "added.txt").write_text("new")
    repository.git("add", "added.txt")
    assert look(repository.top).dirty is True


def test_before_the_first_commit(repository):
    assert look(repository.top) == GitContext(str(repository.top), "main", "", False)


def test_a_detached_head(repository):
    first = repository.commit("one")
    repository.commit("two")
    repository.git("checkout", "-q", "--detach", first)
    assert look(repository.top) == GitContext(str(repository.top), "HEAD", first, False)


async def test_packed_refs(repository):
    first = repository.commit("one")
    repository.git("branch", "a/main")
    repository.git("pack-refs", "--all")
    assert not (repository.top / ".git/refs/heads/main").exists()
    watched = Watched()
    assert (await watched.context(repository.top)).commit == first
    second = repository.commit("two")
    assert (await watched.context(repository.top)).commit == second
    repository.git("pack-refs", "--all")
    assert (await watched.context(repository.top)).commit == second
    repository.git("reset", "-q", "--hard", first)
    repository.git("pack-refs", "--all")
    assert (await watched.context(repository.top)).commit == first


def test_a_worktree(repository, tmp_path):
    first = repository.commit("one")
    other = Repository((tmp_path / "other").resolve())
    repository.git("worktree", "add", "-q", "-b", "side", str(other.top))
    second = other.commit("two")
    assert look(other.top) == GitContext(str(other.top), "side", second, False)
    assert look(repository.top) == GitContext(str(repository.top), "main", first, False)
    repository.git("pack-refs", "--all")
    assert look(other.top).commit == second


def test_a_submodule(repository, tmp_path):
    library = Repository((tmp_path / "library").resolve())
    library.top.mkdir()
    library.git("init", "-q", "-b", "trunk")
    inner = library.commit("inner")
    repository.commit("one")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.top), "lib")
    repository.git("commit", "-q", "-m", "lib")
    assert look(repository.top / "lib") == GitContext(str(repository.top / "lib"), "trunk", inner, False)
    assert look(repository.top).dirty is False


def test_below_the_top_and_through_a_link(repository, tmp_path):
    commit = repository.commit("one")
    below = repository.top / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "link").symlink_to(below)
    for directory in (below, tmp_path / "link"):
        assert look(directory) == GitContext(str(repository.top), "main", commit, False)


@pytest.mark.parametrize("branch", ["größe", "a.b/c-d_e", "x" * 200, "feat/#1"])
def test_names_of_branches(repository, branch):
    commit = repository.commit("one")
    repository.git("checkout", "-q", "-b", branch)
    assert look(repository.top) == GitContext(str(repository.top), branch, commit, False)


async def test_outside_of_a_repository_one_line_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    watched = Watched()
    for _ in range(3):
        assert await watched.context(tmp_path) is None
    assert (watched.started, len(caplog.records)) == (0, 1)
    Repository(tmp_path).git("init", "-q", "-b", "main")
    watched.now = 2.1
    assert (await watched.context(tmp_path)).branch == "main"


@pytest.mark.parametrize(
    "error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 2), subprocess.SubprocessError()]
)
async def test_without_git_only_changes_are_unknown(repository, caplog, error):
    caplog.set_level(logging.INFO)
    commit = repository.commit("one")

    def fail(arguments, repo):
        raise error

    watched = Watched(fail)
    unknown = GitContext(str(repository.top), "main", commit, None)
    assert [await watched.context(repository.top) for _ in range(3)] == [unknown] * 3
    assert (watched.started, len(caplog.records)) == (1, 1)
    # A new commit is no reason to try again soon.
    second = repository.commit("two")
    assert (await watched.context(repository.top)).commit == second
    assert watched.started == 1
    watched.now = git_context.REST + 1
    assert (await watched.context(repository.top)).dirty is None
    assert watched.started == 2


async def test_a_disk_that_does_not_answer_is_left_alone(repository, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    repository.commit("one")
    hangs = threading.Event()
    looked = []

    def find(directory):
        looked.append(directory)
        hangs.wait(30)

    monkeypatch.setattr(git_context, "find", find)
    monkeypatch.setattr(git_context, "TIMEOUT", 0.05)
    watched = Watched()
    try:
        assert [await watched.context(repository.top) for _ in range(3)] == [None] * 3
        assert (len(looked), len(caplog.records)) == (1, 1)
    finally:
        hangs.set()


async def test_a_git_that_takes_long_holds_up_nobody_else(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(git_context, "TIMEOUT", 0.5)
    slow = [repository]
    for name in ("a", "b", "c"):
        other = Repository((tmp_path / name).resolve())
        other.top.mkdir()
        other.git("init", "-q", "-b", "main")
        slow.append(other)
    commits = [each.commit("one") for each in slow]
    hangs = threading.Event()
    watched = Watched(lambda *_: hangs.wait(30) and b"")
    try:
        found = await asyncio.gather(*(watched.context(each.top) for each in slow))
    finally:
        hangs.set()
    assert [(each.commit, each.dirty) for each in found] == [(commit, None) for commit in commits]


def test_refs_that_only_git_can_read(repository):
    """As where refs are kept in tables: HEAD names no ref that is there."""
    (repository.top / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")
    commit = "ab" * 20
    said = f"# branch.oid {commit}\n# branch.head main\n1 .M N... 100644 100644 100644 a b notes.txt\n"
    assert look(repository.top, run=lambda *_: said.encode()) == GitContext(
        str(repository.top), "main", commit, True
    )


# What a repository must not make the gateway do.


def test_hostile_names_of_refs(repository, tmp_path):
    (tmp_path / "secret").write_text("ab" * 20)
    head = repository.top / ".git" / "HEAD"
    for ref in (
        "refs/heads/../../../secret",
        str(tmp_path / "secret"),
        "refs/\x1b[31m",
        "refs/" + "x" * 4000,
    ):
        head.write_text(f"ref: {ref}\n")
        found = look(repository.top, run=lambda *_: b"")
        assert (found.branch, found.commit) == ("", "")


def test_a_head_that_is_no_commit(repository):
    (repository.top / ".git" / "HEAD").write_text("a line of somebody's file\n" * 1000)
    found = look(repository.top, run=lambda *_: b"")
    assert (found.branch, found.commit) == ("HEAD", "")


def test_a_pipe_in_the_place_of_a_file(repository):
    repository.commit("one")
    ref = repository.top / ".git/refs/heads/main"
    ref.unlink()
    os.mkfifo(ref)
    found = look(repository.top, run=lambda *_: b"")
    assert (found.branch, found.commit) == ("main", "")


def test_refs_that_name_each_other(repository):
    heads = repository.top / ".git/refs/heads"
    heads.mkdir(exist_ok=True)
    (heads / "main").write_text("ref: refs/heads/other\n")
    (heads / "other").write_text("ref: refs/heads/main\n")
    assert look(repository.top, run=lambda *_: b"").commit == ""


@pytest.mark.parametrize(
    ("settings", "dirty"),
    [
        (["core.fsmonitor", "{program}"], True),
        (["core.pager", "{program}"], True),
        (["core.hooksPath", "{folder}"], True),
        (["filter.evil.clean", "{program}"], None),
        (["filter.evil.process", "{program}"], None),
        (["include.path", "{included}"], None),
    ],
)
def test_no_program_of_the_repository_is_run(repository, tmp_path, settings, dirty):
    repository.commit("one")
    marker, program = tmp_path / "ran", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    included = tmp_path / "included"
    included.write_text(f'[filter "evil"]\nclean = {program}\n[core]\nfsmonitor = {program}\n')
    (repository.top / ".gitattributes").write_text("* filter=evil\n")
    name, value = settings
    values = {"program": program, "folder": tmp_path, "included": included}
    repository.git("config", name, value.format(**values))
    (repository.top / "notes.txt").write_text("two")
    assert look(repository.top).dirty is dirty
    assert not marker.exists()


def test_git_gets_no_secret_and_no_setting_of_ours(repository, tmp_path, monkeypatch):
    repository.commit("one")
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-git")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nenv\npwd\n")
    program.chmod(0o755)
    monkeypatch.setattr(git_context, "_program", lambda: str(program))
    said = run_git(("status",), repository.top).decode()
    assert "OPENAI_API_KEY" not in said
    assert "GIT_DIR" not in said
    assert "GIT_WORK_TREE" not in said
    assert "GIT_OPTIONAL_LOCKS=0" in said
    assert said.splitlines()[-1] == "/"


def test_asking_changes_nothing(repository):
    repository.commit("one")
    (repository.top / "notes.txt").touch()
    before = {path: path.stat().st_mtime_ns for path in (repository.top / ".git").rglob("*")}
    assert look(repository.top).dirty is False
    assert {path: path.stat().st_mtime_ns for path in (repository.top / ".git").rglob("*")} == before


# Which directory a request belongs to.


def test_the_directory_that_a_client_names(repository, tmp_path):
    default = tmp_path
    (tmp_path / "file").touch()
    assert repo_of(str(repository.top), default) == repository.top
    for hint in ("", "shop", "./shop", str(tmp_path / "missing"), str(tmp_path / "file"), "/\0", "/" * 5000):
        assert repo_of(hint, default) == default
    assert repo_of(f"{tmp_path}\n", default) == default


def test_a_directory_that_this_process_may_not_enter():
    # access() asks for the real user, so root becomes nobody, in a process of its own.
    script = """
import os, sys
from pathlib import Path
from tokenomics_core.ledger.git_context import repo_of
os.getuid() or os.setuid(65534)
print(*(repo_of(hint, Path("/default")) for hint in sys.argv[1:]))
"""
    with TemporaryDirectory() as closed, TemporaryDirectory() as opened:
        os.chmod(closed, 0o000)
        os.chmod(opened, 0o755)
        done = subprocess.run(
            [sys.executable, "-c", script, closed, opened],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert done.stdout.split() == ["/default", opened]


async def test_a_hint_beats_the_default(repository, tmp_path):
    commit = repository.commit("one")
    watched = Watched()
    assert (await watched.context(tmp_path, str(repository.top))).commit == commit
    assert await watched.context(tmp_path, "nowhere") is None


def test_the_surroundings_of_the_data_directory(repository, tmp_path):
    assert surroundings(repository.top / ".tokenomics", tmp_path) == repository.top
    assert surroundings(tmp_path / ".tokenomics", Path("/srv")) == Path("/srv")
