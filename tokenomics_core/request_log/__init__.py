"""The request log: one line per exchange, for people and for whatever collects logs."""

from tokenomics_core.request_log.bodies import BODY_KEPT, NO_BODIES, Bodies, Body
from tokenomics_core.request_log.debug_log import DebugLog
from tokenomics_core.request_log.entry import always_logged, entry, line, tokengate_entry
from tokenomics_core.request_log.log import LogSettings, RequestLog
from tokenomics_core.request_log.log_file import LogFile
from tokenomics_core.request_log.messages import MessageHandler, formatted, set_level

__all__ = [
    "BODY_KEPT",
    "NO_BODIES",
    "Bodies",
    "Body",
    "DebugLog",
    "LogFile",
    "LogSettings",
    "MessageHandler",
    "RequestLog",
    "always_logged",
    "entry",
    "formatted",
    "line",
    "set_level",
    "tokengate_entry",
]
