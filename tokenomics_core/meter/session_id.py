"""Which session a request belongs to, and taking its marks out of what goes upstream.

A session is named by whoever sends the request; it belongs to the token, so the same name under two tokens
is two sessions. A request that names none has the empty string: its session is the token itself, and no
budget is shared by everybody who forgot the header. TokenGate puts such requests into a session ``default``;
here that word is only what the JSON routes show for the empty string, because a counter of that name would
be a second count of the token's own, and would mix with a client that really calls its session so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

import orjson

from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

HEADER = "x-session-id"
QUERY = "session_id"

DROPPED_HEADERS = frozenset({HEADER})
"""Headers that are for the gateway alone. Those of agents are part of what they tell their provider."""

AGENT_HEADERS = ("x-claude-code-session-id", "session_id", "session-id", "thread-id")
"""Where agents name their session by themselves, in the order in which they are asked."""

LONGEST = 128
"""Characters of an id."""

_MARKUP = frozenset("<>\"'&")
_TOKEN = re.compile(r"tkn_[0-9a-f]{8}-[0-9a-f]{4}-")
_USER_ID = re.compile(r"user_[0-9a-zA-Z]*_account_[0-9a-zA-Z-]*_session_([0-9a-zA-Z-]+)")
_LONGEST_USER_ID = 2048


@dataclass(frozen=True, slots=True)
class Session:
    """id: the empty string when nothing names a session. explicit: by X-Session-ID or session_id."""

    id: str = ""
    explicit: bool = False


def find_session(
    head: Mapping[str, str], query: str, body: JsonBody | None = None, given: str = ""
) -> Session:
    """The session of a request. head: header values by lower-case name; query: without the question mark.
    given: what the policy says for requests that name none themselves; the agents' own ids come after it.

    Raises Refusal (400) for an explicit id that cannot be one. A bad id of an agent counts as none: the
    person did not write it and cannot change it.
    """
    explicit = _header(head, HEADER) or _query_value(query)
    if explicit:
        if why := problem(explicit):
            raise Refusal(400, "invalid_session_id", f"session_id {why}")
        return Session(explicit, explicit=True)
    if given:
        return Session(given)
    named = [_header(head, AGENT_HEADERS[0]), _anthropic_session(body)]
    named += [_header(head, name) for name in AGENT_HEADERS[1:]]
    return Session(next((name for name in named if name and not problem(name)), ""))


def problem(id: str) -> str:
    """Why this cannot be a session id; the empty string when it can."""
    if len(id) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if not id.isprintable():
        return "holds a character that cannot be printed"
    if not _MARKUP.isdisjoint(id):
        return "holds one of < > \" ' &, which no id may hold"
    if _TOKEN.search(id):
        return "looks like a wrapper token, which belongs in no id"
    return ""


def check_strict(session: str, strict: bool) -> None:
    """Raises Refusal (400) when a session is required and nothing names one."""
    if strict and not session:
        raise Refusal(
            400,
            "session_required",
            "session_id is required (X-Session-ID header or session_id query param)",
        )


def strip_session(query: str) -> str:
    """The query without ``session_id``; all else stays as it was written."""
    if QUERY not in unquote_plus(query):
        return query
    return "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) != QUERY)


def _header(head: Mapping[str, str], name: str) -> str:
    """Headers are Latin-1 by the letter and UTF-8 in practice, as a query is."""
    value = head.get(name, "").strip(" \t")
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _query_value(query: str) -> str:
    parts = [part.partition("=") for part in query.split("&")]
    return next((unquote_plus(value) for name, _, value in parts if unquote_plus(name) == QUERY), "").strip()


def _anthropic_session(body: JsonBody | None) -> str:
    """What Claude Code writes into ``metadata.user_id``: a JSON object, or three ids in a row."""
    metadata = body.value.get("metadata") if body is not None else None
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str) or len(user) > _LONGEST_USER_ID:
        return ""
    if found := _USER_ID.fullmatch(user):
        return found[1]
    if not user.startswith("{"):
        return ""
    try:
        session = orjson.loads(user).get("session_id")
    except ValueError:
        return ""
    return session if isinstance(session, str) else ""
