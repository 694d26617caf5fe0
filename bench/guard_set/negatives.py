# ruff: noqa: E501
"""Sentences in which there is nothing to find, though it looks like it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from random import Random

from bench.guard_set.draw import BASE62, DIGITS, HEX, LOWER, UPPER, VALUES, grouped, name, number, text
from bench.guard_set.money import bad_card, bad_iban
from bench.guard_set.secrets import uuid


def iso_time(r: Random) -> str:
    day = f"{r.randint(2019, 2026)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"
    clock = f"{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}"
    return r.choice(
        (
            f"{day}T{clock}Z",
            f"{day}T{clock}.{r.randint(0, 999):03}+02:00",
            f"{day} {clock}",
            f"{day} {clock},{r.randint(0, 999):03}",
        )
    )


def unix(r: Random) -> str:
    seconds = r.randint(1_500_000_000, 1_800_000_000)
    return r.choice(
        (str(seconds), str(seconds * 1000 + r.randint(0, 999)), f"{seconds}.{r.randint(0, 999999):06}")
    )


def _hex(r: Random) -> str:
    return text(r, HEX, r.choice((7, 12, 32, 40, 40, 64)))


def _integrity(r: Random) -> str:
    return "sha512-" + base64.b64encode(r.randbytes(64)).decode()


def _ean(r: Random) -> str:
    body = r.choice(("978", "979", "400", "501", "761")) + text(r, DIGITS, 9)
    check = -sum(int(d) * (1 if at % 2 == 0 else 3) for at, d in enumerate(body)) % 10
    return r.choice((f"{body}{check}", f"{body[:3]}-{body[3]}-{body[4:8]}-{body[8:]}-{check}"))


def _image(r: Random) -> str:
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + r.randbytes(r.randint(60, 240))).decode()


def _version(r: Random) -> str:
    a, b, c = r.randint(0, 20), r.randint(0, 40), r.randint(0, 99)
    return r.choice(
        (
            f"v{a}.{b}.{c}",
            f"{a}.{b}.{c}",
            f"v{a}.{b}.{c}.{r.randint(0, 9)}",
            f"{a}.{b}.{c}-rc.{r.randint(1, 5)}",
            f"^{a}.{b}.{c}",
        )
    )


def _price(r: Random) -> str:
    value = r.randint(1, 99_999_999)
    return r.choice((f"${value / 100:,.2f}", f"{value / 100:.2f} EUR", f"€{value // 100}", f"{value:,} USD"))


def _coordinates(r: Random) -> str:
    return f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}"


PLACEHOLDERS = (
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "YOUR_API_KEY", "<your-api-key>", "<password>", "${TOKEN}", "$API_KEY",
    "{{ secrets.API_KEY }}", "{api_key}", "changeme", "xxxx-xxxx-xxxx-xxxx", "REPLACE_ME", "********", "sk-...",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "AKIAXXXXXXXXXXXXXXXX", "your-secret-here", "[REDACTED]", "null", "None",
)  # fmt: skip

CODE = (
    "api_key = os.environ['OPENAI_API_KEY']",
    "const token = process.env.GITHUB_TOKEN;",
    'password = getpass.getpass("Password: ")',
    "token = request.headers.get('Authorization', '').removeprefix('Bearer ')",
    "export API_KEY=$(vault read -field=key secret/app)",
    "secretKeyRef:\n  name: app-secrets\n  key: database-password",
    "if (!password || password.length < 12) throw new Error('password too short');",
    "SELECT password_hash, api_key_id FROM users WHERE id = ?",
    "private_key: Path = Field(default=Path('/etc/ssl/private/server.pem'))",
    "def get_token(self) -> str | None:\n    return self._token",
    "password: str = Field(..., min_length=8)",
    "api_key: Optional[str] = None",
    "const passwordInput = document.querySelector('#password');",
    "DATABASE_URL=postgres://localhost/test",
    "redis_url = 'redis://localhost:6379/0'",
    "git remote add origin git@github.com:octo/hello.git",
    "ssh deploy@bastion",
    "@app.route('/users/<int:user_id>')",
    "@pytest.mark.parametrize('value', [1, 2, 3])",
    "@Override public String toString() { return token.getName(); }",
    "docker run -u 1000:1000 -p 8080:80 nginx:1.27.3",
    "a { color: #1a2b3c; background: #ffaa00cc; margin: 0 0 12px 4px }",
    "matrix = [[1000, 2000, 3000], [4000, 5000, 6000]]",
    "assert hashlib.sha256(b'').hexdigest().startswith('e3b0c442')",
    "for (let i = 0; i < 1234567890; i++) { total += i }",
    'std::vector<std::string> parts; boost::split(parts, line, is_any_of("::"));',
    "time.sleep(0.25); t = 12:34:56",
    "secrets: inherit\npermissions:\n  id-token: write",
    "token_count = len(tokenizer.encode(prompt)); max_tokens = 4096",
    "https://example.com/a/b?page=2&sort=desc#section-4",
    "https://user.example.com:8443/path@v2/file",
    "import { createHash } from 'node:crypto';",
    "from cryptography.hazmat.primitives.serialization import load_pem_private_key",
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx7 comment",
    "npm install @types/node@22.1.0 react@^18.3.1",
    "uses: actions/checkout@v4",
    "FROM python:3.13-slim@sha256:4d5f",
    "Authorization: Bearer <token>",
    'curl -H "Authorization: Bearer $TOKEN" https://api.example.com/v1/models',
    "the password must have eight characters and is never sent by mail",
    "passport.use(new LocalStrategy(verify));",
    "passport.authenticate('local', { failureRedirect: '/login' })",
    "std::map<int, int> m; m[0x1f] = 0xdeadbeef;",
    "fe80 is the prefix of link-local addresses, :: is short for zeros",
    "a::b::c and Foo::Bar::baz are names in Ruby and Rust",
    "iban_regex = re.compile(r'[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}')",
    "ssn_pattern = r'\\d{3}-\\d{2}-\\d{4}'",
)

SCHEMAS = (
    '{"type":"object","properties":{"email":{"type":"string","format":"email"},"ssn":{"type":"string","pattern":"^[0-9]{3}-[0-9]{2}-[0-9]{4}$"}}}',
    '{"name":"get_weather","description":"Weather of a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}',
    '{"name":"send_mail","description":"Sends an e-mail. The address looks like name@host.","parameters":{"type":"object","properties":{"to":{"type":"string"},"password":{"type":"string","description":"the SMTP password"}}}}',
    '{"$schema":"http://json-schema.org/draft-07/schema#","title":"Card","properties":{"number":{"type":"string","minLength":12,"maxLength":19}}}',
    '{"type":"function","function":{"name":"create_token","strict":true,"parameters":{"type":"object","properties":{"secret":{"type":"string"},"ttl":{"type":"integer","default":3600}}}}}',
    '{"api_key": {"type": "string", "description": "API key, kept in the environment variable API_KEY"}}',
)

_FILLED: tuple[Callable[[Random], str], ...] = (
    lambda r: f"[{iso_time(r)}] worker-{r.randint(1, 40)} finished job {r.randint(1, 10**6)} in {r.randint(1, 9999)} ms",
    lambda r: f'{{"created": {unix(r)}, "id": "{uuid(r)}", "object": "chat.completion"}}',
    lambda r: f"timestamp {unix(r)} is {iso_time(r)}",
    lambda r: f"{unix(r)},{r.random():.6f},{r.random():.6f}",
    lambda r: f"session {uuid(r)} was opened by request {uuid(r)}",
    lambda r: f'{{"device_id": "{text(r, HEX, 64)}", "session_id": "{uuid(r)}"}}',
    lambda r: f"commit {text(r, HEX, 40)}\nDate: {iso_time(r)}\n\n    Fix the {r.choice(('build', 'tests', 'docs'))}",
    lambda r: f"git revert {text(r, HEX, r.choice((7, 8, 12, 40)))}",
    lambda r: f"{text(r, HEX, 64)}  dist/package-{_version(r)}.tar.gz",
    lambda r: f"sha256:{text(r, HEX, 64)} md5:{text(r, HEX, 32)}",
    lambda r: f'"etag": "{text(r, HEX, 32)}", "size": {r.randint(10**6, 10**10)}',
    lambda r: f"Upgrade {r.choice(('nginx', 'node', 'numpy', 'grpc'))} from {_version(r)} to {_version(r)}.",
    lambda r: f'"version": "{_version(r)}", "node": ">=18.0.0"',
    lambda r: f"firmware v{r.randint(1, 9)}.{r.randint(0, 9)}.{r.randint(0, 9)}.{r.randint(0, 9)} is out",
    lambda r: f"The price is {_price(r)}, with tax {_price(r)}.",
    lambda r: f"Rechnung {r.randint(10**5, 10**7)}: {_price(r)} bis {r.randint(1, 28)}.{r.randint(1, 12)}.2025",
    lambda r: f"La factura {r.randint(10**4, 10**6)} es de {_price(r)}.",
    lambda r: f"Commande n° {r.randint(10**6, 10**8)} : {_price(r)}, livrée à {name(r, 'city', 'fr')}.",
    lambda r: f"order {text(r, DIGITS, 3)}-{text(r, DIGITS, 7)}-{text(r, DIGITS, 7)} has shipped",
    lambda r: f"Order number {text(r, DIGITS, r.choice((8, 11, 12)))} and invoice INV-{text(r, DIGITS, 6)}",
    lambda r: f"ISBN {_ean(r)}, second edition",
    lambda r: f"EAN {_ean(r)}; SKU {text(r, UPPER, 3)}-{text(r, DIGITS, 5)}",
    lambda r: f"The office is at {_coordinates(r)}.",
    lambda r: f'{{"lat": {r.uniform(-90, 90):.7f}, "lon": {r.uniform(-180, 180):.7f}}}',
    lambda r: f"tracking 1Z{text(r, DIGITS + UPPER, 16)} is on its way",
    lambda r: f"Parcel {text(r, UPPER, 2)}{text(r, DIGITS, 9)}{r.choice(('DE', 'US', 'GB'))} left {name(r, 'city')}.",
    lambda r: f"tracking number {text(r, DIGITS, r.choice((12, 14, 20, 22)))}",
    lambda r: f'"integrity": "{_integrity(r)}"',
    lambda r: f'"resolved": "file:vendor/a-{r.randint(0, 20)}.{r.randint(0, 40)}.{r.randint(0, 99)}.tgz#{text(r, HEX, 40)}"',
    lambda r: f"colors: #{text(r, HEX, 6)}, #{text(r, HEX, 3)}, rgba({r.randint(0, 255)}, {r.randint(0, 255)}, 0, 0.5)",
    lambda r: f".c-{text(r, LOWER, 5)} {{ width: {r.randint(1, 999)}px; transform: translate3d(0, {r.random():.4f}px, 0) }}",
    lambda r: f"data:image/png;base64,{_image(r)}",
    lambda r: f'{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{_image(r)}"}}}}',
    lambda r: f"The train leaves at {r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02} from platform {r.randint(1, 20)}.",
    lambda r: f"Use {r.choice(PLACEHOLDERS)} as the key in the example.",
    lambda r: f"API_KEY={r.choice(PLACEHOLDERS)}",
    lambda r: f'{{"api_key": "{r.choice(PLACEHOLDERS)}", "password": "{r.choice(PLACEHOLDERS)}"}}',
    lambda r: f"password: {r.choice(PLACEHOLDERS)}",
    lambda r: f"connect with postgres://user:{r.choice(('<password>', '${DB_PASSWORD}', '****'))}@localhost/db",
    lambda r: f"counter {bad_card(r)} at offset {text(r, DIGITS, 12)}",
    lambda r: f"The number {grouped(bad_card(r), (4, 4, 4), ' ')} is not valid, says the form.",
    lambda r: f"{bad_iban(r)} has a typing error, the bank says.",
    lambda r: f"part no. {text(r, DIGITS, 9)}, lot {text(r, UPPER, 1)}{text(r, DIGITS, 8)}",
    lambda r: f"ids: {', '.join(text(r, DIGITS[1:], r.choice((9, 10, 11))) for _ in range(3))}",
    lambda r: f"user_id={text(r, DIGITS[1:], 10)} row_count={text(r, DIGITS[1:], 10)}",
    lambda r: f"Reference {text(r, DIGITS, 3)}-{text(r, DIGITS, 4)} on page {r.randint(1, 400)}.",
    lambda r: f"@{name(r, 'first').lower()} can you look at #{r.randint(100, 9999)}?",
    lambda r: f"{name(r, 'first').lower().split()[0]}@localhost and root@{text(r, LOWER, 6)} have no domain",
    lambda r: f"Released on {iso_time(r)[:10]}, reviewed on {r.randint(1, 12)}/{r.randint(1, 28)}/2025.",
    lambda r: f"0x{text(r, HEX, r.choice((2, 8, 16)))} is where it crashed, offset +0x{text(r, HEX, 4)}",
    lambda r: f"toolu_{text(r, BASE62, 24)} call_{text(r, BASE62, 24)} msg_{text(r, BASE62, 24)} chatcmpl-{text(r, BASE62, 29)}",
    lambda r: f"req_{text(r, BASE62, 24)} org-{text(r, BASE62, 24)} file-{text(r, BASE62, 22)} evt_{text(r, BASE62, 24)}",
    lambda r: f"class-{text(r, HEX, 20)} arn:aws:s3:::bucket-{number(r, 1, 999)} i-{text(r, HEX, 17)}",
    lambda r: f"W/\"{text(r, HEX, 8)}-{text(r, HEX, 12)}\" 304 {r.randint(1, 900)}ms",
    lambda r: f"Etag: {hashlib.md5(r.randbytes(8), usedforsecurity=False).hexdigest()}, nonce={text(r, HEX, 16)}",
    lambda r: f"| {text(r, DIGITS, 4)} | {text(r, DIGITS, 4)} | {text(r, DIGITS, 4)} | {text(r, DIGITS, 4)} |",
    lambda r: f"{name(r, 'company')}, {name(r, 'street')}, {name(r, 'city')}",
    lambda r: f"Meeting with {name(r, 'first')} about {_price(r)} on {iso_time(r)[:10]} in room {r.randint(1, 12)}.{r.randint(1, 30)}",
    lambda r: f"traceparent: 00-{text(r, HEX, 32)}-{text(r, HEX, 16)}-01",
    lambda r: f"{r.randint(1, 9)},{text(r, DIGITS, 3)},{text(r, DIGITS, 3)},{text(r, DIGITS, 3)} rows of {_hex(r)}",
)  # fmt: skip


def _prose(r: Random) -> str:
    locale = r.choice(tuple(key for key in VALUES if key != "made with"))
    return " ".join(r.sample(VALUES[locale]["sentence"], 2))


def negatives(r: Random, count: int) -> list[str]:
    """Code and schemas once, prose for a tenth, the filled patterns for all others."""
    found = [*CODE, *SCHEMAS, *(_prose(r) for _ in range(count // 10))]
    while len(found) < count:
        found.append(_FILLED[len(found) % len(_FILLED)](r))
    return found
