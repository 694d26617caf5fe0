"""Turns on a WebSocket: each frame that asks for an answer gets it in a manner of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.fake_provider import behaviours
from tests.fake_provider.call import Call, Manner
from tests.fake_provider.errors import ProviderError, openai_error
from tests.fake_provider.records import Bill
from tests.fake_provider.websocket import WebSocket


async def begin(call: Call, model: str) -> Call | None:
    """The call of one turn, with the manner that the script or the model's name asks for.

    None when a misbehaviour has already answered, or closed the connection.
    """
    turn = replace(call, manner=Manner())
    step = behaviours.next_step(call.state, model, frames=True)
    return None if await behaviours.apply(turn, step) else turn


def check(turn: Call) -> None:
    """Raises the error that the turn shall fail with."""
    manner = turn.manner
    if manner.fail:
        raise ProviderError(
            manner.fail, manner.message or f"failing with {manner.fail} as asked", manner.code
        )


def error_event(error: ProviderError) -> dict[str, Any]:
    return {"type": "error", "status": error.status, **openai_error(error)}


async def send(
    turn: Call, socket: WebSocket, events: Iterable[tuple[dict[str, Any], int]], bill: Bill
) -> None:
    """Sends the events of one answer, and bills each when it was sent."""
    manner, record = turn.manner, turn.record
    record.bill += replace(bill, output_tokens=0)
    for number, (event, tokens) in enumerate(events):
        if number == manner.cut_after:
            await asyncio.sleep(0.02)
            await turn.wire.reset()
            return
        if number == manner.hang_after:
            await asyncio.Event().wait()
        if number == manner.close_after:
            await socket.close(1011)
            return
        if number == manner.error_after:
            await socket.send(error_event(ProviderError(500, "the server had an error")))
            return
        if number > manner.fast and manner.delay:
            await asyncio.sleep(manner.delay)
        await socket.send(event)
        record.bill.output_tokens += tokens
