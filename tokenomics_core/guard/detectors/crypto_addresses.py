"""Addresses of cryptocurrencies, by their checksums where those are of SHA-256 or bech32."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from tokenomics_core.guard.detector import Detector, Shape

_BASE58 = {c: n for n, c in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32 = {c: n for n, c in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_SUMS = (1, 0x2BC830A3)
"""What the checksum comes to: bech32, bech32m."""


def _base58(value: str, size: int) -> bytes:
    """The `size` bytes that value stands for; none where it is no base 58 or stands for more or fewer."""
    number = 0
    for character in value:
        digit = _BASE58.get(character)
        if digit is None:
            return b""
        number = number * 58 + digit
    zeros = len(value) - len(value.lstrip("1"))
    return number.to_bytes(size) if (number.bit_length() + 7) // 8 + zeros == size else b""


def _base58check(versions: bytes) -> Callable[[str], bool]:
    """A check of 25 bytes: a version, a hash of 20 bytes, 4 bytes of checksum."""

    def check(value: str) -> bool:
        decoded = _base58(value, 25)
        if not decoded or decoded[0] not in versions:
            return False
        return sha256(sha256(decoded[:21]).digest()).digest()[:4] == decoded[21:]

    return check


def _bech32(value: str) -> bool:
    prefix, _, data = value.lower().rpartition("1")
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    total = 1
    for number in (*expanded, *(_BECH32.get(c, 32) for c in data)):
        if number > 31:
            return False
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ number
        for bit, constant in enumerate(_GENERATOR):
            if top >> bit & 1:
                total ^= constant
    return total in _BECH32_SUMS


def _mixed_case(value: str) -> bool:
    """Such an address has its checksum in upper and lower case; hardly any other hex number is so written."""
    return not (value[2:].islower() or value[2:].isupper() or value[2:].isdigit())


def _32_bytes(value: str) -> bool:
    return bool(_base58(value, 32))


_SHA_WORDS = ("commit", "hash", "sha", "sha1", "tx", "txid", "transaction", "block", "digest", "checksum")

DETECTORS = (
    Detector(name="crypto_address", label="Crypto Address", kind="financial", shapes=()),
    Detector(
        name="btc_address",
        label="Bitcoin Address",
        kind="financial",
        family="crypto_address",
        shapes=(
            Shape(r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", check=_base58check(b"\x00\x05"), valid=0.95),
            Shape(r"\bbc1[02-9ac-hj-np-z]{11,59}\b", check=_bech32, valid=0.95),
            Shape(r"\bBC1[02-9AC-HJ-NP-Z]{11,59}\b", check=_bech32, valid=0.95),
        ),
        found=(
            "send to «1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa».",
            "«3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy»",
            "«bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4»",
            "«bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0»",
        ),
        clean=(
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "3f786850e387550fdab836ed7e6dc881de23001b",
        ),
    ),
    Detector(
        name="eth_address",
        label="Ethereum Address",
        kind="financial",
        family="crypto_address",
        shapes=(Shape(r"\b0x[0-9a-fA-F]{40}\b", check=_mixed_case, valid=0.7, invalid=0.6),),
        near=("eth", "ethereum", "wallet", "address", "erc20", "erc 20", "metamask", "polygon", "bsc"),
        unlike=_SHA_WORDS,
        found=(
            "wallet «0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed»",
            "«0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed»",
            "pay «0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359»!",
        ),
        clean=(
            "the sha 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
            "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed0011223344556677",
            "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        ),
    ),
    Detector(
        name="ltc_address",
        label="Litecoin Address",
        kind="financial",
        family="crypto_address",
        shapes=(
            Shape(r"\b[LM][1-9A-HJ-NP-Za-km-z]{25,34}\b", check=_base58check(b"\x30\x32"), valid=0.95),
            Shape(r"\bltc1[02-9ac-hj-np-z]{11,59}\b", check=_bech32, valid=0.95),
        ),
        found=(
            "«LdhAFf9tEbdZsZANz3HeFcNfdmFmvui4dD»",
            "«MDZj9A4MZuyoEJ4XPNm6wiwxceRgq9tSNU»",
            "«ltc1q9e7jcqaf2pawye0v7k6n26y955ee8gsz0a6vsz»",
        ),
        clean=(
            "LhK2kQwiaAvhjWY799cZvMyYwnQAcxkarr1",
            "ltc1 is a prefix",
            "MVcg9uEvtWuP5N6V48EHfEtbz48qR8TKZa",
        ),
    ),
    Detector(
        name="xmr_address",
        label="Monero Address",
        kind="financial",
        family="crypto_address",
        # 95 characters, 106 with a payment id.
        shapes=(
            Shape(r"\b[48][0-9AB](?:[1-9A-HJ-NP-Za-km-z]{31}){3}(?:[1-9A-HJ-NP-Za-km-z]{11})?\b", score=0.75),
        ),
        near=("monero", "xmr", "wallet", "address"),
        found=(
            "«44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A»",
            "xmr: «888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1"
            "UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H»",
            "donate «48edfHu7V9Z84YzzMa6fUueoELZ9ZRXq9VetWzYGzKt52XU5xvqgzYnDK9UR"
            "nRoJMk1j8nLwEVsaSWJ4fhdUyZijBGUicoD»",
        ),
        clean=("44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7ot", "4" * 95 + "0", "48 edges"),
    ),
    Detector(
        name="sol_address",
        label="Solana Address",
        kind="financial",
        family="crypto_address",
        shapes=(Shape(r"\b[1-9A-HJ-NP-Za-km-z]{32,44}\b", check=_32_bytes, valid=0.25),),
        near=("solana", "sol", "phantom", "spl", "lamports"),
        unlike=_SHA_WORDS,
        found=(
            "Solana wallet «7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV»",
            "my sol address is «4Nd1mYQzvgVvXz6XvXvJ9Y8q6kXoTqgSgq8k7m6cVtPq»",
            "phantom: «So11111111111111111111111111111111111111112»",
        ),
        clean=(
            "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV",
            "solana 3f786850e387550fdab836ed7e6dc881de23001b",
            "sol " + "z" * 44,
        ),
    ),
    Detector(
        name="tron_address",
        label="Tron Address",
        kind="financial",
        family="crypto_address",
        shapes=(Shape(r"\bT[1-9A-HJ-NP-Za-km-z]{33}\b", check=_base58check(b"\x41"), valid=0.95),),
        found=(
            "«TUSQzWDnJfWTmvXrQAx4Vk13LLdp1BJMgC»",
            "«TFdmunXgDcvwVo9pkfktDc2m4DHqTYmsE1»",
            "«TED22ysmcTgSyozPqXaeZgYN4x68bRs2Cs»",
        ),
        clean=(
            "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6u",
            "TheQuickBrownFoxJumpsFarAndAwayNow",
            "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6",
        ),
    ),
    Detector(
        name="doge_address",
        label="Dogecoin Address",
        kind="financial",
        family="crypto_address",
        shapes=(Shape(r"\b[DA9][1-9A-HJ-NP-Za-km-z]{33}\b", check=_base58check(b"\x1e\x16"), valid=0.95),),
        found=(
            "«DPcJXhnhTMHo9kepYVHuXMUWJgco7N1WZ7»",
            "«DAofSz6bNJiGsdGntz6jFDWE2ZGpfRk6kp»",
            "«D9NuaBSgm9TnMe7MyqvVbJ1q3J57gwA3dw»",
        ),
        clean=(
            "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7M",
            "DoTheQuickBrownFoxJumpsFarAndAwayy",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
    ),
)
