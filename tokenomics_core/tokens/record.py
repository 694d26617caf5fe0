"""TokenRecord: one wrapper token as it is known, and its row in the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tokenomics_core.tokens.encryption import Cipher, DecryptionError
from tokenomics_core.tokens.expiry import parse_timestamp

if TYPE_CHECKING:
    from tokenomics_core.policy import CompiledPolicy


class UnreadableRecord(Exception):
    """A row that cannot be trusted or understood; its token counts as unknown. The message is one line."""


class Row(NamedTuple):
    """A row of the table ``tokens``, column by column."""

    hash: str
    policy: bytes
    key_id: str
    created_at: str
    expires_at: str
    label: str
    disabled: int


COLUMNS = ", ".join(Row._fields)


@dataclass(frozen=True)
class TokenRecord:
    """A wrapper token without the token itself.

    hash: 64 lower-case hex characters.
    policy_text: the policy's JSON as it was given, byte for byte.
    expires_text: the expiry as it is stored; empty for never.
    last_used_at: up to half a minute old, and None when never used or when it was not asked for.
    """

    hash: str
    policy_text: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    expires_text: str = ""
    label: str = ""
    disabled: bool = False
    last_used_at: datetime | None = None

    @property
    def short(self) -> str:
        """The first 16 characters of the hash, as logs and events show it."""
        return self.hash[:16]

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now > self.expires_at

    @cached_property
    def policy(self) -> CompiledPolicy:
        """Compiled on first use and kept; raises PolicyError when the text is no longer a valid policy."""
        from tokenomics_core.policy import compile, parse

        return compile(parse(self.policy_text))


def seal_row(
    cipher: Cipher, hash: str, policy: str, created_at: str, expires_at: str, label: str, disabled: bool
) -> Row:
    """The row for these values, its policy encrypted and bound to them."""
    sealed = cipher.seal(policy, _associated(hash, created_at, expires_at, disabled))
    return Row(hash, sealed, cipher.key_id, created_at, expires_at, label, int(disabled))


def open_row(cipher: Cipher, row: Row) -> TokenRecord:
    """The record of a row; raises UnreadableRecord. The policy is decrypted, not yet parsed."""
    # SQLite keeps whatever type it is given; by hand, that can be any.
    if not isinstance(row.policy, bytes) or not all(isinstance(text, str) for text in (row[0], *row[2:6])):
        raise UnreadableRecord("a column has the wrong type")
    created_at = parse_timestamp(row.created_at)
    if created_at is None:
        raise UnreadableRecord("its created_at is no timestamp")
    expires_at = parse_timestamp(row.expires_at) if row.expires_at else None
    if row.expires_at and expires_at is None:
        raise UnreadableRecord("its expires_at is no timestamp")
    if row.key_id != cipher.key_id:
        raise UnreadableRecord("it was encrypted with another secret")
    associated = _associated(row.hash, row.created_at, row.expires_at, bool(row.disabled))
    try:
        text = cipher.open(row.policy, associated)
    except DecryptionError as error:
        raise UnreadableRecord(str(error)) from None
    return TokenRecord(
        hash=row.hash,
        policy_text=text,
        created_at=created_at,
        expires_at=expires_at,
        expires_text=row.expires_at,
        label=row.label,
        disabled=bool(row.disabled),
    )


def _associated(hash: str, created_at: str, expires_at: str, disabled: bool) -> bytes:
    return "\n".join((hash, created_at, expires_at, "disabled" if disabled else "enabled")).encode()
