"""Rulebook: the compiled rules of policies, made once for each list of rules that tokens share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from tokenomics_core.guard.rules import CompiledRules
from tokenomics_core.policy.schema import Rule

MOST = 64
"""Lists of rules that are kept compiled."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of a policy for what goes out and for what comes back.

    blocking: a request that cannot be looked at must not pass. restoring: an answer may get values back.
    """

    rules: tuple[Rule, ...]
    input: CompiledRules
    output: CompiledRules
    blocking: bool
    restoring: bool

    def __bool__(self) -> bool:
        return bool(self.input) or bool(self.output)


class Rulebook:
    """Threads may share it."""

    def __init__(self) -> None:
        self._by_identity: dict[int, Compiled] = {}
        self._by_rules: dict[tuple[Rule, ...], Compiled] = {}
        self._lock = Lock()

    def ready(self, rules: tuple[Rule, ...]) -> Compiled | None:
        """The compiled rules, if they were compiled before."""
        known = self._by_identity.get(id(rules))
        # The tuple is kept, so that its id stays its own.
        return known if known is not None and known.rules is rules else None

    def compiled(self, rules: tuple[Rule, ...]) -> Compiled:
        """May take tens of milliseconds. Raises ValueError for a pattern that RE2 does not compile."""
        with self._lock:
            known = self.ready(rules)
            if known is None:
                known = self._by_rules.get(rules) or _compile(rules)
                if len(self._by_identity) >= MOST:
                    self._by_identity.clear()
                    self._by_rules.clear()
                self._by_rules[rules] = known
                known = Compiled(rules, known.input, known.output, known.blocking, known.restoring)
                self._by_identity[id(rules)] = known
            return known


def _compile(rules: Sequence[Rule]) -> Compiled:
    asked, answered = CompiledRules(rules, "input"), CompiledRules(rules, "output")
    return Compiled(
        tuple(rules),
        asked,
        answered,
        blocking=any(rules[index].action in ("fail", "mask") for index in asked.active),
        restoring=any(rules[index].restore for index in asked.active),
    )
