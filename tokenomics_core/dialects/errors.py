"""How each vendor's API says no: the JSON bodies on which its own SDK raises the right exception."""

from __future__ import annotations

from typing import Any

import orjson

from tokenomics_core.refusal import Refusal

BUDGET_EXCEEDED = "budget_exceeded"

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


def openai_error(refusal: Refusal) -> dict[str, Any]:
    if refusal.code == BUDGET_EXCEEDED:
        kind = "insufficient_quota"
    elif refusal.status >= 500:
        kind = "server_error"
    else:
        kind = _OPENAI_TYPES.get(refusal.status, "invalid_request_error")
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}}


def responses_error_code(refusal: Refusal) -> str:
    """The code of a failed response: where OpenAI has a word of its own, clients act on it."""
    if refusal.code == BUDGET_EXCEEDED:
        return "insufficient_quota"
    return "rate_limit_exceeded" if refusal.status == 429 else refusal.code


def anthropic_error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    default = "api_error" if refusal.status >= 500 else "invalid_request_error"
    error = {
        "type": _ANTHROPIC_TYPES.get(refusal.status, default),
        "message": refusal.message,
        "details": {"error_code": refusal.code},
    }
    return {"type": "error", "error": error, "request_id": request_id}


def gemini_error(refusal: Refusal) -> dict[str, Any]:
    default = "INTERNAL" if refusal.status >= 500 else "INVALID_ARGUMENT"
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refusal.code.upper(),
        "domain": "tokenomics",
    }
    status = _GRPC_STATUS.get(refusal.status, default)
    error = {"code": refusal.status, "message": refusal.message, "status": status, "details": [reason]}
    return {"error": error}


def ollama_error(refusal: Refusal) -> dict[str, Any]:
    return {"error": refusal.message}


def reference_error_body(refusal: Refusal) -> bytes:
    """The error body of rickcrawford/tokenomics, for every client alike."""
    error = {"code": refusal.status, "message": refusal.message, "type": "tokenomics_error"}
    return orjson.dumps({"error": error}) + b"\n"
