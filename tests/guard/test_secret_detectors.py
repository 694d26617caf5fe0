"""Secrets: what their own characters say, what stands around them, and all that only looks like one."""

from __future__ import annotations

import base64
import json
import string
import zlib

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.guard.detector import DEFAULT_SCORE, Detector
from tokenomics_core.guard.detectors import detectors, named
from tokenomics_core.guard.detectors._secret_checks import (
    BASE62,
    HEX,
    base62_crc32,
    bech32,
    entropy,
    jwt_header,
    unbase64,
)
from tokenomics_core.guard.detectors._secret_shapes import sample
from tokenomics_core.guard.score import score

SECRETS = [detector for detector in detectors().values() if detector.kind == "secret"]
COMPILED = {shape.pattern: re2.compile(shape.pattern) for d in SECRETS for shape in d.shapes}


def best(name: str, text: str) -> float:
    """The highest score of all that the detector matches in text; 0 where it matches nothing."""
    detector = detectors()[name]
    scores = [0.0]
    for shape in detector.shapes:
        pattern = COMPILED[shape.pattern]
        scores += [score(detector, shape, text, *m.span(pattern.groups)) for m in pattern.finditer(text)]
    return max(scores)


def values(detector: Detector, text: str) -> list[str]:
    """What counts by default, longest first."""
    found = set()
    for shape in detector.shapes:
        pattern = COMPILED[shape.pattern]
        for match in pattern.finditer(text):
            span = match.span(pattern.groups)
            if shape.reference or score(detector, shape, text, *span) >= DEFAULT_SCORE:
                found.add(text[slice(*span)])
    return sorted(found, key=len, reverse=True)


def base62(number: int) -> str:
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def signed(prefix: str, body: str) -> str:
    return prefix + body + base62(zlib.crc32(body.encode()))


def jwt(header: dict[str, str]) -> str:
    first = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{first}.{sample(24)}.{sample(43)}"


def age_key(data: bytes) -> str:
    """A secret key of age: bech32 of 32 bytes."""
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = "".join(f"{byte:08b}" for byte in data) + "0000"
    values = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    prefix = "age-secret-key-"
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values + [0] * 6
    state = 1
    for value in expanded:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ value
        for bit, mask in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= mask if top >> bit & 1 else 0
    values += [(state ^ 1) >> 5 * (5 - at) & 31 for at in range(6)]
    return (prefix + "1" + "".join(alphabet[value] for value in values)).upper()


def test_there_are_many_kinds() -> None:
    assert len(SECRETS) >= 200
    assert len({detector.label for detector in SECRETS}) >= 150
    assert len([d for d in SECRETS if d.shapes and any(shape.check for shape in d.shapes)]) >= 150


def test_an_api_key_rule_finds_all_keys_of_providers() -> None:
    names = {detector.name for detector in named("api_key")}
    assert {"openai_key", "anthropic_key", "stripe_key", "slack_token", "npm_token"} <= names
    assert "env_assignment" not in names
    assert {"aws_secret_key"} < {detector.name for detector in named("aws_key")}


def test_no_pattern_looks_at_where_the_text_ends() -> None:
    for pattern in COMPILED:
        bare = pattern.replace("[^", "")
        assert not any(anchor in bare for anchor in ("^", "$", r"\A", r"\z")), pattern


@pytest.mark.parametrize("prefix", ["ghp_", "gho_", "ghs_", "ghr_", "ghu_", "npm_"])
def test_a_checksum_raises_the_score_and_one_wrong_character_lowers_it(prefix: str) -> None:
    name = "npm_token" if prefix == "npm_" else "github_token"
    token = signed(prefix, sample(30))
    wrong = token[:10] + ("A" if token[10] != "A" else "B") + token[11:]
    assert best(name, token) == 1.0
    assert DEFAULT_SCORE <= best(name, wrong) < 1.0


@given(st.text(string.ascii_letters + string.digits, min_size=30, max_size=30), st.integers(4, 33))
def test_no_single_wrong_character_keeps_the_checksum(body: str, at: int) -> None:
    token = signed("ghp_", body)
    assert base62_crc32(token)
    wrong = "A" if token[at] != "A" else "B"
    assert not base62_crc32(token[:at] + wrong + token[at + 1 :])


@given(st.binary(min_size=32, max_size=32), st.integers(16, 73))
def test_the_checksum_of_an_age_key(data: bytes, at: int) -> None:
    key = age_key(data)
    assert len(key) == 74
    assert bech32(key)
    assert best("age_key", f"key {key}") == 1.0
    wrong = key[:at] + ("Q" if key[at] != "Q" else "P") + key[at + 1 :]
    assert not bech32(wrong)
    assert best("age_key", f"key {wrong}") == 0.8


def test_a_jwt_is_surer_when_its_header_names_an_algorithm() -> None:
    assert best("jwt", jwt({"alg": "RS256", "typ": "JWT"})) == 1.0
    assert best("jwt", jwt({"foo": "bar", "typ": "JWT"})) < DEFAULT_SCORE
    assert not jwt_header("eyJ" + "a" * 20)
    assert not jwt_header("")


@pytest.mark.parametrize(
    "newline", ["\n", "\r\n", "\\n", "\\\\n", "\\u000a", "\n\t", " ", "\n> ", "\n+", "<br>", ""]
)
@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_goes_whole(kind: str, newline: str) -> None:
    lines = [sample(64), sample(62) + "+/", sample(64)[::-1], sample(22) + "=="]
    block = newline.join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"])
    assert values(detectors()["private_key"], f'{{"key": "{block}", "next": 1}}')[0] == block


def test_a_private_key_without_an_end_goes_whole() -> None:
    block = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", sample(64), sample(64)[::-1], sample(40) + "=="])
    assert values(detectors()["private_key"], block + "\n\nThat was the key.")[0] == block


def test_prose_about_private_keys_loses_the_header_alone() -> None:
    text = "It starts with -----BEGIN OPENSSH PRIVATE KEY----- and then there are some lines of base64."
    assert values(detectors()["private_key"], text) == ["-----BEGIN OPENSSH PRIVATE KEY-----"]


@pytest.mark.parametrize(
    ("name", "word", "value"),
    [
        ("datadog_key", "DATADOG_API_KEY=", sample(32, HEX)),
        ("cohere_key", "cohere: ", sample(40)),
        ("mistral_key", "MISTRAL_KEY: ", sample(32)),
        ("snyk_token", "snyk token ", "5f0c9d1e-2b7a-4c36-8e9f-a1b2c3d4e5f6"),
        ("cloudflare_token", "cloudflare ", sample(40)),
        ("aws_secret_key", "aws secret: ", sample(40)),
    ],
)
def test_context_makes_a_key_of_what_could_be_anything(name: str, word: str, value: str) -> None:
    assert best(name, word + value) >= DEFAULT_SCORE
    assert best(name, "value: " + value) < DEFAULT_SCORE
    assert best(name, word + "x" * 60 + " " + value) < DEFAULT_SCORE
    assert best(name, word + "sha256 digest " + value) < DEFAULT_SCORE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DB_PASS=" + "hunter2!x", "hunter2!x"),
        ('{"api_key": "' + sample(24) + '"}', sample(24)),
        ('{\\"api_key\\": \\"' + sample(24) + '\\"}', sample(24)),
        ('{\\\\\\"api_key\\\\\\": \\\\\\"' + sample(24) + '\\\\\\"}', sample(24)),
        ("password: '" + "Pa$$w0rd" + "'", "Pa$$w0rd"),
        ("A=1\\nSECRET=" + sample(16) + "\\nB=2", sample(16)),
        ("--token=" + sample(24) + " run", sample(24)),
        ("https://x.example/?access_token=" + sample(24) + "&page=2", sample(24)),
    ],
)
def test_the_value_of_an_assignment_ends_where_it_ends(text: str, value: str) -> None:
    assert values(detectors()["env_assignment"], text) == [value]


def test_every_family_is_covered_in_the_spelling_of_tool_arguments() -> None:
    for detector in SECRETS:
        if detector.family != "api_key":
            continue
        plain = [text.replace("«", "").replace("»", "") for text in detector.found]
        assert all(best(detector.name, text) >= DEFAULT_SCORE for text in plain), detector.name


def test_placeholders_are_not_keys() -> None:
    for prefix in ("sk-proj-", "sk-ant-api03-", "ghp_", "AIza", "hf_", "gsk_", "xoxb-", "glpat-", "sk_live_"):
        for stand_in in ("x" * 40, "your_api_key_here_goes_in_this_place", "X" * 48, "*" * 30):
            text = f"set it to {prefix}{stand_in} please"
            found = [d.name for d in SECRETS if d.name != "github_token" and values(d, text)]
            assert found in ([], ["api_key"]), text


HARD = [
    *(f"commit {sample(40, HEX)[at:]}{sample(40, HEX)[:at]}" for at in range(4)),
    "5f0c9d1e-2b7a-4c36-8e9f-a1b2c3d4e5f6",
    '{"session_id": "5f0c9d1e-2b7a-4c36-8e9f-a1b2c3d4e5f6", "user_id": "' + sample(64, HEX) + '"}',
    '"integrity": "sha512-' + base64.b64encode(sample(64).encode()).decode() + '"',
    "sha256:" + sample(64, HEX),
    "--hash=sha256:" + sample(64, HEX),
    '<link href="/static/css/main.' + sample(20, HEX) + '.css" rel="stylesheet">',
    ".css-1q2w3e4r5t6y7u8i9o0p{color:#fff}",
    '<script src="/_next/static/chunks/4bd1b696-' + sample(16, HEX) + '.js"></script>',
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "data:font/woff2;base64," + base64.b64encode(sample(300).encode()).decode(),
    "!function(e,t){var n=e.token,r=t.secret;return n&&r?n(r):void 0}(window,document);",
    "var a=function(e){return e.password===t.password};a.prototype.apiKey=null",
    "toolu_01A09q90qw90lq917835lq9",
    "call_9pw1qnYScqvGrCH58HWCvFH6",
    "msg_01XFDUDYJgAACzvnptvVoYEL",
    "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "req_011CSHoEeqs5C35K2UUqR7Fy",
    '"id": "rs_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78"',
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    'etag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
    "file-abc123, vs_abc123, asst_abc123, thread_abc123",
    "arn:aws:iam::123456789012:role/service-role/MyLambdaExecutionRoleForEverything",
    "s3://my-bucket/path/to/AWS/objects/2024/01/31/part-00000-of-00010.parquet",
    "aws s3 cp /usr/local/lib/python3/site-packages/botocore/data s3://x",
    "files.example/@scope/pkg/-/pkg-1.2.3.tgz",
    "https://user@example.com/path",
    "git@github.com:owner/repository.git",
    "ssh://git@github.com:22/owner/repository.git",
    "https://${USER}:${PASSWORD}@example.com",
    "http://localhost:8080/@vite/client",
    "https://example.com:443/?next=/a@b",
    "max_tokens=4096, temperature=0.7",
    '{"max_tokens": 4096, "token_type": "Bearer", "expires_in": 3600}',
    '{"prompt_tokens": 1200, "completion_tokens": 340, "total_tokens": 1540}',
    '{"token": {"type": "string", "description": "The token of the next page"}}',
    '{"password": {"type": "string", "format": "password", "minLength": 8}}',
    '"required": ["api_key", "secret", "password"]',
    '{"name": "api_key", "in": "header", "type": "apiKey"}',
    "token: str | None = None",
    "def login(user: str, password: str) -> Token:",
    "password = getpass.getpass('Password: ')",
    "password = input()",
    'token = os.environ["GITHUB_TOKEN"]',
    "token = os.environ.get('TOKEN', '')",
    "const apiKey = process.env.OPENAI_API_KEY;",
    "apiKey: config.get('api.key'),",
    "api_key=settings.OPENAI_API_KEY_V2",
    "secret = base64.b64decode(encoded)",
    "secret: ${{ secrets.NPM_TOKEN }}",
    "GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}",
    "password: {{ vault_db_password_2 }}",
    "PASSWORD=$(cat /run/secrets/db1)",
    "API_KEY=your-api-key-1",
    "OPENAI_API_KEY=sk-...",
    "export TOKEN=<paste the token here>",
    "PASSWORD=changeme123",
    "password: ********",
    'password="[REDACTED]"',
    "secretName: my-app-tls-2",
    "valueFrom: {secretKeyRef: {name: db-creds, key: password}}",
    "token_endpoint: https://example.com/oauth2/token",
    "private_key_path: /etc/ssl/private/server1.key",
    "ssl_certificate_key /etc/nginx/ssl/example2.key;",
    "authorization: Bearer {token}",
    "Authorization: Bearer <your-token>",
    "Authorization: Basic <credentials>",
    "the bearer of good news is here, with nothing to hide",
    "author: someone, authority: example2.com",
    "Authentication failed: token expired at 2024-01-31T12:34:56Z",
    "error: invalid token '<' at line 12, column 34",
    "SyntaxError: Unexpected token } in JSON at position 1234",
    "tokenizer = AutoTokenizer.from_pretrained('meta-llama/Llama-3.1-8B-Instruct')",
    "eos_token: <|endoftext|>, pad_token_id: 50256",
    "stop_token='<|im_end|>'",
    "docker run -u 1000:1000 image:1.2.3",
    "key-value-store and secret-manager and api-gateway-v2",
    "sk-fading-circle-of-small-dots",
    "hf_hub_download, npm_config_registry, glpat-example",
    "-----BEGIN CERTIFICATE-----\n" + sample(64) + "\n-----END CERTIFICATE-----",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ" + sample(60) + " me@host",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + sample(43) + " me@host",
    "jdbc:h2:mem:test and https://postgres.example.com",
    "google-re2==1.1.20251105 --hash=sha256:" + sample(64, HEX),
    "INFO 2024-01-31 12:34:56,789 [worker-3] c.e.TokenService - 42 tokens refreshed",
    "passwords must have 8 characters, one digit and one symbol",
    "password is required; secret is optional",
    "the password: at least 12 characters",
    "kebab-case-name-with-many-parts-in-it-0001-and-more",
    "SOME_CONSTANT_NAME_WITH_MANY_PARTS_IN_IT_0001",
    "someCamelCaseNameWithManyPartsInItAndNoEndInSight42",
    "/usr/lib/python3/dist-packages/tokenizers/models/bpe_2024.json",
    "0x" + sample(64, HEX),
    "A" * 200,
    "0" * 64,
    string.ascii_letters + string.digits,
]


def test_there_are_many_hard_texts() -> None:
    assert len(set(HARD)) >= 80


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_hard_text_has_no_secret(text: str) -> None:
    for form in (text, json.dumps({"text": text}), f"see {text} there"):
        assert {d.name: values(d, form) for d in SECRETS if values(d, form)} == {}


@given(st.text(max_size=60))
def test_checks_take_any_text(text: str) -> None:
    assert 0.0 <= entropy(text) <= 6.0
    for shape in {shape.check: shape for d in SECRETS for shape in d.shapes if shape.check}.values():
        assert shape.check is not None
        assert isinstance(shape.check(text), bool)


@given(st.binary(min_size=1, max_size=60))
def test_base64_in_both_alphabets(data: bytes) -> None:
    assert unbase64(base64.b64encode(data).decode()) == data
    assert unbase64(base64.urlsafe_b64encode(data).decode().rstrip("=")) == data
