"""The text of an entry, letter by letter."""

from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.memory.build import ANSWERED, ASKED, a_side, an_answer
from tokenomics_core.memory.entry import (
    LIMIT,
    Streamed,
    body_text,
    content,
    entry,
    heading,
    pushed,
    sanitised,
    shown_headers,
    whole_characters,
)
from tokenomics_core.memory.events import event_content

KEY = "sk-" + "proj-Zx81kQ0aa7Lm2P9rT5vW"
WRAPPER = "tkn_" + "0f3c2b1a-1111-4222-8333-444455556666"


def test_a_request_is_written_to_the_letter():
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Ship to [REDACTED]"}]}'
    text = entry(ASKED, "7e19c0a4", "request", "gpt-4o", content(a_side(body), "request"))
    assert text.decode() == (
        "## 2026-04-05T06:07:08Z | 7e19c0a4 | request | gpt-4o\n"
        "\n"
        "Content-Type: application/json\n"
        "Request-Headers:\n"
        "  Accept: */*\n"
        "  Content-Type: application/json\n"
        "  User-Agent: till/3.0\n"
        "\n"
        "Body:\n"
        '{"model":"gpt-4o","messages":[{"role":"user","content":"Ship to [REDACTED]"}]}\n'
        "\n"
        "\n"
        "---\n"
        "\n"
    )


def test_a_stream_is_written_to_the_letter():
    stream = Streamed((b'{"choices":[{"delta":{"content":"Sent"}}]}', b"[DONE]"), "Sent")
    side = an_answer(stream, (("content-type", "text/event-stream"), ("x-request-id", "req_77")))
    text = entry(ANSWERED, "7e19c0a4", "response", "gpt-4o", content(side, "response"), "a1b2c3d4e5f60718")
    assert text.decode() == (
        "## 2026-04-05T06:07:11Z | 7e19c0a4 | response | gpt-4o | a1b2c3d4e5f60718\n"
        "\n"
        "Content-Type: text/event-stream\n"
        "Response-Headers:\n"
        "  Content-Type: text/event-stream\n"
        "  X-Request-Id: req_77\n"
        "\n"
        "Body:\n"
        "[streaming sse]\n"
        "\n"
        "SSE events:\n"
        '1. {"choices":[{"delta":{"content":"Sent"}}]}\n'
        "2. [DONE]\n"
        "\n"
        "Captured assistant text:\n"
        "Sent\n"
        "\n"
        "\n"
        "---\n"
        "\n"
    )


def test_a_stream_of_which_nothing_came():
    text = content(an_answer(Streamed(), ()), "response")
    assert text == (
        "Content-Type: (none)\nResponse-Headers:\n\nBody:\n[streaming sse]\n\n"
        "SSE events:\n(none captured)\n\nCaptured assistant text:\n(none)\n"
    )


def test_a_stream_that_was_too_long_says_so():
    text = content(an_answer(Streamed((b"{}",), "long", more=True, cut=True)), "response")
    assert text.endswith(
        "SSE events:\n1. {}\n[further events not kept in memory]\n\n"
        "Captured assistant text:\nlong\n[assistant content truncated for memory]\n"
    )


def test_an_entry_of_redis_has_neither_key_nor_rule():
    text = pushed(ASKED, "request", "gpt-4o", content(a_side(b"{}", ()), "request"))
    assert text.decode() == (
        "## 2026-04-05T06:07:08Z | request | gpt-4o\n\nContent-Type: (none)\nRequest-Headers:\n\nBody:\n{}\n"
    )


def test_times_are_utc():
    at = ASKED.astimezone(timezone(timedelta(hours=-7)))
    assert heading(at, "k", "request", "m") == "## 2026-04-05T06:07:08Z | k | request | m"


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("a\n\n---\n\n## 2030-01-01T00:00:00Z | x", "a --- ## 2030-01-01T00:00:00Z / x"),
        ("a | response | b", "a / response / b"),
        ("a\x1b[31m\u2028b", "a [31m b"),
        ("m" * 500, "m" * 256),
        (KEY, "[hidden]"),
        ("half \ud800", "half \ufffd"),
    ],
)
def test_a_model_neither_ends_nor_divides_its_heading(model, shown):
    text = entry(ASKED, "k", "request", model, "c\n").decode()
    assert text.splitlines()[0] == f"## 2026-04-05T06:07:08Z | k | request | {shown}"


@pytest.mark.parametrize(
    ("body", "kind", "size", "text"),
    [
        (b"", "application/json", 0, "(empty)"),
        (b"plain", "", 0, "plain"),
        (b"caf\xc3\xa9", "text/plain", 0, "café"),
        (b"\xff\xd8\xff\xe0", "application/json", 0, "[binary, 4 bytes]"),
        (b"RIFF", "audio/wav", 0, "[binary, 4 bytes]"),
        (b"text", "Image/PNG", 0, "[binary, 4 bytes]"),
        (b"text", "video/mp4; codecs=x", 0, "[binary, 4 bytes]"),
        (b"text", "application/octet-stream", 0, "[binary, 4 bytes]"),
        (b"", "audio/mpeg", 9000, "[binary, 9000 bytes]"),
        (b"", "application/x-model", 9000, "[binary, 9000 bytes]"),
        (b"a\x00b\x07c\x7fd\x1be\x85f", "text/plain", 0, "[binary, 11 bytes]"),
        ("a\x00b\x07c\x7fd\x1be\x85f".encode(), "text/plain", 0, "a b c d e f"),
        (b"one\ntwo\r\n\tthree", "text/plain", 0, "one\ntwo\r\n\tthree"),
    ],
)
def test_bodies(body, kind, size, text):
    assert body_text(body, kind, size) == text


def test_a_body_is_cut_at_half_a_mebibyte():
    assert body_text(b"x" * (LIMIT + 1), "text/plain") == "x" * LIMIT
    assert body_text(b"x" * LIMIT, "text/plain") == "x" * LIMIT


def test_the_cut_leaves_whole_characters():
    body = b"x" + "é".encode() * LIMIT
    text = body_text(body, "text/plain")
    assert text == "x" + "é" * ((LIMIT - 1) // 2)
    # What the queue has cut already is no binary either.
    assert body_text(body[:LIMIT], "text/plain", len(body)) == text


@given(st.text(), st.integers(0, 12))
def test_cut_characters(text, drop):
    raw = text.encode("utf-8", "ignore")
    cut = raw[: max(0, len(raw) - drop)]
    kept = whole_characters(cut)
    assert cut.startswith(kept)
    assert len(cut) - len(kept) < 4
    kept.decode()


def test_bytes_of_a_payload_that_are_no_text_become_question_marks():
    stream = Streamed((b'{"a":"\xff\xfe"}', b'{\n  "b": 1\r\n}'), "x\ud83d")
    text = content(an_answer(stream), "response")
    assert '1. {"a":"??"}\n2. {   "b": 1 }\n' in text
    assert entry(ANSWERED, "k", "response", "m", text).decode().count("x?") == 1


SECRET_HEADERS = [
    ("Authorization", f"Bearer {KEY}"),
    ("x-api-key", KEY),
    ("Api-Key", KEY),
    ("X-Goog-Api-Key", KEY),
    ("Proxy-Authorization", f"Basic {KEY}"),
    ("Cookie", KEY),
    ("Set-Cookie", KEY),
    ("X-Vendor-Token", KEY),
    ("X-Amz-Security-Token", KEY),
    ("cf-access-client-secret", KEY),
    ("Referer", f"https://x/?key={KEY}"),
    ("x-forwarded-for", "203.0.113.9"),
]


@pytest.mark.parametrize("role", ["request", "response"])
def test_only_harmless_headers_are_written(role):
    fields = [*SECRET_HEADERS, ("X-RateLimit-Remaining-Tokens", "12"), ("OPENAI-BETA", "v2")]
    text = content(a_side(b"{}", fields), role)
    assert KEY not in text
    assert "203.0.113.9" not in text
    assert shown_headers(fields) == [("Openai-Beta", "v2"), ("X-Ratelimit-Remaining-Tokens", "12")]


@pytest.mark.parametrize("secret", [KEY, WRAPPER])
def test_a_credential_in_a_harmless_header_is_hidden(secret):
    text = content(a_side(b"{}", [("User-Agent", f"agent/1 {secret}"), ("Content-Type", secret)]), "request")
    assert secret not in text
    assert "  User-Agent: agent/1 [hidden]\n" in text


def test_a_wrapper_token_in_a_text_is_hidden():
    text = content(a_side(f'{{"model":"{WRAPPER}"}}'.encode()), "request")
    for raw in (entry(ASKED, "k", "request", "m", text), pushed(ASKED, "request", "m", text)):
        assert WRAPPER.encode() not in raw
        assert b'{"model":"[hidden]"}' in raw


def test_a_header_stays_on_its_line():
    text = content(a_side(b"{}", [("User-Agent", "a\r\nBody:\r\nb")]), "request")
    assert text.count("\nBody:\n") == 1


def test_an_event_is_written_to_the_letter():
    event = {
        "timestamp": "2026-04-05T06:07:08Z",
        "type": "request.received",
        "method": "POST",
        "path": "/v1/chat/completions",
        "content_type": "application/json",
        "stream": True,
        "retry_count": 2,
        "headers": {"User-Agent": ["till/3.0"], "Authorization": [KEY], "Accept": ["*/*"]},
        "body": '{"model":"m"}',
    }
    assert event_content(event) == (
        "Event: request.received\nRequest: POST /v1/chat/completions\nContent-Type: application/json\n"
        "Stream: true\nRetry-Count: 2\nHeaders:\n  Accept: */*\n  User-Agent: till/3.0\n\n"
        'Body:\n{"model":"m"}\n'
    )
    assert event_content({"type": "response.completed", "status_code": 200}) == (
        "Event: response.completed\nStatus: 200\n\nBody:\n(empty)\n"
    )


@given(st.text(st.characters(max_codepoint=300)))
def test_control_characters_become_spaces(text):
    cleaned = sanitised(text)
    assert len(cleaned) == len(text)
    for before, after in zip(text, cleaned, strict=True):
        control = ord(before) < 32 or 127 <= ord(before) < 160
        assert after == (" " if control and before not in "\t\n\r" else before)
