"""What is read out of requests, and what is put into them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.test_streams import JSON, PATHS
from tokenomics_core.dialects import recognise
from tokenomics_core.dialects.base import Prompt
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/g:generateContent"
OLLAMA = "/api/chat"
GENERATE = "/api/generate"


def body_of(value: Any) -> JsonBody:
    return JsonBody(value if isinstance(value, bytes) else json.dumps(value).encode())


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
TOOL_TEXT = '{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}'
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

# Path, body, the texts that are billed, tokens around them.
TEXTS: list[Any] = [
    pytest.param(CHAT, {"messages": []}, [], 3, id="chat, nothing"),
    pytest.param(CHAT, {}, [], 3, id="chat, no messages"),
    pytest.param(
        CHAT,
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "ann"}]},
        ["system", "s", "user", "u", "ann"],
        9,
        id="chat, strings",
    ),
    pytest.param(
        CHAT,
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
                {
                    "role": "user",
                    "content": [
                        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                        {"type": "file", "file": {"file_data": "data:x;base64,AAAA"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": "found"},
                "no message",
            ],
            "tools": [TOOL],
        },
        ["user", "a", "user", "assistant", "look", "{}", "tool", "c", "found", TOOL_TEXT],
        15,
        id="chat, parts and tools",
    ),
    pytest.param(COMPLETIONS, {"prompt": "a", "suffix": "z"}, ["a", "z"], 0, id="completions"),
    pytest.param(COMPLETIONS, {"prompt": ["a", "b"]}, ["a", "b"], 0, id="completions, several"),
    pytest.param(COMPLETIONS, {"prompt": [1, 2, 3]}, [], 3, id="completions, tokens"),
    pytest.param(COMPLETIONS, {"prompt": [[1, 2], [3]]}, [], 3, id="completions, tokens of several"),
    pytest.param(EMBEDDINGS, {"input": ["a", "b"]}, ["a", "b"], 0, id="embeddings"),
    pytest.param(EMBEDDINGS, {"input": [5, 6]}, [], 2, id="embeddings, tokens"),
    pytest.param(RESPONSES, {"instructions": "i", "input": "u"}, ["i", "u"], 6, id="responses, strings"),
    pytest.param(
        RESPONSES,
        {
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
                {"role": "user", "content": "b"},
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "data:image/png;base64,A"}],
                },
                {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "found"},
                {
                    "type": "function_call_output",
                    "call_id": "d",
                    "output": [{"type": "input_text", "text": "e"}],
                },
                {
                    "type": "reasoning",
                    "id": "rs",
                    "summary": [{"type": "summary_text", "text": "hm"}],
                    "encrypted_content": "gAAA",
                },
            ],
            "tools": [TOOL],
            "text": {"format": {"type": "text"}},
        },
        ["a", "b", "look", "{}", "found", "e", "hm", TOOL_TEXT, '{"type":"text"}'],
        24,
        id="responses, items",
    ),
    pytest.param(
        MESSAGES,
        {"system": "s", "messages": [{"role": "user", "content": "u"}]},
        ["s", "u"],
        6,
        id="anthropic, strings",
    ),
    pytest.param(
        MESSAGES,
        {
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image", "source": {"type": "base64", "media_type": "x", "data": "AAAA"}},
                        {"type": "document", "source": {"type": "text", "data": "doc"}, "title": "t"},
                        {"type": "document", "source": {"type": "base64", "data": "AAAA"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "AAAA"},
                        {"type": "tool_use", "id": "t", "name": "look", "input": {"q": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t", "content": "one"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [{"type": "text", "text": "two"}],
                        },
                    ],
                },
                {"role": "system", "content": "mid"},
            ],
            "tools": [{"name": "look", "input_schema": {}}],
            "metadata": {"user_id": "not sent to the model"},
        },
        [
            *["s", "a", "doc", "t", "hm", "look", '{"q":1}', "one", "two", "mid"],
            '{"name":"look","input_schema":{}}',
        ],
        15,
        id="anthropic, blocks",
    ),
    pytest.param(
        GEMINI,
        {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "a"}, {"inlineData": {"mimeType": "x", "data": "AAAA"}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"q": 1}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"r": 2}}}]},
            ],
            "tools": [{"functionDeclarations": []}],
        },
        ["s", "a", "look", '{"q":1}', "look", '{"r":2}', '{"functionDeclarations":[]}'],
        12,
        id="gemini",
    ),
    pytest.param(
        GEMINI,
        {"system_instruction": {"parts": {"text": "s"}}, "contents": {"parts": {"text": "a"}}},
        ["s", "a"],
        6,
        id="gemini, snake case and single objects",
    ),
    pytest.param(
        "/v1beta/models/g:countTokens",
        {"generateContentRequest": {"contents": [{"parts": [{"text": "a"}]}]}},
        ["a"],
        0,
        id="gemini count",
    ),
    pytest.param(
        "/v1beta/models/g:batchEmbedContents",
        {"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]},
        ["a", "b"],
        0,
        id="gemini embeddings",
    ),
    pytest.param(
        OLLAMA,
        {"messages": [{"role": "user", "content": "u", "images": ["AAAA"]}], "tools": [TOOL]},
        ["user", "u", TOOL_TEXT],
        6,
        id="ollama chat",
    ),
    pytest.param(GENERATE, {"prompt": "p", "system": "s"}, ["s", "p"], 0, id="ollama generate"),
    pytest.param(
        "/v1/rerank",
        {"query": "q", "documents": ["a", {"text": "b"}], "image": "data:image/png;base64,AAAA", "n": 3},
        ["q", "a", "b"],
        0,
        id="unknown",
    ),
]


@pytest.mark.parametrize(("path", "body", "texts", "overhead"), TEXTS)
def test_input_texts(path: str, body: Any, texts: list[str], overhead: int) -> None:
    dialect, parsed = recognise("POST", path), body_of(body)
    assert list(dialect.input_texts(parsed)) == texts
    assert dialect.input_overhead(parsed) == overhead


SYSTEM = Prompt("system", "Be brief.")
DEVELOPER = Prompt("developer", "Be kind.")
USER = Prompt("user", "Hello.")
ASSISTANT = Prompt("assistant", "Hi.")
ALL = [SYSTEM, DEVELOPER, USER, ASSISTANT]


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


CHAT_TURNS = [turn(prompt.role, prompt.content) for prompt in ALL]
TURNS = [turn("user", "Hello."), turn("assistant", "Hi.")]
INSTRUCTIONS = "Be brief.\n\nBe kind."
GEMINI_TURNS = [
    {"role": "user", "parts": [{"text": "Hello."}]},
    {"role": "model", "parts": [{"text": "Hi."}]},
]
GEMINI_SYSTEM = [{"text": "Be brief."}, {"text": "Be kind."}]
OWN = turn("user", "own")
OWN_PART = {"parts": [{"text": "own"}]}
BLOCK = {"type": "text", "text": "own", "cache_control": {"type": "ephemeral"}}

# Path, body before, body after.
INJECTED: list[Any] = [
    pytest.param(CHAT, {"messages": [OWN]}, {"messages": [*CHAT_TURNS, OWN]}, id="chat"),
    pytest.param(CHAT, {"messages": []}, {"messages": CHAT_TURNS}, id="chat, empty"),
    pytest.param(
        COMPLETIONS,
        {"prompt": "own"},
        {"prompt": "Be brief.\n\nBe kind.\n\nHello.\n\nHi.\n\nown"},
        id="completions",
    ),
    pytest.param(
        COMPLETIONS,
        {"prompt": ["a", "b"]},
        {"prompt": [f"Be brief.\n\nBe kind.\n\nHello.\n\nHi.\n\n{each}" for each in "ab"]},
        id="completions, several",
    ),
    pytest.param(
        RESPONSES,
        {"instructions": "own", "input": [OWN]},
        {"instructions": f"{INSTRUCTIONS}\n\nown", "input": [*TURNS, OWN]},
        id="responses",
    ),
    pytest.param(
        RESPONSES,
        {"input": "own"},
        {"input": [*TURNS, OWN], "instructions": INSTRUCTIONS},
        id="responses, string",
    ),
    pytest.param(
        MESSAGES,
        {"messages": [OWN], "system": "own"},
        {"messages": [*TURNS, OWN], "system": f"{INSTRUCTIONS}\n\nown"},
        id="anthropic, string",
    ),
    pytest.param(
        MESSAGES,
        {"messages": [OWN], "system": [BLOCK]},
        {
            "messages": [*TURNS, OWN],
            "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}, BLOCK],
        },
        id="anthropic, blocks",
    ),
    pytest.param(
        "/v1/messages/count_tokens",
        {"messages": [OWN]},
        {"messages": [*TURNS, OWN], "system": INSTRUCTIONS},
        id="anthropic, none; counted as it will be sent",
    ),
    pytest.param(
        GEMINI,
        {"contents": [OWN_PART]},
        {"contents": [*GEMINI_TURNS, OWN_PART], "systemInstruction": {"parts": GEMINI_SYSTEM}},
        id="gemini",
    ),
    pytest.param(
        GEMINI,
        {"system_instruction": {"role": "user", "parts": {"text": "own"}}, "contents": OWN_PART},
        {
            "system_instruction": {"role": "user", "parts": [*GEMINI_SYSTEM, {"text": "own"}]},
            "contents": [*GEMINI_TURNS, OWN_PART],
        },
        id="gemini, snake case and single objects",
    ),
    pytest.param(OLLAMA, {"messages": [OWN]}, {"messages": [*CHAT_TURNS, OWN]}, id="ollama chat"),
    pytest.param(
        GENERATE,
        {"prompt": "own", "system": "mine"},
        {"prompt": "Hello.\n\nHi.\n\nown", "system": f"{INSTRUCTIONS}\n\nmine"},
        id="ollama generate",
    ),
    pytest.param(
        GENERATE,
        {"prompt": "own", "raw": True},
        {"prompt": "Be brief.\n\nBe kind.\n\nHello.\n\nHi.\n\nown", "raw": True},
        id="ollama generate, raw",
    ),
    pytest.param(EMBEDDINGS, {"input": "own"}, {"input": "own"}, id="embeddings"),
    pytest.param("/v1/rerank", {"query": "own"}, {"query": "own"}, id="unknown"),
    pytest.param(
        "/v1beta/models/g:embedContent", {"content": OWN_PART}, {"content": OWN_PART}, id="gemini embed"
    ),
]


@pytest.mark.parametrize(("path", "before", "after"), INJECTED)
def test_add_prompts(path: str, before: Any, after: Any) -> None:
    body = body_of(before)
    recognise("POST", path).add_prompts(body, ALL)
    assert json.loads(body.render()) == after


@pytest.mark.parametrize("path", PATHS)
def test_no_prompts_change_nothing(path: str) -> None:
    body = body_of(b'{ "model":"m" }')
    recognise("POST", path).add_prompts(body, [])
    assert not body.changed


def test_the_rest_of_the_bytes_stays() -> None:
    body = body_of(
        b'{"n":1.50,"system":[ {"type":"text","text":"\\u00e9"} ],"messages":[],"seed":12345678901234567890}'
    )
    recognise("POST", MESSAGES).add_prompts(body, [SYSTEM])
    assert body.render() == (
        b'{"n":1.50,"system":[{"type":"text","text":"Be brief."}, {"type":"text","text":"\\u00e9"} ],'
        b'"messages":[],"seed":12345678901234567890}'
    )


NO_PLACE: list[tuple[str, Any]] = [
    (CHAT, {}),
    (CHAT, {"messages": "x"}),
    (COMPLETIONS, {"prompt": [1, 2]}),
    (COMPLETIONS, {"prompt": [[1], [2]]}),
    (COMPLETIONS, {"prompt": 7}),
    (RESPONSES, {"instructions": 7}),
    (RESPONSES, {"input": 7}),
    (MESSAGES, {"messages": [], "system": 7}),
    (MESSAGES, {}),
    (GEMINI, {"systemInstruction": 7, "contents": []}),
    (OLLAMA, {}),
]


@pytest.mark.parametrize(("path", "body"), NO_PLACE)
def test_prompts_without_a_place_are_refused(path: str, body: Any) -> None:
    with pytest.raises(Refusal) as refused:
        recognise("POST", path).add_prompts(body_of(body), ALL)
    assert refused.value.status in (400, 403)


# Before, whether the proxy asks, the options after.
USAGE: list[tuple[bytes, bool, Any]] = [
    (b'{"stream":true}', True, {"include_usage": True}),
    (b'{"stream":true,"stream_options":null}', True, {"include_usage": True}),
    (b'{"stream":true,"stream_options":{}}', True, {"include_usage": True}),
    (
        b'{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":false}}',
        True,
        {"include_obfuscation": False, "include_usage": True},
    ),
    (b'{"stream":true,"stream_options":{"include_usage":true}}', False, {"include_usage": True}),
    (b'{"stream":true,"stream_options":7}', False, 7),
    (b'{"stream":false}', False, None),
    (b'{"stream":1}', False, None),
    (b"{}", False, None),
]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(("raw", "asks", "options"), USAGE)
def test_ask_for_usage(path: str, raw: bytes, asks: bool, options: Any) -> None:
    body = body_of(raw)
    assert recognise("POST", path).ask_for_usage(body) is asks
    assert body.changed is asks
    assert json.loads(body.render()).get("stream_options") == options


@pytest.mark.parametrize("path", [path for path in PATHS if "completions" not in path])
def test_others_are_not_asked_for_usage(path: str) -> None:
    body = body_of(b'{"stream":true}')
    assert recognise("POST", path).ask_for_usage(body) is False
    assert not body.changed


REQUEST_NAMES = (
    "model messages system prompt input content parts text role type tools tool_calls function arguments "
    "instructions contents systemInstruction system_instruction requests generationConfig source data name "
    "functionCall args output summary stream stream_options format variables suffix raw response"
).split()
REQUESTS = st.dictionaries(st.sampled_from(REQUEST_NAMES), JSON, max_size=6)


@given(value=REQUESTS, path=st.sampled_from(PATHS))
@settings(max_examples=500, deadline=None)
def test_no_shape_of_a_request_is_an_error(value: dict[str, Any], path: str) -> None:
    """A request is read, changed or refused; nothing else happens."""
    dialect, body = recognise("POST", path), body_of(value)
    assert all(isinstance(text, str) for text in dialect.input_texts(body))
    assert dialect.input_overhead(body) >= 0
    assert isinstance(dialect.model(path, "", body), str)
    dialect.is_stream(path, "", body)
    dialect.ask_for_usage(body)
    with contextlib.suppress(Refusal):
        dialect.add_prompts(body, ALL)
    json.loads(body.render())


def test_deep_nesting_is_read() -> None:
    deep = b'{"messages":[],"tools":[' + b'{"a":' * 500 + b'"text"' + b"}" * 500 + b"]}"
    assert list(recognise("POST", CHAT).input_texts(body_of(deep))) == ["text"]
