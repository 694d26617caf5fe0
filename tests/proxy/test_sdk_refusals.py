"""A refusal of the proxy raises in each SDK what that provider's own refusal would raise."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.proxy.sdks import SDKS
from tests.support.clients import ClientRun
from tests.support.proxy import Proxy
from tests.support.ways import through

EXPECTED = {
    "unknown_token": ("AuthenticationError", 401),
    "deleted_token": ("AuthenticationError", 401),
    "other_model": ("PermissionDeniedError", 403),
}
WAYS = ["base", "tunnel"]


@pytest.fixture(scope="module", params=["openai", "azure", "anthropic", "genai"])
def refused(
    request: pytest.FixtureRequest, run_sdk: Callable[..., ClientRun], shared_proxy: Proxy
) -> tuple[str, ClientRun]:
    """One run of an SDK for every refusal and way, with and without a stream."""
    sdk = SDKS[request.param]
    deleted = shared_proxy.create_token(sdk.policy)
    assert shared_proxy.cli("token", "delete", "--hash", deleted["hash"]).returncode == 0
    keys = {
        "unknown_token": f"tkn_{uuid.uuid4()}",
        "deleted_token": deleted["token"],
        "other_model": shared_proxy.token({**sdk.policy, "model_regex": "^only-this$"}),
    }
    environs = {
        f"{reason} {way}": through(shared_proxy, way, key) for reason, key in keys.items() for way in WAYS
    }
    return request.param, run_sdk(sdk.script, environs, ["text", "stream", "async_text"])


@pytest.mark.parametrize("check", ["text", "stream", "async_text"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reason", EXPECTED)
def test_refusal(refused: tuple[str, ClientRun], reason: str, way: str, check: str) -> None:
    name, run = refused
    error = run.error(f"{reason} {way}", check)
    kind, status = EXPECTED[reason]
    assert (error["error"], error["status"]) == ("ClientError" if name == "genai" else kind, status)


def test_nothing_reached_the_provider(refused: tuple[str, Any]) -> None:
    assert refused[1].records == []
