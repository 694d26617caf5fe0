"""Real keys of the fake kind: recognisable, and different in every run."""

from __future__ import annotations

import secrets

_PREFIXES = {
    "OPENAI_API_KEY": "sk-real-openai-",
    "ANTHROPIC_API_KEY": "sk-ant-real-",
    "AZURE_OPENAI_API_KEY": "real-azure-",
    "GOOGLE_API_KEY": "AIza-real-google-",
    "GEMINI_API_KEY": "AIza-real-gemini-",
    "GROQ_API_KEY": "gsk_real-groq-",
    "OPENROUTER_API_KEY": "sk-or-real-",
    "SECOND_OPENAI_KEY": "sk-real-second-",
}


def fake_real_keys() -> dict[str, str]:
    """A key for each variable that providers and policies of the tests name."""
    return {name: prefix + secrets.token_hex(12) for name, prefix in _PREFIXES.items()}
