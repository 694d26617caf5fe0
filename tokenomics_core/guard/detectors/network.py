"""Addresses of machines."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from tokenomics_core.guard.detector import Detector, Shape

_OCTET = r"(?:25[0-5]|2[0-4]\d|[01]?\d\d?)"
_GROUP = "[0-9A-Fa-f]{1,4}"
_FOUR = r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"


def _ipv4(value: str) -> bool:
    """Whether it is written as an address is, and is no likely version or section number (1.2.3.4)."""
    try:
        address = IPv4Address(value)
    except ValueError:
        return False
    return len(value) > 7 and address.packed[0] != 0


_IN_USE = tuple(
    IPv6Network(network)
    for network in ("2000::/3", "fc00::/7", "fe80::/9", "ff00::/8", "64:ff9b::/96", "::ffff:0:0/96")
)


def _ipv6(value: str) -> bool:
    """Whether it is an address of a range in use. `f32::f64` and `a::b` are not."""
    try:
        address = IPv6Address(value)
    except ValueError:
        return False
    return any(address in network for network in _IN_USE)


def _mac(value: str) -> bool:
    """Six or eight octets, no more: a fingerprint is longer. Without colons there is some letter."""
    number = value.replace(":", "").replace("-", "").replace(".", "").lower()
    sizes = (12,) if "." in value else (12, 16)
    if len(number) not in sizes or len(set(number)) == 1:
        return False
    return ":" in value or not number.isdigit()


DETECTORS = (
    Detector(
        name="ip_address",
        label="IP Address",
        kind="network",
        shapes=(
            Shape(
                rf"\b{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}\b",
                check=_ipv4,
                valid=0.7,
                invalid=0.4,
                reference=True,
            ),
        ),
        near=(
            "ip",
            "ips",
            "ipv4",
            "ip address",
            "ipaddress",
            "host",
            "hosts",
            "server",
            "address",
            "client",
            "remote",
            "addr",
            "gateway",
            "subnet",
            "dns",
            "nameserver",
            "ping",
            "ssh",
            "http",
            "https",
            "tcp",
            "udp",
            "adresse",
            "dirección",
        ),
        unlike=(
            "version",
            "versions",
            "release",
            "build",
            "v",
            "ver",
            "section",
            "chapter",
            "clause",
            "oid",
            "firmware",
            "kapitel",
            "abschnitt",
            "versión",
            "chrome",
            "edge",
            "safari",
            "upgrade",
            "driver",
        ),
        found=(
            "from «192.168.1.1» to there",
            "«10.0.0.254»:8080",
            "DNS is «8.8.8.8»",
            "«203.0.113.77»/24",
        ),
        clean=("999.999.999.999", "v1.2.3.4", "::1", "3.14.15", "256.1.1.1.x"),
    ),
    Detector(
        name="ipv6",
        label="IPv6 Address",
        kind="network",
        shapes=(
            Shape(rf"\b(?:{_GROUP}:){{7}}{_GROUP}\b", check=_ipv6, valid=0.9, invalid=0.3),
            Shape(rf"\b(?:{_GROUP}:){{1,6}}(?::{_GROUP}){{1,6}}\b", check=_ipv6, valid=0.85, invalid=0.3),
            Shape(rf"\b{_GROUP}(?::{_GROUP}){{0,6}}::\B", check=_ipv6, valid=0.8, invalid=0.2),
            Shape(rf"\B::(?:{_GROUP}:){{0,6}}{_GROUP}\b", check=_ipv6, valid=0.8, invalid=0.25),
            Shape(rf"\B::(?:{_GROUP}:){{0,5}}{_FOUR}\b", check=_ipv6, valid=0.9, invalid=0.0),
            Shape(
                rf"\b(?:{_GROUP}:){{1,6}}(?::{_GROUP}){{0,5}}:{_FOUR}\b", check=_ipv6, valid=0.9, invalid=0.0
            ),
        ),
        near=("ip", "ipv6", "ip address", "ip6", "inet6", "ipaddress", "aaaa"),
        unlike=("fingerprint", "mac", "namespace"),
        found=(
            "host «2001:0db8:85a3:0000:0000:8a2e:0370:7334» is up",
            "«2001:db8::1»: ok",
            "«fe80::1ff:fe23:4567:890a»%eth0",
            "route «fe80::»/10",
            "[«2001:db8:0:1::»]",
            "«::ffff:192.0.2.128»",
            "«64:ff9b::192.0.2.33»",
            "inet6 «::1»",
        ),
        clean=(
            "12:34:56",
            "2024-01-01T12:34:56.789+01:00",
            "std::vector<int> a; ::add(dead::beef, f32::f64)",
            "items[::1] and items[::2]",
            "a :: b",
            "00:1B:44:11:3A:B7",
        ),
    ),
    Detector(
        name="mac_address",
        label="MAC Address",
        kind="network",
        # A longer run of octets matches as a whole, so that the check sees that it is longer.
        shapes=(
            Shape(r"\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5,31}\b", check=_mac, valid=0.85),
            Shape(r"\b[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5,31}\b", check=_mac, valid=0.8, invalid=0.2),
            Shape(r"\b[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2,7}\b", check=_mac, valid=0.8),
        ),
        near=("mac", "mac address", "hwaddr", "ether", "bssid", "physical address", "lladdr", "macaddress"),
        unlike=("fingerprint", "sha1", "sha256", "md5", "thumbprint"),
        found=(
            "mac «00:1B:44:11:3A:B7»",
            "«00-1b-44-11-3a-b7» is it",
            "cisco «001b.4411.3ab7»",
            "ether «01:23:45:67:89:10»",
        ),
        clean=(
            "SHA1 fingerprint 00:1B:44:11:3A:B7:00:1B:44:11:3A:B7:00:1B:44:11:3A:B7:AA:BB",
            "550e8400-e29b-41d4-a716-446655440000",
            "12-34-56-78-90-12",
            "2024.0101.1200",
            "ff:ff:ff:ff:ff:ff",
        ),
    ),
)
