"""The Responses API on a WebSocket: each ``response.create`` frame is a request."""

from __future__ import annotations

import json

from tests.fake_provider import turns
from tests.fake_provider.call import Call
from tests.fake_provider.dialects import openai_responses
from tests.fake_provider.errors import ProviderError
from tests.fake_provider.websocket import WebSocket


async def serve(call: Call, socket: WebSocket) -> None:
    """Answers until the client closes. ``generate: false`` is answered without a word of output."""
    number = 0
    async for text in socket.texts():
        frame = json.loads(text)
        kind = frame.get("type")
        if kind != "response.create":
            error = ProviderError(400, f"Unknown event type {kind!r}", "unknown_event")
            await socket.send(turns.error_event(error))
            continue
        number += 1
        turn = await turns.begin(call, str(frame.get("model", "")))
        if turn is None:
            continue
        try:
            turns.check(turn)
            name = f"resp_{call.number:06d}_{number}"
            response, answer, bill = openai_responses.begin(turn, frame, turn.manner, name)
        except ProviderError as error:
            await socket.send(turns.error_event(error))
            continue
        steps = openai_responses.steps(response, answer, bill, turn.manner)
        await turns.send(turn, socket, steps, bill)
