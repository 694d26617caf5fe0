"""National numbers of persons in Asia, Africa and Oceania."""

from __future__ import annotations

from tokenomics_core.guard.detector import Shape
from tokenomics_core.guard.detectors._checks import digits, stdnum
from tokenomics_core.guard.detectors._national import ALONE, checked, national_id


def _twelve(module: str) -> Shape:
    """Three groups of four; more groups match as a whole, so that a part of a card number is none."""
    check = stdnum(module)
    return Shape(
        r"\b\d{4}(?:[ -]\d{4}){2,5}\b",
        check=lambda value: len(value) == 14 and check(value.replace("-", "").replace(" ", "")),
        valid=0.4,
    )


def _medicare(value: str) -> bool:
    number = [int(digit) for digit in digits(value)]
    weighted = sum(digit * weight for digit, weight in zip(number[:8], (1, 3, 7, 9, 1, 3, 7, 9), strict=True))
    return weighted % 10 == number[8] and number[9] > 0


def _chinese(value: str) -> bool:
    """ISO 7064, 11-2."""
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(value[:17]))
    return "10X98765432"[total % 11] == value[17].upper()


_NRIC_ENDS = {
    "S": "JZIHGFEDCBA",
    "T": "GFEDCBAJZIH",
    "F": "XWUTRQPNMLK",
    "G": "RQPNMLKXWUT",
    "M": "XWUTRQPNJLK",
}


def _nric(value: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(value[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    if value[0] == "M":
        return _NRIC_ENDS["M"][(total + 3) % 11] == value[8]
    return _NRIC_ENDS[value[0]][total % 11] == value[8]


def _hong_kong(value: str) -> bool:
    """The card's letters count from 10 on, a missing first one 36."""
    number = value.replace("(", "").replace(")", "").rjust(9)
    body = [36 if character == " " else int(character, 36) for character in number[:8]]
    return sum(v * (9 - at) for at, v in enumerate(body)) % 11 == -int(number[8], 16) % 11


def _taiwan(value: str) -> bool:
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(value[0]) + 10
    number = [letter // 10, letter % 10, *(int(digit) for digit in value[1:])]
    return sum(v * w for v, w in zip(number, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10 == 0


_BIRTH = r"\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"

DETECTORS = (
    national_id(
        "in_aadhaar",
        "Indian Aadhaar Number",
        (_twelve("in_.aadhaar"), checked(r"\b[2-9]\d{11}\b", "in_.aadhaar", ALONE)),
        near=("aadhaar", "aadhar", "uidai", "uid number", "आधार"),
        found=("Aadhaar «7478 5976 1673»", "aadhar: «760874060532»", "UIDAI «4306-6797-7174»"),
        clean=("7478 5976 1673", "Aadhaar 7478 5976 1674", "760874060532"),
    ),
    national_id(
        "in_pan",
        "Indian PAN",
        (checked(r"\b[A-Z]{3}[ABCFGHJKLPT][A-Z]\d{4}[A-Z]\b", "in_.pan", 0.6),),
        near=("pan", "pan card", "permanent account number", "income tax"),
        found=("PAN «ACUPA7085R»", "«ABCPD1234E»", "permanent account number: «AAPPV8261K»"),
        clean=("ACUPA0000R", "ABMXA3211G", "ACUPA7085RR"),
    ),
    national_id(
        "au_tfn",
        "Australian Tax File Number",
        (
            checked(r"\b\d{3}[ -]\d{3}[ -]\d{3}\b", "au.tfn", ALONE),
            checked(r"\b\d{8,9}\b", "au.tfn", 0.25),
        ),
        near=("tfn", "tax file number", "tax file no"),
        found=("TFN «894 199 631»", "tax file number: «776103626»", "tfn=«831815117»"),
        clean=("894 199 631", "TFN 894 199 632", "776103626"),
    ),
    national_id(
        "au_medicare",
        "Australian Medicare Number",
        (Shape(r"\b[2-6]\d{3}[ -]?\d{5}[ -]?\d\b", check=_medicare, valid=ALONE),),
        near=("medicare", "medicare number", "medicare card"),
        found=("Medicare «2123 45670 1»", "medicare number: «2123456701»", "Medicare card «2428-77813-2»"),
        clean=("2123 45670 1", "Medicare 2123 45671 1", "medicare 1123456701"),
    ),
    national_id(
        "cn_resident_id",
        "Chinese Resident ID",
        (
            Shape(
                r"\b[1-9]\d{5}(?:18|19|20)" + _BIRTH + r"\d{3}[\dXx]\b",
                check=_chinese,
                valid=0.9,
            ),
        ),
        near=("身份证", "身份证号", "身份证号码", "resident id", "chinese id"),
        found=("身份证号码«360426199101010071»", "«110101197602119172»", "resident id: «11010519491231002X»"),
        clean=("360426199101010072", "110105194913310021", "123456789012345678"),
    ),
    national_id(
        "jp_my_number",
        "Japanese My Number",
        (_twelve("jp.in_"), checked(r"\b\d{12}\b", "jp.in_", ALONE)),
        near=("my number", "mynumber", "マイナンバー", "個人番号", "individual number"),
        found=("マイナンバー: «7111 4031 8462»", "My Number «434148363978»", "個人番号«7974-5416-3872»"),
        clean=("7111 4031 8462", "my number 711140318463", "434148363978"),
    ),
    national_id(
        "kr_rrn",
        "Korean Resident Registration Number",
        # Numbers given since October 2020 have no check digit.
        (
            Shape(rf"\b{_BIRTH}-[0-9]\d{{6}}\b", check=stdnum("kr.rrn"), valid=0.85, invalid=0.4),
            checked(rf"\b{_BIRTH}[0-9]\d{{6}}\b", "kr.rrn", ALONE),
        ),
        near=("rrn", "resident registration", "주민등록번호", "주민번호"),
        found=("«971013-9019902»", "주민등록번호 «930612-1606034»", "RRN: «7012281583039»"),
        clean=("971013-9019903", "7012281583039", "241301-1234567"),
    ),
    national_id(
        "za_id",
        "South African ID Number",
        # Milliseconds since 1970 have as many digits.
        (checked(rf"\b{_BIRTH} ?\d{{4}} ?[012][89] ?\d\b", "za.idnr", 0.4),),
        near=("id number", "sa id", "south african id", "identity number", "id no"),
        found=("ID number «9105287563082»", "SA ID: «9811269715083»", "identity number «750330 5044 08 9»"),
        clean=("9105287563082", "SA ID 9105287563083", "1700000000000"),
    ),
    national_id(
        "il_id",
        "Israeli ID Number",
        (checked(r"\b\d{9}\b", "il.idnr", ALONE),),
        near=("teudat zehut", "תעודת זהות", "ת.ז", "israeli id"),
        found=("teudat zehut «145022182»", "תעודת זהות «959159492»", "Israeli ID «926277005»"),
        clean=("145022182", "teudat zehut 145022183", "123456789"),
    ),
    national_id(
        "sg_nric",
        "Singapore NRIC",
        (Shape(r"\b[STFGM]\d{7}[A-Z]\b", check=_nric, valid=0.75),),
        near=("nric", "fin", "nric no"),
        found=("NRIC «S1234567D»", "«T0123456G»", "fin: «G1234567X»"),
        clean=("S1234567E", "A1234567D", "S123456D"),
    ),
    national_id(
        "my_nric",
        "Malaysian NRIC",
        (checked(rf"\b{_BIRTH}-\d{{2}}-\d{{4}}\b", "my.nric", 0.6),),
        near=("mykad", "nric", "ic no", "kad pengenalan"),
        found=("MyKad «850419-14-1834»", "«521101-14-8072»", "IC No: «660317-14-0296»"),
        clean=("851319-14-1834", "850419-00-1834", "2024-01-31"),
    ),
    national_id(
        "th_pin",
        "Thai ID Number",
        (
            checked(r"\b[1-8]-\d{4}-\d{5}-\d{2}-\d\b", "th.pin", 0.9),
            checked(r"\b[1-8]\d{12}\b", "th.pin", ALONE),
        ),
        near=("thai id", "เลขประจำตัวประชาชน", "บัตรประชาชน"),
        found=("«4-0527-18137-84-6»", "Thai ID «5754357306269»", "บัตรประชาชน «4402179360818»"),
        clean=("4-0527-18137-84-7", "5754357306269", "1700000000000"),
    ),
    national_id(
        "hk_id",
        "Hong Kong ID Card Number",
        (Shape(r"\b[A-Z]{1,2}\d{6}\([0-9A]\)\B", check=_hong_kong, valid=0.85),),
        near=("hkid", "hong kong identity", "香港身份證"),
        found=("HKID «A123456(3)»", "«G123456(A)»", "«AB987654(3)»"),
        clean=("A123456(4)", "f(A123456)", "C668668(8)"),
    ),
    national_id(
        "tw_id",
        "Taiwanese ID Number",
        (Shape(r"\b[A-Z][1289]\d{8}\b", check=_taiwan, valid=0.55),),
        near=("taiwan id", "身分證", "身分證字號", "統一編號"),
        found=("身分證字號 «A123456789»", "«F131104093»", "Taiwan ID: «B142610160»"),
        clean=("A123456780", "A323456789", "A12345678"),
    ),
)
