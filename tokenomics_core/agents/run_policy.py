"""The policy of a token that is made for one run: the person's, or by which provider keys there are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tokenomics_core.policy import is_complete, merge_patch, parse
from tokenomics_core.policy.document import decode, encode
from tokenomics_core.providers import Catalogue

_MODELS = {
    "anthropic": "^claude",
    "openai": "^(gpt-|chatgpt-|codex|o[0-9]|computer-use|text-|dall-e|whisper|tts-|omni-|babbage|davinci)",
    "google_gemini": "^(models/)?(gemini|gemma|imagen|veo|embedding-)",
    "mistral": "^(mistral|ministral|magistral|codestral|devstral|pixtral|open-mi)",
    "deepseek": "^deepseek-",
    "xai": "^grok",
    "cohere": "^(command|embed-|rerank-)",
}
"""By provider, how the names of its models begin."""


class NoKey(Exception):
    """No provider key is there to make a policy of. The message says what to do."""


def run_policy(
    catalogue: Catalogue,
    keys: Mapping[str, str],
    provider: str,
    *,
    also: Sequence[str] = (),
    given: str = "",
    budget: Decimal | None = None,
    model: str = "",
    session: str = "",
    directory: str = "",
    own_login: bool = False,
) -> str:
    """The policy's text. Raises NoKey, and PolicyError for one that is not valid.

    keys: by provider, the variable that holds its key where the gateway runs. provider: the one that gets
    every model that is nobody else's; of the catalogue, or an alias; ``generic`` stands for any. also: those
    that will do in its place. given: a whole policy, or one that is laid over the default. budget: USD.
    model: the only one allowed. directory: where the run works.
    own_login: the agent's own login goes to the provider, and no key.
    """
    if given and is_complete(given):
        text = given
    else:
        text = encode(_by_keys(catalogue, keys, provider, also, own_login=own_login))
        text = merge_patch(text, given) if given else text
    document = decode(text)
    if model:
        document["model"] = model
    if budget is not None:
        limit = {"limit": f"{budget:f}", "unit": "usd", "period": "total", "name": "run"}
        document["budgets"] = [*(document.get("budgets") or []), limit]
    of_session = dict(document.get("session") or {})
    if session:
        of_session["id"] = session
    if directory and not of_session.get("directory"):
        of_session["directory"] = directory
    if of_session:
        document["session"] = of_session
    text = encode(document)
    parse(text)
    return text


def _by_keys(
    catalogue: Catalogue, keys: Mapping[str, str], provider: str, also: Sequence[str], *, own_login: bool
) -> dict[str, Any]:
    wanted = catalogue.get(provider)
    name = (wanted.alias_of or wanted.name) if wanted is not None else provider.lower()
    if own_login:
        return {"credentials": "client", "default_provider": name}
    if name not in keys:
        others = keys if provider.lower() == "generic" else [each for each in also if each in keys]
        if not others:
            raise NoKey(_remedy(catalogue, name))
        name = next(iter(others))
    entries = {
        other: [{"base_key_env": variable, "model_regex": pattern}]
        for other, variable in keys.items()
        if other != name and (pattern := _pattern(catalogue, other))
    }
    policy: dict[str, Any] = {"base_key_env": keys[name], "default_provider": name}
    return policy | ({"providers": entries} if entries else {})


def _pattern(catalogue: Catalogue, name: str) -> str:
    if name in _MODELS:
        return _MODELS[name]
    provider = catalogue.get(name)
    models = provider.models if provider is not None else []
    return f"^({'|'.join(map(re.escape, models))})$" if models else ""


def _remedy(catalogue: Catalogue, name: str) -> str:
    provider = catalogue.get(name)
    variable = (provider.api_key_env if provider is not None else "") or "OPENAI_API_KEY"
    return f"no key of {name} is set; export {variable}, or give --policy, or a --token"
