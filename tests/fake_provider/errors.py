"""The error bodies of the providers, in each one's own words."""

from __future__ import annotations

from typing import Any

from tests.fake_provider.call import Call, Headers, Reply, to_json


class ProviderError(Exception):
    """The provider says no: rendered in the dialect of the request."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


_OPENAI = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    409: ("invalid_request_error", "conflict"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "overloaded"),
}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def openai_error(error: ProviderError) -> dict[str, Any]:
    kind, code = _OPENAI.get(error.status, ("server_error", None))
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code or code}}


def anthropic_error(error: ProviderError, request_id: str) -> dict[str, Any]:
    kind = error.code or _ANTHROPIC.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}


def gemini_error(error: ProviderError) -> dict[str, Any]:
    status = error.code or _GEMINI.get(error.status, "UNKNOWN")
    return {"error": {"code": error.status, "message": error.message, "status": status}}


def reply(call: Call, dialect: str, error: ProviderError) -> Reply:
    """The error as an answer."""
    if call.manner.error_body is not None:
        return Reply(error.status, content_type="text/html", body=call.manner.error_body)
    return Reply(error.status, body=to_json(_body(call, dialect, error)), headers=ids(call, dialect))


def event(call: Call, dialect: str, error: ProviderError) -> bytes:
    """The error as an event of a stream that has begun."""
    body = to_json(_body(call, dialect, error))
    if dialect == "ollama":
        return body + b"\n"
    if dialect == "anthropic":
        return b"event: error\ndata: " + body + b"\n\n"
    if call.path.endswith("/responses"):
        detail = {"type": "error", "code": error.code or "server_error", "message": error.message}
        return b"event: error\ndata: " + to_json({**detail, "param": None, "sequence_number": 99}) + b"\n\n"
    return b"data: " + body + b"\n\n"


def _body(call: Call, dialect: str, error: ProviderError) -> dict[str, Any]:
    if dialect == "anthropic":
        return anthropic_error(error, request_id(call))
    if dialect == "gemini":
        return gemini_error(error)
    if dialect == "ollama":
        return {"error": error.message}
    return openai_error(error)


def request_id(call: Call) -> str:
    return f"req_{call.number:012d}"


def ids(call: Call, dialect: str) -> Headers:
    """The headers that a provider of this dialect puts on every answer."""
    if dialect == "anthropic":
        return [
            ("request-id", request_id(call)),
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-tokens-remaining", "79000"),
            ("anthropic-ratelimit-tokens-reset", "2026-01-02T03:04:05Z"),
        ]
    if dialect == "openai":
        return [
            ("x-request-id", request_id(call)),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "9999"),
            ("x-ratelimit-remaining-tokens", "199000"),
            ("x-ratelimit-reset-requests", "8ms"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]
    return []
