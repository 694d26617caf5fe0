"""Estimate: the input tokens of a request before its provider has said how many it bills.

The quick one is an upper bound of ordinary text and costs next to nothing; the exact one runs the tokenizer.
The quick one decides as long as there is room for it.
"""

from __future__ import annotations

import math

from tokenomics_core.exchange import Exchange
from tokenomics_core.meter.tokenizer import Tokenizer, has_own_encoding

BYTES_PER_TOKEN = 2
"""Of a quick estimate: code, digits, other scripts and ids take two bytes and more for each token."""

SHORT = 2048
"""Bytes of text up to which the exact count is as quick."""

OTHERS = 1.25
"""By how much the tokens of models whose encoding is not published may be more than those counted here."""


def over(model: str) -> float:
    """By how much the provider's count of a text may be more than ours."""
    return 1.0 if has_own_encoding(model) else OTHERS


def text_bytes(exchange: Exchange) -> int:
    """Bytes of the texts that are billed as input."""
    body = exchange.body
    if body is None:
        return 0
    return sum(
        len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        for text in exchange.dialect.input_texts(body)
    )


def quick(exchange: Exchange, size: int) -> int:
    """Tokens of input at most, by the bytes of its texts."""
    return _around(exchange) + -(-size // BYTES_PER_TOKEN)


def exact(exchange: Exchange, tokenizer: Tokenizer, model: str) -> int:
    """Tokens of input as the tokenizer counts them. Takes a millisecond for some kilobytes."""
    body = exchange.body
    if body is None:
        return 0
    count = tokenizer.counter(model)
    texts = sum(count(text) for text in exchange.dialect.input_texts(body))
    return math.ceil((_around(exchange) + texts) * over(model))


def _around(exchange: Exchange) -> int:
    body = exchange.body
    if body is None:
        return 0
    return exchange.dialect.input_overhead(body) + exchange.dialect.media_tokens(body)
