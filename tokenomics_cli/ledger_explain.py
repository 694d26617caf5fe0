"""tokenomics-cli ledger explain: all that is known of one request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenomics_cli.command import Invocation, JsonFlag, print_json
from tokenomics_cli.errors import CommandError
from tokenomics_cli.ledger_text import moment, span
from tokenomics_cli.usage_text import print_table

if TYPE_CHECKING:
    from tokenomics_core.ledger import Row

RequestArgument = Annotated[
    str, typer.Argument(metavar="REQUEST_ID", help="A request's id, or its beginning.")
]
_WIDTH = 12


def explain(invocation: Invocation, request: RequestArgument, as_json: JsonFlag = False) -> None:
    """Show one request: who, what was asked and who answered, tokens and price, limits, rules, time.

    A request's id is in the answer's X-Client-Request-Id, in the request log, and in ledger top.

    \b
    tokenomics-cli ledger explain req_5d0e
    """
    from tokenomics_core.ledger.query import find_rows

    found = find_rows(invocation.config.dir / "ledger.db", request.strip())
    if not found:
        raise CommandError(f"no request {request[:80]!r} is in the ledger; ledger top shows some")
    if len(found) > 1:
        raise CommandError(
            f"{len(found)} or more requests begin with {request[:80]}; give more of the id",
            *(f"{row.id}  {row.started_at:%Y-%m-%d %H:%M:%S}  {row.model}" for row in found[:5]),
        )
    [row] = found
    if as_json:
        print_json(_json(row))
    else:
        _print(row)


def _json(row: Row) -> dict[str, Any]:
    from tokenomics_core.ledger.export import as_json

    told: dict[str, Any] = json.loads(as_json(row))
    return told | {
        "classes": [
            {
                "class": name,
                "tokens": tokens,
                "usd_per_million": None if rate is None else f"{rate:f}",
                "cost_usd": None if usd is None else f"{usd:f}",
            }
            for name, tokens, rate, usd in _classes(row)
        ]
    }


def _print(row: Row) -> None:
    from tokenomics_core.ledger import timestamp

    _say("Request", row.id)
    _say("Kind", row.kind + (f", on the connection of {row.parent_id}" if row.parent_id else ""))
    _say("Started", moment(timestamp(row.started_at)) + " UTC")
    first = "" if row.first_byte_ms is None else f", first byte after {span(row.first_byte_ms)}"
    _say("Duration", span(row.duration_ms) + first)
    _say("Token", row.token_hash or "(not known)")
    _say("Session", row.session_id)
    _say("Run", row.run)
    _say("From", ", ".join(part for part in (row.remote_addr, row.user_agent) if part))
    for name, value in sorted(row.metadata.items()):
        _say(f"  {name}", value)

    _title("Route")
    _say("Client asked", f"{row.method} {row.path} ({row.ingress}, {row.dialect or 'unknown'})")
    _say("Model asked", row.requested_model + (", streamed" if row.stream else ""))
    _say("Model", row.model + (" (fallback)" if row.fallback_model else ""))
    _say("Answered as", row.actual_model)
    _say("Provider", row.provider)
    _say("Upstream", row.upstream_url)
    _say("Key", f"${row.base_key_env}" if row.base_key_env else "")
    _say("Provider id", ", ".join(part for part in (row.upstream_id, row.upstream_request_id) if part))
    for number, attempt in enumerate(row.attempts, 1):
        status = attempt.get("status") or "no answer"
        reason = f", {attempt['reason']}" if attempt.get("reason") else ""
        _say(
            f"  attempt {number}",
            f"{attempt.get('provider', '')}/{attempt.get('model', '')}: {status}{reason}",
        )

    _title("Outcome")
    _say("Status", f"{row.status or 'nothing sent'}" + _upstream(row))
    _say("Refused", row.refusal)
    _say("Error", row.error)
    _say("Finish", row.finish_reason)
    if row.recovered:
        _say("Recovered", "the gateway ended before the request did; tokens and cost are what was reserved")
    for match in row.rule_matches:
        named = f"{match['name']}: " if match.get("name") else ""
        _say(f"  {match.get('action', 'rule')}", f"{named}{match.get('message', '')}")

    _title("Tokens and cost")
    print_table(
        ("Class", "Tokens", "USD per 1M", "Cost"),
        [
            (
                name.replace("_", " "),
                f"{tokens:,}",
                "-" if rate is None else f"${rate.normalize():f}",
                "-" if usd is None else f"${usd:f}",
            )
            for name, tokens, rate, usd in _classes(row)
        ],
        text=1,
    )
    _say("Input", f"{row.input_tokens:,}" + (" (counted by Tokenomics, in part)" if row.estimated else ""))
    _say("Output", f"{row.output_tokens:,}")
    _say("Cost", "no price is known" if row.cost_usd is None else f"${row.cost_usd:f}")
    _say("Price", row.price_id)
    date = f", from {row.price_as_of}" if row.price_as_of else ""
    _say("Source", f"{row.price_source}{date}" if row.price_source else "")

    _title("Limits")
    money = "" if row.reserved_usd is None else f", ${row.reserved_usd:f}"
    _say("Reserved", f"{row.reserved_tokens:,} tokens{money} at most")
    left = (row.rate_limit_remaining_requests, row.rate_limit_remaining_tokens)
    if left != (None, None):
        told = [
            f"{number:,} {what}" for number, what in zip(left, ("requests", "tokens"), strict=True) if number
        ]
        _say(
            "Provider left",
            ", ".join(told) + (f", reset {row.rate_limit_reset}" if row.rate_limit_reset else ""),
        )

    if row.timings:
        _title("Time")
        for layer, milliseconds in row.timings.items():
            _say(layer, f"{milliseconds:g} ms")
    if row.commit_hash or row.branch or row.repo:
        _title("Git")
        _say("Repository", row.repo)
        _say("Branch", row.branch)
        _say("Commit", row.commit_hash + (" with changes" if row.dirty else ""))


def _classes(row: Row) -> Iterator[tuple[str, int, Decimal | None, Decimal | None]]:
    """Of each class of tokens: its name, how many, USD per million of them, USD. None: not known."""
    from tokenomics_core.ledger.focus import parts

    for name, tokens, usd in parts(row):
        known = row.cost_usd is not None
        rate = usd * 1_000_000 / tokens if known and name not in ("request", "total") and tokens else None
        yield name, tokens, rate, usd if known else None


def _upstream(row: Row) -> str:
    if row.upstream_status and row.upstream_status != row.status:
        return f", the provider said {row.upstream_status}"
    return "" if row.upstream_status else ", the provider was not asked or did not answer"


def _title(text: str) -> None:
    print(f"\n{text}")


def _say(name: str, value: str) -> None:
    if value:
        print(f"  {name + ':':<{_WIDTH + 2}} {value}")
