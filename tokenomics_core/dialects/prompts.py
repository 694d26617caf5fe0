"""A policy's prompts, sorted by where formats have room for them."""

from __future__ import annotations

from collections.abc import Sequence

from tokenomics_core.dialects.base import Prompt
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

_INSTRUCTIONS = frozenset(["", "system", "developer"])
_SAID_BY_MODEL = frozenset(["assistant", "model"])


def split(prompts: Sequence[Prompt]) -> tuple[list[str], list[Prompt]]:
    """The texts of system prompts, and the prompts that are turns of the conversation, each in order."""
    instructions = [prompt.content for prompt in prompts if prompt.role in _INSTRUCTIONS]
    return instructions, [prompt for prompt in prompts if prompt.role not in _INSTRUCTIONS]


def said_by_model(prompt: Prompt) -> bool:
    """Whether a turn is the model's own, for formats that know no roles but the user's and the model's."""
    return prompt.role in _SAID_BY_MODEL


def in_front(texts: Sequence[str], existing: str) -> str:
    """Texts and what follows them, parted by empty lines."""
    return "\n\n".join([*texts, existing] if existing else texts)


def prepend_to_array(body: JsonBody, key: str, items: Sequence[object]) -> None:
    """Puts items in front of an array that the request must have; raises Refusal where it has none."""
    if not items:
        return
    if not isinstance(body.value.get(key), list):
        raise Refusal(400, "invalid_request", f"{key} must be an array")
    body.prepend(key, list(items))
