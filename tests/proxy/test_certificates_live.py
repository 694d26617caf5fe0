"""A gateway that runs takes up certificates that were renewed, and stays up with those that are broken."""

from __future__ import annotations

import shutil
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from tests.fake_provider import FakeProvider
from tests.support.certificates import make_authority
from tests.support.proxy import Proxy


def shown(proxy: Proxy, name: str = "localhost") -> x509.Certificate:
    """What it shows to somebody who would trust anything."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", proxy.https_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def signed_by(certificate: x509.Certificate, ca: Path) -> bool:
    with suppress(InvalidSignature):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.read_bytes()))
        return True
    return False


@pytest.mark.long
def test_a_new_authority(tmp_path: Path, fake_provider: FakeProvider) -> None:
    with Proxy(tmp_path, fake_provider.url) as proxy:
        old = tmp_path / "old.crt"
        shutil.copy(proxy.ca, old)
        assert signed_by(shown(proxy), old)
        done = proxy.cli("ca", "renew", "--authority", "--yes")
        assert done.returncode == 0, done.stderr
        proxy.wait_for(lambda: signed_by(shown(proxy), proxy.ca), bool, 15)
        assert not signed_by(shown(proxy), old)
        # Half a file: what is in force stays, and the next whole one counts.
        pair = proxy.ca.parent / "mitmproxy-ca.pem"
        whole, ca = pair.read_bytes(), proxy.ca.read_bytes()
        pair.write_bytes(whole[:100])
        proxy.ca.write_bytes(ca[:100])
        proxy.wait_for(proxy.log, lambda log: "certificates were not taken up" in log, 15)
        assert shown(proxy).issuer == x509.load_pem_x509_certificate(ca).subject
        pair.write_bytes(whole)
        proxy.ca.write_bytes(ca)
        proxy.wait_for(lambda: signed_by(shown(proxy), proxy.ca), bool, 15)


@pytest.mark.long
def test_a_pair_of_the_operators_own(tmp_path: Path, fake_provider: FakeProvider) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    own, renewed = make_authority(first), make_authority(second)
    tls = {"cert_file": str(own.certificate), "key_file": str(own.key)}
    with Proxy(tmp_path / "proxy", fake_provider.url, config={"server": {"tls": tls}}) as proxy:
        assert signed_by(shown(proxy), own.ca)
        # As certbot does: the key and the certificate one after the other.
        shutil.copy(renewed.key, own.key)
        shutil.copy(renewed.certificate, own.certificate)
        proxy.wait_for(lambda: signed_by(shown(proxy), renewed.ca), bool, 15)
        # Intercepted hosts are still shown by our own authority.
        assert signed_by(shown(proxy, "api.openai.com"), proxy.ca)
