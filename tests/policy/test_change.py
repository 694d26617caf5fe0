from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.strategies import json_objects, json_values, policies
from tokenomics_core.policy import (
    Change,
    PolicyError,
    apply_patch,
    describe_change,
    is_complete,
    merge_patch,
    parse,
)


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        # RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7386(original: Any, patch: Any, result: Any) -> None:
    assert apply_patch(original, patch) == result


def without_null(value: Any) -> Any:
    """The value without null members of objects, which a patch cannot write."""
    if isinstance(value, dict):
        return {k: without_null(v) for k, v in value.items() if v is not None}
    return value


@given(json_values, json_values)
def test_a_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    before = deepcopy((target, patch))
    once = apply_patch(target, patch)
    assert apply_patch(once, patch) == once
    assert (target, patch) == before


@given(json_objects)
def test_the_empty_patch_changes_nothing(target: dict[str, Any]) -> None:
    assert json.loads(merge_patch(json.dumps(target), "{}")) == target


@given(json_objects)
def test_a_patch_onto_nothing_gives_the_patch(patch: dict[str, Any]) -> None:
    assert apply_patch({}, patch) == without_null(patch)


@given(json_objects, json_objects)
def test_every_member_of_the_patch_is_in_the_result(target: dict[str, Any], patch: dict[str, Any]) -> None:
    result = apply_patch(target, patch)
    for key in {**target, **patch}:
        if key not in patch:
            assert result[key] == target[key]
        elif patch[key] is None:
            assert key not in result
        else:
            assert result[key] == apply_patch(target.get(key), patch[key])
    kept = [key for key in target if key in result]
    assert list(result)[: len(kept)] == kept


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The patch that makes new out of old."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = difference(old[key], value)
        else:
            patch[key] = value
    return patch


@given(json_objects, json_objects.map(without_null))
def test_there_is_a_patch_from_any_policy_to_any_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert json.loads(merge_patch(json.dumps(old), json.dumps(difference(old, new)))) == new


def test_the_old_policy_keeps_its_order_and_its_unknown_fields() -> None:
    old = '{"base_key_env": "K", "added": [1.5, "ä"], "providers": {"z": [], "a": []}, "max_tokens": 5}'
    patch = '{"providers": {"m": [], "z": [{"base_key_env": "Z"}]}, "max_tokens": null, "timeout": 9}'
    assert merge_patch(old, patch) == (
        '{"base_key_env":"K","added":[1.5,"ä"],'
        '"providers":{"z":[{"base_key_env":"Z"}],"a":[],"m":[]},"timeout":9}'
    )


@pytest.mark.parametrize("bad", ["", "[]", "null", "x", '{"a":1,"a":2}'])
def test_only_objects_are_merged_and_compared(bad: str) -> None:
    for call in (
        lambda: merge_patch(bad, "{}"),
        lambda: merge_patch("{}", bad),
        lambda: describe_change("{}", bad),
        lambda: is_complete(bad),
    ):
        with pytest.raises(PolicyError, match=r"^invalid policy JSON: "):
            call()


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("{}", False),
        ('{"max_tokens":5}', False),
        ('{"base_key_env":""}', False),
        ('{"base_key_env":null,"providers":{}}', False),
        ('{"credentials":"wrapper"}', False),
        ('{"base_key_env":"K"}', True),
        ('{"providers":{"openai":[]}}', True),
        ('{"credentials":"client"}', True),
    ],
)
def test_what_is_a_policy_by_itself(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


@given(policies)
def test_what_parses_is_complete(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    parse(text)
    assert is_complete(text)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": None}, []),
        ({"max_tokens": 1}, {"max_tokens": 2}, [("$.max_tokens", "1", "2")]),
        ({"model": "a"}, {}, [("$.model", '"a"', None)]),
        ({}, {"model": "ä"}, [("$.model", None, '"ä"')]),
        ({"memory": {"enabled": True}}, {"memory": {"enabled": 1}}, [("$.memory.enabled", "true", "1")]),
        (
            {"rules": [{"pattern": "a", "action": "fail"}, {"pattern": "b"}]},
            {"rules": [{"pattern": "a", "action": "warn"}]},
            [("$.rules[0].action", '"fail"', '"warn"'), ("$.rules[1]", '{"pattern":"b"}', None)],
        ),
        ({"rules": ["a"]}, {"rules": {"a": 1}}, [("$.rules", '["a"]', '{"a":1}')]),
        (
            {"providers": {"a": [], "b": []}},
            {"providers": {"b": [], "c": [], "a": []}},
            [("$.providers.c", None, "[]"), ("$.providers", '["a","b"]', '["b","a"]')],
        ),
        (
            {"b": 1, "a": 1},
            {"a": 2, "c": 2, "b": 2},
            [("$.b", "1", "2"), ("$.a", "1", "2"), ("$.c", None, "2")],
        ),
    ],
)
def test_changes(old: Any, new: Any, changes: list[tuple[str, str | None, str | None]]) -> None:
    assert describe_change(json.dumps(old), json.dumps(new)) == [Change(*change) for change in changes]


@given(json_objects)
def test_no_change_is_described_of_the_same_policy(document: dict[str, Any]) -> None:
    assert describe_change(json.dumps(document), json.dumps(document, indent=2)) == []


@given(json_objects.map(without_null), json_objects.map(without_null))
def test_a_change_is_described_exactly_when_there_is_one(old: Any, new: Any) -> None:
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (describe_change(json.dumps(old), json.dumps(new)) == []) is same


@given(st.integers(1, 40))
def test_deep_documents_do_not_run_out_of_stack(depth: int) -> None:
    text = '{"a":' * depth + "1" + "}" * depth
    assert merge_patch(text, text) == text
    assert describe_change(text, text) == []
