"""The environment of a run's command: the way to the gateway and its token, and no real key."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tokenomics_cli.command import Invocation
from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from tokenomics_core.agents.environment import AgentEnvironment
    from tokenomics_core.agents.profile import Profile, Via
    from tokenomics_core.providers import Catalogue


def agent_environment(
    invocation: Invocation,
    profile: Profile,
    catalogue: Catalogue,
    environ: Mapping[str, str],
    *,
    via: Via | None,
    url: str,
    ours: bool,
    token: str,
    provider: str,
    env_key: str,
    env_base_url: str,
    own_login: bool,
    insecure: bool,
) -> AgentEnvironment:
    """What the command gets. ours: the gateway's CA is that of the data directory. insecure: Node checks no
    certificate. Raises CommandError."""
    from tokenomics_core.agents import environment
    from tokenomics_core.certificates import ensure_agent_bundle

    ca = invocation.config.server.tls.cert_dir / "ca.crt"
    known = ours and ca.exists()
    try:
        found = environment.agent_environment(
            profile,
            via=via,
            gateway_url=url,
            token=token,
            ca=ca if known else None,
            bundle=ensure_agent_bundle(ca.parent, ca, environ) if known else None,
            environ=environ,
            catalogue=catalogue,
            provider=provider,
            base_url_env=env_base_url,
            key_env=env_key,
            own_login=own_login,
        )
    except environment.AgentError as error:
        raise CommandError(str(error)) from None
    unchecked = {"NODE_TLS_REJECT_UNAUTHORIZED": "0"} if insecure else {}
    return replace(found, variables={**found.variables, **unchecked})


def secrets(invocation: Invocation, catalogue: Catalogue, policy: str) -> set[str]:
    """The variables with which the command could go around the gateway: keys of providers, and its own."""
    from tokenomics_core.policy import parse
    from tokenomics_core.providers.keys import key_names

    security = invocation.config.security
    found = {name for names in key_names(catalogue).values() for name in names}
    found |= {security.hash_key_env, security.encryption_key_env}
    if policy:
        parsed = parse(policy)
        found |= {parsed.base_key_env}
        found |= {entry.base_key_env for entries in parsed.providers.values() for entry in entries}
    return found - {""}


def child_environ(
    agent: AgentEnvironment,
    environ: Mapping[str, str],
    url: str,
    token: str,
    without: Iterable[str],
) -> dict[str, str]:
    """The whole environment. A `run` inside of the run uses the same gateway and the same token."""
    from tokenomics_core.tokens import looks_like_token

    gone = {name for name in without if name in environ and not looks_like_token(environ[name])}
    kept = {name: value for name, value in environ.items() if name not in gone}
    own = {"TOKENOMICS_KEY": token, "TOKENOMICS_PROXY_URL": url}
    return {**agent.applied(kept), **own, **agent.variables}


def show(agent: AgentEnvironment, token: str, removed: Iterable[str]) -> None:
    """On standard error, without the token."""
    print("tokenomics run - injected environment:", file=sys.stderr)
    for name, value in sorted(agent.masked(token).items()):
        print(f"  {name}={value}", file=sys.stderr)
    for name in sorted({*agent.unset, *removed}):
        print(f"  {name} (removed)", file=sys.stderr)
