"""The price list of the fake provider: four characters are one token, and every request costs three more."""

from __future__ import annotations

from typing import Any

TOKEN_LENGTH = 4
REQUEST_OVERHEAD = 3
REASONING_TOKENS = 8

# Members of a message that are no text for the model.
_NOT_TEXT = frozenset(
    {"role", "type", "id", "tool_call_id", "call_id", "tool_use_id", "url", "data", "mimeType", "detail"}
)


def pieces(text: str) -> list[str]:
    """The text cut into tokens."""
    return [text[at : at + TOKEN_LENGTH] for at in range(0, len(text), TOKEN_LENGTH)]


def tokens(text: str) -> int:
    return -(-len(text) // TOKEN_LENGTH)


def tokens_in(value: Any) -> int:
    """Tokens of every text within a JSON value."""
    match value:
        case str():
            return tokens(value)
        case list():
            return sum(tokens_in(item) for item in value)
        case dict():
            return sum(tokens_in(item) for key, item in value.items() if key not in _NOT_TEXT)
    return 0


def input_tokens(*values: Any) -> int:
    """What a request with these texts costs as input."""
    return REQUEST_OVERHEAD + tokens_in(list(values))
