"""Turn: what memory keeps of one response on a WebSocket, and of the client's frames that lead to it."""

from __future__ import annotations

import orjson

from tokenomics_core.guard.answer import AnswerGuard
from tokenomics_core.json_body import JsonBody
from tokenomics_core.memory.capture import Capture
from tokenomics_core.memory.communication import Communication
from tokenomics_core.memory.entry import LIMIT, Streamed

MOST_FRAMES = 1000
_AUDIO = "input_audio_buffer.append"


class Earlier:
    """The client's frames since it last asked for a response: they generate nothing by themselves, and the
    model reads them. Up to LIMIT bytes of them, the first ones; of audio its size alone.
    """

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._room = LIMIT
        self._audio = 0
        self._more = False

    def add(self, body: JsonBody) -> None:
        """A frame as it is sent, after masking."""
        if body.value.get("type") == _AUDIO:
            self._audio += len(str(body.value.get("audio", "")))
            return
        self._close_audio()
        self._keep(body.render())

    def take(self) -> tuple[bytes, ...]:
        """What was kept; what follows is another turn's."""
        self._close_audio()
        if self._more:
            self._frames.append(b'{"type":"[further frames not kept in memory]"}')
        taken = tuple(self._frames)
        self._frames, self._room, self._more = [], LIMIT, False
        return taken

    def _keep(self, frame: bytes) -> None:
        if self._more or len(frame) > self._room or len(self._frames) >= MOST_FRAMES:
            # Frames after a gap would look as if they followed.
            self._more = True
            return
        self._frames.append(frame)
        self._room -= len(frame)

    def _close_audio(self) -> None:
        """Audio comes in many small frames, as base64; one line says how much it was."""
        if self._audio:
            told = f"[binary, {self._audio * 3 // 4} bytes]"
            self._audio = 0
            self._keep(orjson.dumps({"type": _AUDIO, "audio": told}))


class KeptTurn:
    """asked: the frame that asked for the response, after masking; empty where the provider began.

    guard: of the answer. told: its events, where they are told.
    """

    def __init__(
        self,
        earlier: tuple[bytes, ...],
        asked: bytes,
        guard: AnswerGuard,
        secret: bytes,
        told: Communication | None = None,
    ) -> None:
        self.earlier = earlier
        self.asked = asked
        self.said = b"\n".join(each for each in (*earlier, asked) if each)
        """All that the client sent for it."""
        # A guard of its own: those of the connection hold frames of several turns back, and restore values.
        self.told = told
        """Whoever tells the turn's events."""
        self.capture = Capture("sse", guard, secret, early=True)
        if told is not None:
            self.capture.heard = told.chunk

    @property
    def answer(self) -> Streamed | bytes:
        """What was kept of the answer, once the turn is over."""
        return self.capture.close()
