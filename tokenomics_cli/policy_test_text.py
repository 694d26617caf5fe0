"""What a dry run found, as plain data for programs and as coloured text for people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_cli.policy_explain import one_line
from tokenomics_cli.token_text import counted
from tokenomics_cli.usage_text import amount

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from tokenomics_core.exchange import Attempt
    from tokenomics_core.guard.dry_run import Answered, DryRun, Estimated
    from tokenomics_core.guard.dry_run_findings import Change, Finding
    from tokenomics_core.refusal import Refusal

AROUND = 40
"""Characters that are shown before and after a value."""

HIDDEN = "..."

LONGEST_BODY = 4000
"""Characters of the body that are shown to people."""


def run_json(run: DryRun, *, hide: bool) -> dict[str, Any]:
    """The same bytes for the same policy and request. hide: without any matched value."""
    exchange = run.exchange
    attempts = exchange.attempts
    return {
        "method": exchange.method,
        "path": exchange.path,
        "dialect": exchange.dialect.name,
        "model": exchange.model or None,
        "stream": exchange.stream,
        "session": exchange.session or None,
        "verdict": "refused" if run.refusal else "forwarded",
        "refusal": _refusal_json(run.refusal),
        "route": _way_json(run, attempts[0]) if attempts else None,
        "fallbacks": [_way_json(run, each) for each in _fallbacks(attempts)],
        "left_out": run.left_out,
        "findings": [_finding_json(each, hide) for each in run.findings],
        "rule_matches": exchange.rule_matches,
        "estimate": _estimate_json(run.estimated),
        "output_cap": exchange.output_cap,
        "changed": run.body is not None and _changed(run),
        "body": None if hide or run.body is None else run.body.decode("utf-8", "replace"),
        "response": _answer_json(run.answered, hide),
    }


def print_run(run: DryRun, *, hide: bool, out: str) -> None:
    from rich.console import Console

    # For a file or a program nothing is cut or wrapped to fit a window.
    console = Console(highlight=False, soft_wrap=True)
    exchange = run.exchange
    asked = f"{exchange.method} {exchange.path}"
    _tell(console, "Request", f"{asked} ({exchange.dialect.name}), model {exchange.model or 'none'}")
    if exchange.attempts:
        _tell(console, "Goes to", _way(run, exchange.attempts[0]))
        for each in _fallbacks(exchange.attempts):
            _tell(console, "Fallback", _way(run, each))
    for message in run.left_out:
        _tell(console, "Left out", f"a fallback: {message}")
    if exchange.session:
        _tell(console, "Session", exchange.session)
    _findings(console, "Rules", run.findings, hide, looked=bool(exchange.attempts))
    if run.estimated is not None:
        _tell(console, "Estimate", _estimate(run.estimated))
    if exchange.output_cap is not None:
        _tell(console, "Output cap", f"lowered to {counted(exchange.output_cap, 'token')}")
    _verdict(console, run.refusal, "Forwarded")
    if run.body is not None:
        _body(console, run, hide)
    if out:
        _tell(console, "Written", f"the masked body, to {out}")
    if run.answered is not None:
        console.print()
        _findings(console, "Answer", run.answered.findings, hide, looked=True)
        _verdict(console, run.answered.refusal, "Passed on")


# For programs.


def _refusal_json(refusal: Refusal | None) -> dict[str, Any] | None:
    if refusal is None:
        return None
    return {"status": refusal.status, "code": refusal.code, "message": refusal.message}


def _way_json(run: DryRun, attempt: Attempt) -> dict[str, Any]:
    from tokenomics_core.guard.dry_run_steps import entry_path, provider_of

    assert run.exchange.policy is not None
    return {
        "entry": entry_path(run.exchange.policy, attempt),
        "provider": provider_of(attempt) or None,
        "model": attempt.model or None,
        "url": attempt.target.origin + attempt.target.path,
        "key": attempt.key_env or None,
    }


def _finding_json(finding: Finding, hide: bool) -> dict[str, Any]:
    def value(start: int, end: int) -> dict[str, str]:
        return {} if hide else {"value": finding.text[start:end]}

    return {
        "path": finding.path,
        "name": finding.name,
        "rules": [{"index": hit.rule, **hit.entry()} for hit in finding.hits],
        "matches": [
            {
                "rule": match.rule,
                "kind": match.kind,
                "label": match.label,
                "start": match.start,
                "end": match.end,
                "score": match.score,
                **value(match.start, match.end),
            }
            for match in finding.matches
        ],
        "changes": [
            {
                "start": change.start,
                "end": change.end,
                **({"restored": True} if change.restored else {}),
                **({} if hide and change.restored else {"new": change.new}),
            }
            for change in finding.changes
        ],
    }


def _estimate_json(said: Estimated | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {
        "input_tokens": said.input_tokens,
        "output_tokens_at_most": said.output_tokens,
        "input_usd": _plain(said.input_usd),
        "usd_at_most": _plain(said.usd),
        "price_id": said.price_id or None,
    }


def _answer_json(answered: Answered | None, hide: bool) -> dict[str, Any] | None:
    if answered is None:
        return None
    body = answered.body
    return {
        "verdict": "refused" if answered.refusal else "passed",
        "refusal": _refusal_json(answered.refusal),
        "findings": [_finding_json(each, hide) for each in answered.findings],
        "body": None if hide or body is None else body.decode("utf-8", "replace"),
    }


def _plain(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:f}"


# For people.


def _tell(console: Console, title: str, words: str, style: str = "") -> None:
    from rich.text import Text

    line = Text().append(f"{title:<11}", style="bold")
    line.append(one_line(words), style=style)
    console.print(line)


def _fallbacks(attempts: Sequence[Attempt]) -> list[Attempt]:
    """One attempt of each model after the first."""
    seen = {attempts[0].model} if attempts else set()
    return [each for each in attempts[1:] if not (each.model in seen or seen.add(each.model))]  # type: ignore[func-returns-value]


def _way(run: DryRun, attempt: Attempt) -> str:
    told = _way_json(run, attempt)
    where = "the global part" if told["entry"] == "$" else told["entry"]
    key = ""
    if told["key"]:
        key = f", key ${told['key']}" + ("" if os.environ.get(told["key"]) else " (not set here)")
    return f"{told['url']}, model {told['model'] or 'none'}{key}, by {where}"


def _findings(console: Console, title: str, findings: Sequence[Finding], hide: bool, *, looked: bool) -> None:
    if not findings:
        _tell(console, title, "nothing found" if looked else "not asked: the request is refused before")
        return
    _tell(console, title, f"{counted(len(findings), 'text')} with something to tell")
    for finding in findings:
        console.print()
        console.print(f"  {finding.path}{' (the name of the member)' if finding.name else ''}", markup=False)
        for hit in finding.hits:
            categories = f" ({', '.join(hit.categories)})" if hit.categories else ""
            style = {"fail": "bold red", "warn": "yellow"}.get(hit.action, "cyan")
            console.print(
                f"    rule {hit.rule} {hit.action}: {one_line(hit.message)}{categories}",
                style=style,
                markup=False,
            )
        line = _excerpt(finding, hide, marked=console.no_color or not console.is_terminal)
        line.pad_left(4)
        console.print(line)
    console.print()


def _excerpt(finding: Finding, hide: bool, *, marked: bool) -> Text:
    """The values in their text. marked: without colours, as [-value-] and {+what stands there+}."""
    from rich.text import Text

    line = Text()
    for kind, piece in _pieces(finding, hide):
        shown = one_line(piece)
        if kind == "old":
            line.append(f"[-{shown}-]" if marked else shown, style="" if marked else "strike red")
        elif kind == "new":
            line.append(f"{{+{shown}+}}" if marked else shown, style="" if marked else "green")
        elif kind == "found":
            line.append(f"[!{shown}!]" if marked else shown, style="" if marked else "bold red")
        else:
            line.append(shown, style="" if marked else "dim")
    return line


def _pieces(finding: Finding, hide: bool) -> Iterator[tuple[str, str]]:
    """Old, new, found and plain text, in order; plain text is cut where it is long."""
    text, at = finding.text, 0
    places = _places(finding)
    for number, (start, end, change) in enumerate(places):
        yield "plain", _cut(text[at:start], head=number > 0, tail=True)
        if change is None:
            yield "found", HIDDEN if hide else text[start:end]
        else:
            if not hide:
                yield "old", _cut(text[start:end], head=True, tail=True)
            yield "new", HIDDEN if hide and change.restored else change.new
        at = end
    yield "plain", _cut(text[at:], head=bool(places), tail=False)


def _places(finding: Finding) -> list[tuple[int, int, Change | None]]:
    """Changes, and what of matches is not changed, without overlaps. None: it stays as it is."""
    places: list[tuple[int, int, Change | None]] = [
        (change.start, change.end, change) for change in finding.changes
    ]
    taken = sorted((start, end) for start, end, _ in places)
    at = 0
    for match in finding.matches:
        at = max(at, match.start)
        for start, end in [*taken, (match.end, match.end)]:
            if at < min(start, match.end):
                places.append((at, min(start, match.end), None))
            if start < match.end:
                at = max(at, min(end, match.end))
        at = max(at, match.end)
    return sorted(places, key=lambda place: place[:2])


def _cut(text: str, *, head: bool, tail: bool) -> str:
    """What stands near a value: head is behind one, tail is before one."""
    if len(text) <= (head + tail) * AROUND:
        return text
    before = text[:AROUND] if head else ""
    after = text[-AROUND:] if tail else ""
    return f"{before} ... {after}".strip(" ") if not (head and tail) else f"{before} ... {after}"


def _estimate(said: Estimated) -> str:
    words = counted(said.input_tokens, "token") + " of input"
    if said.input_usd is not None:
        words += f", {_dollars(said.input_usd)}"
    if said.output_tokens:
        words += f"; with {said.output_tokens:,} of output at most"
        words += f" {_dollars(said.usd)}" if said.usd is not None else ""
    return words + ("" if said.price_id else "; its price is not known")


def _dollars(usd: Decimal) -> str:
    from tokenomics_core.meter.lease import nano

    return amount(nano(usd), "usd")


def _verdict(console: Console, refusal: Refusal | None, passed: str) -> None:
    if refusal is None:
        _tell(console, "Verdict", passed.lower(), style="bold green")
    else:
        _tell(console, "Verdict", f"{refusal.status} {refusal.code}: {refusal.message}", style="bold red")


def _changed(run: DryRun) -> bool:
    """Whether other bytes leave than came."""
    return run.given != run.body


def _body(console: Console, run: DryRun, hide: bool) -> None:
    from rich.text import Text

    assert run.body is not None
    if not _changed(run):
        _tell(console, "Body", "the client's own, byte for byte")
    elif hide:
        _tell(console, "Body", "changed; not shown with --hide")
    else:
        text = run.body.decode("utf-8", "replace")
        _tell(console, "Body", "changed:")
        for line in text[:LONGEST_BODY].splitlines():
            console.print(Text(f"  {one_line(line)}"))
        if len(text) > LONGEST_BODY:
            console.print(f"  ... and {len(text) - LONGEST_BODY:,} more characters")
