"""What the content rules cost: on clean text, on text full of values, and on texts made to be slow.

    python bench/guard_speed.py [--rounds N] [--json]

Times are medians. `re` is what the eleven patterns of the Go original cost one by one in the standard library
on the same text and machine.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import orjson

from tests.guard.bodies import claude_code, codex, opencode
from tokenomics_core.guard.detectors import REFERENCE, detectors
from tokenomics_core.guard.filter import RuleFilter
from tokenomics_core.guard.inspection import inspect
from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.guard.spans import request_spans
from tokenomics_core.policy.schema import Rule

KB = 1024
SIZES = (KB, 10 * KB, 100 * KB, 1024 * KB)
WORDS = (
    "about above account across after again all almost along also although always amount and animal "
    "another answer any area around ask at away back base be because become before begin behind best "
    "better between big book both bring build business but buy by call can car carry case change child "
    "city clear close cold come company consider could country course cover create cut day decide deep "
    "develop did different do does door down draw drive during each early earth east eat end enough "
    "even every example eye face fact fall family far fast father feel few field figure find fire first "
    "fish five follow food foot for form four free friend from front full function game gave general "
    "get girl give go gold good got govern great green ground group grow had half hand happen hard has "
    "have he head hear heat heavy held help her here high hold home horse hot hour house how hundred "
    "idea if in inch interest into is island it just keep kind king knew know land language large last "
    "late laugh lay lead learn leave left less let letter life light like line list little live long "
    "look lot love low made main make man many map mark may me mean measure men might mile mind minute "
    "miss money moon more morning most mother mountain move much multiply music must my name near need "
    "never new next night no north not note nothing notice noun now number object of off often oh old "
    "on once one only open or order other our out over own page paper part pass pattern people perhaps "
    "person picture piece place plain plan plant play point power press problem produce product pull "
    "put question quick rain ran reach read ready real record red remember rest right river road rock "
    "room round rule run said same saw say school science sea second see seem self sentence serve set "
    "several shape she ship short should show side simple since sing sit six size sleep slow small snow "
    "so some song soon sound south space spell stand star start state stay step still stood stop story "
    "street strong study such sun sure surface table tail take talk teach tell ten test than that the "
    "their them then there these they thing think this those though thought thousand three through time "
    "to together told too took top toward town travel tree true try turn two under unit until up upon "
    "us use usual very voice vowel wait walk want war warm was watch water way we week weight well went "
    "were west what wheel when where which while white who whole why will wind with wonder wood word "
    "work world would write year yes yet you young your "
).split()


def prose(size: int, seed: int) -> str:
    """Sentences with numbers, dates and prices in them, and no value that a detector knows."""
    chosen = random.Random(seed)
    out: list[str] = []
    length = 0
    while length < size:
        words = chosen.choices(WORDS, k=chosen.randint(5, 14))
        if chosen.random() < 0.3:
            words.insert(
                2, chosen.choice(["12.50 euros", "in 2026", "9:45", "version 3.12.1", "42", "7,200"])
            )
        sentence = " ".join(words).capitalize() + chosen.choice([". ", ". ", "? ", ",\n", "; "])
        out.append(sentence)
        length += len(sentence)
    return "".join(out)[:size]


def full(size: int) -> str:
    """A value in every line, of many detectors."""
    values = [
        text.replace("«", "").replace("»", "")
        for name in ("email", "credit_card", "ssn", "ip_address", "iban", "github_token", "aws_key", "phone")
        for text in detectors()[name].found[:2]
    ]
    lines = "".join(f"line {number}: {value}\n" for number, value in enumerate(values * (size // 200 + 1)))
    return lines[:size]


TRAPS: dict[str, Callable[[int], str]] = {
    "one letter": lambda size: "a" * size,
    "digits": lambda size: "4" * size,
    "mail without end": lambda size: "a.b-" * (size // 4),
    "at signs": lambda size: "a@" * (size // 2),
    "open key blocks": lambda size: ("-----BEGIN PRIVATE " + "KEY-----\n") * (size // 28),
    "card prefixes": lambda size: "4111 " * (size // 5),
    "escapes": lambda size: "\\u00" * (size // 4),
    "entities": lambda size: "&#52" * (size // 4),
    "base64 words": lambda size: "QUJDREVGR0hJSktM " * (size // 17),
    "logins": lambda size: "://u:p" * (size // 6),
    "assignments": lambda size: "password=" * (size // 9),
    "for research": lambda size: "for research hack " * (size // 18),
    "ignore": lambda size: "ignore all previous " * (size // 20),
}


def compiled(*rules: dict[str, Any]) -> CompiledRules:
    return CompiledRules([Rule.model_validate(rule) for rule in rules], "input", time_limit=600)


def median(work: Callable[[], object], rounds: int) -> float:
    """Seconds; short work is repeated until it can be measured."""
    started = time.perf_counter()
    work()
    repeats = max(1, int(0.002 / max(time.perf_counter() - started, 1e-7)))
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        taken.append((time.perf_counter() - started) / repeats)
    return statistics.median(taken)


def cases(rounds: int) -> dict[str, dict[str, Any]]:
    """By name: microseconds, bytes, and what was found."""
    detect = {"type": "pii", "detect": ["all"], "action": "mask", "scope": "both"}
    all_detectors = compiled(detect)
    everything = compiled(detect, {"type": "jailbreak", "action": "warn", "scope": "both"})
    words = compiled({"type": "keyword", "keywords": [f"word{n:05d}" for n in range(10_000)]})
    one_by_one = [re.compile(detectors()[name].shapes[0].pattern, re.ASCII) for name in REFERENCE]
    work: dict[str, tuple[int, Callable[[], object]]] = {}

    def add(name: str, text: str, run: Callable[[str], object]) -> None:
        work[name] = len(text.encode()), lambda: run(text)

    for size in SIZES:
        named = f"{size // KB} KB"
        add(f"clean {named}, all detectors", prose(size, 1), all_detectors.scan)
        add(f"clean {named}, with jailbreak", prose(size, 1), everything.scan)
        if size <= 100 * KB:
            add(f"clean {named}, `re`", prose(size, 1), lambda text: [p.search(text) for p in one_by_one])
        add(f"full of values {named}", full(size), all_detectors.scan)
    add("clean 100 KB, 10,000 keywords", prose(100 * KB, 1), words.scan)
    for name, body in (("Claude Code", claude_code()), ("Codex", codex()), ("opencode", opencode())):
        work[f"request of {name}"] = (
            len(orjson.dumps(body)),
            lambda body=body: inspect(everything, request_spans(body), body),
        )
    streamed = prose(4 * KB, 2)

    def stream() -> None:
        text_filter = RuleFilter(all_detectors, None, False, lambda hit: None)
        for at in range(0, len(streamed), 5):
            text_filter.feed(streamed[at : at + 5])
        text_filter.close()

    work["stream of 4 KB in deltas of 5 characters"] = len(streamed), stream
    for name, trap in TRAPS.items():
        for size in (50 * KB, 100 * KB):
            add(f"trap: {name}, {size // KB} KB", trap(size), everything.scan)
    return {name: {"us": median(run, rounds) * 1e6, "bytes": size} for name, (size, run) in work.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    measured = cases(chosen.rounds)
    if chosen.json:
        print(json.dumps(measured, indent=2))
        return
    print(f"{'':48} {'us':>10} {'MB/s':>8}")
    for name, each in measured.items():
        print(f"{name:48} {each['us']:10.0f} {each['bytes'] / each['us']:8.1f}")


if __name__ == "__main__":
    main()
