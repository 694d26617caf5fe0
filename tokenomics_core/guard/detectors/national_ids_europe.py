"""National numbers of persons in Europe."""

from __future__ import annotations

from tokenomics_core.guard.detector import Shape
from tokenomics_core.guard.detectors._checks import digits, luhn
from tokenomics_core.guard.detectors._national import ALONE, checked, national_id


def _german_id_card(value: str) -> bool:
    """Weights 7, 3, 1 over nine characters, of which letters count from 10 on."""
    total = sum(int(character, 36) * (7, 3, 1)[at % 3] for at, character in enumerate(value[:9]))
    return str(total % 10) == value[9]


def _has_digit(value: str) -> bool:
    return any(character.isdigit() for character in value)


_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _spanish(value: str) -> bool:
    return _DNI_LETTERS[int(digits(value)) % 23] == value[-1]


def _swedish(value: str) -> bool:
    return luhn(digits(value)[-10:])


_DD, _MM = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"

DETECTORS = (
    national_id(
        "uk_nhs",
        "UK NHS Number",
        (checked(r"\b\d{3}[ -]\d{3}[ -]\d{4}\b", "gb.nhs", ALONE), checked(r"\b\d{10}\b", "gb.nhs", ALONE)),
        near=("nhs", "nhs number", "nhs no", "nhsnumber", "national health", "patient"),
        found=("NHS number «943 476 5870»", "nhs: «6426212997»", "patient «383-236-4056»"),
        clean=("943 476 5870", "nhs 943 476 5871", "555-123-4567"),
    ),
    national_id(
        "uk_nino",
        "UK National Insurance Number",
        (
            Shape(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]\b", score=0.6),
            Shape(r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]\d{2}[ -]\d{2}[ -]\d{2}[ -][A-D]\b", score=0.85),
        ),
        near=("nino", "ni number", "ni no", "national insurance", "national insurance number"),
        found=("NI number «JG103759A»", "«AB 12 34 56 C»", "national insurance: «CE-12-34-56-B»"),
        clean=("DA123456A", "AB123456E", "QQ 12 34 56 C", "order AB123456C"),
    ),
    national_id(
        "de_tax_id",
        "German Tax ID",
        (
            checked(r"\b[1-9]\d \d{3} \d{3} \d{3}\b", "de.idnr", 0.55),
            checked(r"\b[1-9]\d{10}\b", "de.idnr", ALONE),
        ),
        near=(
            "steuer id",
            "steuerid",
            "steuernummer",
            "steueridentifikationsnummer",
            "idnr",
            "identifikationsnummer",
            "steuerliche identifikationsnummer",
            "tin",
            "tax id",
            "tax number",
            "tax identification number",
        ),
        found=("Steuer-ID «36574261809»", "«36 574 261 809»", "Steueridentifikationsnummer: «29176940983»"),
        clean=("36574261809", "Steuer-ID 36574261890", "tax id 12345678901"),
    ),
    national_id(
        "de_id_card",
        "German ID Card Number",
        (
            Shape(
                r"\b[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\d\b",
                check=_german_id_card,
                valid=ALONE,
            ),
            Shape(r"\b[LMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\b", check=_has_digit, valid=0.2),
        ),
        near=(
            "personalausweis",
            "personalausweisnummer",
            "ausweisnummer",
            "ausweis",
            "perso",
            "id card",
            "identity card",
        ),
        found=("Personalausweis «L01X00T471»", "Ausweisnummer: «T220001293»", "id card «L01X00T47»"),
        clean=("L01X00T471", "T220001293", "Ausweis L01X"),
    ),
    national_id(
        "fr_nir",
        "French Social Security Number",
        (
            checked(r"\b[12378]\d{4}(?:\d{2}|2[AB])\d{8}\b", "fr.nir", 0.6),
            checked(
                r"\b[12378][ .]\d{2}[ .]\d{2}[ .](?:\d{2}|2[AB])[ .]\d{3}[ .]\d{3}[ .]\d{2}\b", "fr.nir", 0.9
            ),
        ),
        near=("nir", "insee", "sécurité sociale", "securite sociale", "numéro de sécurité sociale", "sécu"),
        found=("«2 95 10 99 126 111 93»", "NIR : «295109912611193»", "«253072B07300470» (Corse)"),
        clean=("295109912611199", "353456789012345", "1700000000000000"),
    ),
    national_id(
        "es_dni",
        "Spanish DNI",
        (
            Shape(r"\b\d{8}[A-HJ-NP-TV-Z]\b", check=_spanish, valid=0.55),
            Shape(r"\b\d{8}-[A-HJ-NP-TV-Z]\b", check=_spanish, valid=0.65),
            Shape(r"\b\d{2}\.\d{3}\.\d{3}-?[A-HJ-NP-TV-Z]\b", check=_spanish, valid=0.85),
        ),
        near=("dni", "nif", "documento nacional de identidad", "documento de identidad"),
        found=("DNI «61876790M»", "«69281568-W»", "nif: «00.532.543-R»"),
        clean=("61876790N", "1234567Z", "12345678AB"),
    ),
    national_id(
        "es_nie",
        "Spanish NIE",
        (checked(r"\b[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]\b", "es.nie", 0.75),),
        near=("nie", "extranjero", "número de identidad de extranjero"),
        found=("NIE «Z1875922R»", "«Y2077621E»", "nie: «X-0497068-S»"),
        clean=("Z1875922S", "X1234567", "Y20776212E"),
    ),
    national_id(
        "it_codice_fiscale",
        "Italian Tax Code",
        (
            checked(
                r"(?i)\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b",
                "it.codicefiscale",
                0.95,
            ),
        ),
        near=("codice fiscale", "codicefiscale", "cf", "fiscal code"),
        found=("«RSSMRA85T10A562S»", "codice fiscale: «BNCGLI78A41H501I»", "«vrdlgu90m12f205s»"),
        clean=("RSSMRA85T10A562T", "RSSMRA85T10A56", "ABCDEF12G34H567I8"),
    ),
    national_id(
        "nl_bsn",
        "Dutch BSN",
        (checked(r"\b\d{9}\b", "nl.bsn", ALONE), checked(r"\b\d{4}[. ]\d{2}[. ]\d{3}\b", "nl.bsn", ALONE)),
        near=("bsn", "burgerservicenummer", "sofinummer", "citizen service number"),
        found=("BSN «494286611»", "burgerservicenummer: «389357042»", "bsn=«6405.66.522»"),
        clean=("494286611", "bsn 494286612", "389357042 rows"),
    ),
    national_id(
        "be_nn",
        "Belgian National Number",
        (
            checked(r"\b\d{2}[./ ]\d{2}[./ ]\d{2}[- ]\d{3}[. ]\d{2}\b", "be.nn", 0.9),
            checked(r"\b\d{11}\b", "be.nn", ALONE),
        ),
        near=(
            "rijksregisternummer",
            "rijksregister",
            "registre national",
            "numéro national",
            "national number",
            "niss",
            "insz",
        ),
        found=("«85.07.30-033.28»", "rijksregisternummer «87101922634»", "registre national: «75012127793»"),
        clean=("85.07.30-033.29", "87101922634", "NISS 12345678901"),
    ),
    national_id(
        "pl_pesel",
        "Polish PESEL",
        (checked(r"\b\d{11}\b", "pl.pesel", ALONE),),
        near=("pesel",),
        found=("PESEL «44051401359»", "pesel: «81061630531»", "Numer PESEL to «59060881395»"),
        clean=("44051401359", "PESEL 44051401358", "81061630531 ms"),
    ),
    national_id(
        "se_personnummer",
        "Swedish Personal Number",
        (
            # Looks like a date and a time of day as well.
            Shape(rf"\b(?:19|20)?\d{{2}}{_MM}{_DD}[-+]\d{{4}}\b", check=_swedish, valid=0.45),
            Shape(rf"\b(?:19|20)?\d{{2}}{_MM}{_DD}\d{{4}}\b", check=_swedish, valid=ALONE),
        ),
        near=("personnummer", "personnr", "pnr", "personal number", "personal identity number"),
        found=("personnummer «880320-0016»", "pnr: «19610113-6080»", "personnr «6904269930»"),
        clean=("880320-0016", "personnummer 880320-0018", "20240131-1530"),
    ),
    national_id(
        "ch_ahv",
        "Swiss AHV Number",
        (
            checked(r"\b756[. ]\d{4}[. ]\d{4}[. ]\d{2}\b", "ch.ssn", 0.95),
            checked(r"\b756\d{10}\b", "ch.ssn", 0.6),
        ),
        near=("ahv", "avs", "ahv nummer", "sozialversicherungsnummer", "ahvn13"),
        found=("«756.9217.0769.85»", "AHV «7569217076985»", "avs: «756 6538 0077 35»"),
        clean=("756.9217.0769.84", "7560000000000", "1756921707698"),
    ),
    national_id(
        "at_svnr",
        "Austrian Social Security Number",
        (checked(rf"\b[1-9]\d{{3}} ?{_DD}(?:0[1-9]|1[0-5])\d{{2}}\b", "at.vnr", ALONE),),
        near=("svnr", "sv nummer", "sozialversicherungsnummer", "versicherungsnummer", "svn"),
        found=("SVNR «1237 010180»", "Sozialversicherungsnummer: «2514231198»", "sv-nummer «7988110550»"),
        clean=("1237 010180", "SVNR 2237 010180", "1700000000"),
    ),
    national_id(
        "fi_hetu",
        "Finnish Personal Identity Code",
        (checked(rf"\b{_DD}{_MM}\d{{2}}[-+A-FU-Y]\d{{3}}[0-9A-FHJ-NPR-Y]\b", "fi.hetu", 0.75),),
        near=("hetu", "henkilötunnus", "personbeteckning"),
        found=("«131052-308T»", "hetu: «140968-276R»", "henkilötunnus «060983-127M»"),
        clean=("131052-308U", "311299-12", "991352-308T"),
    ),
    national_id(
        "pt_nif",
        "Portuguese NIF",
        (
            checked(r"\b[1-35689]\d{8}\b", "pt.nif", ALONE),
            checked(r"\b[1-35689]\d{2} \d{3} \d{3}\b", "pt.nif", ALONE),
        ),
        near=("nif", "contribuinte", "número de contribuinte", "nº contribuinte"),
        found=("NIF «230107915»", "contribuinte: «271 759 925»", "nif=«270509097»"),
        clean=("230107915", "NIF 230107916", "271 759 925"),
    ),
    national_id(
        "dk_cpr",
        "Danish CPR Number",
        (
            Shape(rf"\b{_DD}{_MM}\d{{2}}-\d{{4}}\b", score=0.35),
            checked(rf"\b{_DD}{_MM}\d{{6}}\b", "dk.cpr", 0.25),
        ),
        near=("cpr", "cpr nr", "cpr nummer", "personnummer"),
        found=("CPR «080377-0238»", "cpr-nr: «2209893674»", "CPR-nummer «080980-7467»"),
        clean=("080377-0238", "2209893674", "cpr 990377-0238"),
    ),
    national_id(
        "no_fodselsnummer",
        "Norwegian Birth Number",
        (checked(rf"\b{_DD}{_MM}\d{{2}} ?\d{{5}}\b", "no.fodselsnummer", 0.4),),
        near=("fødselsnummer", "fodselsnummer", "fnr", "personnummer", "birth number"),
        found=("fødselsnummer «11047355879»", "fnr: «200986 53407»", "Personnummer «28079571794»"),
        clean=("11047355879", "fnr 11047355878", "31129912345"),
    ),
    national_id(
        "ie_pps",
        "Irish PPS Number",
        (checked(r"\b\d{7}[A-W][A-IW]?\b", "ie.pps", 0.5),),
        near=("pps", "ppsn", "pps number", "personal public service"),
        found=("PPS «8174267L»", "ppsn: «8055772K»", "«4701302J»"),
        clean=("8174267M", "1234567", "12345678A"),
    ),
    national_id(
        "cz_rc",
        "Czech Birth Number",
        (checked(r"\b\d{2}[0-8]\d[0-3]\d/\d{3,4}\b", "cz.rc", 0.6),),
        near=("rodné číslo", "rodne cislo", "rč", "birth number"),
        found=("rodné číslo «591112/5418»", "«780902/1715»", "rč: «780622/7902»"),
        clean=("591112/5419", "2024/1234", "123456/78"),
    ),
    national_id(
        "ro_cnp",
        "Romanian CNP",
        (checked(rf"\b[1-8]\d{{2}}{_MM}{_DD}\d{{6}}\b", "ro.cnp", 0.4),),
        near=("cnp", "cod numeric personal"),
        found=("CNP «1580525818510»", "cod numeric personal: «2670218283760»", "cnp=«2940528225999»"),
        clean=("1580525818510", "CNP 1580525818511", "1700000000000"),
    ),
    national_id(
        "tr_tckn",
        "Turkish ID Number",
        (checked(r"\b[1-9]\d{10}\b", "tr.tckimlik", 0.4),),
        near=("tckn", "tc kimlik", "kimlik", "t.c. kimlik", "tc no"),
        found=("TCKN «23954732476»", "T.C. Kimlik No: «35534646714»", "tc kimlik «11253753322»"),
        clean=("23954732476", "TCKN 23954732477", "kimlik 01253753322"),
    ),
)
