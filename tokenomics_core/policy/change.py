"""Changing a stored policy: JSON merge patch (RFC 7386) on its text, and what a change changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenomics_core.policy.document import decode, encode, step


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. path is a JSON path; old and new are JSON text, None where there is nothing."""

    path: str
    old: str | None
    new: str | None


def is_complete(text: str) -> bool:
    """Whether the text is a policy by itself, with a key, a provider or the client's login, or only a patch.

    Raises PolicyError when it is no JSON object.
    """
    document = decode(text)
    return bool(
        document.get("base_key_env") or document.get("providers") or document.get("credentials") == "client"
    )


def merge_patch(old_text: str, patch_text: str) -> str:
    """The old policy with the patch applied, as compact JSON.

    Members of the patch replace those of the old policy, null removes, objects merge, arrays are replaced
    whole. Members keep their place, new ones come last: the order of providers has a meaning.
    The result is not validated. Raises PolicyError when either text is no JSON object.
    """
    return encode(apply_patch(decode(old_text), decode(patch_text)))


def apply_patch(target: Any, patch: Any) -> Any:
    """RFC 7386's MergePatch on parsed JSON. The arguments are left as they are."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply_patch(merged.get(key), value)
    return merged


def describe_change(old_text: str, new_text: str) -> list[Change]:
    """Every field that differs, in the order of the old policy, then what is new; null counts as absent.

    A changed order of providers is reported too, at ``$.providers``. Raises PolicyError when either is no
    JSON object.
    """
    old, new = decode(old_text), decode(new_text)
    return list(_differences("$", old, new)) + _reordered(old.get("providers"), new.get("providers"))


def _differences(path: str, old: Any, new: Any) -> list[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys: list[str | int] = list(dict.fromkeys([*old, *new]))
        return [c for key in keys for c in _differences(step(path, key), old.get(key), new.get(key))]
    if isinstance(old, list) and isinstance(new, list):
        changes: list[Change] = []
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            changes += _differences(step(path, index), before, after)
        return changes
    # As text: to Python, true equals 1.
    before_text, after_text = _text(old), _text(new)
    return [] if before_text == after_text else [Change(path, before_text, after_text)]


def _reordered(old: Any, new: Any) -> list[Change]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return []
    before = [name for name in old if name in new]
    after = [name for name in new if name in old]
    return [] if before == after else [Change("$.providers", encode(before), encode(after))]


def _text(value: Any) -> str | None:
    return None if value is None else encode(value)
