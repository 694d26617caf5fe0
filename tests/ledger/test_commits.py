from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ledger.build import a_row
from tests.ledger.git_repository import Repository
from tests.ledger.test_query import write
from tokenomics_core.ledger.attribution import Costs, costs
from tokenomics_core.ledger.commits import GitError, history, in_repository, listed
from tokenomics_core.ledger.filters import Filter
from tokenomics_core.ledger.query import Totals


class Work:
    """main: one, two, merge of topic. topic, from one: three. Rows in between, each dearer than the last."""

    def __init__(self, folder: Path) -> None:
        self.repo = Repository(folder / "repo")
        self.ledger = folder / "ledger.db"
        self.rows = 0
        self.ask("main", "")
        self.one = self.repo.commit("one")
        self.ask("main", self.one)
        self.repo.git("switch", "--quiet", "-c", "topic")
        self.ask("topic", self.one)
        self.three = self.repo.commit("three: rounding")
        self.ask("topic", self.three)
        self.repo.git("switch", "--quiet", "main")
        self.two = self.repo.commit("two")
        self.ask("main", self.two)
        self.ask("", "")

    def ask(self, branch: str, commit: str) -> None:
        """Costs 1, 2, 4, 8, ... so that a sum says which ones are in it."""
        usd = Decimal(2**self.rows) / 1000
        write(self.ledger, [a_row(self.rows, branch=branch, commit_hash=commit, cost_usd=usd)])
        self.rows += 1

    def costs(self, range: str = "", *, to_next: bool = False, **filter: list[str]) -> Costs:
        return costs(
            self.ledger,
            Filter(**filter),  # type: ignore[arg-type]
            asked=listed(self.repo.folder, range) if range else None,
            folder=self.repo.folder,
            to_next=to_next,
        )


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def by_subject(found: Costs) -> dict[str, int]:
    return {each.subject: int(each.totals.cost_usd * 1000) for each in found.commits}


def whole(found: Costs) -> None:
    """The lines add up to the total, in every number; so do the branches."""
    for parts in (
        [*(each.totals for each in found.commits), found.no_commit, found.uncommitted, found.other],
        list(found.branches.values()),
    ):
        added = Totals()
        for part in parts:
            added.add(part)
        for field in fields(Totals):
            assert getattr(added, field.name) == getattr(found.total, field.name)


def test_by_the_commit_that_was_checked_out(work: Work) -> None:
    found = work.costs()
    assert by_subject(found) == {"one": 2 + 4, "two": 16, "three: rounding": 8}
    assert next(each.subject for each in found.commits) == "one"
    assert int(found.no_commit.cost_usd * 1000) == 1 + 32
    assert {name: int(each.cost_usd * 1000) for name, each in found.branches.items()} == {
        "main": 1 + 2 + 16,
        "topic": 4 + 8,
        None: 32,
    }
    assert found.total.cost_usd == Decimal("0.063")
    whole(found)


def test_by_the_commit_that_was_made_next(work: Work) -> None:
    found = work.costs(to_next=True)
    assert by_subject(found) == {"two": 2, "three: rounding": 4}
    assert int(found.uncommitted.cost_usd * 1000) == 8 + 16
    whole(found)


def test_a_range(work: Work) -> None:
    found = work.costs("main..topic")
    assert (by_subject(found), int(found.other.cost_usd * 1000)) == ({"three: rounding": 8}, 2 + 4 + 16)
    whole(found)
    found = work.costs("main..topic", to_next=True)
    assert (by_subject(found), int(found.other.cost_usd * 1000)) == ({"three: rounding": 4}, 2)
    whole(found)
    assert by_subject(work.costs("HEAD")) == {"two": 16}
    assert by_subject(work.costs("HEAD~1..")) == {"two": 16}
    assert by_subject(work.costs("HEAD..HEAD")) == {}


def test_filters_hold(work: Work) -> None:
    found = work.costs(branches=["topic"])
    assert by_subject(found) == {"one": 4, "three: rounding": 8}
    assert int(found.total.cost_usd * 1000) == 12
    whole(found)


def test_a_branch_that_was_merged_and_deleted(work: Work) -> None:
    work.repo.git("merge", "--quiet", "--no-edit", "topic")
    work.repo.git("branch", "-D", "topic")
    found = work.costs(to_next=True)
    # Where topic went is not known any more: of the commits made after one, the earliest.
    assert by_subject(found)["three: rounding"] == 4
    assert by_subject(found)["Merge branch 'topic'"] == 16
    whole(found)


def test_a_commit_that_was_amended(work: Work) -> None:
    work.repo.git("commit", "--quiet", "--amend", "--allow-empty", "-m", "two, better")
    work.ask("main", work.repo.git("rev-parse", "HEAD"))
    found = work.costs()
    assert by_subject(found) == {"one": 6, "two": 16, "two, better": 64, "three: rounding": 8}
    whole(found)


def test_commits_that_git_does_not_know(work: Work, tmp_path: Path) -> None:
    work.ask("main", "f" * 40)
    found = work.costs()
    last = found.commits[-1]
    assert (last.hash, last.subject, int(last.totals.cost_usd * 1000)) == ("f" * 40, "", 64)
    whole(found)
    without = costs(work.ledger, Filter(), asked=None, folder=None, to_next=False)
    assert {each.hash: each.totals for each in without.commits} == {
        each.hash: each.totals for each in found.commits
    }
    whole(without)


def test_a_subject_does_not_reach_the_terminal_as_it_is(work: Work) -> None:
    work.repo.commit("red \x1b[31m\u2028 line\x0b")
    assert listed(work.repo.folder, "HEAD")[0].subject == "red \ufffd[31m\ufffd line\ufffd"
    assert len(listed(work.repo.folder, "HEAD~1..")) == 1


def test_no_repository(tmp_path: Path) -> None:
    assert not in_repository(tmp_path)
    with pytest.raises(GitError, match="not a git repository"):
        listed(tmp_path, "HEAD")
    empty = Repository(tmp_path / "empty")
    assert (in_repository(empty.folder), history(empty.folder)) == (True, [])


@pytest.mark.parametrize("range", ["nowhere..", "--output=x", "", "HEAD; touch x", "-n1"])
def test_ranges_that_git_does_not_take(range: str, work: Work) -> None:
    with pytest.raises(GitError):
        listed(work.repo.folder, range)
    assert not list(work.repo.folder.glob("x*"))
