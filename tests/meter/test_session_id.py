from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.json_body import JsonBody
from tokenomics_core.meter.session_id import (
    DROPPED_HEADERS,
    Session,
    check_strict,
    find_session,
    strip_session,
)
from tokenomics_core.refusal import Refusal

UUID = "0b8f6c1e-2f6b-4f1f-9d55-7a2f7f0f5c11"
USER = f"user_{'ab' * 32}_account_5c7b1ea4-0000-4000-8000-1234567890ab_session_{UUID}"


def body_of(value: Any) -> JsonBody:
    return JsonBody(json.dumps(value).encode())


def with_user(user: Any) -> JsonBody:
    return body_of({"model": "m", "metadata": {"user_id": user}})


FOUND = [
    ({"x-session-id": "s1"}, "", None, Session("s1", True)),
    ({"x-session-id": " team:a/b 1 "}, "", None, Session("team:a/b 1", True)),
    ({"x-session-id": "für".encode().decode("latin-1")}, "", None, Session("für", True)),
    ({"x-session-id": "s1"}, "session_id=s2", None, Session("s1", True)),
    ({"x-session-id": ""}, "session_id=s2", None, Session("s2", True)),
    ({}, "a=b&session_id=a%3Ab+c&session_id=other", None, Session("a:b c", True)),
    ({}, "session%5Fid=s2", None, Session("s2", True)),
    ({}, "session_id=", None, Session()),
    ({}, "session_id", None, Session()),
    ({}, "xsession_id=s", None, Session()),
    ({"x-session-id": "s1", "x-claude-code-session-id": "c"}, "", with_user(USER), Session("s1", True)),
    ({"x-claude-code-session-id": "c", "session_id": "x"}, "", with_user(USER), Session("c")),
    ({"session_id": "x"}, "", with_user(USER), Session(UUID)),
    ({}, "", with_user(USER.replace("5c7b1ea4-0000-4000-8000-1234567890ab", "")), Session(UUID)),
    ({}, "", with_user(json.dumps({"device_id": "ab" * 32, "session_id": UUID})), Session(UUID)),
    ({"session_id": "x", "session-id": "y", "thread-id": "t"}, "", None, Session("x")),
    ({"session-id": "y", "thread-id": "t"}, "", None, Session("y")),
    ({"thread-id": "t"}, "", None, Session("t")),
    ({"session_id": "x\x01", "session-id": "y"}, "", None, Session("y")),
    ({"x-claude-code-session-id": "<script>"}, "", None, Session()),
    ({}, "", body_of({"prompt_cache_key": "k"}), Session()),
    ({}, "", None, Session()),
    *[
        ({}, "", with_user(user), Session())
        for user in (
            "alice",
            "user_1_session_2",
            f"x{USER}",
            f"{USER} ",
            "{",
            "{}",
            "{]",
            '{"session_id": 1}',
            '{"session_id": "a\\u0000b"}',
            "[" * 50,
            7,
            None,
            ["s"],
        )
    ],
    ({}, "", body_of({"metadata": "user"}), Session()),
    ({}, "", with_user('{"session_id": "s", "x": "' + "y" * 3000 + '"}'), Session()),
]


@pytest.mark.parametrize(("head", "query", "body", "session"), FOUND)
def test_who_names_the_session(
    head: dict[str, str], query: str, body: JsonBody | None, session: Session
) -> None:
    assert find_session(head, query, body) == session


BAD = [
    "x" * 129,
    "a\x00b",
    "a\tb",
    "a\nb",
    "a\x7fb",
    "a\u202eb",
    "<b>",
    "a>b",
    'a"b',
    "a'b",
    "a&b",
    "tkn_12345678-1234-4234-8234-123456789abc",
    "s-tkn_12345678-1234-4234-8234-123456789abc",
]


@pytest.mark.parametrize("id", BAD)
def test_a_bad_explicit_id_is_refused_without_being_repeated(id: str) -> None:
    raws = [({"x-session-id": id.encode().decode("latin-1")}, ""), ({}, "session_id=" + quote(id))]
    for head, query in raws:
        with pytest.raises(Refusal) as raised:
            find_session(head, query, None)
        assert (raised.value.status, raised.value.code) == (400, "invalid_session_id")
        assert raised.value.message.startswith("session_id ")
        assert id not in raised.value.message


@pytest.mark.parametrize("id", BAD)
def test_a_bad_id_of_an_agent_is_none(id: str) -> None:
    raw = id.encode().decode("latin-1")
    assert find_session({"session_id": raw}, "", with_user(json.dumps({"session_id": id}))) == Session()


def test_the_longest_id() -> None:
    assert find_session({"x-session-id": "x" * 128}, "").id == "x" * 128


def test_strict_needs_somebody_to_name_it() -> None:
    check_strict("a", True)
    check_strict("", False)
    with pytest.raises(Refusal, match="session_id is required") as raised:
        check_strict("", True)
    assert (raised.value.status, raised.value.code) == (400, "session_required")


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("session_id=1", ""),
        ("a=1&session_id=x&b=%20&session_id", "a=1&b=%20"),
        ("session%5fid=1&a", "a"),
        ("a=session_id", "a=session_id"),
        ("my_session_id=1&alt=sse", "my_session_id=1&alt=sse"),
    ],
)
def test_strip(query: str, left: str) -> None:
    assert strip_session(query) == left
    assert strip_session(left) == left


@given(st.text(alphabet="ab=&%5Fsession_id+", max_size=60))
def test_a_stripped_query_names_no_session(query: str) -> None:
    assert find_session({}, strip_session(query)) == Session()


def test_only_our_own_header_stays_behind() -> None:
    assert {"x-session-id"} == DROPPED_HEADERS
