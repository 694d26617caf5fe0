"""The eight patterns of the Go original. Any of them is a match, unless the rule has a threshold."""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, HINT, STRONG, Category, Sign

# Low weights are of patterns that harmless text often has: `debug mode`, `drop constraints`, `Coach:`.
_TABLE: Final[tuple[tuple[str, Category, float, str], ...]] = (
    (
        "ignore_previous",
        "override",
        STRONG,
        r"(?i)ignore\s+(your\s+)?previous\s+(instructions|rules|guidelines)",
    ),
    (
        "forget_previous",
        "override",
        CLEAR,
        r"(?i)forget\s+(all\s+)?(previous|earlier|prior)\s+(instructions|rules|constraints)",
    ),
    (
        "disregard_instructions",
        "override",
        HINT,
        r"(?i)(disregard|abandon|drop|remove)\s+(all\s+)?(instructions|rules|constraints|guidelines)",
    ),
    (
        "developer_mode",
        "role_play",
        HINT,
        r"(?i)(developer\s+mode|test\s+mode|debug\s+mode|you\s+are\s+in\s+\w+\s+mode)",
    ),
    (
        "bypass_safety",
        "override",
        HINT,
        r"(?i)(bypass|disable|remove|override|circumvent)\s+(all\s+)?(safety|security|ethical"
        r"|content\s+)?filters?",
    ),
    (
        "harmful_roleplay",
        "role_play",
        HINT,
        r"(?i)(act\s+as|roleplay|pretend|imagine|assume|you\s+are)\s+(\w+\s+)*"
        r"(unrestricted|unconstrained|unfiltered|jailbroken|hacker|evil|malicious|unethical)",
    ),
    (
        "hypothetical_harm",
        "role_play",
        HINT,
        r"(?i)(hypothetically|for\s+research|for\s+academic|as\s+a\s+test|in\s+a\s+scenario).*"
        r"(exploit|harmful|illegal|unethical|violence|hack)",
    ),
    (
        "known_jailbreaks",
        "role_play",
        HINT,
        r"(?i)\b(DAN|UCAR|Coach|AIM|STAN|TalkGPT|BadGPT|BadAI)\s*:",
    ),
)

REFERENCE: Final = tuple(
    Sign(id, category, pattern, weight, reference=True) for id, category, weight, pattern in _TABLE
)
