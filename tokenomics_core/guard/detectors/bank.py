"""Bank accounts and banks."""

from __future__ import annotations

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._checks import _stdnum, stdnum

_COUNTRIES_BY_LENGTH = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Countries by the length of their IBAN."""


def _iban_patterns() -> tuple[str, str]:
    """In one run, and in groups of four. The length says where it ends, whatever follows."""
    run, grouped = [], []
    for length, countries in _COUNTRIES_BY_LENGTH.items():
        head = f"(?:{countries.replace(' ', '|')})" + r"\d{2}"
        full, rest = divmod(length - 4, 4)
        run.append(f"{head}[A-Z0-9]{{{length - 4}}}")
        grouped.append(f"{head}(?:[ -][A-Z0-9]{{4}}){{{full}}}" + (f"[ -][A-Z0-9]{{{rest}}}" if rest else ""))
    return rf"(?i)\b(?:{'|'.join(run)})\b", rf"(?i)\b(?:{'|'.join(grouped)})\b"


def _iban(value: str) -> bool:
    # The national check digits inside are left out: banks do not agree on them.
    return bool(_stdnum("iban").is_valid(value.upper(), check_country=False))


_BIC_COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG
    CH CI CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FO FR GA GB GD GE GG GH GI
    GL GM GN GQ GR GT GW GY HK HN HR HT HU ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KM KN KR KW KY KZ
    LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MK ML MM MN MO MR MT MU MV MW MX MY MZ NA NE NG NI NL NO
    NP NZ OM PA PE PG PH PK PL PS PT PY QA RO RS RU RW SA SC SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TD
    TG TH TJ TL TM TN TO TR TT TW TZ UA UG US UY UZ VA VC VE VG VN VU WS XK YE ZA ZM ZW
    """.split()
)


def _bic(value: str) -> bool:
    return value[4:6] in _BIC_COUNTRIES


_RUN, _GROUPED = _iban_patterns()

DETECTORS = (
    Detector(
        name="iban",
        label="IBAN",
        kind="financial",
        shapes=(Shape(_RUN, check=_iban, valid=0.95), Shape(_GROUPED, check=_iban, valid=0.95)),
        near=("iban", "account", "konto", "compte", "cuenta"),
        found=(
            "IBAN: «DE89370400440532013000».",
            "to «DE89 3704 0044 0532 0130 00» BANK",
            "«BE71 0961 2345 6769» EUR",
            "«GB29NWBK60161331926819»",
            "«fr1420041010050500013m02606»",
            "«NL91-ABNA-0417-1643-00»",
        ),
        clean=(
            "DE89370400440532013001",
            "the commit de89370400440532013000aabbccddeeff00112233",
            "GB29 NWBK 6016 1331 9268 18",
            "AE07 is a model",
        ),
    ),
    Detector(
        name="bic",
        label="BIC",
        kind="financial",
        shapes=(Shape(r"\b[A-Z]{6}[A-Z0-9][A-Z0-9](?:[A-Z0-9]{3})?\b", check=_bic, valid=0.25),),
        near=(
            "bic",
            "bic code",
            "swift code",
            "swift bic",
            "bic swift",
            "swift number",
            "swiftcode",
            "code swift",
        ),
        found=("BIC «DEUTDEFF»", "Swift code: «NEDSZAJJXXX»", "bic_code=«COBADEFFXXX»"),
        clean=(
            "a DEUTDEFF without words",
            "BIC: ABCDXY12",
            "IMPORTANT DOCUMENT",
            "Swift is a language, DOCUMENT it",
        ),
    ),
    Detector(
        name="aba_routing_number",
        label="ABA Routing Number",
        kind="financial",
        shapes=(
            Shape(
                r"\b(?:0[0-9]|1[0-2]|2[1-9]|3[0-2]|6[1-9]|7[0-2]|80)\d{7}\b",
                check=stdnum("us.rtn"),
                valid=0.3,
            ),
        ),
        near=("routing", "routing number", "routing no", "aba", "rtn", "routingnumber"),
        found=("routing number «021000021»", "ABA: «011401533»", "rtn=«122105155»"),
        clean=("021000021", "routing number 021000022", "routing 987654321"),
    ),
)
