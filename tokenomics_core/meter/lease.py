"""Lease: what an exchange takes of its limits, before it is sent, while it runs, and in the end.

Reserved is the input, as estimated, and the output that was granted, both at the highest rates that the
request can meet. While a stream runs its output is counted, and more is asked for before it is used up.
Settled is what the provider billed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Context, Decimal

from tokenomics_core.counters.question import (
    HIGHEST,
    Claim,
    Granted,
    Limit,
    Settled,
    Standing,
)
from tokenomics_core.dialects.base import Answer
from tokenomics_core.meter.prices import Price, highest_output_rate, upper_bound

CHARACTERS_PER_TOKEN = 3
"""Of ordinary text, at least."""

ON_THE_WAY = 4
"""Tokens that a provider may have sent when it is told to stop."""

_CONTEXT = Context(prec=80, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a request costs at most: its input, and each token of its output. In billionths of a US dollar."""

    input_usd: int = 0
    output_usd: int = 0


def nano(usd: Decimal) -> int:
    """Billionths of a US dollar, rounded up: a part of one is paid as a whole."""
    scaled = _CONTEXT.scaleb(usd, 9).to_integral_value(ROUND_CEILING, _CONTEXT)
    return min(int(scaled), HIGHEST)


def usd(amount: int) -> Decimal:
    """Billionths of a US dollar as dollars."""
    return Decimal(amount).scaleb(-9)


def rate_of(prices: Iterable[Price | None], input_tokens: int) -> Rate:
    """The highest rate of the models that may answer. A price that is not known counts as nothing here."""
    rates = [
        Rate(
            nano(upper_bound(price, input_tokens, 0)),
            # USD per 1,000,000 tokens are thousands of billionths per token.
            nano(_CONTEXT.scaleb(highest_output_rate(price, input_tokens), -6)),
        )
        for price in prices
        if price is not None
    ]
    return Rate(
        max((rate.input_usd for rate in rates), default=0),
        max((rate.output_usd for rate in rates), default=0),
    )


def claims(limits: Sequence[Limit], input_tokens: int, rate: Rate, choices: int) -> tuple[Claim, ...]:
    """What a request takes of each limit. choices: completions that are each billed up to the cap."""
    return tuple(_claim(limit, input_tokens, rate, choices) for limit in limits)


def _claim(limit: Limit, input_tokens: int, rate: Rate, choices: int) -> Claim:
    match limit.unit:
        case "tokens":
            return Claim(limit, input_tokens, choices)
        case "usd":
            return Claim(limit, rate.input_usd, rate.output_usd * choices)
        case "requests" | "parallel":
            return Claim(limit, 1)


def amounts(limits: Sequence[Limit], tokens: int, cost: Decimal | None) -> tuple[tuple[Limit, int], ...]:
    """What was used in the end: tokens, input and output, and their cost; None where no price is known."""
    spent = 0 if cost is None else nano(cost)
    return tuple(
        (limit, tokens if limit.unit == "tokens" else spent)
        for limit in limits
        if limit.unit in ("tokens", "usd")
    )


@dataclass(slots=True)
class Lease:
    """The lease of one exchange.

    input_tokens: as estimated, and reserved. granted: tokens of output reserved for each of the choices.
    left: tokens of output that there would be if nobody else had anything reserved; None: no limit ends it.
    most: tokens of output that the request allows itself, None for no end; when they are granted, no more is
    asked for.
    longest: tokens of output that the answer can have; 0 for unknown.
    slice: tokens that are asked for at a time; it doubles as the stream goes on.
    counted: tokens of output that were seen in the stream so far, at most.
    shown: the same, at least: what the provider's own cap is held against.
    over: by how much the provider's count may be more than ours.
    """

    claims: tuple[Claim, ...]
    input_tokens: int
    granted: int
    left: int | None
    standings: tuple[Standing, ...] = ()
    choices: int = 1
    most: int | None = None
    longest: int = 0
    slice: int = 0
    counted: int = 0
    shown: int = 0
    over: float = 1.0
    _ask_at: int = field(default=0, repr=False)
    _texts: int = field(default=0, repr=False)
    _seen: int = field(default=0, repr=False)

    @classmethod
    def of(
        cls, claims: tuple[Claim, ...], input_tokens: int, granted: Granted, choices: int, slice: int
    ) -> Lease:
        return cls(
            claims,
            input_tokens,
            granted.tokens,
            granted.left,
            granted.standings,
            choices=choices,
            slice=slice,
        )

    def __post_init__(self) -> None:
        self._ask_at = self.granted - min(self.slice, self.granted) // 4

    @property
    def limits(self) -> tuple[Limit, ...]:
        return tuple(claim.limit for claim in self.claims)

    @property
    def bounded(self) -> bool:
        """Whether some limit may end the answer, so that its output must be counted as it comes."""
        return self.left is not None

    @property
    def short(self) -> bool:
        """Whether more output should be asked for now.

        Also where no limit ends the answer: what is reserved is what a crash leaves to be billed.
        """
        if not self.bounded:
            return self.slice > 0 and self.counted >= self._ask_at
        within = self.most is not None and self.shown <= self.most <= self.granted
        return self.bounded and self.counted >= self._ask_at and not within

    @property
    def missing(self) -> int:
        """Tokens that were seen and are not reserved."""
        return max(0, self.counted - self.granted)

    def count(self, answer: Answer, tokens: Callable[[str], int]) -> None:
        """Takes up what came since the last time. tokens: of a text.

        Piece by piece, as the provider made them; its own word on the output counts where that is more.
        """
        texts = answer.text
        while self._texts < len(texts):
            self._seen += tokens(texts[self._texts])
            self._texts += 1
        usage = answer.usage
        said = usage.output_tokens or 0
        # What the input is more than estimated is taken from the room of the output.
        more = max(0, (usage.input_tokens or 0) - self.input_tokens)
        self.counted = -(-(max(math.ceil(self._seen * self.over), said) + more) // self.choices)
        self.shown = -(-(max(self._seen, said) + more) // self.choices)

    def count_roughly(self, answer: Answer) -> None:
        """The same for an answer that no limit ends, by its length alone, and rather too high."""
        self.counted = max(self.counted, -(-answer.text_length // CHARACTERS_PER_TOKEN))

    def extended(self, granted: Granted) -> None:
        """Takes up what an extension gave."""
        self.granted += granted.tokens
        self.left = granted.left if granted.left is not None else self.left
        # The last few of a limit come in crumbs: also then there is time left to be denied more.
        self._ask_at = self.granted - max(ON_THE_WAY, min(self.slice, granted.tokens) // 4)
        self.slice *= 2

    def unextended(self) -> None:
        """Takes up that nobody could say: it is asked again after another slice."""
        self._ask_at = self.counted + self.slice

    def refused(self) -> bool:
        """Takes up that an extension was denied: whether the stream has to end now.

        What is reserved is used first; others may have given some back by then.
        """
        room = self.granted - self.counted
        if room <= ON_THE_WAY:
            return True
        self._ask_at = self.counted + max(1, room // 2)
        return False

    @property
    def wanted(self) -> int:
        """Tokens of output to ask for next."""
        rest = self.longest - self.granted
        return self.missing + (min(self.slice, rest) if rest > 0 else self.slice)

    def free(self, standings: Sequence[Standing]) -> int | None:
        """Tokens of output that are free by these standings; None for no end."""
        per_token = {claim.limit.key: claim.per_token for claim in self.claims if claim.limit.refuse}
        rooms = [
            standing.remaining // per_token[standing.key]
            for standing in standings
            if standing.remaining is not None and per_token.get(standing.key)
        ]
        return min(rooms, default=None)

    def under(self, limits: Sequence[Limit]) -> tuple[Claim, ...]:
        """What more output takes of the limits as they are now."""
        rates = {claim.limit.unit: claim.per_token for claim in self.claims if claim.per_token}
        return tuple(Claim(limit, 0, rates[limit.unit]) for limit in limits if limit.unit in rates)

    def settled(self, settled: Sequence[Settled]) -> None:
        """Takes up what the counters say after the settlement."""
        after = {each.key: each.after for each in settled}
        self.standings = tuple(
            replace(each, used=after[each.key], reserved=0) if each.key in after else each
            for each in self.standings
        )

    def progress(self) -> tuple[tuple[str, int], ...]:
        """What is used of each limit so far, as far as can be seen."""
        return tuple(
            (claim.limit.key, claim.base + claim.per_token * self.counted)
            for claim in self.claims
            if claim.per_token
        )

    @property
    def reserved_tokens(self) -> int:
        return self._reserved("tokens")

    @property
    def reserved_usd(self) -> Decimal | None:
        return usd(self._reserved("usd")) if any(claim.limit.unit == "usd" for claim in self.claims) else None

    def _reserved(self, unit: str) -> int:
        return max(
            (
                claim.base + claim.per_token * self.granted
                for claim in self.claims
                if claim.limit.unit == unit
            ),
            default=0,
        )
