"""Wrapper tokens: their shape, their hash, their expiry, and the encrypted store of what each may do."""

from tokenomics_core.tokens.database import KeyMismatch, StoreError
from tokenomics_core.tokens.encryption import DecryptionError, decrypt_legacy
from tokenomics_core.tokens.expiry import (
    CLEAR,
    Expiry,
    ExpiryError,
    format_timestamp,
    parse_expiry,
    parse_timestamp,
)
from tokenomics_core.tokens.format import hash_token, looks_like_token, new_token
from tokenomics_core.tokens.keys import KeyFileError, Keys, load_keys
from tokenomics_core.tokens.record import TokenRecord
from tokenomics_core.tokens.store import TokenExists, TokenNotFound, TokenStore

__all__ = [
    "CLEAR",
    "DecryptionError",
    "Expiry",
    "ExpiryError",
    "KeyFileError",
    "KeyMismatch",
    "Keys",
    "StoreError",
    "TokenExists",
    "TokenNotFound",
    "TokenRecord",
    "TokenStore",
    "decrypt_legacy",
    "format_timestamp",
    "hash_token",
    "load_keys",
    "looks_like_token",
    "new_token",
    "parse_expiry",
    "parse_timestamp",
]
