"""The provider catalogue: the built-in table, overridden field by field by files and configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from tokenomics_core.config.base_url import normal_host, parse_base_url
from tokenomics_core.config.errors import ConfigError
from tokenomics_core.config.explain import first_problem
from tokenomics_core.config.schema import Config
from tokenomics_core.config.text_file import read_text
from tokenomics_core.config.variables import fill_variables
from tokenomics_core.config.yaml_file import parse_yaml
from tokenomics_core.providers.provider import Provider, ProviderFields

_BUILT_IN = Path(__file__).with_name("catalogue.yaml")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_PLACEHOLDER = re.compile(r"\\\{([a-z_]+)\\\}")
_NONE: Mapping[str, str] = MappingProxyType({})

# Values of these are not shown in errors: people put keys into them.
_HIDDEN = ("api_key_env", "headers", "default_headers", "query", "parameters")

# Provider name -> fields, as they are written. None takes away what lies below.
_Entries = dict[str, dict[str, Any] | None]


class Catalogue:
    """Providers by name, in the order of their names."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._by_name = dict(sorted(providers.items()))
        self._by_host: dict[tuple[str, int, str], list[Provider]] = {}
        self._patterns: list[tuple[re.Pattern[str], int, str, Provider]] = []
        # An alias comes after the entry that it copies.
        for provider in sorted(self._by_name.values(), key=lambda p: bool(p.alias_of)):
            if "{" in provider.host:
                pattern = _host_pattern(provider)
                self._patterns.append((pattern, provider.port, provider.scheme, provider))
            elif provider.host:
                at = (provider.host, provider.port, provider.scheme)
                self._by_host.setdefault(at, []).append(provider)

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._by_name.values())

    def names(self) -> list[str]:
        return list(self._by_name)

    def get(self, name: str) -> Provider | None:
        """The provider of that name in any case."""
        return self._by_name.get(name.lower())

    def by_host(self, host: str, port: int, scheme: str) -> list[Provider]:
        """The providers that live at exactly this host, port and scheme; a copied one before its aliases.

        A subdomain of a provider's host is another host. ``{name}`` in a host stands for one label, or for
        the one value that parameters give it.
        """
        host = normal_host(host)
        found = list(self._by_host.get((host, port, scheme), ()))
        for pattern, its_port, its_scheme, provider in self._patterns:
            if (its_port, its_scheme) == (port, scheme) and pattern.fullmatch(host):
                found.append(provider)
        return found


def load_catalogue(config: Config, cwd: Path, home: Path, environ: Mapping[str, str] = _NONE) -> Catalogue:
    """The built-in table, overridden by providers.yaml, overridden by ``config.providers``.

    providers.yaml is the first of ``./``, the data directory and ``~/.tokenomics/``. Fields are merged one by
    one, maps such as headers key by key; null takes a field, a key or a whole provider away.
    environ: fills ``${NAME}`` in providers.yaml. Raises ConfigError.
    """
    built_in = parse_yaml(read_text(_BUILT_IN), "catalogue")
    layers = [(str(config.source or "configuration"), "providers.", _lower_names(config.providers))]
    for folder in (cwd, config.dir, home / ".tokenomics"):
        path = folder / "providers.yaml"
        if path.is_file():
            layers.insert(0, (str(path), "providers.", _read(path, environ)))
            break
    for source, prefix, entries in layers:
        for name, fields in entries.items():
            _check(name, fields, f"{source}: {prefix}{name}")

    merged: _Entries = dict(built_in["providers"])
    aliases: dict[str, dict[str, Any]] = built_in["aliases"]
    originals = {name: fields for name, fields in merged.items() if fields}
    for _, _, entries in layers:
        _overlay(merged, {name: fields for name, fields in entries.items() if name not in aliases})
    for alias, changes in aliases.items():
        original = merged.get(changes["of"])
        if original is not None:
            own = {key: value for key, value in changes.items() if key != "of"}
            merged[alias] = _merge(original, own)
            originals[alias] = originals[changes["of"]]
    for _, _, entries in layers:
        _overlay(merged, {name: fields for name, fields in entries.items() if name in aliases})

    providers = {}
    for name, fields in merged.items():
        if fields is not None:
            alias_of = aliases[name]["of"] if name in aliases else ""
            providers[name] = _provider(name, fields, originals.get(name, fields), alias_of)
    return Catalogue(providers)


def _read(path: Path, environ: Mapping[str, str]) -> _Entries:
    tree = fill_variables(parse_yaml(read_text(path), str(path)), environ, str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict) or set(tree) != {"providers"}:
        raise ConfigError(
            f"{path}: needs the one key 'providers' at its top; put the provider names below it"
        )
    if not isinstance(tree["providers"], dict | None):
        raise ConfigError(f"{path}: providers is not a map; write lines such as 'openai:' below it")
    return tree["providers"] or {}


def _lower_names(entries: _Entries) -> _Entries:
    return {name.lower(): fields for name, fields in entries.items()}


def _check(name: str, fields: Any, where: str) -> None:
    """Raises ConfigError when one layer's words about one provider are wrong by themselves."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where} is no provider name; use letters, digits, dots, dashes and underscores")
    if fields is None:
        return
    if not isinstance(fields, dict):
        raise ConfigError(f"{where} is not a map; write lines such as 'upstream_url: https://...' below it")
    try:
        ProviderFields.model_validate(_merge({}, fields))
    except ValidationError as error:
        key, problem = first_problem(error, lambda key: key.partition(".")[0] in _HIDDEN)
        raise ConfigError(f"{where}.{key} {problem}") from None


def _overlay(below: _Entries, above: _Entries) -> None:
    for name, fields in above.items():
        below[name] = None if fields is None else _merge(below.get(name) or {}, fields)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            inner = merged.get(key)
            merged[key] = _merge(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _provider(name: str, fields: dict[str, Any], original: dict[str, Any], alias_of: str) -> Provider:
    """original: the built-in fields, or the provider's own when it is not built in."""
    default = {"base_url_env": re.sub(r"[^A-Z0-9]", "_", name.upper()) + "_BASE_URL"}
    location: dict[str, Any] = {}
    if url := original.get("upstream_url"):
        base = parse_base_url(url)
        location = {"scheme": base.scheme, "host": base.host, "port": base.port}
    return Provider.model_validate({**default, **fields, **location, "name": name, "alias_of": alias_of})


def _host_pattern(provider: Provider) -> re.Pattern[str]:
    def label(match: re.Match[str]) -> str:
        value = provider.parameters.get(match[1], "")
        return re.escape(value.lower()) if value else "[a-z0-9-]+"

    return re.compile(_PLACEHOLDER.sub(label, re.escape(provider.host)))
