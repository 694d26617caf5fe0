"""load_config: flag over environment over file over default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tokenomics_core.config.errors import ConfigError
from tokenomics_core.config.explain import first_problem, without_indexes
from tokenomics_core.config.keys import Key, fields, leaves, unknown
from tokenomics_core.config.schema import Config
from tokenomics_core.config.text_file import read_text
from tokenomics_core.config.variables import fill_variables

_FILE_NAMES = ("config.yaml", "config.yml")

# Keys that are paths, with the value that is relative to the data directory; others are to the current one.
_PATHS = {
    "server.tls.cert_dir": "./certs",
    "server.tls.cert_file": "",
    "server.tls.key_file": "",
    "server.upstream_ca": "",
    "storage.db_path": "./tokenomics.db",
    "logging.proxy_log_file": "*",
    "logging.file.path": "",
    "pricing_table": "*",
}

# Variables of TokenGate. Their names are anybody's, so they count only where nothing else gives the key.
_TOKENGATE = {"DEFAULT_BUDGET": "session.default_budget_usd", "STRICT_MODE": "session.strict"}

# Maps in which a key without a value says something.
_FREE_MAPS = ("providers", "pricing")


def load_config(
    *,
    path: str | None = None,
    dir: str | None = None,
    db: str | None = None,
    environ: Mapping[str, str],
    cwd: Path,
    home: Path,
) -> Config:
    """The configuration from flags, environment and file; reads only, creates nothing.

    path, dir, db: the values of --config, --dir and --db; None when not given.
    environ: the environment with the .env files in it (`load_dotenv_files`). cwd and home: absolute.
    Raises ConfigError; what is merely ignored is in `Config.warnings`.
    """
    try:
        return _load(path, dir, db, environ, cwd, home)
    except ConfigError as error:
        raise ConfigError(f"load config: {error}") from None
    except OSError as error:
        raise ConfigError(f"load config: {error.filename}: {error.strerror}") from None


def _load(
    path: str | None, dir: str | None, db: str | None, environ: Mapping[str, str], cwd: Path, home: Path
) -> Config:
    warnings: list[str] = []
    source: Path | None
    named_dir = dir or environ.get("TOKENOMICS_DIR")
    own_dir = _absolute(named_dir, cwd, home) if named_dir else home / ".tokenomics"

    if path:
        source, tree = _read_named(_absolute(path, cwd, home))
    else:
        source, tree = _search(cwd, own_dir, warnings)
    name = str(source)
    tree = _without_empty(fill_variables(tree, environ, name))
    for key, near in unknown(tree):
        hint = f"; did you mean {near}?" if near else ""
        warnings.append(f"{name}: unknown key {key} is ignored{hint}")

    variables = dict(_from_environment(tree, environ, warnings))
    if dir:
        tree["dir"] = dir
    given = tree.get("dir") or str(own_dir)
    if isinstance(given, str):
        tree["dir"] = _absolute(given, cwd, home)
        _make_paths_absolute(tree, tree["dir"], cwd, home)
    if db:
        _put(tree, "storage.db_path", _absolute(db, cwd, home))

    known = {key: value for key, value in tree.items() if key in fields(Config)}
    try:
        config = Config(**known, source=source, warnings=warnings)
    except ValidationError as error:
        key, problem = first_problem(error, _is_secret)
        variable = variables.get(without_indexes(key))
        raise ConfigError(f"{variable or f'{name}: {key}'} {problem}") from None
    _check_prices(config, name, variables.get("pricing_table") or f"{name}: pricing_table")
    return config


def _check_prices(config: Config, name: str, table: str) -> None:
    """name, table: what the two places of prices are called in errors."""
    if not config.pricing and config.pricing_table is None:
        return
    # Only here: all built-in prices come with it, and most commands need none.
    from tokenomics_core.meter.prices.written import PriceError, read_overrides, read_table

    where = name
    try:
        read_overrides(config.pricing)
        if config.pricing_table is not None:
            where = table
            read_table(config.pricing_table)
    except PriceError as error:
        raise ConfigError(f"{where}: {error}") from None


def _read_named(path: Path) -> tuple[Path, dict[str, Any]]:
    # Here and below, as a command without a configuration file needs no parser.
    from tokenomics_core.config.yaml_file import parse_yaml

    tree = parse_yaml(read_text(path), str(path))
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"{path}: is not a map of keys; write lines such as 'server:'")
    return path, tree or {}


def _search(cwd: Path, own_dir: Path, warnings: list[str]) -> tuple[Path | None, dict[str, Any]]:
    for folder in (cwd / ".tokenomics", cwd, own_dir):
        for path in (folder / name for name in _FILE_NAMES):
            if not path.is_file():
                continue
            # Many projects have a config.yaml of their own in the directory one happens to be in.
            if folder == cwd and folder != own_dir and not _is_ours(path):
                warnings.append(f"{path}: has no key of Tokenomics and is ignored")
                continue
            return _read_named(path)
    return None, {}


def _is_ours(path: Path) -> bool:
    """Whether the file has a top-level key of ours; in broken YAML, whether a line looks like one."""
    from tokenomics_core.config.yaml_file import parse_yaml

    text = read_text(path)
    try:
        tree = parse_yaml(text, str(path))
        found = list(tree) if isinstance(tree, dict) else []
    except ConfigError:
        found = re.findall(r"^['\"]?(\w+)['\"]?[ \t]*:", text.lower(), re.MULTILINE)
    return any(key in fields(Config) for key in found)


def _from_environment(
    tree: dict[str, Any], environ: Mapping[str, str], warnings: list[str]
) -> Iterator[tuple[str, str]]:
    """Puts the variables into the tree; yields key and variable of each."""
    keys = {key.variable: key for key in leaves() if key.variable}
    for variable in sorted(environ):
        if not environ[variable]:
            continue
        if variable in keys:
            _put(tree, keys[variable].name, environ[variable])
            yield keys[variable].name, variable
        elif near := _misspelled(variable, keys):
            warnings.append(f"the variable {variable} is no configuration key and is ignored{near}")
    for variable, name in _TOKENGATE.items():
        if environ.get(variable) and _get(tree, name) is None:
            _put(tree, name, environ[variable])
            yield name, variable


def _misspelled(variable: str, keys: Mapping[str, Key]) -> str:
    """What to say of a variable that looks like one of ours and is none; empty when it does not."""
    if not variable.startswith("TOKENOMICS_"):
        return ""
    if close := get_close_matches(variable, keys, n=1, cutoff=0.9):
        return f"; did you mean {close[0]}?"
    sections = {key.name.partition(".")[0] for key in leaves() if "." in key.name or not key.variable}
    if any(variable.startswith(f"TOKENOMICS_{section.upper()}_") for section in sections):
        return "; lists and maps can only be set in the file"
    return ""


def _make_paths_absolute(tree: dict[str, Any], data_dir: Path, cwd: Path, home: Path) -> None:
    for key, in_data_dir in _PATHS.items():
        value = _get(tree, key)
        if isinstance(value, str):
            inside = in_data_dir == "*" or value.rstrip("/") == in_data_dir
            _put(tree, key, _absolute(value, data_dir if inside else cwd, home))


def _absolute(text: str, cwd: Path, home: Path) -> Path:
    """~ is home, anything relative lies in cwd."""
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    return Path(text) if Path(text).is_absolute() else (cwd / text)


def _get(tree: dict[str, Any], dotted: str) -> Any:
    value: Any = tree
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, last = dotted.split(".")
    for part in sections:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[last] = value


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    """An empty key is a key that is not there, except in the maps of others' names."""
    return {
        key: _without_empty(value) if isinstance(value, dict) and key not in _FREE_MAPS else value
        for key, value in tree.items()
        if value is not None and value != ""
    }


def _is_secret(dotted: str) -> bool:
    """A secret, or anything below a key that may hold some."""
    return any(dotted == key.name or dotted.startswith(f"{key.name}.") for key in leaves() if key.secret)
