"""Commits: what git knows of them, and which commit the cost of a request belongs to.

A row carries the commit that was checked out when the request began. That is what happened, and what sums
start from. Work that led to a commit began before it, with its parent checked out: `next_commits` says which
commit came next on the branch.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_FORMAT = "--format=%H%x00%P%x00%ct%x00%s"
_TIMEOUT = 30.0


class GitError(Exception):
    """Git cannot say what was asked; the message is one line with a remedy."""


@dataclass(frozen=True, slots=True)
class Commit:
    """hash: in full. parents: hashes. subject: the first line of its message."""

    hash: str
    parents: tuple[str, ...]
    committed_at: datetime
    subject: str


def in_repository(folder: Path) -> bool:
    """Whether the folder is in a repository, and there is a git to ask."""
    try:
        _git(folder, "rev-parse", "--git-dir")
    except GitError:
        return False
    return True


def history(folder: Path) -> list[Commit]:
    """All commits that a branch, a tag, a stash or the reflog still knows, parents before children.

    Raises GitError.
    """
    if not _git(folder, "rev-list", "--all", "--reflog", "--max-count=1"):
        return []
    return _log(folder, "--all", "--reflog")


def listed(folder: Path, range: str) -> list[Commit]:
    """The commits of a range such as ``HEAD~5..`` or ``main..topic``, parents before children; of a single
    name, such as ``HEAD``, that commit alone. Raises GitError.
    """
    given = range.strip()
    if not given:
        raise GitError("the range of commits is empty; write it like HEAD~5.. or main..topic")
    return _log(folder, *(() if ".." in given else ("--max-count=1",)), "--end-of-options", given)


def next_commits(
    folder: Path, known: Sequence[Commit], checked_out: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], str | None]:
    """By branch and commit, the commit that was made next on that branch; None where none was made yet.

    Where the branch is gone, or does not go through that commit any more, it is the earliest commit that has
    that one as its first parent.
    """
    children: dict[str, list[Commit]] = {}
    for commit in known:
        for parent in commit.parents[:1]:
            children.setdefault(parent, []).append(commit)
    chains: dict[str, dict[str, str | None]] = {}
    found: dict[tuple[str, str], str | None] = {}
    for branch, hash in checked_out:
        if branch not in chains:
            chains[branch] = _chain(folder, branch)
        if hash in chains[branch]:
            found[branch, hash] = chains[branch][hash]
        else:
            after = min(children.get(hash, ()), key=lambda each: each.committed_at, default=None)
            found[branch, hash] = after.hash if after is not None else None
    return found


def _chain(folder: Path, branch: str) -> dict[str, str | None]:
    """Each commit of the branch with the one that was made after it; empty for a branch that is gone."""
    name = "HEAD" if branch in ("", "HEAD") else f"refs/heads/{branch}"
    try:
        hashes = _git(folder, "rev-list", "--first-parent", "--end-of-options", name).split()
    except GitError:
        return {}
    return dict(zip(hashes, [None, *hashes], strict=False))


def _log(folder: Path, *words: str) -> list[Commit]:
    text = _git(folder, "log", "--topo-order", "--reverse", "--no-show-signature", _FORMAT, *words, "--")
    commits = []
    # Not splitlines: a subject may hold signs that it takes for the end of a line.
    for line in text.split("\n"):
        if line:
            hash, parents, at, subject = line.split("\0", 3)
            # Who wrote a commit must not write to the terminal.
            subject = "".join(char if char.isprintable() else "\ufffd" for char in subject)
            commits.append(
                Commit(hash, tuple(parents.split()), datetime.fromtimestamp(int(at), UTC), subject)
            )
    return commits


def _git(folder: Path, *words: str) -> str:
    # No lock is taken and nobody is asked for a password; messages come in the language that is matched here.
    environ = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-c", "color.ui=false", *words],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise GitError("git is not there; install it, or ask for sums without commits") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git does not answer ({type(error).__name__}); try again") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[0].removeprefix("fatal: ") if said else f"exit code {done.returncode}"
        raise GitError(f"git: {reason}; call it in the repository, with names that git log knows")
    return done.stdout.decode(errors="replace")
