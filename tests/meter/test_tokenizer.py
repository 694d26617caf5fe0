"""Counting tokens."""

from __future__ import annotations

import math
import time

import pytest
import tiktoken_ext.openai_public as published
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_core.meter import tokenizer as module
from tokenomics_core.meter.tokenizer import PIECE, Tokenizer, encoding_for, estimate


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    loaded = Tokenizer()
    loaded.start()
    assert loaded.wait(60)
    return loaded


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4.1-nano", "o200k_base"),
        ("gpt-4.5", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("gpt-5-codex", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("o1", "o200k_base"),
        ("o1-mini", "o200k_base"),
        ("o3", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("ft:gpt-4o:org::id", "o200k_base"),
        ("openai/gpt-4o", "o200k_base"),
        ("GPT-4o", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("text-embedding-9", "cl100k_base"),
        ("text-davinci-003", "p50k_base"),
        ("davinci", "r50k_base"),
        ("claude-sonnet-4-5", "cl100k_base"),
        ("gemini-2.5-flash", "cl100k_base"),
        ("llama3.2", "cl100k_base"),
        ("", "cl100k_base"),
    ],
)
def test_encoding_for(model: str, encoding: str) -> None:
    assert encoding_for(model) == encoding


# As tiktoken counts with the published tables.
COUNTS = [
    ("gpt-4o", "", 0),
    ("gpt-4o", "hello world", 2),
    ("gpt-4", "hello world", 2),
    ("gpt-4o", "お誕生日おめでとう", 8),
    ("gpt-4", "お誕生日おめでとう", 9),
    ("gpt-4", "antidisestablishmentarianism", 6),
    ("gpt-4o", "2 + 2 = 4", 7),
    ("gpt-4", "tiktoken is great!", 6),
    ("claude-sonnet-4-5", "tiktoken is great!", 6),
    ("gpt-oss-120b", "hello world", 2),
]


@pytest.mark.parametrize(("model", "text", "count"), COUNTS)
def test_count(tokenizer: Tokenizer, model: str, text: str, count: int) -> None:
    assert tokenizer.count(text, model) == count


@pytest.mark.parametrize("text", ["<|endoftext|>", "a<|fim_prefix|>b", "<|endofprompt|>"])
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_special_tokens_are_plain_text(tokenizer: Tokenizer, model: str, text: str) -> None:
    assert tokenizer.count(text, model) > 1


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_patterns_are_those_of_tiktoken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(published, "load_tiktoken_bpe", lambda *_, **__: {})
    assert module._PATTERNS[name] == getattr(published, name)()["pat_str"]


ESTIMATES = [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é", 1), ("👋👋", 2), ("\ud800", 1)]


@pytest.mark.parametrize(("text", "count"), ESTIMATES)
def test_estimate_before_the_tables_are_loaded(text: str, count: int) -> None:
    fresh = Tokenizer()
    assert not fresh.ready
    assert not fresh.wait(0)
    assert fresh.count(text, "gpt-4o") == estimate(text) == count


def test_estimate_where_there_is_no_table(tokenizer: Tokenizer) -> None:
    assert tokenizer.count("hello world", "davinci") == math.ceil(11 / 4)


def test_a_table_that_is_not_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._SHA256, "cl100k_base", "0" * 64)
    broken = Tokenizer()
    broken.start()
    assert not broken.wait(60)
    assert broken.error == (
        "token counts are estimates: the table cl100k_base cannot be loaded: it is not the published one"
    )
    assert broken.count("hello", "gpt-4") == 2


def test_start_twice_loads_once(tokenizer: Tokenizer) -> None:
    thread = tokenizer._thread
    tokenizer.start()
    assert tokenizer._thread is thread


@given(st.text(alphabet=st.characters(), max_size=200), st.sampled_from(["gpt-4o", "gpt-4", "davinci"]))
@settings(deadline=None)
def test_any_text_counts(tokenizer: Tokenizer, text: str, model: str) -> None:
    assert (tokenizer.count(text, model) == 0) == (text == "")


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_cutting_a_long_text_does_not_change_its_count(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    prose = "The quick brown fox, aged 12, doesn't jump over the lazy dog.\n\n  It sleeps... "
    text = prose * (3 * PIECE // len(prose))
    cut = tokenizer.count(text, model)
    monkeypatch.setattr(module, "PIECE", len(text))
    assert tokenizer.count(text, model) == cut


@pytest.mark.parametrize("letter", ["a", " ", "\n", "漢", "\u0301", "!"])
def test_a_long_run_takes_time_in_proportion(tokenizer: Tokenizer, letter: str) -> None:
    def seconds(size: int) -> float:
        begin = time.process_time()
        assert tokenizer.count(letter * size, "gpt-4o") > 0
        return time.process_time() - begin

    seconds(PIECE)
    assert seconds(16 * PIECE) < 4 * (4 * seconds(4 * PIECE)) + 0.05
