"""Places: which file an entry goes to, and which writers a request has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenomics_core.config import Config
from tokenomics_core.policy.schema import Memory

Format = Literal["markdown", "jsonl", "both"]

PATTERN = "{token_hash}.md"
"""The name of a policy's file where it names none."""

PREFIX = 16
"""Characters of a token's hash by which it is told from others."""

MEBIBYTE = 1024 * 1024
DEFAULT_SIZE = 100 * MEBIBYTE

_ODD = re.compile(r"[^0-9A-Za-z_-]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\\]")
_LONGEST_NAME = 200
"""Bytes of one part of a path; archives append a time to it."""


@dataclass(frozen=True, slots=True)
class Place:
    """The file of a policy's memory.

    folder: the pattern leads nowhere else. pattern: a path below it, with ``{token_hash}``,
    ``{session_id}`` and ``{date}``. single: one file for all tokens, where the policy names a file and no
    pattern; a folder that is there under its name becomes the folder. limit: bytes above which a file is set
    aside, None for never. compress: what is set aside is packed.
    """

    folder: Path
    pattern: str
    single: bool
    limit: int | None
    compress: bool

    def path(self, token_hash: str, date: str) -> Path:
        """date: YYYY-MM-DD. Looks at the disk where the policy names a single file."""
        if self.single:
            file = self.folder / self.pattern
            if not file.is_dir():
                return file
            return below(file, PATTERN, token_hash, date)
        return below(self.folder, self.pattern, token_hash, date)


def below(folder: Path, pattern: str, token_hash: str, date: str) -> Path:
    """The path that the pattern makes, always inside the folder: parts that lead out of it are left out."""
    short = _ODD.sub("_", token_hash[:PREFIX]) or "_"
    if not pattern or pattern.endswith("/"):
        pattern += PATTERN
    values = {"token_hash": short, "session_id": short, "date": _ODD.sub("_", date)}
    name = re.sub(r"\{(token_hash|session_id|date)\}", lambda found: values[found[1]], pattern)
    parts = [_part(part) for part in name.split("/")]
    kept = [part for part in parts if part not in ("", ".", "..")]
    return folder.joinpath(*(kept or [short + ".md"]))


def place_of(memory: Memory, folder: Path, home: Path) -> Place:
    """Where a policy wants its entries. folder: for what it does not say, and for relative paths.

    home: what ``~`` stands for.
    """
    if memory.max_size_mb > 0:
        limit: int | None = memory.max_size_mb * MEBIBYTE
    elif memory.max_size_mb == 0 and memory.compress_old:
        limit = DEFAULT_SIZE
    else:
        limit = None
    given = memory.file_path.replace("\0", "")
    path = folder / _expanded(given, home) if given else folder
    single = bool(given) and not memory.file_name and not given.endswith("/")
    if single:
        return Place(path.parent, path.name, True, limit, memory.compress_old)
    return Place(path, memory.file_name or PATTERN, False, limit, memory.compress_old)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of memory. folder: ``memory`` in the data directory.

    ledger: every token is recorded that does not say no. redis: there is one. events: the session file tells
    what was sent and answered, event by event.
    """

    folder: Path
    home: Path
    ledger: bool = True
    format: Format = "markdown"
    redis: bool = False
    events: bool = False

    @classmethod
    def of(cls, config: Config, home: Path) -> Settings:
        ledger = config.ledger
        return cls(
            config.dir / "memory",
            home,
            ledger.enabled and ledger.memory,
            ledger.memory_format,
            config.session.backend == "redis",
            ledger.enabled and ledger.event_ledger,
        )


@dataclass(frozen=True, slots=True)
class Writers:
    """Who writes an exchange down. problem: what the policy asks for and does not get, for people.

    markdown: the file of the ledger's session. lines: the day's JSON lines. place: the policy's file.
    redis: the token's list. events: the session's communication events.
    """

    markdown: bool = False
    lines: bool = False
    place: Place | None = None
    redis: bool = False
    problem: str = ""
    events: bool = False

    def __bool__(self) -> bool:
        return self.markdown or self.lines or self.place is not None or self.redis or self.events


NOBODY = Writers()


def writers_for(memory: Memory, settings: Settings) -> Writers:
    """The writers of a token's exchanges.

    A policy that says ``"enabled": false`` is recorded by nobody; one that says nothing, by the ledger alone.
    """
    if not memory.enabled and "enabled" in memory.model_fields_set:
        return NOBODY
    markdown = settings.ledger and settings.format in ("markdown", "both")
    lines = settings.ledger and settings.format in ("jsonl", "both")
    if not memory.enabled:
        return Writers(markdown, lines, events=settings.events)
    named = bool(memory.file_path or memory.file_name)
    redis = memory.redis and settings.redis
    problem = ""
    if memory.redis and not settings.redis:
        problem = "a policy's memory wants redis, but session.backend is not redis; it is written to a file"
    place = None if redis and not named else place_of(memory, settings.folder, settings.home)
    return Writers(markdown, lines, place, redis, problem, settings.events)


def _expanded(path: str, home: Path) -> Path:
    first, _, rest = path.partition("/")
    return home / rest if first == "~" else Path(path)


def _part(part: str) -> str:
    """One part of a path, as every file system takes it."""
    part = _UNPRINTABLE.sub("_", part.strip())
    return part.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
