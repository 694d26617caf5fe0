"""Messages: what the gateway itself has to say, through Python's logging, in the same form and place.

The levels are those of the configuration. No line holds a token, a key, or a traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from tokenomics_core.request_log.hiding import without_hashes, without_secrets
from tokenomics_core.request_log.log import LogSettings, RequestLog

LOGGERS = ("tokenomics", "tokenomics_core")

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class MessageFormatter(logging.Formatter):
    """One line for each message. settings: read for each, so that a reload is seen at once.

    json: an object with ``timestamp``, ``level``, ``logger`` and ``message``; else time, level, logger and
    message as text.
    """

    def __init__(self, settings: Callable[[], LogSettings], *, json: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._settings = settings
        self._json = json

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            # A traceback may hold what was worked on.
            message = f"{message} ({record.exc_info[0].__name__})"
        message = without_secrets(" ".join(message.split()))
        if self._settings().hide_token_hash:
            message = without_hashes(message)
        level = record.levelname.lower().replace("warning", "warn")
        if not self._json:
            return f"{self.formatTime(record)} {record.levelname} {record.name}: {message}"
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        return orjson.dumps(
            {"timestamp": f"{moment[:26]}Z", "level": level, "logger": record.name, "message": message}
        ).decode()


class MessageHandler(logging.Handler):
    """Hands messages to the request log's writer, for its file. level: ``logging.file.level``."""

    def __init__(self, log: RequestLog, level: str) -> None:
        super().__init__(LEVELS[level])
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        settings = self._log.settings
        formatter = MessageFormatter(lambda: settings, json=settings.format != "text")
        try:
            self._log.message(formatter.format(record))
        except Exception:
            self.handleError(record)


def set_level(level: str, *others: str) -> None:
    """The least level of the gateway's messages. others: of places that may want more, such as a file."""
    lowest = min(LEVELS[each] for each in (level, *others))
    for name in LOGGERS:
        logging.getLogger(name).setLevel(lowest)
