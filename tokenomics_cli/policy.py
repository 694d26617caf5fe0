"""tokenomics-cli policy: check, test, replay, detectors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli import completing
from tokenomics_cli.command import Invocation, JsonFlag, command, new_group, print_json
from tokenomics_cli.errors import CommandError

if TYPE_CHECKING:
    from tokenomics_core.guard.dry_run_steps import Setting

app = new_group("See what a policy says, and what it would do.")

PolicyArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="The policy's JSON file; - reads standard input.")
]
StrictFlag = Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are warnings.")]
PolicyFlag = Annotated[
    str, typer.Option("--policy", metavar="FILE", help="The policy's JSON file; - reads standard input.")
]
RequestFlag = Annotated[
    str,
    typer.Option(
        "--request",
        metavar="FILE",
        help="A request's JSON body, or an object of method, path, headers and body.",
    ),
]
PathFlag = Annotated[
    str,
    typer.Option(
        "--path", metavar="PATH", help="Where the request is sent; told by the body's shape without it."
    ),
]
MethodFlag = Annotated[str, typer.Option("--method", metavar="VERB", help="POST without it.")]
ResponseFlag = Annotated[
    str,
    typer.Option("--response", metavar="FILE", help="The JSON body of an answer, for the rules on output."),
]
OutFlag = Annotated[
    str,
    typer.Option("--out", metavar="FILE", help="Write the client's body with its masks to this file."),
]
HideFlag = Annotated[bool, typer.Option("--hide", help="Show no value that a rule matched.")]
KeysFlag = Annotated[bool, typer.Option("--keys", help="Also refuse what has no key in this environment.")]
SinceFlag = Annotated[
    str,
    typer.Option("--since", metavar="WHEN", help="24h, 7d, 2w, an RFC 3339 timestamp, or all."),
]
TokenFlag = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="HASH",
        help="Only this token: its hash, or its beginning.",
        autocompletion=completing.token_hashes,
    ),
]
LimitFlag = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Only the last N requests.")
]
AllFlag = Annotated[bool, typer.Option("--all", help="Also show the requests for which nothing changes.")]


@command(app, "check")
def check(
    invocation: Invocation, file: PolicyArgument, strict: StrictFlag = False, as_json: JsonFlag = False
) -> int:
    """Validate a policy, say what it says, and warn of what has no effect.

    Exits with 1 when the policy is not valid, and with --strict also when there are warnings.

    \b
    tokenomics-cli policy check policy.json
    """
    from tokenomics_cli.policy_explain import explain, print_policy
    from tokenomics_cli.policy_files import compiled_policy, read_policy
    from tokenomics_core.policy import PolicyError, parse, warnings
    from tokenomics_core.policy.shadowed import shadowed

    text = read_policy(file)
    try:
        policy = parse(text)
    except PolicyError as error:
        if not as_json:
            compiled_policy(text)
        print_json(_invalid(text, error))
        return 1
    found = [*warnings(text), *shadowed(policy)]
    told = explain(policy)
    if as_json:
        print_json({"valid": True, "error": None, "warnings": _warnings(found), **told})
    else:
        print("The policy is valid.")
        print()
        print_policy(told)
        print()
        print(f"Warnings:   {len(found) or 'none'}")
        for warning in found:
            print(f"  {warning.path}: {warning.message}")
    return 1 if strict and found else 0


@command(app, "test")
def try_out(
    invocation: Invocation,
    policy: PolicyFlag,
    request: RequestFlag,
    path: PathFlag = "",
    method: MethodFlag = "",
    response: ResponseFlag = "",
    out: OutFlag = "",
    hide: HideFlag = False,
    keys: KeysFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what would happen to a request: where it would go, what rules find in it, and what would be sent.

    Nothing is sent or counted; budgets are asked as if nothing of them was used.

    \b
    tokenomics-cli policy test --policy policy.json --request request.json
    """
    import asyncio

    from tokenomics_cli.policy_files import compiled_policy, read_answer, read_policy, read_request
    from tokenomics_cli.policy_test_text import print_run, run_json
    from tokenomics_core.guard.dry_run import dry_run

    if [policy, request, response].count("-") > 1:
        raise CommandError("standard input can be only one of the files; give the others by name")
    compiled = compiled_policy(read_policy(policy))
    asked = read_request(request, method, path)
    answer = read_answer(response) if response else None
    run = asyncio.run(dry_run(compiled, asked, _setting(invocation, keys), answer))
    if out:
        _write(out, run.masked)
    if as_json:
        print_json(run_json(run, hide=hide))
    else:
        print_run(run, hide=hide, out=out)


@command(app, "replay")
def replay(
    invocation: Invocation,
    policy: PolicyFlag,
    since: SinceFlag = "7d",
    token: TokenFlag = "",
    limit: LimitFlag = None,
    every: AllFlag = False,
    keys: KeysFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the recorded requests of the ledger through a policy, and show what would change.

    The ledger is only read, and may be in use. Content rules can only be run again, and masks shown, where
    the request's body was recorded, in memory/*.jsonl of the data directory; the summary says for how many it
    was not. Budgets and rate limits begin with nothing used; waiting, and requests at a time, are not
    replayed.

    \b
    tokenomics-cli policy replay --policy new.json --since 7d
    """
    import asyncio

    from tokenomics_cli.policy_files import compiled_policy, read_policy
    from tokenomics_cli.policy_replay_text import print_replay, replay_json
    from tokenomics_core.ledger.memory_folder import MemoryFolder
    from tokenomics_core.ledger.replay import recorded, replayed

    compiled = compiled_policy(read_policy(policy))
    ledger = invocation.config.dir / "ledger.db"
    if not ledger.is_file():
        raise CommandError(f"there is no ledger at {ledger}; name its folder with --dir")
    rows = recorded(ledger, since=_since(since, datetime.now(UTC)), token=token.strip().lower(), limit=limit)
    bodies = MemoryFolder(invocation.config.dir / "memory")
    done = asyncio.run(replayed(rows, compiled, _setting(invocation, keys), bodies))
    if as_json:
        print_json(replay_json(done, every=every))
    else:
        print_replay(done, every=every)


@command(app, "detectors")
def detectors(invocation: Invocation, as_json: JsonFlag = False) -> None:
    """List what a rule of type pii can name in detect, with an example of each."""
    from tokenomics_cli.policy_detectors import detector_rows, group_rows
    from tokenomics_cli.usage_text import print_table

    rows, groups = detector_rows(), group_rows()
    if as_json:
        print_json({"detectors": rows, "groups": groups})
        return
    titles = ("Name", "Label", "Kind", "Family", "Example")
    print_table(titles, [tuple(row[title.lower()] or "-" for title in titles) for row in rows], text=5)
    for group in groups:
        print(f"{group['name']}: {group['detectors']} of them")


def _invalid(text: str, error: Any) -> dict[str, Any]:
    """With what can be told of a policy that is not valid."""
    from tokenomics_core.policy import PolicyError, warnings

    try:
        found = warnings(text)
    except PolicyError:
        found = []
    problem = {"message": error.message, "path": error.path or None}
    return {"valid": False, "error": problem, "warnings": _warnings(found), "rules": []}


def _warnings(found: Any) -> list[dict[str, str]]:
    return [{"path": warning.path, "message": warning.message} for warning in found]


def _setting(invocation: Invocation, keys: bool) -> Setting:
    """What the gateway would have, by the configuration that is found. keys: they have to be set here."""
    import os
    from pathlib import Path

    from tokenomics_core.guard.dry_run_steps import Setting
    from tokenomics_core.meter.budget import Settings
    from tokenomics_core.meter.prices import Prices, assumed
    from tokenomics_core.meter.tokenizer import Tokenizer
    from tokenomics_core.providers import load_catalogue
    from tokenomics_core.routing import Defaults

    config = invocation.config
    tokenizer = Tokenizer()
    tokenizer.start()
    prices = Prices(config.pricing, config.pricing_table)
    prices.load()
    tokenizer.wait()
    return Setting(
        catalogue=load_catalogue(config, Path.cwd(), Path.home(), os.environ),
        defaults=Defaults(config.default_provider, config.server.upstream_url),
        prices=prices,
        tokenizer=tokenizer,
        now=datetime.now(UTC),
        settings=Settings(
            slice=config.budgets.slice,
            assumed=assumed(config.budgets.assumed_input, config.budgets.assumed_output),
        ),
        strict=config.session.strict,
        session_budget=config.session.default_budget_usd,
        environ=os.environ if keys else None,
    )


def _write(out: str, body: bytes | None) -> None:
    """Readable by its owner only: it is what somebody wrote to a model."""
    import os
    from pathlib import Path

    if body is None:
        raise CommandError("the request is refused, so there is no body for --out; run it without")
    descriptor = os.open(Path(out).expanduser(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(body)


def _since(text: str, now: datetime) -> datetime | None:
    """None for all."""
    import re
    from datetime import timedelta

    from tokenomics_core.duration import parse_duration
    from tokenomics_core.tokens.expiry import parse_timestamp

    if text == "all":
        return None
    if (at := parse_timestamp(text)) is not None:
        return at
    try:
        if found := re.fullmatch(r"([0-9]{1,6})([dw])", text):
            return now - timedelta(days=int(found[1]) * (7 if found[2] == "w" else 1))
        seconds = parse_duration(text)
        if seconds > 0:
            return now - timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        pass
    raise CommandError(
        f'invalid --since "{text[:40]}"; use 24h, 7d, 2w, a timestamp such as 2026-03-01T00:00:00Z, or all'
    )
