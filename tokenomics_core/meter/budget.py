"""Budget: one question to the counters before a request is sent, more of them while its answer streams, and
the settlement.

A request reserves its input, as estimated, and some of its output. A stream whose output shows as it comes
reserves a slice, and the next one before the first is used up. When a budget comes to its end, and for
answers that are only seen as a whole, the output is reserved in full and the request's own cap is lowered to
that, so that its provider cannot pass it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tokenomics_core.counters.question import (
    CountersUnavailable,
    Denied,
    Extension,
    Granted,
    Limit,
    Question,
    Settled,
    Settlement,
    Watch,
)
from tokenomics_core.counters.store import Counters
from tokenomics_core.dialects.base import OutputCap
from tokenomics_core.exchange import Attempt, Exchange
from tokenomics_core.ledger.recovery import Intent
from tokenomics_core.ledger.row import Row, pack
from tokenomics_core.meter import estimate
from tokenomics_core.meter.largest_answer import UNKNOWN, largest_answer
from tokenomics_core.meter.lease import ON_THE_WAY, Lease, amounts, claims, rate_of
from tokenomics_core.meter.limits import applied_limit, refusal_message
from tokenomics_core.meter.prices import Price, Prices, assumed
from tokenomics_core.meter.tokenizer import Tokenizer
from tokenomics_core.refusal import Exceeded, Refusal

log = logging.getLogger("tokenomics")

LEAST = 1
"""Tokens of output for which a request is sent, where its dialect takes so small a cap."""

SHARE = 4096
"""Tokens of output up to which a request that is only seen as a whole gets all that is left."""

AMPLE = 128
"""Slices that must be free for a stream to reserve one slice only."""

RARE_CAP = 128 * 1024
"""Tokens left, below which a request without a cap gets one, if its model's longest answer is not known."""

_SHORTEST_WAIT = 0.01
_LONGEST_WAIT = 0.25


@dataclass(frozen=True, slots=True)
class Settings:
    """wait: seconds for which a request waits for what others have reserved. slice: tokens of a stream.

    lease: seconds after which a lease that nobody renews is charged.
    assumed: the price of a model without one, where the policy says ``assume``.
    """

    wait: float = 5.0
    slice: int = 512
    lease: float = 60.0
    assumed: Price = field(default_factory=lambda: assumed("30", "60"))


@dataclass(slots=True)
class Budget:
    """now: UTC wall clock. clock: monotonic seconds. jitter: a random number in [0, 1)."""

    counters: Counters
    prices: Prices
    tokenizer: Tokenizer
    settings: Settings
    now: Callable[[], datetime]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    leases: dict[str, str] = field(default_factory=dict)
    """The leases of exchanges under way: id -> token."""

    async def reserve(
        self,
        exchange: Exchange,
        limits: tuple[Limit, ...],
        *,
        gates: tuple[str, ...] = (),
        watch: Callable[[int], Watch | None] = lambda cost: None,
    ) -> None:
        """Gives the exchange its lease, and the intent to the journal. Raises Refusal.

        watch: makes what is watched of its session, from the estimated cost in billionths of a US dollar.
        """
        assert exchange.token is not None
        if not self.prices.ready:
            await asyncio.to_thread(self.prices.load)
        prices = self._prices(exchange, limits)
        model = exchange.attempts[0].model
        size = estimate.text_bytes(exchange)
        bounded = any(limit.limit is not None and limit.unit in ("tokens", "usd") for limit in limits)
        exactly = bounded and size <= estimate.SHORT
        input_tokens = (
            estimate.exact(exchange, self.tokenizer, model) if exactly else estimate.quick(exchange, size)
        )
        wish = self._wish(exchange, model)
        watched, waited, deadline = watch, 0.0, self.clock() + self.settings.wait
        while True:
            rate = rate_of(prices, input_tokens)
            claimed = claims(limits, input_tokens, rate, wish.choices)
            answer = await self._ask(
                Question(
                    id=exchange.id,
                    token=exchange.token.hash,
                    now=self.milliseconds(),
                    expires=self._expires(),
                    claims=claimed,
                    want=wish.want,
                    need=wish.need,
                    floor=wish.floor,
                    gates=gates,
                    watch=watched(rate.input_usd + rate.output_usd * wish.want),
                    record=self._intent(exchange, limits, input_tokens),
                )
            )
            if isinstance(answer, Granted):
                break
            # The request is noted in its session once, however often is asked for it.
            watched = lambda cost: None  # noqa: E731
            if not exactly and answer.limit is not None and answer.limit.unit in ("tokens", "usd"):
                exactly = True
                input_tokens = await asyncio.to_thread(estimate.exact, exchange, self.tokenizer, model)
                continue
            if not self._worth_waiting(answer) or self.clock() >= deadline:
                if answer.limit is not None and answer.limit.unit == "tokens":
                    # The client's own part; a token of answer more was asked for.
                    answer = replace(answer, asked=input_tokens)
                raise refused(answer, self.milliseconds())
            waited = min(max(2 * waited, _SHORTEST_WAIT), _LONGEST_WAIT)
            await self.sleep(waited * (0.5 + self.jitter()))
        lease = Lease.of(claimed, input_tokens, answer, wish.choices, wish.slice)
        lease.over = estimate.over(model)
        exchange.lease = lease
        self.leases[exchange.id] = exchange.token.hash
        if lease.bounded:
            await self._bound(exchange, lease, wish)

    async def extend(self, exchange: Exchange, limits: tuple[Limit, ...]) -> Refusal | None:
        """More output for a stream; None when it may go on, else why it ends here.

        limits: those of its policy as they are now.
        """
        lease = exchange.lease
        assert lease is not None
        assert exchange.token is not None
        answer: Granted | Denied
        try:
            answer = await self.counters.extend(
                Extension(
                    id=exchange.id,
                    token=exchange.token.hash,
                    now=self.milliseconds(),
                    expires=self._expires(),
                    claims=lease.under(limits),
                    want=lease.wanted,
                    need=lease.missing + 1,
                    progress=lease.progress(),
                )
            )
        except CountersUnavailable as error:
            log.error("%s", error)
            if not lease.bounded:
                lease.unextended()
                return None
            unavailable = Refusal(503, "store_unavailable", UNAVAILABLE)
            return unavailable if lease.refused() else None
        if isinstance(answer, Granted):
            lease.extended(answer)
            free = lease.free(answer.standings)
            if free is not None and free < AMPLE * self.settings.slice:
                # Nobody can lower its cap any more: it comes before those who have not begun.
                under_way = sum(token == exchange.token.hash for token in self.leases.values())
                await self._take_rest(
                    exchange, lease, lease.longest - lease.granted, free // max(2, under_way)
                )
            return None
        if not lease.bounded and answer.why == "lost":
            # It was charged as it expired. Nothing limits what is to come.
            lease.unextended()
            return None
        if answer.why == "limit" and not lease.refused():
            return None
        return refused(answer, self.milliseconds())

    async def settle(self, exchange: Exchange, limits: tuple[Limit, ...], row: Row) -> tuple[Settled, ...]:
        """Ends the lease with what its row says. limits: those of the provider that answered."""
        assert exchange.token is not None
        self.leases.pop(exchange.id, None)
        used = amounts(limits, row.input_tokens + row.output_tokens, row.cost_usd)
        settlement = Settlement(exchange.id, exchange.token.hash, self.milliseconds(), used, pack(row))
        try:
            return await self.counters.settle(settlement) or ()
        except CountersUnavailable as error:
            # The lease is charged when it expires, and corrected by the row when the journal is gone through.
            log.error("%s", error)
            return ()

    async def renew(self) -> None:
        """Keeps the leases of what is under way; to be called several times in the life of one."""
        if self.leases:
            await self.counters.renew(dict(self.leases), self._expires())

    def price(self, attempt: Attempt | None, answered: str, at: datetime, *, assume: bool) -> Price | None:
        """The price of an answer. answered: the model as the answer names it, which may be a dated one.

        A price that was written for the requested name is meant for it.
        """
        if attempt is None:
            return None
        provider = attempt.provider.name if attempt.provider else attempt.provider_name
        asked = self.prices.price(provider, attempt.model, at) if attempt.model else None
        if asked is not None and asked.source in ("config", "table"):
            return asked
        said = self.prices.price(provider, answered, at) if answered else None
        return said or asked or (self.settings.assumed if assume else None)

    def milliseconds(self) -> int:
        return int(self.now().timestamp() * 1000)

    async def _ask(self, question: Question) -> Granted | Denied:
        try:
            return await self.counters.ask(question)
        except CountersUnavailable as error:
            log.error("%s", error)
            raise Refusal(503, "store_unavailable", UNAVAILABLE, retry_after=1) from None

    def _expires(self) -> int:
        return self.milliseconds() + int(self.settings.lease * 1000)

    def _prices(self, exchange: Exchange, limits: tuple[Limit, ...]) -> list[Price | None]:
        """The prices of the models that may answer. Attempts that must not be made are taken out."""
        policy = exchange.attempts[0].policy
        assume = policy.unknown_price == "assume"
        strict = policy.unknown_price == "refuse" and any(
            limit.unit == "usd" and limit.limit is not None and limit.refuse for limit in limits
        )
        named = exchange.method == "POST" and bool(exchange.model)
        unbilled = exchange.dialect.unknown and not named
        if unbilled or exchange.dialect.operation == "count_tokens":
            return []
        prices: list[Price | None] = []
        kept: list[Attempt] = []
        for attempt in exchange.attempts:
            price = self.price(attempt, "", exchange.started, assume=assume)
            if price is None and strict:
                if not kept:
                    raise Refusal(
                        403,
                        "price_unknown",
                        f'the price of model "{attempt.model[:128]}" is not known, and the policy limits'
                        " dollars; add it to pricing in the configuration, or set the policy's unknown_price",
                    )
                continue
            kept.append(attempt)
            prices.append(price)
        exchange.attempts = kept
        return prices

    def _wish(self, exchange: Exchange, model: str) -> _Wish:
        if exchange.dialect.unknown:
            named = exchange.method == "POST" and bool(exchange.model)
            return _Wish(UNKNOWN, 1, SHARE) if named else _Wish(0, 0)
        if exchange.body is None and exchange.dialect.name == "openai_realtime":
            # A response that the provider began by itself, when somebody had spoken.
            most = largest_answer(model) or UNKNOWN
            return _Wish(most, 1, SHARE, each=most)
        if exchange.body is None:
            return _Wish(0, 0)
        cap = exchange.dialect.output_cap(exchange.path, exchange.body, model)
        if cap.asked == 0:
            return _Wish(0, 0)
        longest = largest_answer(model)
        each = cap.asked if longest is None or (cap.asked and cap.asked < longest) else longest
        each = each or UNKNOWN
        need = min(max(cap.least, LEAST), each)
        if exchange.stream and not cap.hidden:
            # Completions side by side share one slice.
            slice = min(self.settings.slice, each * cap.choices)
            return _Wish(slice, min(need, slice), slice=slice, each=each, cap=cap)
        return _Wish(each, need, SHARE, choices=cap.choices, each=each, cap=cap)

    async def _bound(self, exchange: Exchange, lease: Lease, wish: _Wish) -> None:
        """Lowers the request's own cap where its provider could pass what is left."""
        cap = wish.cap
        if cap is None:
            return
        fits = lease.granted
        if lease.slice:
            lease.longest = wish.each * cap.choices
            free = lease.free(lease.standings)
            if free is None or free >= AMPLE * self.settings.slice:
                lease.most = wish.each * cap.choices if cap.asked else None
                return
            await self._take_rest(exchange, lease, lease.longest - lease.granted, free // 2)
            fits = lease.granted // cap.choices
            if fits < wish.each:
                # A provider that passes its cap is noticed, and told to stop, within what is reserved.
                fits -= min(ON_THE_WAY, fits // 8)
        lease.most = min(fits, wish.each) * cap.choices if lease.slice else lease.granted
        unnamed = cap.asked is None and largest_answer(exchange.model) is None
        if fits < wish.each or (unnamed and (lease.left or 0) < RARE_CAP):
            exchange.output_cap = max(min(fits, wish.each), cap.least)

    async def _take_rest(self, exchange: Exchange, lease: Lease, rest: int, share: int) -> None:
        """A stream near the end of a budget: reserved is the whole answer, or its share of what is free."""
        assert exchange.token is not None
        more = min(rest, max(share, self.settings.slice))
        if more <= 0:
            return
        try:
            answer = await self.counters.extend(
                Extension(
                    id=exchange.id,
                    token=exchange.token.hash,
                    now=self.milliseconds(),
                    expires=self._expires(),
                    claims=lease.claims,
                    want=more,
                    need=0,
                )
            )
        except CountersUnavailable as error:
            log.error("%s", error)
            return
        if isinstance(answer, Granted):
            lease.extended(answer)

    @staticmethod
    def _worth_waiting(denied: Denied) -> bool:
        """Whether others hold what would do."""
        limit = denied.limit
        return (
            denied.why == "limit"
            and denied.waiting
            and limit is not None
            and limit.unit in ("tokens", "usd")
            and not limit.crossing
        )

    def _intent(self, exchange: Exchange, limits: tuple[Limit, ...], input_tokens: int) -> bytes:
        row = Row.of(exchange, input_tokens=input_tokens, output_tokens=0, estimated=True, now=exchange.clock)
        assume = exchange.attempts[0].policy.unknown_price == "assume"
        return Intent(row, limits, assume).pack()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is asked for a request: tokens of output, at most and at least, of each of `choices` completions.

    each: the longest that one completion may become.
    """

    want: int
    need: int
    floor: int = 0
    choices: int = 1
    each: int = 0
    slice: int = 0
    cap: OutputCap | None = None


UNAVAILABLE = "the store of budgets and limits cannot be reached; nothing is sent without it"


def refused(denied: Denied, now: int) -> Refusal:
    """A denial in the words of the client's error."""
    after = None if denied.retry_at is None else max(0.0, (denied.retry_at - now) / 1000)
    if denied.why == "lost":
        return Refusal(429, "lease_lost", "the reservation of this answer expired; send the request again")
    if denied.why in ("frozen", "anomaly"):
        code = "session_frozen" if denied.why == "frozen" else "anomaly"
        return Refusal(
            429,
            code,
            f"Request blocked due to anomaly detection: {denied.told}",
            retry_after=after,
            retryable=False,
            extra={"anomaly_reason": denied.told},
        )
    limit = denied.limit
    assert limit is not None
    code, message = refusal_message(denied)
    extra: dict[str, Any] = {}
    most = applied_limit(denied, limit)
    exceeded = Exceeded(limit.unit, denied.used + denied.reserved, denied.asked, most)
    if limit.unit == "usd":
        extra["budget_info"] = {
            "budget": _number(most),
            "spent": _number(denied.used),
            "remaining": _number(max(0, most - denied.used)),
        }
    if denied.waiting and limit.unit != "requests":
        # As soon as others end; nobody knows when.
        return Refusal(429, code, message, retry_after=1.0, retryable=True, extra=extra, exceeded=exceeded)
    if after is None or limit.window.kind == "total":
        return Refusal(429, code, message, retryable=False, extra=extra, exceeded=exceeded)
    # The client's own patience decides: an hour is not waited for.
    return Refusal(
        429,
        code,
        message,
        retry_after=after,
        retryable=None if after <= 60 else False,
        extra=extra,
        exceeded=exceeded,
    )


def _number(amount: int) -> float:
    return float(Decimal(amount).scaleb(-9))
