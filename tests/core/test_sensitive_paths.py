"""Paths that lead around the gateway, or hide the models they ask for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tokenomics_core.policy import CompiledPolicy, compile, parse
from tokenomics_core.refusal import Refusal
from tokenomics_core.sensitive_paths import check_path


def policy(**fields: Any) -> CompiledPolicy:
    return compile(parse(orjson.dumps({"base_key_env": "KEY", **fields}).decode()))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/realtime/client_secrets",
        "/v1/realtime/client_secrets/",
        "/v1/realtime/sessions",
        "/v1/realtime/transcription_sessions",
        "/v1/realtime/calls",
        "/v1/realtime/calls/rtc_1/accept",
        "/v1/Realtime/Client%5Fsecrets",
        "/openai/realtimeapi/sessions",
        "/v1alpha/auth_tokens",
        "/v1alpha/authTokens",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_credential_is_handed_out(method: str, path: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_path(method, path, policy(), known=True)
    assert (refused.value.status, refused.value.code) == (403, "path_not_allowed")


@pytest.mark.parametrize(
    "path", ["/v1/batches", "/v1/messages/batches", "/v1beta/models/gemini-2.5-flash:batchGenerateContent"]
)
@pytest.mark.parametrize(
    "limits",
    [
        {"model": "gpt-4o"},
        {"model_regex": "^gpt"},
        {"providers": {"openai": [{"base_key_env": "KEY", "model": "gpt-4o"}]}},
    ],
)
def test_a_batch_does_not_get_around_a_model_limit(path: str, limits: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        check_path("POST", path, policy(**limits), known=True)
    check_path("GET", path, policy(**limits), known=True)
    check_path("POST", path, policy(), known=True)


@pytest.mark.parametrize(
    "path", ["/v1/realtime", "/v1/chat/completions", "/v1/files", "/v1/sessions", "/v1/messages"]
)
def test_other_paths_pass(path: str) -> None:
    check_path("POST", path, policy(model="gpt-4o"), known=True)
