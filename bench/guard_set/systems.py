"""What finds values: the content guard, Presidio's pattern recognizers, the plugins of detect-secrets.

Each gives findings of a text with the classes of the set that they stand for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench.guard_set.kinds import NATIONAL, SECRETS


@dataclass(frozen=True, slots=True)
class Finding:
    """families: the classes that this finding is right for; a wrong one counts against the first.

    generic: says only that it is some secret; on a secret of another class it is neither right nor wrong.
    loose: names a place inside the value, not the whole of it.
    """

    start: int
    end: int
    families: tuple[str, ...]
    score: float = 1.0
    generic: bool = False
    loose: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """find: all texts to the findings of each. knows: its classes."""

    name: str
    find: Callable[[list[str]], list[list[Finding]]]
    knows: frozenset[str]


SECRET_FAMILIES = frozenset(kind.family for kind in SECRETS)
KEYS = tuple(
    dict.fromkeys(
        kind.family
        for kind in SECRETS
        if kind.form in ("secret", "npmrc") and kind.family not in ("aws_key", "jwt")
    )
)
"""Classes that a rule for `api_key` covers."""

_GENERIC = (
    "connection_string",
    "url_credentials",
    "bearer_token",
    "basic_auth",
    "env_assignment",
    "high_entropy_secret",
)
_OTHER = frozenset(kind.name for kind in NATIONAL if kind.family == "other_national_id")
_MODULES = {
    "secrets_ai": "ai_key",
    "secrets_cloud": "cloud_key",
    "secrets_vaults": "cloud_key",
    "secrets_code": "developer_key",
}
_OURS = {
    "us_passport": ("passport",),
    "ip_address": ("ip_address",),
    "international_phone": ("international_phone", "phone"),
    "phone": ("phone", "international_phone"),
    "private_key_body": ("private_key",),
    "jwk_private": ("private_key",),
    "openai_session": ("openai_key",),
    "gitlab_runner_token": ("gitlab_token",),
    "slack_app_token": ("slack_token",),
    "slack_refresh_token": ("slack_token",),
    "slack_webhook": ("slack_token",),
    "stripe_webhook_secret": ("stripe_key",),
    "twilio_auth_token": ("twilio_key",),
    "jfrog_token": ("jfrog_key",),
    "azure_storage_key": ("azure_storage_key",),
    "aws_secret_key": ("aws_secret_key", "aws_key"),
    "aws_key": ("aws_key", "aws_secret_key"),
    "api_key": ("env_assignment", *KEYS),
}  # fmt: skip


def ours(min_score: str = "0.5") -> System:
    from tokenomics_core.guard.detectors import detectors
    from tokenomics_core.guard.rules import CompiledRules
    from tokenomics_core.policy.schema import Rule

    rules = CompiledRules(
        [Rule(type="pii", detect=("all",), min_score=Decimal(min_score), action="mask")], "input"
    )
    families = {name: _ours(name) for name in detectors()}
    known = frozenset(family for found in families.values() for family in found)

    def find(texts: list[str]) -> list[list[Finding]]:
        return [
            [
                Finding(m.start, m.end, families[m.kind], m.score, generic=m.kind in _GENERIC, name=m.kind)
                for m in rules.scan(text)
            ]
            for text in texts
        ]

    return System("tokenomics", find, known)


def _ours(name: str) -> tuple[str, ...]:
    from tokenomics_core.guard.detectors import detectors

    detector = detectors()[name]
    if name in _OURS:
        own: tuple[str, ...] = _OURS[name]
    elif detector.family == "national_id":
        own = ("other_national_id",) if name in _OTHER else (name,)
    elif detector.family == "crypto_address":
        own = ("crypto_address",)
    elif detector.family == "api_key" and name not in KEYS:
        own = (_group(name),)
    else:
        own = (name,)
    # Whoever masks keys masks every kind of key, whatever its detector is called.
    return (*own, *KEYS) if detector.family == "api_key" else own


def _group(name: str) -> str:
    from importlib import import_module

    for module, family in _MODULES.items():
        if any(d.name == name for d in import_module(f"tokenomics_core.guard.detectors.{module}").DETECTORS):
            return family
    return "service_key"


_PRESIDIO = {
    "US_SSN": ("ssn",),
    "CREDIT_CARD": ("credit_card",),
    "EMAIL_ADDRESS": ("email",),
    "MAC_ADDRESS": ("mac_address",),
    "PHONE_NUMBER": ("phone", "international_phone"),
    "IP_ADDRESS": ("ip_address", "ipv6"),
    "IBAN_CODE": ("iban",),
    "CRYPTO": ("crypto_address",),
    "ABA_ROUTING_NUMBER": ("aba_routing_number",),
    "US_ITIN": ("us_itin",),
    "US_DRIVER_LICENSE": ("drivers_license",),
    "UK_DRIVING_LICENCE": ("drivers_license",),
    "US_PASSPORT": ("passport",),
    "UK_PASSPORT": ("passport",),
    "DE_PASSPORT": ("passport",),
    "ES_PASSPORT": ("passport",),
    "IN_PASSPORT": ("passport",),
    "IT_PASSPORT": ("passport",),
    "KR_PASSPORT": ("passport",),
    "CA_SIN": ("ca_sin",),
    "IN_AADHAAR": ("in_aadhaar",),
    "IN_PAN": ("in_pan",),
    "AU_TFN": ("au_tfn",),
    "AU_MEDICARE": ("au_medicare",),
    "KR_RRN": ("kr_rrn",),
    "ZA_ID_NUMBER": ("za_id",),
    "SG_NRIC_FIN": ("sg_nric",),
    "TH_TNIN": ("th_pin",),
    "UK_NHS": ("uk_nhs",),
    "UK_NINO": ("uk_nino",),
    "DE_TAX_ID": ("de_tax_id",),
    "DE_ID_CARD": ("de_id_card",),
    "ES_NIF": ("es_dni",),
    "ES_NIE": ("es_nie",),
    "IT_FISCAL_CODE": ("it_codice_fiscale",),
    "PL_PESEL": ("pl_pesel",),
    "SE_PERSONNUMMER": ("se_personnummer",),
    "FI_PERSONAL_IDENTITY_CODE": ("fi_hetu",),
    "TR_NATIONAL_ID": ("tr_tckn",),
}


def presidio() -> System:
    """Its predefined recognizers of the classes of the set, without a model, with its context words.

    A spaCy tokenizer without a model gives the words; they stand for their lemmas. Raises ImportError.
    """
    import logging

    logging.disable(logging.WARNING)
    import presidio_analyzer.predefined_recognizers as predefined
    import spacy
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine

    class Tokenizer(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}

    engine = Tokenizer()
    recognizers = []
    for value in vars(predefined).values():
        if not isinstance(value, type):
            continue
        try:
            recognizer = value()
        except Exception:
            continue  # It needs a model or a service.
        if set(recognizer.supported_entities) & set(_PRESIDIO):
            recognizers.append(recognizer)
    enhancer = LemmaContextAwareEnhancer()

    def find(texts: list[str]) -> list[list[Finding]]:
        return [_one(text) for text in texts]

    def _one(text: str) -> list[Finding]:
        doc = engine.nlp["en"](text)
        artifacts = NlpArtifacts([], doc, [t.idx for t in doc], [t.lower_ for t in doc], engine, "en")
        artifacts.keywords = [token.lower_ for token in doc if token.is_alpha]
        found = []
        for recognizer in recognizers:
            results = recognizer.analyze(text, recognizer.supported_entities, artifacts) or []
            for result in results:
                # As the analyzer does it before it asks the enhancer.
                result.recognition_metadata = {
                    "recognizer_identifier": recognizer.id,
                    "recognizer_name": recognizer.name,
                }
            found += enhancer.enhance_using_context(text, results, artifacts, [recognizer])
        return [
            Finding(f.start, f.end, _PRESIDIO[f.entity_type], f.score, name=f.entity_type)
            for f in found
            if f.entity_type in _PRESIDIO and f.score > 0
        ]

    return System("Presidio", find, frozenset(f for found in _PRESIDIO.values() for f in found))


# Not its public IP addresses: its own default filters drop whatever has no letter.
_DETECT_SECRETS = {
    "AWS Access Key": ("aws_key", "aws_secret_key"),
    "Artifactory Credentials": ("jfrog_key",),
    "Azure Storage Account access key": ("azure_storage_key",),
    "Basic Auth Credentials": ("url_credentials", "connection_string"),
    "Discord Bot Token": ("discord_bot_token",),
    "GitHub Token": ("github_token",),
    "GitLab Token": ("gitlab_token",),
    "JSON Web Token": ("jwt",),
    "Mailchimp Access Key": ("mailchimp_key",),
    "NPM tokens": ("npm_token",),
    "OpenAI Token": ("openai_key",),
    "Private Key": ("private_key",),
    "PyPI Token": ("pypi_token",),
    "SendGrid API Key": ("sendgrid_key",),
    "Slack Token": ("slack_token",),
    "Square OAuth Secret": ("square_token",),
    "Stripe Access Key": ("stripe_key",),
    "Telegram Bot Token": ("telegram_bot_token",),
    "Twilio API Key": ("twilio_key",),
    "Secret Keyword": ("env_assignment",),
    "Base64 High Entropy String": ("high_entropy_secret",),
    "Hex High Entropy String": ("high_entropy_secret",),
}


def detect_secrets() -> System:
    """Its plugins with its default settings and filters, file by file. Raises ImportError."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    def find(texts: list[str]) -> list[list[Finding]]:
        found: list[list[Finding]] = []
        with tempfile.TemporaryDirectory() as folder, default_settings():
            path = Path(folder) / "sentence.env"
            for text in texts:
                path.write_text(text, encoding="utf-8")
                secrets = SecretsCollection()
                secrets.scan_file(str(path))
                found.append(
                    [
                        f
                        for _, secret in secrets
                        for f in _places(text, secret.type, secret.secret_value or "")
                    ]
                )
        return found

    known = frozenset(f for found in _DETECT_SECRETS.values() for f in found) - {"high_entropy_secret"}
    return System("detect-secrets", find, known)


def _places(text: str, kind: str, value: str) -> Iterable[Finding]:
    """It names a line and the value; where the value stands there is looked up."""
    families = _DETECT_SECRETS.get(kind)
    at = text.find(value) if value else -1
    if families is None or at < 0:
        return
    generic = kind in ("Secret Keyword", "Basic Auth Credentials") or kind.endswith("Entropy String")
    while at >= 0:
        yield Finding(at, at + len(value), families, generic=generic, loose=True, name=kind)
        at = text.find(value, at + len(value))
