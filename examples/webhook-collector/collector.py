"""Receives the events of a Tokenomics gateway, checks who sent them, and prints them.

    python3 collector.py -addr :9090 -secret S -signing-key K

It needs Python 3.12 and nothing else. README.md says how it checks.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import re
import sys
import threading
import time
from collections import Counter, OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WINDOW = 300
"""Seconds that the time of sending may differ from this machine's clock."""

REMEMBERED = 100_000
"""Ids of events that are remembered."""

LARGEST = 1024 * 1024
TIMESTAMPED = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")

TAGS = [
    ("token.created", "[+]"),
    ("token.deleted", "[-]"),
    ("token.updated", "[~]"),
    ("token.expired", "[!]"),
    ("rule.violation", "[X]"),
    ("rule.warning", "[W]"),
    ("rule.mask", "[M]"),
    ("rule.", "[R]"),
    ("budget.exceeded", "[$]"),
    ("budget.", "[B]"),
    ("rate.", "[T]"),
    ("request.", "[>]"),
    ("server.", "[S]"),
]


class Collector:
    """What was received. secret, signing_key: empty to accept without. strict: ask for the signed time."""

    def __init__(self, secret: str, signing_key: str, *, strict: bool, pretty: bool) -> None:
        self.secret = secret.encode()
        self.key = signing_key.encode()
        self.strict = strict
        self.pretty = pretty
        self.counts: Counter[str] = Counter()
        self.seen: OrderedDict[str, None] = OrderedDict()
        self.lock = threading.Lock()

    def receive(self, headers: Any, body: bytes) -> tuple[int, str]:
        """Status and answer."""
        if self.secret and not same(self.secret, (headers["X-Webhook-Secret"] or "").encode("latin-1")):
            return 401, "unauthorized"
        if self.key and not self.signed(headers, body):
            return 403, "bad signature"
        try:
            event = json.loads(body)
            id, type = event["id"], event["type"]
            if not (isinstance(id, str) and isinstance(type, str)):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            return 400, "invalid JSON"
        with self.lock:
            # What was sent twice is taken once. It is no error: the gateway did not see the first answer.
            if id in self.seen:
                return 200, '{"status":"duplicate"}'
            self.seen[id] = None
            if len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
            self.counts[type] += 1
            self.show(event)
        return 200, '{"status":"received"}'

    def signed(self, headers: Any, body: bytes) -> bool:
        given = (headers["X-Webhook-Signature"] or "").encode("latin-1")
        if not same(b"sha256=" + self.hmac(body), given):
            return False
        timed = headers["X-Webhook-Timestamped-Signature"]
        if timed is None:
            return not self.strict
        found = TIMESTAMPED.fullmatch(timed)
        if found is None or abs(time.time() - int(found[1])) > WINDOW:
            return False
        return same(self.hmac(found[1].encode() + b"." + body), found[2].encode())

    def hmac(self, data: bytes) -> bytes:
        return hmac.new(self.key, data, hashlib.sha256).hexdigest().encode()

    def show(self, event: dict[str, Any]) -> None:
        if not self.pretty:
            print(json.dumps(event), flush=True)
            return
        type = printable(event["type"])
        tag = next((tag for head, tag in TAGS if type.startswith(head)), "[?]")
        print("-" * 72)
        print(f"{time.strftime('%H:%M:%S')} {tag} {type}")
        print(f"  ID:   {printable(event['id'])}")
        print(f"  Time: {printable(str(event.get('timestamp', '')))}")
        if event.get("data"):
            # In ASCII: nothing that was sent may speak to the terminal.
            print("  Data: " + json.dumps(event["data"], indent=2).replace("\n", "\n  "))
        sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    collector: Collector

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            self.answer(200, "ok")
        elif path == "/stats":
            with self.collector.lock:
                counts = dict(self.collector.counts)
            self.answer(200, json.dumps({"counts": counts, "total": sum(counts.values())}))
        elif path == "/webhook":
            self.answer(405, "method not allowed")
        else:
            self.answer(404, "not found")

    def do_POST(self) -> None:
        length = self.headers["Content-Length"] or ""
        if not (length.isascii() and length.isdigit() and int(length) <= LARGEST):
            self.close_connection = True
            self.answer(413, "too large, or of unknown length")
            return
        body = self.rfile.read(int(length))
        if self.path.partition("?")[0] != "/webhook":
            self.answer(405 if self.path in ("/stats", "/health") else 404, "not found")
            return
        self.answer(*self.collector.receive(self.headers, body))

    def refuse(self) -> None:
        self.close_connection = True
        self.answer(405, "method not allowed")

    do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = refuse

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        kind = "application/json" if text.startswith("{") else "text/plain; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Events are printed, requests are not."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)


def printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError("write true or false")
    return text.lower() == "true"


def main() -> None:
    parser = argparse.ArgumentParser(description="Receives and prints the events of Tokenomics.")
    on: dict[str, Any] = {"type": switch, "nargs": "?", "const": True, "metavar": "true|false"}
    parser.add_argument("-addr", "--addr", default=":9090", help="host:port; without a host, 127.0.0.1")
    parser.add_argument("-secret", "--secret", default="", help="the webhook's secret")
    parser.add_argument("-signing-key", "--signing-key", default="", help="the webhook's signing_key")
    parser.add_argument("-pretty", "--pretty", default=True, help="for people, not as JSON lines", **on)
    parser.add_argument("-strict", "--strict", default=False, help="refuse what has no signed time", **on)
    given = parser.parse_args()
    host, _, port = given.addr.rpartition(":")
    if not (port.isdigit() and int(port) < 65536):
        parser.error("-addr is host:port, such as 127.0.0.1:9090")
    Handler.collector = Collector(given.secret, given.signing_key, strict=given.strict, pretty=given.pretty)
    with Server((host or "127.0.0.1", int(port)), Handler) as server:
        address, bound = server.server_address[:2]
        print(f"Listening on http://{address}:{bound}/webhook")
        for name, secret in (("Secret", given.secret), ("Signing key", given.signing_key)):
            print(f"{name}: {printable(secret[:3]) + '...' if secret else '(none, not checked)'}")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
