"""Capture: what of a streamed answer is kept for memory, while it passes.

It is given the bytes that the client is given, after masking and without the real key. Where values are put
back into the answer (a rule with ``restore``), it takes what comes before that and masks it by itself: the
values are what must not be recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import orjson

from tokenomics_core.dialects.base import Framing
from tokenomics_core.dialects.framing import ArrayParser, EventStreamParser, LineParser, Parser
from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.guard.rules import RuleFailed
from tokenomics_core.guard.stream import FrameGuard, StreamGuard
from tokenomics_core.guard.violation import RuleViolation
from tokenomics_core.memory.entry import LIMIT, Streamed, decoded
from tokenomics_core.memory.said import Said, read_whole
from tokenomics_core.scrub import REPLACEMENT, StreamScrubber, scrub

log = logging.getLogger("tokenomics")

MOST_PAYLOADS = 20_000

EVENT = 2 * LIMIT
"""Bytes of one event above which it is not kept."""


def restores(guard: AnswerGuard | None) -> bool:
    """Whether the client gets values back in the answer that must not be recorded."""
    return guard is not None and guard.vault is not None and guard.vault.known


def unrestored(guard: AnswerGuard, raw: bytes) -> bytes | None:
    """A whole answer for memory, where `restores`: masked, with its placeholders. None for what may not pass.

    raw: the body as it came, without the real key.
    """
    if not guard.compiled:
        return raw
    rules = _without_values(guard)
    try:
        return rules.body(raw)
    except (RuleViolation, RuleFailed):
        return None
    except ValueError:
        return None if (text := decoded(raw)) is None else _text(rules, text)


def _text(rules: AnswerGuard, text: str) -> bytes | None:
    try:
        return rules.text(text).encode()
    except (RuleViolation, RuleFailed):
        return None


def _without_values(guard: AnswerGuard) -> AnswerGuard:
    """The same rules, told to nobody; placeholders stay what they are."""
    return AnswerGuard(guard.compiled, None, lambda hit: None)


class Capture:
    """One streamed answer. It never raises: what cannot be read is not kept.

    guard: of the answer. early: it wants to be fed with what comes from the provider, before the guard and
    the scrubber; otherwise with what the client is given. secret: the real key, which pieces of text could
    make when they are put together. early: whatever the guard is.
    """

    def __init__(
        self,
        framing: Framing,
        guard: AnswerGuard | None = None,
        secret: bytes = b"",
        *,
        limit: int = LIMIT,
        early: bool = False,
    ) -> None:
        self.early = early or restores(guard)
        self.heard: Callable[[bytes], None] | None = None
        """Is told the data of each event, also of those that are not kept."""
        self._masking: StreamGuard | None = None
        self._frames: FrameGuard | None = None
        if self.early and guard is not None and guard.compiled:
            self._masking = _without_values(guard).stream(framing)
            self._frames = _without_values(guard).frames()
        self._parser = _parser(framing)
        self._secret = secret
        self._scrubber = StreamScrubber(secret if self.early else b"")
        self._limit = limit
        self._payloads: list[bytes] = []
        self._room = limit
        self._said = Said(limit)
        self._more = False
        self._cut = False
        self._over = False

    def feed(self, data: bytes) -> None:
        """The next bytes, cut anywhere."""
        if self._over or not data:
            return
        try:
            self._take(self._scrubber.feed(self._masked(data)))
        except Exception as error:
            self._failed(error)

    def frame(self, text: str) -> None:
        """An event that came by itself, as a WebSocket's frames do; not to be mixed with `feed`."""
        if self._over:
            return
        try:
            self._frame([text] if self._frames is None else self._frames.feed(text))
        except (RuleViolation, RuleFailed):
            self._over = True
            self._frame(self._frames.settled if self._frames is not None else [])
        except Exception as error:
            self._failed(error)

    def close(self) -> Streamed | bytes:
        """What was kept; bytes where the answer was one whole body in the place of a stream."""
        rest = b""
        if not self._over:
            try:
                if self._frames is not None:
                    self._frame(self._frames.close())
                self._take(self._scrubber.feed(self._masked(b"", last=True)) + self._scrubber.close())
                rest, value = self._parser.close()
                if value:
                    self._event(value)
            except (RuleViolation, RuleFailed):
                self._frame(self._frames.settled if self._frames is not None else [])
            except Exception as error:
                self._failed(error)
        self._over = True
        whole = _whole(rest) if not self._payloads and not self._more else None
        if whole is not None:
            return whole
        calls = tuple({name: self._clean(said) for name, said in call.items()} for call in self._said.calls)
        text, cut = self._clean(self._said.text), self._cut or self._said.cut
        return Streamed(tuple(self._payloads), text, calls, self._more, cut)

    def _clean(self, text: str) -> str:
        secret = self._secret.decode("utf-8", "replace")
        return text.replace(secret, REPLACEMENT.decode()) if secret else text

    def _masked(self, data: bytes, *, last: bool = False) -> bytes:
        if self._masking is None:
            return data
        try:
            return self._masking.close() if last else self._masking.feed(data)
        except (RuleViolation, RuleFailed):
            # The client's stream ends here too, and who ends it has said why.
            self._over = True
            return self._masking.settled

    def _frame(self, texts: Sequence[str]) -> None:
        for text in texts:
            self._event(scrub(text.encode("utf-8", "replace"), self._secret))

    def _take(self, data: bytes) -> None:
        for raw, value in self._parser.feed(data):
            if value:
                self._event(value)
            elif len(raw) > EVENT:
                self._more = self._cut = True

    def _event(self, value: bytes) -> None:
        if self.heard is not None:
            self.heard(value)
        if len(value) <= self._room and len(self._payloads) < MOST_PAYLOADS:
            self._payloads.append(value)
            self._room -= len(value)
        else:
            # What follows is not kept either: a list with gaps would look whole.
            self._room, self._more = 0, True
        if self._said.full:
            self._cut = self._cut or value != b"[DONE]"
            return
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            return
        if isinstance(event, dict):
            self._said.read(event)

    def _failed(self, error: Exception) -> None:
        self._over = self._more = self._cut = True
        log.warning("memory: %s while a stream was read; the rest of it is not kept", type(error).__name__)


def _whole(rest: bytes) -> bytes | None:
    """A body that came where events were expected, as errors do."""
    rest = rest.strip()
    return rest if rest[:1] in (b"{", b"[") else None


def _parser(framing: Framing) -> Parser:
    match framing:
        case "sse":
            return EventStreamParser(EVENT)
        case "ndjson":
            return LineParser(EVENT)
        case "json_array":
            return ArrayParser(EVENT)


def said_of(body: bytes | Streamed) -> tuple[str, tuple[dict[str, str], ...]]:
    """The assistant's text in an answer, and the tools that it calls; empty for what is no JSON."""
    if isinstance(body, Streamed):
        return body.text, body.calls
    try:
        return read_whole(orjson.loads(body))
    except (orjson.JSONDecodeError, RecursionError):
        return "", ()
