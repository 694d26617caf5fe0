"""Messages: what the gateway itself has to say, through Python's logging, in the form of the request log.

The levels are those of the configuration. No line holds a token, a key, or a traceback.
"""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TextIO

import orjson

from tokenomics_core.ledger.writer import BatchWriter, QueueFull, WriterClosed
from tokenomics_core.request_log.hiding import without_hashes, without_secrets
from tokenomics_core.request_log.log import LogSettings, RequestLog

LOGGERS = ("tokenomics", "tokenomics_core")

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

_WAITING = 10_000
"""Messages that wait for a slow terminal before others are dropped."""

_AT_EXIT = 2.0
"""Seconds that the end of the process waits for a terminal."""


def formatted(record: logging.LogRecord, *, json: bool, hide_token_hash: bool = False) -> str:
    """One line without its end.

    json: an object with ``timestamp``, ``level``, ``logger`` and ``message``; else time, level, logger and
    message as text. The time is in UTC.
    """
    message = without_secrets(" ".join(f"{record.getMessage()}{_why(record)}".split()))
    if hide_token_hash:
        message = without_hashes(message)
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
    moment = f"{moment[:26]}Z"
    if not json:
        return f"{moment} {record.levelname} {record.name}: {message}"
    level = record.levelname.lower().replace("warning", "warn")
    # A lone surrogate in somebody's words must not cost the line.
    message = message.encode("utf-8", "replace").decode()
    return orjson.dumps(
        {"timestamp": moment, "level": level, "logger": record.name, "message": message}
    ).decode()


def _why(record: logging.LogRecord) -> str:
    """The exception that a message is about: its words where they are ours, else its kind and place.

    A traceback, or the words of a library, may hold what was worked on.
    """
    if record.exc_info is None or record.exc_info[1] is None:
        return ""
    error = record.exc_info[1]
    if type(error).__module__.startswith("tokenomics_"):
        return f": {error}"
    frames = traceback.extract_tb(record.exc_info[2])
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f" ({type(error).__name__}{place})"


class MessageHandler(logging.Handler):
    """The one handler of the process: each message goes to the stream, and into the log file if there is one.

    The stream shows what is of ``logging.level``; beside a file, only what is a warning at least. The file
    gets what is of ``logging.file.level``. A terminal shows text whatever ``logging.format`` says.

    stream: standard error. It is written on a thread: one that nobody reads holds up no request.
    dropped: messages that were not shown.
    """

    def __init__(self, settings: LogSettings, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._terminal = stream.isatty()
        self._log: RequestLog | None = None
        self.dropped = 0
        self._writer = BatchWriter[str]("messages", self._write, capacity=_WAITING)
        self.apply(settings)

    def apply(self, settings: LogSettings) -> None:
        """Takes over settings, and sets the level of the gateway's loggers."""
        self.settings = settings
        set_level(settings.level, *([settings.file.level] if settings.file.enabled else []))

    def into(self, log: RequestLog) -> None:
        """From now on, messages go into the file that this log writes, while it has one."""
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        settings, log = self.settings, self._log
        filed = settings.file.enabled
        shown = LEVELS[settings.level]
        if filed:
            shown = max(shown, logging.WARNING)
        json, hide = settings.format != "text", settings.hide_token_hash
        try:
            if record.levelno >= shown:
                form = json and not self._terminal
                self._put(formatted(record, json=form, hide_token_hash=hide))
            if filed and log is not None and record.levelno >= LEVELS[settings.file.level]:
                log.message(formatted(record, json=json, hide_token_hash=hide))
        except Exception:
            # Python's own words would be a traceback, with the message in it.
            self.dropped += 1

    def flush(self) -> None:
        """Waits for what was handed over; Python calls it at the end of the process too."""
        self._writer.flush(_AT_EXIT)

    def _put(self, line: str) -> None:
        try:
            self._writer.put(line)
        except (QueueFull, WriterClosed):
            self.dropped += 1

    def _write(self, lines: list[str]) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = "\n".join(lines) + "\n"
        try:
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)


def set_level(level: str, *others: str) -> None:
    """The least level of the gateway's messages. others: of places that may want more, such as a file."""
    lowest = min(LEVELS[each] for each in (level, *others))
    for name in LOGGERS:
        logging.getLogger(name).setLevel(lowest)
