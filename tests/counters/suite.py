"""What every store of counters must do. A subclass gives two opened stores that share what they keep.

`counters` and `neighbour` are fixtures. Their owners are "me" and "neighbour"; they share the journal's file.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.counters.build import NOW, TOTAL, fixed, hourly, parallel, question, requests, rolling, settlement
from tokenomics_core.counters.question import (
    Claim,
    Denied,
    Extension,
    Freeze,
    Granted,
    Limit,
    Seen,
    Settled,
    Settlement,
    Watch,
)
from tokenomics_core.counters.store import Counters

USD = Limit("usd:total", "usd", limit=1_000_000)


class StoreSuite:
    async def test_reserve_extend_settle(self, counters: Counters) -> None:
        asked = question("a", Claim(TOTAL, 100, 1), Claim(USD, 500, 7), want=50, need=1, record=b"intent")
        answer = await counters.ask(asked)
        assert isinstance(answer, Granted)
        assert (answer.tokens, answer.left) == (50, 900)
        assert [(each.used, each.reserved) for each in answer.standings] == [(0, 150), (0, 850)]
        more = await counters.extend(Extension("a", "t", NOW, NOW + 90_000, asked.claims, 30))
        assert isinstance(more, Granted)
        assert [(each.used, each.reserved) for each in more.standings] == [(0, 180), (0, 1060)]
        assert await counters.settle(settlement("a", (TOTAL, 120), (USD, 600))) == (
            Settled("tokens:total", 0, 120),
            Settled("usd:total", 0, 600),
        )
        assert await counters.settle(settlement("a", (TOTAL, 120))) is None
        used = {each.key: (each.used, each.reserved) for each in await counters.usage("t", now=NOW)}
        assert used == {"tokens:total": (120, 0), "usd:total": (600, 0)}

    async def test_both_stores_see_one_budget(self, counters: Counters, neighbour: Counters) -> None:
        for number in range(5):
            for store in (counters, neighbour):
                answer = await store.ask(question(f"{number}{id(store)}", Claim(TOTAL, 100)))
                assert isinstance(answer, Granted)
        denied = await neighbour.ask(question("last", Claim(TOTAL, 1)))
        assert isinstance(denied, Denied)
        assert (denied.why, denied.reserved, denied.waiting) == ("limit", 1000, True)

    async def test_tokens_are_apart(self, counters: Counters) -> None:
        assert isinstance(await counters.ask(question("a", Claim(TOTAL, 1000))), Granted)
        assert isinstance(await counters.ask(question("b", Claim(TOTAL, 1000), token="u")), Granted)
        assert [each.token for each in await counters.usage(now=NOW)] == ["t", "u"]

    async def test_small_requests_fill_a_big_limit(self, counters: Counters) -> None:
        limit = replace(TOTAL, limit=20_000)

        async def client(name: int) -> None:
            for number in range(60):
                id = f"{name}-{number}"
                answer = await counters.ask(question(id, Claim(limit, 10, 1), want=64, need=1, floor=16))
                if isinstance(answer, Granted):
                    await counters.settle(settlement(id, (limit, 10 + answer.tokens)))

        await asyncio.gather(*(client(name) for name in range(20)))
        (total,) = await counters.usage("t", now=NOW)
        assert 19_000 <= total.used <= 20_000
        assert total.reserved == 0

    async def test_many_at_once_never_pass_the_limit(self, counters: Counters) -> None:
        answers = await asyncio.gather(
            *(counters.ask(question(f"q{n}", Claim(TOTAL, 30), Claim(parallel(500), 1))) for n in range(200))
        )
        assert sum(isinstance(answer, Granted) for answer in answers) == 33

    async def test_a_lease_that_is_renewed_lives_on(self, counters: Counters) -> None:
        await counters.ask(question("a", Claim(TOTAL, 100), lease=1000))
        await counters.ask(question("b", Claim(TOTAL, 100), lease=1000))
        await counters.renew({"a": "t", "gone": "t"}, NOW + 5000)
        answer = await counters.ask(question("c", Claim(TOTAL, 0), now=NOW + 2000))
        assert isinstance(answer, Granted)
        assert (answer.standings[0].used, answer.standings[0].reserved) == (100, 100)
        extension = Extension("b", "t", NOW + 2000, NOW + 9000, (Claim(TOTAL, 0, 1),), 5)
        assert await counters.extend(extension) == Denied("lost")

    async def test_all_that_is_held_is_charged_when_nobody_settles(self, counters: Counters) -> None:
        claims = (Claim(TOTAL, 100, 1),)
        await counters.ask(question("a", *claims, want=100, lease=1000))
        await counters.extend(
            Extension("a", "t", NOW, NOW + 1000, claims, 10, progress=(("tokens:total", 130),))
        )
        await counters.ask(question("b", now=NOW + 1000))
        (total,) = await counters.usage("t", now=NOW + 1000)
        assert (total.used, total.reserved) == (210, 0)
        assert await counters.settle(settlement("a", (TOTAL, 150), now=NOW + 1100)) == (
            Settled("tokens:total", 210, 150),
        )

    async def test_overrides(self, counters: Counters) -> None:
        assert isinstance(await counters.ask(question("a", Claim(TOTAL, 1001))), Denied)
        await counters.set_limit("t", TOTAL.key, 2000, unit="tokens", window=TOTAL.window)
        answer = await counters.ask(question("b", Claim(TOTAL, 1001)))
        assert isinstance(answer, Granted)
        assert answer.standings[0].limit == 2000
        await counters.set_limit("t", TOTAL.key, None, unit="tokens", window=TOTAL.window)
        denied = await counters.ask(question("c", Claim(TOTAL, 1)))
        assert isinstance(denied, Denied)
        assert denied.standings[0].limit == 1000

    @pytest.mark.parametrize("limit", [TOTAL, hourly(NOW), rolling(), fixed()], ids=lambda limit: limit.key)
    async def test_put_reset_forget(self, counters: Counters, limit: Limit) -> None:
        await counters.ask(question("a", Claim(limit, 50)))
        await counters.put("t", limit.key, 200, unit=limit.unit, window=limit.window, now=NOW)
        (used,) = await counters.usage("t", now=NOW)
        assert (used.key, used.used, used.reserved) == (limit.key, 200, 50)
        assert await counters.reset("t", prefix="other", now=NOW) == 0
        assert await counters.reset("t", now=NOW) == 1
        (used,) = await counters.usage("t", now=NOW)
        assert (used.used, used.reserved) == (0, 50)
        assert await counters.forget("t") == 1
        assert await counters.usage("t", now=NOW) == []

    async def test_windows_end(self, counters: Counters) -> None:
        limits = (TOTAL, hourly(NOW), rolling(), fixed(), requests())
        await counters.ask(question("a", *(Claim(limit, 1) for limit in limits)))
        await counters.settle(settlement("a", *((limit, 50) for limit in limits)))
        at = {each.key: each.used for each in await counters.usage("t", now=NOW)}
        assert sorted(at.values()) == [1, 50, 50, 50, 50]
        later = {each.key: each.used for each in await counters.usage("t", now=NOW + 25_000) if each.used}
        assert later == {"tokens:total": 50}

    async def test_freezes(self, counters: Counters, neighbour: Counters) -> None:
        await counters.freeze(Freeze("t", "session:s", None, "by hand"))
        await counters.freeze(Freeze("t", "session:u", NOW + 1000, "for a second"))
        assert {each.key for each in await neighbour.frozen("t", now=NOW)} == {"session:s", "session:u"}
        assert [each.key for each in await neighbour.frozen(now=NOW + 1000)] == ["session:s"]
        denied = await neighbour.ask(question("a", gates=("token", "session:s")))
        assert denied == Denied("frozen", message="by hand", told="Session frozen: by hand")
        assert await neighbour.thaw("t", "session:s")
        assert not await counters.thaw("t", "session:s")
        assert isinstance(await counters.ask(question("b", gates=("token", "session:s"))), Granted)

    async def test_a_watched_session(self, counters: Counters) -> None:
        watch = Watch("session:s", "print", "gpt", 5)
        for number in range(3):
            asked = question(f"a{number}", now=NOW + number, watch=watch, gates=("session:s",))
            assert isinstance(await counters.ask(asked), Granted)
        denied = await counters.ask(question("b", now=NOW + 3, watch=watch, gates=("session:s",)))
        assert isinstance(denied, Denied)
        assert (denied.why, denied.retry_at) == ("anomaly", NOW + 3 + 300_000)
        assert await counters.history("t", "session:s", now=NOW + 3) == [
            Seen(NOW + number, "gpt", 5) for number in range(4)
        ]
        frozen = await counters.ask(question("c", now=NOW + 4, watch=watch, gates=("session:s",)))
        assert isinstance(frozen, Denied)
        assert frozen.why == "frozen"
        assert await counters.thaw("t", "session:s")
        assert isinstance(
            await counters.ask(question("d", now=NOW + 5, watch=watch, gates=("session:s",))), Granted
        )

    async def test_the_journal(self, counters: Counters, neighbour: Counters) -> None:
        claims = (Claim(TOTAL, 10, 1),)
        for id in "abc":
            await counters.ask(question(id, *claims, want=5, record=b"intent \x00\xff"))
        await counters.ask(question("quiet", *claims))
        await counters.ask(question("refused", Claim(TOTAL, 5000), record=b"never sent"))
        await counters.extend(Extension("b", "t", NOW, NOW, claims, 7, progress=(("tokens:total", 12),)))
        await counters.settle(Settlement("c", "t", NOW, ((TOTAL, 11),), b"row \x00\xff"))
        assert await counters.unsettled(lambda owner: False) == []
        assert await neighbour.unsettled(lambda owner: True) == []
        a, b, c = await neighbour.unsettled(lambda owner: False)
        assert (a.id, a.token, a.owner, a.record, a.row) == ("a", "t", "me", b"intent \x00\xff", b"")
        assert (a.granted, a.reserved, a.progress) == (5, (("tokens:total", 15),), ())
        assert (b.granted, b.reserved, b.progress) == (12, (("tokens:total", 22),), (("tokens:total", 12),))
        assert (c.id, c.row) == ("c", b"row \x00\xff")
        await counters.written(["a", "c", "unknown"])
        assert [each.id for each in await neighbour.unsettled(lambda owner: False)] == ["b"]
