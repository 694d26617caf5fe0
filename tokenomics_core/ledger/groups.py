"""Groups: by what rows are put together."""

from __future__ import annotations

from dataclasses import dataclass

from tokenomics_core.ledger.filters import tag_path

_COLUMNS = {
    "model": "model",
    "provider": "provider",
    "token": "token_hash",
    "repo": "repo",
    "branch": "branch",
    "commit": "commit_hash",
    "day": "substr(hour, 1, 10)",
    "hour": "hour",
    "session": "session_id",
    "run": "run",
    "status": "status",
    "refusal": "refusal",
}
NAMES = (*_COLUMNS, "tag:NAME")
TIMES = ("day", "hour")


@dataclass(frozen=True, slots=True)
class Group:
    """name: as people say it. sql: an expression on the columns of facts. path: the value in it, of a tag."""

    name: str
    sql: str
    path: str = ""

    @property
    def values(self) -> list[str]:
        return [self.path] if self.path else []


def groups(text: str) -> tuple[Group, ...]:
    """The groups of a list such as ``model,tag:team``. Raises ValueError, with one line for people."""
    names = [name.strip() for name in text.split(",")]
    found = tuple(_group(name) for name in names if name)
    if len({group.name for group in found}) < len(found):
        raise ValueError(f"{text[:80]!r} names a group twice; leave one out")
    return found


def _group(name: str) -> Group:
    if name.startswith("tag:"):
        return Group(name, "json_extract(metadata, ?)", tag_path(name.removeprefix("tag:")))
    if name not in _COLUMNS:
        raise ValueError(f"nothing is grouped by {name[:40]!r}; there are {', '.join(NAMES)}")
    return Group(name, _COLUMNS[name])
