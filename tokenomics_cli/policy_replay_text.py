"""What a replay found, as plain data for programs and as a table for people."""

from __future__ import annotations

from collections import Counter
from decimal import Context, Decimal, Inexact
from typing import TYPE_CHECKING, Any

from tokenomics_cli.policy_explain import one_line
from tokenomics_cli.token_text import counted
from tokenomics_cli.usage_text import amount, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenomics_core.ledger.replay import Outcome, Replay, Replayed

_EXACT = Context(prec=80, traps=[Inexact])


def replay_json(replay: Replay, *, every: bool) -> dict[str, Any]:
    """every: also the rows for which nothing changes."""
    return {
        "summary": summary(replay),
        "exceeded": [
            {
                "token": each.token,
                "limit": each.key,
                "message": each.message,
                "from": {"id": each.first.id, "time": _time(each.first.started_at)},
                "requests": each.requests,
            }
            for each in replay.exceeded.values()
        ],
        "rows": [_row_json(one) for one in _shown(replay, every)],
    }


def summary(replay: Replay) -> dict[str, Any]:
    rows = replay.rows
    changed = Counter(change for one in rows for change in one.changes)
    verdicts = Counter(one.new.verdict for one in rows if "verdict" in one.changes)
    return {
        "requests": len(rows),
        "without_body": sum(not one.body for one in rows),
        "changed": sum(bool(one.changes) for one in rows),
        "verdicts_changed": changed["verdict"],
        "models_changed": changed["model"],
        "costs_changed": changed["cost"],
        "rules_changed": changed["rules"],
        "refused_before": sum(bool(one.old.refusal) for one in rows),
        "refused_now": sum(one.new.verdict == "refused" for one in rows),
        "newly_refused": dict(
            sorted(
                Counter(
                    one.new.refusal for one in rows if one.new.verdict == "refused" and not one.old.refusal
                ).items()
            )
        ),
        "newly_sent": verdicts["sent"],
        "cut": verdicts["cut"],
        "failed": verdicts["failed"],
        "unknown": verdicts["unknown"],
        "cost_before_usd": f"{_sum(one.old for one in rows):f}",
        "cost_now_usd": f"{_sum(one.new for one in rows):f}",
        "cost_unknown_before": _unknown(one.old for one in rows),
        "cost_unknown_now": _unknown(one.new for one in rows),
        "tokens_before": sum(one.old.input_tokens + one.old.output_tokens for one in rows),
        "tokens_now": sum(
            one.new.input_tokens + one.new.output_tokens for one in rows if one.new.verdict != "refused"
        ),
    }


def print_replay(replay: Replay, *, every: bool) -> None:
    shown = _shown(replay, every)
    if shown:
        print_table(
            ("Time", "Request", "Model", "Was", "Would be", "Rules", "Cost", "New cost"),
            [
                (
                    _time(one.row.started_at),
                    one.row.id[:12],
                    _model(one),
                    _status(one.old),
                    _would_be(one),
                    _rules(one),
                    _dollars(one.old.cost_usd),
                    _dollars(one.new.cost_usd),
                )
                for one in shown
            ],
            text=6,
        )
    told = summary(replay)
    print(f"{counted(told['requests'], 'request')}, {told['changed']} would change.")
    _reasons(replay)
    for name, words in (
        ("newly_sent", "refused before, would be sent"),
        ("cut", "would end before their end"),
        ("failed", "would have no model left that answered"),
        ("unknown", "nobody can say: what came back is not in the ledger"),
    ):
        if told[name]:
            print(f"  {told[name]} {words}")
    for each in replay.exceeded.values():
        who = f"token {each.token[:8]}" if each.token else "no token"
        when = _time(each.first.started_at)
        print(
            f"Limit {each.key} of {who}: refuses {counted(each.requests, 'request')}, the first at {when}"
            f" ({each.first.id})."
        )
    print(f"Cost: {_total(told, 'before')} before, {_total(told, 'now')} now.")
    if told["without_body"]:
        print(
            f"{counted(told['without_body'], 'request')} without a recorded body: content rules were not run"
            " on them."
        )


def _shown(replay: Replay, every: bool) -> Sequence[Replayed]:
    return [one for one in replay.rows if every or one.changes]


def _reasons(replay: Replay) -> None:
    reasons = Counter(
        (one.new.status, one.new.refusal)
        for one in replay.rows
        if one.new.verdict == "refused" and "verdict" in one.changes
    )
    for (status, code), number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {number} would be refused: {status} {code}")


def _row_json(one: Replayed) -> dict[str, Any]:
    return {
        "id": one.row.id,
        "time": _time(one.row.started_at),
        "token": one.row.token_hash or None,
        "requested_model": one.row.requested_model or None,
        "changes": list(one.changes),
        "old": _outcome_json(one.old),
        "new": {"verdict": one.new.verdict, **_outcome_json(one.new)},
        "body": one.body,
        "rules": {"added": list(one.added), "gone": list(one.gone)} if one.body else None,
    }


def _outcome_json(said: Outcome) -> dict[str, Any]:
    return {
        "status": said.status or None,
        "refusal": said.refusal or None,
        "message": said.message or None,
        "provider": said.provider or None,
        "model": said.model or None,
        "input_tokens": said.input_tokens,
        "output_tokens": said.output_tokens,
        "cost_usd": None if said.cost_usd is None else f"{said.cost_usd:f}",
    }


def _model(one: Replayed) -> str:
    old, new = one.old, one.new
    if (old.provider, old.model) == (new.provider, new.model) or not old.provider:
        return new.model or "-"
    before, after = (f"{each.provider}/{each.model}" for each in (old, new))
    return f"{before} -> {after}"


def _status(said: Outcome) -> str:
    return f"{said.status or '-'} {said.refusal}".strip()


def _would_be(one: Replayed) -> str:
    new = one.new
    if new.verdict == "refused":
        return f"{new.status} {new.refusal}: {one_line(new.message)}" if "verdict" in one.changes else "same"
    if new.verdict == "cut":
        return f"cut after {counted(new.output_tokens, 'token')} of {one.old.output_tokens:,}"
    if new.verdict == "failed":
        return f"{new.status}, no model left"
    return "same" if new.verdict == "as before" else new.verdict


def _rules(one: Replayed) -> str:
    if not one.body:
        return "no body"
    said = [f"+{each['action']}" for each in one.added] + [f"-{each['action']}" for each in one.gone]
    return " ".join(said) or "-"


def _total(told: dict[str, Any], when: str) -> str:
    unknown = told[f"cost_unknown_{when}"]
    known = _dollars(Decimal(told[f"cost_{when}_usd"]))
    return known + (f" and {counted(unknown, 'unknown one')}" if unknown else "")


def _sum(outcomes: Iterable[Outcome]) -> Decimal:
    total = Decimal(0)
    for each in outcomes:
        total = _EXACT.add(total, each.cost_usd or Decimal(0))
    return total


def _unknown(outcomes: Iterable[Outcome]) -> int:
    """Of requests that were, or would be, sent."""
    return sum(
        each.cost_usd is None
        and each.verdict not in ("refused", "failed")
        and (each.verdict in ("sent", "unknown") or each.input_tokens + each.output_tokens > 0)
        for each in outcomes
    )


def _dollars(usd: Decimal | None) -> str:
    from tokenomics_core.meter.lease import nano

    return "-" if usd is None else amount(nano(usd), "usd")


def _time(moment: Any) -> str:
    from tokenomics_core.tokens import format_timestamp

    return format_timestamp(moment)
