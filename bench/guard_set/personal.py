# ruff: noqa: E501
"""People: mail addresses, telephone numbers, dates of birth, passports, licences, social security numbers."""

from __future__ import annotations

from random import Random

from bench.guard_set.draw import (
    DIGITS,
    LOWER36,
    UPPER,
    UPPER36,
    VALUES,
    Part,
    date,
    grouped,
    name,
    number,
    plain,
    text,
)

MONTHS = "January February March April May June July August September October November December".split()
MONATE = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
MOIS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()
MESES = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()


def ssn(r: Random) -> str:
    area = r.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03}-{r.randint(1, 99):02}-{r.randint(1, 9999):04}"


def ssn_bare(r: Random) -> str:
    """Without hyphens; its label says what it is."""
    return ssn(r).replace("-", r.choice(("", " ", " ")))


def email(r: Random) -> str:
    language = r.choice(("en", "en", "de", "fr", "es"))
    first, last = plain(name(r, "first", language)), plain(name(r, "last", language))
    local = r.choice(
        (
            f"{first}.{last}",
            f"{first[:1]}{last}",
            f"{first}_{last}",
            f"{first}-{last}",
            f"{last}{r.randint(1, 99)}",
            f"{first}.{last}+{r.choice(('news', 'shop', 'test', 'ci'))}",
            f"{first}",
            r.choice(("info", "support", "billing", "no-reply", "hr", "jobs", "kontakt")),
            f"{first}.{last[:1]}.{last}",
            f"{r.randint(1, 9)}{first}",
        )
    )
    domain = r.choice(
        (
            name(r, "domain", language),
            "gmail.com",
            "outlook.com",
            "gmx.de",
            "orange.fr",
            f"mail.{name(r, 'domain', language)}",
            f"{plain(name(r, 'company'))[:14]}.{r.choice(('io', 'dev', 'ai', 'co.uk', 'eu', 'tech', 'museum'))}",
        )
    )
    address = f"{local}@{domain}"
    return r.choice((address, address, address, address.upper(), address.title()))


def _nanp(r: Random) -> tuple[str, str, str]:
    """Area code and exchange begin with 2 to 9 and do not end in 11."""

    def three() -> str:
        while True:
            value = number(r, 200, 999)
            if not value.endswith("11"):
                return value

    return three(), three(), number(r, 0, 9999, 4)


def phone(r: Random) -> str:
    area, exchange, line = _nanp(r)
    return r.choice(
        (
            f"{area}-{exchange}-{line}",
            f"({area}) {exchange}-{line}",
            f"{area}.{exchange}.{line}",
            f"{area} {exchange} {line}",
            f"1-{area}-{exchange}-{line}",
            f"+1 {area} {exchange} {line}",
            f"+1-{area}-{exchange}-{line}",
            f"+1 ({area}) {exchange}-{line}",
            f"({area}){exchange}-{line}",
            f"+1{area}{exchange}{line}",
        )
    )


def phone_bare(r: Random) -> str:
    return "".join(_nanp(r))


def _abroad(r: Random) -> tuple[str, str]:
    """Country code, and the number behind it in its usual groups."""
    d = lambda low, high=0: text(r, DIGITS, low, high)  # noqa: E731
    return r.choice(
        (
            ("44", f"20 7{d(3)} {d(4)}"),
            ("44", f"7{r.choice('4578')}{d(2)} {d(6)}"),
            ("44", f"161 {number(r, 200, 999)} {d(4)}"),
            ("49", f"30 {number(r, 2, 9)}{d(6)}"),
            ("49", f"1{r.choice(('51', '60', '70', '72', '76', '79'))} {number(r, 2, 9)}{d(6)}"),
            ("49", f"89 {number(r, 2, 9)}{d(5)}-{d(2)}"),
            ("33", f"{r.choice('12345')} {d(2)} {d(2)} {d(2)} {d(2)}"),
            ("33", f"6 {d(2)} {d(2)} {d(2)} {d(2)}"),
            ("34", f"6{d(2)} {d(3)} {d(3)}"),
            ("34", f"91 {number(r, 2, 8)}{d(2)} {d(2)} {d(2)}"),
            ("41", f"79 {number(r, 2, 8)}{d(2)} {d(2)} {d(2)}"),
            ("43", f"664 {number(r, 2, 9)}{d(6)}"),
            ("39", f"3{r.choice(('20', '28', '33', '47', '49'))} {d(3)} {d(4)}"),
            ("31", f"6 {number(r, 1, 5)}{d(7)}"),
            ("32", f"47{r.choice('0123456789')} {d(2)} {d(2)} {d(2)}"),
            ("48", f"60{r.choice('0123456789')} {d(3)} {d(3)}"),
            ("46", f"70 {d(3)} {d(2)} {d(2)}"),
            ("91", f"9{d(4)} {d(5)}"),
            ("81", f"90 {number(r, 1000, 9999)} {d(4)}"),
            ("86", f"13{r.choice('5678')} {d(4)} {d(4)}"),
            ("61", f"4{r.choice('0123')}{d(1)} {d(3)} {d(3)}"),
            ("55", f"11 9{number(r, 6, 9)}{d(3)}-{d(4)}"),
            ("52", f"55 {number(r, 1000, 8999)} {d(4)}"),
            ("353", f"8{r.choice('3567')} {number(r, 100, 999)} {d(4)}"),
            ("351", f"9{r.choice('1236')}{d(1)} {d(3)} {d(3)}"),
            ("420", f"60{r.choice('1234567')} {d(3)} {d(3)}"),
            ("972", f"5{r.choice('0234')}-{number(r, 200, 999)}-{d(4)}"),
        )
    )


def international_phone(r: Random) -> str:
    code, rest = _abroad(r)
    form = r.randrange(8)
    if form < 3:
        return f"+{code} {rest}"
    if form == 3:
        return f"+{code}{rest.replace(' ', '').replace('-', '')}"
    if form == 4:
        return f"+{code}-{rest.replace(' ', '-')}"
    if form == 5:
        return f"00{code} {rest}"
    if form == 6 and code in ("44", "49", "43", "31", "61"):
        return f"+{code} (0){rest}"
    return f"+{code} {rest.replace(' ', '.').replace('-', '.')}"


def date_of_birth(r: Random, language: str = "en") -> str:
    year, month, day = date(r)
    if language == "de":
        return r.choice(
            (f"{day:02}.{month:02}.{year}", f"{day}.{month}.{year}", f"{day}. {MONATE[month - 1]} {year}")
        )
    if language == "fr":
        return r.choice((f"{day} {MOIS[month - 1]} {year}", f"{day:02}/{month:02}/{year}"))
    if language == "es":
        return r.choice((f"{day} de {MESES[month - 1]} de {year}", f"{day:02}/{month:02}/{year}"))
    return r.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{month:02}/{day:02}/{year}",
            f"{month}/{day}/{year}",
            f"{day} {MONTHS[month - 1]} {year}",
            f"{MONTHS[month - 1]} {day}, {year}",
            f"{day} {MONTHS[month - 1][:3]} {year}",
            f"{day:02}.{month:02}.{year}",
            f"{day:02}/{month:02}/{year}",
        )
    )


def date_of_birth_de(r: Random) -> str:
    return date_of_birth(r, "de")


def date_of_birth_fr(r: Random) -> str:
    return date_of_birth(r, "fr")


def date_of_birth_es(r: Random) -> str:
    return date_of_birth(r, "es")


def us_passport(r: Random) -> str:
    return r.choice((text(r, DIGITS[1:], 1) + text(r, DIGITS, 8), text(r, UPPER, 1) + text(r, DIGITS, 8)))


_GERMAN = "0123456789CFGHJKLMNPRTVWXYZ"


def passport(r: Random) -> str:
    """Of Germany, France, Spain, the UK, India, Italy, Canada, Netherlands, Korea."""
    return r.choice(
        (
            r.choice("CFGHJK") + text(r, _GERMAN, 7) + icao(r, ""),
            f"{text(r, DIGITS, 2)}{text(r, UPPER, 2)}{text(r, DIGITS, 5)}",
            f"{text(r, UPPER, 3)}{text(r, DIGITS, 6)}",
            text(r, DIGITS[1:], 1) + text(r, DIGITS, 8),
            f"{r.choice('JKLMNPRSTUZ')}{r.randint(1, 9)}{text(r, DIGITS, 6)}",
            f"Y{r.choice('ABC')}{text(r, DIGITS, 7)}",
            f"{text(r, UPPER, 2)}{text(r, DIGITS, 6)}",
            f"M{text(r, DIGITS, 8)}",
        )
    )


def icao(r: Random, value: str) -> str:
    """The check digit of machine readable documents (weights 7, 3, 1); drawn for the empty value."""
    if not value:
        return text(r, DIGITS, 1)
    return str(
        sum(
            "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(c if c != "<" else "0") * (7, 3, 1)[at % 3]
            for at, c in enumerate(value)
        )
        % 10
    )


def passport_mrz(r: Random) -> str:
    """Second line of a passport's machine readable zone, 44 characters."""
    passport_number = (text(r, UPPER, 1) + text(r, UPPER36, 8))[:9]
    country = r.choice(("USA", "GBR", "FRA", "ESP", "ITA", "D<<", "AUT", "CHE"))
    year, month, day = date(r)
    birth = f"{year % 100:02}{month:02}{day:02}"
    until = f"{r.randint(27, 35)}{month:02}{day:02}"
    personal = "<" * 14
    number_part = passport_number + icao(r, passport_number)
    birth_part, until_part = birth + icao(r, birth), until + icao(r, until)
    whole = icao(r, number_part + birth_part + until_part + personal + "0")
    return f"{number_part}{country}{birth_part}{r.choice('MF')}{until_part}{personal}0{whole}"


def drivers_license(r: Random) -> str:
    """Of Californian, Floridian, New York, Texan, British form."""
    surname = plain(str(r.choice(VALUES["en_GB"]["last"]))).upper()[:5].ljust(5, "9")
    year, month, day = date(r)
    decade, unit = divmod(year % 100, 10)
    return r.choice(
        (
            text(r, UPPER, 1) + text(r, DIGITS, 7),
            f"{text(r, UPPER, 1)}{text(r, DIGITS, 3)}-{text(r, DIGITS, 3)}-{text(r, DIGITS, 2)}-{text(r, DIGITS, 3)}-0",
            text(r, DIGITS[1:], 1) + text(r, DIGITS, 7),
            f"{surname}{decade}{month:02}{day:02}{unit}{text(r, UPPER, 2)}9{text(r, UPPER, 2)}",
            f"{text(r, UPPER, 1)}{text(r, DIGITS, 12)}",
        )
    )


def tel_uri(r: Random) -> Part:
    return Part("tel:", "+1" + "".join(_nanp(r)))


def mailto(r: Random) -> Part:
    return Part("mailto:", email(r), r.choice(("?subject=Hello", "", "")))


def order_reference(r: Random) -> str:
    """Belongs to nobody: stands beside values."""
    return f"{r.choice(('ORD', 'INV', 'TKT', 'PO'))}-{text(r, LOWER36.upper(), 5)}{grouped(text(r, DIGITS, 4), (4,), '')}"
