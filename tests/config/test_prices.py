"""Prices in the configuration: read exactly, and refused where they cannot be used."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.config.conftest import Load
from tokenomics_core.config import Config, ConfigError
from tokenomics_core.meter.prices.written import read_overrides

TABLE = '{"gpt-4o": {"input": 0.0025, "output": 0.01}}'


def test_pricing_comes_through_as_written(load: Load) -> None:
    config = load(
        "pricing: {GPT-4o: {input: 0.1, output: 10, as_of: 2025-06-01}, 'ollama/*': {input: 0, output: 0}}"
    )
    assert config.warnings == []
    price = read_overrides(config.pricing).find("openai", ["gpt-4o"])
    assert price is not None
    assert (price.input, price.id) == (Decimal("0.1"), "config:gpt-4o@2025-06-01")


@pytest.mark.parametrize("written", ["prices.json", "ABSOLUTE"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_the_table_lies_in_the_data_directory(
    load: Load, home: Path, written: str, by_variable: bool
) -> None:
    path = home / ".tokenomics" / "prices.json"
    path.parent.mkdir()
    path.write_text(TABLE)
    written = written.replace("ABSOLUTE", str(path))
    variables = {"TOKENOMICS_PRICING_TABLE": written}
    config = load(environ=variables) if by_variable else load(f"pricing_table: {written}")
    assert config.pricing_table == path
    assert Config(dir=path.parent, pricing_table=Path("prices.json")).pricing_table == path
    assert Config(dir=path.parent).pricing_table is None


def test_a_table_that_is_not_there(load: Load, cwd: Path, home: Path) -> None:
    remedy = f"{home}/.tokenomics/p.json: No such file or directory; give the path of a pricing table"
    with pytest.raises(ConfigError) as caught:
        load("pricing_table: p.json")
    assert str(caught.value) == f"load config: {cwd}/config.yaml: pricing_table: {remedy}"
    with pytest.raises(ConfigError) as caught:
        load("pricing_table: q.json", {"TOKENOMICS_PRICING_TABLE": "p.json"})
    assert str(caught.value) == f"load config: TOKENOMICS_PRICING_TABLE: {remedy}"


def test_a_table_that_is_none(load: Load, home: Path) -> None:
    path = home / "p.json"
    path.write_text("[1]")
    with pytest.raises(ConfigError, match=r"p\.json: is no map; write models as keys"):
        load(f"pricing_table: {path}")


@pytest.mark.parametrize(
    ("text", "variables", "budget", "strict"),
    [
        ("", {"DEFAULT_BUDGET": "10.00", "STRICT_MODE": "true"}, Decimal(10), True),
        ("", {"DEFAULT_BUDGET": "", "STRICT_MODE": ""}, None, False),
        ("", {"DEFAULT_BUDGET": "1", "TOKENOMICS_SESSION_DEFAULT_BUDGET_USD": "2"}, Decimal(2), False),
        ("session: {default_budget_usd: 0.1}", {"DEFAULT_BUDGET": "1"}, Decimal("0.1"), False),
        ("session: {strict: false}", {"STRICT_MODE": "true"}, None, False),
        ("session: {default_budget_usd: }", {"DEFAULT_BUDGET": "1"}, Decimal(1), False),
    ],
)
def test_the_variables_of_tokengate(
    load: Load, text: str, variables: dict[str, str], budget: Decimal | None, strict: bool
) -> None:
    config = load(text, variables)
    assert (config.session.default_budget_usd, config.session.strict) == (budget, strict)
    assert config.warnings == []


def test_an_error_names_the_variable_of_tokengate(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"^load config: DEFAULT_BUDGET is 'much'; write a number$"):
        load(environ={"DEFAULT_BUDGET": "much"})


@pytest.mark.parametrize("written", ["0.1", "0.000000001", "999998.999999999", "19.99"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_sums_are_read_exactly(load: Load, written: str, quote: str) -> None:
    config = load(f"session: {{default_budget_usd: {quote}{written}{quote}}}")
    assert config.session.default_budget_usd == Decimal(written)
