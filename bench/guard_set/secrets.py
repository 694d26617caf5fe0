# ruff: noqa: E501
"""Secrets, drawn from what is known of each kind: prefix, alphabet, length, check.

Nothing here is a real secret, and no value stands in the source: all are drawn when the set is built.
"""

from __future__ import annotations

import base64
import json
import zlib
from random import Random
from uuid import UUID

from bench.guard_set.draw import (
    BASE62,
    BASE64,
    DIGITS,
    HEX,
    LOWER36,
    UPPER,
    UPPER36,
    URL_SAFE,
    Draw,
    Part,
    name,
    plain,
    text,
)
from bench.guard_set.network import password


def run(prefix: str, alphabet: str, length: int, longest: int = 0, end: str = "") -> Draw:
    """A prefix and random characters."""
    return lambda r: prefix + text(r, alphabet, length, longest) + end


def one_of(*draws: Draw) -> Draw:
    return lambda r: r.choice(draws)(r)


def uuid(r: Random) -> str:
    return str(UUID(int=r.getrandbits(128), version=4))


def checked62(prefix: str, length: int) -> Draw:
    """GitHub's form: the last six characters are the CRC-32 of the others, in base 62."""

    def draw(r: Random) -> str:
        body = text(r, BASE62, length - 6)
        value, check = zlib.crc32(body.encode()), ""
        for _ in range(6):
            value, digit = divmod(value, 62)
            check = BASE62[digit] + check
        return prefix + body + check

    return draw


def _b64(data: bytes, url: bool = False) -> str:
    return (base64.urlsafe_b64encode if url else base64.b64encode)(data).decode()


def jwt(r: Random) -> str:
    algorithm = r.choice(("HS256", "RS256", "ES256", "EdDSA"))
    header = {"alg": algorithm, "typ": "JWT"} | ({"kid": text(r, HEX, 8)} if r.random() < 0.4 else {})
    claims = {
        "sub": text(r, DIGITS, 10),
        "name": name(r, "first"),
        "iat": r.randint(1_500_000_000, 1_800_000_000),
    }
    if r.random() < 0.5:
        claims |= {"iss": f"https://{name(r, 'domain')}/", "scope": "read write"}
    parts = [_b64(json.dumps(part, separators=(",", ":")).encode(), True) for part in (header, claims)]
    size = {"HS256": 32, "RS256": 256, "ES256": 64, "EdDSA": 64}[algorithm]
    return ".".join(part.rstrip("=") for part in (*parts, _b64(r.randbytes(size), True)))


def private_key(r: Random) -> str:
    label, size, begin = r.choice(
        (
            ("RSA PRIVATE KEY", 610, b"\x30\x82\x02\x5c\x02\x01\x00"),
            ("EC PRIVATE KEY", 121, b"\x30\x77\x02\x01\x01\x04\x20"),
            ("PRIVATE KEY", 138, b"\x30\x81\x87\x02\x01\x00"),
            ("OPENSSH PRIVATE KEY", 290, b"openssh-key-v1\x00"),
            ("DSA PRIVATE KEY", 444, b"\x30\x82\x01\xb8\x02\x01\x00"),
            ("ENCRYPTED PRIVATE KEY", 300, b"\x30\x82\x01\x28"),
        )
    )
    body = _b64(begin + r.randbytes(size - len(begin)))
    width = 70 if label.startswith("OPENSSH") else 64
    lines = [body[at : at + width] for at in range(0, len(body), width)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"))


def aws_secret_key(r: Random) -> str:
    return text(r, BASE64, 40)


def azure_storage(r: Random) -> Part:
    account = plain(name(r, "company"))[:12]
    return Part(
        f"DefaultEndpointsProtocol=https;AccountName={account};AccountKey=",
        _b64(r.randbytes(64)),
        ";EndpointSuffix=core.windows.net",
    )


def slack_webhook(r: Random) -> str:
    return f"https://hooks.slack.com/services/T{text(r, UPPER36, 10)}/B{text(r, UPPER36, 10)}/{text(r, BASE62, 24)}"


def discord_bot(r: Random) -> str:
    number = _b64(str(r.randint(10**17, 10**18 - 1)).encode()).rstrip("=")
    return f"{number}.{text(r, URL_SAFE, 6)}.{text(r, URL_SAFE, 38)}"


def discord_webhook(r: Random) -> str:
    return f"https://discord.com/api/webhooks/{r.randint(10**17, 10**18 - 1)}/{text(r, URL_SAFE, 68)}"


def pypi(r: Random) -> str:
    macaroon = b"\x02\x01\x08pypi.org\x02\x24" + uuid(r).encode() + b"\x00\x02" + r.randbytes(90)
    return "pypi-" + _b64(macaroon, True).rstrip("=")


def openai(r: Random) -> str:
    kind = r.choice(("proj", "proj", "svcacct", "admin", ""))
    if not kind:
        return f"sk-{text(r, BASE62, 20)}T3Blbk" + f"FJ{text(r, BASE62, 20)}"
    return f"sk-{kind}-{text(r, URL_SAFE, 74)}T3Blbk" + f"FJ{text(r, URL_SAFE, 74)}"


def telegram(r: Random) -> str:
    return f"{text(r, DIGITS[1:], 1)}{text(r, DIGITS, 8, 9)}:AA{text(r, URL_SAFE, 33)}"


def gitlab_runner(r: Random) -> str:
    return "GR1348941" + text(r, URL_SAFE, 20)


def jfrog(r: Random) -> str:
    return "AKCp" + text(r, BASE62, 69)


def grafana(r: Random) -> str:
    return f"glsa_{text(r, BASE62, 32)}_{text(r, HEX, 8)}"


def square(r: Random) -> str:
    return r.choice(
        (f"EAAA{text(r, URL_SAFE, 60)}", f"sq0atp-{text(r, URL_SAFE, 22)}", f"sq0csp-{text(r, URL_SAFE, 43)}")
    )


def stripe(r: Random) -> str:
    return f"{r.choice(('sk', 'rk'))}_{r.choice(('live', 'test'))}_{text(r, BASE62, *r.choice(((24, 24), (99, 99))))}"


def basic_header(r: Random) -> Part:
    return Part("Authorization: Basic ", _b64(f"{plain(name(r, 'first'))}:{password(r)}".encode()))


def basic_curl(r: Random) -> Part:
    user = plain(name(r, "first"))
    return Part("curl -u ", f"{user}:{text(r, BASE62, 10, 16)}", f" https://{name(r, 'domain')}/api")


def bearer(r: Random) -> Part:
    body = r.choice((text(r, BASE62, 32), text(r, URL_SAFE, 43), text(r, HEX, 40), text(r, BASE62, 64)))
    quote, form = r.choice(
        (
            ("", "Authorization: Bearer "),
            ('"', '"Authorization": "Bearer '),
            ("'", "-H 'authorization: Bearer "),
        )
    )
    return Part(form, body, quote)


AI = {
    "anthropic": run("sk-ant-api03-", URL_SAFE, 93, end="AA"),
    "anthropic_admin": run("sk-ant-admin01-", URL_SAFE, 93, end="AA"),
    "google_ai": run("AIzaSy", URL_SAFE, 33),
    "groq": run("gsk_", BASE62, 52),
    "huggingface": run("hf_", BASE62, 34),
    "replicate": run("r8_", BASE62, 37),
    "xai": run("xai-", BASE62, 80),
    "perplexity": run("pplx-", BASE62, 48),
    "openrouter": run("sk-or-v1-", HEX, 64),
    "nvidia": run("nvapi-", URL_SAFE, 64),
    "fireworks": run("fw_", BASE62, 24),
    "langsmith": lambda r: f"lsv2_{r.choice(('pt', 'sk'))}_{text(r, HEX, 32)}_{text(r, HEX, 10)}",
    "pinecone": lambda r: f"pcsk_{text(r, BASE62, 6)}_{text(r, BASE62, 63)}",
    "jina": run("jina_", BASE62, 60),
    "tavily": run("tvly-dev-", BASE62, 32),
}
CLOUD = {
    "digitalocean": one_of(run("dop_v1_", HEX, 64), run("doo_v1_", HEX, 64)),
    "databricks": run("dapi", HEX, 32),
    "vault": run("hvs.", URL_SAFE, 90, 100),
    "terraform": lambda r: f"{text(r, BASE62, 14)}.atlasv1.{text(r, URL_SAFE, 67)}",
    "pulumi": run("pul-", HEX, 40),
    "doppler": run("dp.pt.", BASE62, 43),
    "heroku": run("HRKU-AA", URL_SAFE, 58),
    "netlify": run("nfp_", BASE62, 36),
    "planetscale": run("pscale_tkn_", URL_SAFE, 43),
    "supabase": run("sbp_", HEX, 40),
    "tailscale": lambda r: f"tskey-auth-{text(r, BASE62, 12)}CNTRL-{text(r, BASE62, 32)}",
    "fly": run("fo1_", URL_SAFE, 43),
    "alibaba": run("LTAI5t", BASE62, 18),
    "google_oauth": run("GOCSPX-", URL_SAFE, 28),
    "google_access": run("ya29.a0", URL_SAFE, 120, 180),
    "azure_secret": lambda r: f"{text(r, BASE62, 3)}8Q~{text(r, URL_SAFE, 34)}",
    "age": lambda r: _age(r),
}
CODE = {
    "npm_like": run("oy2", LOWER36, 43),  # NuGet
    "rubygems": run("rubygems_", HEX, 48),
    "crates": run("cio", BASE62, 32),
    "docker": run("dckr_pat_", URL_SAFE, 27),
    "atlassian": lambda r: f"ATATT3xFfGF0{text(r, URL_SAFE, 171)}={text(r, HEX.upper(), 8)}",
    "bitbucket": run("ATBB", BASE62, 32),
    "sourcegraph": lambda r: f"sgp_{text(r, HEX, 16)}_{text(r, HEX, 40)}",
    "circleci": lambda r: f"CCIPAT_{text(r, BASE62, 22)}_{text(r, HEX, 40)}",
    "buildkite": run("bkua_", HEX, 40),
    "sonar": one_of(run("squ_", HEX, 40), run("sqp_", HEX, 40)),
    "postman": lambda r: f"PMAK-{text(r, HEX, 24)}-{text(r, HEX, 34)}",
    "launchdarkly": lambda r: f"sdk-{uuid(r)}",
    "newrelic": run("NRAK-", UPPER36, 27),
    "grafana": grafana,
    "sentry": run("sntryu_", HEX, 64),
    "dynatrace": lambda r: f"dt0c01.{text(r, UPPER36, 24)}.{text(r, UPPER36, 64)}",
    "prefect": run("pnu_", LOWER36, 36),
}
SERVICE = {
    "shopify": one_of(run("shpat_", HEX, 32), run("shpss_", HEX, 32)),
    "razorpay": run("rzp_live_", BASE62, 14),
    "easypost": run("EZAK", BASE62, 54),
    "resend": lambda r: f"re_{text(r, BASE62, 8)}_{text(r, BASE62, 24)}",
    "brevo": lambda r: f"xkeysib-{text(r, HEX, 64)}-{text(r, BASE62, 16)}",
    "mailgun": lambda r: f"{text(r, HEX, 32)}-{text(r, HEX, 8)}-{text(r, HEX, 8)}",
    "linear": run("lin_api_", BASE62, 40),
    "notion": run("ntn_", BASE62, 46),
    "airtable": lambda r: f"pat{text(r, BASE62, 14)}.{text(r, HEX, 64)}",
    "figma": run("figd_", URL_SAFE, 40),
    "hubspot": lambda r: f"pat-na1-{uuid(r)}",
    "typeform": run("tfp_", URL_SAFE, 59),
    "facebook": run("EAAC", BASE62, 160, 190),
    "mapbox": lambda r: f"sk.eyJ1Ijoi{text(r, BASE62, 70)}.{text(r, URL_SAFE, 22)}",
    "discord_webhook": discord_webhook,
    "clickup": lambda r: f"pk_{text(r, DIGITS, 8)}_{text(r, UPPER36, 32)}",
    "plaid": lambda r: f"access-production-{uuid(r)}",
    "flutterwave": lambda r: f"FLWSECK-{text(r, HEX, 32)}-X",
}
OWN = {  # kinds with a row of their own
    "openai_key": openai,
    "github_token": one_of(checked62("ghp_", 36), checked62("gho_", 36), checked62("ghu_", 36), checked62("ghs_", 36),
                           lambda r: f"github_pat_{text(r, BASE62, 22)}_{text(r, BASE62, 59)}"),
    "gitlab_token": one_of(run("glpat-", URL_SAFE, 20), run("gldt-", URL_SAFE, 20), gitlab_runner, run("glrt-", URL_SAFE, 20)),
    "npm_token": checked62("npm_", 36),
    "pypi_token": pypi,
    "slack_token": one_of(
        lambda r: f"xoxb-{text(r, DIGITS, 12)}-{text(r, DIGITS, 12)}-{text(r, BASE62, 24)}",
        lambda r: f"xoxp-{text(r, DIGITS, 12)}-{text(r, DIGITS, 12)}-{text(r, DIGITS, 12)}-{text(r, HEX, 32)}",
        lambda r: f"xapp-1-A{text(r, UPPER36, 10)}-{text(r, DIGITS, 13)}-{text(r, HEX, 64)}",
        slack_webhook,
    ),
    "stripe_key": stripe,
    "sendgrid_key": lambda r: f"SG.{text(r, URL_SAFE, 22)}.{text(r, URL_SAFE, 43)}",
    "twilio_key": one_of(run("SK", HEX, 32), run("SK", HEX, 32)),
    "mailchimp_key": lambda r: f"{text(r, HEX, 32)}-us{r.randint(1, 21)}",
    "square_token": square,
    "discord_bot_token": discord_bot,
    "telegram_bot_token": telegram,
    "azure_storage_key": azure_storage,
    "jfrog_key": jfrog,
    "aws_key": lambda r: f"{r.choice(('AKIA', 'ASIA', 'AKIA'))}{text(r, UPPER + '234567', 16)}",
    "aws_secret_key": aws_secret_key,
    "jwt": jwt,
    "private_key": private_key,
}  # fmt: skip


def _age(r: Random) -> str:
    from bench.guard_set.money import bech32_text

    return bech32_text("age-secret-key-", r.randbytes(32)).upper()
