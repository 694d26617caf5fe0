"""The secrets that policies know best: AWS keys, API keys, JWTs, private keys, databases, GitHub tokens."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import (
    HEX,
    base62_crc32,
    has_length,
    jwt_header,
    random_looking,
    unbroken,
)
from tokenomics_core.guard.detectors._secret_shapes import AFTER, DIGESTS, START, URL_SAFE, behind, sample

_SCHEMES = (
    "mongodb(?:[+]srv)?|postgres(?:ql)?(?:[+][a-z0-9]+)?|postgis|mysqlx?(?:[+][a-z0-9]+)?|mariadb(?:[+][a-z0-9]+)?"
    "|rediss?(?:[+][a-z]+)?|valkeys?|mssql(?:[+][a-z]+)?|sqlserver|oracle(?:[+][a-z_]+)?|amqps?|clickhouses?"
    "|cockroach(?:db)?|neo4j(?:[+]s+c?)?|bolt(?:[+]s+c?)?|cassandra|couchbases?|influxdb|snowflake|redshift"
)
_URL = r"[^\s\"'`<>\\]"


def _access_key(text: str) -> bool:
    """Not `AKIAXXXXXXXXXXXXXXXX`. There are keys without any digit."""
    return len(set(text[4:])) >= 6


def credentials_inside(text: str) -> bool:
    """A user and a password, or a password among the parameters. Not where the password is a stand-in."""
    low = text.lower()
    before, at, _ = low.partition("://")[2].rpartition("@")
    password = before.partition(":")[2]
    if password.startswith(("$", "<", "{", "*", "%s")):
        return False
    return bool(at and password) or "password=" in low or "pwd=" in low


_HEADER = urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()).decode().rstrip("=")
_CLAIMS = urlsafe_b64encode(json.dumps({"sub": "1234567890"}).encode()).decode().rstrip("=")

_BEGIN = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_END = r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
# Between two lines of a key: line ends, also as escapes, indentation, quotes, line numbers, marks of a diff.
_BETWEEN = r"(?:[^A-Za-z\\-]|\\[nrt]|\\u00[0-9a-f][0-9a-f]|\\[^a-z]|<br ?/?>|\n-)"
_NOTE = rf"(?:{_BETWEEN}*[A-Z][A-Za-z-]{{2,20}}: [^\n\\]*)*"
_BODY = rf"{_NOTE}(?:{_BETWEEN}*[A-Za-z0-9+/=]{{16,}})+"
# The last line may be short. Without the END line it must be padded, else it may be a word that follows.
_REST = (
    rf"(?:(?:{_BETWEEN}+[A-Za-z0-9+/=]{{1,15}}){{0,2}}{_BETWEEN}*{_END}"
    rf"|{_BETWEEN}+[A-Za-z0-9+/]{{2,15}}={{1,2}})"
)
_PRIVATE_KEY = f"{_BEGIN}(?:{_BODY}{_REST}?)?"

_KEY_LINES = (sample(64), sample(63) + "/", sample(60) + "+abc", sample(20) + "==")


def _block(title: str, newline: str) -> str:
    return newline.join((f"-----BEGIN {title}-----", *_KEY_LINES, f"-----END {title}-----"))


_GITHUB_BODY = sample(30)
_GITHUB_SUM = "1zS0pN"

_AWS = ("aws", "secret_access_key", "secretaccesskey", "secretkey", "secret_key")

DETECTORS = (
    Detector(
        "aws_key",
        "AWS Access Key",
        "secret",
        (
            Shape(
                r"\b(?:AKIA|ABIA|ACCA|ASIA)[0-9A-Z]{16}\b",
                check=_access_key,
                valid=0.95,
                invalid=0.3,
                reference=True,
            ),
        ),
        found=(
            "«AKIA" + "IOSFODNN7EXAMPLE»",
            '{\\"AccessKeyId\\": \\"«ABIA' + "IOSFODNN7EXAMPLE" + '»\\"}',
            "AWS_ACCESS_KEY_ID=«ASIA" + sample(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") + "»",
        ),
        clean=("AKIA" + "IOSFODNN7EXAMPLEX", "the prefix AKIA", "AKIA" + "IOSFODNN7"),
    ),
    Detector(
        "aws_secret_key",
        "AWS Secret Access Key",
        "secret",
        (
            Shape(behind(_AWS, AFTER + r"([A-Za-z0-9/+]{40,})"), check=has_length([40]), valid=0.4),
            # Its name may also stand behind it.
            Shape(
                r"\b([A-Za-z0-9/+]{40,})[\s\"'`;,)/#]{1,8}(?:(?:as|is|for|the|our|my|an?) ){0,3}(?i:aws)\b",
                check=has_length([40]),
                valid=0.4,
            ),
        ),
        near=_AWS,
        unlike=DIGESTS,
        family="aws_key",
        found=(
            "AWS_SECRET_ACCESS_KEY=«" + sample(20) + "/" + sample(18) + "+»",
            '{\\"SecretAccessKey\\": \\"«' + sample(40) + '»\\"}',
            "the AWS secret is «/" + sample(39) + "»",
            "use «" + sample(40) + "» as the AWS secret access key",
        ),
        clean=(
            "path " + sample(40),
            "aws commit " + sample(40, HEX),
            "aws s3 cp " + sample(30) + "/" + sample(30),
        ),
    ),
    Detector(
        "api_key",
        "API Key",
        "secret",
        (
            Shape(
                r"\b(?:sk|key|api|token|secret)[-_][A-Za-z0-9]{20,}\b",
                check=unbroken,
                valid=0.8,
                invalid=0.3,
                reference=True,
            ),
            Shape(START + r"(sk-[A-Za-z0-9_-]{20,})", check=unbroken, valid=0.8, invalid=0.2),
            Shape(START + r"(SK[-_][A-Za-z0-9]{20,})", check=unbroken, valid=0.7, invalid=0.2),
            Shape(START + r"(tkn_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", score=1.0),
        ),
        found=(
            "«sk-1234567890" + "abcdefghijklmn»",
            "«key-" + "12345678901234567890»",
            "OPENAI_API_KEY=«sk-proj-" + sample(40, URL_SAFE) + "»",
            "«sk-ant-api03-" + sample(93, URL_SAFE) + "AA»",
            "«SK-" + sample(20) + "»",
            "«SK-" + "ABCDEFGHIJKLMNOPQRST»",
            "«sk-proj-" + "abcdefghijklmnopqrstuvwx»",
            "Bearer «tkn_" + "0b8ae2c4-11f2-4f6e-9a54-2f1a7d5c9e10»",
        ),
        clean=(
            "sk-fading-circle-of-dots-large",
            "a key-value-store-for-everyone",
            "sk-xxxxxxxxxxxxxxxxxxxx_",
        ),
    ),
    Detector(
        "jwt",
        "JSON Web Token",
        "secret",
        (
            Shape(
                r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\b",
                check=jwt_header,
                invalid=0.4,
                reference=True,
            ),
            Shape(
                START + r"(eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"
                r"(?:\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?)",
                check=jwt_header,
            ),
        ),
        found=(
            f"«{_HEADER}.{_CLAIMS}.{sample(43)}»",
            f'\\"token\\": \\"«{_HEADER}.{_CLAIMS}.{sample(43)}»\\"',
            f"encrypted «{_HEADER}..{sample(16)}.{sample(60)}.{sample(22)}»",
        ),
        clean=("eyJhbGciOiJIUzI1NiJ9 alone", "eyJmb28iOiAxfQ.x.y", "a.b.c"),
    ),
    Detector(
        "private_key",
        "Private Key",
        "secret",
        (
            Shape(r"-----BEGIN (?:RSA |EC |DSA )?PRIVATE KEY-----", score=0.9, reference=True),
            Shape(_PRIVATE_KEY, score=1.0),
            Shape(
                r"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"
                rf"(?:{_NOTE}(?:{_BETWEEN}+[A-Za-z0-9+/=]{{16,}})+)?",
                score=1.0,
            ),
            Shape(
                r"PuTTY-User-Key-File-[0-9]:(?:[^\n\\]|\\[^n])*"
                rf"(?:{_BETWEEN}+[A-Z][A-Za-z0-9-]{{2,20}}: [^\n\\]*"
                rf"|{_BETWEEN}+[A-Za-z0-9+/=]{{16,}})*",
                score=1.0,
            ),
        ),
        found=(
            *(
                f"see «{_block(title, newline)}» there"
                for title in (
                    "PRIVATE KEY",
                    "RSA PRIVATE KEY",
                    "EC PRIVATE KEY",
                    "OPENSSH PRIVATE KEY",
                    "ENCRYPTED PRIVATE KEY",
                    "PGP PRIVATE KEY BLOCK",
                )
                for newline in ("\n", "\\n", "\r\n", "\n    ", "\n  12\u2192", '\\n" +\n  "')
            ),
            "«" + "\n".join(("-----BEGIN RSA PRIVATE KEY-----", *_KEY_LINES)) + "»\nand so on",
            "«-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00FF\n\n"
            + "\n".join(_KEY_LINES)
            + "\n-----END RSA PRIVATE KEY-----»",
            "«-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n"
            + "\n".join(_KEY_LINES)
            + "\n=aB3d\n-----END PGP PRIVATE KEY BLOCK-----»\n",
            "«-----BEGIN OPENSSH PRIVATE KEY-----»",
            "«PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: me\nPublic-Lines: 2\n"
            + "\n".join(_KEY_LINES[:2])
            + "\nPrivate-Lines: 1\n"
            + _KEY_LINES[0]
            + "\nPrivate-MAC: "
            + sample(64, HEX)
            + "»",
        ),
        clean=(
            "-----BEGIN PUBLIC KEY-----\n" + sample(64) + "\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\n" + sample(64) + "\n-----END CERTIFICATE-----",
            "BEGIN PRIVATE KEY",
        ),
    ),
    Detector(
        "connection_string",
        "Database Connection String",
        "secret",
        (
            Shape(
                r"\b(?:mongodb|postgres|mysql|redis)://[^\s]+\b",
                check=credentials_inside,
                valid=0.8,
                invalid=0.4,
                reference=True,
            ),
            Shape(
                rf"(?i:{START}((?:jdbc:)?(?:{_SCHEMES})://{_URL}+))\b",
                check=credentials_inside,
                valid=0.95,
                invalid=0.4,
            ),
            Shape(
                rf"(?i:{START}(jdbc:[a-z0-9]+:{_URL}+))\b",
                check=credentials_inside,
                valid=0.95,
                invalid=0.3,
            ),
            Shape(
                r"(?i:\b((?:server|data source|host|addr|address|provider|driver|user id|uid)="
                r"[^\s;\"'\\=][^;\"'\\=\n]*;"
                r"(?:[a-z _]+=[^;\"'\\\n]*;)*\s?(?:password|pwd)=[^;\"'\\\s]+))",
                score=0.95,
            ),
        ),
        found=(
            "«postgres://u:p@h/db»",
            "«redis://:p@h:6379»/",
            "url: «postgresql://app:" + "s3cret@db.internal:5432/main?sslmode=require»",
            '{\\"url\\": \\"«mongodb+srv://app:' + 's3cret@c0.example.net/x»\\"}',
            "«rediss://:" + "s3cret@cache.internal:6380/0»",
            "«POSTGRES://U:" + "P4SS@HOST/DB»",
            "«amqps://u:" + "pw@mq.example.com/vhost»",
            "«jdbc:sqlserver://db.example.com:1433;user=sa;password=" + "Str0ngPass»",
            "«jdbc:oracle:thin:scott/tiger@//db:1521/x;password=" + "Str0ng»",
            "Dsn: «Server=tcp:db.example.net,1433;Database=x;User ID=sa;Password=" + "S3cr3t!»;Encrypt=True",
            "«Host=localhost;Username=app;Password=" + "n0tTelling»",
        ),
        clean=(
            "https://example.com/postgres",
            "jdbc:h2:mem:test",
            "mariadb://localhost/test",
            "mysql+pymysql://app:${DB_PASSWORD}@localhost/db",
            "the postgres: scheme",
            "server=a;encrypt=true",
        ),
    ),
    Detector(
        "github_token",
        "GitHub Token",
        "secret",
        (
            Shape(
                r"\b(?:ghp|gho|ghs|ghr)_[A-Za-z0-9]{36,}\b",
                check=random_looking,
                valid=0.75,
                invalid=0.3,
                reference=True,
            ),
            Shape(START + r"(gh[a-z]_[A-Za-z0-9]{36,})", check=random_looking, valid=0.7, invalid=0.3),
            Shape(START + r"(gh[a-z]_[A-Za-z0-9]{36,})", check=base62_crc32),
            Shape(START + r"(github_pat_[A-Za-z0-9_]{40,})", check=random_looking, valid=0.95, invalid=0.3),
        ),
        found=(
            f"«ghp_{_GITHUB_BODY}{_GITHUB_SUM}»",
            f"«ghu_{sample(36)}»",
            f"first\\n«gho_{sample(36)}»",
            f"https://x-access-token:«ghs_{sample(36)}»@github.com/a/b",
            f"export GH_TOKEN=«github_pat_{sample(22)}_{sample(59)}»",
        ),
        clean=("ghp_" + sample(20), "github_pat_" + "x" * 60, "github_path_to_the_file"),
    ),
)
