"""WebSockets: the Responses API as Codex and the openai package use it, and Realtime."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable
from typing import Any

import openai
from harness import TEXT, main
from websockets.sync.client import connect

MODEL = "gpt-4o-mini"


def _patient[**P, T](check: Callable[P, T]) -> Callable[P, T]:
    """Tries again when the handshake timed out: the package's blocking client over TLS does so now and then,
    also without any proxy."""

    @functools.wraps(check)
    def run(*arguments: P.args, **options: P.kwargs) -> T:
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                return check(*arguments, **options)
        return check(*arguments, **options)

    return run


def _url(path: str) -> str:
    base = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
    return base.replace("http", "ws", 1) + path


def _headers() -> dict[str, str]:
    return {
        "Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
        "OpenAI-Beta": "responses_websockets=2026-02-06",
    }


@_patient
def codex() -> list[Any]:
    """A warm-up and two prompts on one connection, with the compression that Codex offers."""
    results: list[Any] = []
    with connect(_url("/responses"), additional_headers=_headers(), open_timeout=10) as socket:
        for text in (None, TEXT, "second"):
            frame: dict[str, Any] = {"type": "response.create", "model": MODEL, "store": False}
            if text is None:
                frame |= {"generate": False, "input": []}
            else:
                message = {"type": "message", "role": "user"}
                frame["input"] = [{**message, "content": [{"type": "input_text", "text": text}]}]
            socket.send(json.dumps(frame))
            results.append(_until_done(socket))
    return results


def _until_done(socket: Any) -> dict[str, Any]:
    text = ""
    while True:
        event = json.loads(socket.recv(timeout=10))
        if event["type"] == "response.output_text.delta":
            text += event["delta"]
        elif event["type"] in ("response.completed", "error"):
            usage = (event.get("response") or {}).get("usage")
            tokens = usage and [usage["input_tokens"], usage["output_tokens"]]
            return {"type": event["type"], "text": text, "usage": tokens, "status": event.get("status")}


@_patient
def codex_error() -> dict[str, Any]:
    """A refusal within the frames, after which the connection still serves."""
    with connect(_url("/responses"), additional_headers=_headers(), open_timeout=10) as socket:
        results = []
        for model in ("fail-429", MODEL):
            socket.send(json.dumps({"type": "response.create", "model": model, "input": TEXT}))
            results.append(_until_done(socket))
    return {"first": results[0], "then": results[1]["text"]}


@_patient
def sdk_responses() -> str:
    client = openai.OpenAI(timeout=10, max_retries=0)
    text = ""
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input=TEXT)
        for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.completed":
                break
    return text


@_patient
def sdk_realtime() -> dict[str, Any]:
    client = openai.OpenAI(timeout=10, max_retries=0)
    text = ""
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        content: Any = [{"type": "input_text", "text": TEXT}]
        connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        connection.response.create()
        for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.done":
                usage = event.response.usage
                return {"text": text, "usage": usage and [usage.input_tokens, usage.output_tokens]}
    return {}


if __name__ == "__main__":
    main(globals())
