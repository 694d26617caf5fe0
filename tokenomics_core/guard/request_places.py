"""Request places: what of a request is looked at beside the texts of its body, and what cannot be looked at.

In these places nothing can stand for a value: where a rule would mask it there, the request is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

from tokenomics_core.charset import readable
from tokenomics_core.guard.inspection import Inspected
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.spans import Span
from tokenomics_core.guard.verdict import blocked
from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.policy.schema import Rule
from tokenomics_core.refusal import Refusal

_NO_TEXT = ("multipart/", "audio/", "image/", "video/")


@dataclass(frozen=True, slots=True)
class Place:
    """name: what it is called in a report. where: how a refusal says it."""

    name: str
    where: str
    span: Span


def url_places(path: str, query: str) -> Iterator[Place]:
    """A mask in a URL would make another request of it."""
    yield Place("path", "in the path of the URL", Span((), unquote(path).replace("/", " "), "label"))
    if query:
        yield Place("query", "in the query of the URL", Span((), unquote_plus(query), "text"))


def name_places(body: dict[str, Any]) -> Iterator[Place]:
    """A body's own member names are its format, and its model's name decides where it goes."""
    names = [name for name in body if not name.isidentifier()]
    if names:
        yield Place("names of members", "in the name of a member", Span((), "\n".join(names), "label"))
    model = body.get("model")
    if isinstance(model, str) and model:
        yield Place("model", "in the name of the model", Span((), model, "label"))


def escaped_place(text: str) -> Place:
    """A body that is JSON in a shape nobody knows here, such as lines of it. text: with its escapes read."""
    return Place("behind escapes", "behind escapes", Span((), text, "text"))


def readable_text(raw: bytes, content_type: str) -> str:
    """A body that is no JSON, as text; the empty string for what cannot be read as such."""
    if content_type.strip().lower().startswith(_NO_TEXT) or not readable(content_type):
        return ""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def check_place(place: Place, found: Inspected) -> None:
    """Raises Refusal for a value where nothing can stand in its place."""
    if found.masked:
        hit = next(hit for hit in found.hits if hit.action == "mask")
        raise Refusal(403, "rule_violation", f"{blocked(hit)} {place.where}")


def check_inspectable(policy: CompiledPolicy | None, what: str) -> None:
    """Raises Refusal for what the rules cannot look into, unless the policy lets it pass."""
    if policy is None or policy.policy.uninspected == "refuse":
        raise Refusal(
            403, "not_inspected", f"the policy's content rules cannot look into {what}, so none pass"
        )


def rule_failed(rules: tuple[Rule, ...], failed: RuleFailed) -> Refusal:
    """Why nothing passes when a rule could not be checked."""
    name = rules[failed.rule].name or rules[failed.rule].type
    return Refusal(500, "rule_failed", f'rule {failed.rule} "{name}" could not be checked, so nothing passes')
