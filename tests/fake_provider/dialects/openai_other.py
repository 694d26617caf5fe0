"""The rest of OpenAI's API: completions, embeddings, models, files, audio, images, moderations."""

from __future__ import annotations

import hashlib
import struct
from base64 import b64encode
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.answers import Answer, compose
from tests.fake_provider.call import Call, Event, Reply, to_json
from tests.fake_provider.dialects.openai_chat import CREATED, usage
from tests.fake_provider.errors import ProviderError, ids
from tests.fake_provider.records import Bill

MODELS = ["gpt-4o", "gpt-4o-mini", "o3", "text-embedding-3-small"]
DIMENSIONS = 8


def completions(call: Call) -> Reply:
    """The old completions, with a text or a list of texts as prompt."""
    body = call.body
    if "prompt" not in body:
        raise ProviderError(400, "you must provide a prompt")
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    answers = [compose(str(prompt), call.manner, limit=body.get("max_tokens")) for prompt in prompts]
    bill = Bill(billing.input_tokens(body["prompt"]), sum(answer.tokens for answer in answers))
    if body.get("stream") is True:
        events = _completion_events(call, answers, bill)
        return Reply(content_type="text/event-stream", events=events, headers=ids(call, "openai"), bill=bill)
    choices = [_choice(number, answer.text, _finish(answer)) for number, answer in enumerate(answers)]
    value = {**_completion(call), "choices": choices}
    if call.manner.usage != "none":
        value["usage"] = usage(call, bill)
    return Reply.of(value, bill, headers=ids(call, "openai"))


def _completion_events(call: Call, answers: list[Answer], bill: Bill) -> Iterator[Event]:
    for number, answer in enumerate(answers):
        for piece in answer.pieces:
            value = {**_completion(call), "choices": [_choice(number, piece, None)]}
            yield Event(b"data: " + to_json(value) + b"\n\n", billing.tokens(piece))
        last = {**_completion(call), "choices": [_choice(number, "", _finish(answer))]}
        yield Event(b"data: " + to_json(last) + b"\n\n")
    if (call.body.get("stream_options") or {}).get("include_usage") and call.manner.usage != "none":
        value = {**_completion(call), "choices": [], "usage": usage(call, bill)}
        yield Event(b"data: " + to_json(value) + b"\n\n")
    if call.manner.ending:
        yield Event(b"data: [DONE]\n\n")


def _completion(call: Call) -> dict[str, Any]:
    return {
        "id": f"cmpl-{call.number:06d}",
        "object": "text_completion",
        "created": CREATED,
        "model": call.model,
    }


def _choice(number: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": None, "finish_reason": finish}


def _finish(answer: Answer) -> str:
    return "length" if answer.cut else "stop"


def embeddings(call: Call) -> Reply:
    """Vectors made from a hash of each input: floats, or base64 as the SDK asks for it."""
    body = call.body
    given = body.get("input")
    if given is None:
        raise ProviderError(400, "'$.input' is invalid.")
    items = given if isinstance(given, list) and not all(isinstance(item, int) for item in given) else [given]
    bill = Bill(sum(len(i) if isinstance(i, list) else billing.tokens(str(i)) for i in items))
    data = []
    for number, item in enumerate(items):
        vector = embedding(str(item))
        packed: Any = vector
        if body.get("encoding_format") == "base64":
            packed = b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode()
        data.append({"object": "embedding", "index": number, "embedding": packed})
    value: dict[str, Any] = {"object": "list", "data": data, "model": call.model}
    if call.manner.usage != "none":
        value["usage"] = {"prompt_tokens": bill.input_tokens, "total_tokens": bill.input_tokens}
    return Reply.of(value, bill, headers=ids(call, "openai"))


def embedding(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 256 - 0.5 for byte in digest[:DIMENSIONS]]


def models(call: Call) -> Reply:
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "fake"} for name in MODELS]
    if "after_id" in call.query or call.header("anthropic-version"):
        stamp = "2025-01-01T00:00:00Z"
        claude = {"type": "model", "id": "claude-sonnet-4-6", "display_name": "Claude", "created_at": stamp}
        ends = {"first_id": claude["id"], "last_id": claude["id"]}
        return Reply.of({"data": [claude], "has_more": False, **ends}, headers=ids(call, "anthropic"))
    return Reply.of({"object": "list", "data": data}, headers=ids(call, "openai"))


def model(call: Call) -> Reply:
    name = call.path.rsplit("/", 1)[-1]
    if name not in MODELS:
        raise ProviderError(404, f"The model '{name}' does not exist", "model_not_found")
    value = {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}
    return Reply.of(value, headers=ids(call, "openai"))


def upload(call: Call) -> Reply:
    """POST /v1/files: counts the bytes of the file part, of which the record keeps the first megabytes."""
    part = _parts(call).get("file", b"")
    size = len(part) if call.record.body_bytes == len(call.record.body) else call.record.body_bytes
    value = {"id": f"file-{call.number:06d}", "object": "file", "bytes": size, "created_at": CREATED}
    purpose = _parts(call).get("purpose", b"").decode()
    value |= {"filename": "upload", "purpose": purpose, "status": "processed"}
    return Reply.of(value, headers=ids(call, "openai"))


def transcription(call: Call) -> Reply:
    """Audio to text: says how many bytes it heard; 100 bytes are one token."""
    heard = len(_parts(call).get("file", b""))
    text = f"heard {heard} bytes"
    bill = Bill(billing.REQUEST_OVERHEAD + heard // 100, billing.tokens(text))
    used = {"type": "tokens", "input_tokens": bill.input_tokens, "output_tokens": bill.output_tokens}
    used["total_tokens"] = bill.input_tokens + bill.output_tokens
    return Reply.of({"text": text, "usage": used}, bill, headers=ids(call, "openai"))


def speech(call: Call) -> Reply:
    """Text to audio: bytes that are no text in any encoding."""
    said = str(call.body.get("input", ""))
    audio = b"\xff\xfb\x90\x00" + hashlib.sha256(said.encode()).digest() * 64
    bill = Bill(billing.input_tokens(said))
    return Reply(content_type="audio/mpeg", body=audio, headers=ids(call, "openai"), bill=bill)


def images(call: Call) -> Reply:
    bill = Bill(billing.input_tokens(call.body.get("prompt")), 100)
    used = {"input_tokens": bill.input_tokens, "output_tokens": bill.output_tokens}
    used["total_tokens"] = bill.input_tokens + bill.output_tokens
    value = {"created": CREATED, "data": [{"b64_json": b64encode(b"picture").decode()}], "usage": used}
    return Reply.of(value, bill, headers=ids(call, "openai"))


def moderations(call: Call) -> Reply:
    value = {"id": f"modr-{call.number:06d}", "model": "omni-moderation-latest"}
    result: dict[str, Any] = {"flagged": False, "categories": {}, "category_scores": {}}
    return Reply.of({**value, "results": [result]}, headers=ids(call, "openai"))


def _parts(call: Call) -> dict[str, bytes]:
    """The parts of a multipart body by name."""
    head = f"Content-Type: {call.header('content-type')}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + call.record.body)
    if not message.is_multipart():
        raise ProviderError(400, "Could not parse multipart form")
    parts: dict[str, bytes] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        parts[str(name)] = content if isinstance(content, bytes) else b""
    return parts
