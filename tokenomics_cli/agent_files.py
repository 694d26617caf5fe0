"""Writes the configuration files of an agent: private, at once, with a backup, and only what changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tokenomics_cli.errors import CommandError
from tokenomics_cli.shells import NotWritable, dotenv
from tokenomics_core.agents import AgentFile
from tokenomics_core.agents.edits import EditError, edit_dotenv, edit_json, edit_toml
from tokenomics_core.agents.environment import filled


class Change(NamedTuple):
    """A file as it is and as it will be."""

    path: Path
    old: str | None
    new: str


def plan(file: AgentFile, variables: Mapping[str, str], url: str, token: str, home: Path) -> Change:
    """What writing this file would do; raises CommandError where it cannot be edited."""
    path = home / file.path[2:] if file.path.startswith("~/") else Path(file.path)
    content = filled(file.content, url, token)
    if file.variables:
        content[file.variables] = dict(variables)
    old = _read(path)
    try:
        match file.format:
            case "json":
                new = edit_json(old or "", content)
            case "toml":
                new = edit_toml(old or "", content)
            case "dotenv":
                new = edit_dotenv(old or "", variables, dotenv)
    except EditError as error:
        raise CommandError(
            f"{path} {error}; it was left as it is, correct it or use --output shell"
        ) from None
    except NotWritable as error:
        raise CommandError(f"{error}; use --output shell or json") from None
    return Change(path, old, new)


def plan_dotenv(path: str, variables: Mapping[str, str], home: Path) -> Change:
    """A .env file with these variables."""
    return plan(AgentFile(path=path, format="dotenv"), variables, "", "", home)


def write(change: Change, *, backup: bool) -> bool:
    """Puts the file in place (0600), the old one beside it as ``.bak``; False when nothing changed."""
    from tokenomics_core.certificates.files import SECRET
    from tokenomics_core.certificates.files import write as put

    # A link stays a link: the file it leads to is written.
    path = change.path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if backup and change.old is not None and change.old != change.new:
        put(path.with_name(path.name + ".bak"), change.old.encode(), SECRET)
    return put(path, change.new.encode(), SECRET)


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8; it was left as it is, save it as UTF-8") from None
