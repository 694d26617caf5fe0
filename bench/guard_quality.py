"""How well the content guard finds what it should: precision, recall and F1 for each class of values.

    python bench/guard_quality.py [--seed N] [--json] [--missed CLASS] [--only-ours]

Beside it, on the same sentences, Presidio's pattern recognizers and detect-secrets, where they are installed:
    pip install presidio-analyzer detect-secrets

A finding is right when its class is the label's, and what both cover is at least half of what either covers.
Presidio is shown at the score 0.5, and with the score that is best for each class by itself.
A wrong finding that lies in a longer right one of the same system does not count.
detect-secrets names lines and parts of values: there it is enough that the finding lies in the label.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.guard_set import SEED, Label, Sentence, families, sentences
from bench.guard_set.systems import SECRET_FAMILIES, Finding, System, detect_secrets, ours, presidio

DEFAULT_THRESHOLD = 0.5


@dataclass(slots=True)
class Count:
    """Labels that were found, findings that are wrong, labels that were missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 0.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 0.0

    @property
    def f1(self) -> float:
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 0.0

    def add(self, other: Count) -> None:
        self.right += other.right
        self.wrong += other.wrong
        self.missed += other.missed


@dataclass(frozen=True, slots=True)
class Fault:
    """A missed label, or a finding that is wrong."""

    family: str
    kind: str
    value: str
    sentence: str


def counted(
    texts: Sequence[Sentence], found: Iterable[Sequence[Finding]], threshold: float = 0.0
) -> tuple[dict[str, Count], list[Fault]]:
    """By class; and all that went wrong."""
    counts: dict[str, Count] = {}
    faults: list[Fault] = []
    for sentence, findings in zip(texts, found, strict=True):
        findings = [finding for finding in findings if finding.score >= threshold]
        hit: set[Label] = set()
        good: list[Finding] = []
        for finding in findings:
            right = [a for a in sentence.labels if a.family in finding.families and _covers(finding, a)]
            hit.update(right)
            if right or (finding.generic and any(_on_secret(finding, label) for label in sentence.labels)):
                good.append(finding)
        for finding in findings:
            if finding in good or any(_yields(finding, other) for other in good):
                continue
            counts.setdefault(finding.families[0], Count()).wrong += 1
            value = sentence.text[finding.start : finding.end]
            faults.append(Fault(finding.families[0], f"wrong {finding.name}", value, sentence.text))
        for label in sentence.labels:
            count = counts.setdefault(label.family, Count())
            if label in hit:
                count.right += 1
            else:
                count.missed += 1
                value = sentence.text[label.start : label.end]
                faults.append(Fault(label.family, f"missed {label.kind}", value, sentence.text))
    return counts, faults


def _yields(finding: Finding, other: Finding) -> bool:
    """Every place is masked once: what lies in a longer finding goes, and at one place the less sure."""
    if not (other.start <= finding.start and finding.end <= other.end):
        return False
    return other.end - other.start > finding.end - finding.start or other.score > finding.score


def _common(finding: Finding, label: Label) -> int:
    return min(finding.end, label.end) - max(finding.start, label.start)


def _covers(finding: Finding, label: Label) -> bool:
    common = _common(finding, label)
    if finding.loose:
        return common > 0
    return common > 0 and 2 * common >= max(finding.end - finding.start, label.end - label.start)


def _on_secret(finding: Finding, label: Label) -> bool:
    return label.family in SECRET_FAMILIES and _common(finding, label) > 0


def best_counts(texts: Sequence[Sentence], found: Sequence[Sequence[Finding]]) -> dict[str, Count]:
    """Each class at the threshold that is best for it, found on these very sentences."""
    best: dict[str, Count] = {}
    for step in range(1, 21):
        for family, count in counted(texts, found, step / 20)[0].items():
            if family not in best or count.f1 > best[family].f1:
                best[family] = count
    return best


def together(counts: dict[str, Count], chosen: Iterable[str]) -> Count:
    total = Count()
    for family in chosen:
        total.add(counts.get(family, Count()))
    return total


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    knows: frozenset[str]
    counts: dict[str, Count]
    faults: list[Fault]


def columns(texts: Sequence[Sentence], only_ours: bool = False) -> tuple[list[Column], list[str]]:
    """The systems that there are; and a line for each that is not installed."""
    plain = [sentence.text for sentence in texts]
    system = ours()
    found = [Column(system.name, system.knows, *counted(texts, system.find(plain)))]
    absent: list[str] = []
    others: tuple[tuple[str, Callable[[], System]], ...] = (
        ("presidio-analyzer", presidio),
        ("detect-secrets", detect_secrets),
    )
    for package, make in () if only_ours else others:
        try:
            system = make()
        except ImportError:
            absent.append(f"{package} is not installed: pip install {package}")
            continue
        findings = system.find(plain)
        if len({finding.score for row in findings for finding in row}) < 2:
            found.append(Column(system.name, system.knows, *counted(texts, findings)))
            continue
        name = f"{system.name} {DEFAULT_THRESHOLD}"
        found.append(Column(name, system.knows, *counted(texts, findings, DEFAULT_THRESHOLD)))
        found.append(Column(f"{system.name} best", system.knows, best_counts(texts, findings), []))
    return found, absent


def table(found: Sequence[Column], labels: Counter[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Table(title="Precision, recall, F1", title_justify="left")
    out.add_column("class")
    out.add_column("labels", justify="right")
    for column in found:
        out.add_column(f"{column.name}\nP    R    F1", justify="right", no_wrap=True)
    for names in families().values():
        for family in names:
            out.add_row(family, str(labels[family]), *(_cell(column, (family,)) for column in found))
        out.add_section()
    every = [family for names in families().values() for family in names]
    extra = sorted({family for column in found for family in column.counts} - set(every))
    for family in extra:
        out.add_row(
            f"{family} (wrong only)",
            "0",
            *(str(column.counts.get(family, Count()).wrong) for column in found),
        )
    out.add_section()
    out.add_row("all", str(labels.total()), *(_cell(column, every + extra) for column in found))
    for other in found[1:]:
        shared = [family for family in every if family in other.knows]
        row = [_cell(column, shared) if column in (found[0], other) else "" for column in found]
        out.add_row(f"what {other.name} knows", str(sum(labels[family] for family in shared)), *row)
    width = None if sys.stdout.isatty() else 40 + 20 * len(found)
    Console(width=width).print(out)


def _cell(column: Column, chosen: Sequence[str]) -> str:
    if not any(family in column.knows for family in chosen):
        return "-"
    count = together(column.counts, chosen)
    return f"{count.precision:.2f} {count.recall:.2f} {count.f1:.3f}"


def as_json(found: Sequence[Column], absent: Sequence[str], texts: Sequence[Sentence], seed: int) -> str:
    systems = {
        column.name: {
            family: {
                "right": count.right,
                "wrong": count.wrong,
                "missed": count.missed,
                "precision": round(count.precision, 4),
                "recall": round(count.recall, 4),
                "f1": round(count.f1, 4),
            }
            for family, count in sorted(column.counts.items())
            if family in column.knows
        }
        for column in found
    }
    return json.dumps(
        {"seed": seed, "sentences": len(texts), "systems": systems, "absent": list(absent)}, indent=2
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only-ours", action="store_true", help="leave the other systems out")
    parser.add_argument(
        "--missed", metavar="CLASS", help="print what the guard got wrong in this class, or in `all`"
    )
    given = parser.parse_args()
    texts = sentences(given.seed)
    found, absent = columns(texts, given.only_ours or bool(given.missed))
    if given.missed:
        for fault in found[0].faults:
            if given.missed in (fault.family, "all"):
                print(f"{fault.family}: {fault.kind} {fault.value!r} in {fault.sentence!r}")
        return
    if given.json:
        print(as_json(found, absent, texts, given.seed))
        return
    labels = Counter(label.family for sentence in texts for label in sentence.labels)
    negative = sum(not sentence.labels for sentence in texts)
    print(f"{len(texts)} sentences, {negative} of them with nothing to find; seed {given.seed}\n")
    table(found, labels)
    for line in absent:
        print(line)


if __name__ == "__main__":
    main()
