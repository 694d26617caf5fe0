"""Placeholders: which are given out, and that every text comes back as it was."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenomics_core.guard import vault as vault_module
from tokenomics_core.guard.vault import (
    IDLE,
    Found,
    Vault,
    VaultFull,
    Vaults,
    find,
    fragment_of,
    restored,
    unfinished,
    value_of,
)

SECRET = 'hunter2"\\\n\U0001f600é'


def known(*values: str, kind: str = "email") -> Vault:
    vault = Vault()
    for value in values:
        vault.placeholder(kind, value)
    return vault


def streamed(pieces: list[str], vault: Vault, json_text: bool) -> str:
    """What a client gets that is told as soon as possible; and never holds what cannot be a placeholder."""
    out, held = "", ""
    for piece in pieces:
        held += piece
        settled = unfinished(held, vault, 0, json_text)
        out += restored(held[:settled], vault, json_text)
        held = held[settled:]
        assert len(held) < 80
    return out + restored(held, vault, json_text)


# What is given out.


def test_the_same_value_has_the_same_placeholder_and_kinds_are_numbered_apart() -> None:
    vault = Vault()
    assert not vault.known
    given_out = [
        vault.placeholder(kind, value)
        for kind, value in [
            ("email", "a@x.com"),
            ("credit_card", "4111"),
            ("email", "b@x.com"),
            ("EMAIL", "a@x.com"),
            ("phone", "a@x.com"),
        ]
    ]
    assert given_out == ["<EMAIL_1>", "<CREDIT_CARD_1>", "<EMAIL_2>", "<EMAIL_1>", "<PHONE_1>"]
    assert vault.known
    assert len(vault) == 4
    assert vault.original("<EMAIL_2>") == "b@x.com"


@pytest.mark.parametrize(
    ("kind", "placeholder"),
    [
        ("my-rule 7", "<MY_RULE_7_1>"),
        ("", "<VALUE_1>"),
        ("größe<>", "<GR_SSE___1>"),
        ("x" * 200, f"<{'X' * 48}_1>"),
        ("email_1", "<EMAIL_1_1>"),
    ],
)
def test_any_kind_makes_a_placeholder_that_is_found(kind: str, placeholder: str) -> None:
    vault = Vault()
    assert vault.placeholder(kind, "v") == placeholder
    assert restored(f"a{placeholder}b", vault) == "avb"
    escaped = placeholder.replace("<", "\\u003c").replace(">", "\\u003e")
    assert [unfinished(escaped[:cut], vault, 0, True) for cut in range(1, len(escaped))] == [0] * (
        len(escaped) - 1
    )


@pytest.mark.parametrize(
    ("own", "first"),
    [
        ("see <EMAIL_1> and <EMAIL_2>", "<EMAIL_3>"),
        ('{"a": "\\u003cEMAIL_1\\u003E"}', "<EMAIL_2>"),
        ("<EMAIL_2>", "<EMAIL_1>"),
        ("<EMAIL_01> <EMAIL_> <email_1> <_1> EMAIL_1 &lt;EMAIL_1&gt; <PHONE_1>", "<EMAIL_1>"),
        ("<EMAIL_123456>", "<EMAIL_1>"),
    ],
)
def test_the_clients_own_words_are_not_given_out(own: str, first: str) -> None:
    vault = Vault()
    vault.avoid(own)
    assert vault.placeholder("email", "a@x.com") == first
    assert restored(own, vault) == own


def test_a_placeholder_that_the_client_writes_later_is_its_own_from_then_on() -> None:
    vault = known("a@x.com", "b@x.com")
    vault.avoid("what does <EMAIL_1> mean?")
    assert restored("<EMAIL_1>, <EMAIL_2>", vault) == "<EMAIL_1>, b@x.com"
    assert unfinished("<EMAIL_1", vault) == len("<EMAIL_1")
    assert vault.placeholder("email", "a@x.com") == "<EMAIL_3>"
    vault.avoid("what does <EMAIL_1> mean?")
    assert vault.placeholder("email", "a@x.com") == "<EMAIL_3>"


def test_a_conversation_is_bounded_in_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MOST_VALUES", 3)
    vault = known("a", "b", "c")
    with pytest.raises(VaultFull):
        vault.placeholder("email", SECRET)
    assert vault.placeholder("email", "b") == "<EMAIL_2>"
    assert vault.original("<EMAIL_4>") is None


def test_a_conversation_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MOST_BYTES", 10_000)
    vault = known("a")
    for value in ("x" * 9_000, "é" * 9_000, "\U0001f600" * 2_500):
        with pytest.raises(VaultFull):
            vault.placeholder("email", value)
    assert vault.placeholder("email", "b") == "<EMAIL_2>"
    assert vault.bytes < 10_000


def test_the_clients_own_words_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MOST_VALUES", 3)
    vault = known("a")
    vault.avoid("".join(f"<X_{number}>" for number in range(1, 50)))
    assert vault.bytes < 5_000
    # <X_4> cannot be told from the client's own words any more.
    with pytest.raises(VaultFull):
        vault.placeholder("x", "b")
    assert vault.placeholder("email", "a") == "<EMAIL_1>"


def test_numbers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "HIGHEST", 2)
    vault = known("a", "b")
    with pytest.raises(VaultFull):
        vault.placeholder("email", "c")
    assert vault.placeholder("phone", "c") == "<PHONE_1>"


def test_threads_give_one_number_once() -> None:
    vault = Vault()
    start = threading.Barrier(4)
    seen: list[list[str]] = []

    def work() -> None:
        start.wait()
        seen.append([vault.placeholder("email", f"v{number}") for number in range(500)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [seen[0]] * 4
    assert sorted(seen[0]) == sorted(f"<EMAIL_{number}>" for number in range(1, 501))
    assert all(vault.original(name) == f"v{number}" for number, name in enumerate(seen[0]))


# What is found.

NOT_PLACEHOLDERS = [
    "<EMAIL_3>",
    "<email_1>",
    "<Email_1>",
    "<EMAIL_01>",
    "<EMAIL_1 >",
    "< EMAIL_1>",
    "<EMAIL\\_1>",
    "<EMAIL_1",
    "EMAIL_1>",
    "[EMAIL_1]",
    "&lt;EMAIL_1&gt;",
    "<EMAIL1>",
    "<EMAIL_1/>",
    "</EMAIL_1>",
    "<EMAIL_\u0661>",
    "\uff1cEMAIL_1\uff1e",
    "<EMAIL\u200b_1>",
    "<>",
    "<",
]


@pytest.mark.parametrize("text", NOT_PLACEHOLDERS)
@pytest.mark.parametrize("json_text", [False, True])
def test_what_is_altered_or_invented_stays(text: str, json_text: bool) -> None:
    vault = known("a@x.com", "b@x.com")
    assert find(text, vault, 0, json_text) == []
    assert restored(f"x{text}y<EMAIL_2>", vault, json_text) == f"x{text}yb@x.com"


@pytest.mark.parametrize(
    ("text", "prose", "json_text"),
    [
        ("<<EMAIL_1>>", "<a@x.com>", "<a@x.com>"),
        ("<EMAIL_1><EMAIL_1>", "a@x.coma@x.com", "a@x.coma@x.com"),
        ("\\u003cEMAIL_1\\u003e", None, "a@x.com"),
        ("\\u003CEMAIL_1>", None, "a@x.com"),
        ("<EMAIL_1\\u003E", None, "a@x.com"),
        ("\\\\u003cEMAIL_1>", None, None),
        ("\\\\\\u003cEMAIL_1>", None, "\\\\a@x.com"),
        ("\\\\<EMAIL_1>", "\\\\a@x.com", "\\\\a@x.com"),
        ("\\U003cEMAIL_1>", None, None),
        ("\\u003dEMAIL_1>", None, None),
        ("<EMAIL_1\\\\u003e", None, None),
    ],
)
def test_brackets_may_be_escaped_in_json_text_only(
    text: str, prose: str | None, json_text: str | None
) -> None:
    vault = known("a@x.com")
    assert restored(text, vault) == (text if prose is None else prose)
    assert restored(text, vault, True) == (text if json_text is None else json_text)


def test_find_says_where_and_begins_where_it_is_told() -> None:
    vault = known("a@x.com", "b@x.com")
    text = "<EMAIL_1> or <EMAIL_2>"
    assert find(text, vault) == [Found(0, 9, "a@x.com"), Found(13, 22, "b@x.com")]
    assert find(text, vault, since=1) == [Found(13, 22, "b@x.com")]
    # What stands before is still looked at.
    assert find("\\\\u003cEMAIL_1>", vault, since=1, json_text=True) == []


def test_a_value_is_not_looked_into_again() -> None:
    vault = known("<EMAIL_2>", "b@x.com")
    assert restored("<EMAIL_1>", vault) == "<EMAIL_2>"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", ""),
        ("plain", ""),
        ("a <", "<"),
        ("a <E", "<E"),
        ("a <EMAIL_", "<EMAIL_"),
        ("a <EMAIL_1", "<EMAIL_1"),
        ("a <EMAIL_12", "<EMAIL_12"),
        ("a <EMAIL_13", ""),
        ("a <EMAIL_2", "<EMAIL_2"),
        ("a <EMAIL_3", "<EMAIL_3"),
        ("a <EMAIL_1>", ""),
        ("a <EMAIL_1 ", ""),
        ("a <b", ""),
        ("a <B", ""),
        ("a <P", "<P"),
        ("a <EMAIL_1<", "<"),
        ("<EMAIL" + " " * 80, ""),
        ("a \\", ""),
    ],
)
def test_no_more_is_held_than_may_become_a_placeholder(text: str, held: str) -> None:
    vault = known(*(f"v{number}" for number in range(12)))
    vault.placeholder("phone", "1")
    assert text[unfinished(text, vault) :] == held
    assert unfinished(text, Vault()) == len(text)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a \\", "\\"),
        ("a \\\\", ""),
        ("a \\\\\\", "\\"),
        ("a \\u", "\\u"),
        ("a \\\\u", ""),
        ("a \\u003", "\\u003"),
        ("a \\u003c", "\\u003c"),
        ("a \\u003C", "\\u003C"),
        ("a \\u003d", ""),
        ("a \\u004", ""),
        ("a \\n", ""),
        ("a \\u003cEMAIL_1\\u003", "\\u003cEMAIL_1\\u003"),
        ("a <EMAIL_1\\", "<EMAIL_1\\"),
        ("a <EMAIL_9\\", "\\"),
        ("a <EMAIL_\\u00", "\\u00"),
        ("a <EMAIL_1\\\\", ""),
        ("a \\\\u003cEMAIL_1", ""),
        ("a \\\\u003cEMAIL_1\\u0", "\\u0"),
        ("a <\\u003cEM", "\\u003cEM"),
        ("a <E", "<E"),
        ("a \\u003cX", ""),
    ],
)
def test_no_more_is_held_in_json_text(text: str, held: str) -> None:
    assert text[unfinished(text, known("a@x.com"), 0, True) :] == held


def test_nothing_is_held_that_was_passed_on() -> None:
    vault = known("a@x.com")
    assert unfinished("a <EM", vault, since=3) == 5
    assert unfinished("a <EM", vault, since=2) == 2
    assert unfinished("a \\u003cEM", vault, since=3, json_text=True) == 10
    assert unfinished("\\\\", vault, since=1, json_text=True) == 2
    assert unfinished("a\\u0", vault, since=2, json_text=True) == 4


# There and back.


@pytest.mark.parametrize(
    ("fragment", "value"),
    [
        ("plain", "plain"),
        ("a\\nb", "a\nb"),
        ("\\u00e9\\ud83d\\ude00", "é\U0001f600"),
        ('say \\"x\\"', 'say "x"'),
        ("cut\\", "cut\\"),
        ('a\\n","b', 'a\\n","b'),
        ("raw\nline\\t", "raw\nline\t"),
        ("\\ud800", "\ud800"),
    ],
)
def test_the_value_behind_a_fragment(fragment: str, value: str) -> None:
    assert value_of(fragment, True) == value
    assert value_of(fragment, False) == fragment


@pytest.mark.parametrize("value", ["\ud800", "x\udfffy", 'a"b\\c\n\t\x00\u2028é/\U0001f600'])
def test_a_value_is_written_as_json_that_can_be_sent(value: str) -> None:
    fragment = fragment_of(value, True)
    fragment.encode()
    assert json.loads(f'"{fragment}"') == value
    assert value_of(fragment, True) == value
    assert fragment_of(value, False) == value


def test_prose_and_json_text_share_a_placeholder() -> None:
    vault = Vault()
    key = "-----BEGIN-----\nabc\n-----END-----"
    fragment = json.dumps(key)[1:-1]
    assert vault.placeholder("key", value_of(key, False)) == vault.placeholder(
        "key", value_of(fragment, True)
    )
    assert restored("<KEY_1>", vault) == key
    assert restored('{"k": "<KEY_1>"}', vault, True) == f'{{"k": "{fragment}"}}'


words = st.text(alphabet='<>_AEMILX12\\u03cCeE "\n/é', max_size=12) | st.sampled_from(
    ["<EMAIL_1>", "<EMAIL_2>", "\\u003cEMAIL_1\\u003e", "<EMAIL_", "\\\\u003c", "<", "\\"]
)
values = st.text(alphabet='ab@."\\\n<>_é\U0001f600', min_size=1, max_size=8).map(lambda text: f"§{text}§")
planted = st.lists(st.tuples(words, st.sampled_from(["email", "key"]), values), max_size=6)
cuts = st.lists(st.integers(0, 400), max_size=8)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


@given(planted, words, cuts)
@example([("<EMAIL_1> ", "email", "§a§")], "<EMAIL_2>", [])
def test_prose_comes_back_as_it_was(parts: list[tuple[str, str, str]], last: str, cuts: list[int]) -> None:
    text = "".join(word + value for word, _, value in parts) + last
    vault = Vault()
    vault.avoid(text)
    masked = "".join(word + vault.placeholder(kind, value) for word, kind, value in parts) + last
    assert "§" not in masked
    assert restored(masked, vault) == text
    assert streamed(pieces_of(masked, cuts), vault, False) == text


@given(planted, words, cuts, st.booleans(), st.booleans())
def test_json_text_comes_back_as_it_was(
    parts: list[tuple[str, str, str]], last: str, cuts: list[int], ascii_only: bool, escaped: bool
) -> None:
    arguments = {f"{word}{value}": [word + value, {"n": 1}] for word, _, value in parts} | {"last": last}
    text = json.dumps(arguments, ensure_ascii=False)
    vault = Vault()
    vault.avoid(text)
    kinds = {value: kind for _, kind, value in parts}

    def mask(match: re.Match[str]) -> str:
        value = value_of(match[0], True)
        placeholder = vault.placeholder(kinds[value], value)
        return placeholder.replace("<", "\\u003c").replace(">", "\\u003E") if escaped else placeholder

    seen = text
    if ascii_only:
        seen = json.dumps(arguments).replace("\\u00a7", "§")
    masked = re.sub("§[^§]*§", mask, seen)
    assert "§" not in masked
    back = restored(masked, vault, True)
    assert json.loads(back) == arguments
    if not ascii_only:
        assert back == text
    assert streamed(pieces_of(masked, cuts), vault, True) == back


@pytest.mark.parametrize("json_text", [False, True])
def test_any_two_cuts_make_no_difference(json_text: bool) -> None:
    vault = known(*(SECRET + str(number) for number in range(12)))
    text = "a\\\\u003c<<EMAIL_12> \\n\\\\\\u003cEMAIL_1\\u003E<EMAIL_13>\\u003cEMAIL_2><EMAIL_"
    whole = restored(text, vault, json_text)
    assert whole != text
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            pieces = [text[:first], text[first:second], text[second:]]
            assert streamed(pieces, vault, json_text) == whole, pieces
    assert streamed(list(text), vault, json_text) == whole


def test_turns_of_a_conversation_look_the_same_to_the_provider() -> None:
    vaults = Vaults()
    history: list[str] = []
    sent: list[list[str]] = []

    def masked(text: str) -> str:
        give = vaults.of("hash", "s").placeholder
        return re.sub("§[^§]*§", lambda found: give("email", found[0]), text)

    for turn in range(4):
        vault = vaults.of("hash", "s")
        history.append(f"mail §a{turn}@x.com§ and §a0@x.com§")
        for text in history:
            vault.avoid(text)
        sent.append([masked(text) for text in history])
        # The client keeps what it was given: the answer with the values.
        history.append(restored(f"done: {sent[-1][-1]}", vault))
    for before, after in pairwise(sent):
        assert after[: len(before)] == before
    assert sent[3][-1] == "mail <EMAIL_4> and <EMAIL_1>"
    assert history[-1] == "done: mail §a3@x.com§ and §a0@x.com§"


# Many conversations.


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_conversations_do_not_mix() -> None:
    vaults = Vaults()
    places = [("h1", "a"), ("h1", "b"), ("h2", "a")]
    for token, session in places:
        assert vaults.of(token, session).placeholder("email", f"{token}{session}") == "<EMAIL_1>"
    for token, session in places:
        assert restored("<EMAIL_1>", vaults.of(token, session)) == f"{token}{session}"
    assert vaults.of("h1", "a") is vaults.of("h1", "a")


def test_without_a_session_nothing_is_kept() -> None:
    vaults = Vaults()
    vaults.of("h", "").placeholder("email", "a@x.com")
    assert not vaults.of("h", "").known
    assert len(vaults) == 0


def test_an_idle_conversation_is_forgotten_and_one_in_use_lives_on() -> None:
    clock = Clock()
    vaults = Vaults(clock)
    for session in ("kept", "idle"):
        vaults.of("h", session).placeholder("email", session)
    held = vaults.of("h", "idle")
    clock.now += IDLE - 1
    assert vaults.of("h", "kept").known
    clock.now += 1
    vaults.forget_idle()
    assert len(vaults) == 1
    assert vaults.of("h", "kept").known
    assert not vaults.of("h", "idle").known
    assert restored("<EMAIL_1>", held) == "idle"


def test_the_conversation_that_was_used_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MOST_CONVERSATIONS", 2)
    vaults = Vaults()
    for session in ("a", "b", "a", "c"):
        vaults.of("h", session).placeholder("email", session)
    assert len(vaults) == 2
    assert vaults.of("h", "a").known
    assert not vaults.of("h", "b").known


@pytest.mark.parametrize(
    "fill",
    [
        lambda vault: vault.placeholder("email", "x" * 5_000),
        lambda vault: vault.avoid("".join(f"<X_{number}>" for number in range(1, 16))),
    ],
)
def test_all_conversations_are_bounded_while_they_grow(
    monkeypatch: pytest.MonkeyPatch, fill: Callable[[Vault], None]
) -> None:
    monkeypatch.setattr(vault_module, "MOST_TOTAL_BYTES", 20_000)
    vaults = Vaults()
    held = [vaults.of("h", str(number)) for number in range(10)]
    for vault in held:
        fill(vault)
        assert sum(each.bytes for each in held[-len(vaults) :]) <= 20_000
    assert 1 <= len(vaults) <= 3
    assert vaults.of("h", "9") is held[9]
    # One that is out no longer counts.
    before = len(vaults)
    held[0].placeholder("email", "y" * 9_000)
    assert len(vaults) == before
    assert vaults.of("h", "0") is not held[0]
    held[0].placeholder("email", "y" * 50_000)
    assert vaults.of("h", "0") is not held[0]
    assert len(vaults) == before


def test_no_value_is_shown() -> None:
    vaults = Vaults()
    vault = vaults.of("h", "s")
    vault.placeholder("email", "hunter2")
    shown = [repr(vault), str(vault), repr(vaults), str(vaults), repr(find("<EMAIL_1>", vault))]
    assert "Found(start=0, end=9)" in shown[-1]
    assert repr(vaults._held).count("Vault(1 values)") == 1
    for text in (*shown, repr(vaults._held), str(VaultFull())):
        assert "hunter2" not in text


@pytest.mark.parametrize("bad", ["\\", "<", "\\u003c", "<A", "<EMAIL_1", "\\u003cEMAIL_1\\", "<" + "A" * 56])
@pytest.mark.parametrize("json_text", [False, True])
def test_hostile_text_is_left_as_it_is(bad: str, json_text: bool) -> None:
    vault = known("a@x.com")
    text = bad * 20_000
    assert restored(text, vault, json_text) == text
    assert len(text) - unfinished(text, vault, 0, json_text) < 80
    vault.avoid(text)
    assert vault.original("<EMAIL_1>") == "a@x.com"
