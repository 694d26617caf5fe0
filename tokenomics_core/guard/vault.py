r"""Reversible placeholders: what stands for the values of a conversation, and finding it in an answer.

A placeholder is ``<KIND_NUMBER>``, such as ``<EMAIL_1>``: the kind in capitals, numbered by first use. Only
the exact spelling counts. What a model alters or invents stays as it is.

In JSON text (a string that itself holds JSON, as the arguments of a tool call) ``<`` and ``>`` may also be
written as ``\u003c`` and ``\u003e``, and the value comes back escaped. A value has one placeholder in prose
and in JSON text. So one thing is not byte-exact: a value which JSON text wrote with escapes that it does not
need (``\/``, ``\u0041``) comes back in the usual spelling. The parsed text is the same.
"""

from __future__ import annotations

import json
import re
import sys
import time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

MOST_VALUES = 10_000
"""Values of a conversation; also the placeholders in the client's own words that are remembered."""

MOST_BYTES = 4 * 1024 * 1024
"""Memory of a conversation, about."""

MOST_CONVERSATIONS = 4096

MOST_TOTAL_BYTES = 256 * 1024 * 1024
"""Memory of all conversations of a process."""

IDLE = 24 * 3600
"""Seconds after which a conversation that nobody continues is forgotten."""

HIGHEST = 99_999
"""Last number of a kind."""

_LONGEST_KIND = 48

_LONGEST = 80
"""Characters; no placeholder is longer, both brackets escaped."""

_ENTRY = 300
"""Bytes that an entry takes beside its value."""

_EMPTY = 1200
"""Bytes of a conversation without values."""

# None of these can backtrack: what follows a repetition is never part of it.
_PROSE = re.compile(r"<([A-Z0-9_]{1,56}+)>")
_JSON = re.compile(r"(?:<|\\u003[cC])([A-Z0-9_]{1,56}+)(?:>|\\u003[eE])")
_JSON_BEGUN = re.compile(r"(?:<|\\u003[cC])([A-Z0-9_]{0,56}+)(\\(?:u(?:0(?:03?)?)?)?)?\Z")
_ESCAPE_BEGUN = re.compile(r"\\(?:u(?:0(?:03?)?)?)?\Z")
_NUMBERED = re.compile(r"[1-9][0-9]{0,4}\Z")
_NOT_IN_KIND = re.compile(r"[^A-Z0-9_]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class VaultFull(Exception):
    """The conversation has no further placeholder. Never holds the value."""

    def __init__(self) -> None:
        super().__init__("the conversation has no room for another placeholder")


@dataclass(frozen=True, slots=True)
class Found:
    """A placeholder in a text: text[start:end], and the value it stands for, not escaped."""

    start: int
    end: int
    original: str = field(repr=False)


class Vault:
    """The placeholders of one conversation. Threads may share it. len(): how many values it has."""

    def __init__(self, grew: Callable[[Vault], None] | None = None) -> None:
        self._lock = Lock()
        self._grew = grew
        # A name is a placeholder without its brackets.
        self._names: dict[tuple[str, str], str] = {}
        self._originals: dict[str, str] = {}
        self._sorted: list[str] = []
        self._last: dict[str, int] = {}
        self._avoided: set[str] = set()
        self._closed = False
        self.bytes = _EMPTY

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} values)"

    def __len__(self) -> int:
        return len(self._originals)

    @property
    def known(self) -> bool:
        """False: there is nothing to restore."""
        return bool(self._originals)

    def avoid(self, text: str) -> None:
        """Placeholders that the client's own text holds are its own words: none is given out, or restored.

        To be called with all texts of a request before its first `placeholder`. A value whose placeholder
        turns up there gets another one. Not for text that holds placeholders because nobody restored them.
        """
        if "<" not in text and "\\u003" not in text:
            return
        for match in _JSON.finditer(text):
            kind, _, number = match[1].rpartition("_")
            if kind and _NUMBERED.match(number):
                with self._lock:
                    self._avoid(match[1])
        if self._grew is not None:
            self._grew(self)

    def placeholder(self, kind: str, value: str) -> str:
        """Stable: the same kind and value have the same placeholder. Raises VaultFull."""
        # There are few, and each value would have its own copy.
        kind = sys.intern(written_kind(kind))
        with self._lock:
            name = self._names.get((kind, value))
            if name is not None:
                return f"<{name}>"
            if self._closed or not self.room_for(value):
                raise VaultFull
            name = self._next_name(kind)
            self._keep(name, kind, value)
        if self._grew is not None:
            self._grew(self)
        return f"<{name}>"

    def original(self, placeholder: str) -> str | None:
        if placeholder[:1] != "<" or placeholder[-1:] != ">":
            return None
        return self._originals.get(placeholder[1:-1])

    def room_for(self, value: str, taken: int = 0, count: int = 0) -> bool:
        """taken, count: bytes and number of further values that are about to come."""
        full = len(self) + count >= MOST_VALUES
        return not full and self.bytes + taken + cost(value) <= MOST_BYTES

    def begins(self, text: str) -> bool:
        """Whether a placeholder without its brackets is this text, or begins with it."""
        with self._lock:
            at = bisect_left(self._sorted, text)
            return at < len(self._sorted) and self._sorted[at].startswith(text)

    def _next_name(self, kind: str) -> str:
        number = self._last.get(kind, 0) + 1
        while f"{kind}_{number}" in self._avoided:
            number += 1
        if number > HIGHEST:
            raise VaultFull
        self._last[kind] = number
        return f"{kind}_{number}"

    def _keep(self, name: str, kind: str, value: str) -> None:
        self._names[kind, value] = name
        self._originals[name] = value
        insort(self._sorted, name)
        self.bytes += cost(value)

    def _avoid(self, name: str) -> None:
        if name in self._avoided:
            return
        value = self._originals.pop(name, None)
        if value is not None:
            del self._sorted[bisect_left(self._sorted, name)]
            del self._names[name.rpartition("_")[0], value]
            self.bytes -= cost(value)
        if len(self._avoided) < MOST_VALUES:
            self._avoided.add(name)
            self.bytes += cost(name)
        else:
            # Whether a new one would be the client's own word cannot be told any more.
            self._closed = True


class Vaults:
    """The conversations of this process. now: seconds of a clock that never goes back.

    The one that was not used for longest goes first. An exchange that holds a vault keeps it all the same.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = Lock()
        # By last use.
        self._held: dict[tuple[str, str], _Held] = {}
        self._total = 0

    def __repr__(self) -> str:
        return f"Vaults({len(self)} conversations)"

    def __len__(self) -> int:
        return len(self._held)

    def of(self, token_hash: str, session: str) -> Vault:
        """The vault of a token's session. Without a session (``""``) a new one, for one exchange."""
        if not session:
            return Vault()
        key = (token_hash, session)
        self.forget_idle()
        with self._lock:
            held = self._held.pop(key, None)
            if held is None:
                held = _Held(Vault(partial(self._recount, key)), _EMPTY)
                self._total += held.counted
            held.used = self._now()
            self._held[key] = held
            self._make_room()
        return held.vault

    def forget_idle(self) -> None:
        """`of` does so too. A timer may, so that a quiet process keeps no values for longer."""
        with self._lock:
            while self._held:
                first = next(iter(self._held))
                if self._now() - self._held[first].used < IDLE:
                    return
                self._drop(first)

    def _recount(self, key: tuple[str, str], vault: Vault) -> None:
        with self._lock:
            held = self._held.get(key)
            if held is None or held.vault is not vault:
                return
            self._total += vault.bytes - held.counted
            held.counted = vault.bytes
            self._make_room()

    def _make_room(self) -> None:
        while len(self._held) > MOST_CONVERSATIONS or self._total > MOST_TOTAL_BYTES:
            self._drop(next(iter(self._held)))

    def _drop(self, key: tuple[str, str]) -> None:
        self._total -= self._held.pop(key).counted


@dataclass(slots=True)
class _Held:
    vault: Vault
    counted: int
    used: float = 0.0


def cost(value: str) -> int:
    """Bytes that a value takes in a vault, about."""
    return sys.getsizeof(value) + _ENTRY


def written_kind(kind: str) -> str:
    """A kind as placeholders write it: ``credit-card`` is ``CREDIT_CARD``."""
    return _NOT_IN_KIND.sub("_", kind.upper())[:_LONGEST_KIND] or "VALUE"


def find(text: str, vault: Vault, since: int = 0, json_text: bool = False) -> list[Found]:
    """The placeholders of this vault in text[since:], in order.

    What stands before `since` tells whether a backslash is itself escaped.
    """
    if not vault.known or (text.find("<", since) < 0 and not (json_text and text.find("\\u003", since) >= 0)):
        return []
    found = []
    for match in (_JSON if json_text else _PROSE).finditer(text, since):
        original = vault.original(f"<{match[1]}>")
        if original is not None and not _escaped(text, match.start()):
            found.append(Found(match.start(), match.end(), original))
    return found


def unfinished(text: str, vault: Vault, since: int = 0, json_text: bool = False) -> int:
    """Start of the suffix which, with what follows, may be a placeholder of this vault. Not before `since`.

    len(text) when there is none.
    """
    if not vault.known:
        return len(text)
    near = max(since, len(text) - _LONGEST)
    if not json_text:
        at = text.rfind("<", near)
        return at if at >= 0 and vault.begins(text[at + 1 :]) else len(text)
    begun = _JSON_BEGUN.search(text, near)
    if begun is not None and not _escaped(text, begun.start()):
        name, bracket = begun[1], begun[2]
        if vault.original(f"<{name}>") is not None if bracket else vault.begins(name):
            return begun.start()
    escape = _ESCAPE_BEGUN.search(text, max(since, len(text) - 5))
    return escape.start() if escape is not None and not _escaped(text, escape.start()) else len(text)


def restored(text: str, vault: Vault, json_text: bool = False) -> str:
    """The text with the values in the place of their placeholders."""
    pieces: list[str] = []
    end = 0
    for found in find(text, vault, json_text=json_text):
        pieces += (text[end : found.start], fragment_of(found.original, json_text))
        end = found.end
    return "".join((*pieces, text[end:])) if pieces else text


def value_of(fragment: str, json_text: bool) -> str:
    """The value behind what was found in a text: in JSON text, what the inside of a string stands for.

    A fragment that cannot be the inside of a string is its own value. JSON text gets it back escaped.
    """
    if not json_text or "\\" not in fragment:
        return fragment
    try:
        value: str = json.loads(f'"{fragment}"', strict=False)
    except ValueError:
        return fragment
    return value


def fragment_of(value: str, json_text: bool) -> str:
    """The value as it is written in a text: in JSON text, inside a string."""
    if not json_text:
        return value
    body = json.dumps(value, ensure_ascii=False)[1:-1]
    # Half a pair is no text: only its escape can be written down.
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", body)


def _escaped(text: str, at: int) -> bool:
    """Whether this is a backslash that another one escapes."""
    if text[at] != "\\":
        return False
    before = at
    while before and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1
