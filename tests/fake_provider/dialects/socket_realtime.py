"""The Realtime API, text only: items are collected, ``response.create`` answers the last of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fake_provider import billing, turns
from tests.fake_provider.answers import Answer, compose, last_text
from tests.fake_provider.call import Call, Manner
from tests.fake_provider.errors import ProviderError
from tests.fake_provider.records import Bill
from tests.fake_provider.websocket import WebSocket


class Session:
    """One connection's conversation: all of it is input of every response."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.items: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {"type": "realtime", "model": call.model}
        self.config |= {"id": f"sess_{call.number:06d}", "object": "realtime.session", "instructions": ""}
        self.beta = "realtime=v1" in call.header("openai-beta")
        self.turns = 0

    @property
    def delta_type(self) -> str:
        return "response.text" if self.beta else "response.output_text"


async def serve(call: Call, socket: WebSocket) -> None:
    session = Session(call)
    await socket.send({"type": "session.created", "event_id": "event_0", "session": session.config})
    async for text in socket.texts():
        frame = json.loads(text)
        match frame.get("type"):
            case "session.update":
                session.config |= frame.get("session", {})
                await socket.send(_event("session.updated", session=session.config))
            case "conversation.item.create":
                item = {"id": f"item_{len(session.items)}", "status": "completed", **frame.get("item", {})}
                session.items.append(item)
                kind = "conversation.item.created" if session.beta else "conversation.item.added"
                await socket.send(_event(kind, item=item, previous_item_id=None))
            case "response.create":
                await _respond(session, socket, frame.get("response") or {})
            case "input_audio_buffer.commit":
                # As after a pause in what was spoken: it answers without being asked.
                await _respond(session, socket, {})
            case "response.cancel" | "input_audio_buffer.append" | "input_audio_buffer.clear":
                continue
            case kind:
                error = ProviderError(400, f"Unknown event type {kind!r}", "unknown_event")
                await socket.send(_event("error", **turns.error_event(error)))


async def _respond(session: Session, socket: WebSocket, options: dict[str, Any]) -> None:
    turn = await turns.begin(session.call, str(session.config.get("model", "")))
    if turn is None:
        return
    try:
        turns.check(turn)
    except ProviderError as error:
        await socket.send(_event("error", **turns.error_event(error)))
        return
    session.turns += 1
    items = [*session.items, *options.get("input", [])]
    instructions = options.get("instructions") or session.config.get("instructions")
    limit = options.get("max_output_tokens")
    asked = last_text(items[-1].get("content")) if items else ""
    answer = compose(asked, turn.manner, limit=limit if isinstance(limit, int) else None)
    texts = [item.get("content") for item in items]
    bill = Bill(billing.input_tokens(instructions, texts), answer.tokens)
    await turns.send(turn, socket, _steps(session, answer, bill, turn.manner), bill)


def _steps(
    session: Session, answer: Answer, bill: Bill, manner: Manner
) -> Iterator[tuple[dict[str, Any], int]]:
    name = f"resp_{session.call.number:06d}_{session.turns}"
    response: dict[str, Any] = {"id": name, "object": "realtime.response", "output": [], "usage": None}
    yield _event("response.created", response={**response, "status": "in_progress"}), 0
    item: dict[str, Any] = {"id": f"msg_{name}", "object": "realtime.item", "type": "message", "content": []}
    item |= {"status": "in_progress", "role": "assistant"}
    place = {"response_id": name, "item_id": item["id"], "output_index": 0, "content_index": 0}
    yield _event("response.output_item.added", response_id=name, output_index=0, item=item), 0
    for piece in answer.pieces:
        yield _event(f"{session.delta_type}.delta", **place, delta=piece), billing.tokens(piece)
    yield _event(f"{session.delta_type}.done", **place, text=answer.text), 0
    content = [{"type": "text" if session.beta else "output_text", "text": answer.text}]
    item |= {"status": "completed", "content": content}
    session.items.append(item)
    yield _event("response.output_item.done", response_id=name, output_index=0, item=item), 0
    response |= {"status": "incomplete" if answer.cut else "completed", "output": [item]}
    if manner.usage != "none":
        response["usage"] = usage(Bill() if manner.usage == "zero" else bill)
    yield _event("response.done", response=response), 0


def usage(bill: Bill) -> dict[str, Any]:
    inputs = {"text_tokens": bill.input_tokens, "audio_tokens": 0, "cached_tokens": bill.cached_input_tokens}
    return {
        "total_tokens": bill.input_tokens + bill.output_tokens,
        "input_tokens": bill.input_tokens,
        "output_tokens": bill.output_tokens,
        "input_token_details": inputs,
        "output_token_details": {"text_tokens": bill.output_tokens, "audio_tokens": 0},
    }


def _event(kind: str, **members: Any) -> dict[str, Any]:
    return {"event_id": f"event_{kind}", **members, "type": kind}
