"""Keys of what keeps other secrets or makes machines: vaults, infrastructure as code, encryption, tunnels."""

from __future__ import annotations

from base64 import b64encode

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import (
    HEX,
    bech32,
    decodes_to,
    json_inside,
    terraform_token,
)
from tokenomics_core.guard.detectors._secret_shapes import (
    START,
    URL_SAFE,
    context_key,
    key,
    sample,
)

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_KEY_32 = b64encode(sample(32).encode()).decode()

DETECTORS = (
    key(
        "vault_token",
        "HashiCorp Vault Token",
        r"hv[sbr]\.[A-Za-z0-9_-]{24,}",
        "hv" + "s." + sample(95, URL_SAFE),
    ),
    context_key(
        "vault_legacy_token",
        "HashiCorp Vault Token",
        r"\b(s\.[A-Za-z0-9]{24})\b",
        ("vault",),
        "s." + sample(24),
    ),
    key(
        "terraform_token",
        "Terraform Cloud Token",
        r"[A-Za-z0-9]+\.atlasv1\.[A-Za-z0-9_=-]{50,}",
        sample(14) + ".atlas" + "v1." + sample(67),
        check=terraform_token,
    ),
    key("pulumi_token", "Pulumi Token", r"pul-[0-9a-f]{40}", "pul-" + sample(40, HEX)),
    key(
        "doppler_token",
        "Doppler Token",
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}",
        "dp." + "pt." + sample(43),
    ),
    key(
        "onepassword_token",
        "1Password Service Account Token",
        r"ops_eyJ[A-Za-z0-9+/_-]{80,}={0,2}",
        "ops_"
        + b64encode(
            b'{"signInAddress":"example.1password.com","email":"' + sample(40).encode() + b'"}'
        ).decode(),
        check=json_inside,
    ),
    key(
        "onepassword_secret_key",
        "1Password Secret Key",
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
        "A3-"
        + "-".join(
            sample(32, _UPPER)[a:b] for a, b in ((0, 6), (6, 12), (12, 17), (17, 22), (22, 27), (27, 32))
        ),
    ),
    key(
        "infisical_token",
        "Infisical Token",
        r"st\.[0-9a-f]{24}\.[0-9a-f]{32}\.[0-9a-f]{32}",
        "st." + sample(24, HEX) + "." + sample(32, HEX) + "." + sample(32, HEX),
    ),
    Detector(
        "age_key",
        "age Secret Key",
        "secret",
        (
            Shape(
                START + r"(AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})",
                check=bech32,
                invalid=0.8,
            ),
        ),
        family="api_key",
        found=(
            "key=«AGE-SECRET-" + "KEY-1" + "Q" * 58 + "»",
            "first\n«AGE-SECRET-" + "KEY-1" + sample(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L") + "»\n",
            "«AGE-SECRET-" + "KEY-1" + sample(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L") + "»",
        ),
        clean=(
            "AGE-SECRET-KEY-1 and so on",
            "AGE-SECRET-KEY-1",
            "age1" + sample(58, "qpzry9x8gf2tvdw0s3jn54khce6mua7l"),
        ),
    ),
    Detector(
        "wireguard_key",
        "WireGuard Private Key",
        "secret",
        (
            Shape(
                r"(?i:private_?key|preshared_?key)\\{0,3}[\"']?\s{0,3}[=:]\s{0,3}\\{0,3}[\"']?([A-Za-z0-9+/]{43}=)",
                check=decodes_to(32),
            ),
        ),
        family="api_key",
        found=(
            f"PresharedKey=«{_KEY_32}»",
            f'{{"private_key": "«{_KEY_32}»"}}',
            f"[Interface]\nPrivateKey = «{_KEY_32}»\nAddress = 10.0.0.2/32",
        ),
        clean=(
            "PrivateKey = (hidden)",
            "PrivateKey = " + "A" * 43 + "=",
            f"[Peer]\nPublicKey = {_KEY_32}",
        ),
    ),
)
