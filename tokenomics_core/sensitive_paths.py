"""Paths that are not asked: what the policy does not know, and what would lead around the gateway."""

from __future__ import annotations

import re
from urllib.parse import unquote

from tokenomics_core.policy import CompiledPolicy
from tokenomics_core.refusal import Refusal

# OpenAI's and Azure's client secrets and WebRTC calls, and Gemini's auth tokens: with what they answer, an
# agent talks to the provider directly.
_AROUND = re.compile(
    r"/realtime(api)?/(client_secrets|sessions|transcription_sessions|calls)(/|$)|/auth_?tokens(/|$)"
)

# A batch names a model in each of its requests, or in a file that was uploaded before.
_BATCHES = re.compile(r"/batches$|:batchgeneratecontent$")


def check_path(method: str, path: str, policy: CompiledPolicy, *, known: bool) -> None:
    """Raises Refusal (403) for what may not be asked. known: whether the path's format is one we read."""
    if not known and policy.policy.unknown_paths == "deny":
        raise Refusal(403, "path_not_allowed", "this path is not one that the policy allows")
    plain = unquote(path).rstrip("/").lower()
    if _AROUND.search(plain):
        raise Refusal(
            403, "path_not_allowed", "this path hands out a credential that leads around the gateway"
        )
    if method == "POST" and _BATCHES.search(plain) and _restricts_models(policy):
        raise Refusal(
            403, "path_not_allowed", "a batch names its models where this token's policy cannot judge them"
        )


def _restricts_models(policy: CompiledPolicy) -> bool:
    everything = (policy.resolve_global(), *policy.entries)
    return any(part.model or part.model_pattern is not None for part in everything)
