"""The rows of genai-prices, as they came with the package: its updates from the network are never started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from tokenomics_core.meter.prices.price import DECIMALS, ZERO, Price, Rates, Tier
from tokenomics_core.meter.prices.sellers import SOLD_AS, UNPRICED, is_free, maker_of

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices

    Amount = Decimal | TieredPrices

_BATCH = {"processing": "batch"}
_INPUT = "input_mtok"
_OUTPUT = "output_mtok"
_CACHED = "cache_read_mtok"
_CREATED = "cache_write_mtok"
_REASONING = "output_reasoning_mtok"
_REQUESTS = "requests_kcount"
_METERED = frozenset({_INPUT, _OUTPUT, _CACHED, _CREATED, _REASONING, _REQUESTS})
_SMALLEST = Decimal(1).scaleb(-DECIMALS)


@dataclass(frozen=True, slots=True)
class _Found:
    """A model, and who lists it. own: that is the seller, not the maker whose model it sells."""

    model: ModelInfo
    home: str
    own: bool


class GenaiPrices:
    """All rows. To make one imports genai-prices, which takes about half a second."""

    def __init__(self) -> None:
        from importlib.metadata import version

        from genai_prices.data import providers

        self._sellers: list[Provider] = providers
        self._by_id = {seller.id: seller for seller in providers}
        self._source = f"genai-prices {version('genai-prices')}"

    def prices(self, provider: str, names: Sequence[str], day: date) -> list[tuple[time, Price | None]]:
        """The prices of one UTC day, each with the time from which it holds, the first from midnight.

        Empty when there is no such model. provider: the catalogue's name in lower case. names: `spellings`.
        """
        found = self._find(provider, names)
        if found is None:
            return []
        starts = sorted({time.min, *_changes(found.model)})
        free = is_free(provider, found.model.id)
        return [(start, self._price(found, datetime.combine(day, start, UTC), free)) for start in starts]

    def _find(self, provider: str, names: Sequence[str]) -> _Found | None:
        if provider in UNPRICED:
            return None
        for name in names:
            for seller_id, its_name in self._sold(provider, name):
                if found := self._listed(seller_id, its_name):
                    return found
        return None

    def _sold(self, provider: str, name: str) -> Iterator[tuple[str, str]]:
        """The sellers to ask for that name, and what they call it."""
        prefix, _, rest = name.partition("/")
        named = SOLD_AS.get(prefix, prefix)
        if seller_id := SOLD_AS.get(provider):
            yield seller_id, name
            if rest and named == seller_id:
                yield seller_id, rest
            return
        if maker := maker_of(name):
            yield maker, name
        elif rest and (provider == "litellm" or named == maker_of(rest)):
            yield named, rest

    def _listed(self, seller_id: str, name: str) -> _Found | None:
        seller = self._by_id.get(seller_id)
        if seller is None:
            return None
        model = seller.find_model(name, all_providers=self._sellers)
        if model is None:
            model = next((model for model in seller.models if model.id.lower() == name), None)
        if model is None:
            return None
        for home in (seller_id, *(seller.fallback_model_providers or ())):
            if any(model is other for other in self._by_id[home].models):
                return _Found(model, home, own=home == seller_id)
        return None

    def _price(self, found: _Found, at: datetime, free: bool) -> Price | None:
        model = found.model
        values = model.get_prices(at)
        row = next((row for row in _rows(model) if row.prices is values), None)
        as_of, suffix = _dated(row)
        name = f"genai-prices:{found.home}/{model.id}"
        batch = None
        # What a maker takes for a batch says nothing about others who sell its models.
        if found.own and model.price_variants:
            in_batch = model.get_prices(at, _BATCH)
            if in_batch != values:
                batch = self._made(f"{name}+batch{suffix}", as_of, in_batch, free=False)
        return self._made(f"{name}{suffix}", as_of, values, batch, free=free)

    def _made(
        self, row_id: str, as_of: date | None, prices: ModelPrice, batch: Price | None = None, *, free: bool
    ) -> Price | None:
        values: dict[str, Amount] = {
            key: value for key, value in vars(prices).items() if value is not None and not key.startswith("_")
        }
        unmetered = tuple(sorted(values.keys() - _METERED))
        # A row without numbers says nothing, and one whose only charge is for what is not counted here (audio
        # by the minute, say) would come out as free.
        if not values and not free:
            return None
        if unmetered and not any(_highest(values[key]) for key in values.keys() & _METERED):
            return None
        if values and _INPUT not in values and _REQUESTS not in values:
            return None
        starts = {
            tier.start for value in values.values() if not isinstance(value, Decimal) for tier in value.tiers
        }
        base = _rates(values, -1)
        return Price(
            id=row_id,
            source=self._source,
            as_of=as_of,
            input=base.input,
            cached_input=base.cached_input,
            cache_creation=base.cache_creation,
            output=base.output,
            reasoning=base.reasoning,
            request=_rate(values, _REQUESTS, -1) / 1000,
            tiers=tuple(_tier(start, _rates(values, start)) for start in sorted(starts)),
            batch=batch,
            unmetered=unmetered,
        )


def _rows(model: ModelInfo) -> Sequence[ConditionalPrice]:
    return model.prices if isinstance(model.prices, list) else ()


def _dated(row: ConditionalPrice | None) -> tuple[date | None, str]:
    """The date from which the row holds, and how its id ends."""
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    match row.constraint if row else None:
        case StartDateConstraint(start_date=start):
            return start, f"@{start}"
        case TimeOfDateConstraint() as hours:
            return None, f"@{_utc(hours.start_time):%H:%M}-{_utc(hours.end_time):%H:%M}"
    return None, ""


def _changes(model: ModelInfo) -> Iterator[time]:
    """Times of the day, in UTC, at which a price begins or ends."""
    from genai_prices.types import TimeOfDateConstraint

    for row in (*_rows(model), *(model.price_variants or ())):
        if isinstance(row.constraint, TimeOfDateConstraint):
            yield _utc(row.constraint.start_time)
            yield _utc(row.constraint.end_time)


def _utc(value: time) -> time:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(date(2000, 1, 2), aware).astimezone(UTC).time()


def _rates(values: Mapping[str, Amount], start: int) -> Rates:
    """The rates just above that many tokens of input. Cached tokens without a rate cost as input."""
    price_in = _rate(values, _INPUT, start)
    return Rates(
        input=price_in,
        cached_input=_rate(values, _CACHED, start, price_in),
        cache_creation=_rate(values, _CREATED, start, price_in),
        output=_rate(values, _OUTPUT, start),
        reasoning=_rate(values, _REASONING, start) if _REASONING in values else None,
    )


def _tier(above: int, rates: Rates) -> Tier:
    return Tier(
        above=above,
        input=rates.input,
        cached_input=rates.cached_input,
        cache_creation=rates.cache_creation,
        output=rates.output,
        reasoning=rates.reasoning,
    )


def _rate(values: Mapping[str, Amount], key: str, start: int, absent: Decimal = ZERO) -> Decimal:
    value = values.get(key, absent)
    if isinstance(value, Decimal):
        return _clean(value)
    reached = [tier.price for tier in value.tiers if tier.start <= start]
    return _clean(reached[-1] if reached else value.base)


def _highest(value: Amount) -> Decimal:
    return value if isinstance(value, Decimal) else max([value.base, *(tier.price for tier in value.tiers)])


def _clean(price: Decimal) -> Decimal:
    """Some rows carry the noise of a float: 0.27999999999999997."""
    exponent = price.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMALS:
        return price.quantize(_SMALLEST, ROUND_HALF_EVEN)
    return price
