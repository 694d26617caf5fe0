"""RuleViolation: what a rule that fails a request or an answer raises."""

from __future__ import annotations


class RuleViolation(Exception):
    """message: one line for people, which never holds the matched value."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
