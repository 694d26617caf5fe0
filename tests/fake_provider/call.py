"""Call: one request while it is answered, and the manner in which it shall be answered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fake_provider.records import Bill, Record

if TYPE_CHECKING:
    from tests.fake_provider.state import State
    from tests.fake_provider.wire import Wire

Headers = list[tuple[str, str]]


@dataclass
class Manner:
    """How to answer. The defaults are good manners; behaviours change them.

    text, tokens, pieces: what to say instead of the echo: a text, a filler of so many tokens, or these
        deltas.
    tool: name and arguments of a function to call, whether tools were offered or not.
    ignore_cap: say all of it, whatever cap of output the request names.
    fail: answer with the dialect's own error of this status.
    delay: seconds before each event but the first; fast: so many more come without it.
    first_byte: seconds before the answer begins.
    cut_after, hang_after, close_after, error_after: after so many events the connection is reset, falls
        silent, is closed without the end of the body, or tells an error in the stream.
    usage: ``true``, ``none`` or ``zero``.
    headers: added to the answer; header_lines: added as they are, valid or not.
    cut_bytes: streamed bytes go out in pieces of this size, without regard to events.
    """

    text: str | None = None
    tokens: int | None = None
    pieces: list[str] | None = None
    tool: dict[str, Any] | None = None
    ignore_cap: bool = False
    fail: int = 0
    message: str = ""
    code: str = ""
    error_body: bytes | None = None
    delay: float = 0.0
    fast: int = 0
    first_byte: float = 0.0
    cut_after: int | None = None
    hang_after: int | None = None
    close_after: int | None = None
    error_after: int | None = None
    usage: str = "true"
    ending: bool = True
    headers: Headers = field(default_factory=list)
    header_lines: list[bytes] = field(default_factory=list)
    status_line: bytes | None = None
    trailers: Headers = field(default_factory=list)
    gzip: bool = False
    cut_bytes: int = 0
    newline: bytes = b"\n"
    comments: bool = False


@dataclass
class Event:
    """A piece of a streamed answer, and what it costs once it was sent."""

    data: bytes
    tokens: int = 0


@dataclass
class Reply:
    """An answer in a dialect, before it is sent. Either body or events; bill is that of the whole answer."""

    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    events: Iterable[Event] | None = None
    headers: Headers = field(default_factory=list)
    bill: Bill = field(default_factory=Bill)

    @classmethod
    def of(
        cls, value: Any, bill: Bill | None = None, status: int = 200, headers: Iterable[tuple[str, str]] = ()
    ) -> Reply:
        return cls(status, body=to_json(value), bill=bill or Bill(), headers=list(headers))


@dataclass
class Call:
    """One request while it is answered."""

    record: Record
    wire: Wire
    state: State
    manner: Manner = field(default_factory=Manner)
    model_in_path: str = ""

    @property
    def number(self) -> int:
        return self.record.number

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.record.target).path)

    @cached_property
    def query(self) -> dict[str, str]:
        query = urlsplit(self.record.target).query
        return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object of the body; empty when it is none."""
        try:
            value = json.loads(self.record.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def model(self) -> str:
        named = self.body.get("model") or self.query.get("model") or self.model_in_path
        return named if isinstance(named, str) else ""

    def header(self, name: str) -> str:
        return self.record.header(name)


def to_json(value: Any) -> bytes:
    """Compact JSON that keeps characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
