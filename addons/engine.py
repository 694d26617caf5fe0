"""The engine: every line that touches mitmproxy's private API stands here.

mitmproxy sends one request per flow, cannot try again, cannot end a stream that runs, forwards a request
whose hooks failed, and has no time-outs of its own. `install` puts six
subclasses in the place of its classes:

    Stream             one request: no upstream without clearance, attempts, time-outs, an end in mid-stream
    ClientConnection   the HTTP/1 side of clients: bounded heads, time-outs, JSON errors
    ClientConnection2  the HTTP/2 side of clients: JSON errors
    UpstreamConnection the HTTP/1 side of providers: informational answers are skipped
    Socket             a WebSocket connection: messages are bounded
    _BodyReader        chunked bodies may carry trailers

and makes its addon manager refuse what a hook failed on, and its connections lose no event.

It asks addons by three hooks of its own: `tokenomics_attempt` when an attempt ended without the answer,
`tokenomics_cut` when a stream that runs must be ended, and `tokenomics_extend` when one has nearly used up
its lease. `check` runs at start and names what an upgrade of mitmproxy took away.
"""

from __future__ import annotations

import asyncio
import collections
import copy
import inspect
import logging
import re
import time
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import h11
from h11._readers import ChunkedReader
from mitmproxy import ctx, flow, hooks, http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.net.http import status_codes
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events, layer, server
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers import websocket
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.utils import asyncio_utils

from addons.answer import EXCHANGE, plain_error, refuse
from tokenomics_core.exchange import Exchange, Ingress
from tokenomics_core.refusal import Refusal
from tokenomics_core.request_head import MAX_HEAD_BYTES
from tokenomics_core.retry import next_attempt

log = logging.getLogger("tokenomics")

Commands = Generator[Any, Any, Any]

HELD_LIMIT = 1024 * 1024
"""Bytes of an error answer that are held while it is decided whether to try again."""

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that is read as a whole."""

DISCARD_LIMIT = 16 * 1024 * 1024
"""Bytes of a refused request that are read and dropped, so that the client gets to see the refusal."""

SLOWEST_BODY = 1024
"""Bytes of a request body that must arrive within each body time-out."""

IDLE_CLIENT = 90.0
"""Seconds for which a client may keep a connection open between two requests."""

TURN = 0.001
"""Seconds, at least, between two looks at whether more came of a provider that was told to stop."""

QUIET_TURNS = 4
"""Turns in a row without a byte, after which all has come that it had sent."""

MOST_TURNS = 50
"""Turns for which it is listened to. On a busy loop they are long, as what was sent takes long to be read."""

UPSTREAMS_PER_CLIENT = 100
"""Connections to one provider for one client connection (HTTP/2 clients run their streams side by side)."""

_HEAD_END = re.compile(rb"\n\r?\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d")


MAX_UPLOAD = 512 * 1024 * 1024
"""Bytes of a file that streams through."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes; see `server.*` in the configuration."""

    header_timeout: float = 30.0
    body_timeout: float = 60.0
    idle_timeout: float = 300.0
    max_body: int = 20 * 1024 * 1024
    max_upload: int = MAX_UPLOAD


@dataclass
class AttemptEnded:
    """An attempt that did not bring the answer.

    status, headers: the provider's, when it answered with a status that is tried again; 0 and {} otherwise.
    An addon sets `again` after preparing flow.request for the next attempt, or leaves it and, where there was
    no answer at all, sets flow.response.
    """

    flow: http.HTTPFlow
    status: int
    headers: dict[str, str]
    error: str
    again: bool = False


@dataclass
class Cut:
    """A running stream that must end. An addon sets `tail`: the last bytes for the client."""

    flow: http.HTTPFlow
    refusal: Refusal
    tail: bytes = b""


@dataclass
class Extend:
    """A running stream whose lease is nearly used up. Nothing more of it is read until this is answered.

    An addon gives the lease more, or sets `ended` and `tail`, which makes the last bytes for the client. It
    is called when the last byte of the provider was passed on.
    """

    flow: http.HTTPFlow
    ended: bool = False
    tail: Callable[[], bytes] | None = None


@dataclass
class ExtendHook(commands.StartHook):
    name: ClassVar[str] = "tokenomics_extend"
    extend: Extend


@dataclass
class AttemptHook(commands.StartHook):
    name: ClassVar[str] = "tokenomics_attempt"
    ended: AttemptEnded


@dataclass
class CutHook(commands.StartHook):
    name: ClassVar[str] = "tokenomics_cut"
    cut: Cut


class Deadline:
    """One timer of one layer. It comes back to the layer as a Wakeup.

    mitmproxy's own RequestWakeup cannot be cancelled: each would leave a task asleep for the whole time-out.
    """

    def __init__(self, owner: layer.Layer) -> None:
        self.owner = owner
        self.passed = False
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, seconds: float) -> None:
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._fire)

    def cancel(self) -> None:
        # A Wakeup may be on its way that was overtaken by what it was waiting for.
        self.passed = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self.passed = True
        client = self.owner.context.client
        handler = _proxyserver().connections.get(client.id)
        if handler is None:
            return
        command = commands.RequestWakeup(0)
        for outer, inner in pairwise(self.owner.context.layers):
            if isinstance(outer, layers.HttpLayer):
                outer.command_sources[command] = inner
        asyncio_utils.create_task(
            handler.server_event(events.Wakeup(command)),
            name="deadline",
            keep_ref=True,
            client=client.peername,
        )


class Silence(layer.Layer):
    """Takes the place of an upstream connection that we closed: its last events concern nobody."""

    def _handle_event(self, event: events.Event) -> Commands:
        yield from ()


class Stream(layers.HttpStream):
    """One request of one client."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, context: Any, stream_id: int) -> None:
        super().__init__(context, stream_id)
        self.deadline = Deadline(self)
        self.last_byte = 0.0
        self.uploaded = 0
        self.reused = False
        self.arrived = 0
        self.held: layers.ResponseHeaders | None = None
        self.held_body = b""
        self.ending: Extend | None = None
        self.turns = self.quiet_turns = 0

    @property
    def exchange(self) -> Exchange | None:
        return self.flow.metadata.get(EXCHANGE)

    @property
    def parent(self) -> layers.HttpLayer:
        found = self.context.layers[self.context.layers.index(self) - 1]
        assert isinstance(found, layers.HttpLayer)
        return found

    def handle_event(self, event: events.Event) -> Commands:
        for command in super().handle_event(event):
            if command.blocking is self and isinstance(command, commands.StartHook):
                dispatch = ctx.master.addons
                # A request that was sent ahead of its turn begins inside the end of the answer before it,
                # when the upstream connection is not yet free.
                ahead = getattr(self.parent.connections[self.context.client], "answering", False)
                if not ahead and isinstance(dispatch, Dispatch) and dispatch.at_once(command):
                    yield from self.handle_event(events.HookCompleted(command))
                    continue
            yield command

    def _handle_event(self, event: events.Event) -> Commands:
        if not isinstance(event, events.Wakeup):
            yield from super()._handle_event(event)
        elif self.deadline.passed:
            yield from self.timed_out()

    # The request.

    def state_wait_for_request_headers(self, event: layers.RequestHeaders) -> Commands:
        request = event.request
        http2 = isinstance(self.parent.connections[self.context.client], ClientConnection2)
        if request.is_http2 and not http2:
            # Words in a request line, which mitmproxy would take for the protocol that is spoken.
            request.http_version = "HTTP/0.0"
        if self.mode is layers.HTTPMode.transparent:
            ingress = Ingress.TUNNEL
            absolute = bool(request.host) and not http2
        else:
            absolute = bool(request.host) and (not http2 or request.scheme != "https")
            ingress = Ingress.FORWARD if absolute else Ingress.BASE_URL
        fresh = http.HTTPFlow(self.context.client, self.context.server)
        fresh.metadata["ingress"] = ingress
        fresh.metadata["absolute"] = absolute
        event.replay_flow = fresh
        yield from super().state_wait_for_request_headers(event)
        if self.flow.response is not None and self.client_state == self.state_consume_request_body:
            yield from self.answer_now()
        elif http2 and self.awaits_body:
            # On HTTP/1 it is the connection that waits.
            self.deadline.arm(self.limits.body_timeout)

    @property
    def awaits_body(self) -> bool:
        states = (self.state_consume_request_body, self.state_stream_request_body)
        return self.client_state in states and self.server_state == self.state_wait_for_response_headers

    def start_request_stream(self) -> Commands:
        headers = self.flow.request.headers
        if "content-length" not in headers:
            # HTTP/2 bodies need none; on HTTP/1 what follows would be read as another request.
            headers["transfer-encoding"] = "chunked"
        yield from super().start_request_stream()

    def state_consume_request_body(self, event: Any) -> Commands:
        if isinstance(event, layers.RequestTrailers):
            return
        if isinstance(event, layers.RequestData):
            self.arrived += len(event.data)
        elif isinstance(event, layers.RequestEndOfMessage):
            self.deadline.cancel()
        held = len(self.request_body_buf)
        if isinstance(event, layers.RequestData) and held + len(event.data) > self.limits.max_body:
            self.fail(too_large(self.limits.max_body))
            yield from self.answer_now()
            return
        yield from super().state_consume_request_body(event)

    def state_stream_request_body(self, event: Any) -> Commands:
        if isinstance(event, layers.RequestTrailers):
            return
        if isinstance(event, layers.RequestData):
            self.arrived += len(event.data)
            self.uploaded += len(event.data)
            if self.uploaded > self.limits.max_upload:
                yield from self.cancel_upstream()
                self.fail(too_large(self.limits.max_upload))
                yield from self.answer_now()
                return
        yield from super().state_stream_request_body(event)
        if isinstance(event, layers.RequestEndOfMessage) and self.exchange is not None:
            self.exchange.request_bytes = self.uploaded
            if self.server_state == self.state_wait_for_response_headers:
                self.arm_first_byte()

    # The upstream.

    def make_server_connection(self) -> Commands:
        while True:
            exchange = self.exchange
            if exchange is None or not exchange.cleared:
                self.fail(Refusal(503, "not_cleared", "the request did not pass every step of the gateway"))
                yield from self.answer_now()
                return False
            known = set(self.parent.connections)
            connection, error = yield layers.GetHttpConnection(
                (self.flow.request.host, self.flow.request.port),
                self.flow.request.scheme == "https",
                self.flow.server_conn.via,
                self.flow.server_conn.transport_protocol,
            )
            if (yield from self.check_killed(True)):
                return False
            if not error:
                self.context.server = self.flow.server_conn = connection
                self.reused = connection in known
                exchange.sent = True
                if self.client_state == self.state_done:
                    self.arm_first_byte()
                return True
            # A failed connection would answer for its address ever after.
            for dead in [each for each in self.parent.connections if each.error]:
                del self.parent.connections[dead]
            verdict = yield from self.ask(0, {}, connect_error(error))
            if verdict is None:
                return False
            if not verdict:
                yield from self.give_up()
                return False

    def send_request(self) -> Commands:
        request, upstream = self.flow.request, self.context.server
        content = request.raw_content
        yield layers.SendHttp(layers.RequestHeaders(self.stream_id, request, not content), upstream)
        if content:
            yield layers.SendHttp(layers.RequestData(self.stream_id, content), upstream)
        yield layers.SendHttp(layers.RequestEndOfMessage(self.stream_id), upstream)

    def send_again(self) -> Commands:
        self.flow.response = None
        self.held, self.held_body = None, b""
        self.server_state = self.state_wait_for_response_headers
        if (yield from self.make_server_connection()):
            yield from self.send_request()

    def arm_first_byte(self) -> None:
        attempt = self.exchange.attempt if self.exchange else None
        self.deadline.arm(attempt.timeout if attempt else self.limits.idle_timeout)

    def ask(self, status: int, headers: dict[str, str], error: str) -> Commands:
        """True: flow.request is that of the next attempt. False: it was the last. None: the client left."""
        self.deadline.cancel()
        ended = AttemptEnded(self.flow, status, headers, error)
        yield AttemptHook(ended)
        if (yield from self.check_killed(True)):
            return None
        return ended.again

    def attempt_failed(self, error: str) -> Commands:
        verdict = yield from self.ask(0, {}, error)
        if verdict:
            yield from self.send_again()
        elif verdict is False:
            yield from self.give_up()

    def give_up(self) -> Commands:
        if self.flow.response is None:
            self.fail(Refusal(502, "upstream_failed", "the provider gave no answer"))
        yield from self.answer_now()

    def cancel_upstream(self) -> Commands:
        upstream = self.context.server
        if upstream in self.parent.connections:
            yield layers.SendHttp(
                layers.RequestProtocolError(self.stream_id, "cancelled", layers.ErrorCode.CANCEL), upstream
            )
            self.forget_upstream()

    def forget_upstream(self) -> None:
        upstream = self.context.server
        if upstream in self.parent.connections:
            self.parent.connections[upstream] = Silence(self.context.fork())

    # The answer.

    def state_wait_for_response_headers(self, event: layers.ResponseHeaders) -> Commands:
        self.deadline.cancel()
        if fault := invalid_answer(self.flow.request, event.response):
            yield from self.cancel_upstream()
            yield from self.attempt_failed(fault)
            return
        status = event.response.status_code
        exchange = self.exchange
        if (
            exchange is not None
            and next_attempt(exchange.attempts, exchange.current, status, exchange.retry_on) is not None
        ):
            self.held, self.held_body = event, b""
            self.server_state = self.state_hold_answer
            self.deadline.arm(self.limits.idle_timeout)
            return
        yield from self.begin_answer(event)

    def state_hold_answer(self, event: Any) -> Commands:
        """Collects an error answer to its end, which keeps the connection fit for the next attempt."""
        assert self.held is not None
        if isinstance(event, layers.ResponseData):
            self.held_body += event.data
            if len(self.held_body) > HELD_LIMIT:
                yield from self.release_held(whole=False)
        elif isinstance(event, layers.ResponseEndOfMessage):
            response = self.held.response
            headers = {name.lower(): value for name, value in response.headers.items()}
            verdict = yield from self.ask(response.status_code, headers, "")
            if verdict:
                yield from self.send_again()
            elif verdict is False:
                yield from self.release_held(whole=True)

    def release_held(self, *, whole: bool) -> Commands:
        assert self.held is not None
        held, body = self.held, self.held_body
        self.held, self.held_body = None, b""
        yield from self.begin_answer(held)
        running = (self.state_consume_response_body, self.state_stream_response_body)
        if body and self.server_state in running:
            yield from self.server_state(layers.ResponseData(self.stream_id, body))
        if whole and self.server_state in running:
            yield from self.server_state(layers.ResponseEndOfMessage(self.stream_id))

    def begin_answer(self, event: layers.ResponseHeaders) -> Commands:
        self.flow.response = event.response
        # What the provider says there may be anything, also the key.
        self.flow.response.http_version = "HTTP/1.1"
        self.flow.response.reason = status_codes.RESPONSES.get(event.response.status_code, "")
        yield layers.HttpResponseHeadersHook(self.flow)
        if (yield from self.check_killed(True)):
            yield from self.cancel_upstream()
            return
        exchange = self.exchange
        if self.flow.response is not event.response or exchange is None or not exchange.metered:
            yield from self.cancel_upstream()
            if self.flow.response is event.response:
                self.fail(Refusal(500, "internal_error", "the answer did not pass every step of the gateway"))
            yield from self.answer_now()
            return
        self.last_byte = time.monotonic()
        self.deadline.arm(self.limits.idle_timeout)
        if self.flow.response.stream and not event.end_stream:
            yield from self.start_response_stream()
        else:
            self.server_state = self.state_consume_response_body

    def state_consume_response_body(self, event: Any) -> Commands:
        self.last_byte = time.monotonic()
        held = len(self.response_body_buf)
        if isinstance(event, layers.ResponseData) and held + len(event.data) > ANSWER_LIMIT:
            yield from self.cancel_upstream()
            self.fail(Refusal(502, "answer_too_large", "the provider's answer is too large"))
            yield from self.answer_now()
            return
        yield from super().state_consume_response_body(event)

    def state_stream_response_body(self, event: Any) -> Commands:
        self.last_byte = time.monotonic()
        self.quiet_turns = 0
        if self.ending is not None and isinstance(event, layers.ResponseEndOfMessage):
            # It had come to its end by itself. The connection is half closed, and no use to others.
            yield from self.cancel_upstream()
        yield from super().state_stream_response_body(event)
        exchange = self.exchange
        if exchange is None or self.server_state != self.state_stream_response_body:
            return
        lease = exchange.lease
        if lease is not None and lease.short and not exchange.stop and self.ending is None:
            yield from self.extend_lease()
        if exchange.stop and self.server_state == self.state_stream_response_body:
            yield from self.cancel_upstream()
            yield from self.send_response(already_streamed=True)

    def extend_lease(self) -> Commands:
        extend = Extend(self.flow)
        yield ExtendHook(extend)
        if extend.ended and self.server_state == self.state_stream_response_body:
            # The provider is told to stop. What it has sent until now it has billed: the client gets it.
            self.ending = extend
            yield commands.CloseTcpConnection(self.context.server, half_close=True)
            self.deadline.arm(TURN)

    def end_stream(self, extend: Extend) -> Commands:
        yield from self.cancel_upstream()
        try:
            tail = extend.tail() if extend.tail is not None else b""
        except Exception as error:
            log.error("%s at the end of a stream", type(error).__name__)
            tail = b""
        if tail:
            yield layers.SendHttp(layers.ResponseData(self.stream_id, tail), self.context.client)
        else:
            yield from self.give_tail(
                Refusal(500, "internal_error", "the gateway failed on this stream and ended it")
            )
        yield from self.send_response(already_streamed=True)

    def send_response(self, already_streamed: bool = False) -> Commands:
        self.deadline.cancel()
        for command in super().send_response(already_streamed):
            yield command
            if isinstance(command, layers.HttpResponseHook):
                exchange = self.exchange
                if exchange is not None and not exchange.recorded:
                    # What was not written down is not given out.
                    if already_streamed:
                        self.flow.error = flow.Error(flow.Error.KILLED_MESSAGE)
                    else:
                        self.fail(Refusal(500, "not_recorded", "the exchange could not be recorded"))
                if not already_streamed:
                    self.set_length()

    def set_length(self) -> None:
        """What goes out whole is framed by what it is, not by what the provider's was."""
        response = self.flow.response
        assert response is not None
        if self.flow.request.method != "HEAD" and response.status_code not in (101, 204, 304):
            response.headers.pop("transfer-encoding", None)
            response.headers["content-length"] = str(len(response.raw_content or b""))

    def state_done(self, event: Any) -> Commands:
        # The rest of a request that was answered before its end.
        yield from ()

    def fail(self, refusal: Refusal) -> None:
        refuse(self.flow, refusal)

    def answer_now(self) -> Commands:
        """Sends flow.response, which no provider made, whatever the client still has to say."""
        assert self.flow.response is not None
        status = self.flow.response.status_code
        if status == 413 and not self.flow.request.is_http2:
            # What is left of the body is not read for ever.
            self.flow.response.headers["connection"] = "close"
        if self.exchange is None and status >= 400:
            # Where a head was refused, nobody knows for sure where the next one begins.
            self.flow.response.headers["connection"] = "close"
        self.deadline.cancel()
        self.client_state = self.state_done
        self.request_body_buf.clear()
        self.response_body_buf.clear()
        self.flow.response.timestamp_start = time.time()
        yield from self.send_response()

    # What goes wrong on the way.

    def handle_protocol_error(self, event: Any) -> Commands:
        state = self.server_state
        if isinstance(event, layers.ResponseProtocolError) and self.client_state != self.state_errored:
            self.forget_upstream()
            if self.closed_while_idle(event):
                yield from self.send_again()
                return
            if state in (self.state_wait_for_response_headers, self.state_hold_answer):
                yield from self.attempt_failed(upstream_error(event.message))
                return
            if state == self.state_consume_response_body:
                self.fail(Refusal(502, "upstream_failed", "failed to read upstream response"))
                yield from self.answer_now()
                return
            if state == self.state_stream_response_body and self.ending is not None:
                yield from self.end_stream(self.ending)
                return
            if state == self.state_stream_response_body:
                # The client gets the error in its own words, and then a connection that breaks off: no SDK
                # and no simple reader can take what came for the whole.
                yield from self.give_tail(
                    Refusal(502, "upstream_failed", "the provider broke off its answer")
                )
        self.deadline.cancel()
        yield from super().handle_protocol_error(event)

    def closed_while_idle(self, event: layers.ResponseProtocolError) -> bool:
        """The provider closed a connection that was kept open, just as the next request went out on it.

        Every HTTP client sends such a request again, once and on a new connection (RFC 9112 9.3.1).
        """
        waiting = self.server_state == self.state_wait_for_response_headers
        first = self.exchange is not None and not self.exchange.failures
        whole = self.client_state == self.state_done and self.flow.request.stream is False
        again = self.reused and first and waiting and whole and event.message == "server closed connection"
        self.reused = False
        return again

    def timed_out(self) -> Commands:
        state = self.server_state
        if self.awaits_body:
            if self.arrived >= SLOWEST_BODY:
                self.arrived = 0
                self.deadline.arm(self.limits.body_timeout)
                return
            yield from self.cancel_upstream()
            self.fail(Refusal(408, "body_timeout", "the request body did not arrive in time"))
            yield from self.answer_now()
        elif state in (self.state_wait_for_response_headers, self.state_hold_answer):
            yield from self.cancel_upstream()
            yield from self.attempt_failed("the provider did not answer in time")
        elif state == self.state_stream_response_body and self.ending is not None:
            self.turns += 1
            self.quiet_turns += 1
            if self.quiet_turns < QUIET_TURNS and self.turns < MOST_TURNS:
                self.deadline.arm(TURN)
            else:
                yield from self.end_stream(self.ending)
        elif state in (self.state_consume_response_body, self.state_stream_response_body):
            left = self.last_byte + self.limits.idle_timeout - time.monotonic()
            if left > 0:
                self.deadline.arm(left)
                return
            refusal = Refusal(504, "upstream_timeout", "the provider stopped in the middle of its answer")
            yield from self.cancel_upstream()
            if state == self.state_stream_response_body:
                yield from self.give_tail(refusal)
                yield from self.send_response(already_streamed=True)
            else:
                self.fail(refusal)
                yield from self.answer_now()

    def give_tail(self, refusal: Refusal) -> Commands:
        cut = Cut(self.flow, refusal)
        yield CutHook(cut)
        if cut.tail:
            yield layers.SendHttp(layers.ResponseData(self.stream_id, cut.tail), self.context.client)


class Socket(websocket.WebsocketLayer):
    """A WebSocket connection: a message is held until it is whole, but not for ever."""

    limits: ClassVar[Limits] = Limits()

    given_up = False

    def relay_messages(self, event: events.Event) -> Commands:
        if self.given_up and not isinstance(event, events.ConnectionClosed):
            # What was read before the connection could be closed.
            return
        for command in super().relay_messages(event):
            if isinstance(command, websocket.WebsocketMessageHook) and self.too_large():
                break
            yield command
        if self.too_large():
            self.given_up = True
            yield commands.CloseConnection(self.context.client)
            yield commands.CloseConnection(self.context.server)

    def too_large(self) -> bool:
        """The message that has come last, or one that has not come to its end."""
        data = self.flow.websocket
        whole = [message.content for message in data.messages[-1:]] if data is not None else []
        parts = [self.client_ws.frame_buf, self.server_ws.frame_buf, whole]
        return any(sum(map(len, part)) > self.limits.max_body for part in parts)


class ClientConnection(layers.Http1Server):
    """The HTTP/1 connection of a client."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.deadline = Deadline(self)
        self.turn = Deadline(self)
        self.phase: tuple[str, int] = ("", 0)
        self.received = 0
        self.discarded = 0
        self.answering = False

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup):
            if self.turn.passed and self.state == self.read_headers:
                yield from self.read_headers(events.DataReceived(self.conn, b""))
                self.watch()
            self.turn.cancel()
            if self.deadline.passed:
                yield from self.timed_out()
            return
        if isinstance(event, events.DataReceived):
            self.received += len(event.data)
            if self.state == self.done:
                return
            if self.state == self.read_headers and self.head_too_large(event.data):
                yield from self.turn_away(431, "the request head is too large")
                return
            if self.state == self.wait and len(self.buf) > self.limits.max_body + MAX_HEAD_BYTES:
                # More than one request of the largest size, sent ahead of its turn.
                yield commands.CloseConnection(self.conn)
                return
            if self.response_done:
                self.discarded += len(event.data)
                if self.discarded > DISCARD_LIMIT:
                    yield commands.CloseConnection(self.conn)
                    return
        self.answering = isinstance(event, layers.ResponseEndOfMessage)
        yield from super()._handle_event(event)
        self.answering = False
        self.watch()

    def read_headers(self, event: Any) -> Commands:
        if isinstance(event, events.DataReceived) and not event.data and not self.turn.passed:
            # The answer before is being given out at this moment, and its connection to the provider is not
            # free yet: a request that was sent ahead has its turn after that.
            self.turn.arm(0)
            return
        if isinstance(event, events.DataReceived):
            received = bytes(self.buf)
            end = _HEAD_END.search(received)
            # By bytes: mitmproxy strips values of more than blanks before anybody sees them.
            if end is not None and _CONTROL.search(received, 0, end.end()):
                yield from self.turn_away(400, "the request head has a control character")
                return
        yield from super().read_headers(event)

    def read_body(self, event: Any) -> Commands:
        for command in super().read_body(event):
            if isinstance(command, commands.CloseConnection) and self.response is None:
                yield from self.turn_away(400, "the request body is not valid HTTP")
            else:
                yield command

    def head_too_large(self, data: bytes) -> bool:
        if len(self.buf) + len(data) <= MAX_HEAD_BYTES:
            return False
        head = (bytes(self.buf) + data)[: MAX_HEAD_BYTES + 4]
        return b"\r\n\r\n" not in head and b"\n\n" not in head

    def watch(self) -> None:
        """Keeps the deadline in step with what the connection is waiting for."""
        if self.state == self.read_headers:
            name = "head" if self.buf or self.stream_id == 1 else "idle"
        elif self.state == self.read_body:
            name = "body"
        else:
            name = ""
        if (name, self.stream_id) == self.phase:
            return
        self.phase = (name, self.stream_id)
        seconds = {"head": self.limits.header_timeout, "body": self.limits.body_timeout, "idle": IDLE_CLIENT}
        if name:
            self.received = 0
            self.deadline.arm(seconds[name])
        else:
            self.deadline.cancel()

    def timed_out(self) -> Commands:
        name, stream_id = self.phase
        if name == "body" and self.received >= SLOWEST_BODY:
            self.received = 0
            self.deadline.arm(self.limits.body_timeout)
        elif name == "body":
            if self.response is None:
                yield from self.turn_away(408, "the request body did not arrive in time")
            else:
                yield commands.CloseConnection(self.conn)
            yield ReceiveHttp(
                layers.RequestProtocolError(
                    stream_id, "the request body did not arrive in time", layers.ErrorCode.CLIENT_DISCONNECTED
                )
            )
        elif name == "head" and self.state != self.done:
            yield from self.turn_away(408, "the request head did not arrive in time")
        else:
            yield commands.CloseConnection(self.conn)

    def turn_away(self, status: int, message: str) -> Commands:
        self.state = self.done
        if self.conn.state & ConnectionState.CAN_WRITE:
            yield commands.SendData(self.conn, json_error(status, message))
        if self.context.client.tls_established:
            yield commands.CloseConnection(self.conn)
        else:
            # Closing with unread data would make the kernel throw our answer away.
            self.phase = ("closing", self.stream_id)
            self.deadline.arm(2.0)
            yield commands.CloseTcpConnection(self.conn, half_close=True)


class ClientConnection2(layers.Http2Server):
    """The HTTP/2 connection of a client."""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, layers.ResponseProtocolError):
            status = event.code.http_status_code()
            stream = self.h2_conn.streams.get(event.stream_id)
            unanswered = stream is not None and not stream.state_machine.headers_sent
            if status and unanswered and self.is_open_for_us(event.stream_id):
                response = plain_error(status, error_message(status))
                for part in (
                    layers.ResponseHeaders(event.stream_id, response, False),
                    layers.ResponseData(event.stream_id, response.raw_content or b""),
                    layers.ResponseEndOfMessage(event.stream_id),
                ):
                    yield from super()._handle_event(part)
                return
        yield from super()._handle_event(event)


class UpstreamConnection(layers.Http1Client):
    """The HTTP/1 connection to a provider."""

    def read_headers(self, event: Any) -> Commands:
        if isinstance(event, events.DataReceived) and self.request:
            # RFC 9110 15.2: informational answers come before the final one and may be dropped by a proxy.
            while _INFORMATIONAL.match(bytes(self.buf)[:12]):
                if self.buf.maybe_extract_lines() is None:
                    break
            if len(self.buf) > 4 * MAX_HEAD_BYTES and b"\r\n\r\n" not in bytes(self.buf):
                yield commands.CloseConnection(self.conn)
                yield ReceiveHttp(
                    layers.ResponseProtocolError(
                        self.stream_id or 0, "head too large", layers.ErrorCode.GENERIC_SERVER_ERROR
                    )
                )
                return
            if not self.buf or _INFORMATIONAL.match(bytes(self.buf)[:12]):
                return
        for command in super().read_headers(event):
            if isinstance(command, ReceiveHttp) and isinstance(command.event, layers.ResponseHeaders):
                # Whether this connection can be used again is a matter of the head as it came.
                self.response = copy.copy(command.event.response)
                self.response.data = copy.copy(self.response.data)
            yield command


class _BodyReader(ChunkedReader):
    """Chunked bodies; their trailers are dropped, which RFC 9110 6.5.1 lets an intermediary do."""

    def __call__(self, buf: Any) -> Any:
        event = super().__call__(buf)
        if event is None and len(buf) > MAX_HEAD_BYTES:
            raise h11.RemoteProtocolError("the head of a chunk or the trailers are too large")
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def _make_body_reader(expected_size: int | None) -> Any:
    return _BodyReader() if expected_size is None else _http1_make_body_reader(expected_size)


_http1_make_body_reader = _http1.make_body_reader


# Words for what went wrong. mitmproxy's own may hold bytes of the provider's answer, and so a key.


def connect_error(error: str) -> str:
    text = error.lower()
    for sign, words in (
        ("connection killed", "the connection was not allowed"),
        ("refused", "connection refused"),
        # asyncio's words for it, on Linux and on macOS.
        ("errno 111", "connection refused"),
        ("errno 61", "connection refused"),
        ("certificate", "the provider's certificate was not accepted"),
        ("tls", "the TLS handshake failed"),
        ("not known", "the host name is not known"),
        ("no address", "the host name is not known"),
        ("timed out", "connection timed out"),
    ):
        if sign in text:
            return words
    return "no connection"


def invalid_answer(request: http.Request, response: http.Response) -> str:
    """What is wrong with the head of a provider's answer; the empty string when nothing is."""
    upgrade = response.status_code == 101 and "upgrade" in request.headers
    if not 200 <= response.status_code <= 599 and not upgrade:
        return "the provider's answer has no valid status"
    if response.http_version not in ("HTTP/1.0", "HTTP/1.1"):
        return "the provider's answer is not valid HTTP"
    if response.headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        return "the provider's answer has a transfer coding that cannot be read here"
    try:
        validate_headers(response)
    except ValueError:
        return "the provider's answer is not valid HTTP"
    return ""


def upstream_error(message: str) -> str:
    if "closed" in message:
        return "the provider closed the connection"
    return "the provider's answer is not valid HTTP"


def error_message(status: int) -> str:
    return {
        400: "the request is not valid HTTP",
        408: "the request did not arrive in time",
        413: "the request is too large",
        431: "the request head is too large",
        502: "the provider gave no valid answer",
    }.get(status, "the request failed")


def json_error(status_code: int, message: str = "") -> bytes:
    """A whole HTTP/1 answer, for requests that never became one; in the place of mitmproxy's HTML pages."""
    response = plain_error(status_code, message if message in _OURS else error_message(status_code))
    response.headers["connection"] = "close"
    return _http1.http1.assemble_response(response)


_OURS = frozenset(
    {
        "the request body is not valid HTTP",
        "the request head has a control character",
        "the request head is too large",
        "the request head did not arrive in time",
        "the request body did not arrive in time",
    }
)


def too_large(limit: int) -> Refusal:
    return Refusal(413, "request_too_large", f"the request body is larger than {limit // (1024 * 1024)} MiB")


# mitmproxy runs its hooks in eager tasks, so that a connection's task may have to wait for its turn to report
# an event. Cancelled meanwhile, it would forget to, and its stream would wait for ever.


async def _server_event(self: server.ConnectionHandler, event: events.Event) -> None:
    cancelled = None
    while True:
        try:
            await _mitmproxy_server_event(self, event)
            break
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _open_connection(self: server.ConnectionHandler, command: commands.OpenConnection) -> None:
    try:
        await _mitmproxy_open_connection(self, command)
    except asyncio.CancelledError:
        if command.connection.timestamp_tcp_setup is not None:
            await _close_orderly(self, command.connection)
        elif not command.connection.error:
            await self.server_event(events.OpenConnectionCompleted(command, "connection cancelled"))
        raise


async def _handle_connection(self: server.ConnectionHandler, connection: Connection) -> None:
    try:
        await _mitmproxy_handle_connection(self, connection)
    except asyncio.CancelledError:
        await _close_orderly(self, connection)
        raise


async def _close_orderly(handler: server.ConnectionHandler, connection: Connection) -> None:
    if connection in handler.transports:
        connection.state = ConnectionState.CLOSED
        await handler.server_event(events.ConnectionClosed(connection))
        transport = handler.transports.pop(connection, None)
        if transport is not None and transport.writer is not None:
            transport.writer.close()


_mitmproxy_server_event = server.ConnectionHandler.server_event
_mitmproxy_open_connection = server.ConnectionHandler.open_connection
_mitmproxy_handle_connection = server.ConnectionHandler.handle_connection


# What the addons may ask of the engine beyond hooks.


def _proxyserver() -> Any:
    return ctx.master.addons.get("proxyserver")


class Watchdog:
    """Ends what has not come about in time: one timer for each connection that is watched."""

    def __init__(self, seconds: float, end: Callable[[Client, Connection], None]) -> None:
        self._seconds = seconds
        self._end = end
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def watch(self, client: Client, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._timers[connection.id] = loop.call_later(self._seconds, self._fire, client, connection)

    def done(self, connection: Connection) -> None:
        if timer := self._timers.pop(connection.id, None):
            timer.cancel()

    def _fire(self, client: Client, connection: Connection) -> None:
        self._timers.pop(connection.id, None)
        self._end(client, connection)


def close_connection(client: Client, connection: Connection) -> None:
    """Closes one of a client's connections; its own takes every upstream connection with it."""
    handler = _proxyserver().connections.get(client.id)
    transport = handler.transports.get(connection) if handler is not None else None
    if transport is None:
        return
    if transport.writer is None:
        # Still connecting; this makes the attempt fail.
        transport.handler.cancel()
    else:
        handler.close_connection(connection)


def close_upstream(flow: http.HTTPFlow) -> None:
    """Closes the connection to a flow's provider."""
    close_connection(flow.client_conn, flow.server_conn)


def close_all_clients() -> None:
    for handler in list(_proxyserver().connections.values()):
        if handler.client in handler.transports:
            handler.close_connection(handler.client)


def prepare_connection(client: Client) -> None:
    """What a client's connection needs beyond mitmproxy's defaults."""
    handler = _proxyserver().connections.get(client.id)
    if handler is not None:
        handler.max_conns = collections.defaultdict(lambda: asyncio.Semaphore(UPSTREAMS_PER_CLIENT))
        handler.layer = Coalesced(handler.layer)


class Coalesced:
    """The outermost layer of a connection. What is sent to one peer in one go is written in one go: a head
    and its body are two commands, and would be two system calls."""

    def __init__(self, inner: layer.Layer) -> None:
        self.inner = inner

    def handle_event(self, event: events.Event) -> Commands:
        held: commands.SendData | None = None
        for command in self.inner.handle_event(event):
            if isinstance(command, commands.SendData):
                if held is not None and held.connection is command.connection:
                    held.data += command.data
                    continue
                if held is not None:
                    yield held
                held = command
                continue
            if held is not None:
                yield held
                held = None
            yield command
        if held is not None:
            yield held


async def listen(modes: list[str]) -> None:
    """Closes the listeners there are, and opens one for each of mitmproxy's mode specifications."""
    await _proxyserver().servers.update([ProxyMode.parse(mode) for mode in modes])


def serving() -> None:
    """From here on mitmproxy ends at an error of starting itself, and not at one that a request logs.

    Requests are served while the last of starting is under way. To be called by the task that does it.
    """
    check = ctx.master.addons.get("errorcheck")
    if check is None:
        return
    if not isinstance(handler := getattr(check, "logger", None), logging.Handler):
        raise EngineError(
            "this mitmproxy has no ErrorCheck.logger; install the version that pyproject.toml asks for"
        )
    starting = asyncio.current_task()

    def counts(record: logging.LogRecord) -> bool:
        try:
            return asyncio.current_task() is starting
        except RuntimeError:
            # A thread of its own.
            return False

    handler.addFilter(counts)


async def stop_listening() -> None:
    """Closes the listeners. Connections that are open stay."""
    await _proxyserver().servers.update([])


def listen_addresses() -> list[tuple[Any, ...]]:
    return list(_proxyserver().listen_addrs())


def open_connections() -> int:
    return len(_proxyserver().connections)


class Dispatch(AddonManager):
    """mitmproxy's addon manager with its look-up done once.

    It asks every addon of the chain for every hook of every event anew, which costs more than all our steps.
    For a Master whose chain is complete when it runs.
    """

    def __init__(self, master: Any) -> None:
        super().__init__(master)
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self._fields: dict[type, tuple[str, ...]] = {}
        self._begun: dict[hooks.Hook, Coroutine[Any, Any, None]] = {}

    def at_once(self, event: hooks.Hook) -> bool:
        """Calls the hooks here and now, without a task and a turn of the loop for each event.

        False when one of them has to wait for something: the rest is done when mitmproxy asks for the event.
        """
        coroutine = self.trigger_event(event)
        try:
            awaited = coroutine.send(None)
        except StopIteration:
            return True
        self._begun[event] = _resume(coroutine, awaited)
        return False

    def register(self, addon: Any) -> Any:
        self._hooks.clear()
        return super().register(addon)

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        # No addon of ours wants mitmproxy's `update`, which would follow each event of a flow.
        await (self._begun.pop(event, None) or self.trigger_event(event))

    async def trigger_event(self, event: hooks.Hook) -> None:
        found = self._hooks.get(event.name)
        if found is None:
            found = [hook for addon in self.chain for _, hook in self._iter_hooks(addon, event)]
            self._hooks[event.name] = found
        if not found:
            return
        names = self._fields.get(type(event))
        if names is None:
            names = self._fields[type(event)] = tuple(field.name for field in fields(event))  # type: ignore[arg-type]
        await call_hooks(found, [getattr(event, name) for name in names])


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was started outside a task and now awaits something."""
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, value)
        try:
            awaited = step()
        except StopIteration:
            return


async def call_hooks(found: Sequence[Callable[..., Any]], arguments: Sequence[Any]) -> None:
    """Calls one after the other; what raises ends in a refusal of what it was asked about.

    mitmproxy would log the words of the exception, which may be a prompt's, and go on as if nobody had asked.
    """
    # It builds on this module.
    from addons.guarded import close

    for hook in found:
        try:
            result = hook(*arguments)
            if result is not None and inspect.isawaitable(result):
                await result
        except Exception as error:
            close(arguments[0] if arguments else None, error, hook)


async def _trigger_event(self: AddonManager, event: hooks.Hook) -> None:
    found = [hook for addon in self.chain for _, hook in self._iter_hooks(addon, event)]
    await call_hooks(found, event.args())


# Installation.


class EngineError(RuntimeError):
    """mitmproxy is not the one this engine was written for."""


_NEEDED: tuple[tuple[object, str], ...] = (
    (
        layers.HttpStream,
        "state_wait_for_request_headers state_consume_request_body state_stream_request_body "
        "start_request_stream state_wait_for_response_headers state_consume_response_body "
        "state_stream_response_body send_response start_response_stream make_server_connection "
        "handle_protocol_error check_killed passthrough state_done state_errored mode "
        "flow stream_id request_body_buf response_body_buf",
    ),
    (layers.HttpLayer, "make_stream get_connection event_to_child command_sources connections"),
    (
        layers.Http1Server,
        "read_headers read_body done wait send mark_done buf stream_id response response_done",
    ),
    (layers.Http1Client, "read_headers buf stream_id request response"),
    (layers.Http2Server, "is_open_for_us h2_conn"),
    (_http1, "make_error_response make_body_reader http1"),
    (
        server.ConnectionHandler,
        "server_event open_connection handle_connection close_connection transports max_conns",
    ),
    (http.MessageData, "__post_init__"),
    (websocket.WebsocketLayer, "relay_messages client_ws server_ws"),
    (AddonManager, "trigger_event handle_lifecycle register _iter_hooks"),
)

# What `install` replaces, and who looks it up by its name: from elsewhere, nobody would get ours.
_LOOKED_UP: tuple[tuple[Callable[..., Any], str], ...] = (
    (layers.HttpLayer.make_stream, "HttpStream"),
    (layers.HttpLayer._handle_event, "Http1Server Http2Server"),
    (layers.HttpClient._handle_event, "Http1Client"),
    (layers.HttpStream.flow_done, "WebsocketLayer"),
    (layers.Http1Server.read_headers, "make_body_reader make_error_response"),
    (layers.Http1Client.read_headers, "make_body_reader"),
    (AddonManager.handle_lifecycle, "trigger_event"),
)


def check() -> None:
    """Raises EngineError naming the first thing of mitmproxy's that the engine needs and does not find."""
    remedy = "install the version that pyproject.toml asks for"
    for owner, names in _NEEDED:
        annotated = [inspect.get_annotations(each) for each in getattr(owner, "__mro__", ())]
        for name in names.split():
            if not hasattr(owner, name) and not any(name in each for each in annotated):
                title = getattr(owner, "__name__", owner)
                raise EngineError(f"this mitmproxy has no {title}.{name}; {remedy}")
    for user, names in _LOOKED_UP:
        used = inspect.unwrap(user).__code__.co_names
        for name in names.split():
            if name not in used:
                raise EngineError(f"mitmproxy's {user.__qualname__} does not use {name}; {remedy}")
    shapes: tuple[tuple[Callable[..., Any], list[str]], ...] = (
        (layers.HttpStream.__init__, ["self", "context", "stream_id"]),
        (layers.HttpStream.send_response, ["self", "already_streamed"]),
        (layers.HttpStream.check_killed, ["self", "emit_error_hook"]),
        (layers.GetHttpConnection, ["address", "tls", "via", "transport_protocol"]),
        (layers.RequestHeaders, ["stream_id", "request", "end_stream", "replay_flow"]),
        (layers.ResponseHeaders, ["stream_id", "response", "end_stream"]),
    )
    for function, expected in shapes:
        found = list(inspect.signature(function).parameters)
        if found != expected:
            raise EngineError(f"mitmproxy's {function.__qualname__} takes {found}, not {expected}; {remedy}")


def install(limits: Limits) -> None:
    """Puts the engine in the place of mitmproxy's classes, for this process and for good."""
    check()
    Stream.limits = ClientConnection.limits = Socket.limits = limits
    layers.HttpStream = Stream  # type: ignore[misc]
    layers.Http1Server = ClientConnection  # type: ignore[misc]
    layers.Http2Server = ClientConnection2  # type: ignore[misc]
    layers.Http1Client = UpstreamConnection  # type: ignore[misc]
    websocket.WebsocketLayer = Socket  # type: ignore[misc]
    server.ConnectionHandler.server_event = _server_event  # type: ignore[method-assign]
    server.ConnectionHandler.open_connection = _open_connection  # type: ignore[method-assign]
    server.ConnectionHandler.handle_connection = _handle_connection  # type: ignore[method-assign]
    AddonManager.trigger_event = _trigger_event  # type: ignore[method-assign]
    _http1.make_body_reader = _make_body_reader
    _http1.make_error_response = json_error
    # A check of types for each message, made for mitmproxy's developers; 5 % of a request's time.
    http.MessageData.__post_init__ = lambda self: None  # type: ignore[method-assign]


__all__ = [
    "AttemptEnded",
    "Connection",
    "Cut",
    "EngineError",
    "Extend",
    "Limits",
    "Watchdog",
    "check",
    "install",
]
