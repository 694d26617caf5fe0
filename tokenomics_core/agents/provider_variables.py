"""Which variables the clients of a provider read, after the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tokenomics_core.providers import Catalogue, Provider

# Their clients expect a base URL that ends in /v1.
_WITH_V1 = frozenset(
    "openai generic groq together fireworks perplexity deepseek xai openrouter vllm litellm".split()
)

# Google's own SDKs and the Gemini CLI read another variable than the catalogue names.
_ALSO = {"GEMINI_BASE_URL": "GOOGLE_GEMINI_BASE_URL"}


@dataclass(slots=True)
class ProviderVariables:
    """base_urls: variable -> value. keys: variables for the token. known: the catalogue has the provider."""

    base_urls: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    known: bool = True


def provider_variables(catalogue: Catalogue, name: str, url: str) -> ProviderVariables:
    """The variables of one provider, or of ``all``; the first in the order of names has a variable.

    A name that the catalogue does not have gives the variables of ``openai``.
    url: the gateway's, without a path.
    """
    found = ProviderVariables()
    if name.lower() == "all":
        providers = list(catalogue)
    else:
        one = catalogue.get(name)
        found.known = one is not None
        providers = [one] if one else []
    for provider in providers:
        base, key = _names(provider)
        suffix = "/v1" if provider.name in _WITH_V1 else ""
        for variable in (base, _ALSO.get(base)):
            if variable:
                found.base_urls.setdefault(variable, url + suffix)
        if key not in found.keys:
            found.keys.append(key)
    if not found.known:
        found.base_urls, found.keys = {"OPENAI_BASE_URL": url + "/v1"}, ["OPENAI_API_KEY"]
    return found


def _names(provider: Provider) -> tuple[str, str]:
    stem = re.sub(r"[^A-Z0-9]", "_", provider.name.upper())
    return provider.base_url_env or f"{stem}_BASE_URL", provider.api_key_env or f"{stem}_API_KEY"
