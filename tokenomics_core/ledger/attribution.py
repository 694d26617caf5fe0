"""Attribution: the money of a ledger by commit and by branch. The parts add up to the whole exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokenomics_core.ledger.commits import Commit, history, next_commits
from tokenomics_core.ledger.facts import Progress
from tokenomics_core.ledger.filters import Filter
from tokenomics_core.ledger.groups import groups
from tokenomics_core.ledger.query import Grouped, Totals, by, summed, total


@dataclass(slots=True)
class CommitCost:
    """subject, committed_at: empty where git does not know the commit."""

    hash: str
    subject: str
    committed_at: str
    branches: tuple[str, ...]
    totals: Totals


@dataclass(slots=True)
class Costs:
    """commits: in commit order; those that git does not know come last. listed: all of these together.

    no_commit: rows outside of a repository. uncommitted: work after which no commit was made yet, only where
    cost goes to the next one. other: rows of commits that were not asked for. branches: all rows by branch,
    under None those without one. total: everything; listed, no_commit, uncommitted and other add up to it,
    and so do the branches.
    """

    commits: list[CommitCost]
    listed: Totals = field(default_factory=Totals)
    no_commit: Totals = field(default_factory=Totals)
    uncommitted: Totals = field(default_factory=Totals)
    other: Totals = field(default_factory=Totals)
    branches: dict[str | None, Totals] = field(default_factory=dict)
    total: Totals = field(default_factory=Totals)


def costs(
    path: Path,
    filter: Filter,
    *,
    asked: Sequence[Commit] | None,
    folder: Path | None,
    to_next: bool,
    progress: Progress | None = None,
) -> Costs:
    """asked: the commits to list, None for all that have rows. folder: in the repository, None for no git.

    to_next: a row belongs to the commit that was made next on its branch, not to the one it began at.
    Raises LedgerError, GitError, ValueError.
    """
    found = summed(path, filter, groups("branch,commit"), progress=progress)
    known = history(folder) if folder is not None and (asked is None or to_next) else []
    belongs: Mapping[tuple[str, str], str | None] = {}
    if to_next and folder is not None:
        belongs = next_commits(folder, known, _checked_out(found))
    result = Costs([], branches={_text(name): each for name, each in by(found, 0).items()})
    by_commit: dict[str, CommitCost] = {}
    shown = {commit.hash: commit for commit in (known if asked is None else asked)}
    for each in found:
        branch, hash = (_text(value) for value in each.values)
        goes_to = belongs.get((branch or "", hash), hash) if hash is not None else None
        if hash is None:
            result.no_commit.add(each.totals)
        elif goes_to is None:
            result.uncommitted.add(each.totals)
        elif asked is not None and goes_to not in shown:
            result.other.add(each.totals)
        else:
            cost = by_commit.setdefault(goes_to, CommitCost(goes_to, "", "", (), Totals()))
            cost.totals.add(each.totals)
            if branch and branch not in cost.branches:
                cost.branches = (*cost.branches, branch)
    for hash, commit in shown.items():
        told = by_commit.get(hash)
        if told is None and asked is not None:
            told = by_commit[hash] = CommitCost(hash, "", "", (), Totals())
        if told is not None:
            told.subject, told.committed_at = commit.subject, f"{commit.committed_at:%Y-%m-%dT%H:%M:%SZ}"
            result.commits.append(told)
    unknown = [cost for hash, cost in by_commit.items() if hash not in shown]
    result.commits += sorted(unknown, key=lambda cost: (cost.totals.first, cost.hash))
    for told in result.commits:
        result.listed.add(told.totals)
    result.total = total(found)
    return result


def _checked_out(found: Sequence[Grouped]) -> list[tuple[str, str]]:
    return [(str(each.values[0] or ""), str(each.values[1])) for each in found if each.values[1]]


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)
