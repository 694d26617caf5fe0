"""Dialect: what the rest of the house may ask of a wire format, and the plain data it answers with.

One file per wire format implements `Dialect`. A dialect knows no policy, no provider and no proxy:
it reads and edits bodies, and it words errors the way that format's own SDK expects them.

Token counts follow OpenTelemetry's GenAI conventions: `input_tokens` is the total with cached tokens
included, `output_tokens` is the total with reasoning tokens included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tokenomics_core.json_body import JsonBody
from tokenomics_core.refusal import Refusal

Framing = Literal["sse", "ndjson", "json_array"]

# Text of the answer that is kept for counting when the provider sends no usage.
TEXT_LIMIT = 8 * 1024 * 1024


@dataclass(slots=True)
class Usage:
    """Tokens as the provider billed them. None means that the provider did not say; 0 means it said zero."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(slots=True)
class Answer:
    """All that becomes known of a provider's answer, whole or streamed.

    text: the generated text and tool-call arguments, in order, for counting when there is no usage;
        kept up to TEXT_LIMIT characters. It only grows: who counts as it goes remembers ``len(text)`` and
        counts ``text[known:]`` the next time.
    usage: up to date after each `StreamReader.feed`, and not the last word before `ended`. It may be another
        object each time.
    error: the provider's error inside the stream, as ``type/code: message``; the empty string when there is
        none. The message is the provider's own words.
    ended: the format's own end was seen (``[DONE]``, ``message_stop``, a finish reason, a whole body).
    """

    usage: Usage = field(default_factory=Usage)
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    text: list[str] = field(default_factory=list)
    text_length: int = 0
    ended: bool = False
    error: str = ""

    def add_text(self, piece: str) -> None:
        """Keeps a piece of generated text, until the limit is reached."""
        if piece and self.text_length < TEXT_LIMIT:
            self.text.append(piece)
            self.text_length += len(piece)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A message that a policy puts in front of the client's own."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class OutputCap:
    """How much output a request allows itself.

    asked: tokens; None when the request names none, 0 where there is no output.
    least: the smallest cap, in tokens, with which the request is still valid.
    choices: how many answers may be billed up to the cap each; at least 1.
    hidden: output is billed that does not show as text in a stream, such as reasoning.
    """

    asked: int | None
    least: int = 1
    choices: int = 1
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a stream is ended before its time: a stable word, and one line for people."""

    code: str
    message: str

    def told(self) -> dict[str, str]:
        """The member ``tokenomics`` of an event, by which the client can see why."""
        return {"code": self.code, "message": self.message}


class StreamReader(ABC):
    """Reads one streamed answer as it passes.

    `feed` takes bytes as they come, cut anywhere, and returns the bytes to pass on: the same bytes in the
    same order, less events that Tokenomics itself asked for (`hide_usage`). Nothing is held back that is
    not part of an event still incomplete, and nothing at all when no event can be hidden.
    `close` is called once at the end, whether the stream was whole or cut, and returns what is left.
    `finish` stands in its place when the stream is ended from here; nothing is fed after either.

    usage_wanted: the client itself asked for the usage in the stream, as `Dialect.wants_usage` tells.
    """

    answer: Answer
    usage_wanted: bool = False

    @abstractmethod
    def feed(self, data: bytes) -> bytes: ...

    @abstractmethod
    def close(self) -> bytes: ...

    @abstractmethod
    def hold(self) -> None:
        """From now on `feed` passes on whole events only, up to the parser's limit of one event.

        Without it `finish` may come in the middle of an event, which the client then sees torn.
        """

    @abstractmethod
    def finish(self, stop: Stop, usage: Usage | None = None) -> bytes:
        """The bytes that end the stream in its own format after what was passed on so far.

        To the client it looks as if its output cap was reached; the last event tells why in a member
        ``tokenomics``. usage: what to tell the client of its bill; None for what the provider said so far.
        """


class Dialect(ABC):
    """One wire format. Instances hold no state and are shared."""

    name: ClassVar[str]
    """A stable word for ledger and logs, such as ``openai_chat``."""

    operation: ClassVar[str]
    """OpenTelemetry's ``gen_ai.operation.name``: chat, text_completion, embeddings, generate_content, ..."""

    counts_tokens: ClassVar[bool] = True
    """Whether tokens are counted here when the provider does not say how many it bills."""

    @property
    def unknown(self) -> bool:
        """Whether it stands for all formats that nobody here reads."""
        return self.name == "unknown"

    # What is asked of it about a request.

    def model(self, path: str, query: str, body: JsonBody | None) -> str:
        """The model the request names, from body, path or query; the empty string when it names none."""
        value = body.value.get("model", "") if body is not None else ""
        return value if isinstance(value, str) else ""

    def set_model(self, path: str, body: JsonBody | None, model: str) -> str:
        """Puts another model into the body or the path, and returns the path to request."""
        if body is not None:
            body.set("model", model)
        return path

    def is_stream(self, path: str, query: str, body: JsonBody | None) -> bool:
        """Whether the client asked for a streamed answer."""
        return body is not None and body.value.get("stream") is True

    def framing(self, path: str, query: str) -> Framing:
        """How a streamed answer to this request is cut into events."""
        return "sse"

    @abstractmethod
    def input_texts(self, body: JsonBody) -> Iterator[str]:
        """Every text of the request that the provider bills as input: for counting."""

    def input_overhead(self, body: JsonBody) -> int:
        """Tokens that the format adds around its texts (roles, separators)."""
        return 0

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """Puts the policy's prompts where this format has room for them; raises Refusal where it has none."""
        if prompts:
            raise Refusal(
                403,
                "prompts_not_supported",
                f"the policy injects prompts, which {self.name} requests have no place for",
            )

    def ask_for_usage(self, body: JsonBody) -> bool:
        """Makes a streamed request report its usage; True when the body was changed for it."""
        return False

    def wants_usage(self, body: JsonBody) -> bool:
        """Whether the client itself asks for an event with the usage, where that has to be asked for."""
        return False

    def output_cap(self, path: str, body: JsonBody, model: str) -> OutputCap:
        """What the request allows itself. A value of another type than the format's is as good as none."""
        return OutputCap(asked=0)

    def set_output_cap(self, body: JsonBody, model: str, tokens: int) -> None:
        """Lowers the request's own cap to so many tokens, or names one; never raises it."""
        return

    def media_tokens(self, body: JsonBody) -> int:
        """An estimate, rather too high, of the input tokens billed for images, sound and files."""
        return 0

    # What is asked of it about an answer.

    @abstractmethod
    def read_answer(self, body: dict[str, Any]) -> Answer:
        """Reads a whole (not streamed) JSON answer of any status."""

    @abstractmethod
    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        """A reader for one streamed answer; hide_usage as `ask_for_usage` answered."""

    # How it says no.

    @abstractmethod
    def error_body(self, refusal: Refusal, request_id: str) -> bytes:
        """The refusal as this format's own JSON error."""

    @abstractmethod
    def error_event(self, refusal: Refusal, request_id: str, framing: Framing) -> bytes:
        """The refusal as an event of a stream that has begun; the official SDK raises an error on it."""
