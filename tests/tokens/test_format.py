from __future__ import annotations

import os

import pytest

from tokenomics_core.tokens import hash_token, looks_like_token, new_token

TOKEN = "tkn_3f2b8c1e-5d4a-4c77-9b10-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"spec-hash-key", "bba56f48ebdf2da3b43fd69610d07ff4f4b22b0398cae6fb94af3c3152e9252e"),
        (
            b"tokenomics-default-key-change-me",
            "3f8592ba57ce451f56955c8f82b16885e386d5ed8a1d15d89d1b15953d006e11",
        ),
    ],
)
def test_hash_is_that_of_the_go_original(key: bytes, expected: str) -> None:
    assert hash_token(TOKEN, key) == expected


def test_new_token_is_made_of_the_randomness_it_is_given() -> None:
    token = new_token(lambda size: bytes(range(size)))
    assert token == "tkn_00010203-0405-4607-8809-0a0b0c0d0e0f"
    assert len(token) == 40


def test_new_tokens_differ_and_look_like_tokens() -> None:
    tokens = {new_token(os.urandom) for _ in range(200)}
    assert len(tokens) == 200
    assert all(looks_like_token(token) for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tkn_",
        "sk-live-0123456789",
        TOKEN.removeprefix("tkn_"),
        TOKEN.upper(),
        TOKEN[:-1],
        TOKEN + "0",
        TOKEN + "\n",
        " " + TOKEN,
        "TKN_" + TOKEN[4:],
        "tkn_3f2b8c1e-5d4a-1c77-9b10-0a1b2c3d4e5f",
        "tkn_3f2b8c1e-5d4a-4c77-cb10-0a1b2c3d4e5f",
        "tkn_3f2b8c1e5d4a4c779b100a1b2c3d4e5f",
        "tkn_٣f2b8c1e-5d4a-4c77-9b10-0a1b2c3d4e5f",
    ],
)
def test_other_shapes_are_no_tokens(text: str) -> None:
    assert looks_like_token(TOKEN)
    assert not looks_like_token(text)
