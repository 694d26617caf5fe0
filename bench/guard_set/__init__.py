"""A labelled set for the content guard: sentences with the places and classes of what is in them.

Built from a seed; the generators know the formats, not the detectors' patterns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bench.guard_set import templates
from bench.guard_set.draw import Part, name
from bench.guard_set.kinds import KINDS, SECTIONS, Kind
from bench.guard_set.negatives import iso_time, negatives, unix
from bench.guard_set.personal import order_reference
from bench.guard_set.secrets import uuid

SEED = 7
NEGATIVES = 1400

_SLOT = re.compile(r"\[\[(\w+)(!{0,2})\]\]")


@dataclass(frozen=True, slots=True)
class Label:
    """text[start:end] is a value of the class `family`, of the kind `kind`."""

    start: int
    end: int
    family: str
    kind: str


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    labels: tuple[Label, ...] = ()


def sentences(seed: int = SEED) -> list[Sentence]:
    """All of them, each kind drawn by itself, so that a change of one leaves the others as they are."""
    found = [sentence for kind in KINDS for sentence in _of(kind, Random(f"{seed} {kind.name}"))]
    found += [Sentence(text) for text in negatives(Random(f"{seed} negatives"), NEGATIVES)]
    Random(seed).shuffle(found)
    return found


def families() -> dict[str, tuple[str, ...]]:
    """The classes of each section of the table."""
    return {
        section: tuple(dict.fromkeys(kind.family for kind in kinds)) for section, kinds in SECTIONS.items()
    }


def _of(kind: Kind, r: Random) -> Iterator[Sentence]:
    for _ in range(kind.count):
        language, template = _template(kind, r)
        yield _filled(kind, language, template, r)


def _template(kind: Kind, r: Random) -> tuple[str, str]:
    """Half of the personal values stand in prose, the others in data and code."""
    if kind.form != "people":
        pool = {
            "secret": templates.SECRET,
            "named": tuple(
                text for text in templates.SECRET if "[[label]]" in text or "FIELD" in text.upper()
            ),
            "npmrc": (*templates.SECRET, *templates.NPMRC * 6),
            "block": templates.KEY_BLOCK,
            "url": templates.URL,
            "login": templates.LOGIN,
            "bearer": templates.BEARER,
            "env": templates.ENV,
        }[kind.form]
        return "en", r.choice(pool)
    roll = r.random()
    if kind.fields and roll < 0.4:
        return "en", r.choice(templates.CARRIERS)
    if kind.prose and (roll < 0.7 or not kind.labels):
        return r.choice(kind.prose)
    language = r.choice(tuple(kind.labels) or ("en",))
    if not kind.labels:
        return "en", r.choice(templates.CARRIERS)
    return language, r.choice(templates.LABELLED[language])


def _filled(kind: Kind, language: str, template: str, r: Random) -> Sentence:
    drawn = kind.draw(r)
    value = drawn if isinstance(drawn, Part) else Part("", drawn)
    field = r.choice(kind.fields) if kind.fields else ""
    label = r.choice(kind.labels.get(language) or ("key",))
    variable = r.choice(templates.ENV_NAMES)
    words = {
        "label": lambda: label,
        "field": lambda: field,
        "FIELD": field.upper,
        "NAME": lambda: variable,
        "name": variable.lower,
        "reference": lambda: order_reference(r),
        "number": lambda: str(r.randint(10, 9999)),
        "time": lambda: iso_time(r),
        "unix": lambda: unix(r),
        "uuid": lambda: uuid(r),
    }
    out, labels, at, length = [], [], 0, 0

    def add(text: str) -> None:
        nonlocal length
        out.append(text)
        length += len(text)

    for slot in _SLOT.finditer(template):
        add(template[at : slot.start()])
        at = slot.end()
        word = slot[1]
        if word == "v":
            before, inner, after = (
                _escaped(part, len(slot[2])) for part in (value.before, value.value, value.after)
            )
            add(before)
            labels.append(Label(length, length + len(inner), kind.family, kind.name))
            add(inner)
            add(after)
        elif word in words:
            add(words[word]())
        else:
            add(name(r, word, language))
    add(template[at:])
    return Sentence("".join(out), tuple(labels))


def _escaped(text: str, times: int) -> str:
    """As it stands in JSON, or in JSON that is a string of JSON."""
    for _ in range(times):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text
