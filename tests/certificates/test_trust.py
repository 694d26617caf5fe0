"""What clients are told."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from tokenomics_core.certificates import (
    ensure_agent_bundle,
    ensure_ca,
    trust_environment,
    trust_instructions,
)

CA = Path("/home/me/my certs/ca.crt")


def test_instructions_per_system() -> None:
    instructions = {each.system: each.commands for each in trust_instructions(CA)}
    keychain = "/Library/Keychains/System.keychain"
    assert instructions == {
        "macOS": (f"sudo security add-trusted-cert -d -r trustRoot -k {keychain} '{CA}'",),
        "Debian, Ubuntu": (
            f"sudo cp '{CA}' /usr/local/share/ca-certificates/tokenomics-ca.crt",
            "sudo update-ca-certificates",
        ),
        "RHEL, Fedora": (
            f"sudo cp '{CA}' /etc/pki/ca-trust/source/anchors/tokenomics-ca.crt",
            "sudo update-ca-trust",
        ),
        "Windows": (f'certutil -addstore -f "Root" "{CA}"',),
    }


def test_variables_for_one_process() -> None:
    environment = trust_environment(CA, Path("/b.pem"))
    added = {name for name, value in environment.items() if value == str(CA)}
    replaced = {name for name, value in environment.items() if value == "/b.pem"}
    assert added == {"DENO_CERT", "NODE_EXTRA_CA_CERTS"}
    assert replaced == {
        "AWS_CA_BUNDLE",
        "CARGO_HTTP_CAINFO",
        "CODEX_CA_CERTIFICATE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
    }


def test_an_agents_bundle_holds_what_the_person_trusts_already(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    corporate = ensure_ca(tmp_path / "corporate", now).certificate_file
    ca = ensure_ca(tmp_path / "certs", now).certificate_file
    environ = {"SSL_CERT_FILE": str(corporate), "CURL_CA_BUNDLE": str(tmp_path / "missing.pem")}
    bundle = ensure_agent_bundle(tmp_path / "certs", ca, environ)
    content = bundle.read_text()
    assert content.endswith(ca.read_text())
    for path in (corporate, ca):
        assert content.count(path.read_text().strip()) == 1
    assert content.count("BEGIN CERTIFICATE") > 50
    ssl.create_default_context(cafile=bundle)
    # From inside such a process nothing is added any more.
    assert ensure_agent_bundle(tmp_path / "certs", ca, {"SSL_CERT_FILE": str(bundle)}) == bundle
    assert ensure_agent_bundle(tmp_path / "certs", ca, {}) != bundle
