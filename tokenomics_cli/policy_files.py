"""Files that the policy commands read: a policy, a request, an answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from tokenomics_core.guard.dry_run_steps import Request
    from tokenomics_core.policy import CompiledPolicy

_ENVELOPE = {"method", "path", "headers", "body"}


def read_file(given: str, what: str) -> bytes:
    """The bytes of a file; ``-`` is standard input. what: ``policy``, for errors."""
    name = given.removeprefix("@")
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    except OSError as error:
        raise CommandError(f"{what} file {name}: {error.strerror}; check the path") from None


def read_policy(given: str) -> str:
    try:
        return read_file(given, "policy").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"policy file {given} is not UTF-8; save it as UTF-8") from None


def compiled_policy(text: str) -> CompiledPolicy:
    """Raises CommandError, as token create does."""
    from tokenomics_core.policy import PolicyError, compile, parse

    try:
        return compile(parse(text))
    except PolicyError as error:
        raise CommandError(
            f"invalid policy: {error}", *([f"at {error.path}"] if error.path else [])
        ) from None


def read_request(given: str, method: str, path: str) -> Request:
    """The request in a file: its body, or ``{"method", "path", "headers", "body"}``. Flags win."""
    import orjson

    from tokenomics_core.guard.dry_run_path import NoPath, guess_path
    from tokenomics_core.guard.dry_run_steps import Request

    raw = read_file(given, "request").removeprefix(b"\xef\xbb\xbf")
    value = _object(raw, given)
    headers: dict[str, str] = {}
    if "body" in value and set(value) <= _ENVELOPE:
        method = method or _string(value, "method", given)
        path = path or _string(value, "path", given)
        headers = _headers(value.get("headers"), given)
        body = value["body"]
        raw = body.encode() if isinstance(body, str) else _text_of(raw, "body")
        value = body if isinstance(body, dict) else {}
        if isinstance(body, str):
            try:
                parsed = orjson.loads(body)
            except orjson.JSONDecodeError:
                parsed = None
            value = parsed if isinstance(parsed, dict) else {}
    if not path:
        try:
            path = "/v1/messages" if "anthropic-version" in headers else guess_path(value)
        except NoPath as error:
            raise CommandError(str(error)) from None
    path, _, query = path.partition("?")
    if not path.startswith("/"):
        raise CommandError(f'the path {path[:64]} begins with no slash; write one such as "/v1/messages"')
    return Request((method or "POST").upper(), path, raw, query, headers)


def read_answer(given: str) -> bytes:
    """The JSON text of an answer's body."""
    import orjson

    raw = read_file(given, "response").removeprefix(b"\xef\xbb\xbf")
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise CommandError(
            f"response file {given} holds no JSON: {error}; give the body of an answer"
        ) from None
    return raw


def _object(raw: bytes, given: str) -> dict[str, Any]:
    import orjson

    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise CommandError(
            f"request file {given} holds no JSON: {error}; give the body of a request"
        ) from None
    if not isinstance(value, dict):
        raise CommandError(
            f"request file {given} holds no JSON object;"
            ' give the body of a request, or {"method", "path", "headers", "body"}'
        )
    return value


def _text_of(raw: bytes, member: str) -> bytes:
    """A member's value as it is written, byte for byte."""
    from tokenomics_core.json_body import InvalidJson, JsonBody

    try:
        envelope = JsonBody(raw)
    except InvalidJson as error:
        raise CommandError(f"the request file cannot be read: {error}") from None
    for name in list(envelope.value):
        if name != member:
            envelope.remove(name)
    text = envelope.render()
    return text[text.index(b":") + 1 : text.rindex(b"}")].strip()


def _string(value: dict[str, Any], name: str, given: str) -> str:
    found = value.get(name, "")
    if not isinstance(found, str):
        raise CommandError(f"request file {given}: {name} is not a string; write it in quotes")
    return found


def _headers(value: Any, given: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise CommandError(
            f'request file {given}: headers is not an object of strings; write {{"name": "value"}}'
        )
    return {name.lower(): each for name, each in value.items()}
