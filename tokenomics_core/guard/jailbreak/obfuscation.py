"""Signs of category obfuscation: instructions, or answers, in a form that filters do not read."""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, STRONG, WEAK, Category, Sign, phrase

_CATEGORY: Final[Category] = "obfuscation"

_DECODE = (
    r"(?:decode|decrypt|decipher|deobfuscate|unscramble|descramble|decompress|reverse|un-?rot13|base64"
    r"|rot-?13|translate|convert"
    r"|backwards?|right to left)"
)
_OBEY = (
    r"(?:follow|obey|comply with|carry out|act (?:up){0,1}on|execute|perform|answer|respond to|do)\s{1,4}"
    r"(?:it\b|them\b|that\b|the\s{1,4}(?:result(?:ing){0,1}|instructions?|command|decoded|output"
    r"|request|question|order)|its\s|what\b|whatever\b|exactly\b"
    r"|accordingly)"
)
_CODES = (
    "(?:base-?64|hex|hexadecimal|rot-?13|morse(?: code){0,1}|binary(?: code){0,1}|leet(?:speak){0,1}"
    "|pig latin|reversed? (?:text|order)"
    "|an? (?:caesar )?cipher|emoji|ascii codes)"
)


def _spelled(word: str, between: str) -> str:
    return between.join(word)


_APART = r"[\s.*_|/-]{1,3}"
_FAR = r"[\s.*_|/-]{1,8}"
_LEET_NEXT = r"\W{1,4}(?:\w{1,16}\W{1,4}){0,3}(?:[pa4i1|yr][\w@\x24|!]{2,12})"

SIGNS: Final = (
    Sign(
        "decode_and_obey",
        _CATEGORY,
        r"(?i)\b" + _DECODE + r"\b[^\n]{0,60}\b(?:and|then)\b[^\n]{0,20}\b" + _OBEY,
        CLEAR,
    ),
    Sign(
        "coded_then_obey",
        _CATEGORY,
        r"(?i)\b(?:in|is|as|from|using)\s{1,4}(?:base-?64|hex|rot-?13|morse|binary|a"
        r" cipher)\b[^\n]{0,60}\b(?:obey|follow|carry out|execute|comply)\b",
        CLEAR,
    ),
    Sign(
        "join_and_obey",
        _CATEGORY,
        r"(?i)\b(?:join|concatenate|combine|put together|merge|assemble|(?:first|last|second)"
        r" letters?)\b[^\n]{0,80}\b(?:and|then)\b[^\n]{0,20}\b" + _OBEY,
        CLEAR,
    ),
    Sign(
        "prompt_in_code",
        _CATEGORY,
        phrase(
            r"\b(?:encode|encrypt|write|print|give|output|convert|translate|obfuscate|hide) (?:me"
            r" ){0,1}(?:all of ){0,1}your (?:\w{1,16} ){0,2}"
            r"(?:answer|response|reply|replies|answers|output|prompt|instructions|message) (?:\w{1,16}"
            r" ){0,2}(?:in|as|into|to|using|with) " + _CODES + r"\b"
        ),
        CLEAR,
    ),
    Sign(
        "answer_in_code",
        _CATEGORY,
        phrase(r"\b(?:answer|respond|reply|speak) (?:\w{1,16} ){0,2}(?:in|as|using|with) " + _CODES + r"\b"),
        WEAK,
    ),
    Sign(
        "unseen_by_filter",
        _CATEGORY,
        phrase(
            r"\bso (?:that ){0,1}(?:the |your |no |any ){0,1}(?:content |safety |output"
            r" ){0,1}(?:filters?|moderation|one|nobody|classifier|monitor|censor)s? "
            r"(?:\w{1,16} ){0,2}(?:see|sees|notice|notices|detect|detects|catch|catches|read|reads"
            r"|understand|understands|blocked?)\b"
        ),
        WEAK,
    ),
    # A letter written as a digit, in words of an override.
    Sign(
        "leet_ignore",
        _CATEGORY,
        r"(?i)\b(?:[1!|]gn[o0]r[e3]|ign0r[e3]|ignor3|d[1!]sr[e3]g[a4@]rd|disr3g[a4@]rd|disreg[4@]rd"
        r"|f[o0]rg3t|f0rg[e3]t)" + _LEET_NEXT,
        CLEAR,
    ),
    Sign(
        "leet_instructions",
        _CATEGORY,
        r"(?i)\b(?:pr[e3]v[1!|i][o0]u[s5\x24]|pr[1!|i][o0]r|[a4@]ll"
        r"|y[o0]ur)\W{1,4}(?:[1!|]n[s5\x24]truct[1!|i][o0]n[s5\x24]?|in[s5\x24]truct[1!|][o0]n[s5\x24]?"
        r"|in[5\x24]truct[1!|i][o0]n[s5\x24]?|instructi0n[s5\x24]?|pr0mpt[s5\x24]?|ru1e[s5\x24]|rul3[s5\x24]"
        r"|gu[1!|]d[e3][1l|]in[e3][s5\x24])",
        CLEAR,
    ),
    # Letters apart.
    Sign(
        "spaced_letters",
        _CATEGORY,
        r"(?i)\b(?:"
        + "|".join(_spelled(word, _APART) for word in ("ignore", "disregard", "forget", "bypass"))
        + ")"
        + _FAR
        + "(?:"
        + "|".join(
            _spelled(word, _APART)
            for word in ("all", "prev", "prior", "your", "the", "any", "instr", "rules", "safety")
        )
        + ")",
        STRONG,
    ),
    # Turned by 13 letters, and backwards: ignore, disregard, forget; previous, prior, instructions.
    Sign(
        "rot13",
        _CATEGORY,
        phrase(
            r"\b(?:vtaber|qvfertneq|sbetrg) (?:\w{1,16} ){0,3}(?:cerivbhf|cevbe|vafgehpgvbaf?|ehyrf"
            r"|cebzcg)\b"
        ),
        STRONG,
    ),
    Sign(
        "backwards",
        _CATEGORY,
        phrase(r"\b(?:snoitcurtsni|selur|tpmorp) (?:\w{1,16} ){0,3}(?:erongi|dragersid|tegrof)\b"),
        STRONG,
    ),
)
