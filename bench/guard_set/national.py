# ruff: noqa: E501
"""National numbers of people with valid check digits; what python-stdnum knows is drawn until it agrees."""

from __future__ import annotations

from importlib import import_module
from random import Random

from bench.guard_set.draw import DIGITS, UPPER, date, grouped, number, text, until
from bench.guard_set.personal import icao


def _valid(r: Random, module: str, draw) -> str:
    return until(import_module(f"stdnum.{module}").is_valid, draw)


def _digits(r: Random, length: int, first: str = DIGITS) -> str:
    return text(r, first, 1) + text(r, DIGITS, length - 1)


def _yymmdd(r: Random) -> str:
    year, month, day = date(r, 1950, 1999)
    return f"{year % 100:02}{month:02}{day:02}"


def us_itin(r: Random) -> str:
    value = _valid(r, "us.itin", lambda: "9" + _digits(r, 8))
    return r.choice((grouped(value, (3, 2, 4), "-"), grouped(value, (3, 2, 4), "-"), value))


def ca_sin(r: Random) -> str:
    value = _valid(r, "ca.sin", lambda: _digits(r, 9, "1234567"))
    return r.choice((grouped(value, (3, 3), " "), grouped(value, (3, 3), "-"), value))


def br_cpf(r: Random) -> str:
    value = _valid(r, "br.cpf", lambda: _digits(r, 11))
    return r.choice((f"{grouped(value[:9], (3, 3), '.')}-{value[9:]}", value))


def br_cnpj(r: Random) -> str:
    value = _valid(r, "br.cnpj", lambda: _digits(r, 8) + "0001" + text(r, DIGITS, 2))
    return r.choice((f"{value[:2]}.{value[2:5]}.{value[5:8]}/{value[8:12]}-{value[12:]}", value))


def mx_curp(r: Random) -> str:
    consonants = "BCDFGHJKLMNPQRSTVWXYZ"

    def draw() -> str:
        return (
            text(r, consonants, 1)
            + r.choice("AEIOU")
            + text(r, consonants, 2)
            + _yymmdd(r)
            + r.choice("HM")
            + r.choice(("DF", "JC", "NL", "PL", "VZ", "GT"))
            + text(r, consonants, 3)
            + "0"
            + text(r, DIGITS, 1)
        )

    return _valid(r, "mx.curp", draw)


def ar_cuit(r: Random) -> str:
    value = _valid(r, "ar.cuit", lambda: r.choice(("20", "23", "27")) + _digits(r, 9))
    return r.choice((f"{value[:2]}-{value[2:10]}-{value[10]}", value))


def cl_rut(r: Random) -> str:
    value = _valid(r, "cl.rut", lambda: number(r, 5_000_000, 25_000_000) + text(r, DIGITS + "K", 1))
    body = value[:-1]
    dotted = f"{int(body):,}".replace(",", ".")
    return r.choice((f"{dotted}-{value[-1]}", f"{body}-{value[-1]}"))


def in_aadhaar(r: Random) -> str:
    value = _valid(r, "in_.aadhaar", lambda: _digits(r, 12, "23456789"))
    return r.choice((grouped(value, (4, 4), " "), grouped(value, (4, 4), "-"), value))


def in_pan(r: Random) -> str:
    return f"{text(r, UPPER, 3)}{r.choice('PPPCHF')}{text(r, UPPER, 1)}{number(r, 1, 9999, 4)}{text(r, UPPER, 1)}"


def au_tfn(r: Random) -> str:
    value = _valid(r, "au.tfn", lambda: _digits(r, 9, "123456789"))
    return r.choice((grouped(value, (3, 3), " "), value))


def au_medicare(r: Random) -> str:
    body = _digits(r, 8, "23456")
    check = sum(int(d) * w for d, w in zip(body, (1, 3, 7, 9, 1, 3, 7, 9), strict=True)) % 10
    value = f"{body}{check}{r.randint(1, 3)}"
    return r.choice((f"{value[:4]} {value[4:9]} {value[9]}", value))


def cn_resident_id(r: Random) -> str:
    area = r.choice(("110101", "310104", "440305", "330106", "510107"))
    year, month, day = date(r, 1950, 2003)
    body = f"{area}{year}{month:02}{day:02}{text(r, DIGITS, 3)}"
    total = sum(int(d) * 2 ** (17 - at) for at, d in enumerate(body))
    return body + "10X98765432"[total % 11]


def jp_my_number(r: Random) -> str:
    value = _valid(r, "jp.in_", lambda: _digits(r, 12))
    return r.choice((grouped(value, (4, 4), " "), value))


def kr_rrn(r: Random) -> str:
    value = _valid(r, "kr.rrn", lambda: _yymmdd(r) + r.choice("12") + "".join(text(r, DIGITS, 6)))
    return r.choice((f"{value[:6]}-{value[6:]}", f"{value[:6]}-{value[6:]}", value))


def za_id(r: Random) -> str:
    return _valid(r, "za.idnr", lambda: _yymmdd(r) + text(r, DIGITS, 4) + "08" + text(r, DIGITS, 1))


def il_id(r: Random) -> str:
    return _valid(r, "il.idnr", lambda: _digits(r, 9, "0123"))


def sg_nric(r: Random) -> str:
    prefix, body = r.choice("STFG"), text(r, DIGITS, 7)
    total = sum(int(d) * w for d, w in zip(body, (2, 7, 6, 5, 4, 3, 2), strict=True)) + (
        4 if prefix in "TG" else 0
    )
    return prefix + body + ("JZIHGFEDCBA" if prefix in "ST" else "XWUTRQPNMLK")[total % 11]


def my_nric(r: Random) -> str:
    value = _valid(r, "my.nric", lambda: _yymmdd(r) + r.choice(("01", "08", "10", "14")) + text(r, DIGITS, 4))
    return f"{value[:6]}-{value[6:8]}-{value[8:]}"


def th_pin(r: Random) -> str:
    value = _valid(r, "th.pin", lambda: _digits(r, 13, "12345678"))
    return r.choice((f"{value[0]}-{value[1:5]}-{value[5:10]}-{value[10:12]}-{value[12]}", value))


def hk_id(r: Random) -> str:
    letter, body = r.choice(UPPER), text(r, DIGITS, 6)
    total = (
        9 * 36 + 8 * (ord(letter) - 55) + sum(int(d) * w for d, w in zip(body, range(7, 1, -1), strict=True))
    )
    check = "0123456789A"[-total % 11]
    return f"{letter}{body}({check})"


def tw_id(r: Random) -> str:
    letter = r.choice("ABCDEFGH")
    code = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter)
    body = r.choice("12") + text(r, DIGITS, 7)
    total = code // 10 + code % 10 * 9 + sum(int(d) * w for d, w in zip(body, range(8, 0, -1), strict=True))
    return f"{letter}{body}{-total % 10}"


def uk_nhs(r: Random) -> str:
    value = _valid(r, "gb.nhs", lambda: _digits(r, 10, "4679"))
    return r.choice((grouped(value, (3, 3), " "), grouped(value, (3, 3), " "), value))


def uk_nino(r: Random) -> str:
    while True:
        prefix = text(r, "ABCEGHJKLMNOPRSTWXYZ", 1) + text(r, "ABCEGHJKLMNPRSTWXYZ", 1)
        if prefix not in ("BG", "GB", "NK", "KN", "NT", "TN", "ZZ"):
            break
    body, suffix = text(r, DIGITS, 6), r.choice("ABCD")
    return r.choice((f"{prefix}{body}{suffix}", f"{prefix} {grouped(body, (2, 2), ' ')} {suffix}"))


def de_tax_id(r: Random) -> str:
    def draw() -> str:
        digits = r.sample(DIGITS, 9)
        body = [*digits, r.choice(digits)]
        r.shuffle(body)
        return "".join(body) + text(r, DIGITS, 1) if body[0] != "0" else "0"

    value = _valid(r, "de.idnr", draw)
    return r.choice((value, f"{value[:2]} {grouped(value[2:], (3, 3), ' ')}"))


def de_id_card(r: Random) -> str:
    body = r.choice("LMNPRTVWXY") + text(r, "0123456789CFGHJKLMNPRTVWXYZ", 8)
    return r.choice((body, body + icao(r, body)))


def fr_nir(r: Random) -> str:
    def draw() -> str:
        department = number(r, 1, 95, 2) if r.random() < 0.9 else "75"
        body = f"{r.choice('12')}{number(r, 40, 99)}{number(r, 1, 12, 2)}{department}{number(r, 1, 900, 3)}{number(r, 1, 999, 3)}"
        return body + f"{97 - int(body) % 97:02}"

    value = _valid(r, "fr.nir", draw)
    return r.choice(
        (
            value,
            f"{value[0]} {value[1:3]} {value[3:5]} {value[5:7]} {value[7:10]} {value[10:13]} {value[13:]}",
        )
    )


def es_dni(r: Random) -> str:
    body = number(r, 1_000_000, 99_999_999, 8)
    letter = "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23]
    return r.choice((body + letter, body + letter, f"{body}-{letter}"))


def es_nie(r: Random) -> str:
    first, body = r.choice("XYZ"), text(r, DIGITS, 7)
    letter = "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{'XYZ'.index(first)}{body}") % 23]
    return r.choice((f"{first}{body}{letter}", f"{first}-{body}-{letter}"))


def it_codice_fiscale(r: Random) -> str:
    consonants = "BCDFGHLMNPRSTVZ"

    def draw() -> str:
        return (
            text(r, consonants, 6)
            + number(r, 40, 99)
            + r.choice("ABCDEHLMPRST")
            + number(r, *r.choice(((1, 28), (41, 68))), 2)
            + r.choice(("H501", "F205", "L219", "A944", "D612"))
            + text(r, UPPER, 1)
        )

    return _valid(r, "it.codicefiscale", draw)


def nl_bsn(r: Random) -> str:
    value = _valid(r, "nl.bsn", lambda: _digits(r, 9, "12"))
    return r.choice((value, value, f"{value[:4]}.{value[4:6]}.{value[6:]}"))


def be_nn(r: Random) -> str:
    value = _valid(r, "be.nn", lambda: _yymmdd(r) + number(r, 1, 998, 3) + number(r, 1, 97, 2))
    return r.choice((f"{value[:2]}.{value[2:4]}.{value[4:6]}-{value[6:9]}.{value[9:]}", value))


def pl_pesel(r: Random) -> str:
    return _valid(r, "pl.pesel", lambda: _yymmdd(r) + text(r, DIGITS, 5))


def se_personnummer(r: Random) -> str:
    year, month, day = date(r, 1950, 1999)
    value = _valid(r, "se.personnummer", lambda: f"{year % 100:02}{month:02}{day:02}-{text(r, DIGITS, 4)}")
    return r.choice((value, f"{year // 100}{value}"))


def ch_ahv(r: Random) -> str:
    value = _valid(r, "ch.ssn", lambda: "756" + _digits(r, 10))
    return r.choice(
        (
            f"756.{value[3:7]}.{value[7:11]}.{value[11:]}",
            f"756.{value[3:7]}.{value[7:11]}.{value[11:]}",
            value,
        )
    )


def at_svnr(r: Random) -> str:
    year, month, day = date(r, 1950, 1999)
    value = _valid(r, "at.vnr", lambda: f"{_digits(r, 4, '123456789')}{day:02}{month:02}{year % 100:02}")
    return r.choice((value, f"{value[:4]} {value[4:]}"))


def fi_hetu(r: Random) -> str:
    year, month, day = date(r, 1950, 1999)
    return _valid(
        r,
        "fi.hetu",
        lambda: (
            f"{day:02}{month:02}{year % 100:02}-{number(r, 2, 899, 3)}{text(r, '0123456789ABCDEFHJKLMNPRSTUVWXY', 1)}"
        ),
    )


def pt_nif(r: Random) -> str:
    value = _valid(r, "pt.nif", lambda: _digits(r, 9, "12"))
    return r.choice((value, grouped(value, (3, 3), " ")))


def dk_cpr(r: Random) -> str:
    year, month, day = date(r, 1950, 1999)
    value = _valid(r, "dk.cpr", lambda: f"{day:02}{month:02}{year % 100:02}{number(r, 0, 3999, 4)}")
    return r.choice((f"{value[:6]}-{value[6:]}", f"{value[:6]}-{value[6:]}", value))


def no_fodselsnummer(r: Random) -> str:
    year, month, day = date(r, 1950, 1999)
    return _valid(
        r,
        "no.fodselsnummer",
        lambda: f"{day:02}{month:02}{year % 100:02}{number(r, 0, 499, 3)}{text(r, DIGITS, 2)}",
    )


def ie_pps(r: Random) -> str:
    return _valid(
        r, "ie.pps", lambda: _digits(r, 7) + text(r, "ABCDEFGHIJKLMNOPQRSTUVW", 1) + r.choice(("", "A"))
    )


def cz_rc(r: Random) -> str:
    value = _valid(r, "cz.rc", lambda: f"{_yymmdd(r)}{text(r, DIGITS, 4)}")
    return f"{value[:6]}/{value[6:]}"


def ro_cnp(r: Random) -> str:
    return _valid(r, "ro.cnp", lambda: r.choice("12") + _yymmdd(r) + number(r, 1, 46, 2) + text(r, DIGITS, 4))


def tr_tckn(r: Random) -> str:
    return _valid(r, "tr.tckimlik", lambda: _digits(r, 11, "123456789"))
