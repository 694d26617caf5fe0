"""Agent profiles: what is known of each agent, from the built-in table and from agents.yaml files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tokenomics_core.config.errors import ConfigError
from tokenomics_core.config.explain import first_problem
from tokenomics_core.config.text_file import read_text
from tokenomics_core.config.yaml_file import parse_yaml

GENERIC = "generic"
"""The profile of everything that has none of its own."""

_BUILT_IN = Path(__file__).with_name("agents.yaml")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SUFFIX = re.compile(r"[\d.]+$")
_NONE: Mapping[str, str] = MappingProxyType({})

Way = Literal["base-url", "proxy"]
Via = Literal["base-url", "proxy", "both"]


def _variable(value: str) -> str:
    if value and not _VARIABLE.fullmatch(value):
        raise ValueError("write the name of an environment variable")
    return value


def _assignment(value: str) -> str:
    name, sign, _ = value.partition("=")
    if not sign or not _VARIABLE.fullmatch(name):
        raise ValueError("write NAME=value")
    return value


def _json_map(value: str) -> str:
    try:
        tree = json.loads(value) if value else {}
    except ValueError:
        raise ValueError("write a JSON object") from None
    if not isinstance(tree, dict):
        raise ValueError("write a JSON object")
    return value


Variable = Annotated[str, AfterValidator(_variable)]
Assignment = Annotated[str, AfterValidator(_assignment)]
JsonMap = Annotated[str, AfterValidator(_json_map)]


class AgentFile(BaseModel):
    """A configuration file that `init --agent` writes.

    path: from the current directory, or from the home with ``~/``.
    variables: key of the map that gets all variables; ``dotenv`` files are nothing but variables.
    content: JSON that is laid over what is there; ``{url}`` in its texts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(min_length=1)]
    format: Literal["json", "toml", "dotenv"]
    variables: str = ""
    content: JsonMap = ""


class Profile(BaseModel):
    """One agent. Texts may hold ``{url}`` and ``{token}``.

    commands: base names it is called by; digits and dots at their end do not count.
    provider: entry of the catalogue whose key and base URL it uses.
    via: the way that works best. ways: those there are.
    base_url: assignments for the base URL way; without any, the provider's variable is set.
    arguments: for the base URL way, inserted after the command.
    json_variable, json_content: a variable that holds JSON, for the base URL way; laid over what is in it.
    key: variables that get the token; without any, the provider's.
    unset: variables that lead around the gateway, or win over the key.
    base_url_note: what the base URL way needs besides, one line for people.
    proxy_defaults: assignments for the proxy way, where the variable is not set yet.
    token_in_proxy_url: the proxy's URL carries the token: the agent may have a login, or sends no key.
    node_preload: it runs in Node, whose older versions know no proxy variables.
    ca: variables by which it comes to trust a CA, as far as known.
    session_headers: headers that name its session.
    telemetry_block, telemetry_pass: hosts beside the provider's; which of them it needs for its work.
    files: what `init --agent` writes. file_key: variable in which they expect the token.
    mapped: ``cli_maps`` gave it another provider than its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    commands: list[str] = []
    provider: str = GENERIC
    via: Via = "base-url"
    ways: list[Way] = ["base-url", "proxy"]
    base_url: list[Assignment] = []
    arguments: list[str] = []
    json_variable: Variable = ""
    json_content: JsonMap = ""
    key: list[Variable] = []
    unset: list[Variable] = []
    base_url_note: str = ""
    proxy_defaults: list[Assignment] = []
    token_in_proxy_url: bool = False
    node_preload: bool = False
    ca: list[Variable] = []
    session_headers: list[str] = []
    telemetry_block: list[str] = []
    telemetry_pass: list[str] = []
    files: list[AgentFile] = []
    file_key: Variable = ""
    quirks: list[str] = []
    mapped: bool = False

    @model_validator(mode="after")
    def _ways_agree(self) -> Profile:
        if not set(ways_of(self.via)) <= set(self.ways):
            raise ValueError(f"via is {self.via}, which is not among its ways")
        return self


class Profiles:
    """The profiles by name, in the order of the files."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._by_name = dict(profiles)
        self._by_command = {command: each for each in profiles.values() for command in each.commands}

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._by_name.values())

    def names(self) -> list[str]:
        return list(self._by_name)

    def get(self, name: str) -> Profile | None:
        """The profile of that name, or of the command of that name."""
        return self._by_name.get(name.lower()) or self._by_command.get(name.lower())

    def of_command(self, command: str, cli_maps: Mapping[str, str] = _NONE) -> Profile:
        """The profile for what is about to be run; ``generic`` when there is none.

        command: as typed, with or without a folder. cli_maps: command name -> provider, from the
        configuration; it says which provider the command uses, whatever the profile says.
        """
        base = re.split(r"[/\\]", command)[-1].lower()
        base = re.sub(r"\.(exe|cmd|bat|ps1)$", "", base)
        names = [command.lower(), base, _SUFFIX.sub("", base)]
        found = next((self._by_command[name] for name in names if name in self._by_command), None)
        profile = found or self._by_name[GENERIC]
        provider = next((cli_maps[name] for name in names if name in cli_maps), "")
        if not provider or provider == profile.provider:
            return profile
        return profile.model_copy(update={"provider": provider, "mapped": True})


def ways_of(via: Via) -> tuple[Way, ...]:
    """``both`` as the two ways that it stands for."""
    return ("base-url", "proxy") if via == "both" else (via,)


def load_profiles(cwd: Path, home: Path, data_dir: Path) -> Profiles:
    """The built-in profiles, overridden field by field by the first agents.yaml there is.

    It is looked for in cwd, the data directory and ``~/.tokenomics``. null takes a profile away, but for
    ``generic``. Raises ConfigError, which names the file and the key.
    """
    merged: dict[str, dict[str, Any]] = parse_yaml(read_text(_BUILT_IN), "agents")["agents"]
    where = {name: f"agents: {name}" for name in merged}
    for folder in (cwd, data_dir, home / ".tokenomics"):
        path = folder / "agents.yaml"
        if path.is_file():
            for name, fields in _read(path).items():
                where[name] = f"{path}: agents.{name}"
                if fields is None and name != GENERIC:
                    merged.pop(name, None)
                else:
                    merged[name] = {**merged.get(name, {}), **_fields(fields, where[name])}
            break
    return Profiles({name: _profile(name, fields, where[name]) for name, fields in merged.items()})


def _read(path: Path) -> dict[str, Any]:
    tree = parse_yaml(read_text(path), str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict) or set(tree) != {"agents"} or not isinstance(tree["agents"], dict | None):
        raise ConfigError(f"{path}: needs the one key 'agents' at its top; put the agents' names below it")
    return tree["agents"] or {}


def _fields(fields: Any, where: str) -> dict[str, Any]:
    if not isinstance(fields, dict | None):
        raise ConfigError(f"{where} is not a map; write lines such as 'provider: openai' below it")
    return {key: value for key, value in (fields or {}).items() if value is not None}


def _profile(name: str, fields: dict[str, Any], where: str) -> Profile:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where} is no agent's name; use letters, digits, dots, dashes and underscores")
    own = {"commands": [name]} if "commands" not in fields else {}
    try:
        return Profile.model_validate({**own, **fields, "name": name})
    except ValidationError as error:
        key, problem = first_problem(error, lambda key: False)
        raise ConfigError(f"{where}.{key} {problem}" if key else f"{where}: {problem}") from None
