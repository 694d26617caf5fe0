"""What doctor finds on disk: data directory, keys, databases, certificates, and times that make no sense.

Nothing is made and nothing is repaired.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tokenomics_cli.doctor_finding import Finding, bad, doubtful, ok, split
from tokenomics_core.certificates import CertificateError, read_ca
from tokenomics_core.certificates.authority import BACKDATED
from tokenomics_core.certificates.files import read_pair
from tokenomics_core.config import Config
from tokenomics_core.policy import PolicyError
from tokenomics_core.tokens import KeyFileError, StoreError, TokenRecord, TokenStore, load_keys

_LEAST_FREE = 200 * 2**20
_MOST_CHECKED = 200 * 2**20
"""Bytes of a database up to which all of it is read."""

_SOON = timedelta(days=30)
_AHEAD = timedelta(minutes=5)
_OTHERS = 0o077


def directory(config: Config) -> Iterator[Finding]:
    folder = config.dir
    if not folder.exists():
        yield ok("data directory", f"{folder} is made at the first start")
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield bad(
            "data directory",
            f"{folder} cannot be used by this user",
            "give it to yourself (chown), or choose another one with --dir, TOKENOMICS_DIR or dir",
        )
        return
    mode = folder.stat().st_mode & 0o777
    if mode & 0o022:
        yield bad(
            "data directory", f"{folder} can be changed by others (mode {mode:o})", f"chmod 700 {folder}"
        )
    elif mode & _OTHERS:
        yield doubtful(
            "data directory", f"{folder} can be listed by others (mode {mode:o})", f"chmod 700 {folder}"
        )
    else:
        yield ok("data directory", f"{folder} (mode {mode:o})")
    if (free := shutil.disk_usage(folder).free) < _LEAST_FREE:
        yield doubtful(
            "disk", f"{free // 2**20} MB are free in {folder}", "make room: a full disk refuses requests"
        )


def keys(config: Config) -> Iterator[Finding]:
    for name, variable in (
        ("hash", config.security.hash_key_env),
        ("encryption", config.security.encryption_key_env),
    ):
        check, path = f"{name} key", config.dir / "keys" / f"{name}.key"
        if os.environ.get(variable):
            yield ok(check, f"${variable} is set")
        elif not path.exists():
            yield ok(check, f"{path} is made when it is first needed")
        elif mode := _open_to_others(path):
            yield bad(check, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
        elif not os.access(path, os.R_OK):
            yield bad(check, f"{path} cannot be read by this user", f"chown it, or set ${variable}")
        else:
            yield ok(check, str(path))


def store(config: Config) -> tuple[list[Finding], list[TokenRecord]]:
    """The findings about the token database, and the tokens in it."""
    path = config.storage.db_path
    if not path.exists():
        if path.parent.exists() or path.parent == config.dir:
            return [ok("token database", f"{path} is made with the first token")], []
        return [
            bad("token database", f"{path.parent} does not exist", "make it, or correct storage.db_path")
        ], []
    found: list[Finding] = []
    if mode := _open_to_others(path):
        found.append(
            bad("token database", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
        )
    problem = _problem(path)
    if problem:
        return [*found, bad("token database", f"{path} {problem}", "restore a backup, or move it away")], []
    missing = [
        str(file)
        for variable, file in (
            (config.security.hash_key_env, config.dir / "keys" / "hash.key"),
            (config.security.encryption_key_env, config.dir / "keys" / "encryption.key"),
        )
        if not os.environ.get(variable) and not file.exists()
    ]
    if missing:
        # To open it would make new keys, which are not its own.
        text = f"{path} is there, but {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not"
        return [*found, bad("token database", text, "restore the keys from a backup")], []
    try:
        opened = TokenStore(path, load_keys(config, os.environ, os.urandom))
        try:
            records = opened.list()
        finally:
            opened.close()
    except (StoreError, KeyFileError) as error:
        return [*found, split("token database", "fail", str(error))], []
    found.append(ok("token database", f"{path}, {len(records)} token(s)"))
    return [*found, *_policies(records)], records


def _policies(records: list[TokenRecord]) -> Iterator[Finding]:
    for record in records:
        try:
            _ = record.policy
        except (PolicyError, ValueError) as error:
            text = str(error).splitlines()[0][:200]
            yield bad(
                "policy",
                f"token {record.short}: {text}",
                f"tokenomics-cli token update --hash {record.hash[:16]} --policy @FILE",
            )


def databases(config: Config) -> Iterator[Finding]:
    for name in ("ledger.db", "counters.db", "events.db"):
        path = config.dir / name
        if not path.exists():
            continue
        if problem := _problem(path):
            yield bad(
                name, f"{path} {problem}", "stop the gateway, and restore a backup or move the file away"
            )
        elif mode := _open_to_others(path):
            yield bad(name, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
        else:
            yield ok(name, str(path))


def certificates(config: Config, now: datetime) -> Iterator[Finding]:
    tls = config.server.tls
    folder = tls.cert_dir
    if not tls.enabled:
        yield doubtful("tls", "the TLS port is off", "leave it so only where everybody is on this machine")
    if tls.enabled and tls.cert_file and tls.key_file:
        yield from _own_pair(tls.cert_file, tls.key_file, now)
    elif tls.enabled and bool(tls.cert_file) != bool(tls.key_file):
        yield doubtful("tls", "of cert_file and key_file only one is set", "set both, or neither")
    if tls.enabled and not tls.auto_gen and not (tls.cert_file and tls.key_file):
        yield bad(
            "tls", "auto_gen is off and there is no cert_file", "set cert_file and key_file, or auto_gen"
        )
    try:
        certificate = read_ca(folder)
    except CertificateError as error:
        yield split("ca", "fail", str(error))
        return
    if certificate is None:
        yield ok("ca", f"is made in {folder} at the first start")
        return
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    # It was made a day after it begins.
    age, left = max(0, (now - begins - BACKDATED).days), (ends - now).days
    if begins > now:
        yield bad("ca", f"begins on {begins:%Y-%m-%d}, in the future", "set this machine's clock")
    elif ends <= now:
        yield bad(
            "ca", f"expired on {ends:%Y-%m-%d}", "tokenomics-cli ca renew --authority, then trust it anew"
        )
    elif ends - now < _SOON:
        yield doubtful(
            "ca", f"expires in {left} days", "tokenomics-cli ca renew --authority, then trust it anew"
        )
    else:
        yield ok("ca", f"{folder / 'ca.crt'}, {age} days old, {left} days left")
    yield from _modes(folder)
    bundle = folder / "ca-bundle.pem"
    own = (folder / "ca.crt").read_bytes().strip()
    if not bundle.is_file() or own not in bundle.read_bytes():
        yield bad("ca bundle", f"{bundle} does not hold the CA", "start the gateway, which writes it anew")
    else:
        yield ok("ca bundle", str(bundle))


def _own_pair(certificate_file: Path, key_file: Path, now: datetime) -> Iterator[Finding]:
    try:
        pair = read_pair(certificate_file, key_file)
    except (CertificateError, OSError) as error:
        text = str(error) if isinstance(error, CertificateError) else f"{error.filename}: {error.strerror}"
        yield bad("tls", text, "correct server.tls.cert_file and key_file")
        return
    if pair is None:
        missing = key_file if certificate_file.is_file() else certificate_file
        yield bad("tls", f"{missing} does not exist", "correct server.tls.cert_file and key_file")
        return
    ends = pair[0].not_valid_after_utc
    if ends <= now:
        yield bad(
            "tls", f"{certificate_file} expired on {ends:%Y-%m-%d}", "renew it; a running gateway takes it up"
        )
    elif ends - now < timedelta(days=14):
        yield doubtful("tls", f"{certificate_file} expires on {ends:%Y-%m-%d}", "renew it soon")
    else:
        yield ok("tls", f"{certificate_file}, to {ends:%Y-%m-%d}")


def _modes(folder: Path) -> Iterator[Finding]:
    for name in ("ca.key", "mitmproxy-ca.pem", "server.key", "own.pem"):
        path = folder / name
        if path.exists() and (mode := _open_to_others(path)):
            yield bad(
                "ca files",
                f"{path} can be read by others (mode {mode:o}): they could pose as any site",
                f"chmod 600 {path}, and tokenomics-cli ca renew --authority if others had access",
            )


def clock(config: Config, now: datetime) -> Iterator[Finding]:
    if now.year < 2025:
        yield bad("clock", f"says {now:%Y-%m-%d %H:%M} UTC", "set it: certificates and expiries depend on it")
        return
    # The newest time of a file is a time that this machine has already had.
    files = [path for path in config.dir.glob("*") if path.is_file()] if config.dir.is_dir() else []
    ahead = [path for path in files if datetime.fromtimestamp(path.stat().st_mtime, UTC) - now > _AHEAD]
    if ahead:
        yield doubtful(
            "clock",
            f"says {now:%Y-%m-%d %H:%M} UTC, but {ahead[0].name} was written later",
            "check it (date -u)",
        )
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M} UTC, not behind the files")


def _open_to_others(path: Path) -> int:
    """The mode, when somebody else may read or write the file; else 0."""
    mode = path.stat().st_mode & 0o777
    return mode if mode & _OTHERS else 0


def _problem(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as database:
            if path.stat().st_size > _MOST_CHECKED:
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return ""
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
            return "" if said == "ok" else "is damaged"
    except (sqlite3.Error, OSError) as error:
        if "locked" in str(error):
            return ""
        text = str(error)
        return (
            "is no SQLite database, or damaged"
            if "malformed" in text or "not a" in text
            else f"cannot be read: {text}"
        )
