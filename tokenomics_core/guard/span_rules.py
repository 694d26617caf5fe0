"""How the members of JSON objects are looked at: one table for each kind of object.

The formats' own objects have labels (types, roles, ids), binary data, and what the provider sealed; they are
known by member names. JSON Schemas have keywords. All else is free: users and models write it as they like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

# A rule says how the strings of a member are looked at, also those in a list, and what its objects are.
# label, binary, url, odd name: not at all while it is what it should be. value: as text, long numbers too.
How = Literal["text", "json", "name", "value", "label", "binary", "url", "odd name", "never", "logprobs"]


@dataclass(slots=True, eq=False)
class Room:
    """A kind of object: the rules of the members it is known to have, and of all others."""

    members: dict[str, Rule | Choice]
    other: Rule


Rule = tuple[How, Room | None]
Choice = Callable[[dict[str, Any], Any], Rule]
"""The rule, by the object and the member's value."""

FREE = Room({}, ("never", None))
VALUE: Rule = ("value", FREE)
FREE.other = VALUE

_SCHEMA = Room({}, ("never", None))
_IN_SCHEMA: Rule = ("text", _SCHEMA)
_BY_NAME: Rule = ("text", Room({}, _IN_SCHEMA))
_SCHEMA.other = _IN_SCHEMA
_SCHEMA.members = {
    **dict.fromkeys(
        "type format $ref $schema $id $anchor contentEncoding contentMediaType".split(), ("label", _SCHEMA)
    ),
    **dict.fromkeys(
        "description title pattern items anyOf allOf oneOf additionalProperties".split(), _IN_SCHEMA
    ),
    **dict.fromkeys("enum const default example examples".split(), VALUE),
    **dict.fromkeys("properties patternProperties $defs definitions dependentSchemas".split(), _BY_NAME),
    **dict.fromkeys("required propertyOrdering property_ordering".split(), ("odd name", FREE)),
}

# The formats' own objects. Their members that are objects and not listed are free JSON.
FORMAT = Room({}, ("text", FREE))
_RESULT = Room({}, ("text", FREE))
_MEDIA = Room({}, ("text", FREE))
_TEXT: Rule = ("text", FORMAT)
_NAME: Rule = ("name", FORMAT)
_LABEL: Rule = ("label", FORMAT)
_BINARY: Rule = ("binary", FORMAT)
_NEVER: Rule = ("never", None)

_BINARY_KINDS = frozenset(["redacted_thinking", "reasoning.encrypted", "base64", "image", "audio"])
_CONVERSATION = frozenset(["user", "assistant", "system", "developer", "model"])
TOKEN_LISTS = ("prompt", "input", "context", "tokens", "input_ids", "prompt_token_ids")


def _kind(owner: dict[str, Any]) -> str:
    kind = owner.get("type")
    return kind if isinstance(kind, str) else ""


def _name(owner: dict[str, Any], value: Any) -> Rule:
    """A person in a conversation, else a tool."""
    role = owner.get("role")
    return _TEXT if isinstance(role, str) and role in _CONVERSATION else _NAME


def _arguments(owner: dict[str, Any], value: Any) -> Rule:
    return ("json", None) if isinstance(value, str) else VALUE


def _input(owner: dict[str, Any], value: Any) -> Rule:
    """Anthropic's tools take an object, OpenAI's own tools a text; else the input of a request."""
    if _kind(owner).endswith("tool_use"):
        return _arguments(owner, value)
    return VALUE if isinstance(value, dict) else _TEXT


def _output(owner: dict[str, Any], value: Any) -> Rule:
    """Of a tool: a text, or parts. Any other object is the tool's own."""
    return VALUE if isinstance(value, dict) and _kind(value) != "computer_screenshot" else _TEXT


def _content(owner: dict[str, Any], value: Any) -> Rule:
    if isinstance(value, dict) and "parts" not in value and (owner.get("role") == "tool" or not _kind(value)):
        return VALUE
    return _TEXT


def _data(owner: dict[str, Any], value: Any) -> Rule:
    """Binary beside a media type or in a binary part; text in a document that is text."""
    if not isinstance(value, str):
        return _TEXT
    media = owner.get("media_type") or owner.get("mimeType") or owner.get("mime_type")
    if isinstance(media, str):
        return _TEXT if is_textual(media) else _BINARY
    return _BINARY if _kind(owner) in _BINARY_KINDS or isinstance(owner.get("format"), str) else _TEXT


def _media_data(owner: dict[str, Any], value: Any) -> Rule:
    rule = _data(owner, value)
    return rule if any(name in owner for name in ("media_type", "mimeType", "mime_type")) else _BINARY


def _result(owner: dict[str, Any], value: Any) -> Rule:
    return _BINARY if _kind(owner) == "image_generation_call" else _TEXT


def _delta(owner: dict[str, Any], value: Any) -> Rule:
    kind = _kind(owner)
    if kind.endswith("audio.delta"):
        return _BINARY
    return ("json", None) if kind.endswith("arguments.delta") and isinstance(value, str) else _TEXT


def _format_of_answer(owner: dict[str, Any], value: Any) -> Rule:
    """A word, OpenAI's object around a schema, or Ollama's schema itself."""
    return ("label", _SCHEMA if isinstance(value, dict) and "schema" not in value else FORMAT)


_LABELS = """
    type role id object model status call_id tool_use_id tool_call_id toolCallId item_id previous_item_id
    event_id response_id previous_response_id responseId conversation conversation_id session_id stream_id
    batch_id approval_request_id container container_id file_id image_id vector_store_ids
    finish_reason native_finish_reason finishReason stop_reason done_reason blockReason
    prompt_cache_key prompt_cache_retention cachedContent cached_content
    service_tier system_fingerprint modelVersion encoding_format mime_type mimeType media_type detail voice
    response_format tool_choice created_at createTime expires_at language phase truncation effort verbosity
"""
_SEALED = """
    signature encrypted_content encrypted_index encrypted_stdout thought_signature thought_signatures
    thoughtSignature reasoning_opaque obfuscation file_data images b64_json partial_image_b64
"""
_URLS = "url image_url video_url audio_url file_url"
_TEXTS = """
    text messages contents parts instructions system systemInstruction system_instruction prompt suffix
    description title summary thinking reasoning reasoning_content refusal transcript stop stop_sequences
    stopSequences tools functions tool_calls functionDeclarations function_declarations custom grammar
    json_schema item items part response session message content_block choices candidates error annotations
    url_citation citations source sources action operation outputs results file fileData
    executableCode executable_code codeExecutionResult code_execution_result cache_control
    context_management edits
    output_config generationConfig generation_config thinkingConfig thinking_config toolConfig tool_config
    functionCallingConfig function_calling_config safetySettings safety_settings options stream_options
    prediction transcription input_audio_transcription turn_detection mcp_servers tool_configuration
    context tokens input_ids prompt_token_ids stop_token_ids
    request requests generateContentRequest generate_content_request reasoning_details
    incomplete_details status_details extra_content google provider_specific_fields user safety_identifier
    groundingMetadata groundingChunks groundingSupports web segment citationMetadata
    citationSources promptFeedback
"""
_NAMES = """
    function functionCall function_call tool_name toolName tool_names allowed_tools allowedFunctionNames
    allowed_function_names server_label
"""
_SCHEMAS = """
    parameters parametersJsonSchema parameters_json_schema input_schema inputSchema output_schema outputSchema
    schema responseSchema response_schema responseJsonSchema response_json_schema guided_json
"""

FORMAT.members = {
    **dict.fromkeys(_LABELS.split(), _LABEL),
    **dict.fromkeys(_SEALED.split(), _BINARY),
    **dict.fromkeys(_URLS.split(), ("url", FORMAT)),
    **dict.fromkeys(_TEXTS.split(), _TEXT),
    **dict.fromkeys(_NAMES.split(), _NAME),
    **dict.fromkeys(_SCHEMAS.split(), _IN_SCHEMA),
    **dict.fromkeys(["functionResponse", "function_response"], ("name", _RESULT)),
    **dict.fromkeys(["audio", "input_audio", "inlineData", "inline_data"], ("binary", _MEDIA)),
    **dict.fromkeys(["client_metadata", "logit_bias"], _NEVER),
    "metadata": VALUE,
    "partial_json": ("json", None),
    "name": _name,
    "arguments": _arguments,
    "input": _input,
    "output": _output,
    "content": _content,
    "data": _data,
    "result": _result,
    "delta": _delta,
    "format": _format_of_answer,
}
_RESULT.members = {**FORMAT.members, "response": VALUE}
_MEDIA.members = {
    **FORMAT.members,
    "data": _media_data,
    "input": ("text", _MEDIA),
    "output": ("text", _MEDIA),
    "format": _LABEL,
}

_ANSWER_FORMAT = Room(
    {
        **FORMAT.members,
        **dict.fromkeys("usage usageMetadata usage_metadata safetyRatings safety_ratings".split(), _NEVER),
        **dict.fromkeys(["embedding", "embeddings"], _NEVER),
        **dict.fromkeys(["logprobs", "logprobsResult", "logprobs_result"], ("logprobs", None)),
    },
    FORMAT.other,
)

_FRAMES = frozenset(
    "session conversation response input_audio_buffer output_audio_buffer transcription_session".split()
)
_ANSWERS = frozenset(
    "choices candidates output usage usageMetadata promptFeedback embedding embeddings error done".split()
)
_EVENTS = ("message_", "content_block_", "ping", "error")


def _is_frame(value: dict[str, Any]) -> bool:
    head, dot, _ = _kind(value).partition(".")
    return bool(dot) and head in _FRAMES


def _is_request(value: dict[str, Any]) -> bool:
    """Whether an object is a request in one of the formats, for all that can be seen."""
    if isinstance(value.get("messages"), list) or "contents" in value or _is_frame(value):
        return True
    if any(isinstance(value.get(name), str | list) for name in ("input", "prompt")):
        return True
    content, inner = value.get("content"), value.get("request") or value.get("generateContentRequest")
    within = content if isinstance(content, dict) else inner
    if isinstance(within, dict):
        return "parts" in within or "contents" in within
    return isinstance(value.get("requests"), list) or (
        "model" in value and any(name in value for name in ("instructions", "previous_response_id"))
    )


def _is_answer(value: dict[str, Any]) -> bool:
    """Whether an object is an answer, or an event of one."""
    if not _ANSWERS.isdisjoint(value) or isinstance(value.get("object"), str) or _is_frame(value):
        return True
    inner = value.get("response")
    if isinstance(inner, dict) and "candidates" in inner:
        return True
    return _kind(value).startswith(_EVENTS) or (_kind(value) == "message" and "content" in value)


class Side(NamedTuple):
    """Requests or answers: the table of the formats' objects, and which objects are of a format."""

    formats: Room
    known: Callable[[dict[str, Any]], bool]


REQUEST = Side(FORMAT, _is_request)
ANSWER = Side(_ANSWER_FORMAT, _is_answer)


_TEXTUAL = frozenset(
    "json jsonl ndjson xml html xhtml yaml javascript typescript csv sql toml sh python rtf markdown".split()
)


def is_textual(media: str) -> bool:
    """Whether a media type is of files that models read as text."""
    main, _, kind = media.partition(";")[0].strip().lower().partition("/")
    return main == "text" or kind.replace(".", "-").replace("+", "-").rpartition("-")[2] in _TEXTUAL
