"""Who sells which models, in the words of our provider catalogue and of genai-prices.

Every provider of the catalogue is in one of SOLD_AS, UNPRICED and BY_MODEL; one that people add is in none of
them, and treated as those in BY_MODEL.
"""

from __future__ import annotations

import re

SOLD_AS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "google_gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}
"""Catalogue name to genai-prices' provider id."""

UNPRICED = frozenset(
    {
        # On somebody's own machine: what that costs, only its owner knows.
        "ollama",
        "vllm",
        "localai",
        "lmstudio",
        # Billed by the second, or not in genai-prices.
        "replicate",
        "nvidia_nim",
        "sambanova",
        "ai21",
        "anyscale",
    }
)
"""Catalogue names that only a written price can price. A model of the same name elsewhere says nothing."""

BY_MODEL = frozenset({"generic", "litellm"})
"""Catalogue names that pass models of others on."""

# Names that belong to one maker, whoever passes them on. Open weights are not here: everybody sells those at
# a price of their own.
_MAKERS = (
    (re.compile(r"(?:ft:)?gpt-(?!oss)|chatgpt-|o[134](?:-|$)|text-embedding-(?:3-|ada-)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "google"),
    (re.compile(r"grok-"), "x-ai"),
    (re.compile(r"command-"), "cohere"),
    (re.compile(r"mistral-(?:large|medium)|codestral-"), "mistral"),
    (re.compile(r"deepseek-(?:chat|reasoner)$"), "deepseek"),
    (re.compile(r"sonar(?:-|$)"), "perplexity"),
    (re.compile(r"moonshot-v1-"), "moonshotai"),
)

_FREE_GEMMA = frozenset({"gemma-3", "gemma-3n", "gemma-4-26b-a4b-it", "gemma-4-31b-it"})
_FREE = {
    "openai": frozenset({"moderation"}),
    "gemini": _FREE_GEMMA,
    "google_gemini": _FREE_GEMMA,
}


def maker_of(name: str) -> str:
    """genai-prices' id of the one maker whose model goes by that name, else empty."""
    for pattern, maker in _MAKERS:
        if pattern.match(name):
            return maker
    return ""


def is_free(provider: str, model_id: str) -> bool:
    """Whether a row of genai-prices without any price is one of a model that is given away.

    It has such rows for models whose price it does not know, too.
    """
    return model_id.endswith(":free") or model_id in _FREE.get(provider, ())
