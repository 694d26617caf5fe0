"""Every key, its default, and its environment variable."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.config.conftest import Load
from tokenomics_core.config import Config
from tokenomics_core.config.keys import leaves

# Key -> default, and a text that the environment may give with the value that comes of it.
KEYS: list[tuple[str, Any, str, Any]] = [
    ("server.host", "127.0.0.1", "0.0.0.0", "0.0.0.0"),
    ("server.http_port", 8080, "8081", 8081),
    ("server.https_port", 8443, "0", 0),
    ("server.upstream_url", "https://api.openai.com", "http://localhost:9/v1", "http://localhost:9/v1"),
    ("server.upstream_ca", None, "/etc/ca.pem", Path("/etc/ca.pem")),
    ("server.tls.enabled", True, "false", False),
    ("server.tls.auto_gen", True, "0", False),
    ("server.tls.cert_dir", Path("HOME/.tokenomics/certs"), "/c", Path("/c")),
    ("server.tls.cert_file", None, "/c.pem", Path("/c.pem")),
    ("server.tls.key_file", None, "/k.pem", Path("/k.pem")),
    ("server.tls.hosts", [], "a.corp, 10.0.0.1", ["a.corp", "10.0.0.1"]),
    ("server.tunnel_hosts", [], "github.com:443", ["github.com:443"]),
    ("server.trusted_proxies", [], "10.0.0.0/8,::1", ["10.0.0.0/8", "::1"]),
    ("server.forward_client_ip", False, "true", True),
    ("server.forward_cookies", False, "1", True),
    ("server.forward_trace", False, "on", True),
    ("server.max_body_mb", 20, "0.5", 0.5),
    ("server.header_timeout", 30, "5", 5),
    ("server.body_timeout", 60, "5", 5),
    ("server.idle_timeout", 300, "5", 5),
    ("server.connect_timeout", 10, "5", 5),
    ("server.drain_timeout", 10, "0", 0),
    ("server.timing", False, "yes", True),
    ("admin.enabled", True, "no", False),
    ("admin.auth.username", "", "ops", "ops"),
    ("admin.auth.password", "", "12345", "12345"),
    ("storage.db_path", Path("HOME/.tokenomics/tokenomics.db"), "/x.db", Path("/x.db")),
    ("session.backend", "memory", "Redis", "redis"),
    ("session.redis.addr", "localhost:6379", "r:1", "r:1"),
    ("session.redis.password", "", "p", "p"),
    ("session.redis.db", 0, "3", 3),
    ("session.redis.cluster", False, "true", True),
    ("session.redis.tls", False, "true", True),
    ("session.redis.timeout", 5, "0.5", 0.5),
    ("session.strict", False, "true", True),
    ("session.default_budget_usd", None, "10.1", Decimal("10.1")),
    ("session.on_store_error", "refuse", "Local", "local"),
    ("session.anomaly.enabled", False, "true", True),
    ("session.anomaly.max_requests", 100, "0", 0),
    ("session.anomaly.max_identical", 3, "5", 5),
    ("session.anomaly.max_usd", Decimal("1.00"), "0.000000001", Decimal("0.000000001")),
    ("session.anomaly.window", 60, "0.5", 0.5),
    ("session.anomaly.memory", 300, "30", 30),
    ("session.anomaly.freeze", 300, "3600", 3600),
    ("budgets.wait", 5, "0", 0),
    ("budgets.slice", 512, "64", 64),
    ("budgets.lease", 60, "20", 20),
    ("budgets.warn_at", 80, "90", 90),
    ("budgets.assumed_input", Decimal(30), "2.5", Decimal("2.5")),
    ("budgets.assumed_output", Decimal(60), "10", Decimal(10)),
    ("security.hash_key_env", "TOKENOMICS_HASH_KEY", "H", "H"),
    ("security.encryption_key_env", "TOKENOMICS_ENCRYPTION_KEY", "E", "E"),
    ("logging.level", "info", "WARNING", "warn"),
    ("logging.format", "json", "text", "text"),
    ("logging.request_body", False, "true", True),
    ("logging.response_body", False, "true", True),
    ("logging.hide_token_hash", False, "true", True),
    ("logging.disable_request", True, "false", False),
    ("logging.proxy_log_file", Path("HOME/.tokenomics/proxy.log"), "p.log", Path("HOME/.tokenomics/p.log")),
    ("logging.file.enabled", False, "true", True),
    ("logging.file.level", "info", "debug", "debug"),
    ("logging.file.max_mb", 100, "0.5", 0.5),
    ("logging.file.keep", 5, "0", 0),
    ("metrics.enabled", True, "no", False),
    ("metrics.public", False, "yes", True),
    ("metrics.models", 200, "5", 5),
    ("telemetry.enabled", False, "true", True),
    ("logging.file.path", Path("HOME/.tokenomics/tokenomics.log"), "t.log", Path("CWD/t.log")),
    ("remote.url", "", "http://c:9090", "http://c:9090"),
    ("remote.api_key", "", "k", "k"),
    ("remote.sync", 0, "60", 60),
    ("remote.insecure", False, "true", True),
    ("remote.webhook.enabled", False, "true", True),
    ("remote.webhook.path", "/v1/webhook", "/w", "/w"),
    ("remote.webhook.secret", "", "s", "s"),
    ("remote.webhook.signing_key", "", "s", "s"),
    ("remote.webhook.auto_register", False, "true", True),
    ("remote.webhook.callback_url", "", "http://me", "http://me"),
    ("remote.webhook.insecure", False, "true", True),
    ("ledger.enabled", True, "false", False),
    ("ledger.memory", True, "false", False),
    ("ledger.memory_format", "markdown", "Both", "both"),
    ("ledger.event_ledger", False, "true", True),
    ("errors.style", "provider", "tokenomics", "tokenomics"),
    ("default_provider", "", "OpenAI", "openai"),
]


def value_of(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def expand(value: Any, cwd: Path, home: Path) -> Any:
    if isinstance(value, Path):
        return Path(str(value).replace("HOME", str(home)).replace("CWD", str(cwd)))
    return value


@pytest.mark.parametrize(("key", "default", "text", "value"), KEYS, ids=[row[0] for row in KEYS])
def test_default_and_environment(
    load: Load, cwd: Path, home: Path, key: str, default: Any, text: str, value: Any
) -> None:
    variable = "TOKENOMICS_" + key.upper().replace(".", "_")
    assert value_of(load(), key) == expand(default, cwd, home)
    assert value_of(load(environ={variable: text}), key) == expand(value, cwd, home)
    assert value_of(load(environ={variable: ""}), key) == expand(default, cwd, home)


@pytest.mark.parametrize(("key", "default", "text", "value"), KEYS, ids=[row[0] for row in KEYS])
def test_environment_wins_over_file(
    load: Load, cwd: Path, home: Path, key: str, default: Any, text: str, value: Any
) -> None:
    *sections, last = key.split(".")
    line = last + ": '" + text + "'"
    for section in reversed(sections):
        line = f"{section}: {{{line}}}"
    variable = "TOKENOMICS_" + key.upper().replace(".", "_")

    from_file = load(line)
    assert value_of(from_file, key) == expand(value, cwd, home)
    assert from_file.warnings == []
    if default not in (None, "", []):
        back = str(expand(default, cwd, home))
        assert value_of(load(line, {variable: back}), key) == expand(default, cwd, home)


def test_the_table_is_complete() -> None:
    maps = {"events.webhooks", "cli_maps", "providers", "pricing"}
    assert {key.name for key in leaves()} - maps == {row[0] for row in KEYS} | {"dir", "pricing_table"}
    assert {key.name for key in leaves() if not key.variable} == maps


def test_a_config_of_defaults_needs_a_directory_only(tmp_path: Path) -> None:
    config = Config(dir=tmp_path)
    assert config.storage.db_path == tmp_path / "tokenomics.db"
    assert config.server.tls.cert_dir == tmp_path / "certs"
    assert config.logging.file.path == tmp_path / "tokenomics.log"
    assert config.providers == {}


def test_webhooks(load: Load) -> None:
    config = load("events: {webhooks: [{url: 'http://a', events: 'token.*, server.start', timeout: '3'}]}")
    (hook,) = config.events.webhooks
    assert (hook.url, hook.events, hook.timeout) == ("http://a", ["token.*", "server.start"], 3)
    assert (hook.secret, hook.signing_key, hook.insecure) == ("", "", False)


def test_secrets_are_not_in_the_repr(load: Load) -> None:
    config = load(
        "admin: {auth: {password: hush}}\n"
        "session: {redis: {password: hush}}\n"
        "remote: {api_key: hush, webhook: {secret: hush, signing_key: hush}}\n"
        "events: {webhooks: [{url: 'http://a', secret: hush, signing_key: hush}]}\n"
        "providers: {x: {headers: {a: hush}}}\n"
    )
    assert "hush" not in repr(config)
    assert "hush" not in repr(config.events.webhooks)
