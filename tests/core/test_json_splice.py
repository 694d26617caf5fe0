"""Splices: the strings that are named are written anew, and nothing else."""

from __future__ import annotations

import copy
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.json_body import JsonBody
from tokenomics_core.json_splice import Edits, Path, distinct, replaced, splice

words = st.text('ab"\\/\n\x7fäß日😀', max_size=5)
numbers = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=15,
)
indents = st.none() | st.sampled_from([0, 1, "\t"])


def places(value: Any) -> list[tuple[Path, bool]]:
    """All that can be edited in a value."""
    found: list[tuple[Path, bool]] = []
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, dict):
            found += [((*path, name), True) for name in item]
            waiting += [((*path, name), below) for name, below in item.items()]
        elif isinstance(item, list):
            waiting += [((*path, index), below) for index, below in enumerate(item)]
        elif isinstance(item, str | int | float) and not isinstance(item, bool):
            found.append((path, False))
    return found


def expected(value: Any, edits: Edits, path: Path = ()) -> Any:
    """The value with the edits made, in the most obvious way."""
    if isinstance(value, dict):
        return {
            edits.get(((*path, name), True), name): expected(item, edits, (*path, name))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [expected(item, edits, (*path, index)) for index, item in enumerate(value)]
    return edits.get((path, False), value)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Any, dict[tuple[Path, bool], str]]:
    """A JSON text as somebody may spell it, what it says, and edits of it."""
    value = draw(values)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(indents))
    text = draw(st.sampled_from(["", " ", "\n\t"])) + text + draw(st.sampled_from(["", "\r\n"]))
    able = places(value)
    chosen = draw(st.lists(st.sampled_from(able), unique=True)) if able else []
    return text, value, distinct(value, {place: draw(words) for place in chosen})


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', re.DOTALL)


@given(cases())
def test_exactly_the_named_strings_change(case: tuple[str, Any, dict[tuple[Path, bool], str]]) -> None:
    text, value, edits = case
    out = splice(text.encode(), edits).decode()
    assert json.loads(out) == expected(value, edits)
    before, after = TOKEN.findall(text), TOKEN.findall(out)
    assert TOKEN.split(text) == TOKEN.split(out)
    assert sum(old != new for old, new in zip(before, after, strict=True)) <= len(edits)


@given(cases())
def test_the_parsed_value_changes_alike_and_the_old_one_stays(
    case: tuple[str, Any, dict[tuple[Path, bool], str]],
) -> None:
    _, value, edits = case
    before = copy.deepcopy(value)
    assert replaced(value, edits) == expected(value, edits)
    assert value == before


@given(cases())
def test_an_edit_by_its_own_value_changes_no_meaning(
    case: tuple[str, Any, dict[tuple[Path, bool], str]],
) -> None:
    text, value, _ = case
    own = {place: place[0][-1] for place in places(value) if place[1]}
    assert json.loads(splice(text.encode(), own)) == value


@given(cases(), st.lists(st.sampled_from(["a", "b", 0, 1, 7]), max_size=4).map(tuple), st.booleans())
def test_a_path_that_leads_nowhere(
    case: tuple[str, Any, dict[tuple[Path, bool], str]], path: Path, of_name: bool
) -> None:
    text, value, edits = case
    if (path, of_name) in places(value):
        assert splice(text.encode(), {(path, of_name): "x"})
        return
    for edit in (
        lambda: splice(text.encode(), {**edits, (path, of_name): "x"}),
        lambda: replaced(value, {**edits, (path, of_name): "x"}),
    ):
        with pytest.raises(KeyError):
            edit()


@pytest.mark.parametrize(
    ("raw", "edits", "out"),
    [
        ('"a"', {((), False): "b"}, '"b"'),
        (" 12 ", {((), False): "b"}, ' "b" '),
        ('{"a":1.50e1 ,"b":[ ]}', {(("a",), False): "x"}, '{"a":"x" ,"b":[ ]}'),
        ('{"a":"\\u00e4"}', {(("a",), False): "ö"}, '{"a":"\\u00f6"}'),
        ('{"a":"\\u00e4ä"}', {(("a",), False): "ö"}, '{"a":"ö"}'),
        ('{"a":"plain"}', {(("a",), False): 'ö"\n'}, '{"a":"ö\\"\\n"}'),
        ('{"a":"plain"}', {(("a",), False): "\ud800"}, '{"a":"\\ud800"}'),
        ('{"\\u0061":"x"}', {(("a",), False): "y"}, '{"\\u0061":"y"}'),
        ('{"\\u0061" :"x"}', {(("a",), True): "ä"}, '{"\\u00e4" :"x"}'),
        ('{"a":{"b":1},"c":2}', {(("a",), True): "z", (("a", "b"), False): "y"}, '{"z":{"b":"y"},"c":2}'),
        # All of a name's members, of whatever kind, for parsers take the first or the last.
        ('{"a":"x","a":"y"}', {(("a",), False): "z"}, '{"a":"z","a":"z"}'),
        ('{"a":[1],"a":"y"}', {(("a",), False): "z"}, '{"a":[1],"a":"z"}'),
        ('{"a":{"b":"x"},"a":{"b":"y"}}', {(("a", "b"), False): "z"}, '{"a":{"b":"z"},"a":{"b":"z"}}'),
        (
            '[[],{},"x",{"a":["y"]}]',
            {((2,), False): "1", ((3, "a", 0), False): "2"},
            '[[],{},"1",{"a":["2"]}]',
        ),
        ('{"a":"b\tc","d":"e"}', {(("d",), False): "f"}, '{"a":"b\tc","d":"f"}'),
        ('{"n":' + "9" * 5000 + ',"d":"e"}', {(("d",), False): "f"}, '{"n":' + "9" * 5000 + ',"d":"f"}'),
    ],
)
def test_by_the_byte(raw: str, edits: dict[tuple[Path, bool], str], out: str) -> None:
    assert splice(raw.encode(), edits).decode() == out


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ('{"a":null}', ("a",)),
        ('{"a":true}', ("a",)),
        ('{"a":{}}', ("a",)),
        ('{"a":[]}', ("a",)),
        ('{"a":"x"}', ("a", "b")),
        ('{"a":"x"}', ("a", 0)),
        ('{"a":["x"]}', ("a", "0")),
        ('{"a":["x"]}', ("a", -1)),
        ('{"0":"x"}', (0,)),
    ],
)
def test_what_cannot_be_edited(raw: str, path: Path) -> None:
    for of_name in (False, True):
        if of_name and len(path) == 1 and path[0] == "a":
            continue
        with pytest.raises(KeyError):
            splice(raw.encode(), {(path, of_name): "y"})
        with pytest.raises(KeyError):
            replaced(json.loads(raw), {(path, of_name): "y"})


@pytest.mark.parametrize("raw", ["", "{", '{"a"', '{"a":', '{"a":"x', '{"a":"x"', '[{"a":1', "[nothing]"])
def test_what_is_no_json(raw: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        splice(raw.encode(), {(("a",), False): "y"})


def test_emptied() -> None:
    raw = b'{"a": {"logprobs": {"content":[1]}, "b": "x"}, "c": {"logprobs": [ {"t":1} ]}}'
    out = splice(raw, {(("a", "b"), False): "y"}, [("a", "logprobs"), ("c", "logprobs")])
    assert out == b'{"a": {"logprobs": null, "b": "y"}, "c": {"logprobs": []}}'
    with pytest.raises(KeyError):
        splice(raw, {}, [("a", "nothing")])


def test_names_that_become_the_same() -> None:
    value = {"m": {"1": 0, "x": 1, "2": 2, "3": 3}}
    edits = distinct(value, {(("m", name), True): "x" for name in "123"})
    assert replaced(value, edits) == {"m": {"x_2": 0, "x": 1, "x_3": 2, "x_4": 3}}
    assert distinct(value, {(("m", "x"), True): "x"}) == {(("m", "x"), True): "x"}


@pytest.mark.parametrize("depth", [1, 255, 1000, 20_000])
def test_any_depth(depth: int) -> None:
    inner = b'{"a":[' * depth + b'"x"' + b"]}" * depth
    raw = b'{"side":' + inner + b',"way":' + inner + b"}"
    path: Path = ("way", *("a", 0) * depth)
    out = splice(raw, {(path, False): "y"})
    assert out == b'{"side":' + inner + b',"way":' + inner.replace(b"x", b"y") + b"}"
    value: Any = "x"
    for _ in range(depth):
        value = {"a": [value]}
    changed = replaced({"way": value}, {(path, False): "y"})
    for step in path:
        changed = changed[step]
    assert changed == "y"
    while isinstance(value, dict):
        # Taken apart here: the interpreter has no room for so deep a value to go at once.
        value = value["a"].pop()


def test_a_large_body_takes_little_time() -> None:
    tools = [
        {
            "name": f"tool_{number}",
            "description": "It does what it says. " * 90,
            "input_schema": {"properties": {f"p{n}": {"description": "what it is " * 9} for n in range(15)}},
        }
        for number in range(27)
    ]
    messages = [{"role": "user", "content": [{"type": "text", "text": f"number {n}"}]} for n in range(20)]
    raw = json.dumps({"tools": tools, "messages": messages}).encode()
    assert len(raw) > 100_000
    edits: Edits = {(("messages", n, "content", 0, "text"), False): "[REDACTED]" for n in range(5)}
    best = min(_seconds(raw, edits) for _ in range(30))
    assert best < 0.003


def _seconds(raw: bytes, edits: Edits) -> float:
    start = time.perf_counter()
    splice(raw, edits)
    return time.perf_counter() - start


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3), st.data())
def test_a_body_is_edited_like_its_value(members: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(members, ensure_ascii=data.draw(st.booleans()), indent=data.draw(indents))
    body = JsonBody(text.encode())
    if data.draw(st.booleans()):
        body.set("b", data.draw(values))
    if isinstance(body.value.get("a"), list):
        body.prepend("a", data.draw(st.lists(values, max_size=2)))
    if data.draw(st.booleans()):
        body.remove("c")
    twin, before = body.copy(), copy.deepcopy(body.value)
    rendered = body.render()
    for _ in range(2):
        able = [place for place in places(body.value) if not (place[1] and len(place[0]) == 1)]
        chosen = data.draw(st.lists(st.sampled_from(able), unique=True)) if able else []
        edits = distinct(body.value, {place: data.draw(words) for place in chosen})
        now = expected(body.value, edits)
        body.replace(edits)
        assert body.value == now
        assert json.loads(body.render()) == now
    assert (twin.value, twin.render()) == (before, rendered)


def test_a_body_keeps_every_other_byte() -> None:
    raw = b'{ "n": 1.50,\n "messages" : [ {"role":"user", "content":"a@b.co", "x":1e2} ], "z":[ ]}'
    body = JsonBody(raw)
    copied = body.copy()
    body.replace({(("messages", 0, "content"), False): "[R]"})
    assert body.render() == raw.replace(b"a@b.co", b"[R]")
    assert copied.render() == raw
    assert copied.value["messages"][0]["content"] == "a@b.co"
    body.prepend("messages", [{"role": "system", "content": "s"}])
    body.replace({(("messages", 0, "content"), False): "t", (("messages", 1, "content"), False): "u"})
    assert body.render() == raw.replace(b"[ {", b'[{"role":"system","content":"t"}, {').replace(
        b"a@b.co", b"u"
    )
    assert body.changed


@pytest.mark.parametrize(
    ("path", "of_name"),
    [((), False), (("a",), True), (("z",), False), (("z", 0), False), (("b", "c"), False), (("b", 3), False)],
)
def test_a_body_that_cannot_be_edited_there_stays(path: Path, of_name: bool) -> None:
    body = JsonBody(b'{"a":"x","b":["y"],"gone":1}')
    body.remove("gone")
    with pytest.raises(KeyError):
        body.replace({(("a",), False): "new", (path, of_name): "n"})
    assert body.render() == b'{"a":"x","b":["y"]}'
    with pytest.raises(KeyError):
        body.replace({(("gone",), False): "n"})
    assert body.value == {"a": "x", "b": ["y"]}
