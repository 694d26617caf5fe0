"""What people get to read when the configuration is not what they think."""

from __future__ import annotations

import pytest

from tests.config.conftest import Load
from tokenomics_core.config import ConfigError


@pytest.mark.parametrize(
    ("text", "unknown", "near"),
    [
        ("sever: {}\nserver: {}", "sever", "server"),
        ("server: {htp_port: 1}", "server.htp_port", "server.http_port"),
        ("server: {tls: {certdir: x}}", "server.tls.certdir", "server.tls.cert_dir"),
        ("http_port: 1\nserver: {}", "http_port", "server.http_port"),
        ("db_path: x\nserver: {}", "db_path", "storage.db_path"),
        (
            "events: {webhooks: [{url: u, secrt: x}]}",
            "events.webhooks[0].secrt",
            "events.webhooks[0].secret",
        ),
        ("server: {qqq: 1}", "server.qqq", None),
        ("warnings: [x]\nserver: {}", "warnings", None),
        ("source: x\nserver: {}", "source", "storage"),
    ],
)
def test_unknown_keys_are_warned_of(load: Load, text: str, unknown: str, near: str | None) -> None:
    config = load(text)
    hint = f"; did you mean {near}?" if near else ""
    assert config.warnings == [f"{config.source}: unknown key {unknown} is ignored{hint}"]


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("TOKENOMICS_SERVER_HTP_PORT", "did you mean TOKENOMICS_SERVER_HTTP_PORT?"),
        ("TOKENOMICS_EVENTS_WEBHOOKS_0_URL", "lists and maps can only be set in the file"),
        ("TOKENOMICS_PROVIDERS_OPENAI_UPSTREAM_URL", "lists and maps can only be set in the file"),
    ],
)
def test_unknown_variables_are_warned_of(load: Load, variable: str, hint: str) -> None:
    (warning,) = load(environ={variable: "x"}).warnings
    assert warning == f"the variable {variable} is no configuration key and is ignored; {hint}"


@pytest.mark.parametrize(
    "variable",
    [
        "TOKENOMICS_KEY",
        "TOKENOMICS_PROXY_URL",
        "TOKENOMICS_HASH_KEY",
        "TOKENOMICS_ENCRYPTION_KEY",
        "TOKENOMICS_MY_OPENAI_PAT",
        "PATH",
    ],
)
def test_other_variables_are_left_alone(load: Load, variable: str) -> None:
    assert load(environ={variable: "x"}).warnings == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {http_port: abc}", "server.http_port is 'abc'; write a whole number"),
        ("server: {http_port: 80.5}", "server.http_port is 80.5; write a whole number"),
        ("server: {http_port: -1}", "server.http_port is -1; write a number from 0 up"),
        ("server: {http_port: 65536}", "server.http_port is 65536; write a number up to 65535"),
        ("server: {http_port: [1]}", "server.http_port is a list; write a whole number"),
        ("server: {idle_timeout: 0}", "server.idle_timeout is 0; write a number above 0"),
        ("server: {idle_timeout: .inf}", "server.idle_timeout is inf; write a number"),
        ("server: {timing: perhaps}", "server.timing is 'perhaps'; write true or false"),
        ("server: {host: [a]}", "server.host is a list; write a text"),
        ("server: {tunnel_hosts: 5}", "server.tunnel_hosts is 5; write a list"),
        ("server: 8080", "server is 8080; write a map of keys and values"),
        (
            "server: {trusted_proxies: [10.0.0.0/8, proxy]}",
            "server.trusted_proxies[1] is 'proxy'; write IP addresses or networks, such as 10.0.0.0/8",
        ),
        (
            "server: {upstream_url: api.openai.com}",
            "server.upstream_url is 'api.openai.com'; the URL does not begin with http:// or https://,"
            " write one such as https://api.openai.com",
        ),
        (
            "server: {upstream_url: 'https://{resource}.x'}",
            "server.upstream_url is 'https://{resource}.x'; write a URL without placeholders,"
            " only providers have parameters",
        ),
        ("session: {backend: postgres}", "session.backend is 'postgres'; write one of memory, redis"),
        ("errors: {style: own}", "errors.style is 'own'; write one of provider, tokenomics"),
        ("logging: {level: loud}", "logging.level is 'loud'; write one of debug, info, warn, error"),
        ("events: {webhooks: [{secret: x}]}", "events.webhooks[0].url is missing"),
        (
            "events: {webhooks: [x]}",
            "events.webhooks[0] has an invalid value; write a map of keys and values",
        ),
        ("providers: [openai]", "providers has an invalid value; write a map of keys and values"),
        ("dir: [a]", "dir is a list; write a path"),
        (
            "session: {default_budget_usd: much}",
            "session.default_budget_usd is 'much'; write a number",
        ),
        ("session: {default_budget_usd: -1}", "session.default_budget_usd is -1; write a number from 0 up"),
        ("session: {default_budget_usd: .nan}", "session.default_budget_usd is nan; write a number"),
        (
            "session: {default_budget_usd: '0.0000000001'}",
            "session.default_budget_usd is '0.0000000001'; write at most 9 decimals",
        ),
        ("session: {on_store_error: allow}", "session.on_store_error is 'allow'; write one of refuse, local"),
        (
            "session: {anomaly: {max_requests: -1}}",
            "session.anomaly.max_requests is -1; write a number from 0 up",
        ),
        ("session: {anomaly: {freeze: 0}}", "session.anomaly.freeze is 0; write a number above 0"),
        (
            "session: {default_budget_usd: 1000000}",
            "session.default_budget_usd is 1000000; write a number up to 999999",
        ),
        ("budgets: {warn_at: 101}", "budgets.warn_at is 101; write a number up to 100"),
        ("budgets: {slice: 0}", "budgets.slice is 0; write a number from 1 up"),
        ("pricing: [gpt-4o]", "pricing is a list; write a map of keys and values"),
        ("pricing: {gpt-4o: {input: 1}}", "pricing: gpt-4o: output is missing; write it, 0 where it is free"),
        (
            "pricing: {gpt-4o: }",
            "pricing: gpt-4o is no map; write {input: 2.5, output: 10}, USD per 1,000,000 tokens",
        ),
    ],
)
def test_wrong_values_in_the_file(load: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    head, _, tail = str(caught.value).partition("config.yaml: ")
    assert head.startswith("load config: /")
    assert tail == message


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TOKENOMICS_SERVER_HTTP_PORT", "x", "is 'x'; write a whole number"),
        ("TOKENOMICS_ADMIN_ENABLED", "x", "is 'x'; write true or false"),
        ("TOKENOMICS_SESSION_BACKEND", "x", "is 'x'; write one of memory, redis"),
        (
            "TOKENOMICS_SERVER_TRUSTED_PROXIES",
            "::1,x",
            "is 'x'; write IP addresses or networks, such as 10.0.0.0/8",
        ),
    ],
)
def test_wrong_values_in_the_environment(load: Load, variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("server: {http_port: 1}", {variable: value})
    assert str(caught.value) == f"load config: {variable} {message}"


@pytest.mark.parametrize(
    "text",
    [
        "admin: {auth: {password: [hush]}}",
        "remote: {api_key: {a: hush}}",
        "events: {webhooks: [{url: u, secret: [hush]}]}",
        "events: {webhooks: [hush]}",
        "server: {upstream_url: 'https://me:hush@host'}",
        "server: {upstream_url: 'https://host/?key=hush'}",
        "providers: {openai: hush}",
    ],
)
def test_errors_show_no_secret(load: Load, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__
