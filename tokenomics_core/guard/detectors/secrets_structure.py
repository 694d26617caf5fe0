"""Secrets that no vendor's prefix tells: where they stand does. Assignments, URLs, headers, command lines."""

from __future__ import annotations

from base64 import b64encode

from tokenomics_core.guard.detector import Detector, Shape
from tokenomics_core.guard.detectors._secret_checks import (
    HEX,
    assigned,
    basic_credentials,
    decodes_to,
    dense,
    environment,
    hexadecimal,
    login,
    quoted,
    random_looking,
    spoken,
)
from tokenomics_core.guard.detectors._secret_shapes import DIGESTS, START, sample

_QUOTE = r"""\\{0,7}["'`]"""
_NAME = (
    r"(?i:pass(?:word|wd|phrase|code)|(?:\b|_)pass|(?:\b|_)pwd|secret|token|credentials?|api[_.-]?key|apikey"
    r"|access[_.-]?key|private[_.-]?key|signing[_.-]?key|encryption[_.-]?key|master[_.-]?key|account[_.-]?key"
    r"|auth[_.-]?key|auth[_.-]?pass|webhook[_.-]?key|license[_.-]?key|bearer|(?:\b|_)auth)"
)
# Of longer names only those that still name a value: no token_count, secret_name, password_url.
_TAIL = (
    r"(?i:[_.-]?(?:key|value|base|text|string|plain|plaintext|data|raw|prod|production|staging|stage|test|dev"
    r"|live|main|primary|secondary|old|new|b64|base64|hex|[0-9]{1,3})){0,3}s?"
)
_SIGN = r"\s{0,8}(?::=|=>|==?|:)\s{0,8}"
_QUOTED = r"""([^"'`\\\s]{6,}(?:\\[^"'`\\\s][^"'`\\\s]*)*)"""
_BARE = r"""([^\s"'`,;&()<>\[\]{}\\]{8,})"""
_ENV_NAME = (
    r"(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_KEY|PRIVATE_KEY|SIGNING_KEY"
    r"|ENCRYPTION_KEY|MASTER_KEY|AUTH_KEY|AUTH)(?:_(?:KEY|VALUE|BASE|PROD|STAGING|TEST|DEV|LIVE|B64|[0-9]{1,3}))?"
)
_ENV_VALUE = r"""([^\s"'`\\;<>(){}&|]{6,})"""

# The first bytes of keys in DER and of OpenSSH, in base64: a key that came without its BEGIN line.
_KEY_BODY = (
    r"(?:MII[A-Za-z0-9+/]{3}IBA(?:AK[BC]|DANB)|MI[GH][A-Za-z0-9+/]{2}gEAMB"
    r"|MHcCAQEEI|MC4CAQAwBQYDK2V|b3BlbnNzaC1rZXktdjE)"
    r"[A-Za-z0-9+/]{20,}(?:(?:\s|\\[nr])+[A-Za-z0-9+/]{16,})*={0,2}"
)


def _drawn(text: str) -> bool:
    """As from a generator of keys: dense, or hex digits only."""
    return len(text) <= 256 and (dense(text) or (set(text) <= set(HEX) and hexadecimal(text)))


DETECTORS = (
    Detector(
        "private_key_body",
        "Private Key",
        "secret",
        (Shape(f"{START}({_KEY_BODY})", score=0.95),),
        family="private_key",
        found=(
            "«MIIEpAIBAAKC" + "AQEA" + sample(48) + "\n" + sample(64) + "\n" + sample(30) + "==»",
            "KEY=«MHcCAQEEI" + sample(40) + "\\n" + sample(64) + "»",
            "«b3BlbnNzaC1r" + "ZXktdjEAAAA" + sample(47) + "»",
        ),
        clean=(
            "MII alone",
            sample(64),
            "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJRTES",
        ),
    ),
    Detector(
        "jwk_private",
        "JSON Web Key, private part",
        "secret",
        (
            Shape(
                rf"[\"'`](?:d|dp|dq|qi|p|q|k){_QUOTE}\s{{0,4}}:\s{{0,4}}{_QUOTE}([A-Za-z0-9_-]{{42,}})",
                check=decodes_to(32, 48, 64, 66, 128, 192, 256, 384, 512),
                valid=0.8,
            ),
        ),
        family="private_key",
        found=(
            '{"k":"«' + sample(43) + '»"}',
            '{"d" : "«' + sample(86) + '»"}',
            '{"kty": "EC", "crv": "P-256", "d": "«' + sample(43) + '»"}',
        ),
        clean=('{"d": "short"}', '{"kty": "EC", "x": "' + sample(43) + '"}', '{"d": "' + "a" * 43 + '"}'),
    ),
    Detector(
        "url_credentials",
        "Credentials in URL",
        "secret",
        (
            Shape(
                r"://([^\s/?#@\"'`<>\\:]*:[^\s/?\"'`<>\\]+)@[A-Za-z0-9\[_-]",
                check=login,
                valid=0.9,
                invalid=0.2,
            ),
        ),
        found=(
            "https://«bob:" + "s3cr3tPass»@example.com/x",
            '{\\"url\\": \\"ftp://«bob:' + "pa%40ss1" + '»@files.example.com\\"}',
            "amqp://«:" + "onlyPassw0rd»@mq",
            "sftp://«u:" + "p@ss#w0rd»@[::1]:22/",
        ),
        clean=(
            "ssh://git@github.com:22/a/b",
            "https://user@example.com/",
            "https://${USER}:${PASSWORD}@example.com",
            "https://<user>:<password>@example.com",
            "https://user:password@example.com",
            "http://localhost:4873/@scope/pkg",
            "https://example.com:8080/?mail=a@b.de",
            'f"https://{user}:{password}@{host}"',
            "https://$USER:$PASS@host",
            "https://user:***@host",
            "https://x-access-token:%s@github.com",
        ),
    ),
    Detector(
        "env_assignment",
        "Secret in Assignment",
        "secret",
        (
            Shape(
                f"{_NAME}{_TAIL}(?:{_QUOTE})?\\]?{_SIGN}[bruf]?{_QUOTE}{_QUOTED}", check=quoted, valid=0.85
            ),
            Shape(f"{_NAME}{_TAIL}(?:{_QUOTE})?{_SIGN}{_BARE}", check=assigned, valid=0.75),
            Shape(rf"{_ENV_NAME}=(?:{_QUOTE})?{_ENV_VALUE}", check=environment, valid=0.85),
            Shape(
                r"(?i:\bpass(?:word|phrase|code)|\bpwd)"
                r"(?i:\s{1,4}(?:for [a-z0-9@._-]{1,40} )?(?:is|was|=>?|will be)):?"
                r"\s{1,4}(?:\\?[\"'`])?([^\s\"'`\\,;<>(){}]{6,})",
                check=spoken,
                valid=0.7,
            ),
            Shape(
                rf"(?i:passw(?:or)?d|passphrase|\bpwd)(?:{_QUOTE})?\s{{0,4}}[:=]\s{{0,4}}{_BARE}",
                check=spoken,
                valid=0.7,
            ),
            Shape(
                r"--(?:password|passwd|pass|token|secret|api-key|access-key|secret-key|auth-token|private-key)[\s=]{1,4}"
                r"(?:\\?[\"'])?([^\s\"'`\\<>\x24]{6,})",
                check=spoken,
                valid=0.8,
            ),
            Shape(
                r"(?i:password|passwd|secret|token|api[_-]?key)>\s{0,4}([^<>\s]{6,})</",
                check=quoted,
                valid=0.8,
            ),
        ),
        unlike=("page token", "next token", "continuation token", "nextpagetoken", "cursor", "tokenizer"),
        found=(
            "DB_PASSWORD=«" + "s3cr3tPass»",
            "export API_TOKEN='«" + sample(20) + "»'",
            'password = "«' + 'hunter2!»"',
            '{"client_secret": "«' + sample(32) + '»"}',
            '{\\"password\\": \\"«' + 'Tr0ub4dor&3»\\"}',
            '{\\\\\\"apiKey\\\\\\": \\\\\\"«' + sample(24) + '»\\\\\\"}',
            "first=1\\nSECRET_KEY=«" + sample(24) + "»\\nlast=2",
            "secret: '«" + sample(40, HEX) + "»'",
            "spring.datasource.password=«" + "aB3$dE5!»",
            "  admin_token: «" + sample(24) + "»\n",
            'os.environ["API_KEY"] = "«' + sample(30) + '»"',
            "login: root, password: «" + "toor1234»",
            "tool --password «" + "S3cretXy9!» run",
            "<password>«" + "S3cretXy9!»</password>",
            "my password is «" + "Sommer2024!»",
            "PGPASSWORD=«" + "letmein123» psql -h db",
            "x-api-key: «" + sample(32) + "»",
            "const authToken = `«" + sample(28) + "»`;",
        ),
        clean=(
            'password = os.environ["DB_PASSWORD"]',
            'api_key = os.getenv("OPENAI_API_KEY")',
            "token: string",
            "max_tokens=4096",
            '"max_tokens": 4096, "token_type": "Bearer"',
            '"token": {"type": "string", "description": "The token to use"}',
            'secret = "changeme"',
            'api_key="your_api_key_here"',
            'password: "********"',
            "PASSWORD=${DB_PASSWORD}",
            "PASSWORD=$DB_PASSWORD",
            "token=<token>",
            "const token = process.env.API_TOKEN_V2;",
            "secret: None",
            "api_key = null",
            'password="password"',
            "password: str | None = None",
            "token = get_token2(request)",
            "token = self.tokens[0]",
            "secret_name: my-secret-name-1",
            'name="csrf_token" value',
            "apiKey: ${{ secrets.API_KEY_2 }}",
            "token: auth.token.invalid",
            "password_field = 'user_password_1'",
            "tokenizer = 'Xenova/gpt-4o-2024'",
            "private_key_path=/etc/ssl/private/server1.key",
            "private_key: /etc/ssl/private/server1.key",
            "TOKEN_FILE=/run/secrets/token1",
            "secret: vault:secret/data/app1#key",
            "token=token2",
            "the token: it is 12 characters",
            "password is required",
            "password is abcdefgh",
        ),
    ),
    Detector(
        "bearer_token",
        "Bearer Token",
        "secret",
        (
            Shape(
                rf"(?i:authorization)(?:{_QUOTE})?\s{{0,4}}[:=,]\s{{0,4}}(?:{_QUOTE})?"
                r"(?i:bearer|token|apikey|api-key|key|bot|ssws|genie ?key)\s{1,4}([A-Za-z0-9._~+/=:-]{8,})",
                check=random_looking,
                valid=0.9,
                invalid=0.3,
            ),
            Shape(r"(?i:\bbearer)\s{1,4}([A-Za-z0-9._~+/-]{20,}={0,2})", check=random_looking, valid=0.8),
        ),
        found=(
            "Authorization: Bearer «" + sample(24) + "»",
            "curl -H 'authorization: token «" + sample(20) + "»'",
            '{\\"Authorization\\": \\"Bearer «' + sample(32) + '»\\"}',
            "send Bearer «" + sample(40) + "» along",
        ),
        clean=(
            "Authorization: Bearer <token>",
            "Authorization: Bearer $TOKEN",
            "Authorization: Bearer {token}",
            "Authorization: Bearer YOUR_API_KEY",
            "Bearer authentication",
            "the bearer of responsibilities",
        ),
    ),
    Detector(
        "basic_auth",
        "Basic Authentication",
        "secret",
        (
            Shape(
                rf"(?i:authorization)(?:{_QUOTE})?\s{{0,4}}[:=,]\s{{0,4}}(?:{_QUOTE})?"
                r"(?i:basic)\s{1,4}([A-Za-z0-9+/_-]{8,}={0,2})",
                check=basic_credentials,
            ),
            Shape(
                rf"\B(?:-u|--user|--proxy-user)[\s=]{{1,4}}(?:{_QUOTE})?([^\s:\"'`\\<>]{{1,64}}:[^\s\"'`\\<>]{{3,}})",
                check=login,
                valid=0.7,
                invalid=0.1,
            ),
            Shape(
                r"\bmysql[a-z]{0,8}\s[^\n|;&]{0,60}?\s?-p\\{0,3}[\"']?([^\s\"'\\]{4,})",
                check=spoken,
                valid=0.8,
            ),
            Shape(r"\bsshpass\s{1,4}-p\s{0,4}\\{0,3}[\"']?([^\s\"'\\]{4,})", check=spoken, valid=0.8),
        ),
        unlike=("docker", "podman", "install"),
        found=(
            "Authorization: Basic «" + b64encode(b"user:aB3dE5gH").decode() + "»",
            "curl -u «admin:" + "s3cr3tPass» https://example.com",
            "curl --user '«admin:" + "s3cr3tPass»' https://example.com",
            "mysql -u root -p«" + "S3cretXy9» shop",
            "sshpass -p '«" + "s3cr3tPass»' ssh root@host",
        ),
        clean=(
            "docker run -u 1000:1000 image",
            "curl -u user:password https://example.com",
            'curl -u "$USER:$PASS" https://example.com',
            "Authorization: Basic credentials",
            "podman run -u node:node image",
        ),
    ),
    Detector(
        "high_entropy_secret",
        "High-Entropy Secret",
        "secret",
        (
            Shape(
                r"(?i:secret|token|passw(?:or)?d|credentials?|api.?key|access.?key)[^A-Za-z0-9\n=][^\n\"'=]{0,30}?"
                r"[ \t\"'`:=]([A-Za-z0-9+/_-]{32,}={0,2})",
                check=_drawn,
                valid=0.6,
            ),
        ),
        unlike=(*DIGESTS, "uuid", "session", "id", "cursor", "page token"),
        found=(
            "the secret is «" + sample(40) + "»",
            "use this token: «" + sample(44) + "=»",
            "api key for it `«" + sample(64, HEX) + "»`",
        ),
        clean=(
            "token sha256 hash " + sample(64, HEX),
            "the tokens are in /usr/lib/python3/dist-packages/tokenizers/models",
            "nothing named " + sample(40),
            "token count of some_long_function_name_with_words_inside_it",
        ),
    ),
)
