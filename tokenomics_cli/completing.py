"""What the shell is offered for a word that is being typed: hashes, sessions, providers, models.

These functions answer while somebody waits for a key. They read files only, make none, ask nobody over a
network, and offer nothing where something is wrong.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenomics_core.config import Config
    from tokenomics_core.providers import Catalogue

MOST = 200
"""Words offered at once."""

_SESSION = re.compile(r"session:(.+):usd:total", re.DOTALL)
# A shell evaluates what it is offered: names that could be more than a word are not.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+,=-]+")


def token_hashes(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """The hashes that begin so, each with its label."""
    rows = _rows(
        _config(ctx).storage.db_path,
        "SELECT hash, label FROM tokens WHERE substr(hash, 1, ?) = ? ORDER BY hash LIMIT ?",
        (len(incomplete), incomplete.lower(), MOST),
    )
    return [(hash, re.sub(r"[^\w .,-]", "", label, flags=re.ASCII)) for hash, label in rows]


def sessions(ctx: Any, incomplete: str) -> list[str]:
    """The sessions of this machine's counters that begin so."""
    from tokenomics_core.counters.opening import FILE

    rows = _rows(
        _config(ctx).dir / FILE,
        "SELECT DISTINCT key FROM counters WHERE substr(key, 1, ?) = ? AND key LIKE '%:usd:total'"
        " UNION SELECT key || ':usd:total' FROM gates WHERE substr(key, 1, ?) = ? ORDER BY 1 LIMIT ?",
        (*(about := (len(incomplete) + 8, f"session:{incomplete}")), *about, MOST),
    )
    found = (_SESSION.fullmatch(key) for (key,) in rows)
    return [match[1] for match in found if match and _PLAIN.fullmatch(match[1])]


def providers(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """The providers that begin so, each with its URL."""
    wanted = incomplete.lower()
    return [(each.name, each.upstream_url) for each in _catalogue(ctx) if each.name.startswith(wanted)]


def models(ctx: Any, incomplete: str) -> list[str]:
    """The models that the catalogue lists and that begin so."""
    listed = {model for provider in _catalogue(ctx) for model in provider.models}
    return sorted(name for name in listed if name.startswith(incomplete) and _PLAIN.fullmatch(name))[:MOST]


def _config(ctx: Any) -> Config:
    """With the global flags that stand on the line; .env files count as they do for the command."""
    from tokenomics_core.config import load_config, load_dotenv_files

    flags: dict[str, str] = {}
    while ctx is not None:
        given = {name: ctx.params.get(name) for name in ("config", "dir", "db")}
        flags = {name: value for name, value in given.items() if value} | flags
        ctx = ctx.parent
    cwd, home = Path.cwd(), Path.home()
    environ = load_dotenv_files(os.environ, cwd, home)
    return load_config(
        path=flags.get("config"),
        dir=flags.get("dir"),
        db=flags.get("db"),
        environ=environ,
        cwd=cwd,
        home=home,
    )


def _catalogue(ctx: Any) -> Catalogue:
    from tokenomics_core.providers import load_catalogue

    return load_catalogue(_config(ctx), Path.cwd(), Path.home(), os.environ)


def _rows(path: Path, query: str, values: tuple[Any, ...]) -> Iterator[Any]:
    if not path.exists():
        return iter(())
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)) as database:
        return iter(database.execute(query, values).fetchall())
