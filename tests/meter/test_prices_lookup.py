"""Which row of genai-prices a provider's model is priced by."""

import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import Usage as TheirUsage

from tokenomics_core.config.schema import Config
from tokenomics_core.dialects.base import Usage
from tokenomics_core.meter.prices import Prices, cost, lookup
from tokenomics_core.meter.prices.sellers import BY_MODEL, SOLD_AS, UNPRICED
from tokenomics_core.providers import load_catalogue

PRICES = Prices()
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def row_of(provider, model, at=AT):
    price = PRICES.price(provider, model, at)
    return price and price.id.removeprefix("genai-prices:")


def test_every_provider_of_the_catalogue_is_known_or_said_to_be_unpriced(tmp_path):
    names = load_catalogue(Config(dir=tmp_path), tmp_path, tmp_path).names()
    places = {name: (name in SOLD_AS) + (name in UNPRICED) + (name in BY_MODEL) for name in names}
    assert places == dict.fromkeys(names, 1)
    assert {*SOLD_AS, *UNPRICED, *BY_MODEL} <= set(names)
    assert set(SOLD_AS.values()) <= {provider.id for provider in providers}


@pytest.mark.parametrize(
    ("provider", "model", "row"),
    [
        ("anthropic", "claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("azure", "gpt-4o", "openai/gpt-4o"),
        ("azure_openai", "gpt-35-turbo", "openai/gpt-3.5-turbo"),
        ("bedrock", "amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("cerebras", "llama-3.3-70b", "cerebras/llama-3.3-70b"),
        ("cohere", "command-r", "cohere/command-r"),
        ("deepseek", "deepseek-chat", "deepseek/deepseek-chat@00:30-16:30"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p2", "fireworks/deepseek-v3p2"),
        ("gemini", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google_gemini", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("groq", "llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("mistral", "codestral-latest", "mistral/codestral"),
        ("moonshot", "moonshot-v1-8k", "moonshotai/moonshot-v1-8k"),
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o@2026-10-19"),
        ("perplexity", "sonar", "perplexity/sonar"),
        (
            "together",
            "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo",
            "together/meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo",
        ),
        ("vertex_ai", "claude-3-5-sonnet@20240620", "google/claude-3-5-sonnet"),
        ("xai", "grok-3", "x-ai/grok-3"),
    ],
)
def test_every_seller(provider, model, row):
    assert row_of(provider, model) == row
    assert row_of(provider.upper(), model.upper()) == row


@pytest.mark.parametrize(
    ("provider", "model", "row"),
    [
        # Snapshots that are listed, and one that is not.
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-mini-2031-01-01", "openai/gpt-4o-mini"),
        ("openai", "gpt-4o-latest", "openai/gpt-4o"),
        ("anthropic", "claude-3-5-sonnet-latest", "anthropic/claude-3-5-sonnet"),
        ("anthropic", "claude-opus-4-6[1m]", "anthropic/claude-opus-4-6@2026-03-13"),
        ("vertex_ai", "publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex_ai", "google/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        # Fine-tuned models have prices of their own, or none.
        ("openai", "ft:gpt-4o-2024-08-06:org:name:id", "openai/ft:gpt-4o"),
        ("openai", "ft:gpt-4o:org::id", "openai/ft:gpt-4o"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "openai/ft:gpt-4o-mini"),
        ("openai", "ft:gpt-4.1-2025-04-14:org::id", None),
        (
            "bedrock",
            "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
            "aws/regional.anthropic.claude-3-7-sonnet-20250219-v1:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0",
            "aws/regional.anthropic.claude-3-sonnet-20240229-v1:0",
        ),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2", None),
        # Free: the vendor says so. Not free: a row without numbers, or a charge that is not in tokens.
        ("openai", "omni-moderation-latest", "openai/moderation"),
        ("google_gemini", "gemma-3-27b-it", "google/gemma-3"),
        ("vertex_ai", "gemma-3-27b-it", None),
        ("cerebras", "qwen-3-coder-480b", None),
        ("openai", "whisper-1", None),
        ("openai", "tts-1", None),
        # No model at all.
        ("openai", "gpt-4o-nonexistent", None),
        ("openai", "gpt-99", None),
        ("openai", "", None),
        ("openai", " ", None),
        ("openai", "x" * 100_000, None),
        ("azure_openai", "my-deployment", None),
        ("openrouter", "openrouter/auto", None),
    ],
)
def test_names(provider, model, row):
    assert row_of(provider, model) == row


@pytest.mark.parametrize("provider", ["my-gateway", "generic", "litellm", ""])
@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        # Google sells it too, at its own price.
        ("claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("google/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("ft:gpt-4o-2024-08-06:o::i", "openai/ft:gpt-4o"),
        # Open weights: everybody has a price for them.
        ("gpt-oss-120b", None),
        ("llama-3.3-70b", None),
        ("mistral", None),
        ("gemma-3-27b-it", None),
        ("claude-of-my-own", None),
        ("anthropic/gpt-4o", None),
    ],
)
def test_by_model_alone_only_where_the_maker_is_certain(provider, model, row):
    assert row_of(provider, model) == row


@pytest.mark.parametrize("provider", sorted(UNPRICED))
def test_a_name_known_elsewhere_is_not_the_price_of_an_unpriced_provider(provider):
    assert row_of(provider, "gpt-4o") is None


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("groq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("azure/gpt-4o", "openai/gpt-4o"),
        ("openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o@2026-10-19"),
        ("ollama/llama3", None),
    ],
)
def test_litellm_says_the_seller_in_front(model, row):
    assert row_of("litellm", model) == row
    assert row_of("my-gateway", "groq/llama-3.3-70b-versatile") is None


def test_the_row_of_the_day():
    old = PRICES.price("openai", "o3", datetime(2025, 6, 9, 23, 59, tzinfo=UTC))
    new = PRICES.price("openai", "o3", datetime(2025, 6, 10, tzinfo=UTC))
    assert (old.id, old.as_of, old.input) == ("genai-prices:openai/o3", None, 10)
    assert (new.id, new.as_of, new.input) == ("genai-prices:openai/o3@2025-06-10", date(2025, 6, 10), 2)
    assert new.source.startswith("genai-prices 0.")
    # Half an hour later in New Delhi, where the day has begun, is the same moment.
    east = timezone(timedelta(hours=5, minutes=30))
    assert PRICES.price("openai", "o3", datetime(2025, 6, 10, 5, 29, tzinfo=east)) == old
    assert PRICES.price("openai", "o3", datetime(2025, 6, 10)) == new


@pytest.mark.parametrize(
    ("clock", "row"),
    [
        ((0, 0), "deepseek/deepseek-chat"),
        ((0, 29, 59), "deepseek/deepseek-chat"),
        ((0, 30), "deepseek/deepseek-chat@00:30-16:30"),
        ((16, 29, 59), "deepseek/deepseek-chat@00:30-16:30"),
        ((16, 30), "deepseek/deepseek-chat"),
        ((23, 59), "deepseek/deepseek-chat"),
    ],
)
def test_the_row_of_the_hour(clock, row):
    assert row_of("deepseek", "deepseek-chat", datetime(2025, 5, 1, *clock, tzinfo=UTC)) == row


def test_what_else_is_charged_is_named():
    price = PRICES.price("anthropic", "claude-haiku-4-5", AT)
    assert price.unmetered == ("cache_write_1h_mtok", "web_searches_kcount")


@pytest.mark.parametrize("at", [datetime(2025, 3, 1, 2, tzinfo=UTC), AT], ids=["then", "now"])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "x-ai", "aws", "mistral", "deepseek"])
def test_same_cost_as_genai_prices_computes(provider, at):
    seller = next(other for other in providers if other.id == provider)
    ours = next(name for name, theirs in SOLD_AS.items() if theirs == provider and name != "vertex_ai")
    compared = 0
    for model in seller.models:
        price = PRICES.price(ours, model.id, at)
        if price is None or price.id.partition("@")[0] != f"genai-prices:{provider}/{model.id}":
            continue
        for total, cached, created in ((1000, 300, 200), (300_000, 100_000, 7)):
            theirs = TheirUsage(
                input_tokens=total,
                cache_read_tokens=cached,
                cache_write_tokens=created,
                output_tokens=777,
                **dict.fromkeys(
                    [
                        "cache_write_1h_tokens",
                        "input_audio_tokens",
                        "cache_audio_read_tokens",
                        "input_image_tokens",
                        "cache_image_read_tokens",
                        "input_video_tokens",
                        "output_audio_tokens",
                        "output_image_tokens",
                        "output_video_tokens",
                    ],
                    0,
                ),
            )
            expected = model.calc_price(theirs, seller, genai_request_timestamp=at).total_price
            assert cost(price, Usage(total, 777, cached, created, 300)).usd == expected, model.id
            compared += 1
    assert compared > 10


def test_an_answer_is_remembered(monkeypatch):
    prices = Prices()
    asked = []
    monkeypatch.setattr(
        Prices, "_day", lambda self, *key: asked.append(key) or ((datetime.min.time(), None),)
    )
    for hour in range(3):
        assert prices.price("openai", "gpt-4o", AT.replace(hour=hour)) is None
    prices.price("openai", "gpt-4o", AT + timedelta(days=1))
    assert [day for _, _, day in asked] == [AT.date(), AT.date() + timedelta(days=1)]


def test_names_that_clients_make_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(lookup, "KEPT", 5)
    prices = Prices()
    for number in range(20):
        assert prices.price("ollama", f"model-{number}", AT) is None
        assert len(prices._days) <= 5
    assert prices.price("openai", "gpt-4o", AT).input == Decimal("2.5")


def test_loads_once(monkeypatch):
    made = []
    original = lookup.GenaiPrices

    def counted():
        made.append(1)
        return original()

    monkeypatch.setattr(lookup, "GenaiPrices", counted)
    prices = Prices()
    assert not prices.ready
    threads = [threading.Thread(target=prices.load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prices.ready
    assert made == [1]


WATCHED = """
import sys, threading
from datetime import UTC, datetime
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith("socket.") else None)
from tokenomics_core.meter.prices import Prices
prices = Prices()
assert "genai_prices" not in sys.modules, "loaded too early"
prices.load()
at = datetime(2026, 11, 1, tzinfo=UTC)
assert prices.price("openai", "gpt-4o", at)
assert prices.price("openrouter", "no/such-model", at) is None
from genai_prices import data_snapshot, update_prices
assert update_prices._shared_updater.thread is None
assert data_snapshot._custom_snapshot is None
assert threading.active_count() == 1, threading.enumerate()
assert seen == [], seen
print("quiet")
"""


def test_opens_no_socket_and_starts_no_thread():
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("quiet\n", "")
