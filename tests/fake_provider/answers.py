"""The text of an answer: always the same for the same request, and known beforehand to whoever asks.

The answer to ``hello`` is ``pong: hello``. Words in brackets in the user's text change it:
``[tokens=500]`` answers with exactly so many tokens, ``[delay=0.05]`` waits so long before each of them,
``[ignore_cap=1]`` says all of it, whatever the output limit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.fake_provider import billing
from tests.fake_provider.call import Manner

# One token for this provider, and one for the tokenizers of most models.
FILLER = " the"
_DIRECTIVE = re.compile(r"\[(tokens|delay|ignore_cap)=(\d+(?:\.\d+)?)\]")


@dataclass
class ToolCall:
    """A function the model wants called; arguments is JSON text."""

    name: str
    arguments: str


@dataclass
class Answer:
    """What the model says. cut: the output limit ended it."""

    pieces: list[str]
    cut: bool = False
    tool: ToolCall | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        return sum(billing.tokens(piece) for piece in self.pieces)


def compose(
    asked: str,
    manner: Manner,
    *,
    limit: int | None = None,
    tools: list[tuple[str, dict[str, Any]]] | None = None,
) -> Answer:
    """The answer to the user's last text.

    limit: most tokens of output. tools: name and JSON Schema of each function on
    offer; the first is called with the text as its first argument. Pass none when the last word was a tool's.
    """
    for name, value in _DIRECTIVE.findall(asked):
        if name == "tokens" and manner.tokens is None:
            manner.tokens = int(float(value))
        elif name == "delay" and not manner.delay:
            manner.delay = float(value)
        elif name == "ignore_cap":
            manner.ignore_cap = bool(float(value))
    tool = _tool_call(asked, manner, tools or [])
    if tool:
        pieces = billing.pieces(tool.arguments)
    elif manner.pieces is not None:
        pieces = list(manner.pieces)
    elif manner.text is not None:
        pieces = billing.pieces(manner.text)
    elif manner.tokens is not None:
        pieces = [FILLER] * manner.tokens
    else:
        pieces = billing.pieces(f"pong: {asked}")
    if limit is not None and len(pieces) > limit and not manner.ignore_cap:
        return Answer(pieces[:limit], cut=True, tool=tool)
    return Answer(pieces, tool=tool)


def _tool_call(asked: str, manner: Manner, tools: list[tuple[str, dict[str, Any]]]) -> ToolCall | None:
    if manner.tool is not None:
        arguments = manner.tool.get("arguments", {})
        return ToolCall(manner.tool.get("name", "tool"), json.dumps(arguments, ensure_ascii=False))
    if not tools or manner.text is not None or manner.tokens is not None or manner.pieces is not None:
        return None
    name, schema = tools[0]
    parameter = next(iter(schema.get("properties") or {}), "text")
    return ToolCall(name, json.dumps({parameter: asked}, ensure_ascii=False))


def last_text(content: Any) -> str:
    """The text of a message's content, whatever its shape."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(last_text(part) for part in content)
    if isinstance(content, dict):
        return last_text(content.get("text", content.get("content", "")))
    return ""
