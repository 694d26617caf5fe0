"""How long an answer a model can give, for requests that set no cap of their own.

The figures are the vendors' (their model pages, 2025 and 2026). A cap above them is an error to the provider.
"""

from __future__ import annotations

from functools import lru_cache

UNKNOWN = 8_192
"""What a model without a figure is taken to give."""

_FIGURES: tuple[tuple[str, int], ...] = (
    ("gpt-4o-2024-05-13", 4_096),
    ("gpt-4o", 16_384),
    ("chatgpt-4o", 16_384),
    ("gpt-4.1", 32_768),
    ("gpt-4.5", 16_384),
    ("gpt-4-turbo", 4_096),
    ("gpt-4-0125", 4_096),
    ("gpt-4-1106", 4_096),
    ("gpt-4", 8_192),
    ("gpt-3.5", 4_096),
    ("gpt-5-chat", 16_384),
    ("gpt-5", 128_000),
    ("o1-preview", 32_768),
    ("o1-mini", 65_536),
    ("o1", 100_000),
    ("o3", 100_000),
    ("o4", 100_000),
    ("claude-3-5", 8_192),
    ("claude-3-7", 64_000),
    ("claude-3", 4_096),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-2", 32_000),
    ("claude", 64_000),
    ("gemini-1.5", 8_192),
    ("gemini-2.0", 8_192),
    ("gemini", 65_536),
    ("deepseek-reasoner", 65_536),
    ("deepseek-chat", 8_192),
)


@lru_cache(maxsize=1024)
def largest_answer(model: str) -> int | None:
    """Tokens of output, reasoning included, that the model gives at most; None without a figure."""
    name = model.rpartition("/")[2].lower()
    return next((most for prefix, most in _FIGURES if name.startswith(prefix)), None)
