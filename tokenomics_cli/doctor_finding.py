"""Finding: one thing that doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """check: what was looked at, in a word or two. remedy: what to do, unless all is well."""

    check: str
    state: State
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


def bad(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "fail", detail, remedy)


def doubtful(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "warn", detail, remedy)


def split(check: str, state: State, message: str, otherwise: str = "correct it") -> Finding:
    """From an error of the core, which is what is wrong and, after the last semicolon, what to do.

    otherwise: the remedy, where it says none.
    """
    detail, _, remedy = message.rpartition("; ")
    return Finding(check, state, detail, remedy) if detail else Finding(check, state, message, otherwise)
