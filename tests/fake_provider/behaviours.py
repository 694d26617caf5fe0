"""Misbehaviours: what a provider, or something in front of it, may do to a client.

Each is a function by the name it is asked for: in a script step (``{"do": "early-hints-103"}``) or as the
model of a request, with options after commas (``slow-stream,delay=0.2``). It changes the manner of the
answer that follows, or writes to the wire itself and returns True: then no answer follows.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fake_provider.call import Call
from tests.fake_provider.state import State, Step

Options = dict[str, Any]
Behaviour = Callable[[Call, Options], Awaitable[bool | None]]

BEHAVIOURS: dict[str, Behaviour] = {}

_MANNER_OPTIONS = (
    "text", "tokens", "pieces", "tool", "delay", "fast", "first_byte", "usage", "cut_bytes", "message",
    "code", "cut_after", "hang_after", "close_after", "error_after", "ignore_cap",
)  # fmt: skip


def behaviour(function: Behaviour) -> Behaviour:
    BEHAVIOURS[function.__name__.replace("_", "-")] = function
    return function


async def apply(call: Call, step: Step) -> bool:
    """Does what the step says; True when the answer has been given."""
    for name in _MANNER_OPTIONS:
        if name in step:
            setattr(call.manner, name, step[name])
    name = step.get("do", "")
    if "reset" in step:
        name = {"before_headers": "reset-before-headers", "mid_stream": "die-mid-stream"}[step["reset"]]
    elif "status" in step and not name:
        name = "fail"
    return bool(name and await BEHAVIOURS[name](call, step))


def next_step(state: State, model: str, *, frames: bool = False) -> Step:
    """The step for a request: the script's, else the one that its model asks for, else an empty one.

    A model's ``count`` is how often it misbehaves before it becomes good.
    """
    step = state.next_step(frames=frames)
    if step is None:
        step = step_of_model(model) or {}
        state.counts[model] += 1
        if state.counts[model] > step.get("count", state.counts[model]):
            return {}
    return step


def step_of_model(model: str) -> Step | None:
    """The step that a model's name asks for, such as ``fail-429,retry-after=1``; None for other models."""
    name, *options = model.split(",")
    step: Step = {"do": name}
    if match := re.fullmatch(r"fail-(\d{3})", name):
        step = {"do": "fail", "status": int(match[1])}
    elif name not in BEHAVIOURS:
        return None
    for option in options:
        key, _, value = option.partition("=")
        step[key.replace("-", "_")] = _number(value)
    return step


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


# Errors with a proper answer.


@behaviour
async def fail(call: Call, options: Options) -> None:
    """The dialect's own error. status; message; code; retry_after; retry_after_ms; x_should_retry."""
    call.manner.fail = int(options.get("status", 500))
    for option in ("retry_after", "retry_after_ms", "x_should_retry"):
        if option in options:
            call.manner.headers.append((option.replace("_", "-"), str(options[option])))


@behaviour
async def echo_key(call: Call, options: Options) -> None:
    """Quotes the credential in a header, and in a 401's body, or with status=200 in the answer's text."""
    key = call.record.key
    call.manner.headers.append(("x-echo", f"Bearer {key}"))
    if options.get("status") == 200:
        call.manner.text = f"your key is {key} indeed"
        return
    call.manner.fail = int(options.get("status", 401))
    call.manner.message = f"Incorrect API key provided: {key}. You sent: {call.header('authorization')}"


@behaviour
async def say_back(call: Call, options: Options) -> None:
    """Says what matches in the request's own text, and calls no tool. pattern."""
    text = call.record.frames[-1] if call.record.frames else json.dumps(call.body, ensure_ascii=False)
    match = re.search(options["pattern"], text)
    call.manner.text = f"pong: {match[0] if match else 'nothing'}"


@behaviour
async def html_error(call: Call, options: Options) -> None:
    """A page of HTML, as a balancer in front of the provider sends it. status."""
    call.manner.fail = int(options.get("status", 502))
    call.manner.error_body = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


# Answers that come late, in part, or never.


@behaviour
async def slow_stream(call: Call, options: Options) -> None:
    """Waits before each event. delay in seconds; tokens."""
    call.manner.delay = float(options.get("delay", 0.1))
    call.manner.tokens = int(options.get("tokens", 20))


@behaviour
async def slow_first_byte(call: Call, options: Options) -> None:
    call.manner.first_byte = float(options.get("delay", 1))


@behaviour
async def hang(call: Call, options: Options) -> bool:
    """Takes the request and never answers."""
    await asyncio.Event().wait()
    return True


@behaviour
async def hang_mid_stream(call: Call, options: Options) -> None:
    call.manner.hang_after = int(options.get("after", 3))


@behaviour
async def drip_headers(call: Call, options: Options) -> bool:
    """Sends headers that never end, one at a time. delay in seconds."""
    await call.wire.raw(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        await call.wire.raw(b"x-drip-%d: 1\r\n" % number)
        await asyncio.sleep(float(options.get("delay", 0.2)))
    return True


@behaviour
async def reset_before_headers(call: Call, options: Options) -> bool:
    await call.wire.reset()
    return True


@behaviour
async def close_before_headers(call: Call, options: Options) -> bool:
    await call.wire.close()
    return True


@behaviour
async def die_mid_stream(call: Call, options: Options) -> None:
    """Resets the connection within the answer. after: number of events before."""
    call.manner.cut_after = int(options.get("after", 3))


@behaviour
async def close_mid_stream(call: Call, options: Options) -> None:
    """Closes the connection within the answer, without the body's end. after: number of events before."""
    call.manner.close_after = int(options.get("after", 3))


@behaviour
async def error_in_stream(call: Call, options: Options) -> None:
    """Tells an error as an event of the stream. after: number of events before."""
    call.manner.error_after = int(options.get("after", 3))


@behaviour
async def no_ending(call: Call, options: Options) -> None:
    """Leaves out the last events of the format, and ends the body properly."""
    call.manner.ending = False


# Usage.


@behaviour
async def no_usage(call: Call, options: Options) -> None:
    call.manner.usage = "none"


@behaviour
async def zero_usage(call: Call, options: Options) -> None:
    call.manner.usage = "zero"


# Answers that are unusual and right.


@behaviour
async def early_hints_103(call: Call, options: Options) -> None:
    """An interim answer before the real one. status: 103 or another 1xx."""
    status = int(options.get("status", 103))
    await call.wire.head(status, [("Link", "</style.css>; rel=preload")])


@behaviour
async def trailers(call: Call, options: Options) -> None:
    call.manner.trailers = [("x-trailer", "after the body"), ("Server-Timing", "total;dur=1")]


@behaviour
async def gzip_anyway(call: Call, options: Options) -> None:
    """Compresses, whatever the client accepts."""
    call.manner.gzip = True


@behaviour
async def set_cookie(call: Call, options: Options) -> None:
    call.manner.headers.append(("Set-Cookie", "__cf_bm=provider-session; path=/; HttpOnly; Secure"))


@behaviour
async def redirect(call: Call, options: Options) -> bool:
    """Sends the client elsewhere. status; location, by default a recorded path of this provider."""
    call.record.status = int(options.get("status", 307))
    location = options.get("location", f"{call.state.url}/redirected{call.record.target}")
    await call.wire.head(call.record.status, [("Location", location), ("Content-Length", "0")])
    call.record.finished = True
    return True


@behaviour
async def comments(call: Call, options: Options) -> None:
    """Puts an SSE comment before each event."""
    call.manner.comments = True


@behaviour
async def crlf(call: Call, options: Options) -> None:
    """Ends the lines of a stream with CR LF."""
    call.manner.newline = b"\r\n"


@behaviour
async def cut_anywhere(call: Call, options: Options) -> None:
    """Streams in pieces that end in the middle of events and characters. bytes: size of a piece."""
    call.manner.cut_bytes = int(options.get("bytes", 5))


@behaviour
async def huge_body(call: Call, options: Options) -> None:
    """A very long answer. megabytes."""
    call.manner.text = "the " * (int(float(options.get("megabytes", 40)) * 1024 * 1024) // 4)
    call.manner.pieces = [call.manner.text]
