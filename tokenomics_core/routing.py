"""Which provider, URL and key a request goes to, as a list of attempts.

A key is bound to its host. The policy's global key goes to the global upstream (the policy's, else that of
the default provider, else the server's) and nowhere else; a provider entry's key goes to that entry's URL,
else to that provider's. For intercepted traffic the host that the client aimed at must be the provider's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tokenomics_core.config.base_url import InvalidBaseUrl, parse_base_url
from tokenomics_core.exchange import Attempt
from tokenomics_core.policy import CompiledPolicy, ResolvedPolicy
from tokenomics_core.providers import Catalogue, Provider, TargetError, target
from tokenomics_core.refusal import Refusal

DEFAULT_TIMEOUT = 30.0
CHAT_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where the policy is silent."""

    provider: str
    upstream_url: str


@dataclass(frozen=True, slots=True)
class Aim:
    """What a request asks for.

    path: as the client sent it. paths: the same with each fallback model in it, where the model stands there.
    modelled: the path is one whose requests name a model, so that a missing model is judged like any other.
    host, port, scheme: the provider that an intercepted request was sent to; host is empty for a base URL.
    """

    path: str
    model: str
    modelled: bool
    host: str = ""
    port: int = 0
    scheme: str = "https"


@dataclass(frozen=True, slots=True)
class Route:
    """One resolved way: where to, with whose key, under which policy."""

    provider_name: str
    provider: Provider | None
    upstream_url: str
    key_env: str
    policy: ResolvedPolicy


def plan(
    policy: CompiledPolicy,
    catalogue: Catalogue,
    defaults: Defaults,
    aim: Aim,
    fallback_paths: Mapping[str, str],
    *,
    retries: bool = True,
) -> tuple[list[Attempt], frozenset[int]]:
    """The attempts in order, and the statuses after which the next one is made. Raises Refusal.

    fallback_paths: fallback model -> path of its request. A fallback that the policy forbids is left out.
    """
    first = route(policy, catalogue, defaults, aim)
    retry = first.policy.retry
    routes = [(aim.model, aim.path, first)]
    for model, path in fallback_paths.items() if retries else ():
        try:
            routes.append(
                (
                    model,
                    path,
                    route(policy, catalogue, defaults, replace(aim, model=model, path=path, host="")),
                )
            )
        except Refusal:
            continue
    tries = 1 + (retry.max_retries if retries else 0)
    attempts: list[Attempt] = []
    for model, path, way in routes:
        for _ in range(tries):
            # A client that aims at the provider's own host already speaks its path.
            attempts.append(_attempt(len(attempts), model, path, way, chat=not aim.host))
    if len(attempts) == 1:
        return attempts, frozenset()
    return attempts, frozenset(retry.retry_on)


def route(policy: CompiledPolicy, catalogue: Catalogue, defaults: Defaults, aim: Aim) -> Route:
    """The way of one model. Raises Refusal: 403 for what the policy forbids, 500 for what is not set up."""
    aimed = _aimed_names(policy, catalogue, aim)
    if aim.model or aim.modelled:
        resolved = next(
            (found for name in aimed if (found := policy.resolve(aim.model, name)).provider_name),
            policy.resolve(aim.model),
        )
        if aimed and resolved.provider_name not in aimed:
            raise Refusal(
                403, "model_not_allowed", f'model "{aim.model}" matches no entry of provider "{aimed[0]}"'
            )
        if problem := resolved.check_model(aim.model):
            raise Refusal(403, "model_not_allowed", problem)
    elif aimed:
        resolved = policy.resolve_provider(aimed[0])
    else:
        resolved = policy.resolve_global()
        if not resolved.base_key_env and not resolved.default_provider and policy.policy.providers:
            resolved = policy.resolve_provider(next(iter(policy.policy.providers)))
    way = _entry_route(resolved, catalogue) if resolved.provider_name else None
    way = way or _global_route(resolved, catalogue, defaults)
    if aim.host and not aimed:
        _check_host(way, catalogue, aim)
    return way


def routes(policy: CompiledPolicy, catalogue: Catalogue, defaults: Defaults) -> set[tuple[str, str]]:
    """Every (upstream URL, key variable) that the policy can lead to."""
    ways: list[Route] = []
    top = policy.resolve_global()
    if top.base_key_env or top.default_provider or not policy.policy.providers:
        ways.append(_global_route(top, catalogue, defaults))
    ways.extend(_entry_route(entry, catalogue) for entry in policy.entries)
    return {(way.upstream_url, way.key_env) for way in ways}


def _aimed_names(policy: CompiledPolicy, catalogue: Catalogue, aim: Aim) -> list[str]:
    """The providers of an intercepted host that the policy names, in the policy's order."""
    if not aim.host:
        return []
    served = {provider.name for provider in catalogue.by_host(aim.host, aim.port, aim.scheme)}
    return [name for name in policy.policy.providers if name.lower() in served]


def _entry_route(resolved: ResolvedPolicy, catalogue: Catalogue) -> Route:
    name = resolved.provider_name
    provider = catalogue.get(name)
    url = resolved.upstream_url
    if provider is not None and (resolved.url_from_global or not url):
        url = provider.upstream_url
    if not url:
        raise Refusal(500, "not_configured", f'provider "{name}" has no upstream_url')
    return Route(name.lower(), provider, url, resolved.base_key_env, resolved)


def _global_route(resolved: ResolvedPolicy, catalogue: Catalogue, defaults: Defaults) -> Route:
    name = resolved.default_provider or defaults.provider
    provider = catalogue.get(name) if name else None
    url = resolved.upstream_url or (provider.upstream_url if provider else "") or defaults.upstream_url
    # A key of the catalogue's is used where policy or configuration name its provider, never for a URL alone.
    key_env = resolved.base_key_env or (provider.api_key_env if provider else "")
    if provider is None:
        provider = _provider_at(catalogue, url)
    return Route(provider.name if provider else name.lower(), provider, url, key_env, resolved)


def _check_host(way: Route, catalogue: Catalogue, aim: Aim) -> None:
    served = catalogue.by_host(aim.host, aim.port, aim.scheme)
    if way.provider is not None and any(each.name == way.provider.name for each in served):
        return
    upstream = _provider_at(catalogue, way.upstream_url)
    if upstream is not None and any(each.name == upstream.name for each in served):
        return
    raise Refusal(403, "host_not_allowed", f"this token's policy does not lead to {aim.host}")


def _provider_at(catalogue: Catalogue, url: str) -> Provider | None:
    """The provider that lives at a URL, where the catalogue knows one."""
    try:
        base = parse_base_url(url)
    except InvalidBaseUrl:
        return None
    return next(iter(catalogue.by_host(base.host, base.port, base.scheme)), None)


def _attempt(number: int, model: str, path: str, way: Route, *, chat: bool) -> Attempt:
    provider = way.provider
    chat_path = provider.chat_path if provider and chat and path.endswith(CHAT_PATH) else ""
    try:
        aimed = target(
            way.upstream_url,
            path,
            chat_path=chat_path,
            model=model,
            parameters=provider.parameters if provider else {},
            provider=way.provider_name,
        )
    except TargetError as error:
        raise Refusal(500, "not_configured", f"invalid upstream URL: {error}") from None
    return Attempt(
        number=number,
        model=model,
        provider=provider,
        provider_name=way.provider_name,
        policy=way.policy,
        target=aimed,
        key_env=way.key_env,
        timeout=float(way.policy.timeout or DEFAULT_TIMEOUT),
    )
