from __future__ import annotations

import ctypes

import pytest

from tokenomics_core.heap import settle_heap


def test_what_was_freed_is_given_back() -> None:
    give_back = settle_heap()
    kept = [bytes(40_000) for _ in range(2000)][::50]
    give_back()
    assert len(kept) == 40


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    settle_heap()()
