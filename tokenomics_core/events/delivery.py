"""Delivery: one attempt to give one event to one webhook, and when the next attempt is made."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from tokenomics_core.events.addresses import forbidden
from tokenomics_core.events.envelope import Envelope
from tokenomics_core.events.receiver import Receiver, url_problem
from tokenomics_core.events.signature import sign, sign_at
from tokenomics_core.events.slack import slack_body
from tokenomics_core.retry import retry_after_seconds

USER_AGENT = "Tokenomics-Webhook/1.0"

FIRST_WAIT = 2.0
"""Seconds before the second attempt; they double with each further one."""

LONGEST_WAIT = 300.0
"""Seconds, also where the receiver asks for more."""

_LONGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read so that its connection can be used again."""

type Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, by name and port. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Result:
    """outcome: ``again`` where another attempt may help, ``refused`` where none does.

    status: of the answer; 0 for none. error: why it failed, in words that hold no secret.
    retry_after: seconds that the receiver asked for. seconds: how long the attempt took.
    """

    outcome: Literal["delivered", "again", "refused"]
    status: int = 0
    error: str = ""
    retry_after: float | None = None
    seconds: float = 0.0


class Sender:
    """now: seconds since 1970. To be used in one event loop, and closed there."""

    def __init__(
        self, receiver: Receiver, *, now: Callable[[], float] = time.time, resolve: Resolve | None = None
    ) -> None:
        self._receiver = receiver
        self._webhook = receiver.webhook
        self._now = now
        self._resolve = resolve or _resolve
        self._client: httpx.AsyncClient | None = None

    async def send(self, envelope: Envelope) -> Result:
        """One attempt, within the time that the webhook allows. Raises nothing but CancelledError."""
        if problem := url_problem(self._webhook.url):
            return Result("refused", error=problem)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._webhook.timeout):
                result = await self._post(envelope)
        except TimeoutError:
            result = Result("again", error=f"no answer within {self._webhook.timeout:g} s")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError):
            result = Result("refused", error="its url or its secret cannot be written into a request")
        except (httpx.TransportError, OSError) as error:
            result = Result("again", error=_words(error))
        except Exception as error:
            # Nobody wrote its message for people, and it may quote the request.
            result = Result("again", error=type(error).__name__)
        taken = time.monotonic() - began
        return Result(result.outcome, result.status, result.error, result.retry_after, taken)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def headers(self, envelope: Envelope, body: bytes) -> list[tuple[bytes, bytes]]:
        """Those that a receiver looks at."""
        webhook = self._webhook
        headers = {
            "Content-Type": b"application/json",
            "User-Agent": USER_AGENT.encode(),
            "X-Event-ID": envelope.id.encode(),
            "X-Event-Type": envelope.type.encode(),
        }
        if webhook.secret:
            headers["X-Webhook-Secret"] = webhook.secret.encode()
        if webhook.signing_key:
            headers["X-Webhook-Signature"] = sign(webhook.signing_key, body).encode()
            if webhook.timestamp_signature:
                at = int(self._now())
                headers["X-Webhook-Timestamp"] = str(at).encode()
                signed = sign_at(webhook.signing_key, body, at)
                headers["X-Webhook-Timestamped-Signature"] = signed.encode()
        return [(name.encode(), value) for name, value in headers.items()]

    async def _post(self, envelope: Envelope) -> Result:
        webhook = self._webhook
        url = httpx.URL(webhook.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.raw_host.decode("ascii")
        addresses = await self._resolve(host, port)
        for address in addresses:
            rule = {"allow_link_local": webhook.allow_link_local, "deny_private": webhook.deny_private}
            if problem := forbidden(address, **rule):
                return Result("refused", error=problem)
        if webhook.format == "slack":
            body = slack_body(envelope)
        else:
            body = envelope.body(full_token_hash=webhook.full_token_hash)
        headers = [(b"Host", url.netloc), *self.headers(envelope, body)]
        if self._client is None:
            self._client = await _new_client(insecure=webhook.insecure)
        for index, address in enumerate(addresses):
            # The address that was judged, and not what the name stands for a moment later.
            there = url.copy_with(host=address)
            extensions = {} if _is_address(host) else {"sni_hostname": host}
            try:
                async with self._client.stream(
                    "POST", there, content=body, headers=headers, extensions=extensions
                ) as response:
                    await _read(response)
            except httpx.ConnectError:
                if index + 1 == len(addresses):
                    raise
            else:
                return self._judge(response)
        return Result("again", error="its host has no address")

    def _judge(self, response: httpx.Response) -> Result:
        status = response.status_code
        if 200 <= status < 300:
            return Result("delivered", status)
        if 400 <= status < 500 and status != 429:
            return Result("refused", status, f"HTTP {status}")
        told = f"HTTP {status}, and redirects are not followed" if 300 <= status < 400 else f"HTTP {status}"
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Result("again", status, told, retry_after_seconds(headers, self._now()))


def wait(attempts: int, retry_after: float | None, jitter: float) -> float:
    """Seconds until the next attempt, after so many. jitter: a random number in [0, 1).

    What the receiver asks for is the least, LONGEST_WAIT the most; otherwise the step of 2, 4, 8, ... seconds
    and up to half of it more, so that many gateways do not come back at once.
    """
    step: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 16))
    return min(LONGEST_WAIT, max(step * (1 + jitter / 2), retry_after or 0.0))


async def _new_client(*, insecure: bool) -> httpx.AsyncClient:
    # Reading the system's authorities takes a while.
    verify = await asyncio.to_thread(ssl.create_default_context)
    if insecure:
        verify.check_hostname = False
        verify.verify_mode = ssl.CERT_NONE
    # Both tell every request with its URL, which may hold a secret.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A proxy of the environment would go where this process may not, and may be this very gateway.
    return httpx.AsyncClient(verify=verify, trust_env=False, follow_redirects=False, timeout=None)


async def _read(response: httpx.Response) -> None:
    size = 0
    async for piece in response.aiter_raw():
        size += len(piece)
        if size > _LONGEST_ANSWER:
            return


async def _resolve(host: str, port: int) -> list[str]:
    if _is_address(host):
        return [host]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _words(error: BaseException) -> str:
    """What went wrong on the way, without the words of a library, which may hold the URL."""
    seen: BaseException | None = error
    kinds: list[Any] = []
    while seen is not None and len(kinds) < 8:
        kinds.append(seen)
        seen = seen.__cause__ or seen.__context__
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in kinds):
        return "its certificate is not trusted"
    if any(isinstance(each, ssl.SSLError) for each in kinds):
        return "TLS failed"
    if any(isinstance(each, ConnectionRefusedError) for each in kinds):
        return "connection refused"
    if isinstance(error, OSError):
        return "its host cannot be looked up"
    if isinstance(error, httpx.ConnectError):
        return "cannot connect"
    return "the connection broke off"
