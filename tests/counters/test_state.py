"""The pure decisions: windows, sharing, expiry, late settlements, gates and the watch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.counters.build import HOUR, NOW, TOTAL, fixed, hourly, parallel, question, requests, settlement
from tokenomics_core.counters.question import (
    Claim,
    Denied,
    Extension,
    Granted,
    Limit,
    Watch,
    Window,
)
from tokenomics_core.counters.state import (
    GRAINS,
    KEPT,
    Counter,
    Gate,
    TokenState,
    add,
    ask,
    expire,
    extend,
    roll,
    settle,
    standings,
    take_back,
    thaw,
)

CALENDAR = Window("calendar", start=NOW, end=NOW + HOUR)
NEXT = Window("calendar", start=NOW + HOUR, end=NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("window", "later", "step", "left"),
    [
        (Window(), Window(), 10**10, 70),
        (CALENDAR, CALENDAR, HOUR - 1, 70),
        (CALENDAR, NEXT, HOUR, 0),
        (Window("fixed", 5000), Window("fixed", 5000), 4999, 70),
        (Window("fixed", 5000), Window("fixed", 5000), 5000, 0),
        (Window("sliding", 5000), Window("sliding", 5000), 4999, 70),
        (Window("sliding", 5000), Window("sliding", 5000), 5000, 0),
        (Window("sliding", 5000), Window("sliding", 9000), 1, 0),
        (Window("fixed", 5000), Window(), 1, 70),
    ],
)
def test_what_is_left_of_a_window(window: Window, later: Window, step: int, left: int) -> None:
    counter = Counter("tokens", window, since=window.start)
    roll(counter, window, NOW)
    add(counter, NOW, 70)
    roll(counter, later, NOW + step)
    assert counter.settled == left
    assert counter.window == later


def test_a_clock_that_is_behind_does_not_bring_the_old_period_back() -> None:
    counter = Counter("tokens", NEXT, since=NEXT.start, settled=5)
    roll(counter, CALENDAR, NOW)
    assert (counter.settled, counter.window, counter.since) == (5, NEXT, NEXT.start)


def test_a_sliding_window_forgets_piece_by_piece_and_keeps_few_pieces() -> None:
    window = Window("sliding", 12_800)
    counter = Counter("requests", window)
    for step in range(12_800):
        add(counter, NOW + step, 1)
    assert len(counter.buckets) == GRAINS
    roll(counter, window, NOW + 12_800)
    assert counter.settled == 12_800
    roll(counter, window, NOW + 12_800 + 99)
    assert counter.settled == 12_700
    roll(counter, window, NOW + 12_800 + 6399)
    assert counter.settled == 6400


@pytest.mark.parametrize(
    ("window", "since", "at", "left"),
    [
        (Window(), 0, NOW, 60),
        (CALENDAR, NOW, NOW, 60),
        (CALENDAR, NOW, NOW - 1, 100),
        (Window("fixed", 5000), NOW, NOW, 60),
        (Window("fixed", 5000), NOW, NOW - 1, 100),
    ],
)
def test_what_left_the_window_is_not_taken_from_others(
    window: Window, since: int, at: int, left: int
) -> None:
    counter = Counter("tokens", window, since=since, settled=100)
    take_back(counter, at, 40)
    assert counter.settled == left


def test_a_sliding_window_takes_back_from_the_piece_that_was_charged() -> None:
    counter = Counter("tokens", Window("sliding", 10_000))
    add(counter, NOW, 100)
    add(counter, NOW + 5000, 90)
    take_back(counter, NOW, 80)
    assert counter.settled == 110
    roll(counter, counter.window, NOW + 10_000)
    assert counter.settled == 90
    take_back(counter, NOW, 80)
    assert counter.settled == 90


@pytest.mark.parametrize(
    ("claims", "want", "need", "floor", "tokens"),
    [
        ((Claim(TOTAL, 0, 1),), 100, 1, 0, 100),
        ((Claim(TOTAL, 0, 1),), 5000, 1, 0, 1000),
        # Half of what is free, so that the next one finds something.
        ((Claim(TOTAL, 0, 1),), 5000, 1, 10, 500),
        ((Claim(TOTAL, 960, 1),), 5000, 1, 30, 30),
        ((Claim(TOTAL, 980, 1),), 5000, 1, 30, 20),
        ((Claim(TOTAL, 0, 1),), 400, 1, 10, 400),
        ((Claim(TOTAL, 0, 1),), 800, 700, 10, 700),
        ((Claim(TOTAL, 1000),), 0, 0, 0, 0),
        ((Claim(TOTAL, 1001),), 0, 0, 0, None),
        ((Claim(TOTAL, 1000, 1),), 5, 1, 0, None),
        # The narrowest of all limits decides, in whole tokens.
        ((Claim(TOTAL, 0, 1), Claim(Limit("usd", "usd", limit=100), 5, 30)), 500, 1, 0, 3),
        # One that only tells, and one without an end, do not.
        ((Claim(replace(TOTAL, refuse=False), 0, 1),), 5000, 1, 0, 5000),
        ((Claim(replace(TOTAL, limit=None), 0, 1),), 5000, 1, 0, 5000),
        # A crossing one admits whoever comes before it is reached.
        ((Claim(replace(TOTAL, crossing=True), 900, 1),), 5000, 1, 0, 5000),
        ((Claim(replace(TOTAL, crossing=True, limit=0), 1, 1),), 5, 1, 0, None),
    ],
)
def test_how_much_is_granted(
    claims: tuple[Claim, ...], want: int, need: int, floor: int, tokens: int | None
) -> None:
    answer = ask(TokenState(), question("a", *claims, want=want, need=need, floor=floor))
    assert (answer.tokens if isinstance(answer, Granted) else None) == tokens


def test_all_limits_or_none() -> None:
    state = TokenState()
    denied = ask(state, question("a", Claim(TOTAL, 10), Claim(requests(), 1), Claim(parallel(0), 1)))
    assert isinstance(denied, Denied)
    assert [each.key for each in denied.standings] == ["tokens:total", requests().key, "parallel"]
    assert [counter.settled + counter.reserved for counter in state.counters.values()] == [0, 0, 0]
    assert not state.leases


def test_a_refusal_tells_of_the_limits_behind_the_one_that_said_no() -> None:
    answer = ask(TokenState(), question("a", Claim(TOTAL, 1001), Claim(requests(), 1)))
    assert [each.key for each in answer.standings] == ["tokens:total", requests().key]


@pytest.mark.parametrize(
    ("limit", "used", "asked", "at", "waiting"),
    [
        (TOTAL, 1000, 1, None, False),
        (hourly(NOW), 500, 1, (NOW // HOUR + 1) * HOUR, False),
        (fixed(), 300, 1, NOW + 5000, False),
        (requests(8), 8, 1, NOW + 10_000, False),
        (TOTAL, 0, 1001, None, False),
        (TOTAL, 100, 900, NOW, True),
    ],
)
def test_when_to_come_again(limit: Limit, used: int, asked: int, at: int | None, waiting: bool) -> None:
    state = TokenState()
    add(state.counter(limit.key, limit.unit, limit.window, NOW), NOW, used)
    state.counters[limit.key].reserved = 5
    denied = ask(state, question("b", Claim(limit, asked)))
    assert isinstance(denied, Denied)
    assert (denied.retry_at, denied.waiting, denied.used, denied.asked) == (at, waiting, used, asked)


def test_an_override_wins_over_the_policy() -> None:
    state = TokenState()
    state.counter(TOTAL.key, "tokens", TOTAL.window, NOW).override = 10
    assert isinstance(ask(state, question("a", Claim(TOTAL, 11))), Denied)
    assert isinstance(ask(state, question("b", Claim(replace(TOTAL, limit=None), 11))), Denied)
    assert isinstance(ask(state, question("c", Claim(replace(TOTAL, limit=1), 10))), Granted)


def test_requests_count_at_once_and_parallel_until_the_end() -> None:
    state = TokenState()
    for number in range(2):
        ask(state, question(f"a{number}", Claim(requests(3), 1), Claim(parallel(2), 1)))
    denied = ask(state, question("b", Claim(requests(3), 1), Claim(parallel(2), 1)))
    assert isinstance(denied, Denied)
    assert (denied.limit, denied.waiting) == (parallel(2), True)
    settle(state, settlement("a0"))
    assert isinstance(ask(state, question("c", Claim(requests(3), 1), Claim(parallel(2), 1))), Granted)
    settle(state, settlement("a1"))
    last = ask(state, question("d", Claim(requests(3), 1), Claim(parallel(2), 1)))
    assert isinstance(last, Denied)
    assert last.limit == requests(3)


@pytest.mark.parametrize(
    ("progress", "charge"), [((), 150), ((("tokens:total", 30),), 150), ((("tokens:total", 170),), 170)]
)
@pytest.mark.parametrize("billed", [0, 20, 150])
def test_a_lease_that_expires_is_charged_and_corrected_when_settled_late(
    progress: tuple[tuple[str, int], ...], charge: int, billed: int
) -> None:
    state = TokenState()
    claims = (Claim(TOTAL, 100, 1), Claim(parallel(), 1))
    ask(state, question("a", *claims, want=50, need=1, lease=1000))
    extend(state, Extension("a", "t", NOW, NOW + 1000, claims, 0, 0, progress))
    expire(state, NOW + 999)
    assert state.counters[TOTAL.key].reserved == 150
    expire(state, NOW + 1000)
    assert [(each.used, each.reserved) for each in standings(state, claims)] == [(charge, 0), (0, 0)]
    expire(state, NOW + 2000)
    assert state.counters[TOTAL.key].settled == charge
    (settled,) = settle(state, settlement("a", (TOTAL, billed), now=NOW + 3000)) or ()
    assert (settled.before, settled.after) == (charge, billed)
    assert settle(state, settlement("a", (TOTAL, billed), now=NOW + 3000)) is None


def test_a_late_settlement_takes_nothing_from_the_next_period() -> None:
    state = TokenState()
    first = Limit("tokens:hour", "tokens", CALENDAR, 500)
    second = Limit("tokens:hour", "tokens", NEXT, 500)
    ask(state, question("a", Claim(first, 100), lease=1000))
    expire(state, NOW + 1000)
    later = NOW + HOUR
    ask(state, question("b", Claim(second, 50), now=later))
    settle(state, settlement("b", (second, 50), now=later))
    settle(state, settlement("a", (second, 10), now=later))
    assert state.counters["tokens:hour"].settled == 60


def test_a_charged_lease_is_forgotten_in_the_end() -> None:
    state = TokenState()
    ask(state, question("a", Claim(TOTAL, 100), lease=1000))
    expire(state, NOW + 1000)
    expire(state, NOW + 1000 + KEPT - 1)
    assert list(state.leases) == ["a"]
    expire(state, NOW + 1000 + KEPT)
    assert not state.leases
    assert state.counters[TOTAL.key].settled == 100


def test_an_extension_revives_its_own_lease_but_no_charged_one() -> None:
    state = TokenState()
    claims = (Claim(TOTAL, 100, 1),)
    for id in "ab":
        ask(state, question(id, *claims, lease=1000))
    more = Extension("a", "t", NOW + 2000, NOW + 4000, claims, 10)
    assert isinstance(extend(state, more), Granted)
    assert [(each.used, each.reserved) for each in standings(state, claims)] == [(100, 110)]
    assert extend(state, replace(more, id="b")) == Denied("lost")
    assert isinstance(extend(state, replace(more, want=2000, need=2000)), Denied)
    assert state.counters[TOTAL.key].reserved == 110


@pytest.mark.parametrize(
    ("until", "now", "closed"), [(0, NOW, True), (NOW + 1, NOW, True), (NOW, NOW, False)]
)
def test_gates(until: int, now: int, closed: bool) -> None:
    state = TokenState(gates={"session:s": Gate(until, "why")})
    answer = ask(state, question("a", now=now, gates=("session:s",)))
    assert isinstance(answer, Denied) == closed
    assert ("session:s" in state.gates) == closed
    if isinstance(answer, Denied):
        assert (answer.retry_at, answer.message) == (until or None, "why")


WATCH = Watch("session:s", "print", "model", 0, max_requests=0, max_repeats=0, max_spend=0)


def watched(state: TokenState, watch: Watch, now: int) -> Granted | Denied:
    return ask(state, question(f"w{now}", now=now, watch=watch, gates=("session:s",)))


def test_the_velocity_of_spending_is_seen() -> None:
    state = TokenState()
    watch = replace(WATCH, cost=400_000_000, max_spend=1_000_000_000)
    assert isinstance(watched(state, watch, NOW), Granted)
    assert isinstance(watched(state, watch, NOW + 1), Granted)
    denied = watched(state, watch, NOW + 2)
    assert isinstance(denied, Denied)
    assert denied.message == "High spending velocity: $1.2000/minute"


def test_a_freeze_lasts_as_long_as_it_says() -> None:
    state = TokenState()
    watch = replace(WATCH, max_requests=1, freeze=5000)
    watched(state, watch, NOW)
    assert isinstance(watched(state, watch, NOW + 1), Denied)
    assert state.gates["session:s"].until == NOW + 5001
    denied = watched(state, watch, NOW + 5000)
    assert isinstance(denied, Denied)
    assert denied.why == "frozen"


@pytest.mark.parametrize(
    ("prints", "gap", "loop"),
    [
        ("aaaa", 1, True),
        ("aaa", 1, False),
        ("aaabaaa", 1, False),
        ("abcd", 1, False),
        ("aaaa", 300_000, False),
    ],
)
def test_only_the_same_request_in_a_row_is_a_loop(prints: str, gap: int, loop: bool) -> None:
    state = TokenState()
    answers = [
        watched(state, replace(WATCH, fingerprint=each, max_repeats=3), NOW + gap * number)
        for number, each in enumerate(prints)
    ]
    assert isinstance(answers[-1], Denied) == loop
    assert all(isinstance(each, Granted) for each in answers[:-1])


@pytest.mark.parametrize(("gap", "frozen"), [(700, False), (500, True)])
def test_slow_traffic_never_adds_up(gap: int, frozen: bool) -> None:
    state = TokenState()
    watch = replace(WATCH, max_requests=100)
    answers = [watched(state, watch, NOW + gap * number) for number in range(500)]
    assert any(isinstance(each, Denied) for each in answers) == frozen


def test_thawing_forgets_what_led_to_the_freeze() -> None:
    state = TokenState()
    watch = replace(WATCH, max_repeats=3)
    for number in range(4):
        watched(state, watch, NOW + number)
    assert thaw(state, "session:s")
    assert not thaw(state, "session:s")
    assert isinstance(watched(state, watch, NOW + 10), Granted)


def test_a_freeze_that_ended_by_itself_leaves_nothing_behind() -> None:
    state = TokenState()
    watch = replace(WATCH, max_repeats=2, max_requests=5, freeze=1000)
    answers = [watched(state, watch, NOW + number) for number in range(3)]
    assert isinstance(answers[-1], Denied)
    assert isinstance(watched(state, watch, NOW + 1003), Granted)
    assert len(state.watched["session:s"].history) == 4


def test_another_window_is_named_in_seconds() -> None:
    state = TokenState()
    watch = replace(WATCH, max_requests=1, window=1500)
    watched(state, watch, NOW)
    denied = watched(state, watch, NOW + 1)
    assert isinstance(denied, Denied)
    assert denied.message == "Exceeded rate limit: 2 requests in 1.5 seconds"
    assert denied.told == "Rate limit exceeded: 2 requests in 1.5 seconds"
