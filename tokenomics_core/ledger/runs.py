"""Runs: what each process of the gateway, and each session that a client named, came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tokenomics_core.ledger.facts import Progress, facts
from tokenomics_core.ledger.filters import Filter
from tokenomics_core.ledger.groups import groups
from tokenomics_core.ledger.query import Totals, summed


@dataclass(slots=True)
class Run:
    """id: of the process; the empty string for rows that do not say which one served them. Of a session that
    a client named: its name, and token is whose it is. Times are text as rows have them; ended_at is the last
    row's where nobody wrote down the end. git: of the process, at its start, then ``commit_end``.
    """

    id: str
    token: str = ""
    started_at: str = ""
    ended_at: str = ""
    git: dict[str, str] = field(default_factory=dict)
    branches: dict[str, None] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    by_model: dict[str, Totals] = field(default_factory=dict)
    by_provider: dict[str, Totals] = field(default_factory=dict)
    by_token: dict[str, Totals] = field(default_factory=dict)
    models: dict[str, set[str]] = field(default_factory=dict)
    """Of each token."""


def runs(path: Path, filter: Filter, *, named: bool = False, progress: Progress | None = None) -> list[Run]:
    """Those with rows that fit, the oldest first. named: sessions that clients named. Raises LedgerError."""
    key = "session" if named else "run"
    found: dict[tuple[str, str], Run] = {}
    for each in summed(path, filter, groups(f"{key},token,model,provider,branch"), progress=progress):
        id, token, model, provider, branch = (str(value or "") for value in each.values)
        if named and not id:
            continue
        whose = token if named else ""
        run = found.setdefault((id, whose), Run(id, whose))
        run.totals.add(each.totals)
        for name, sums in ((model, run.by_model), (provider, run.by_provider), (token, run.by_token)):
            if name:
                sums.setdefault(name, Totals()).add(each.totals)
        if branch:
            run.branches.setdefault(branch)
        if model:
            run.models.setdefault(token, set()).add(model)
    written = {} if named or not found else _written(path)
    for (id, _), run in found.items():
        told = written.get(id, {})
        run.started_at = told.get("started_at") or run.totals.first
        run.ended_at = told.get("ended_at") or run.totals.last
        run.git = told.get("git", {})
    return sorted(found.values(), key=lambda run: (run.started_at, run.id, run.token))


def _written(path: Path) -> dict[str, dict[str, Any]]:
    """What the ledger has written down of processes, by their id."""
    with facts(path) as db:
        lines = db.execute(
            "SELECT run, started_at, ended_at, git, commit_end FROM ledger.sessions"
        ).fetchall()
    told: dict[str, dict[str, Any]] = {}
    for id, started, ended, git, commit_end in lines:
        said: dict[str, Any] = orjson.loads(git) if git else {}
        begun = {
            "branch": said.get("branch"),
            "commit_start": said.get("commit"),
            "commit_end": commit_end,
            "repo_root": said.get("repo"),
        }
        told[id] = {
            "started_at": started,
            "ended_at": ended,
            "git": {name: value for name, value in begun.items() if value},
        }
    return told
