"""How each vendor's API says no: the JSON bodies on which its own SDK raises the right exception."""

from __future__ import annotations

from typing import Any

import orjson

from tokenomics_core.refusal import Refusal

BUDGET_EXCEEDED = "budget_exceeded"

# Reasons that have a word of their own, whatever the status. At insufficient_quota clients give up: it is
# not said while the room is only reserved by others.
_OPENAI_TYPES_BY_CODE = {
    BUDGET_EXCEEDED: "insufficient_quota",
    "anomaly": "rate_limit_exceeded",
    "session_frozen": "rate_limit_exceeded",
    "store_unavailable": "service_unavailable",
}
_OPENAI_TYPES = {
    401: "authentication_error",
    # Not OpenAI's invalid_request_error: litellm turns that into BadRequestError and loses the 403.
    # The openai package goes by the status and raises PermissionDeniedError either way.
    403: "permission_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GRPC_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    402: "RESOURCE_EXHAUSTED",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


# Further facts stand behind the vendor's own members and never in their place.


def openai_error(refusal: Refusal) -> dict[str, Any]:
    default = "server_error" if refusal.status >= 500 else "invalid_request_error"
    kind = _OPENAI_TYPES.get(refusal.status, default)
    if not refusal.retryable:
        kind = _OPENAI_TYPES_BY_CODE.get(refusal.code, kind)
    error = {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}
    return {"error": error | refusal.extra | error}


def responses_error_code(refusal: Refusal) -> str:
    """The code of a failed response: where OpenAI has a word of its own, clients act on it."""
    if refusal.code == BUDGET_EXCEEDED and not refusal.retryable:
        return "insufficient_quota"
    return "rate_limit_exceeded" if refusal.status == 429 else refusal.code


def anthropic_error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    default = "api_error" if refusal.status >= 500 else "invalid_request_error"
    error = {
        "type": _ANTHROPIC_TYPES.get(refusal.status, default),
        "message": refusal.message,
        "details": {"error_code": refusal.code},
    }
    return {"type": "error", "error": error | refusal.extra | error, "request_id": request_id}


def gemini_error(refusal: Refusal) -> dict[str, Any]:
    default = "INTERNAL" if refusal.status >= 500 else "INVALID_ARGUMENT"
    reason: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refusal.code.upper(),
        "domain": "tokenomics",
    }
    if refusal.extra:
        reason["metadata"] = _texts(refusal.extra)
    status = _GRPC_STATUS.get(refusal.status, default)
    error = {"code": refusal.status, "message": refusal.message, "status": status, "details": [reason]}
    return {"error": error}


def ollama_error(refusal: Refusal) -> dict[str, Any]:
    return {"error": refusal.message}


def reference_error_body(refusal: Refusal) -> bytes:
    """The error body of rickcrawford/tokenomics, for every client alike."""
    error = {"code": refusal.status, "message": refusal.message, "type": "tokenomics_error"}
    return orjson.dumps({"error": error | refusal.extra | error}) + b"\n"


def _texts(extra: dict[str, Any], above: str = "") -> dict[str, str]:
    """Google's ErrorInfo has texts only, and no levels: what is nested gets a name with a dot."""
    texts: dict[str, str] = {}
    for name, value in extra.items():
        if isinstance(value, dict):
            texts |= _texts(value, f"{above}{name}.")
        else:
            texts[above + name] = value if isinstance(value, str) else orjson.dumps(value).decode()
    return texts
