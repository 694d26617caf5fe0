"""Jailbreaks: texts that try to turn a model against its instructions.

Signs are patterns with a weight. The eight of the Go original match by themselves. All are added up to a
score, so that a rule can ask for more or less than one sign. No model is asked.
"""

from tokenomics_core.guard.jailbreak.reference import REFERENCE
from tokenomics_core.guard.jailbreak.sign import CATEGORIES, Category, Sign
from tokenomics_core.guard.jailbreak.verdict import DEFAULT_THRESHOLD, Verdict, judge, signs

__all__ = ["CATEGORIES", "DEFAULT_THRESHOLD", "REFERENCE", "Category", "Sign", "Verdict", "judge", "signs"]
