"""Which providers an environment holds a real key for, and under which name."""

from __future__ import annotations

from collections.abc import Mapping

from tokenomics_core.providers.catalogue import Catalogue
from tokenomics_core.tokens.format import looks_like_token

_ALSO = {"google_gemini": ("GEMINI_API_KEY",)}
"""Names that a provider's own SDK reads besides the one of the catalogue."""


def key_names(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """By provider, the variables that may hold its key, the first one first. Aliases are left out.

    Where an SDK reads X_API_KEY, X_PAT is the same key under a name that no SDK reads.
    """
    names: dict[str, tuple[str, ...]] = {}
    for provider in catalogue:
        if provider.alias_of or not provider.api_key_env:
            continue
        known = (provider.api_key_env, *_ALSO.get(provider.name, ()))
        hidden = tuple(name.removesuffix("_API_KEY") + "_PAT" for name in known if name.endswith("_API_KEY"))
        names[provider.name] = hidden + known
    return names


def keys_set(catalogue: Catalogue, environ: Mapping[str, str]) -> dict[str, str]:
    """By provider, the variable that holds a key in this environment. A wrapper token is no key."""
    found: dict[str, str] = {}
    for provider, names in key_names(catalogue).items():
        for name in names:
            value = environ.get(name, "").strip()
            if value and not looks_like_token(value):
                found[provider] = name
                break
    return found
