"""Messages: one handler for all that this process has to say, in the place of mitmproxy's own."""

from __future__ import annotations

import logging
import sys

from tokenomics_core.request_log import LogSettings, MessageHandler

# What mitmdump says of its listeners and of the script; no line of it is about a request.
_OF_MITMDUMP = ("mitmproxy.proxy.mode_servers", "mitmproxy.addons.script")


def start_messages(settings: LogSettings) -> MessageHandler:
    """The process's handler. There is one: a script that is loaded again keeps the first."""
    root = logging.getLogger()
    # mitmdump's own; where nobody has loaded it, it is not loaded for this.
    termlog = sys.modules.get("mitmproxy.addons.termlog")
    for handler in list(root.handlers):
        if isinstance(handler, MessageHandler):
            return handler
        if termlog is not None and isinstance(handler, termlog.TermLogHandler):
            # It shows words of exceptions, and what clients and providers sent.
            root.removeHandler(handler)
            for name in _OF_MITMDUMP:
                logging.getLogger(name).setLevel(logging.INFO)
    root.setLevel(logging.WARNING)
    # mitmproxy logs addresses, heads and odd bytes of both sides at info.
    logging.getLogger("mitmproxy").setLevel(logging.ERROR)
    handler = MessageHandler(settings, sys.stderr)
    root.addHandler(handler)
    return handler
