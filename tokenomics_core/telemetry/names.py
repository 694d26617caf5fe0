"""Names: what OpenTelemetry's conventions for generative AI call our providers, operations and errors."""

from __future__ import annotations

from tokenomics_core.ledger.row import Row

# By the name in the catalogue; others go by their own, which the conventions allow.
_PROVIDERS = {
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google_gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "xai": "x_ai",
}
# Where nothing was sent: what the client speaks.
_DIALECTS = {"anthropic": "anthropic", "gemini": "gcp.gemini", "openai": "openai"}
OPERATIONS = frozenset({"chat", "text_completion", "embeddings", "generate_content"})

# What the engine's words for a failed connection mean.
_NETWORK = {
    "the client left": "cancelled",
    "the gateway stopped": "cancelled",
    "timed out": "timeout",
    "in time": "timeout",
    "refused": "connection_refused",
    "certificate": "certificate_invalid",
    "tls": "tls_error",
    "host name": "name_resolution_error",
}


def provider_name(name: str, dialect: str = "") -> str:
    """``gen_ai.provider.name``."""
    if name:
        return _PROVIDERS.get(name, name)
    return next((known for begin, known in _DIALECTS.items() if dialect.startswith(begin)), "_OTHER")


def attempt_error(status: int, reason: str) -> str:
    """``error.type`` of an attempt; the empty string where it did not fail. status: 0 without an answer."""
    if status >= 400:
        return str(status)
    if status and not reason:
        return ""
    # With a status it began well, and broke off.
    otherwise = "incomplete_answer" if status else "connection_error"
    words = reason.lower()
    return next((type for sign, type in _NETWORK.items() if sign in words), otherwise)


def request_error(row: Row) -> str:
    """``error.type`` of what the client got: our reason, or the status; empty where nothing failed."""
    if not row.failed:
        return ""
    if row.refusal:
        return row.refusal
    if row.status >= 400:
        return str(row.status)
    return "client_disconnected" if not row.status else "incomplete_answer"
