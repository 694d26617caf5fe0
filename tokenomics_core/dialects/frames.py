"""WebSocket frames of the Responses and Realtime APIs: which one asks for a response, which one ends it.

A response on a connection is a `Turn`. The client's ``response.create`` begins one; the provider begins
others by itself, after voice detection or steering, and those are turns without a frame. Nothing is
generated that belongs to no turn.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from tokenomics_core.dialects.base import Answer, Dialect, Stop, Usage
from tokenomics_core.dialects.errors import openai_error
from tokenomics_core.dialects.framing import dumped
from tokenomics_core.dialects.openai_realtime import OpenAIRealtime
from tokenomics_core.dialects.openai_responses import ENDS, OpenAIResponses, ResponsesLog, read_response
from tokenomics_core.dialects.reading import note_error
from tokenomics_core.dialects.usage import count, mapping, text
from tokenomics_core.json_body import InvalidJson, JsonBody
from tokenomics_core.refusal import Refusal


class Turn:
    """One response, asked for by a frame or begun by the provider.

    body: the client's frame, to be read, edited and rendered; None when the provider began.
    model: what the frame names, or the session's model.
    lane: the frame's ``stream_id``; responses of different lanes run at the same time.
    id: the provider's name for the response; the empty string until it started.
    ended_here: the client was told that it is over, whatever the provider still says of it.
    """

    def __init__(self, model: str, body: JsonBody | None = None, lane: str = "") -> None:
        self.model = model
        self.body = body
        self.lane = lane
        self.id = ""
        self.ended_here = False
        self.log = ResponsesLog()

    @property
    def answer(self) -> Answer:
        """What the turn said so far."""
        return self.log.answer

    @property
    def event_id(self) -> str:
        """The client's own name for its frame."""
        return text(self.body.value.get("event_id")) if self.body is not None else ""


@dataclass(frozen=True, slots=True)
class Started:
    """The provider works on the turn."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Progress:
    """The turn said something."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is over. error: the provider's message when it failed, with its HTTP status if it gave one."""

    turn: Turn
    error: str = ""
    status: int = 0


ServerFrame = Started | Progress | Done


class FrameReader(ABC):
    """Follows one connection. All its text frames pass here in order, the client's before they are sent."""

    dialect: ClassVar[Dialect]
    ends: ClassVar[frozenset[str]]
    """Types of the events that end a turn."""

    def __init__(self, path: str, query: str) -> None:
        """path, query: of the upgrade request."""
        self.path = path
        self.model = self.dialect.model(path, query, None)
        self._asked: list[Turn] = []
        self._running: list[Turn] = []
        self._any_ended = False
        self._ahead: tuple[str, ServerFrame | None] | None = None

    def client_frame(self, frame: str) -> Turn | None:
        """The turn that this frame asks for, or None. Raises Refusal for a frame that must not be sent."""
        try:
            body = JsonBody(frame.encode())
        except (InvalidJson, UnicodeEncodeError):
            # Whoever reads it differently could find a request in it.
            raise Refusal(400, "invalid_json", "a frame must be one JSON object with distinct keys") from None
        turn = self._turn(body) if body.value.get("type") == "response.create" else None
        model = turn.model if turn else self.model
        for name in ("session", "response"):
            if mapping(body.value.get(name)).get("model", model) != model:
                raise Refusal(403, "model_not_allowed", "a frame must not change the model of the connection")
        return turn

    def sent(self, turn: Turn) -> None:
        """To be called when the turn's frame goes to the provider; a refused turn is not sent."""
        self._asked.append(turn)

    def server_frame(self, frame: str) -> ServerFrame | None:
        """What this frame means for a turn; None when it means nothing."""
        ahead, self._ahead = self._ahead, None
        meant = ahead[1] if ahead is not None and ahead[0] is frame else self._read(frame)
        return None if meant is not None and meant.turn.ended_here else meant

    def is_over(self, frame: str) -> bool:
        """Whether a frame from the provider is about a turn that was ended here, and so not for the client.

        To be asked before `server_frame`, of which such a frame is none of the business. The turn's answer
        takes what the provider still says: the bill, with the last frame.
        """
        if not self._any_ended:
            return False
        meant = self._read(frame)
        self._ahead = (frame, meant)
        return meant is not None and meant.turn.ended_here

    def end_turn(self, turn: Turn, stop: Stop, usage: Usage | None = None) -> list[str]:
        """The frames that end the turn for the client, as if its output cap was reached.

        usage: what to tell the client of the bill; None for what the provider said so far. What the provider
        still sends of the turn `is_over`.
        """
        if turn.ended_here or turn.answer.ended:
            return []
        turn.ended_here = self._any_ended = True
        events = self._ending(turn, stop, usage or turn.answer.usage)
        return [dumped(event).decode() for event in events]

    def cancel(self, turn: Turn) -> list[str]:
        """The frames that make the provider stop working on the turn; none where it knows no such frame."""
        return []

    def _read(self, frame: str) -> ServerFrame | None:
        try:
            event = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(event, dict):
            return None
        kind = text(event.get("type"))
        if kind == "error":
            return self._failed(event)
        if not kind.startswith("response."):
            return None
        turn = self._find(event)
        if kind == "response.created" and turn is None:
            turn = self._take(event)
            self._running.append(turn)
            turn.log.read(event)
            return Started(turn)
        if kind in self.ends:
            if turn is None:
                turn = self._take(event)
            else:
                self._running.remove(turn)
            response = mapping(event.get("response"))
            read_response(response, turn.answer)
            turn.answer.ended = True
            return Done(turn, _error_of(response))
        if turn is None:
            return None
        turn.log.read(event)
        return Progress(turn)

    def close(self) -> list[Turn]:
        """The turns that are not done, for a connection that ended; their answers hold what they said."""
        left = [turn for turn in (*self._running, *self._asked) if not turn.ended_here]
        self._running.clear()
        self._asked.clear()
        return left

    @abstractmethod
    def error_frame(self, refusal: Refusal, request_id: str, turn: Turn | None = None) -> str:
        """The refusal as an event from the provider."""

    @abstractmethod
    def _turn(self, body: JsonBody) -> Turn:
        """The turn that a ``response.create`` frame asks for."""

    @abstractmethod
    def _ending(self, turn: Turn, stop: Stop, usage: Usage) -> list[dict[str, Any]]:
        """The events that end a turn."""

    def _find(self, event: dict[str, Any]) -> Turn | None:
        """The running turn that an event belongs to: by the response's id, else the newest on its lane."""
        named = text(event.get("response_id")) or text(mapping(event.get("response")).get("id"))
        lane = text(event.get("stream_id"))
        for turn in reversed(self._running):
            if turn.id == named if named else turn.lane == lane:
                return turn
        return None

    def _take(self, event: dict[str, Any]) -> Turn:
        """The turn that was asked for first on this lane, else one that the provider began."""
        lane = text(event.get("stream_id"))
        response = mapping(event.get("response"))
        turn = next((asked for asked in self._asked if asked.lane == lane), None)
        if turn is None:
            turn = Turn(self.model or text(response.get("model")), lane=lane)
        else:
            self._asked.remove(turn)
        turn.id = text(response.get("id"))
        return turn

    def _failed(self, event: dict[str, Any]) -> Progress | Done | None:
        """An error ends the turn it names; where it names none, the one that was asked for first."""
        error = mapping(event.get("error"))
        lane, named = text(event.get("stream_id")), text(error.get("event_id"))
        for turn in self._asked:
            if turn.lane == lane and named in ("", turn.event_id):
                self._asked.remove(turn)
                break
        else:
            failed = self._failed_running(event)
            if failed is None:
                return None
            turn = failed
        note_error(turn.answer, error or {**event, "type": ""})
        message = text(error.get("message")) or text(event.get("message")) or "the provider failed"
        return Done(turn, message, count(event.get("status")) or 0)

    def _failed_running(self, event: dict[str, Any]) -> Turn | None:
        """The running turn that an error ends, which then runs no more."""
        return None


class ResponsesFrames(FrameReader):
    """``GET /v1/responses``: the frame is the request itself."""

    dialect: ClassVar[Dialect] = OpenAIResponses()
    ends: ClassVar[frozenset[str]] = ENDS

    def error_frame(self, refusal: Refusal, request_id: str, turn: Turn | None = None) -> str:
        """Codex goes by ``status`` and ``headers``, as if this had been an HTTP answer."""
        event: dict[str, Any] = {"type": "error", "status": refusal.status, **openai_error(refusal)}
        if refusal.retry_after is not None:
            event["headers"] = {"retry-after": str(math.ceil(refusal.retry_after))}
        if turn is not None and turn.lane:
            event["stream_id"] = turn.lane
        return orjson.dumps(event).decode()

    def _turn(self, body: JsonBody) -> Turn:
        if not isinstance(body.value.get("model", ""), str):
            raise Refusal(400, "invalid_model", "model must be a string")
        return Turn(self.dialect.model(self.path, "", body), body, text(body.value.get("stream_id")))

    def _ending(self, turn: Turn, stop: Stop, usage: Usage) -> list[dict[str, Any]]:
        lane = {"stream_id": turn.lane} if turn.lane else {}
        events = turn.log.end(stop, usage, usage_wanted=True) or []
        return [{**event, **lane} for event in events if isinstance(event, dict)]

    def _failed_running(self, event: dict[str, Any]) -> Turn | None:
        turn = self._find(event)
        if turn is not None:
            self._running.remove(turn)
        return turn


class RealtimeFrames(FrameReader):
    """``GET /v1/realtime``: a session, whose events carry the id of their response.

    An error here ends no response that runs: the session goes on, and says how each response ended.
    """

    dialect: ClassVar[Dialect] = OpenAIRealtime()
    ends: ClassVar[frozenset[str]] = frozenset(["response.done"])

    def error_frame(self, refusal: Refusal, request_id: str, turn: Turn | None = None) -> str:
        error = {**openai_error(refusal)["error"], "event_id": (turn and turn.event_id) or None}
        return orjson.dumps({"type": "error", "event_id": f"event_{request_id}", "error": error}).decode()

    def __init__(self, path: str, query: str) -> None:
        super().__init__(path, query)
        self._cancelled: dict[str, Turn] = {}

    def cancel(self, turn: Turn) -> list[str]:
        """To be called after the turn was ended. The provider says ``response.done`` then, or an error when
        it was done already; neither is for the client."""
        event_id = f"tokenomics_cancel_{turn.id}"
        self._cancelled[event_id] = turn
        named = {"response_id": turn.id} if turn.id else {}
        return [orjson.dumps({"type": "response.cancel", "event_id": event_id, **named}).decode()]

    def _turn(self, body: JsonBody) -> Turn:
        return Turn(self.model, body)

    def _ending(self, turn: Turn, stop: Stop, usage: Usage) -> list[dict[str, Any]]:
        events = turn.log.end_session_response(stop, usage)
        return [{**event, "event_id": f"event_tokenomics_{at}"} for at, event in enumerate(events)]

    def _failed(self, event: dict[str, Any]) -> Progress | Done | None:
        """An error about a cancelling frame: the client never sent that."""
        cancelled = self._cancelled.pop(text(mapping(event.get("error")).get("event_id")), None)
        return Progress(cancelled) if cancelled is not None else super()._failed(event)


_READERS: dict[str, type[FrameReader]] = {"responses": ResponsesFrames, "realtime": RealtimeFrames}


def is_websocket_path(path: str) -> bool:
    """Whether the frames of a WebSocket on this path are understood."""
    return _last_word(path) in _READERS


def frame_reader(path: str, query: str) -> FrameReader:
    """The reader for a WebSocket whose path `is_websocket_path`."""
    return _READERS[_last_word(path)](path, query)


def _last_word(path: str) -> str:
    return unquote(path).rstrip("/").lower().rpartition("/")[2]


def _error_of(response: dict[str, Any]) -> str:
    """The message of a response that failed; the empty string for one that did not."""
    error = mapping(response.get("error") or mapping(response.get("status_details")).get("error"))
    return text(error.get("message")) or text(error.get("code"))
