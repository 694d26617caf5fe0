"""What a request reserves, how a stream goes on, and what is settled in the end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.memory_counters import MemoryCounters
from tokenomics_core.counters.question import Freeze, Granted
from tokenomics_core.dialects import recognise
from tokenomics_core.dialects.base import Answer, Usage
from tokenomics_core.exchange import Attempt, Exchange, Ingress
from tokenomics_core.json_body import JsonBody
from tokenomics_core.ledger import Row
from tokenomics_core.ledger.recovery import Intent
from tokenomics_core.meter.budget import Budget, Settings
from tokenomics_core.meter.lease import ON_THE_WAY, Lease, nano
from tokenomics_core.meter.limits import Limits
from tokenomics_core.meter.prices import Prices, cost
from tokenomics_core.meter.tokenizer import Tokenizer
from tokenomics_core.policy import compile, parse
from tokenomics_core.providers import Target
from tokenomics_core.refusal import Refusal

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TOKEN = "ab" * 32
PRICES = Prices(
    {name: {"input": 1, "output": 10} for name in ("priced", "gpt-4o")} | {"free": {"input": 0, "output": 0}}
)
TOKENIZER = Tokenizer()
TOKENIZER.start()
TOKENIZER.wait(10)


class World:
    """A clock that only sleeping moves, and one policy."""

    def __init__(self, **policy: Any) -> None:
        self.elapsed = 0.0
        self.counters = MemoryCounters()
        self.on_sleep: list[Any] = []
        self.budget = Budget(
            self.counters,
            PRICES,
            TOKENIZER,
            Settings(wait=5.0, slice=100, lease=60.0),
            now=lambda: START + timedelta(seconds=self.elapsed),
            clock=lambda: self.elapsed,
            jitter=lambda: 0.5,
            sleep=self.sleep,
        )
        self.use(**policy)
        self.made = 0

    def use(self, **policy: Any) -> None:
        self.policy = compile(parse(json.dumps({"base_key_env": "KEY", **policy})))

    async def sleep(self, seconds: float) -> None:
        self.elapsed += seconds
        if self.on_sleep:
            await self.on_sleep.pop(0)

    def exchange(self, *, model: str = "priced", path: str = "/v1/chat/completions", **body: Any) -> Exchange:
        self.made += 1
        resolved = self.policy.resolve(model)
        target = Target("https", "api.openai.com", 443, path)
        values = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}
        return Exchange(
            id=f"req_{self.made}",
            started=START,
            clock=0.0,
            ingress=Ingress.BASE_URL,
            method="POST",
            path=path,
            query="",
            dialect=recognise("POST", path),
            token=SimpleNamespace(hash=TOKEN),  # type: ignore[arg-type]
            policy=self.policy,
            body=JsonBody(json.dumps(values).encode()),
            model=model,
            stream=body.get("stream", False),
            attempts=[Attempt(0, model, None, "openai", resolved, target, "KEY", 30.0)],
        )

    def limits(self, exchange: Exchange) -> Any:
        policy = exchange.attempts[0].policy
        return Limits(policy).at(provider="openai", session=exchange.session, now=START)

    async def reserve(self, **asked: Any) -> Exchange:
        exchange = self.exchange(**asked)
        await self.budget.reserve(exchange, self.limits(exchange), gates=("token",))
        return exchange

    async def settle(self, exchange: Exchange, tokens_in: int, tokens_out: int) -> Any:
        exchange.sent, exchange.upstream_status = True, 200
        usage = Usage(tokens_in, tokens_out)
        price = self.budget.price(exchange.attempt, "", START, assume=False)
        row = Row.of(
            exchange,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            estimated=False,
            now=0.0,
            price=price,
            cost=cost(price, usage) if price else None,
        )
        return await self.budget.settle(exchange, self.limits(exchange), row)

    def counter(self, key: str) -> tuple[int, int]:
        found = self.counters.tokens[TOKEN].counters[key]
        return found.settled, found.reserved


async def refusal_of(world: World, **asked: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await world.reserve(**asked)
    return caught.value


async def test_without_any_limit_everything_is_counted_and_nothing_is_changed():
    world = World()
    exchange = await world.reserve(max_tokens=64_000)
    assert exchange.output_cap is None
    assert exchange.lease is not None
    assert not exchange.lease.bounded
    await world.settle(exchange, 10, 20)
    assert world.counter("tokens:total") == (30, 0)
    assert world.counter("usd:total") == (nano(Decimal("0.00021")), 0)


async def test_a_small_budget_lowers_a_large_cap_to_what_is_left_and_does_not_refuse():
    world = World(max_tokens=500)
    exchange = await world.reserve(max_tokens=64_000)
    assert exchange.lease is not None
    assert exchange.output_cap == 500 - exchange.lease.input_tokens
    assert world.counter("tokens:total") == (0, 500)


async def test_a_cap_that_fits_is_left_as_it_is():
    exchange = await World(max_tokens=100_000).reserve(max_tokens=1000)
    assert exchange.output_cap is None
    assert exchange.lease is not None
    assert exchange.lease.granted == 1000


async def test_a_large_answer_leaves_room_for_others():
    world = World(max_tokens=40_000)
    first = await world.reserve(max_tokens=64_000)
    second = await world.reserve(max_tokens=64_000)
    assert first.lease is not None
    assert second.lease is not None
    assert 19_000 < first.lease.granted < 20_000
    assert second.lease.granted >= 4096


async def test_every_completion_may_use_the_cap():
    world = World(max_tokens=1000)
    exchange = await world.reserve(max_tokens=900, n=3)
    assert exchange.output_cap is not None
    assert exchange.lease is not None
    assert exchange.lease.input_tokens + 3 * exchange.output_cap <= 1000
    assert exchange.output_cap > 300


async def test_a_stream_reserves_a_slice_and_extends_it_before_it_is_used_up():
    world = World(max_tokens=1_000_000)
    exchange = await world.reserve(model="gpt-4o", stream=True, max_tokens=64_000)
    lease = exchange.lease
    assert lease is not None
    assert lease.granted == 100
    assert exchange.output_cap is None
    answer = Answer()
    for _ in range(74):
        answer.add_text(" cat")
    lease.count(answer, TOKENIZER.counter("gpt-4o"))
    assert not lease.short
    answer.add_text(" dog")
    lease.count(answer, TOKENIZER.counter("gpt-4o"))
    assert lease.short
    assert await world.budget.extend(exchange, world.limits(exchange)) is None
    assert lease.granted == 200
    assert dict(world.counters.extensions[-1].progress)["tokens:total"] == lease.input_tokens + 75


async def test_near_the_end_of_a_budget_the_provider_itself_ends_a_stream():
    world = World(max_tokens=1000)
    exchange = await world.reserve(stream=True, max_tokens=64_000)
    lease = exchange.lease
    assert lease is not None
    assert exchange.output_cap == lease.granted - ON_THE_WAY
    assert lease.granted < 1000 - lease.input_tokens
    answer = Answer()
    answer.usage.output_tokens = exchange.output_cap
    lease.count(answer, len)
    assert not lease.short
    # One that does not keep to its cap is noticed while what it sends is still reserved.
    answer.usage.output_tokens += 1
    lease.count(answer, len)
    assert lease.short
    assert not lease.missing


async def test_a_stream_uses_what_it_has_before_it_is_ended():
    world = World(max_tokens=50_000)
    exchange = await world.reserve(stream=True)
    lease = exchange.lease
    assert lease is not None
    world.use(max_tokens=lease.input_tokens + lease.granted)
    fresh = Limits(world.policy.resolve_global()).at(provider="", session="", now=START)
    asked = []
    for tokens in range(70, lease.granted + 10):
        lease.counted = tokens
        if lease.short:
            asked.append(tokens)
            ended = await world.budget.extend(exchange, fresh)
            if ended is not None:
                break
    assert ended is not None
    assert ended.code == "budget_exceeded"
    assert lease.granted - 5 <= lease.counted <= lease.granted
    assert len(asked) < 10


async def test_a_cap_that_is_reserved_is_not_held_against_what_was_counted_too_high():
    world = World(max_tokens=1000)
    exchange = await world.reserve(stream=True, max_tokens=64_000)
    lease = exchange.lease
    assert lease is not None
    assert lease.most is not None
    assert lease.over > 1
    answer = Answer()
    for tokens in range(1, lease.granted + 1):
        answer.add_text(" cat")
        lease.count(answer, TOKENIZER.counter("priced"))
        assert lease.shown == tokens < lease.counted + (tokens < 4)
        # Past its cap the provider ignores it, whatever its tokenizer.
        assert lease.short == (tokens > lease.most)


async def test_a_stream_that_nobody_can_cap_any_more_takes_its_share_of_what_is_left():
    world = World(max_tokens=13_500)
    first = await world.reserve(stream=True, max_tokens=64_000)
    await world.reserve(max_tokens=2000)
    assert first.output_cap is None
    lease = first.lease
    assert lease is not None
    assert lease.granted == 100
    _, reserved = world.counter("tokens:total")
    lease.counted = 80
    assert await world.budget.extend(first, world.limits(first)) is None
    # Of two that are under way each can have as much.
    share = (13_500 - reserved - 100) // 2
    assert lease.granted == 200 + share
    assert world.counter("tokens:total")[1] == reserved + 100 + share


async def test_no_more_is_asked_for_than_the_answer_can_become():
    world = World(max_tokens=1_000_000)
    exchange = await world.reserve(stream=True, max_tokens=130)
    lease = exchange.lease
    assert lease is not None
    assert (lease.granted, lease.longest) == (100, 130)
    lease.counted = 75
    assert await world.budget.extend(exchange, world.limits(exchange)) is None
    assert lease.granted == 130
    # A provider that goes beyond is asked for by what is missing, and a slice.
    lease.counted = lease.shown = 140
    assert lease.short
    assert lease.wanted == 10 + lease.slice


async def test_who_finds_the_room_taken_waits_for_it_to_be_given_back():
    world = World(max_tokens=300)
    first = await world.reserve(max_tokens=280)
    world.on_sleep = [world.settle(first, 10, 10)]
    second = await world.reserve(max_tokens=100)
    assert second.lease is not None
    assert second.lease.granted == 100
    assert world.elapsed < 0.1


async def test_who_waited_long_enough_may_come_again():
    world = World(max_tokens=300)
    await world.reserve(max_tokens=290)
    refusal = await refusal_of(world, max_tokens=100)
    assert (refusal.status, refusal.code, refusal.retryable) == (429, "budget_exceeded", True)
    assert refusal.retry_after
    assert 5.0 <= world.elapsed < 6.0


async def test_a_spent_budget_is_refused_at_once_and_for_good():
    world = World(max_tokens=100)
    await world.settle(await world.reserve(max_tokens=50), 60, 30)
    refusal = await refusal_of(world, max_tokens=50)
    assert (refusal.status, refusal.code, refusal.retryable) == (429, "budget_exceeded", False)
    assert refusal.retry_after is None
    assert refusal.message.startswith("budget exceeded: used 90 + input ")
    assert world.elapsed == 0


async def test_what_the_provider_billed_is_settled_not_what_was_reserved():
    world = World(budgets=[{"limit": "0.01", "unit": "usd"}])
    exchange = await world.reserve(max_tokens=100)
    assert world.counter("usd:total")[1] > 1_000_000
    await world.settle(exchange, 10, 20)
    assert world.counter("usd:total") == (210_000, 0)


async def test_a_spent_sum_tells_what_is_left():
    world = World(budgets=[{"limit": "0.001", "unit": "usd"}])
    await world.settle(await world.reserve(max_tokens=50), 99, 90)
    refusal = await refusal_of(world, max_tokens=50)
    assert refusal.code == "budget_exceeded"
    assert refusal.extra["budget_info"] == {"budget": 0.001, "spent": 0.000999, "remaining": 0.000001}


@pytest.mark.parametrize(
    ("said", "outcome"), [("refuse", "price_unknown"), ("allow", ""), ("assume", "assumed")]
)
async def test_a_price_that_nobody_knows(said: str, outcome: str):
    world = World(budgets=[{"limit": 1, "unit": "usd"}], unknown_price=said)
    if outcome == "price_unknown":
        refusal = await refusal_of(world, model="nobodys-model", max_tokens=100)
        assert (refusal.status, refusal.code) == (403, "price_unknown")
        assert "nobodys-model" in refusal.message
        return
    await world.reserve(model="nobodys-model", max_tokens=100)
    reserved = world.counter("usd:total")[1]
    # 60 USD per 1,000,000 tokens of output
    assert reserved > 6_000_000 if outcome == "assumed" else reserved == 0


async def test_a_free_model_runs_when_the_money_is_gone():
    world = World(budgets=[{"limit": "0.001", "unit": "usd"}])
    await world.settle(await world.reserve(max_tokens=50), 500, 50)
    assert (await refusal_of(world, max_tokens=50)).code == "budget_exceeded"
    exchange = await world.reserve(model="free", max_tokens=50_000)
    assert exchange.output_cap is None


async def test_a_long_request_is_counted_exactly_only_when_room_is_tight():
    text = "word " * 1200
    ample = World(max_tokens=1_000_000)
    exchange = await ample.reserve(messages=[{"role": "user", "content": text}])
    assert exchange.lease is not None
    assert exchange.lease.input_tokens >= 3000
    tight = World(max_tokens=2000)
    exchange = await tight.reserve(messages=[{"role": "user", "content": text}])
    assert exchange.lease is not None
    assert 1200 <= exchange.lease.input_tokens < 1700


async def test_a_store_that_cannot_be_asked_is_no_spent_budget():
    world = World(max_tokens=1000)
    world.counters.down = True
    refusal = await refusal_of(world)
    assert (refusal.status, refusal.code) == (503, "store_unavailable")
    assert "budget exceeded" not in refusal.message


async def test_a_frozen_token_is_held_up():
    world = World()
    await world.counters.freeze(Freeze(TOKEN, "token", None, "Manual freeze"))
    refusal = await refusal_of(world)
    assert (refusal.status, refusal.code, refusal.retryable) == (429, "session_frozen", False)
    assert "Manual freeze" in refusal.message


async def test_the_intent_tells_the_row():
    world = World(max_tokens=1000)
    exchange = await world.reserve(max_tokens=100)
    intent = Intent.unpack(world.counters.questions[-1].record)
    assert intent.row.id == exchange.id
    assert intent.row.token_hash == TOKEN
    assert intent.row.input_tokens == exchange.lease.input_tokens  # type: ignore[union-attr]
    assert {limit.key for limit in intent.limits} == {"tokens:total", "usd:total"}


async def test_embeddings_reserve_no_output():
    world = World(max_tokens=100)
    exchange = await world.reserve(path="/v1/embeddings", input="hello there")
    assert exchange.lease is not None
    assert exchange.lease.granted == 0
    assert exchange.output_cap is None


def test_a_stream_that_lives_on_crumbs_is_ended_before_they_are_used_up():
    lease = Lease((), input_tokens=0, granted=96, left=1000, slice=16)
    lease.extended(Granted(2, left=2))
    lease.counted = lease.shown = 98 - ON_THE_WAY - 1
    assert not lease.short
    lease.counted = lease.shown = 98 - ON_THE_WAY
    assert lease.short
    assert lease.refused()


async def test_a_stream_without_limits_is_extended_and_never_ended():
    world = World()
    exchange = await world.reserve(model="gpt-4o", stream=True)
    lease = exchange.lease
    assert lease is not None
    lease.counted = 90
    assert lease.short
    assert await world.budget.extend(exchange, world.limits(exchange)) is None
    assert world.counter("tokens:total")[1] == lease.input_tokens + 200
    world.counters.tokens.clear()
    lease.counted = 10_000
    assert await world.budget.extend(exchange, world.limits(exchange)) is None
    assert not lease.short
    world.counters.down = True
    lease.counted = 20_000
    assert await world.budget.extend(exchange, world.limits(exchange)) is None
