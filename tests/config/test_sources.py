"""Where the configuration comes from, and which word counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import Load
from tokenomics_core.config import ConfigError, load_config

OURS = "server: {http_port: 9001}\n"


@pytest.mark.parametrize(
    ("files", "flag_dir", "found"),
    [
        ([], None, None),
        (["home/.tokenomics/config.yaml"], None, "home/.tokenomics/config.yaml"),
        (["home/.tokenomics/config.yml"], None, "home/.tokenomics/config.yml"),
        (["cwd/config.yml", "home/.tokenomics/config.yaml"], None, "cwd/config.yml"),
        (["cwd/config.yaml", "cwd/config.yml"], None, "cwd/config.yaml"),
        (["cwd/.tokenomics/config.yml", "cwd/config.yaml"], None, "cwd/.tokenomics/config.yml"),
        (["data/config.yaml", "home/.tokenomics/config.yaml"], "../data", "data/config.yaml"),
        (["cwd/config.yaml", "data/config.yaml"], "../data", "cwd/config.yaml"),
        (["home/.tokenomics/config.yaml"], "../data", None),
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_search(
    load: Load, tmp_path: Path, files: list[str], flag_dir: str | None, found: str | None, by_variable: bool
) -> None:
    for file in files:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OURS)
    if flag_dir and by_variable:
        config = load(environ={"TOKENOMICS_DIR": flag_dir})
    elif flag_dir:
        config = load(dir=flag_dir)
    else:
        config = load()
    assert (config.source.resolve() if config.source else None) == (tmp_path / found if found else None)
    assert config.server.http_port == (9001 if found else 8080)
    assert config.warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "name: my-site\ntheme: dark\n",
        "- a\n- list\n",
        "{{ .Values.x }}\nname: y\n",
        "a: 1\n---\nb: 2\n",
        "just words",
        "",
    ],
)
def test_somebody_elses_config_yaml_is_ignored(load: Load, cwd: Path, home: Path, text: str) -> None:
    (cwd / "config.yaml").write_text(text)
    (home / ".tokenomics").mkdir()
    (home / ".tokenomics" / "config.yaml").write_text(OURS)
    config = load()
    assert config.server.http_port == 9001
    assert config.warnings == [f"{cwd}/config.yaml: has no key of Tokenomics and is ignored"]


@pytest.mark.parametrize("text", ["server: {http_port: 1\n", "name: x\nSERVER: [\n", "server:\n\tx: 1\n"])
def test_our_own_broken_config_yaml_is_an_error(load: Load, text: str) -> None:
    with pytest.raises(ConfigError, match=r"load config: .*/config\.yaml: invalid YAML in line \d"):
        load(text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.yaml", None, "No such file or directory; check the path"),
        ("list.yaml", "- 1", "is not a map of keys; write lines such as 'server:'"),
        ("broken.yaml", "a: [", "invalid YAML in line"),
        ("bytes.yaml", b"\xff\xfe\xff", "is not UTF-8 text"),
        ("twice.yaml", "server: {}\nServer: {}", "invalid YAML in line 2: the key 'server' stands twice"),
    ],
)
def test_the_named_file_must_be_usable(
    load: Load, cwd: Path, name: str, text: str | bytes | None, message: str
) -> None:
    if text is not None:
        (cwd / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path=name)
    assert str(caught.value).startswith(f"load config: {cwd}/{name}: {message}")
    assert "\n" not in str(caught.value)


def test_only_the_named_file_counts(load: Load, cwd: Path) -> None:
    (cwd / "other.yaml").write_text("admin: {enabled: false}")
    config = load(OURS, path="other.yaml")
    assert config.server.http_port == 8080
    assert config.admin.enabled is False


@pytest.mark.parametrize(
    ("file", "environ", "flags", "data_dir", "db"),
    [
        ("", {}, {}, "home/.tokenomics", "home/.tokenomics/tokenomics.db"),
        ("dir: ~/d", {}, {}, "home/d", "home/d/tokenomics.db"),
        ("dir: '~'", {}, {}, "home", "home/tokenomics.db"),
        ("dir: d", {}, {}, "cwd/d", "cwd/d/tokenomics.db"),
        ("dir: d", {"TOKENOMICS_DIR": "e"}, {}, "cwd/e", "cwd/e/tokenomics.db"),
        ("dir: d", {"TOKENOMICS_DIR": "e"}, {"dir": "~/f"}, "home/f", "home/f/tokenomics.db"),
        ("dir: d\nstorage: {db_path: ./tokenomics.db}", {}, {}, "cwd/d", "cwd/d/tokenomics.db"),
        ("dir: d\nstorage: {db_path: ''}", {}, {}, "cwd/d", "cwd/d/tokenomics.db"),
        ("dir: d\nstorage: {db_path: x.db}", {}, {}, "cwd/d", "cwd/x.db"),
        ("dir: d\nstorage: {db_path: ~/x.db}", {}, {}, "cwd/d", "home/x.db"),
        ("dir: d\nstorage: {db_path: x.db}", {}, {"db": "y.db"}, "cwd/d", "cwd/y.db"),
        ("dir: d", {"TOKENOMICS_STORAGE_DB_PATH": "x.db"}, {"db": "~/y.db"}, "cwd/d", "home/y.db"),
        ("dir: d", {}, {"db": "./tokenomics.db"}, "cwd/d", "cwd/tokenomics.db"),
    ],
)
def test_data_directory_and_database(
    load: Load,
    tmp_path: Path,
    file: str,
    environ: dict[str, str],
    flags: dict[str, str],
    data_dir: str,
    db: str,
) -> None:
    config = load(file, environ, **flags)
    assert config.dir == tmp_path / data_dir
    assert config.storage.db_path == tmp_path / db


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("server.tls.cert_dir", "./certs", "data/certs"),
        ("server.tls.cert_dir", "./certs/", "data/certs"),
        ("server.tls.cert_dir", "", "data/certs"),
        ("server.tls.cert_dir", "certs", "cwd/certs"),
        ("server.tls.cert_dir", "~/certs", "home/certs"),
        ("server.tls.cert_file", "c.pem", "cwd/c.pem"),
        ("server.tls.key_file", "~/k.pem", "home/k.pem"),
        ("server.upstream_ca", "ca.pem", "cwd/ca.pem"),
        ("logging.file.path", "~/x.log", "home/x.log"),
        ("logging.file.path", "", "data/tokenomics.log"),
        ("logging.proxy_log_file", "x.log", "data/x.log"),
        ("logging.proxy_log_file", "~/x.log", "home/x.log"),
    ],
)
def test_paths_follow_the_dir_flag(load: Load, tmp_path: Path, key: str, value: str, path: str) -> None:
    *sections, last = key.split(".")
    line = f"{last}: '{value}'"
    for section in reversed(sections):
        line = f"{section}: {{{line}}}"
    config = load(line + "\ndir: elsewhere", dir=str(tmp_path / "data"))
    found: object = config
    for part in key.split("."):
        found = getattr(found, part)
    assert found == tmp_path / path


def test_loading_creates_nothing(load: Load, tmp_path: Path) -> None:
    load(dir="data", db="x/y.db")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cwd", "home"]


def test_keys_are_case_insensitive(load: Load) -> None:
    config = load("SERVER: {HTTP_Port: 1}\ncli_maps: {Claude: Anthropic}\nproviders: {OpenAI: {Models: [X]}}")
    assert config.server.http_port == 1
    assert config.cli_maps == {"claude": "anthropic"}
    assert config.providers == {"openai": {"models": ["X"]}}


def test_empty_keys_are_no_keys(load: Load) -> None:
    config = load(
        "server:\nadmin:\n  auth:\nlogging: {level: }\nproviders: {openai: {headers: {a: null}}, groq: }"
    )
    assert config.server.http_port == 8080
    assert config.logging.level == "info"
    assert config.providers == {"openai": {"headers": {"a": None}}, "groq": None}


def test_dates_are_text(load: Load) -> None:
    config = load("providers: {x: {headers: {anthropic-version: 2023-06-01}}}")
    assert config.providers == {"x": {"headers": {"anthropic-version": "2023-06-01"}}}


def test_yaml_merge_keys_still_work(load: Load) -> None:
    config = load("providers:\n  a: &a {chat_path: /x}\n  b:\n    <<: *a\n    chat_path: /y\n")
    assert config.providers == {"a": {"chat_path": "/x"}, "b": {"chat_path": "/y"}}


@pytest.mark.parametrize(
    ("text", "variables", "value"),
    [
        ("${PW}", {"PW": "hush"}, "hush"),
        ("a-${PW}-${X_1}", {"PW": "b", "X_1": "c"}, "a-b-c"),
        ("$${PW}", {}, "${PW}"),
        ("$PW {PW} ${}", {}, "$PW {PW} ${}"),
    ],
)
def test_strings_may_name_variables(load: Load, text: str, variables: dict[str, str], value: str) -> None:
    config = load(f"admin: {{auth: {{password: '{text}'}}}}", variables)
    assert config.admin.auth.password == value


@pytest.mark.parametrize("environ", [{}, {"PW": ""}])
def test_a_variable_that_is_not_set_is_an_error(load: Load, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load("events: {webhooks: [{url: u, secret: '${PW}'}]}", environ)
    assert "events.webhooks[0].secret needs the variable PW; set it, or take the key out" in str(caught.value)


def test_environment_values_are_taken_as_they_are(load: Load) -> None:
    config = load(environ={"TOKENOMICS_ADMIN_AUTH_PASSWORD": "${PW}"})
    assert config.admin.auth.password == "${PW}"


def test_unreadable_places_are_one_line(tmp_path: Path, home: Path) -> None:
    with pytest.raises(ConfigError, match=r"^load config: .*: File name too long$"):
        load_config(path=None, dir="x" * 5000, environ={}, cwd=tmp_path, home=home)
