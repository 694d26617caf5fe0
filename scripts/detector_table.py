"""Prints the detectors as the Markdown tables of docs/GUARDRAILS.md; with --write, puts them there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from tokenomics_core.guard.detector import DEFAULT_SCORE, Detector, Shape
from tokenomics_core.guard.detectors import detectors
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.policy.schema import Rule

PAGE = Path(__file__).parents[1] / "docs" / "GUARDRAILS.md"
MARK = "<!-- detectors -->\n\n"

TITLES = {"personal": "Personal", "financial": "Financial", "network": "Network", "secret": "Secrets"}
GROUPS = {"personal": "personal", "financial": "financial", "network": "network", "secret": "secrets"}

# Of a secret no more is shown: its first six characters, or the fixed words that it begins with.
_PREFIX = re.compile(r"(?=.{0,13}[-_.])(?:[a-z0-9]{2,6}[-_.]){1,3}|.{1,6}", re.DOTALL)
_LONGEST = 60


def tables() -> str:
    return "\n".join(line for kind in TITLES for line in _table(kind)).rstrip() + "\n"


def _table(kind: str) -> Iterator[str]:
    own = [detector for detector in detectors().values() if detector.kind == kind]
    yield f"### {TITLES[kind]}"
    yield ""
    yield f"{len(own)} detectors; `{GROUPS[kind]}` stands for all of them."
    yield ""
    yield "| Name | Label in messages | Family | Counts | Score | Example |"
    yield "|---|---|---|---|---|---|"
    for detector in own:
        family = f"`{detector.family}`" if detector.family else ""
        yield (
            f"| `{detector.name}` | {detector.label} | {family} | {_counts(detector)} | {_score(detector)}"
            f" | {_example(detector)} |"
        )
    yield ""


def _counts(detector: Detector) -> str:
    if not detector.shapes:
        return "all of its family"
    alone = [shape for shape in detector.shapes if _alone(shape)]
    near = [shape for shape in detector.shapes if not _alone(shape)]
    if not near:
        return "alone"
    words = " or ".join(f"`{word}`" for word in detector.near[:2])
    return f"alone; some forms near {words}" if alone else f"near {words}"


def _alone(shape: Shape) -> bool:
    most = shape.score if shape.check is None else shape.valid
    return shape.reference or most >= DEFAULT_SCORE


def _score(detector: Detector) -> str:
    """That of the example."""
    if not detector.found:
        return ""
    rule = Rule(type="pii", detect=(detector.name,), action="log", min_score=Decimal("0.01"))
    text = detector.found[0].replace("«", "").replace("»", "")
    start = detector.found[0].index("«")
    scores = [
        match.score
        for match in CompiledRules([rule], "input").scan(text)
        if match.kind == detector.name and match.start == start
    ]
    return f"{max(scores):.2f}"


def _example(detector: Detector) -> str:
    if not detector.found:
        return ""
    before, _, rest = detector.found[0].partition("«")
    value, _, behind = rest.partition("»")
    if detector.kind == "secret":
        found = _PREFIX.match(value)
        value = f"{found[0] if found else ''}…"
    elif len(value) > _LONGEST:
        value = f"{value[:_LONGEST]}…"
    shown = f"{before[-_LONGEST:]}«{value}»{behind[:20]}"
    return f"`{' '.join(shown.split()).replace('|', chr(92) + '|')}`"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(text.partition(MARK)[0] + MARK + tables(), encoding="utf-8")
    else:
        print(tables(), end="")
