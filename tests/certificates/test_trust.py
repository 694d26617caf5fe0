"""What clients are told."""

from __future__ import annotations

from pathlib import Path

from tokenomics_core.certificates import trust_environment, trust_instructions

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
