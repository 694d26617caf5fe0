"""Where events may go: machines, but not the metadata service of the cloud this one runs in."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

# Clouds hand out a machine's credentials at link-local addresses, and at these.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")


def forbidden(text: str, *, allow_link_local: bool, deny_private: bool) -> str:
    """Why nothing may be sent to an address; the empty string when it may."""
    try:
        address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "its host has no valid address"
    if not allow_link_local and (address.is_link_local or address in _METADATA):
        return "its host is link-local or a metadata service; allow_link_local lets it be one"
    if deny_private and (not address.is_global or address in _SHARED):
        return "its host is private, which deny_private forbids"
    return ""


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, or itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
