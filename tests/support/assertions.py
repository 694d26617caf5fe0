"""What must hold of every request that reached the provider."""

from __future__ import annotations

from collections.abc import Iterable

from tests.fake_provider import Record


def assert_only_key(records: Iterable[Record], key: str) -> None:
    """Every request carried this key, once, and no wrapper token anywhere but in the id that is ours."""
    for record in records:
        assert record.key == key, f"{record.method} {record.path} came with another key"
        assert _mentions(record, key) == 1, f"{record.method} {record.path} carries the key more than once"
        assert_no_token([record])


def assert_no_token(records: Iterable[Record]) -> None:
    """Nothing looks like a token, but ``X-Client-Request-Id: tkn_<32 hex>``, which opens nothing."""
    for record in records:
        lines = [record.target, *record.frames, record.body.decode(errors="replace")]
        lines += [value for name, value in record.headers if name.lower() not in _REQUEST_IDS]
        assert not [line for line in lines if "tkn_" in line], (
            f"{record.method} {record.path} carries a token"
        )


_REQUEST_IDS = frozenset({"x-client-request-id", "x-ms-client-request-id"})


def _mentions(record: Record, text: str) -> int:
    lines = [record.target, *(value for _, value in record.headers), *record.frames]
    return sum(line.count(text) for line in lines) + record.body.count(text.encode())
