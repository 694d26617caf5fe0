from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.tokens.encryption import Cipher, DecryptionError, decrypt_legacy, key_id

LEGACY_SECRET = "spec-encryption-secret"
LEGACY = "AAECAwQFBgcICQoLVZ73Y3AUcWrKAPPTei2MYrUOxiIredD+lcrv6Dl4rNfwKhHEhamstLFtm/21KDn6tQ=="


def _counting(size: int) -> bytes:
    return bytes(range(size))


def test_legacy_policies_can_be_read() -> None:
    assert decrypt_legacy(LEGACY, LEGACY_SECRET) == '{"base_key_env":"OPENAI_API_KEY"}'


@pytest.mark.parametrize(
    ("encoded", "secret", "message"),
    [
        (LEGACY, "another", "wrong encryption secret"),
        ("AAEC", LEGACY_SECRET, "ciphertext too short"),
        ("", LEGACY_SECRET, "ciphertext too short"),
        ("not base64!", LEGACY_SECRET, "not base64"),
        (base64.b64encode(bytes(60)).decode(), LEGACY_SECRET, "wrong encryption secret"),
    ],
)
def test_legacy_policies_that_cannot_be_read(encoded: str, secret: str, message: str) -> None:
    with pytest.raises(DecryptionError, match=message):
        decrypt_legacy(encoded, secret)


def test_the_form_of_a_sealed_policy_stays() -> None:
    """Written by this version, to be read by every later one."""
    cipher = Cipher(b"secret", b"salt of 16 bytes", _counting)
    sealed = cipher.seal('{"base_key_env":"K"}', b"bound")
    assert sealed[0] == 1
    assert sealed[1:13] == bytes(range(12))
    assert cipher.key_id == "f00ea18bc034dcf7"
    assert sealed[13:].hex() == ("0cbbbbd4f374bd906bab506c7f76b63b97c5c01bc34604911cac6fa82ef6eb1f6b53955a")


@given(text=st.text(), associated=st.binary(max_size=200))
def test_sealed_text_comes_back(text: str, associated: bytes) -> None:
    cipher = Cipher(b"secret", b"salt", _counting)
    assert cipher.open(cipher.seal(text, associated), associated) == text


@given(data=st.data())
def test_no_bit_can_be_changed(data: st.DataObject) -> None:
    cipher = Cipher(b"secret", b"salt", _counting)
    sealed = bytearray(cipher.seal('{"base_key_env":"K"}', b"bound"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DecryptionError):
        cipher.open(bytes(sealed), b"bound")


@pytest.mark.parametrize("length", [0, 1, 12, 13, 28])
def test_what_is_too_short_is_refused(length: int) -> None:
    cipher = Cipher(b"secret", b"salt", _counting)
    with pytest.raises(DecryptionError):
        cipher.open(cipher.seal("text", b"")[:length], b"")


def test_secret_salt_and_binding_all_count() -> None:
    sealed = Cipher(b"secret", b"salt", _counting).seal("text", b"bound")
    for secret, salt, associated in [
        (b"other", b"salt", b"bound"),
        (b"secret", b"other", b"bound"),
        (b"secret", b"salt", b"other"),
    ]:
        with pytest.raises(DecryptionError):
            Cipher(secret, salt, _counting).open(sealed, associated)


def test_nonces_are_fresh() -> None:
    drawn: list[int] = []

    def randomness(size: int) -> bytes:
        drawn.append(size)
        return len(drawn).to_bytes(size)

    cipher = Cipher(b"secret", b"salt", randomness)
    assert cipher.seal("text", b"") != cipher.seal("text", b"")
    assert drawn == [12, 12]


def test_key_ids_name_secret_and_salt() -> None:
    names = {key_id(secret, salt) for secret in (b"a", b"b") for salt in (b"x", b"y")}
    assert len(names) == 4
    assert all(len(name) == 16 for name in names)
