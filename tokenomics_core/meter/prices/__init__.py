"""What models cost. No other room knows a price."""

from tokenomics_core.meter.prices.lookup import Prices
from tokenomics_core.meter.prices.price import (
    CLASSES,
    Cost,
    Price,
    Rates,
    Tier,
    cost,
    highest_output_rate,
    upper_bound,
)
from tokenomics_core.meter.prices.written import PriceError, assumed

__all__ = [
    "CLASSES",
    "Cost",
    "Price",
    "PriceError",
    "Prices",
    "Rates",
    "Tier",
    "assumed",
    "cost",
    "highest_output_rate",
    "upper_bound",
]
