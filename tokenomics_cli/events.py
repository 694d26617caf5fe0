"""tokenomics-cli events: list, retry, test."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, command, new_group, print_json, warn
from tokenomics_cli.errors import CommandError
from tokenomics_cli.token_text import counted
from tokenomics_cli.usage_text import moment, print_table

if TYPE_CHECKING:
    from tokenomics_core.events import Event
    from tokenomics_core.events.delivery import Result
    from tokenomics_core.events.outbox import Delivery, Outbox, State
    from tokenomics_core.events.receiver import Receiver

app = new_group("Events on their way to webhooks, and those that did not arrive.")

DeadFlag = Annotated[bool, typer.Option("--dead", help="Only deliveries that were given up.")]
DoneFlag = Annotated[bool, typer.Option("--done", help="Only the last deliveries that were made.")]
WebhookFlag = Annotated[
    int | None,
    typer.Option("--webhook", metavar="N", help="Only this one of events.webhooks, counted from 1."),
]
LimitFlag = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show the last so many.")]
IdArgument = Annotated[str, typer.Argument(metavar="[ID]", help="The event, such as evt_5b0e....")]
AllDeadFlag = Annotated[bool, typer.Option("--all-dead", help="All deliveries that were given up.")]


@command(app, "list")
def list_events(
    invocation: Invocation,
    dead: DeadFlag = False,
    done: DoneFlag = False,
    webhook: WebhookFlag = None,
    limit: LimitFlag = 100,
    as_json: JsonFlag = False,
) -> None:
    """Show the webhooks, what waits for each of them, and what was given up.

    \b
    tokenomics-cli events list --dead
    """
    known = _receivers(invocation)
    only = _only(known, webhook)
    states: tuple[State, ...] = ("pending", "dead")
    if dead or done:
        states = (*(("dead",) if dead else ()), *(("done",) if done else ()))
    with _existing(invocation) as outbox:
        queues = {each.webhook: each for each in outbox.queues()} if outbox else {}
        found = outbox.deliveries(states=states, webhook=only, most=limit) if outbox else []
    shown = [each for each in known if only in ("", each.key)]
    gone = [] if only else [key for key in queues if all(key != each.key for each in known)]
    numbers = {each.key: each.number for each in known}
    lines: list[dict[str, Any]] = [
        {
            "webhook": numbers.get(key),
            "url": url,
            "pending": queues[key].pending if key in queues else 0,
            "dead": queues[key].dead if key in queues else 0,
            "delivered": queues[key].delivered if key in queues else 0,
            "dropped": queues[key].dropped if key in queues else 0,
        }
        for key, url in [*((each.key, each.shown) for each in shown), *((k, queues[k].shown) for k in gone)]
    ]
    if as_json:
        print_json({"webhooks": lines, "deliveries": [_json(each, numbers) for each in found]})
        return
    if not lines:
        print("No webhooks are configured; events.webhooks in the config file names them.")
        return
    print_table(
        ("#", "Webhook", "Waiting", "Given up", "Delivered", "Dropped"),
        [
            (
                str(line["webhook"] or "-"),
                line["url"],
                *(f"{line[name]:,}" for name in ("pending", "dead", "delivered", "dropped")),
            )
            for line in lines
        ],
        text=2,
    )
    if found:
        print_table(
            ("#", "Event", "Type", "State", "Attempts", "When", "Why"),
            [_line(each, numbers) for each in found],
            text=7,
        )
    if len(found) == limit:
        print(f"The last {limit} are shown; --limit shows more.")


@command(app, "retry")
def retry(
    invocation: Invocation,
    id: IdArgument = "",
    all_dead: AllDeadFlag = False,
    webhook: WebhookFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Send events again that were given up. The gateway that runs does so within a second.

    \b
    tokenomics-cli events retry --all-dead --webhook 1
    """
    if bool(id) == all_dead:
        raise CommandError("say what is to be sent again, with either the event's ID or --all-dead")
    only = _only(_receivers(invocation), webhook)
    with _existing(invocation) as outbox:
        count = outbox.retry(int(time.time() * 1000), webhook=only, id=id) if outbox else 0
        there = bool(outbox and id and outbox.deliveries(states=("pending", "done", "dead"), id=id))
    if id and not count:
        if there:
            raise CommandError(f"event {id} waits already or has arrived; events list shows its state")
        raise CommandError(f"there is no event {id}; events list shows those that there are")
    if as_json:
        print_json({"retried": count})
    else:
        print(f"{counted(count, 'delivery', 'deliveries')} will be made again.")


@command(app, "test")
def send_test(invocation: Invocation, webhook: WebhookFlag = None, as_json: JsonFlag = False) -> int:
    """Send a test.event to each webhook now, once, whatever its filter is. Exits with 1 when one failed."""
    known = _receivers(invocation)
    only = _only(known, webhook)
    chosen = [each for each in known if only in ("", each.key)]
    if not chosen:
        raise CommandError("no webhooks are configured; events.webhooks in the config file names them")
    if not as_json:
        for each in chosen:
            if each.warning:
                warn(each.warning)
    results = asyncio.run(_send(chosen))
    failed = [result for result in results if result.outcome != "delivered"]
    if as_json:
        print_json([_told(each, result) for each, result in zip(chosen, results, strict=True)])
    else:
        for each, result in zip(chosen, results, strict=True):
            said = f"delivered, HTTP {result.status}" if not result.error else f"failed: {result.error}"
            print(f"{each.number}  {each.shown}  {said}, {result.seconds * 1000:.0f} ms")
    return 1 if failed else 0


def announce(invocation: Invocation, *events: Event) -> None:
    """Leaves events of the command line in the outbox. What was done stays done where that fails."""
    from tokenomics_core.events import OutboxError, leave

    try:
        leave(invocation.config.events.webhooks, invocation.config.dir, *events)
    except OutboxError as error:
        warn(f"webhooks are not told: {error}")


async def _send(chosen: list[Receiver]) -> list[Result]:
    from tokenomics_core.events.delivery import Sender
    from tokenomics_core.events.envelope import seal
    from tokenomics_core.events.types import test_event

    results = []
    for each in chosen:
        sender = Sender(each)
        try:
            results.append(await sender.send(seal(test_event(), time.time_ns(), os.urandom)))
        finally:
            await sender.close()
    return results


def _receivers(invocation: Invocation) -> tuple[Receiver, ...]:
    from tokenomics_core.events.receiver import receivers

    return receivers(invocation.config.events.webhooks)


def _only(known: tuple[Receiver, ...], webhook: int | None) -> str:
    """The key of the webhook of that number; empty for all."""
    if webhook is None:
        return ""
    found = next((each for each in known if each.number == webhook), None)
    if found is None:
        raise CommandError(f"there are {counted(len(known), 'webhook')}; events list shows their numbers")
    return found.key


@contextmanager
def _existing(invocation: Invocation) -> Iterator[Outbox | None]:
    """The outbox; None, and nothing is made, when there is none."""
    from tokenomics_core.events.database import FILE
    from tokenomics_core.events.outbox import Outbox

    path = invocation.config.dir / FILE
    if not path.exists():
        yield None
        return
    outbox = Outbox(path)
    try:
        yield outbox
    finally:
        outbox.close()


def _line(each: Delivery, numbers: dict[str, int]) -> tuple[str, ...]:
    waiting = each.state == "pending" and each.due
    states = {"pending": "waiting", "done": "delivered", "dead": "given up"}
    return (
        str(numbers.get(each.webhook, "-")),
        each.envelope.id,
        each.envelope.type,
        states[each.state],
        str(each.attempts),
        f"next {moment(each.due)}" if waiting else moment(each.changed),
        each.error,
    )


def _json(each: Delivery, numbers: dict[str, int]) -> dict[str, Any]:
    return {
        "webhook": numbers.get(each.webhook),
        "id": each.envelope.id,
        "type": each.envelope.type,
        "timestamp": each.envelope.timestamp,
        "state": each.state,
        "attempts": each.attempts,
        "next_at": _iso(each.due) if each.state == "pending" and each.due else None,
        "changed_at": _iso(each.changed),
        "last_status": each.status or None,
        "last_error": each.error or None,
    }


def _told(each: Receiver, result: Result) -> dict[str, Any]:
    return {
        "webhook": each.number,
        "url": each.shown,
        "delivered": result.outcome == "delivered",
        "status": result.status or None,
        "error": result.error or None,
        "milliseconds": round(result.seconds * 1000, 1),
    }


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
