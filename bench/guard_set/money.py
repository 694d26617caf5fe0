# ruff: noqa: E501
"""Cards, bank accounts, crypto addresses, each with its own check digits."""

from __future__ import annotations

import hashlib
import re
from random import Random

import stdnum.iban

from bench.guard_set.draw import BASE58, DIGITS, HEX, UPPER, UPPER36, grouped, text


def luhn_digit(body: str) -> str:
    total = 0
    for at, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if at % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


_CARDS = (  # prefixes, length, groups
    (("4",), 16, (4, 4, 4, 4)),
    (("51", "52", "53", "54", "55", "2221", "2500", "2720"), 16, (4, 4, 4, 4)),
    (("34", "37"), 15, (4, 6, 5)),
    (("6011", "65", "644", "649"), 16, (4, 4, 4, 4)),
    (("300", "305", "36", "38"), 14, (4, 6, 4)),
    (("3528", "3589", "3541"), 16, (4, 4, 4, 4)),
    (("62",), 16, (4, 4, 4, 4)),
)


def credit_card(r: Random) -> str:
    prefixes, length, groups = r.choice((_CARDS[0], _CARDS[0], _CARDS[1], *_CARDS))
    prefix = r.choice(prefixes)
    body = prefix + text(r, DIGITS, length - 1 - len(prefix))
    return grouped(body + luhn_digit(body), groups, r.choice(("", "", " ", "-")))


_IBANS = {  # the account part: d digits, A capitals, X either; groups of four when printed
    "DE": "d18", "FR": "d10X11d2", "ES": "d20", "GB": "A4d14", "NL": "A4d10", "IT": "A1d10X12", "CH": "d5X12",
    "AT": "d16", "BE": "d12", "PL": "d24", "SE": "d20", "NO": "d11", "PT": "d21", "IE": "A4d14", "LU": "d3X13",
    "DK": "d14", "FI": "d14", "CZ": "d20", "SA": "d2X18", "AE": "d19", "TR": "d5d1X16", "BR": "d23A1X1",
}  # fmt: skip


def _by_form(r: Random, form: str) -> str:
    alphabets = {"d": DIGITS, "A": UPPER, "X": UPPER36}
    return "".join(text(r, alphabets[kind], int(count)) for kind, count in re.findall(r"([dAX])(\d+)", form))


def iban_check(country: str, account: str) -> str:
    numeral = "".join(str(int(c, 36)) for c in account + country + "00")
    return f"{98 - int(numeral) % 97:02}"


def iban(r: Random) -> str:
    country = r.choice(tuple(_IBANS))
    while True:
        account = _by_form(r, _IBANS[country])
        value = country + iban_check(country, account) + account
        # Belgium, Spain and others have check digits of their own inside.
        if stdnum.iban.is_valid(value):
            break
    printed = grouped(value, (4,) * 8, " ")
    return r.choice((value, value, printed, printed, value.lower() if r.random() < 0.3 else value))


def bic(r: Random) -> str:
    bank = text(r, UPPER, 4)
    country = r.choice(("DE", "FR", "ES", "GB", "US", "CH", "AT", "NL", "IT"))
    return bank + country + text(r, UPPER + "23456789", 2) + r.choice(("", "", "XXX", text(r, DIGITS, 3)))


def aba_routing_number(r: Random) -> str:
    body = f"{r.choice((*range(1, 13), *range(21, 33))):02}{text(r, DIGITS, 6)}"
    total = sum(int(d) * w for d, w in zip(body, (3, 7, 1, 3, 7, 1, 3, 7), strict=True))
    return body + str(-total % 10)


def _base58check(data: bytes) -> str:
    data += hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]
    value, out = int.from_bytes(data, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        out = BASE58[digit] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _bech32(prefix: str, version: int, program: bytes) -> str:
    """An address: BIP 173, and BIP 350 from witness version 1 on."""
    return bech32_text(prefix, program, (version,), 0x2BC830A3 if version else 1)


def bech32_text(prefix: str, program: bytes, first: tuple[int, ...] = (), final: int = 1) -> str:
    bits = "".join(f"{byte:08b}" for byte in program)
    bits += "0" * (-len(bits) % 5)
    data = [*first, *(int(bits[at : at + 5], 2) for at in range(0, len(bits), 5))]

    def polymod(values: list[int]) -> int:
        state = 1
        for value in values:
            top, state = state >> 25, ((state & 0x1FFFFFF) << 5) ^ value
            for at, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                state ^= factor if top >> at & 1 else 0
        return state

    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    state = polymod(expanded + data + [0] * 6) ^ final
    check = [state >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join(_BECH32[value] for value in data + check)


def btc_address(r: Random) -> str:
    form = r.randrange(4)
    if form == 0:
        return _base58check(b"\x00" + r.randbytes(20))
    if form == 1:
        return _base58check(b"\x05" + r.randbytes(20))
    if form == 2:
        return _bech32("bc", 0, r.randbytes(r.choice((20, 20, 32))))
    return _bech32("bc", 1, r.randbytes(32))


def eth_address(r: Random) -> str:
    """In small letters: the mixed case of EIP-55 needs Keccak."""
    return "0x" + text(r, HEX, 40)


def ltc_address(r: Random) -> str:
    return r.choice(
        (
            _base58check(b"\x30" + r.randbytes(20)),
            _base58check(b"\x32" + r.randbytes(20)),
            _bech32("ltc", 0, r.randbytes(20)),
        )
    )


def doge_address(r: Random) -> str:
    return _base58check(b"\x1e" + r.randbytes(20))


def tron_address(r: Random) -> str:
    return _base58check(b"\x41" + r.randbytes(20))


def solana_address(r: Random) -> str:
    value, out = int.from_bytes(r.randbytes(32), "big"), ""
    while value:
        value, digit = divmod(value, 58)
        out = BASE58[digit] + out
    return out


def bad_card(r: Random) -> str:
    """As long as a card's number, and its check digit is wrong."""
    body = r.choice(("7", "8", "9", "1", "4", "5")) + text(r, DIGITS, 14)
    return body + str((int(luhn_digit(body)) + r.randint(1, 9)) % 10)


def bad_iban(r: Random) -> str:
    account = text(r, DIGITS, 18)
    return f"DE{(int(iban_check('DE', account)) + r.randint(1, 30)) % 97 + 2:02}{account}"
