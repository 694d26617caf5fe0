"""Git context: the repository, branch and commit that a request belongs to.

Where HEAD points is read from git's own files as soon as one of them has changed, which every request looks
at: a commit counts from the next request on. Only whether tracked files were changed is asked of git, at most
every two seconds and when the commit is another one.

A client may name the directory, and its repository may be set up by somebody else. So nothing is run that the
repository names, no file is waited for, and git sees none of the gateway's secrets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tokenomics_core.ledger import clean
from tokenomics_core.ledger.git_files import (
    COMMIT,
    Files,
    Head,
    PackedRefs,
    Place,
    Stamp,
    devices,
    find,
    read_head,
    runs_programs,
    stamp_of,
)

log = logging.getLogger("tokenomics")

TIMEOUT = 2.0
"""Seconds that git, and the disk, may take to answer."""

FRESH = 2.0
"""Seconds for which it is known whether files were changed, and where the repository is."""

REST = 60.0
"""Seconds for which a directory is left alone that could not be looked at in time."""

MOST = 256
"""Directories that are remembered."""

_LONGEST_HINT = 4096

# Of the gateway's environment git gets these and no others: that one holds the providers' keys.
_PASSED_ON = ("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "USER", "LOGNAME", "SYSTEMROOT")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    # A partial clone would fetch what it lacks.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
_STATUS = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--no-renames"),
    *("--untracked-files=no", "--ignore-submodules=dirty"),
)

Run = Callable[[Sequence[str], Path], bytes]
"""Runs git with those arguments in a repository: what it printed. Raises OSError, SubprocessError."""


@dataclass(frozen=True, slots=True)
class GitContext:
    """repo: the top directory. branch: ``HEAD`` when none is checked out. commit: in full, empty before the
    first one. dirty: tracked files differ from the commit; None where nobody could tell."""

    repo: str
    branch: str
    commit: str
    dirty: bool | None


@dataclass(slots=True)
class _Look:
    """What the files said until when. files: those that said it, as they were before they were read."""

    head: Head | None
    until: float
    files: list[tuple[str, Stamp]]

    def holds(self, now: float) -> bool:
        return now < self.until and all(stamp_of(path) == stamp for path, stamp in self.files)


@dataclass(frozen=True, slots=True)
class _Status:
    """What git said until when. head: the commit of the files at that time."""

    head: str
    until: float
    branch: str = ""
    commit: str = ""
    dirty: bool | None = None

    def usable(self, head: Head, now: float) -> bool:
        # Where git did not answer, another commit is no reason to try again at once.
        return now < self.until and (self.head == head.commit or self.dirty is None)


def surroundings(data_dir: Path, cwd: Path) -> Path:
    """Where a request belongs that names no directory: where the data directory lies, else cwd."""
    return data_dir.parent if find(data_dir.parent) is not None else cwd


def repo_of(hint: str, default: Path) -> Path:
    """The directory that a client named, if it is one that this process may enter; else default."""
    if not hint or len(hint) > _LONGEST_HINT or not hint.isprintable() or not os.path.isabs(hint):
        return default
    return Path(hint) if os.path.isdir(hint) and os.access(hint, os.R_OK | os.X_OK) else default


def run_git(arguments: Sequence[str], repo: Path) -> bytes:
    """What git printed. Raises OSError, or SubprocessError when it failed or took longer than TIMEOUT."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # From the root directory, so that no program of the repository is found first.
    return subprocess.run(
        [_program(), "-C", str(repo), "--no-pager", *arguments],
        cwd="/",
        env=environment | _ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=True,
        start_new_session=True,
    ).stdout


@cache
def _program() -> str:
    found = shutil.which("git")
    if found is None:
        raise FileNotFoundError("git is not installed")
    return os.path.abspath(found)


class Git:
    """clock: monotonic seconds. For one event loop; threads of its own do what may take time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, run: Run = run_git) -> None:
        self._clock = clock
        self._run = run
        # Apart, so that a repository that git needs long for does not hold up the others.
        self._readers = ThreadPoolExecutor(2, "git-files")
        self._askers = ThreadPoolExecutor(2, "git-status")
        self._statuses: dict[Path, _Status] = {}
        self._asking: dict[Path, asyncio.Task[_Status]] = {}
        self._looks: dict[tuple[Path, str], _Look] = {}
        self._resting: dict[tuple[Path, str], float] = {}
        self._refs = PackedRefs()
        self._told: set[str] = set()

    async def context(self, directory: Path, hint: str = "") -> GitContext | None:
        """The repository around the directory that the client named, or around the given one.

        None outside of one, or when the disk does not answer. It never raises, takes microseconds when all
        is known, and at most about twice TIMEOUT when not.
        """
        asked, now = (directory, hint), self._clock()
        if now < self._resting.get(asked, 0.0):
            return None
        try:
            look = self._looks.get(asked)
            if look is None or not look.holds(now):
                look = await self._look_again(asked)
            head = look.head
            if head is None:
                return None
            status = await self._status(head)
        except (TimeoutError, OSError, ValueError, RuntimeError) as error:
            if len(self._resting) >= MOST:
                self._resting.clear()
            self._resting[asked] = self._clock() + REST
            here = clean.name(hint or str(directory))
            self._tell(f"{here}: its git repository cannot be read ({type(error).__name__})")
            return None
        return GitContext(
            repo=clean.name(str(head.place.top), 2048),
            branch=clean.name(head.branch or status.branch),
            commit=head.commit or status.commit,
            dirty=status.dirty,
        )

    def close(self) -> None:
        for threads in (self._readers, self._askers):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _look_again(self, asked: tuple[Path, str]) -> _Look:
        loop = asyncio.get_running_loop()
        look = await asyncio.wait_for(loop.run_in_executor(self._readers, self._look, *asked), TIMEOUT)
        if len(self._looks) >= MOST:
            self._looks.clear()
        self._looks[asked] = look
        return look

    def _look(self, directory: Path, hint: str) -> _Look:
        until = self._clock() + FRESH
        here = repo_of(hint, directory)
        place = find(here)
        if place is None:
            self._tell(f"{clean.name(str(here))} is in no git repository: its requests have no commit")
            return _Look(None, until, [])
        files = Files()
        head = read_head(place, files, self._refs)
        # Only a disk that the gateway itself works on may be asked without a thread.
        near = devices(place) == {directory.stat().st_dev}
        return _Look(head, until if near and files.settled() else 0.0, files.seen)

    async def _status(self, head: Head) -> _Status:
        top = head.place.top
        known = self._statuses.get(top)
        if known is not None and known.usable(head, self._clock()):
            return known
        task = self._asking.get(top)
        if task is None:
            task = self._asking[top] = asyncio.create_task(self._ask(head), name="git status")
            task.add_done_callback(lambda _: self._asking.pop(top, None))
        try:
            # Who gives up waiting does not end it for the others.
            return await asyncio.wait_for(asyncio.shield(task), TIMEOUT + 0.5)
        except TimeoutError:
            return _Status(head.commit, 0.0)

    async def _ask(self, head: Head) -> _Status:
        top = head.place.top
        try:
            said = await asyncio.get_running_loop().run_in_executor(self._askers, self._git, head.place)
            status = _parsed(said, head.commit, self._clock() + FRESH)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            status = _Status(head.commit, self._clock() + REST)
            self._tell(
                f"{clean.name(str(top))}: git cannot say whether files were changed ({type(error).__name__})"
            )
        if len(self._statuses) >= MOST:
            self._statuses.clear()
        self._statuses[top] = status
        return status

    def _git(self, place: Place) -> bytes:
        if runs_programs(place):
            raise ValueError("its configuration names programs")
        return self._run(_STATUS, place.top)

    def _tell(self, message: str) -> None:
        """One line for each directory and reason, and not without end: clients name directories."""
        if message not in self._told and len(self._told) < MOST:
            self._told.add(message)
            log.info("%s", message)


def _parsed(said: bytes, head: str, until: float) -> _Status:
    """What ``git status --porcelain=v2 --branch`` printed."""
    branch = commit = ""
    dirty = False
    for line in said.decode("utf-8", "replace").split("\n"):
        if line.startswith("# branch.oid "):
            commit = line.removeprefix("# branch.oid ")
        elif line.startswith("# branch.head "):
            branch = line.removeprefix("# branch.head ")
        elif line and not line.startswith("#"):
            dirty = True
            break
    branch = "HEAD" if branch == "(detached)" else branch
    return _Status(head, until, branch, commit if COMMIT.fullmatch(commit) else "", dirty)
