"""Every path that is none of the formats: passed on, and metered by what its answer says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tokenomics_core.dialects.any_shape import AnyLog, read_any
from tokenomics_core.dialects.base import Answer, Dialect, Framing, Prompt, Stop, StreamReader
from tokenomics_core.dialects.paths import BEDROCK, BEFORE_VERB, DEPLOYMENT, named_model
from tokenomics_core.dialects.reading import EventLog, EventReader
from tokenomics_core.dialects.texts import every_string
from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal


class Unknown(Dialect):
    """errors: the dialect in whose words a refusal is put.

    bills: whether an answer's usage is a new bill. What is fetched was billed when it was made.
    """

    name: ClassVar[str] = "unknown"
    operation: ClassVar[str] = "unknown"
    counts_tokens: ClassVar[bool] = False

    def __init__(self, errors: Dialect, *, bills: bool) -> None:
        self._errors = errors
        self._bills = bills

    def model(self, path: str, query: str, body: JsonBody | None) -> str:
        """The path's where it names one, for that is what is answered; else the body's."""
        for pattern in (DEPLOYMENT, BEFORE_VERB, BEDROCK):
            if named := named_model(pattern, path):
                return named
        return super().model(path, query, body)

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        yield from every_string(body.value)

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """Not injected: nobody knows where."""

    def read_answer(self, body: dict[str, Any]) -> Answer:
        if not self._bills:
            return Answer(ended=True)
        answer = read_any(body)
        answer.text, answer.text_length = [], 0
        return answer

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        def failed(stop: Stop) -> bytes:
            return self.error_event(Refusal(429, stop.code, stop.message), "", framing)

        log = AnyLog(_Silent()) if self._bills else _Deaf()
        return EventReader(framing, log, self.read_answer, failed=failed)

    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        return self._errors.error_body(refusal, request_id)

    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        return self._errors.error_event(refusal, request_id, framing)


class _Silent(Answer):
    """Keeps no text: nothing is counted where the provider says nothing."""

    __slots__ = ()

    def add_text(self, piece: str) -> None:
        return


class _Deaf(EventLog):
    """Reads nothing."""

    def read(self, event: dict[str, Any]) -> None:
        return
