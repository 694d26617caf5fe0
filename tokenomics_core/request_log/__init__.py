"""The request log: one line per exchange, for people and for whatever collects logs."""

from tokenomics_core.request_log.debug_log import DebugLog
from tokenomics_core.request_log.entry import always_logged, entry, line, tokengate_entry
from tokenomics_core.request_log.log import LogSettings, RequestLog
from tokenomics_core.request_log.log_file import LogFile
from tokenomics_core.request_log.messages import MessageFormatter, MessageHandler, set_level

__all__ = [
    "DebugLog",
    "LogFile",
    "LogSettings",
    "MessageFormatter",
    "MessageHandler",
    "RequestLog",
    "always_logged",
    "entry",
    "line",
    "set_level",
    "tokengate_entry",
]
