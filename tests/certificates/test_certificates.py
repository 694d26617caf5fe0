"""What is made, when it is made again, and whether others accept it."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mitmproxy.certs import CertStore

from tokenomics_core.certificates import (
    CertificateError,
    Certificates,
    combine_own_certificate,
    ensure_bundle,
    ensure_ca,
    ensure_certificates,
    public_roots,
)

NOW = datetime.now(UTC).replace(microsecond=0)
CA_FILES = ["ca.crt", "ca.key", "mitmproxy-ca-cert.pem", "mitmproxy-ca.pem"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "certs"


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def content(directory: Path, names: list[str]) -> list[bytes]:
    return [(directory / name).read_bytes() for name in names]


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """One TLS connection on loopback; raises what the client raises."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                server.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with socket.create_connection(listener.getsockname()) as raw:
                client.wrap_socket(raw, server_hostname=name).close()
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("ca.crt", 0o644),
        ("ca.key", 0o600),
        ("server.crt", 0o644),
        ("server.key", 0o600),
        ("ca-bundle.pem", 0o644),
        ("mitmproxy-ca.pem", 0o600),
        ("mitmproxy-ca-cert.pem", 0o644),
    ],
)
def test_files_and_modes(directory: Path, name: str, mode: int) -> None:
    ensure_certificates(directory, [], NOW)
    assert (directory / name).stat().st_mode & 0o777 == mode
    assert directory.stat().st_mode & 0o777 == 0o700
    assert not list(directory.glob(".*.tmp"))


def test_the_authority(directory: Path) -> None:
    found = ensure_certificates(directory, [], NOW)
    ca = read(found.ca_certificate)
    extensions = ca.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert usage.value.digital_signature is False
    assert ca.issuer == ca.subject
    assert [a.value for a in ca.subject] == ["Tokenomics CA", "Tokenomics Root CA"]
    assert ca.not_valid_before_utc == NOW - timedelta(days=1)
    assert ca.not_valid_after_utc == NOW + timedelta(days=1825) == found.ca_expires
    key = load_pem_private_key(found.ca_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert found.ca_key.read_bytes().startswith(b"-----BEGIN EC PRIVATE KEY-----")
    assert (found.ca_created, found.server_renewed) == (True, True)


def test_the_server_certificate(directory: Path) -> None:
    found = ensure_certificates(
        directory, ["Proxy.Corp", "*.lab.corp", "10.0.0.7", "bücher.de", "localhost"], NOW
    )
    leaf, ca = read(found.server_certificate), read(found.ca_certificate)
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "localhost",
        "proxy.corp",
        "*.lab.corp",
        "xn--bcher-kva.de",
    ]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert leaf.not_valid_before_utc == NOW - timedelta(days=1)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=365) == found.server_expires
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "localhost"
    assert leaf.public_key() != ca.public_key()
    assert leaf.serial_number != ca.serial_number


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "proxy.corp", "x.lab.corp", "10.0.0.7"])
def test_openssl_accepts_it(directory: Path, name: str) -> None:
    found = ensure_certificates(directory, ["proxy.corp", "*.lab.corp", "10.0.0.7"], NOW)
    try:
        ipaddress.ip_address(name)
        check = "-verify_ip"
    except ValueError:
        check = "-verify_hostname"
    for trusted in (found.ca_certificate, found.bundle):
        said = openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", "-no-CApath", "-CAfile", trusted, check, name,
            found.server_certificate,
        )  # fmt: skip
        assert said == f"{found.server_certificate}: OK\n"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_python_client_accepts_it(directory: Path, name: str) -> None:
    found = ensure_certificates(directory, [], NOW)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(found.server_certificate, found.server_key)
    handshake(server, ssl.create_default_context(cafile=str(found.bundle)), name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, ssl.create_default_context(cadata=public_roots().decode()), name)


@pytest.mark.parametrize("host", ["api.openai.com", "127.0.0.1"])
def test_mitmproxy_signs_with_the_same_authority(directory: Path, tmp_path: Path, host: str) -> None:
    found = ensure_certificates(directory, [], NOW)
    before = content(directory, CA_FILES)
    store = CertStore.from_store(directory, "mitmproxy", 2048)
    assert content(directory, CA_FILES) == before
    assert store.default_ca.to_cryptography() == read(found.ca_certificate)

    try:
        name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    entry = store.get_cert(host, [name])
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(entry.cert.to_pem())
    openssl("verify", "-x509_strict", "-no-CApath", "-CAfile", found.ca_certificate, leaf)

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(leaf, found.ca_key)
    handshake(server, ssl.create_default_context(cafile=str(found.bundle)), host)


def test_mitmproxy_takes_the_server_certificate(directory: Path) -> None:
    found = ensure_certificates(directory, ["proxy.corp"], NOW)
    store = CertStore.from_store(directory, "mitmproxy", 2048)
    store.add_cert_file("*", combine_own_certificate(found.server_certificate, found.server_key, directory))
    entry = store.get_cert("proxy.corp", [x509.DNSName("proxy.corp")])
    assert entry.cert.to_cryptography() == read(found.server_certificate)


def test_a_second_call_changes_nothing(directory: Path) -> None:
    first = ensure_certificates(directory, ["a.corp", "b.corp"], NOW)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.glob("*")}
    again = ensure_certificates(directory, ["b.corp", "a.corp", "A.CORP"], NOW + timedelta(days=300))
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.glob("*")} == before
    assert (again.ca_created, again.server_renewed) == (False, False)
    assert (again.ca_expires, again.server_expires) == (first.ca_expires, first.server_expires)


@pytest.mark.parametrize(
    ("hosts", "days", "renewed"),
    [
        ([], 0, False),
        ([], 335, False),
        ([], 336, True),
        ([], 400, True),
        (["new.corp"], 0, True),
    ],
)
def test_the_leaf_is_renewed_and_the_authority_stays(
    directory: Path, hosts: list[str], days: int, renewed: bool
) -> None:
    ensure_certificates(directory, [], NOW)
    before = content(directory, CA_FILES)
    later = NOW + timedelta(days=days)
    found = ensure_certificates(directory, hosts, later)
    assert (found.ca_created, found.server_renewed) == (False, renewed)
    assert content(directory, CA_FILES) == before
    if renewed:
        assert found.server_expires == later + timedelta(days=365)
    read(found.server_certificate).verify_directly_issued_by(read(found.ca_certificate))


@pytest.mark.parametrize("damage", ["missing certificate", "missing key", "empty", "garbage", "other key"])
def test_a_damaged_leaf_is_issued_again(directory: Path, damage: str) -> None:
    found = ensure_certificates(directory, [], NOW)
    before = content(directory, CA_FILES)
    match damage:
        case "missing certificate":
            found.server_certificate.unlink()
        case "missing key":
            found.server_key.unlink()
        case "empty":
            found.server_certificate.write_bytes(b"")
        case "garbage":
            found.server_key.write_bytes(b"-----BEGIN EC PRIVATE KEY-----\nx\n")
        case _:
            shutil.copy(found.ca_key, found.server_key)
    again = ensure_certificates(directory, [], NOW)
    assert (again.ca_created, again.server_renewed) == (False, True)
    assert content(directory, CA_FILES) == before
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(again.server_certificate, again.server_key)


def test_a_leaf_of_another_authority_is_issued_again(directory: Path, tmp_path: Path) -> None:
    other = ensure_certificates(tmp_path / "other", [], NOW)
    ensure_ca(directory, NOW)
    shutil.copy(other.server_certificate, directory)
    shutil.copy(other.server_key, directory)
    found = ensure_certificates(directory, [], NOW)
    assert found.server_renewed
    read(found.server_certificate).verify_directly_issued_by(read(found.ca_certificate))


def test_a_leaf_does_not_outlive_its_authority(directory: Path) -> None:
    created = ensure_certificates(directory, [], NOW)
    found = ensure_certificates(directory, [], NOW + timedelta(days=1800))
    assert found.ca_created is False
    assert found.server_expires == created.ca_expires


def test_an_expired_authority_is_replaced(directory: Path) -> None:
    ensure_certificates(directory, [], NOW)
    later = NOW + timedelta(days=1825)
    found = ensure_certificates(directory, [], later)
    assert (found.ca_created, found.server_renewed) == (True, True)
    assert found.ca_expires == later + timedelta(days=1825)
    assert len(set(content(directory, ["ca.crt", "mitmproxy-ca-cert.pem"]))) == 1
    assert found.ca_certificate.read_bytes() in found.bundle.read_bytes()


def test_a_clock_that_is_behind_does_not_replace_the_authority(directory: Path) -> None:
    ensure_certificates(directory, [], NOW)
    assert ensure_ca(directory, NOW - timedelta(days=4000)).created is False


@pytest.mark.parametrize("written", range(5))
def test_a_crash_between_two_files_leaves_no_mixed_set(directory: Path, tmp_path: Path, written: int) -> None:
    old = ensure_certificates(directory, [], NOW)
    new = ensure_certificates(tmp_path / "new", [], NOW)
    # The order in which a new authority is written over an old one.
    order = ["mitmproxy-ca.pem", "ca.key", "ca.crt", "mitmproxy-ca-cert.pem"]
    for name in order[:written]:
        shutil.copy(new.directory / name, directory / name)
    found = ensure_certificates(directory, [], NOW)
    assert found.ca_created is False
    assert content(directory, CA_FILES) in (
        content(new.directory, CA_FILES),
        [old.ca_certificate.read_bytes(), old.ca_key.read_bytes(), *content(directory, CA_FILES)[2:]],
    )
    assert_consistent(found)


@pytest.mark.parametrize("missing", [["ca.crt"], ["ca.key"], ["ca.crt", "ca.key"], ["mitmproxy-ca.pem"]])
def test_what_is_missing_of_an_authority_is_restored(directory: Path, missing: list[str]) -> None:
    ensure_certificates(directory, [], NOW)
    before = content(directory, CA_FILES)
    for name in missing:
        (directory / name).unlink()
    found = ensure_certificates(directory, [], NOW)
    assert content(directory, CA_FILES) == before
    assert (found.ca_created, found.server_renewed) == (False, False)


def assert_consistent(found: Certificates) -> None:
    ca = read(found.ca_certificate)
    key = load_pem_private_key(found.ca_key.read_bytes(), None)
    assert key.public_key() == ca.public_key()
    both = (found.directory / "mitmproxy-ca.pem").read_bytes()
    assert both == found.ca_key.read_bytes() + found.ca_certificate.read_bytes()
    assert (found.directory / "mitmproxy-ca-cert.pem").read_bytes() == found.ca_certificate.read_bytes()
    read(found.server_certificate).verify_directly_issued_by(ca)
    assert found.bundle.read_bytes().endswith(found.ca_certificate.read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("garbage", "ca.key: is no PEM private key; move it away to have a new CA made"),
        ("encrypted", "ca.key: is encrypted; store the key without a passphrase; move it away"),
        ("other key", "ca.crt; move it away to have a new CA made"),
        ("leaf", "ca.crt: is no CA; move it away to have a new CA made"),
    ],
)
def test_an_authority_that_cannot_be_used_is_not_overwritten(
    directory: Path, damage: str, message: str
) -> None:
    found = ensure_certificates(directory, [], NOW)
    (directory / "mitmproxy-ca.pem").unlink()
    match damage:
        case "garbage":
            found.ca_key.write_text("x")
        case "encrypted":
            openssl("ec", "-in", found.ca_key, "-aes256", "-passout", "pass:x", "-out", found.ca_key)
        case "other key":
            shutil.copy(found.server_key, found.ca_key)
        case _:
            shutil.copy(found.server_key, found.ca_key)
            shutil.copy(found.server_certificate, found.ca_certificate)
    before = content(directory, ["ca.crt", "ca.key"])
    with pytest.raises(CertificateError) as caught:
        ensure_certificates(directory, [], NOW)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert content(directory, ["ca.crt", "ca.key"]) == before


def test_an_authority_made_elsewhere_is_used(directory: Path) -> None:
    directory.mkdir(parents=True)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", directory / "ca.key")
    openssl(
        "req", "-x509", "-new", "-key", directory / "ca.key", "-days", "3650", "-out", directory / "ca.crt",
        "-subj", "/O=Tokenomics CA/CN=Tokenomics Root CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    (directory / "ca.key").chmod(0o644)
    before = (directory / "ca.crt").read_bytes()
    found = ensure_certificates(directory, [], datetime.now(UTC) + timedelta(minutes=1))
    assert found.ca_created is False
    assert found.ca_certificate.read_bytes() == before
    assert found.ca_key.stat().st_mode & 0o777 == 0o600
    assert_consistent(found)


def test_several_processes_at_once_agree(directory: Path) -> None:
    start = threading.Barrier(8)
    found: list[Certificates] = []

    def ensure() -> None:
        start.wait()
        found.append(ensure_certificates(directory, [], NOW))

    threads = [threading.Thread(target=ensure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.ca_created for one in found) == 1
    assert sum(one.server_renewed for one in found) == 1
    assert_consistent(found[0])


@pytest.mark.parametrize("host", ["", "a b", "https://a", "a:8443", "a@b", "x" * 64, "[::1]"])
def test_hosts_that_are_none(directory: Path, host: str) -> None:
    with pytest.raises(
        CertificateError, match=r"^server\.tls\.hosts: .* is neither a host name nor an IP address$"
    ):
        ensure_certificates(directory, [host], NOW)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match=r"Not a directory; choose another server\.tls\.cert_dir$"):
        ensure_certificates(tmp_path / "file" / "certs", [], NOW)


def test_the_bundle_holds_the_public_roots_and_follows_the_authority(directory: Path) -> None:
    found = ensure_certificates(directory, [], NOW)
    assert public_roots().count(b"-----BEGIN CERTIFICATE-----") > 50
    assert found.bundle.read_bytes() == public_roots().rstrip() + b"\n\n" + found.ca_certificate.read_bytes()

    found.bundle.write_text("stale")
    ensure_certificates(directory, [], NOW)
    assert found.bundle.read_bytes().startswith(public_roots().rstrip())


def test_a_bundle_of_other_roots(directory: Path, tmp_path: Path) -> None:
    found = ensure_certificates(directory, [], NOW)
    roots = found.server_certificate.read_bytes()
    bundle = ensure_bundle(tmp_path / "new" / "bundle.pem", found.ca_certificate, roots=roots)
    assert x509.load_pem_x509_certificates(bundle.read_bytes()) == [
        read(found.server_certificate),
        read(found.ca_certificate),
    ]


@pytest.mark.parametrize(
    ("text", "message"), [(None, "No such file or directory"), ("x", "has no PEM certificate in it")]
)
def test_a_bundle_needs_a_certificate(tmp_path: Path, text: str | None, message: str) -> None:
    if text:
        (tmp_path / "ca.pem").write_text(text)
    with pytest.raises(CertificateError, match=rf"/ca\.pem: {message}$"):
        ensure_bundle(tmp_path / "bundle.pem", tmp_path / "ca.pem")


def test_what_a_crash_left_half_written_is_no_obstacle(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in CA_FILES:
        (directory / f".{name}.tmp").write_text("half")
    found = ensure_certificates(directory, [], NOW)
    assert_consistent(found)
    assert not list(directory.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no key", "key.pem: no such file"),
        ("no certificate", "cert.pem: no such file"),
        ("other key", "key.pem: is not the key of"),
        ("garbage", "cert.pem: is no PEM certificate"),
    ],
)
def test_an_own_certificate_that_cannot_be_used(
    directory: Path, tmp_path: Path, damage: str, message: str
) -> None:
    found = ensure_certificates(directory, [], NOW)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(found.server_certificate, certificate)
    shutil.copy(found.server_key, key)
    match damage:
        case "no key":
            key.unlink()
        case "no certificate":
            certificate.unlink()
        case "other key":
            shutil.copy(found.ca_key, key)
        case _:
            certificate.write_text("x")
    with pytest.raises(CertificateError) as caught:
        combine_own_certificate(certificate, key, directory)
    assert str(caught.value).startswith("load TLS cert: ")
    assert message in str(caught.value)
    assert not (directory / "own.pem").exists()


def test_an_own_certificate_keeps_its_chain(directory: Path, tmp_path: Path) -> None:
    found = ensure_certificates(directory, [], NOW)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(found.server_certificate.read_bytes() + found.ca_certificate.read_bytes())
    own = combine_own_certificate(chain, found.server_key, directory)
    assert own.stat().st_mode & 0o777 == 0o600
    assert len(x509.load_pem_x509_certificates(own.read_bytes())) == 2
