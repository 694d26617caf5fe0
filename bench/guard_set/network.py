# ruff: noqa: E501
"""Addresses of machines, and logins inside addresses."""

from __future__ import annotations

from ipaddress import IPv6Address
from random import Random

from bench.guard_set.draw import BASE62, DIGITS, LOWER36, Part, name, plain, text


def ip_address(r: Random) -> str | Part:
    value = r.choice(
        (
            f"10.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(1, 254)}",
            f"192.168.{r.randint(0, 255)}.{r.randint(1, 254)}",
            f"172.{r.randint(16, 31)}.{r.randint(0, 255)}.{r.randint(1, 254)}",
            ".".join(str(r.randint(1, 223)) for _ in range(4)),
            ".".join(str(r.randint(11, 223)) for _ in range(4)),
        )
    )
    return r.choice(
        (
            value,
            value,
            value,
            Part("", value, f":{r.choice((22, 80, 443, 8080, 5432))}"),
            Part("", value, "/24"),
        )
    )


def ipv6(r: Random) -> str:
    high = r.choice((0x2001_0DB8 << 96, 0x2A00_1450 << 96, 0xFE80 << 112, 0xFD00 << 112, 0x2606_4700 << 96))
    value = high | r.getrandbits(r.choice((8, 16, 48, 64, 80)))
    address = IPv6Address(value)
    return r.choice((str(address), str(address), address.exploded, str(address).upper()))


def mac_address(r: Random) -> str:
    octets = [f"{byte:02x}" for byte in r.randbytes(6)]
    joined = "".join(octets)
    return r.choice(
        (
            ":".join(octets),
            ":".join(octets),
            "-".join(octets).upper(),
            ":".join(octets).upper(),
            ".".join((joined[:4], joined[4:8], joined[8:])),
        )
    )


def password(r: Random) -> str:
    """As people and generators make them; nothing that ends a URL's login."""
    word = r.choice(("Winter", "Falcon", "orange", "Tango", "blue", "Passw0rd", "dragon", "Sommer", "secure"))
    return r.choice(
        (
            f"{word}{r.randint(10, 9999)}{r.choice('!#$*-_.')}",
            f"{word}{r.choice('!#$*-_.@')}{text(r, DIGITS, 2, 4)}",
            text(r, BASE62, 8, 24),
            text(r, BASE62 + "-_.~", 12, 32),
            text(r, BASE62 + "!*-_", 10, 16),
        )
    )


def host(r: Random) -> str:
    return r.choice(
        (
            "localhost",
            f"db-{r.randint(1, 9)}.internal",
            f"{text(r, LOWER36, 8)}.eu-west-1.rds.amazonaws.com",
            name(r, "domain"),
            f"cluster0.{text(r, LOWER36, 5)}.mongodb.net",
            f"mysql.{name(r, 'domain')}",
        )
    )


def _login_password(r: Random) -> str:
    value = password(r)
    for character in "#/?@:$!*":
        value = value.replace(character, f"%{ord(character):02X}")
    return value


def connection_string(r: Random) -> str:
    scheme, port, tail = r.choice(
        (
            ("postgres", 5432, "?sslmode=require"),
            ("postgresql", 5432, ""),
            ("postgresql+asyncpg", 5432, ""),
            ("mysql", 3306, "?charset=utf8mb4"),
            ("mysql+pymysql", 3306, ""),
            ("mongodb", 27017, "?authSource=admin"),
            ("mongodb+srv", 0, "?retryWrites=true"),
            ("redis", 6379, ""),
            ("rediss", 6380, ""),
            ("mariadb", 3306, ""),
            ("mssql", 1433, ""),
        )
    )
    user = r.choice(("app", "admin", "root", "svc_orders", plain(name(r, "last")), "postgres"))
    login = (
        f":{_login_password(r)}"
        if scheme.startswith("redis") and r.random() < 0.6
        else f"{user}:{_login_password(r)}"
    )
    where = host(r) + (f":{port}" if port and r.random() < 0.8 else "")
    return f"{scheme}://{login}@{where}/{r.choice(('orders', 'main', 'app_production', '0'))}{tail if r.random() < 0.5 else ''}"


def url_credentials(r: Random) -> Part:
    scheme = r.choice(("https", "https", "http", "ftp", "sftp", "amqp", "smtp", "ssh"))
    user = r.choice(
        ("admin", "deploy", "ci", plain(name(r, "first")), f"{plain(name(r, 'last'))}{text(r, DIGITS, 2)}")
    )
    where = r.choice((name(r, "domain"), f"git.{name(r, 'domain')}", "nexus:8081", "registry.internal:5000"))
    return Part(
        f"{scheme}://",
        f"{user}:{_login_password(r)}",
        f"@{where}/{r.choice(('', 'repo.git', 'simple', 'api/v1', 'backups'))}",
    )
