"""What `run` does, in its order: the gateway, a token, the command, the line that says what it came to."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tokenomics_cli import run_environment, run_gateway
from tokenomics_cli.command import Invocation, warn
from tokenomics_cli.errors import CommandError
from tokenomics_cli.gateway_place import Place, place
from tokenomics_cli.policy_files import read_policy
from tokenomics_cli.run_child import located, run_child
from tokenomics_cli.run_gateway import Way
from tokenomics_cli.run_token import RunToken, known_token, make_token

if TYPE_CHECKING:
    from tokenomics_core.agents.profile import Profile, Via
    from tokenomics_core.providers import Catalogue

MOST_USD = Decimal(9_000_000)
_NEW_TOKEN = "tkn_00000000-0000-4000-8000-000000000000"
"""Stands for the token that a run would make."""


@dataclass(frozen=True)
class Asked:
    """What the flags of `run` say. words: the command and its own arguments."""

    words: tuple[str, ...]
    via: Via | None
    token: str
    proxy_url: str
    provider: str
    policy: str
    budget: str
    model: str
    session: str
    env_key: str
    env_base_url: str
    host: str
    port: int | None
    tls: bool | None
    own_login: bool
    insecure: bool
    keep: bool
    keep_keys: bool
    print_env: bool

    @property
    def way(self) -> Via | None:
        return "proxy" if self.own_login and self.via is None else self.via


class Plan:
    """What can be said before anything is started. Raises CommandError and ConfigError."""

    def __init__(self, invocation: Invocation, asked: Asked) -> None:
        from tokenomics_core.agents.profile import load_profiles
        from tokenomics_core.providers import load_catalogue

        self.invocation, self.asked = invocation, asked
        if not asked.words:
            raise CommandError("no command to execute; write it after run: tokenomics-cli run claude")
        if asked.token and any((asked.policy, asked.budget, asked.model, asked.session)):
            raise CommandError(
                "--policy, --budget, --model and --session shape the token that a run makes;"
                " leave them out, or unset TOKENOMICS_KEY and give no --token"
            )
        if bool(asked.env_key) != bool(asked.env_base_url):
            raise CommandError("--env-key and --env-base-url count only together; give both")
        self.budget = _budget(asked.budget)
        self.program = located(asked.words[0], os.environ)
        config, home = invocation.config, Path.home()
        self.catalogue: Catalogue = load_catalogue(config, Path.cwd(), home, os.environ)
        profiles = load_profiles(Path.cwd(), home, config.dir)
        self.profile: Profile = profiles.of_command(asked.words[0], config.cli_maps)
        self.place: Place = place(config, host=asked.host, port=asked.port, tls=asked.tls, alone=True)

    def policy(self) -> str:
        """The policy of this run's token; empty where a token is given. Raises CommandError."""
        from tokenomics_core.agents.run_policy import NoKey, run_policy
        from tokenomics_core.policy import PolicyError
        from tokenomics_core.providers.keys import key_names

        asked = self.asked
        if asked.token:
            return ""
        wanted = set(self.profile.key)
        also = [name for name, names in key_names(self.catalogue).items() if wanted & set(names)]
        try:
            return run_policy(
                self.catalogue,
                run_gateway.keys_for(self.invocation, self.catalogue, os.environ),
                asked.provider or self.profile.provider,
                also=also if not asked.provider else (),
                given=read_policy(asked.policy) if asked.policy.startswith("@") else asked.policy,
                budget=self.budget,
                model=asked.model,
                session=asked.session,
                directory=str(Path.cwd()),
                own_login=asked.own_login,
            )
        except NoKey as error:
            raise CommandError(str(error)) from None
        except PolicyError as error:
            where = [f"at {error.path}"] if error.path else []
            raise CommandError(f"invalid policy: {error}", *where) from None


def carry_out(invocation: Invocation, asked: Asked) -> int:
    """The command's exit code."""
    from tokenomics_cli.run_summary import summary
    from tokenomics_core.config import prepare_data_dir
    from tokenomics_core.ledger import LedgerError

    plan = Plan(invocation, asked)
    _end_tidily()
    prepare_data_dir(invocation.config)
    policy = plan.policy()
    began = datetime.now(UTC)
    with _gateway(plan) as way, _token(plan, policy, way) as token:
        code = _child(plan, policy, way, token)
        if way.ours:
            run_gateway.settled(way.url, token.hash)
    if not way.ours:
        print(f"tokenomics: the ledger is with the gateway at {way.url}", file=sys.stderr)
        return code
    try:
        told = summary(invocation.config.dir / "ledger.db", token.hash, began)
        print(f"tokenomics: {told}", file=sys.stderr)
    except LedgerError as error:
        warn(str(error))
    return code


def describe(invocation: Invocation, asked: Asked) -> int:
    """Says on standard output what `carry_out` would do. Nothing is started, made or written."""
    from tokenomics_cli import gateway_process

    plan = Plan(invocation, asked)
    policy = plan.policy()
    found = None if asked.proxy_url else gateway_process.find(invocation)
    url = asked.proxy_url or (found.url if found else plan.place.url)
    token = asked.token or _NEW_TOKEN
    agent = run_environment.agent_environment(
        invocation,
        plan.profile,
        plan.catalogue,
        os.environ,
        via=asked.way,
        url=url,
        ours=False,
        token=token,
        provider=asked.provider,
        env_key=asked.env_key,
        env_base_url=asked.env_base_url,
        own_login=asked.own_login,
        insecure=asked.insecure,
    )
    how = "given" if asked.proxy_url else "runs already" if found else "would be started"
    print(f"Gateway:  {url} ({how})")
    print(f"Agent:    {plan.profile.name}, by {asked.way or plan.profile.via}")
    print(f"Command:  {shlex.join([asked.words[0], *agent.arguments, *asked.words[1:]])}")
    print(f"Token:    {'given' if asked.token else 'made for this run, and deleted after it'}")
    if policy:
        print(f"Policy:   {policy}")
    print("Environment:")
    for name, value in agent.masked(token).items():
        print(f"  {name}={value}")
    for name in sorted({*agent.unset, *_removed(plan, policy, agent.variables)}):
        print(f"  {name} (removed)")
    for note in agent.notes:
        if "CA is not known" not in note:
            print(f"Note:     {note}")
    return 0


@contextmanager
def _gateway(plan: Plan) -> Iterator[Way]:
    asked = plan.asked
    if asked.proxy_url:
        way = run_gateway.named(plan.invocation, asked.proxy_url)
        if not way.ours and not asked.token:
            raise CommandError(
                f"the gateway at {way.url} keeps its own tokens; give one of them with --token"
            )
        yield way
        return
    with run_gateway.shared(plan.invocation, plan.place, keep=asked.keep) as way:
        yield way


@contextmanager
def _token(plan: Plan, policy: str, way: Way) -> Iterator[RunToken]:
    given = plan.asked.token
    if given:
        yield known_token(plan.invocation, given) if way.ours else RunToken(given)
        return
    shown = "".join(char if char.isprintable() else "?" for char in Path(plan.asked.words[0]).name)
    token = make_token(plan.invocation, policy, f"run: {shown}"[:200])
    try:
        yield token
    finally:
        token.end(plan.invocation)


def _child(plan: Plan, policy: str, way: Way, token: RunToken) -> int:
    asked, invocation = plan.asked, plan.invocation
    agent = run_environment.agent_environment(
        invocation,
        plan.profile,
        plan.catalogue,
        os.environ,
        via=asked.way,
        url=way.url,
        ours=way.ours,
        token=token.token,
        provider=asked.provider,
        env_key=asked.env_key,
        env_base_url=asked.env_base_url,
        own_login=asked.own_login,
        insecure=asked.insecure,
    )
    removed = _removed(plan, policy, agent.variables)
    if asked.print_env:
        run_environment.show(agent, token.token, removed)
    for note in agent.notes:
        print(f"tokenomics: {note}", file=sys.stderr)
    environ = run_environment.child_environ(agent, os.environ, way.url, token.token, removed)
    words = [asked.words[0], *agent.arguments, *asked.words[1:]]
    return run_child(words, plan.program, environ, lambda: token.extend(invocation))


def _removed(plan: Plan, policy: str, given: Container[str]) -> list[str]:
    """Real keys that the command would inherit. What it is given in their place stands in `given`."""
    from tokenomics_core.tokens import looks_like_token

    if plan.asked.keep_keys:
        return []
    return sorted(
        name
        for name in run_environment.secrets(plan.invocation, plan.catalogue, policy)
        if os.environ.get(name) and name not in given and not looks_like_token(os.environ[name])
    )


def _budget(text: str) -> Decimal | None:
    if not text:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and 0 < amount <= MOST_USD and -amount.as_tuple().exponent <= 9):  # type: ignore[operator]
        raise CommandError("--budget takes US dollars, such as 2.50")
    return amount


def _end_tidily() -> None:
    """A request to end leads through everything that cleans up, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), end)
