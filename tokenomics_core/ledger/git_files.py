"""Git's own files: which repository a directory is in, and where its HEAD points.

The repository may be set up by somebody else. No file is waited for, no name of a ref leads out of the
repository, and whatever is no commit is none.
"""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

MOST = 256
"""Packed refs that are remembered."""

SETTLED = 2.0
"""Seconds after which a file that changes gets another time of change, on every file system."""

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LARGEST_REFS = 64 * 1024 * 1024

Stamp = tuple[int, int, int] | None
"""What is another one when a file has changed; None for one that is not there."""


@dataclass(frozen=True, slots=True)
class Place:
    """top: the working tree. own: git's files of this tree. common: those that all its trees share."""

    top: Path
    own: Path
    common: Path


@dataclass(frozen=True, slots=True)
class Head:
    """What the files say. branch and commit are empty where it takes git to know them."""

    place: Place
    branch: str
    commit: str


def find(directory: Path) -> Place | None:
    """The repository around a directory, a worktree or a submodule as well."""
    directory = directory.resolve()
    for top in (directory, *directory.parents):
        git = top / ".git"
        try:
            kind = git.stat().st_mode
        except OSError:
            continue
        if stat.S_ISREG(kind):
            said = _read(git)
            git = top / said.removeprefix("gitdir:").strip() if said.startswith("gitdir:") else git
        if not (git / "HEAD").is_file():
            continue
        common = _read(git / "commondir").strip()
        return Place(top, git, git / common if common else git)
    return None


class Files:
    """Small files of git, and what they were like before they were read."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Stamp]] = []
        self._now = time.time_ns()

    def read(self, path: Path) -> str:
        self.see(path)
        return _read(path).strip()

    def see(self, path: Path) -> Stamp:
        stamp = stamp_of(str(path))
        self.seen.append((str(path), stamp))
        return stamp

    def settled(self) -> bool:
        """Whether the next change of each of them will be seen."""
        latest = self._now - int(SETTLED * 1e9)
        return all(stamp is None or stamp[0] < latest for _, stamp in self.seen)


def devices(place: Place) -> set[int]:
    """The file systems that its files are on. Raises OSError."""
    return {path.stat().st_dev for path in (place.top, place.own, place.common)}


def stamp_of(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_head(place: Place, files: Files, refs: PackedRefs) -> Head:
    said = files.read(place.own / "HEAD")
    if not said.startswith("ref:"):
        return Head(place, "HEAD", said if COMMIT.fullmatch(said) else "")
    name = ref = said.removeprefix("ref:").strip()
    # git keeps the refs elsewhere, in a form of its own, and says so with this name.
    if name == "refs/heads/.invalid":
        return Head(place, "", "")
    for _ in range(5):
        if not _proper(ref):
            return Head(place, "", "")
        said = files.read(place.common / ref) or refs.find(place.common / "packed-refs", ref, files)
        if not said.startswith("ref:"):
            break
        ref = said.removeprefix("ref:").strip()
    branch = name.removeprefix("refs/heads/")
    return Head(place, branch, said if COMMIT.fullmatch(said) else "")


def _proper(ref: str) -> bool:
    """No name that leads out of the repository."""
    return ref.startswith("refs/") and ref.isprintable() and ".." not in ref and len(ref) < 1024


class PackedRefs:
    """The refs that git has put into one file, which may be long: it is read when it has changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], tuple[Stamp, str]] = {}

    def find(self, path: Path, ref: str, files: Files) -> str:
        """The commit of a ref; the empty string when it is not there."""
        stamp = files.see(path)
        known = self._known.get((path, ref))
        if known is not None and known[0] == stamp:
            return known[1]
        commit, wanted = "", f" {ref}"
        for line in _read(path, _LARGEST_REFS).split("\n"):
            if line.endswith(wanted):
                commit = line.removesuffix(wanted)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[path, ref] = stamp, commit
        return commit


def _read(path: Path, most: int = 4096) -> str:
    """The beginning of a plain file; nothing of what is none, or is not there."""
    try:
        # A pipe in the place of the file would be waited for.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        return opened.read(most).decode("utf-8", "replace")


def runs_programs(place: Place) -> bool:
    """Whether the repository's own configuration has programs run on files that are compared, or may."""
    for path in (place.common / "config", place.own / "config.worktree"):
        text = _read(path, 1024 * 1024).lower()
        if "[filter" in text or "[include" in text:
            return True
    return False
