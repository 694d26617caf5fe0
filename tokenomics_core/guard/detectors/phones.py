"""Phone numbers: of North America, and of all other countries."""

from __future__ import annotations

import re2

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._checks import digits

_NEAR = (
    "phone",
    "phones",
    "phone number",
    "phonenumber",
    "tel",
    "telephone",
    "mobile",
    "mob",
    "cell",
    "cellphone",
    "fax",
    "whatsapp",
    "sms",
    "text me",
    "call me",
    "call us",
    "call",
    "reach me at",
    "contact",
    "hotline",
    "dial",
    "ring",
    "telefon",
    "telefonnummer",
    "handy",
    "handynummer",
    "mobil",
    "mobilnummer",
    "rufnummer",
    "téléphone",
    "portable",
    "teléfono",
    "móvil",
    "celular",
)
_UNLIKE = (
    "order",
    "invoice",
    "tracking",
    "timestamp",
    "isbn",
    "id",
    "ids",
    "ticket",
    "serial",
    "epoch",
    "unix",
    "created",
    "nhs",
    "uuid",
    "version",
    "call id",
    "tool call",
    "function call",
    "zip",
    "bestellung",
    "commande",
    "pedido",
)

_WRITTEN_AS_PHONE = re2.compile(r"(?:\+?1[-. ]?)?\(?[2-9]\d{2}(?:\) ?|[-. ])\d{3}[-. ]\d{4}")


def _written_as_phone(value: str) -> bool:
    return _WRITTEN_AS_PHONE.fullmatch(value) is not None


_NATIONAL_DIGITS = """
    1:10 7:10 20:8-10 27:9 30:10 31:9-10 32:8-9 33:9 34:9 36:8-9 39:8-11 40:9 41:9-10 43:7-13 44:9-10
    45:8 46:7-10 47:8 48:9 49:6-13 51:8-9 52:10 53:8 54:10-11 55:10-11 56:9 57:8-10 58:10 60:7-10 61:9
    62:8-12 63:8-10 64:8-10 65:8 66:8-9 81:9-10 82:8-10 84:9-10 86:10-11 90:10 91:10 92:9-10 93:9 94:9
    95:7-10 98:10 211:9 212:9 213:8-9 216:8 218:9 220:7 221:9 222:8 223:8 224:8-9 225:8-10 226:8 227:8
    228:8 229:8-10 230:7-8 231:7-9 232:8 233:9 234:8-10 235:8 236:8 237:8-9 238:7 239:7 240:9 241:7-8
    242:9 243:9 244:9 245:7-9 246:7 248:7 249:9 250:9 251:9 252:7-9 253:8 254:9-10 255:9 256:9 257:8
    258:8-9 260:9 261:9 262:9 263:9-10 264:8-9 265:7-9 266:8 267:7-8 268:8 269:7 290:4-5 291:7 297:7
    298:6 299:6 350:8 351:9 352:6-11 353:7-9 354:7-9 355:8-9 356:8 357:8 358:6-12 359:8-9 370:8 371:8
    372:7-8 373:8 374:8 375:9 376:6-9 377:8-9 378:6-10 380:9 381:8-9 382:8 383:8-9 385:8-9 386:8 387:8-9
    389:8 420:9 421:9 423:7-9 500:5 501:7 502:8 503:8 504:8 505:8 506:8 507:7-8 508:6 509:8 590:9 591:8
    592:7 593:8-9 594:9 595:9 596:9 597:6-7 598:8 599:7-8 670:7-8 672:6 673:7 674:7 675:7-8 676:5-7
    677:5-7 678:5-7 679:7 680:7 681:6 682:5 683:4 685:5-7 686:8 687:6 688:5-6 689:6-8 690:4 691:7 692:7
    850:8-10 852:8 853:8 855:8-9 856:8-10 880:8-10 886:8-9 960:7 961:7-8 962:8-9 963:8-9 964:8-10
    965:7-8 966:8-9 967:7-9 968:8 970:8-9 971:8-9 972:8-9 973:8 974:7-8 975:8 976:8 977:8-10 992:9 993:8
    994:9 995:9 996:9 998:9
"""
"""Country code, then how many digits a number has behind it."""


def _lengths() -> dict[str, range]:
    lengths = {}
    for entry in _NATIONAL_DIGITS.split():
        code, _, sizes = entry.partition(":")
        least, _, most = sizes.partition("-")
        lengths[code] = range(int(least), int(most or least) + 1)
    return lengths


_LENGTHS = _lengths()


def _with_country_code() -> str:
    """A plus, a country code, and as many digits as that country's numbers have, whatever digits follow.

    A trunk zero in parentheses is not dialled from abroad and does not count.
    """
    codes: dict[range, list[str]] = {}
    for code, lengths in _LENGTHS.items():
        codes.setdefault(lengths, []).append(code)
    forms = (
        rf"(?:{'|'.join(some)})(?:[ .-]?\(0\))?(?:[ .\-/()]{{0,3}}\d){{{lengths.start},{lengths.stop - 1}}}"
        for lengths, some in codes.items()
    )
    return rf"\B\+(?:{'|'.join(forms)})\b"


def _international(value: str) -> bool:
    """Whether behind 00 stands a country code, and as many digits as that country's numbers have."""
    number = digits(value)[2:]
    for size in (1, 2, 3):
        lengths = _LENGTHS.get(number[:size])
        if lengths is not None:
            return len(number) - size in lengths
    return False


def _national(value: str) -> bool:
    return 9 <= len(digits(value)) <= 12


DETECTORS = (
    Detector(
        name="phone",
        label="Phone Number",
        kind="personal",
        shapes=(
            # Ten digits in a row are more often something else.
            Shape(
                r"\b(?:\+?1[-.\s]?)?\(?\d{3}\)?[-.\s]?\d{3}[-.\s]?\d{4}\b",
                check=_written_as_phone,
                valid=0.65,
                invalid=0.3,
                reference=True,
            ),
            # Neither area nor exchange begins with 0 or 1.
            Shape(
                r"\b(?:1[-. ]?)?\(?[2-9]\d{2}(?:\) ?|[-. ])[2-9]\d{2}[-. ]\d{4}\b",
                score=0.75,
            ),
        ),
        near=_NEAR,
        unlike=_UNLIKE,
        found=(
            "call «555-123-4567» now",
            "(«555) 123-4567»",
            "+«1-555-123-4567»",
            "phone «5551234567»",
            "at «212.555.0187», please",
        ),
        clean=("1234567890123", "+44 20 7946 0958", "2024-01-31", "555-12-4567", "12-345-67890"),
    ),
    Detector(
        name="international_phone",
        label="International Phone Number",
        kind="personal",
        shapes=(
            Shape(_with_country_code(), score=0.85),
            Shape(r"\b00(?:1|7|[2-9]\d{1,2})(?:[ \-/]\d{1,8}){1,5}\b", check=_international, valid=0.6),
            Shape(r"\b00[1-9]\d{6,14}\b", check=_international, valid=0.4),
            # As dialled inside a country: a phone only where words say so.
            Shape(
                r"\b\(?0[1-9]\d{0,4}\)?[ \-/.]{0,2}\d{2,8}(?:[ \-.]\d{1,5}){0,4}\b",
                check=_national,
                valid=0.25,
            ),
        ),
        near=_NEAR,
        unlike=_UNLIKE,
        found=(
            "ring «+44 20 7946 0958» today",
            "«+1-555-123-4567»",
            "«+1 (212) 555-0187»",
            "«+49 (0)30 901820»",
            "«+4915112345678».",
            "«+33 1 42 68 53 00» 12 times",
            "«+44 (0)20 7946 0958» 2024",
            "«+7 (495) 123-45-67»",
            "«+86 138 0013 8000».",
            "Tel. «0044 20 7946 0958»",
            "Telefon: «030 901820-15»",
            "Telefon «0711/123456-0»",
            "mobile «07700 900123»",
            "«+33 1 42 68 53 00» et",
            "(«+81-3-1234-5678»)",
        ),
        clean=(
            "2024-01-01T00:00:00+01:00",
            "x = 5 +4412345",
            "+0200",
            "[.0020.0002.0009] in hexadecimal",
            "+12 34 +1",
            "07700 900123",
            "1+44 20 7946 0958",
            "0012345678",
        ),
    ),
)
