"""Which provider, URL and key a request goes to, as a list of attempts.

A key is bound to its host. The policy's global key goes to the global upstream (the policy's, else that of
the default provider, else the server's) and nowhere else; a provider entry's key goes to that entry's URL,
else to that provider's; a provider's own key goes to that provider. For intercepted traffic the host that
the client aimed at must be the provider's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tokenomics_core.config.base_url import InvalidBaseUrl, parse_base_url
from tokenomics_core.exchange import Attempt
from tokenomics_core.policy import CompiledPolicy, ResolvedPolicy
from tokenomics_core.policy.document import quoted
from tokenomics_core.providers import Catalogue, PathError, Provider, TargetError, target
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

    path: as the client sent it.
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
    left_out: list[str] | None = None,
) -> tuple[list[Attempt], frozenset[int]]:
    """The attempts in order, and the statuses after which the next one is made. Raises Refusal.

    fallback_paths: fallback model -> path of its request. A fallback that the policy forbids or that is not
    set up is left out, and so is one that would take an agent's own login to another host. A request that
    names no model has none.
    left_out: gets why each of the first two is not there.
    """
    first = _attempt(0, aim, route(policy, catalogue, defaults, aim))
    retry = first.policy.retry
    ways = [first]
    for model, path in fallback_paths.items() if retries and (aim.model or aim.modelled) else ():
        other = replace(aim, model=model, path=path, host="")
        try:
            way = _attempt(0, other, route(policy, catalogue, defaults, other))
        except Refusal as refusal:
            if left_out is not None:
                left_out.append(refusal.message)
            continue
        if policy.policy.credentials != "client" or way.target.origin == first.target.origin:
            ways.append(way)
    tries = 1 + (retry.max_retries if retries else 0)
    attempts = [replace(way, number=at * tries + n) for at, way in enumerate(ways) for n in range(tries)]
    return attempts, frozenset(retry.retry_on if len(attempts) > 1 else ())


def route(policy: CompiledPolicy, catalogue: Catalogue, defaults: Defaults, aim: Aim) -> Route:
    """The way of one model. Raises Refusal: 403 for what the policy forbids, 500 for what is not set up."""
    served = {provider.name for provider in catalogue.by_host(aim.host, aim.port, aim.scheme)}
    names = _names_at(policy, catalogue, served) if aim.host else [""]
    modelled = bool(aim.model) or aim.modelled
    entry: ResolvedPolicy | None = None
    if modelled:
        found = (policy.resolve(aim.model, name) for name in names)
        entry = next((each for each in found if each.provider_name), None)
    elif aim.host and names:
        entry = policy.resolve_provider(names[0])
    elif not aim.host and not _has_global_part(policy):
        entry = next(iter(policy.entries), None)
    if entry is not None:
        way = _entry_route(entry, catalogue)
    elif _has_global_part(policy):
        way = _global_route(policy.resolve_global(), catalogue, defaults)
    elif not aim.host and (problem := policy.resolve_global().check_model(aim.model)):
        raise Refusal(403, "model_not_allowed", problem)
    else:
        raise _refused(aim, names)
    if aim.host and not _serves(way, catalogue, served):
        raise _refused(aim, names)
    if modelled and (problem := way.policy.check_model(aim.model)):
        raise Refusal(403, "model_not_allowed", problem)
    return way


def routes(policy: CompiledPolicy, catalogue: Catalogue, defaults: Defaults) -> set[tuple[str, str]]:
    """Every (upstream URL, key variable) that the policy can lead to."""
    ways: list[Route] = []
    if _has_global_part(policy):
        ways.append(_global_route(policy.resolve_global(), catalogue, defaults))
    ways.extend(_entry_route(entry, catalogue) for entry in policy.entries)
    return {(way.upstream_url, way.key_env) for way in ways}


def _has_global_part(policy: CompiledPolicy) -> bool:
    """Whether the policy leads anywhere where none of its entries does."""
    top = policy.resolve_global()
    return bool(top.base_key_env or top.default_provider or not policy.entries)


def _names_at(policy: CompiledPolicy, catalogue: Catalogue, served: Collection[str]) -> list[str]:
    """The entries' providers that are at an intercepted host, or whose URL is; in the policy's order."""
    names: dict[str, None] = {}
    for entry in policy.entries:
        home = _provider_at(catalogue, _entry_url(entry, catalogue))
        if entry.provider_name.lower() in served or (home is not None and home.name in served):
            names[entry.provider_name] = None
    return list(names)


def _entry_url(entry: ResolvedPolicy, catalogue: Catalogue) -> str:
    provider = catalogue.get(entry.provider_name)
    if provider is not None and provider.upstream_url and (entry.url_from_global or not entry.upstream_url):
        return provider.upstream_url
    return entry.upstream_url


def _entry_route(entry: ResolvedPolicy, catalogue: Catalogue) -> Route:
    name = entry.provider_name
    url = _entry_url(entry, catalogue)
    if not url:
        raise Refusal(500, "not_configured", f"provider {quoted(name)} has no upstream_url")
    return Route(name.lower(), catalogue.get(name), url, entry.base_key_env, entry)


def _global_route(top: ResolvedPolicy, catalogue: Catalogue, defaults: Defaults) -> Route:
    name = top.default_provider.lower() or defaults.provider
    provider = catalogue.get(name) if name else None
    url = top.upstream_url or (provider.upstream_url if provider else "") or defaults.upstream_url
    home = _provider_at(catalogue, url)
    if top.default_provider and provider is None and home is not None and not top.upstream_url:
        raise Refusal(500, "not_configured", f"provider {quoted(name)} has no upstream_url")
    if home is not None and top.upstream_url and not top.default_provider:
        # Where the policy says where to, the server's default provider has no say in who that is.
        provider = home
    key_env = top.base_key_env
    if not key_env and top.default_provider and provider and _leads_to(provider, url, catalogue):
        key_env = provider.api_key_env
    provider = provider or home
    return Route(provider.name if provider else name, provider, url, key_env, top)


def _leads_to(provider: Provider, url: str, catalogue: Catalogue) -> bool:
    """Whether a URL is the provider's own, so that the provider's own key may go there."""
    return url == provider.upstream_url or provider in _providers_at(catalogue, url)


def _serves(way: Route, catalogue: Catalogue, served: Collection[str]) -> bool:
    home = _provider_at(catalogue, way.upstream_url)
    return any(each is not None and each.name in served for each in (way.provider, home))


def _refused(aim: Aim, names: Sequence[str]) -> Refusal:
    if names and names[0]:
        model, name = quoted(aim.model), quoted(names[0])
        return Refusal(403, "model_not_allowed", f"model {model} matches no entry of provider {name}")
    if not aim.host:
        problem = f"model {quoted(aim.model)} matches no provider of the policy"
        return Refusal(403, "model_not_allowed", problem)
    return Refusal(403, "host_not_allowed", f"this token's policy does not lead to {aim.host}")


def _provider_at(catalogue: Catalogue, url: str) -> Provider | None:
    """The provider that lives at a URL, where the catalogue knows one: of several, the one that says so in
    the most words."""
    found = _providers_at(catalogue, url)
    fitting = [each for each in found if (url + "/").startswith(each.upstream_url.rstrip("/") + "/")]
    return max(fitting, key=lambda each: len(each.upstream_url)) if fitting else next(iter(found), None)


def _providers_at(catalogue: Catalogue, url: str) -> list[Provider]:
    try:
        base = parse_base_url(url)
    except InvalidBaseUrl:
        return []
    return catalogue.by_host(base.host, base.port, base.scheme)


def _attempt(number: int, aim: Aim, way: Route) -> Attempt:
    provider = way.provider
    # A client that aims at the provider's own host speaks that provider's paths already.
    chat = not aim.host and aim.path.endswith(CHAT_PATH)
    chat_path = provider.chat_path if provider and chat else ""
    try:
        aimed = target(
            way.upstream_url,
            aim.path,
            chat_path=chat_path,
            model=aim.model,
            parameters=provider.parameters if provider else {},
            provider=way.provider_name,
        )
    except PathError as error:
        raise Refusal(400, "bad_request", str(error)) from None
    except TargetError as error:
        raise Refusal(500, "not_configured", f"invalid upstream URL: {error}") from None
    return Attempt(
        number=number,
        model=aim.model,
        provider=provider,
        provider_name=way.provider_name,
        policy=way.policy,
        target=aimed,
        key_env=way.key_env,
        timeout=float(way.policy.timeout or DEFAULT_TIMEOUT),
    )
