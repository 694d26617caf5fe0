# ruff: noqa: E501
"""What is in the set: each kind of value, its class, how it is drawn, what it is called, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.guard_set import money, national, network, personal, secrets, templates
from bench.guard_set.draw import Draw


@dataclass(frozen=True, slots=True)
class Kind:
    """family: the class in the tables. labels: by language, for people. fields: for programs.

    prose: (language, sentence); alone: the value needs no label to be known for what it is.
    form: which sentences it stands in.
    """

    name: str
    family: str
    draw: Draw
    count: int
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fields: Sequence[str] = ()
    prose: Sequence[tuple[str, str]] = ()
    form: str = "people"


def _people(
    name: str, draw: Draw, count: int, labels: str, fields: str, family: str = "", prose: str = ""
) -> Kind:
    """labels: "en a, b; de c"."""
    by_language = {}
    for entry in filter(None, labels.split("; ")):
        language, _, words = entry.partition(" ")
        by_language[language] = tuple(words.split(", "))
    sentences = templates.PEOPLE.get(prose or name, ())
    return Kind(name, family or name, draw, count, by_language, tuple(fields.split()), sentences)


def _secret(name: str, family: str, draw: Draw, count: int, form: str = "secret") -> Kind:
    word = name.replace("_", " ").removesuffix(" key").removesuffix(" token")
    labels = (f"{word} key", f"{word} token", "key", "token")
    fields = (f"{name}", f"{name.split('_')[0]}_key", f"{name.split('_')[0]}_token")
    if form == "named":
        # Nothing in the value says whose it is; the sentence must.
        labels, fields = ("AWS secret access key", "AWS secret key"), ("aws_secret_access_key",)
    return Kind(name, family, draw, count, {"en": labels}, fields, form=form)


PERSONAL = (
    _people("ssn", personal.ssn, 60, "en SSN, social security number, Social Security No.", "ssn social_security_number SSN"),
    _people("ssn_bare", personal.ssn_bare, 20, "en SSN, social security number", "ssn social_security_number", "ssn"),
    _people("email", personal.email, 80, "en email, e-mail address; de E-Mail-Adresse; fr courriel; es correo", "email user_email contact"),
    _people("mailto", personal.mailto, 12, "", "href link", "email"),
    _people("phone", personal.phone, 80, "en phone number, phone, cell number, fax", "phone phone_number mobile"),
    _people("phone_bare", personal.phone_bare, 20, "en phone number, telephone", "phone phone_number tel", "phone"),
    _people("tel_uri", personal.tel_uri, 12, "", "href link", "phone"),
    _people("international_phone", personal.international_phone, 90,
            "en phone number, mobile number; de Telefonnummer, Handynummer; fr numéro de téléphone, portable; es teléfono, móvil",
            "phone mobile_phone telefon"),
    _people("date_of_birth", personal.date_of_birth, 40, "en date of birth, birthday, DOB", "date_of_birth dob birthDate"),
    _people("date_of_birth_de", personal.date_of_birth_de, 8, "", "geburtsdatum", "date_of_birth"),
    _people("date_of_birth_fr", personal.date_of_birth_fr, 8, "", "date_naissance", "date_of_birth"),
    _people("date_of_birth_es", personal.date_of_birth_es, 8, "", "fecha_nacimiento", "date_of_birth"),
    _people("us_passport", personal.us_passport, 30, "en passport number, US passport, passport", "passport passport_number", "passport"),
    _people("passport", personal.passport, 40,
            "en passport number, passport no.; de Reisepassnummer, Passnummer; fr numéro de passeport; es pasaporte, número de pasaporte",
            "passport_no passport"),
    _people("passport_mrz", personal.passport_mrz, 14, "", "mrz passport_mrz", "passport"),
    _people("drivers_license", personal.drivers_license, 45,
            "en driver's license, driver license number, driving licence number, DL number", "drivers_license driver_license_number license_number"),
)  # fmt: skip

FINANCIAL = (
    _people("credit_card", money.credit_card, 100, "en card number, credit card; de Kreditkartennummer; fr numéro de carte; es número de tarjeta",
            "card_number cc pan"),
    _people("iban", money.iban, 90, "en IBAN, bank account; de IBAN; fr IBAN; es IBAN", "iban account_iban"),
    _people("bic", money.bic, 40, "en BIC, SWIFT code; de BIC; fr code BIC; es código BIC", "bic swift_code"),
    _people("aba_routing_number", money.aba_routing_number, 40, "en routing number, ABA number, routing transit number", "routing_number aba"),
    *(
        _people(name, draw, count, f"en {label}", fields, "crypto_address", "crypto_address")
        for name, draw, count, label, fields in (
            ("btc_address", money.btc_address, 40, "Bitcoin address, BTC wallet", "btc_address wallet"),
            ("eth_address", money.eth_address, 25, "Ethereum address, ETH wallet", "eth_address wallet_address"),
            ("ltc_address", money.ltc_address, 12, "Litecoin address", "ltc_address"),
            ("doge_address", money.doge_address, 8, "Dogecoin address", "doge_address"),
            ("tron_address", money.tron_address, 8, "TRON address", "tron_address"),
        )
    ),
    _people("sol_address", money.solana_address, 10, "en Solana address, Solana wallet", "solana_address sol_wallet", "crypto_address"),
)  # fmt: skip

NETWORK = (
    _people("ip_address", network.ip_address, 80, "en IP address, server IP, host; de IP-Adresse", "ip client_ip remote_addr"),
    _people("ipv6", network.ipv6, 60, "en IPv6 address, IP address; de IPv6-Adresse", "ipv6 ip remote_addr"),
    _people("mac_address", network.mac_address, 60, "en MAC address; de MAC-Adresse; fr adresse MAC", "mac mac_address hwaddr"),
)  # fmt: skip

# name: (how many, what it is called, fields)
_NATIONAL = {
    "us_itin": (32, "en ITIN, taxpayer identification number", "itin"),
    "ca_sin": (32, "en SIN, social insurance number; fr numéro d'assurance sociale", "sin"),
    "in_aadhaar": (32, "en Aadhaar number, Aadhaar", "aadhaar aadhaar_number"),
    "in_pan": (32, "en PAN, PAN card, permanent account number", "pan_number pan_card"),
    "au_tfn": (32, "en TFN, tax file number", "tfn tax_file_number"),
    "au_medicare": (32, "en Medicare number, Medicare card", "medicare_number"),
    "kr_rrn": (32, "en RRN, resident registration number", "rrn"),
    "za_id": (32, "en South African ID, identity number, ID number", "id_number identity_number"),
    "sg_nric": (32, "en NRIC, FIN", "nric"),
    "th_pin": (32, "en Thai ID, Thai ID number", "thai_id"),
    "uk_nhs": (32, "en NHS number", "nhs_number nhs"),
    "uk_nino": (32, "en national insurance number, NI number", "nino ni_number"),
    "de_tax_id": (
        32,
        "en German tax id; de Steuer-ID, Steueridentifikationsnummer, IdNr",
        "steuer_id tax_id",
    ),
    "de_id_card": (32, "de Personalausweisnummer, Ausweisnummer", "personalausweis ausweisnummer"),
    "es_dni": (32, "es DNI, NIF; en Spanish DNI", "dni nif"),
    "es_nie": (32, "es NIE; en NIE", "nie"),
    "it_codice_fiscale": (32, "en codice fiscale, Italian tax code", "codice_fiscale"),
    "pl_pesel": (32, "en PESEL, PESEL number", "pesel"),
    "se_personnummer": (32, "en personnummer, Swedish personal number", "personnummer"),
    "fi_hetu": (32, "en henkilötunnus, HETU", "hetu"),
    "tr_tckn": (32, "en TC kimlik no, TCKN", "tckn"),
}
_NATIONAL_OTHER = {
    "br_cpf": (8, "en CPF, CPF number", "cpf"),
    "br_cnpj": (6, "en CNPJ", "cnpj"),
    "mx_curp": (6, "es CURP", "curp"),
    "ar_cuit": (6, "es CUIT, CUIL", "cuit"),
    "cl_rut": (6, "es RUT", "rut"),
    "cn_resident_id": (6, "en Chinese ID number, resident ID", "resident_id"),
    "jp_my_number": (6, "en My Number, individual number", "my_number"),
    "il_id": (6, "en teudat zehut, Israeli ID", "teudat_zehut"),
    "my_nric": (6, "en MyKad, NRIC", "mykad nric"),
    "hk_id": (6, "en HKID", "hkid"),
    "tw_id": (6, "en Taiwan ID", "taiwan_id"),
    "fr_nir": (8, "fr numéro de sécurité sociale, NIR", "nir numero_securite_sociale"),
    "nl_bsn": (8, "en BSN, burgerservicenummer", "bsn"),
    "be_nn": (8, "en rijksregisternummer; fr numéro de registre national", "rijksregisternummer"),
    "ch_ahv": (8, "de AHV-Nummer; fr numéro AVS", "ahv_nummer"),
    "at_svnr": (6, "de Sozialversicherungsnummer, SVNR", "svnr"),
    "pt_nif": (6, "en NIF, contribuinte", "nif"),
    "dk_cpr": (6, "en CPR number, CPR-nummer", "cpr"),
    "no_fodselsnummer": (6, "en fødselsnummer", "fodselsnummer"),
    "ie_pps": (6, "en PPS number, PPSN", "ppsn"),
    "cz_rc": (6, "en rodné číslo", "rodne_cislo"),
    "ro_cnp": (6, "en CNP", "cnp"),
}

NATIONAL = (
    *(_people(name, getattr(national, name), *rest) for name, rest in _NATIONAL.items()),
    *(
        _people(name, getattr(national, name), *rest, "other_national_id")
        for name, rest in _NATIONAL_OTHER.items()
    ),
)

_FORMS = {
    "private_key": "block",
    "azure_storage_key": "login",
    "aws_secret_key": "named",
    "npm_token": "npmrc",
}

SECRETS = (
    *(_secret(name, name, draw, 34, _FORMS.get(name, "secret")) for name, draw in secrets.OWN.items()),
    *(_secret(name, "ai_key", draw, 6) for name, draw in secrets.AI.items()),
    *(_secret(name, "cloud_key", draw, 6) for name, draw in secrets.CLOUD.items()),
    *(_secret(name, "developer_key", draw, 6) for name, draw in secrets.CODE.items()),
    *(_secret(name, "service_key", draw, 6) for name, draw in secrets.SERVICE.items()),
    Kind("connection_string", "connection_string", network.connection_string, 70, form="url"),
    Kind("url_credentials", "url_credentials", network.url_credentials, 60, form="url"),
    Kind("basic_header", "basic_auth", secrets.basic_header, 24, form="login"),
    Kind("basic_curl", "basic_auth", secrets.basic_curl, 16, form="login"),
    Kind("bearer", "bearer_token", secrets.bearer, 45, form="bearer"),
    Kind("env_assignment", "env_assignment", network.password, 80, form="env"),
)

KINDS = (*PERSONAL, *NATIONAL, *FINANCIAL, *NETWORK, *SECRETS)
SECTIONS = {
    "personal": PERSONAL,
    "national": NATIONAL,
    "financial": FINANCIAL,
    "network": NETWORK,
    "secrets": SECRETS,
}
