"""An upgrade of mitmproxy that takes away what the engine stands on is named at start, not found later."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from addons import engine

NEEDED = [(owner, name) for owner, names in engine._NEEDED for name in names.split()]


def take_away(patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """From a module, or from a class and all that it inherits from."""
    places = [owner] if isinstance(owner, ModuleType) else owner.__mro__
    for place in places:
        if name in vars(place):
            patch.delattr(place, name)
        if name in getattr(place, "__annotations__", {}):
            patch.delitem(place.__annotations__, name)


def test_this_mitmproxy_has_everything() -> None:
    engine.check()


@pytest.mark.parametrize(("owner", "name"), NEEDED, ids=[f"{o.__name__}.{name}" for o, name in NEEDED])
def test_missing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    with monkeypatch.context() as patch:
        take_away(patch, owner, name)
        with pytest.raises(engine.EngineError, match=rf"has no .*\.{name}; install the version"):
            engine.check()
    engine.check()


def test_missing_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced by halves."""
    before = engine.layers.HttpStream
    monkeypatch.delattr(engine.server.ConnectionHandler, "close_connection")
    with pytest.raises(engine.EngineError, match=r"ConnectionHandler\.close_connection"):
        engine.install(engine.Limits())
    assert engine.layers.HttpStream is before


def send_response(self: Any, already_streamed: bool = False, trailers: bool = False) -> None:
    """As an upgrade could make it."""


def test_other_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.layers.HttpStream, "send_response", send_response)
    with pytest.raises(engine.EngineError, match=r"send_response takes \['self', 'already_streamed', 'trail"):
        engine.check()


@pytest.mark.parametrize("user", [user for user, _ in engine._LOOKED_UP], ids=lambda user: user.__qualname__)
def test_no_longer_looked_up(monkeypatch: pytest.MonkeyPatch, user: Any) -> None:
    """A class of ours that nobody makes would leave the proxy open without a word."""
    monkeypatch.setattr(engine, "_LOOKED_UP", ((user, "SomethingElse"),))
    with pytest.raises(engine.EngineError, match="does not use SomethingElse; install the version"):
        engine.check()


def test_errors_say_nothing_of_mitmproxy() -> None:
    """Neither its name nor its words, which may quote what it could not parse."""
    page = engine.json_error(502, "Cannot parse HTTP response: b'sk-real'")
    assert page.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"content-type: application/json" in page
    assert b"sk-real" not in page
    assert b"mitmproxy" not in page.lower()
