"""What the demo shows, step by step. STEPS is the tour; a further step is a function and a line there."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenomics_cli.demo_provider import DemoProvider
from tokenomics_cli.temporary_gateway import TemporaryGateway
from tokenomics_core.ledger import Row, read_rows

MODEL = "gpt-4o-mini"
FORBIDDEN_MODEL = "o3"
KEY_ENV = "DEMO_OPENAI_KEY"
POLICY = {"base_key_env": KEY_ENV, "default_provider": "openai", "model_regex": "^gpt-4o-mini"}
UNKNOWN_TOKEN = "tkn_00000000-0000-4000-8000-000000000000"
CHAT = "/v1/chat/completions"
PROVIDER = "https://api.openai.com"
STREAMED_TEXT = "Every word of this answer is passed on as soon as it is there, and counted on its way."


class NotAsTold(Exception):
    """A step went another way than the demo says it goes."""


@dataclass
class Tour:
    """What the steps work with. token: the agent's. key: the real one, known to gateway and provider only.

    recorded: statuses of the requests so far that leave a row in the ledger, in their order.
    """

    console: Console
    gateway: TemporaryGateway
    provider: DemoProvider
    token: str
    key: str
    recorded: list[int] = field(default_factory=list)

    @property
    def granted(self) -> int:
        """Requests so far that the provider should have seen."""
        return self.recorded.count(200)

    def tell(self, text: str, style: str = "", *, end: str = "\n") -> None:
        """A line of a step, or with another end a piece of one. Never cut, so that it can be copied."""
        # Not print(): a reader of the pipe sees the words of a stream as they come, too.
        self.console.print(Text(text, style), end=end, soft_wrap=True)
        self.console.file.flush()

    def ask(self, text: str, *, model: str = MODEL, token: str = "", intercepted: bool = False) -> Any:
        """The gateway's answer to a chat completion, as an httpx response."""
        with self._client(intercepted) as client:
            return client.post(CHAT, json=chat(text, model), headers=self._head(token))

    @contextmanager
    def stream(self, text: str) -> Iterator[Iterator[str]]:
        """The lines of a streamed chat completion."""
        with (
            self._client() as client,
            client.stream("POST", CHAT, json=chat(text) | {"stream": True}, headers=self._head()) as answer,
        ):
            expect(answer.status_code == 200, f"the answer is {answer.status_code}, not 200")
            yield answer.iter_lines()

    def rows(self, count: int) -> list[Row]:
        """The ledger's rows, once there are so many: a row is written beside its answer."""
        path = self.gateway.dir / "ledger.db"
        deadline = time.monotonic() + 5
        while len(rows := list(read_rows(path))) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        expect(len(rows) == count, f"the ledger holds {len(rows)} rows, not {count}")
        return rows

    def _head(self, token: str = "") -> dict[str, str]:
        return {"authorization": f"Bearer {token or self.token}"}

    def _client(self, intercepted: bool = False) -> httpx.Client:
        if not intercepted:
            return httpx.Client(base_url=self.gateway.url, trust_env=False, timeout=10)
        # The gateway's authority and no other: this client would notice a real provider's certificate.
        trust = ssl.create_default_context(cafile=str(self.gateway.ca))
        address = self.gateway.url
        return httpx.Client(base_url=PROVIDER, proxy=address, verify=trust, trust_env=False, timeout=10)


def chat(text: str, model: str = MODEL) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def expect(condition: bool, otherwise: str) -> None:
    """Raises NotAsTold with what is the case when the condition does not hold."""
    if not condition:
        raise NotAsTold(otherwise)


def plain_request(tour: Tour) -> None:
    """The agent's base URL is the gateway, its API key the wrapper token."""
    tour.tell(f"> POST {tour.gateway.url}{CHAT}, model {MODEL}", "cyan")
    _show_granted(tour, tour.ask("Hello."), "You said: Hello.")


def streamed_request(tour: Tour) -> None:
    """The answer comes word by word, as the provider sends it."""
    tour.tell(f"> POST {tour.gateway.url}{CHAT}, model {MODEL}, stream", "cyan")
    tour.tell("< 200 ", "green", end="")
    text, first, usage = "", 0.0, False
    with tour.stream(STREAMED_TEXT) as lines:
        for line in lines:
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            usage = usage or bool(event.get("usage"))
            for choice in event["choices"]:
                piece = choice["delta"].get("content") or ""
                first = first or (time.monotonic() if piece else 0.0)
                text += piece
                tour.tell(piece, end="")
    tour.tell("")
    tour.recorded.append(200)
    expect(text == f"You said: {STREAMED_TEXT}", "the text is not what the provider sent")
    seen = tour.provider.seen[-1]
    expect(not seen.ended or first < seen.ended, "nothing came before the provider had sent everything")
    asked = json.loads(seen.body).get("stream_options") == {"include_usage": True}
    expect(asked and not usage, "the provider was not asked for usage, or the client was sent it unasked")
    tour.tell("The gateway asked for the usage and took it out again, as this client had not asked.")


def intercepted_request(tour: Tour) -> None:
    """The agent keeps the provider's URL. HTTPS_PROXY leads it through the gateway, whose CA it trusts."""
    tour.tell(f"> CONNECT by {tour.gateway.url}, then POST {PROVIDER}{CHAT}", "cyan")
    _show_granted(tour, tour.ask("Hello again.", intercepted=True), "You said: Hello again.")


def forbidden_model(tour: Tour) -> None:
    """The policy allows models that begin with gpt-4o-mini."""
    tour.tell(f"> POST {tour.gateway.url}{CHAT}, model {FORBIDDEN_MODEL}", "cyan")
    _show_refused(tour, tour.ask("Hello.", model=FORBIDDEN_MODEL), 403, "model_not_allowed")
    tour.recorded.append(403)


def unknown_token(tour: Tour) -> None:
    """A token that was never made, or was deleted, or has expired."""
    tour.tell(f"> POST {tour.gateway.url}{CHAT} with {UNKNOWN_TOKEN}", "cyan")
    _show_refused(tour, tour.ask("Hello.", token=UNKNOWN_TOKEN), 401, "invalid_token")


def provider_view(tour: Tour) -> None:
    """The real key is set by the gateway, in the last step. The agent never has it."""
    table = _table("path", "key that came with it", "model", "token")
    for seen in tour.provider.seen:
        leaked = tour.token in f"{seen.path}{seen.headers}{seen.body!r}"
        table.add_row(seen.path, seen.key, json.loads(seen.body)["model"], "seen" if leaked else "none")
        expect(not leaked, "the wrapper token reached the provider")
        expect(seen.key == tour.key, "the provider was called with another key than the real one")
    tour.console.print(table)
    count = len(tour.provider.seen)
    expect(count == tour.granted, f"the provider saw {count} requests, not {tour.granted}")
    tour.tell("What was refused never got there.")


def ledger(tour: Tour) -> None:
    """One row for each request of a known token, granted or refused, with the provider's own counts."""
    rows = tour.rows(len(tour.recorded))
    table = _table("came by", "model", "stream", "status", "refusal", "in", "out", "ms")
    for row in rows:
        what = [row.ingress, row.model, "yes" if row.stream else "no", str(row.status), row.refusal]
        table.add_row(*what, str(row.input_tokens), str(row.output_tokens), str(row.duration_ms))
    tour.console.print(table)
    expect([row.status for row in rows] == tour.recorded, "the statuses are others than the client's")
    granted = [row for row in rows if row.status == 200]
    for row, seen in zip(granted, tour.provider.seen, strict=True):
        words = len(json.loads(seen.body)["messages"][-1]["content"].split())
        counted, told = (row.input_tokens, row.output_tokens), (words, words + 2)
        expect(counted == told and not row.estimated, f"the row says {counted}, the provider said {told}")
    tour.tell("The unknown token has no row. It is a line of the request log.")


class Step(NamedTuple):
    """run: its docstring is shown below the title; it raises NotAsTold, or whatever goes wrong in it."""

    title: str
    run: Callable[[Tour], None]


STEPS = [
    Step("A request by base URL", plain_request),
    Step("A streamed request", streamed_request),
    Step("A request by HTTPS_PROXY", intercepted_request),
    Step("A model that the policy forbids", forbidden_model),
    Step("A token that nobody knows", unknown_token),
    Step("What the provider saw", provider_view),
    Step("What the ledger says", ledger),
]


def _show_granted(tour: Tour, answer: Any, text: str) -> None:
    expect(answer.status_code == 200, f"the answer is {answer.status_code}, not 200: {answer.text[:200]}")
    said = answer.json()["choices"][0]["message"]["content"]
    tour.recorded.append(200)
    tour.tell("< 200 ", "green", end="")
    tour.tell(said)
    expect(said == text, "the text is not what the provider sent")


def _show_refused(tour: Tour, answer: Any, status: int, code: str) -> None:
    expect(answer.status_code == status, f"the answer is {answer.status_code}, not {status}")
    error = answer.json()["error"]
    tour.tell(f"< {status} {error['code']}: ", "yellow", end="")
    tour.tell(error["message"])
    expect(error["code"] == code, f"the reason is {error['code']}, not {code}")
    expect(len(tour.provider.seen) == tour.granted, "the provider was called all the same")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        number = column in ("in", "out", "ms")
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table
