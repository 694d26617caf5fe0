"""What names one person: social security numbers, mail addresses, birth dates, passports, licences."""

from __future__ import annotations

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._checks import digits


def _ssn(value: str) -> bool:
    """Whether this number can have been given to somebody."""
    number = digits(value)
    area = number[:3]
    return area not in ("000", "666") and area[0] != "9" and number[3:5] != "00" and number[5:] != "0000"


_NO_DOMAINS = frozenset(
    (
        "png jpg jpeg gif svg webp ico js mjs ts tsx jsx css scss html htm json yaml yml xml txt"
        " py rb rs java php lock"
    ).split()
)


def _mail_address(value: str) -> bool:
    """Not `icon@2x.png`, and not the user of `git@github.com:owner/name`."""
    user, _, domain = value.rpartition("@")
    return user != "git" and domain.rpartition(".")[2].lower() not in _NO_DOMAINS


_LETTERS = "\u00c0-\u024f\u0370-\u04ff"
"""Of Latin, Greek and Cyrillic beyond ASCII."""
_DOMAIN_LETTERS = _LETTERS + "\u0590-\u05ff\u0620-\u064a\u0904-\u0939\u3041-\u30fe\u4e00-\u9fff\uac00-\ud7a3"
_USER = rf"[A-Za-z0-9._%+\-{_LETTERS}]"
_ANY_USER = rf"[A-Za-z0-9._%+\-{_DOMAIN_LETTERS}]"
_DOMAIN = rf"[A-Za-z0-9.\-{_DOMAIN_LETTERS}]"

_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d{2}"
_MONTH_NAME = (
    r"(?i:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]vrier|mar(?:ch|s|zo)?|märz|apr(?:il)?|abril|avril|may|mai|mayo"
    r"|june?|juni|juin|junio|july?|juli|juillet|julio|aug(?:ust)?|août|agosto|sept?(?:ember|embre|iembre)?"
    r"|oct(?:ober|obre|ubre)?|okt(?:ober)?|nov(?:ember|embre|iembre)?|dec(?:ember)?|d[ée]cembre|dez(?:ember)?"
    r"|enero|febrero|diciembre)"
)

_PASSPORT_NEAR = (
    "passport",
    "passports",
    "passport no",
    "passport number",
    "passportnumber",
    "reisepass",
    "reisepassnummer",
    "passnummer",
    "passeport",
    "pasaporte",
    "passaporto",
)


def _value(character: str) -> int:
    return 0 if character == "<" else int(character, 36)


def _check_digit(part: str, digit: str) -> bool:
    total = sum(_value(character) * (7, 3, 1)[at % 3] for at, character in enumerate(part))
    return str(total % 10) == digit


def _passport_line(value: str) -> bool:
    """The second line of a passport, by the check digits of number, birth and expiry."""
    return all(_check_digit(value[a:b], value[b]) for a, b in ((0, 9), (13, 19), (21, 27)))


def _some_digits(value: str) -> bool:
    return len(digits(value)) >= 2 and not value.isdigit()


DETECTORS = (
    Detector(
        name="ssn",
        label="Social Security Number",
        kind="personal",
        shapes=(
            Shape(r"\b\d{3}-\d{2}-\d{4}\b", check=_ssn, valid=0.75, invalid=0.25, reference=True),
            Shape(r"\b[0-8]\d{2}[ .]\d{2}[ .]\d{4}\b", check=_ssn, valid=0.2),
            Shape(r"\b[0-8]\d{8}\b", check=_ssn, valid=0.2),
        ),
        near=(
            "ssn",
            "ssns",
            "social security",
            "social security number",
            "social security no",
            "socialsecuritynumber",
            "soc sec",
            "seguro social",
            "sozialversicherungsnummer",
            "sécurité sociale",
        ),
        unlike=("order", "part", "sku", "tracking", "case", "ticket", "invoice", "serial", "model"),
        found=(
            "my number is «123-45-6789».",
            "SSN: «123 45 6789»",
            '"ssn": "«123456789»"',
            "«000-00-0000»",
            "social_security_number = «219.09.9999»",
        ),
        clean=("1123-45-67899", "123 45 6789", "123456789", "ssn 666 45 6789", "ssn: 900 12 3456"),
    ),
    Detector(
        name="email",
        label="Email Address",
        kind="personal",
        shapes=(
            # Behind a colon or a slash it may be the login of a URL: there words must confirm it.
            Shape(
                r"\b[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}\b",
                check=_mail_address,
                valid=0.45,
                invalid=0.1,
                reference=True,
            ),
            Shape(
                r"\b[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}\b",
                not_behind=":/~!$#._%+-",
                check=_mail_address,
                valid=0.9,
                invalid=0.3,
            ),
            Shape(rf"{_USER}*[{_LETTERS}]{_USER}*@[A-Za-z0-9.\-]+\.[A-Za-z]{{2,}}\b", score=0.85),
            # The original finds none of these. They count with a word before them, or from a lower score on.
            Shape(
                rf"{_ANY_USER}+@{_DOMAIN}*[{_DOMAIN_LETTERS}]{_DOMAIN}*\.[A-Za-z{_DOMAIN_LETTERS}]{{2,}}",
                score=0.45,
            ),
            Shape(rf"{_ANY_USER}+@{_DOMAIN}+\.[{_DOMAIN_LETTERS}]{{2,}}", score=0.45),
        ),
        near=(
            "email",
            "e-mail",
            "mail",
            "mailto",
            "emails",
            "email address",
            "contact",
            "write to",
            "courriel",
            "correo",
            "kontakt",
            "邮箱",
            "メール",
        ),
        found=(
            "write to «a@b.co».",
            "«first.last+tag@mail.example.com»>",
            "«jörg.müller@example.de» said",
            "e-mail: «info@müller-bäckerei.de»",
            "mailto:«пошта@пример.укр»",
            '"email":"«用户@例子.公司»"',
        ),
        clean=("a@b.c", "x@ example.com", "info@müller-bäckerei.de", "lodash@4.17.21", "@decorator.name"),
    ),
    Detector(
        name="date_of_birth",
        label="Date of Birth",
        kind="personal",
        shapes=(
            Shape(rf"\b{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}\b", score=0.2),
            Shape(rf"\b{_DAY}[-/.]{_MONTH}[-/.](?:{_YEAR}|\d{{2}})\b", score=0.2),
            Shape(rf"\b{_MONTH}[-/.]{_DAY}[-/.](?:{_YEAR}|\d{{2}})\b", score=0.2),
            Shape(
                rf"\b{_DAY}(?:st|nd|rd|th|\.|er)?(?: of| de)? {_MONTH_NAME}\.?,?(?: de)? {_YEAR}\b", score=0.2
            ),
            Shape(rf"\b{_MONTH_NAME}\.? {_DAY}(?:st|nd|rd|th)?,? {_YEAR}\b", score=0.2),
        ),
        near=(
            "born",
            "born on",
            "date of birth",
            "dob",
            "d.o.b",
            "birthday",
            "birthdate",
            "birth date",
            "birth",
            "dateofbirth",
            "geboren",
            "geb",
            "geburtsdatum",
            "geburtstag",
            "né",
            "née",
            "date de naissance",
            "naissance",
            "nacido",
            "nacida",
            "nacimiento",
            "fecha de nacimiento",
            "nato",
            "nata",
            "data di nascita",
        ),
        unlike=("created", "updated", "expires", "issued", "due", "released", "published"),
        found=(
            "born on «12 March 1985» in Bonn",
            "DOB: «03/12/1985»",
            '"date_of_birth": "«1985-03-12»"',
            "geboren am «12.03.1985»",
            "née le «1er mars 1985»",
            "her birthday is «March 12th, 1985».",
        ),
        clean=("1985-03-12", "released on 12 March 2020", "the deadline is 03/12/2025", "born in 1985"),
    ),
    Detector(
        name="passport",
        label="Passport Number",
        kind="personal",
        shapes=(
            Shape(r"\b[A-Z]{1,3}\d{6,8}\b", score=0.2),
            Shape(r"\b[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\b", check=_some_digits, valid=0.2),
            Shape(r"\b\d{2}[A-Z]{2}\d{5}\b", score=0.2),
            Shape(r"\bP[A-Z<][A-Z]{3}[A-Z]+<[A-Z<]{20,40}", score=0.9),
            Shape(
                r"\b[A-Z0-9][A-Z0-9<]{8}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<]\d\b",
                check=_passport_line,
                valid=0.95,
            ),
        ),
        near=_PASSPORT_NEAR,
        found=(
            "passport no. «C01X00T47»",
            "Reisepass «C3J1N0KLM»".replace("C3J1N0KLM", "C3J1N0K42"),
            "passeport «12AB34567»",
            "Passnummer «HXTK3LVP0»",
            "pasaporte «XDB123456»",
            "pasaporte: «XDB123456»".replace("XDB123456", "XD123456"),
            "«L898902C36UTO7408122F1204159ZE184226B<<<<<10»",
            "«P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<»",
        ),
        clean=("AB123456", "C01X00T47", "passport.js v0.6.0", "the passport of Mr XD"),
    ),
    Detector(
        name="us_passport",
        label="US Passport Number",
        kind="personal",
        family="passport",
        shapes=(Shape(r"\b(?:[A-Z]\d{8}|[1-9]\d{8})\b", score=0.2),),
        near=_PASSPORT_NEAR,
        found=("US passport «340020013»", "passport number: «A12345678»", "passport_number=«561234567»"),
        clean=("340020013", "A12345678", "passport 34002001"),
    ),
    Detector(
        name="drivers_license",
        label="Driver's License",
        kind="personal",
        shapes=(
            Shape(r"\b[A-Z]{1,2}\d{5,13}\b", score=0.2),
            Shape(r"\b[A-Z]\d{3}-(?:\d{4}-\d{4}|\d{3}-\d{2}-\d{3}-\d)\b", score=0.3),
            Shape(r"\b\d{7,9}\b", score=0.15),
            Shape(r"\b[A-Z]{2,5}9{0,3}\d{6}[A-Z9]{2}\d[A-Z]{2}\b", score=0.6),
        ),
        near=(
            "driver's license",
            "driver’s license",
            "drivers license",
            "driver license",
            "driver's licence",
            "driving licence",
            "driving license",
            "drivers licence",
            "driverslicense",
            "license number",
            "licence number",
            "dl number",
            "dl no",
            "führerschein",
            "führerscheinnummer",
            "permis de conduire",
            "licencia de conducir",
            "permiso de conducir",
        ),
        found=(
            "driver's license «D1234567»",
            "Driving licence: «MORGA657054SM9IJ»",
            "drivers_license=«12345678»",
            "DL number «S123-4567-8901»",
            "Florida driver license «S123-456-78-901-0»",
        ),
        clean=("D1234567", "12345678", "S123-4567-8901", "driver 12345678"),
    ),
)
