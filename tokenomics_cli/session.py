"""tokenomics-cli session: set-budget, get-budget, list, freeze, unfreeze, reset, stats."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli import completing
from tokenomics_cli.command import Invocation, JsonFlag, command, new_group, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.session_text import done, money, print_budget, print_stats, print_table

if TYPE_CHECKING:
    from tokenomics_core.counters.store import Counters
    from tokenomics_core.meter.dashboard import SessionView

app = new_group("Budgets and freezes of sessions.")

MOST_USD = Decimal(9_000_000)

IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The session, as X-Session-ID names it.", autocompletion=completing.sessions
    ),
]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="US dollars, such as 25.50.")]
TokenFlag = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="HASH",
        help="The session's token: at least 8 characters of its hash's beginning.",
        autocompletion=completing.token_hashes,
    ),
]
ReasonFlag = Annotated[str, typer.Option("--reason", metavar="TEXT", help="What the client is told.")]
ForFlag = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 90s, 30m or 24h.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
KeepFlag = Annotated[bool, typer.Option("--keep-budget", help="Forget the spending, and keep the budget.")]


@command(app, "set-budget")
def set_budget(
    invocation: Invocation,
    id: IdArgument,
    amount: AmountArgument,
    token: TokenFlag = "",
    as_json: JsonFlag = False,
) -> None:
    """Set what a session may spend, in place of what policy and configuration say.

    \b
    tokenomics-cli session set-budget nightly-run 25.50
    """
    from tokenomics_core.meter.dashboard import SPENT_WINDOW, spent_key
    from tokenomics_core.meter.lease import nano

    _check_id(id)
    dollars = _amount(amount)

    async def work(desk: _Desk) -> str:
        owner = desk.owner(id, token)
        limit = nano(dollars)
        await desk.counters.set_limit(owner, spent_key(id), limit, unit="usd", window=SPENT_WINDOW)
        return owner

    owner = _run(invocation, work)
    if as_json:
        print_json({"session_id": id, "token": owner, "budget": float(dollars)})
    else:
        done(f"Budget set for '{id}': {money(dollars, 2)}")


@command(app, "get-budget")
def get_budget(
    invocation: Invocation, id: IdArgument, token: TokenFlag = "", as_json: JsonFlag = False
) -> None:
    """Show what a session may spend and has spent."""

    async def work(desk: _Desk) -> SessionView:
        return desk.known(id, token)

    view = _run(invocation, work)
    if as_json:
        print_json(_budget_json(view))
    else:
        print_budget(view)


@command(app, "list")
def list_sessions(invocation: Invocation, as_json: JsonFlag = False) -> None:
    """List all sessions that have spent something, have a budget of their own, or are frozen."""

    async def work(desk: _Desk) -> list[SessionView]:
        return desk.views

    views = _run(invocation, work)
    if as_json:
        print_json([_budget_json(view) for view in views])
    elif not views:
        print("No active sessions found.")
    else:
        print_table(views)


@command(app, "freeze")
def freeze(
    invocation: Invocation,
    id: IdArgument,
    reason: ReasonFlag = "Manual freeze",
    duration: ForFlag = "1h",
    token: TokenFlag = "",
    as_json: JsonFlag = False,
) -> None:
    """Refuse a session's requests for a while. What is under way goes on.

    \b
    tokenomics-cli session freeze nightly-run --reason "looks wrong" --for 30m
    """
    from tokenomics_core.counters.question import Freeze
    from tokenomics_core.meter.dashboard import gate_key
    from tokenomics_core.tokens import format_timestamp

    _check_id(id)
    if not (reason.strip() and reason.isprintable() and len(reason) <= 200):
        raise CommandError("--reason is one line of at most 200 printable characters; retype it")
    milliseconds = _milliseconds(duration)

    async def work(desk: _Desk) -> Freeze:
        made = Freeze(desk.owner(id, token), gate_key(id), desk.now + milliseconds, reason)
        await desk.counters.freeze(made)
        return made

    made = _run(invocation, work)
    until = format_timestamp(datetime.fromtimestamp((made.until or 0) / 1000, UTC))
    if as_json:
        print_json({"session_id": id, "token": made.token, "reason": reason, "until": until})
    else:
        done(f"Session '{id}' frozen")
        print(f"  until {until}")


@command(app, "unfreeze")
def unfreeze(
    invocation: Invocation, id: IdArgument, token: TokenFlag = "", as_json: JsonFlag = False
) -> None:
    """End a freeze, and forget what led to it."""

    async def work(desk: _Desk) -> tuple[str, bool]:
        view = desk.known(id, token)
        return view.token, await desk.counters.thaw(view.token, view.gate)

    owner, was_frozen = _run(invocation, work)
    if as_json:
        print_json({"session_id": id, "token": owner, "was_frozen": was_frozen})
    else:
        done(f"Session '{id}' unfrozen" if was_frozen else f"Session '{id}' was not frozen")


@command(app, "reset")
def reset(
    invocation: Invocation,
    id: IdArgument,
    yes: YesFlag = False,
    keep_budget: KeepFlag = False,
    token: TokenFlag = "",
    as_json: JsonFlag = False,
) -> None:
    """Forget what a session spent, and the budget that was set for it. A freeze stays.

    \b
    tokenomics-cli session reset nightly-run --yes --keep-budget
    """
    from tokenomics_core.ledger.resets import record_reset
    from tokenomics_core.meter import dashboard

    if not yes and not _confirmed("Are you sure you want to reset this session?"):
        raise CommandError("nothing was reset; answer y, or give --yes")

    async def work(desk: _Desk) -> str:
        view = desk.known(id, token)
        if not view.id:
            raise CommandError("this is a token without a session; reset it with token update --reset-usage")
        await dashboard.reset(desk.counters, view.token, view.id, desk.now, keep_budget=keep_budget)
        ledger = invocation.config.dir / "ledger.db"
        await asyncio.to_thread(record_reset, ledger, view.token, view.id, datetime.now(UTC))
        return view.token

    owner = _run(invocation, work)
    if as_json:
        print_json({"session_id": id, "token": owner, "reset": True, "kept_budget": keep_budget})
    else:
        done(f"Session '{id}' reset successfully")


@command(app, "stats")
def stats(invocation: Invocation, id: IdArgument, token: TokenFlag = "", as_json: JsonFlag = False) -> None:
    """Show whether a session is frozen, and how busy it is.

    Requests are counted where anomalies are watched.
    """
    from tokenomics_core.meter.dashboard import session_json, with_requests

    async def work(desk: _Desk) -> SessionView:
        return await with_requests(desk.counters, desk.known(id, token), desk.now)

    view = _run(invocation, work)
    if as_json:
        told = session_json(view)
        print_json({name: value for name, value in told.items() if name not in _MONEY})
    else:
        print_stats(view)


_MONEY = ("budget", "spent", "remaining", "percentage_used")


class _Desk:
    """What a command works with: the counters, what they hold of sessions, and the tokens there are."""

    def __init__(self, counters: Counters, now: int, views: list[SessionView], tokens: list[str]) -> None:
        self.counters = counters
        self.now = now
        self.views = views
        self.tokens = tokens

    def known(self, name: str, token: str) -> SessionView:
        """The session of that name. Raises CommandError when there is none, or more than one."""
        found = [view for view in self.views if view.name == name]
        if token:
            owner = self._find(token)
            found = [view for view in found if view.token == owner]
        if not found:
            raise CommandError(f"Session '{name}' not found; session list shows those that are known")
        if len({view.token for view in found}) > 1:
            raise _several(name, [view.token for view in found])
        # The one that has this very id, before that of the requests without any.
        return next((view for view in found if view.id), found[0])

    def owner(self, id: str, token: str) -> str:
        """The token of a session that may not be known yet. Raises CommandError when it cannot be told."""
        if token:
            return self._find(token)
        owners = sorted({view.token for view in self.views if view.id == id})
        if len(owners) > 1:
            raise _several(id, owners)
        if not owners and len(self.tokens) != 1:
            if not self.tokens:
                raise CommandError("there is no token a session could belong to; make one with token create")
            raise CommandError(
                f"Session '{id}' is not known yet, and there are {len(self.tokens)} tokens;"
                " say with --token which one it belongs to"
            )
        return owners[0] if owners else self.tokens[0]

    def _find(self, given: str) -> str:
        wanted = given.strip().lower()
        if len(wanted) < 8:
            raise CommandError("--token needs at least 8 characters of the beginning of the hash")
        # A token that was deleted may have left sessions.
        found = {
            hash for hash in (*self.tokens, *(view.token for view in self.views)) if hash.startswith(wanted)
        }
        if len(found) > 1:
            raise CommandError(
                f"{len(found)} tokens begin with {wanted[:64]}; give more characters of the hash"
            )
        if not found:
            raise CommandError("no token has this hash; token list shows the hashes")
        return found.pop()


def _run[T](invocation: Invocation, work: Callable[[_Desk], Awaitable[T]]) -> T:
    """Opens the counters, reads what they hold of sessions, and does the work."""
    from tokenomics_core.config import prepare_data_dir
    from tokenomics_core.counters.opening import FILE, open_counters
    from tokenomics_core.meter.dashboard import budgets_of, read_sessions

    # A person who asks is told that Redis is away, and does not look at what one machine counted meanwhile.
    asked = invocation.config
    strict = asked.session.model_copy(update={"on_store_error": "refuse"})
    config = asked.model_copy(update={"session": strict})
    with invocation.existing_store() as store:
        records = store.list() if store else []
    counters = open_counters(config, f"cli-{os.getpid()}")
    now = int(datetime.now(UTC).timestamp() * 1000)

    async def run() -> T:
        if not records and strict.backend != "redis" and not (config.dir / FILE).exists():
            # Nothing is there, and to look makes nothing.
            return await work(_Desk(counters, now, [], []))
        prepare_data_dir(config)
        try:
            await counters.open()
            budget_of = budgets_of(records, config.session.default_budget_usd)
            views = await read_sessions(counters, now, budget_of)
            return await work(_Desk(counters, now, views, [record.hash for record in records]))
        finally:
            await counters.close()

    return asyncio.run(run())


def _check_id(id: str) -> None:
    from tokenomics_core.meter.session_id import problem

    if not id.strip():
        raise CommandError("the session id is empty; name a session")
    if why := problem(id):
        raise CommandError(f"the session id {why}; name it as X-Session-ID may name it")


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount <= MOST_USD):
        raise CommandError(f"AMOUNT is a number of US dollars from 0 to {MOST_USD}, such as 25.50")
    return amount


def _milliseconds(text: str) -> int:
    from tokenomics_core.duration import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise CommandError(f"--for: {error}") from None
    if not 0.001 <= seconds <= 10 * 365 * 24 * 3600:
        raise CommandError("--for is longer than zero and at most ten years; write it like 30m or 24h")
    return round(seconds * 1000)


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


def _several(name: str, tokens: list[str]) -> CommandError:
    shown = ", ".join(token[:16] for token in tokens[:8])
    return CommandError(f"{len(tokens)} tokens have a session '{name}' ({shown}); say which one with --token")


def _budget_json(view: SessionView) -> dict[str, Any]:
    from tokenomics_core.meter.dashboard import session_json

    told = session_json(view)
    return {name: told[name] for name in ("session_id", "token", *_MONEY, "is_frozen")}
