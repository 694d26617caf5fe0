"""JSON bodies: read strictly, edited without a touch on what nobody edits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.json_body import MAX_MEMBERS, InvalidJson, JsonBody

HUGE = 10**300 + 7

words = st.text('ab"\\/\n\x7fäß日😀', max_size=5)
numbers = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False) | st.just(HUGE)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["model", "messages", "stream", "x", "ключ", "", 'q"\\'])
objects = st.dictionaries(keys, values, max_size=5)
white = st.text(" \t\n\r", max_size=3)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A JSON object as somebody may spell it, and what it says."""
    members = draw(objects)
    parts = []
    for key, value in members.items():
        name = json.dumps(key, ensure_ascii=draw(st.booleans()))
        if draw(st.booleans()):
            name = '"' + "".join(f"\\u{ord(letter):04X}" for letter in key) + '"'
        spelt = json.dumps(
            value, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.sampled_from([0, 1, "\t"]))
        )
        parts.append(draw(white) + name + draw(white) + ":" + draw(white) + spelt + draw(white))
    inner = ",".join(parts) or draw(white)
    return draw(white) + "{" + inner + "}" + draw(white), members


edits = st.lists(
    st.tuples(st.just("set"), keys, values)
    | st.tuples(st.just("remove"), keys, st.none())
    | st.tuples(st.just("prepend"), keys, st.lists(values, max_size=2)),
    max_size=5,
)


def apply(body: JsonBody, expected: dict[str, Any], edit: tuple[str, str, Any]) -> None:
    """Makes the same edit to both."""
    what, key, value = edit
    if what == "set":
        body.set(key, value)
        expected[key] = value
    elif what == "remove":
        body.remove(key)
        expected.pop(key, None)
    elif isinstance(expected.get(key), list):
        body.prepend(key, value)
        expected[key] = [*value, *expected[key]]
    else:
        with pytest.raises(InvalidJson):
            body.prepend(key, value)


@given(texts())
def test_what_is_not_edited_stays_as_it_came(given_text: tuple[str, dict[str, Any]]) -> None:
    text, members = given_text
    body = JsonBody(text.encode())
    assert body.value == members
    assert not body.changed
    assert body.render() == text.encode()


@given(texts(), edits)
def test_edits_do_what_they_would_to_a_dict(
    given_text: tuple[str, dict[str, Any]], steps: list[tuple[str, str, Any]]
) -> None:
    text, members = given_text
    expected = json.loads(json.dumps(members))
    body = JsonBody(text.encode())
    for step in steps:
        apply(body, expected, step)
        assert body.value == expected
        assert json.loads(body.render()) == expected
    assert body.copy().value == expected
    assert body.copy().render() == body.render()
    if not body.changed:
        assert body.render() == text.encode()


@given(texts(), st.sampled_from(["model", "messages", "new"]), values)
def test_the_bytes_of_other_members_stay(
    given_text: tuple[str, dict[str, Any]], key: str, value: Any
) -> None:
    text, members = given_text
    body = JsonBody(text.encode())
    body.set(key, value)
    rendered = body.render().decode()
    head, tail = rendered, ""
    if key in members:
        # Only the value differs: what stands before and after it is the client's.
        spelt = JsonBody(text.encode())
        spelt.set(key, marker := "<here>")
        head, tail = spelt.render().decode().split(json.dumps(marker))
        assert text.startswith(head)
        assert text.endswith(tail)
        assert rendered.startswith(head)
        assert rendered.endswith(tail)
    else:
        before, brace, after = text.rpartition("}")
        assert rendered.startswith(before if members else before.rstrip())
        assert rendered.endswith(brace + after)


@given(st.binary(max_size=40) | st.text('{}[]":,\\u0aE+-.1 tfn', max_size=40).map(str.encode))
def test_nothing_but_invalid_json_is_raised(raw: bytes) -> None:
    try:
        value = JsonBody(raw).value
    except InvalidJson:
        return
    assert json.loads(raw) == value


PRETTY = b"""
{
  "model" : "gpt-4o",
  "temperature": 1.50,
  "seed": 123456789012345678901234567890,
  "messages": [ {"role": "user", "content": "h\\u0069"} ],
  "x": {"b": 1, "a": 1e2}
}
"""


@pytest.mark.parametrize(
    ("steps", "old", "new"),
    [
        ([("set", "model", "o3")], b'"gpt-4o"', b'"o3"'),
        ([("set", "model", "o3"), ("set", "model", "o4")], b'"gpt-4o"', b'"o4"'),
        ([("set", "x", {"c": None})], b'{"b": 1, "a": 1e2}', b'{"c":null}'),
        ([("set", "stream", True)], b"1e2}\n}", b'1e2}\n,"stream":true}'),
        ([("remove", "temperature", None)], b'\n  "temperature": 1.50,', b""),
        ([("remove", "model", None)], b'\n  "model" : "gpt-4o",', b""),
        ([("remove", "x", None)], b',\n  "x": {"b": 1, "a": 1e2}\n}', b"}"),
        ([("remove", "nothing", None)], b"", b""),
        ([("set", "new", None), ("remove", "new", None)], b"", b""),
        ([("prepend", "messages", [])], b"", b""),
        ([("prepend", "messages", [1, "ä"])], b"[ {", '[1,"ä", {'.encode()),
        ([("prepend", "messages", [1]), ("prepend", "messages", [2])], b"[ {", b"[2,1, {"),
        (
            [("set", "messages", [1]), ("prepend", "messages", [2])],
            b'[ {"role": "user", "content": "h\\u0069"} ]',
            b"[2,1]",
        ),
        (
            [("set", "messages", []), ("prepend", "messages", [2])],
            b'[ {"role": "user", "content": "h\\u0069"} ]',
            b"[2]",
        ),
    ],
)
def test_edits_by_the_byte(steps: list[tuple[str, str, Any]], old: bytes, new: bytes) -> None:
    body = JsonBody(PRETTY)
    for step in steps:
        apply(body, dict(body.value), step)
    assert body.changed == (old != new)
    assert body.render() == PRETTY.replace(old, new)
    assert JsonBody(body.render()).value == body.value


@pytest.mark.parametrize(
    ("raw", "key", "value", "expected"),
    [
        (b"{}", "a", 1, b'{"a":1}'),
        (b" { } ", "a", 1, b' {"a":1 } '),
        (b'{"a":[]}', "a", None, b'{"a":null}'),
        (b'{"mo\\u0064el":"x"}', "model", "y", b'{"mo\\u0064el":"y"}'),
        ('{"ключ":1}'.encode(), "ключ", "日", '{"ключ":"日"}'.encode()),
        (b'{"\\ud83d\\ude00":1}', "😀", 2, b'{"\\ud83d\\ude00":2}'),
        (b'{"a":1}', 'q"\n', "\u2028", '{"a":1,"q\\"\\n":"\u2028"}'.encode()),
        (b'{"a":1}', "a", 2**70, b'{"a":1180591620717411303424}'),
    ],
)
def test_set(raw: bytes, key: str, value: Any, expected: bytes) -> None:
    body = JsonBody(raw)
    body.set(key, value)
    assert body.render() == expected


@pytest.mark.parametrize("raw", [b'{"a":[]}', b'{"a":[ ]}', b'{"a" :\n[\n]}'])
def test_prepend_to_an_empty_array(raw: bytes) -> None:
    body = JsonBody(raw)
    body.prepend("a", [{"b": 1}])
    assert body.render() == raw.replace(b"[", b'[{"b":1}')


@pytest.mark.parametrize("raw", [b"{}", b'{"a":null}', b'{"a":{}}', b'{"a":"[]"}'])
def test_prepend_needs_an_array(raw: bytes) -> None:
    with pytest.raises(InvalidJson, match=r"^a is not an array$"):
        JsonBody(raw).prepend("a", [1])


def test_numbers_survive_where_their_neighbours_change() -> None:
    number = b"123456789012345678901234567890.000"
    raw = b'{"messages":[{"input":{"id":123456789012345678901234567890}}],"n":' + number + b"}"
    body = JsonBody(raw)
    body.set("messages", [*body.value["messages"], "x"])
    assert body.render() == raw.replace(b"}}],", b'}},"x"],')


@pytest.mark.parametrize(
    "value", [object(), "\ud800", {"a": {1, 2}}, [2**70, "\ud800"], [2**70, float("inf")]]
)
def test_what_json_cannot_say_is_not_set(value: Any) -> None:
    body = JsonBody(b'{"a":1}')
    with pytest.raises((TypeError, ValueError)):
        body.set("a", value)
    assert (body.value, body.render(), body.changed) == ({"a": 1}, b'{"a":1}', False)


def test_a_copy_is_independent() -> None:
    body = JsonBody(b'{"a":[1],"b":2}')
    body.set("b", 3)
    copy = body.copy()
    copy.prepend("a", [0])
    copy.value["a"].append(9)
    copy.remove("b")
    assert (body.value, body.render()) == ({"a": [1], "b": 3}, b'{"a":[1],"b":3}')
    assert copy.render() == b'{"a":[0,1]}'


@pytest.mark.parametrize("depth", [1, 255, 500, 1000])
def test_deep_values_can_be_carried_and_edited(depth: int) -> None:
    raw = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    body = JsonBody(raw)
    body.set("b", body.value["a"])
    assert body.render() == raw[:-1] + b',"b":' + raw[5:]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"{}"',
        b"{",
        b"{}}",
        b"{}{}",
        b"{} x",
        b"{,}",
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":"\x01"}',
        b'{"a":"\n"}',
        b'{"a":"\\x41"}',
        b'{"a":1}\x00',
        b'{"a":1} // why',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"{\xc2\xa0}",
        b"{\x0c}",
        b'{"a":' + b"[" * 1100 + b"]" * 1100 + b"}",
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object(raw: bytes) -> None:
    with pytest.raises(InvalidJson) as caught:
        JsonBody(raw)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"model":1,"model":1}', "the key 'model' stands twice"),
        (b'{"model":1,"x":0,"mo\\u0064el":2}', "the key 'model' stands twice"),
        # Go's parser matches names without regard to case, and folds the long s and the Kelvin sign too.
        (b'{"model":1,"Model":2}', "the key 'Model' stands twice"),
        ('{"messages":[],"meſſages":[]}'.encode(), "the key 'meſſages' stands twice"),
        (b'{"a\\n":1,"a\\u000a":2}', "the key 'a\\n' stands twice"),
        (b'{"messages":[{"content":"a","content":"b"}]}', "a key stands twice in one object"),
        (b'{"a":{"b":[{"c":1,"\\u0063":2}]}}', "a key stands twice in one object"),
    ],
)
def test_a_key_that_stands_twice(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidJson) as caught:
        JsonBody(raw)
    assert str(caught.value) == message


def test_keys_of_different_objects_and_cases_below_the_top() -> None:
    raw = b'{"a":[{"b":1},{"b":2}],"b":{"properties":{"id":1,"ID":2}}}'
    assert JsonBody(raw).value == {"a": [{"b": 1}, {"b": 2}], "b": {"properties": {"id": 1, "ID": 2}}}


def test_the_number_of_members_is_bounded() -> None:
    members = [b'"%d":0' % number for number in range(MAX_MEMBERS + 1)]
    assert len(JsonBody(b"{" + b",".join(members[1:]) + b"}").value) == MAX_MEMBERS
    with pytest.raises(InvalidJson, match=r"^more than 1000 members$"):
        JsonBody(b"{" + b",".join(members) + b"}")


def test_white_space_is_skipped_and_kept() -> None:
    raw = (b" " * 1_000_000).join([b"", b"{", b'"a"', b":", b"1", b"}", b""])
    body = JsonBody(raw)
    assert body.value == {"a": 1}
    body.set("a", 2)
    assert body.render() == raw.replace(b"1", b"2")
