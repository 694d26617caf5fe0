from __future__ import annotations

import json
import shutil
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program
from tests.support.certificates import make_authority


class Ca:
    """The ca commands on a data directory."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.certs = program.data / "certs"

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.program.run("--dir", str(self.program.data), "ca", *words, **more)

    def make(self) -> bytes:
        done = self.run("renew", "--authority", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        return (self.certs / "ca.crt").read_bytes()


@pytest.fixture
def ca(program: Program) -> Ca:
    return Ca(program)


@pytest.mark.parametrize("words", [["show"], ["trust"], ["export"], ["renew"]])
def test_without_an_authority(ca: Ca, words: list[str]) -> None:
    done = ca.run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: there is no authority in {ca.certs} yet; the first start makes it\n"
    assert not ca.program.data.exists()


def test_show(ca: Ca) -> None:
    ca.make()
    said = ca.run("show").stdout
    told = json.loads(ca.run("show", "--json").stdout)
    assert told["subject"] == "CN=Tokenomics Root CA,O=Tokenomics CA"
    seen = subprocess.run(
        ["openssl", "x509", "-in", ca.certs / "ca.crt", "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told["sha256"] == seen.strip().partition("=")[2]
    assert told["sha256"] in said
    assert 1800 < told["days_left"] < 1830
    assert f"  export NODE_EXTRA_CA_CERTS={ca.certs / 'ca.crt'}\n" in said
    assert told["environment"]["SSL_CERT_FILE"] == str(ca.certs / "ca-bundle.pem")
    assert "PRIVATE KEY" not in said


def test_export(ca: Ca) -> None:
    pem = ca.make()
    assert ca.run("export").stdout.encode() == pem
    for form in ("der", "bundle"):
        assert ca.run("export", "--format", form, "--out", form).returncode == 0
    der = (ca.program.folder / "der").read_bytes()
    assert ssl.DER_cert_to_PEM_cert(der).encode() == pem
    bundle = (ca.program.folder / "bundle").read_bytes()
    assert bundle.count(b"BEGIN CERTIFICATE") > 100
    assert bundle.endswith(pem)
    assert b"PRIVATE" not in pem + bundle
    done = ca.run("export", "--format", "p12")
    assert (done.returncode, done.stderr) == (1, 'Error: unknown format "p12"; write pem, der or bundle\n')


def test_renew_keeps_the_authority(ca: Ca) -> None:
    before = ca.make()
    leaf = (ca.certs / "server.crt").read_bytes()
    (ca.program.folder / ".tokenomics").mkdir()
    (ca.program.folder / ".tokenomics" / "config.yaml").write_text(
        "server: {tls: {hosts: [a.example, 10.1.2.3]}}\n"
    )
    told = json.loads(ca.run("renew", "--json").stdout)
    assert told["authority_renewed"] is False
    assert (ca.certs / "ca.crt").read_bytes() == before
    assert (ca.certs / "server.crt").read_bytes() != leaf
    said = subprocess.run(
        ["openssl", "x509", "-in", ca.certs / "server.crt", "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DNS:a.example" in said
    assert "IP Address:10.1.2.3" in said


def test_a_new_authority_is_asked_for_and_the_old_one_is_kept(ca: Ca) -> None:
    before = ca.make()
    done = ca.run("renew", "--authority", stdin="n\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("Error: nothing was renewed; answer y, or give --yes\n")
    assert (ca.certs / "ca.crt").read_bytes() == before
    done = ca.run("renew", "--authority", stdin="y\n")
    assert done.returncode == 0
    assert "All clients have to trust the new one" in done.stdout
    assert (ca.certs / "ca.crt").read_bytes() != before
    [kept] = ca.certs.glob("replaced-*")
    assert (kept / "ca.crt").read_bytes() == before
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (kept, kept / "ca.key", ca.certs / "ca.key")
    }
    assert modes == {kept.name: 0o700, "ca.key": 0o600}
    for name in ("ca.crt", "server.crt"):
        subprocess.run(
            ["openssl", "verify", "-CAfile", ca.certs / "ca.crt", ca.certs / name],
            check=True,
            capture_output=True,
        )
    assert (ca.certs / "ca.crt").read_bytes() in (ca.certs / "ca-bundle.pem").read_bytes()


def test_a_broken_authority_can_be_renewed(ca: Ca) -> None:
    ca.make()
    for name in ("ca.crt", "mitmproxy-ca.pem"):
        (ca.certs / name).write_text("broken")
    done = ca.run("show")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {ca.certs / 'ca.crt'}: is no PEM certificate; move it away")
    assert ca.run("renew", "--authority", "--yes").returncode == 0
    assert ca.run("show").returncode == 0


def test_trust_prints_and_changes_nothing(ca: Ca) -> None:
    ca.make()
    done = ca.run("trust", "--system", "debian")
    assert done.returncode == 0
    assert done.stdout == (
        f"sudo cp {ca.certs / 'ca.crt'} /usr/local/share/ca-certificates/tokenomics-ca.crt\n"
        "sudo update-ca-certificates\n"
    )
    assert done.stderr == "Nothing was changed; --yes runs these commands.\n"
    assert "add-trusted-cert" in ca.run("trust", "--system", "macOS").stdout
    assert "delete-certificate" in ca.run("untrust", "--system", "macos").stdout
    assert "update-ca-trust" in ca.run("trust", "--system", "rhel").stdout
    assert "-delstore" in ca.run("untrust", "--system", "windows").stdout
    assert ca.run("trust", "--system", "plan9").stderr == (
        'Error: unknown system "plan9"; write one of macos, debian, rhel, windows\n'
    )


def test_trust_and_untrust_with_yes(ca: Ca) -> None:
    """Debian's own program, in a root of its own: shims send what would be system paths there."""
    real = shutil.which("update-ca-certificates")
    assert real is not None, "update-ca-certificates is missing: apt-get install ca-certificates"
    pem = ca.make()
    root, shims = ca.program.folder / "root", ca.program.folder / "shims"
    local, etc, share = root / "local", root / "etc", root / "share"
    for folder in (local, etc, share, root / "hooks", shims):
        folder.mkdir(parents=True)
    # Where nothing is left at all, the program leaves its file as it was.
    other = make_authority(share).ca
    (root / "conf").write_text(other.rename(other.with_suffix(".crt")).name + "\n")
    places = f"--certsdir {share} --localcertsdir {local} --etccertsdir {etc} --hooksdir {root}/hooks"
    rewrite = f"s|/usr/local/share/ca-certificates|{local}|g"
    for name in ("cp", "rm"):
        program = shutil.which(name)
        _shim(shims / name, f'set -- $(echo "$@" | sed "{rewrite}")\nexec {program} "$@"')
    _shim(shims / "sudo", 'exec "$@"')
    _shim(shims / "update-ca-certificates", f'exec {real} --certsconf {root}/conf {places} "$@"')
    path = {"PATH": f"{shims}:{ca.program.environ['PATH']}"}

    done = ca.run("trust", "--system", "debian", "--yes", **path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("this system trusts the authority now\n")
    assert (etc / "ca-certificates.crt").read_bytes().count(pem) == 1

    done = ca.run("untrust", "--system", "debian", "--yes", **path)
    assert done.returncode == 0, done.stderr
    assert list(local.iterdir()) == []
    assert pem not in (etc / "ca-certificates.crt").read_bytes()


def test_a_command_that_fails_is_said(ca: Ca) -> None:
    ca.make()
    shims = ca.program.folder / "shims"
    shims.mkdir()
    for name in ("cp", "sudo"):
        _shim(shims / name, "echo no rights >&2; exit 7")
    path = {"PATH": f"{shims}:{ca.program.environ['PATH']}"}
    done = ca.run("trust", "--system", "debian", "--yes", **path)
    assert done.returncode == 1
    assert "no rights\n" in done.stderr
    assert " ended with 7; " in done.stderr.splitlines()[-1]


def _shim(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
