"""Signs of category exfiltrate: the model is to give away its prompt, or secrets, or to send
them somewhere."""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, HINT, STRONG, WEAK, Category, Sign, phrase, some

_CATEGORY: Final[Category] = "exfiltrate"

_TELL = (
    r"(?:repeat|print|reveal|show|output|display|give|tell|write|share|expose|leak|recite|dump|echo"
    r"|return|copy|paste|disclose"
    r"|provide|list|state|quote|type|summari[sz]e|translate|encode|describe|spell out|read)"
)
_TO = some(
    "me|us|back|out|here|to|exactly|now|what|everything in|the|all|of|full|complete|entire|exact|text"
    "|whole|content",
    6,
)
_KIND = (
    "(?:system|initial|hidden|original|secret|developer|starting|base|internal|confidential|custom"
    "|previous|first|exact"
    "|full|complete|entire|pre|core|very|own)"
)
_PROMPT = "(?:prompts?|instructions?|messages?|directives?|rules|guidelines|configuration|programming)"
_KEPT = (
    "(?:conversations?|chat history|chat logs?|message history|secrets|passwords|credentials|system"
    " prompt|private keys?"
    "|environment variables|inbox|contacts|env file|personal data)"
)
_URL = (
    "(?:https?[:]//|this (?:url|address|server|endpoint)|the (?:url|address|server|endpoint)"
    " (?:below|above|at))"
)
_KEY_FILE = (
    r"(?:\.ssh/id_|id_rsa\b|id_ed25519\b|\.aws/credentials|/etc/shadow|/etc/passwd|\.env\b"
    r"|\.netrc|\.git-credentials|\.kube/config)"
)

SIGNS: Final = (
    Sign(
        "tell_your_prompt",
        _CATEGORY,
        phrase(r"\b" + _TELL + " " + _TO + r"(?:your|its) (?:" + _KIND + " ){1,3}" + _PROMPT + r"\b"),
        STRONG,
    ),
    Sign(
        "tell_your_instructions",
        _CATEGORY,
        phrase(r"\b" + _TELL + " " + _TO + r"your (?:prompt|instructions|directives)\b"),
        CLEAR,
    ),
    Sign(
        "tell_system_prompt",
        _CATEGORY,
        phrase(
            r"\b(?:repeat|print|reveal|output|leak|recite|dump|disclose|expose|translate) "
            + _TO
            + r"(?:system|initial|hidden|original) "
            r"(?:prompt|instructions)\b"
        ),
        CLEAR,
    ),
    Sign(
        "what_is_your_prompt",
        _CATEGORY,
        phrase(
            r"\bwhat(?:'s| is| are| was| were| did) your (?:"
            + _KIND
            + r" ){0,2}(?:prompts?|instructions|directives|system message)\b"
        ),
        CLEAR,
    ),
    Sign(
        "tell_what_was_given",
        _CATEGORY,
        phrase(
            r"\b"
            + _TELL
            + " "
            + _TO
            + r"(?:initial |original |first ){0,1}(?:instructions?|prompt|rules|text|messages?) "
            r"(?:that ){0,1}you (?:were|have been|got|received|are) (?:\w{1,16} ){0,1}(?:given|told"
            r"|provided|initially|with|at)\b"
        ),
        CLEAR,
    ),
    Sign(
        "show_me_the_prompt",
        _CATEGORY,
        phrase(
            r"\b(?:show|give|tell|send|read) me (?:the |all |of |full |entire |exact |complete"
            r" ){0,4}system (?:prompt|message|instructions)\b"
        ),
        CLEAR,
    ),
    Sign(
        "finish_the_prompt",
        _CATEGORY,
        phrase(
            r"\b(?:complete|continue|finish|start|begin) (?:\w{1,16} ){0,4}(?:i was (?:instructed"
            r"|told)|the system prompt is|my (?:system |initial ){0,1}"
            r"(?:instructions|prompt) (?:are|is))\b"
        ),
        CLEAR,
    ),
    Sign(
        "what_were_you_told",
        _CATEGORY,
        phrase(
            r"\bwhat (?:\w{1,16} ){0,2}(?:were|are|have) you (?:been ){0,1}(?:told|instructed|given"
            r"|prompted) (?:\w{1,16} ){0,3}"
            r"(?:before|at the start|to do by your|in your (?:system|first))\b"
        ),
        WEAK,
    ),
    Sign(
        "your_prompt_as",
        _CATEGORY,
        phrase(
            r"\byour (?:"
            + _KIND
            + r" ){0,2}(?:prompt|instructions) (?:exactly|verbatim|word for word|letter by letter"
            r"|(?:in|as|into|to) (?:an? ){0,1}(?:code ?block|json|markdown|base64|poem|list|rot13|hex"
            r"|yaml|xml|song|story))\b"
        ),
        CLEAR,
    ),
    Sign(
        "verbatim",
        _CATEGORY,
        phrase(
            r"\b(?:instructions|prompt|context|rules|everything|messages?)(?: \w{1,16}){0,6}"
            r" (?:verbatim|word for word)\b"
        ),
        WEAK,
    ),
    Sign(
        "words_above",
        _CATEGORY,
        phrase(
            r"\b(?:repeat|print|output|recite|copy|write|echo|dump) "
            + some("all|everything|me|out|back|the|every|of|exact|exactly", 4)
            + r"(?:(?:words?|text|content|contents|messages?|conversation|tokens) ){0,1}(?:\w{1,16} ){0,1}"
            r"(?:above|before this|preceding this|prior to this)\b"
        ),
        CLEAR,
    ),
    Sign(
        "starting_you_are",
        _CATEGORY,
        phrase(
            r"\b(?:starting|beginning|starts|begins|start|begin) (?:with|from|at)(?: the (?:words?"
            r"|phrase)){0,1} you are\b"
        ),
        CLEAR,
    ),
    Sign(
        "everything_in_context",
        _CATEGORY,
        phrase(
            r"\b(?:everything|all|anything) (?:\w{1,16} ){0,2}in your (?:context|memory|context window"
            r"|prompt)\b"
        ),
        WEAK,
    ),
    # Secrets of the machine.
    Sign(
        "tell_your_secrets",
        _CATEGORY,
        phrase(
            r"\b(?:print|show|output|dump|reveal|list|send|tell|give|echo|leak) "
            + some("me|us|all|of|out", 3)
            + r"your (?:\w{1,16} ){0,1}(?:environment variables|env vars|api keys?|secret keys?"
            r"|credentials|passwords?|secrets"
            r"|access tokens?|private keys?)\b"
        ),
        CLEAR,
    ),
    Sign(
        "tell_all_secrets",
        _CATEGORY,
        phrase(
            r"\b(?:print|output|dump|reveal|leak|send|post|upload) "
            + some("me|us|all|of|the|any", 3)
            + r"(?:environment variables|env vars|api keys|secret keys|credentials|passwords|secrets"
            r"|access tokens|private keys)\b"
        ),
        HINT,
    ),
    Sign(
        "read_key_file",
        _CATEGORY,
        r"(?i)\b(?:read|open|cat|include|copy|paste|attach|contents?"
        r" of)\b[^\n]{0,30}(?:\.ssh/id_(?:rsa|ed25519|ecdsa|dsa)\b(?:[^.]|\.\s)"
        r"|\.aws/credentials|\.cursor/mcp\.json|/etc/shadow)",
        WEAK,
    ),
    Sign(
        "key_file_piped",
        _CATEGORY,
        r"(?i)\b(?:cat|head|tail|base64|tar|zip|gzip|xxd)\b[^\n|]{0,60}"
        + _KEY_FILE
        + r"[^\n]{0,60}\|[^\n]{0,30}\b(?:curl|wget|nc|ncat|telnet|socat)\b",
        STRONG,
    ),
    Sign(
        "key_file_posted",
        _CATEGORY,
        r"(?i)\b(?:curl|wget)\b[^\n]{0,80}(?:-d|-F|-T|--data[a-z-]{0,12}|--form|--upload-file"
        r"|--post-file)\b[^\n]{0,40}" + _KEY_FILE,
        STRONG,
    ),
    Sign(
        "environment_piped",
        _CATEGORY,
        r"(?i)\b(?:env|printenv)\s{0,4}\|[^\n]{0,40}\b(?:curl|wget|nc|ncat)\b",
        CLEAR,
    ),
    # Ways out.
    Sign(
        "kept_to_address",
        _CATEGORY,
        phrase(
            r"\b(?:send|post|upload|forward|exfiltrate|transmit|submit|leak|append|pass) (?:\w{1,16} ){0,5}"
            + _KEPT
            + r" (?:\w{1,16} ){0,4}to (?:\w{1,16} ){0,2}"
            + _URL
        ),
        CLEAR,
    ),
    Sign(
        "mail_all_to",
        _CATEGORY,
        r"(?i)\b(?:forward|send|e?mail|bcc)\b\s{1,4}(?:me\s|the\s|user'?s?\s|latest\s"
        r"|of\s){0,3}(?:all\s|every\s|inbox|contacts|conversation"
        r"|chat\s|credentials|passwords)[^\n]{0,40}\bto\s{1,4}[\w.+-]{1,40}@",
        CLEAR,
    ),
    Sign(
        "image_with_data",
        _CATEGORY,
        r"(?i)!\[[^\]\n]{0,80}\]\(\s{0,2}https?://[^)\s?]{1,200}\?[^)\s]{0,80}\b(?:q|d|data|content|secret|payload|exfil|leak|prompt"
        r"|history|chat|conversation|stolen|info|pw|password|creds|key)=",
        CLEAR,
    ),
    Sign(
        "image_with_place",
        _CATEGORY,
        r"!\[[^\]\n]{0,80}\]\(\s{0,2}https?://[^)\s]{1,200}[=/](?:\{|\[|<|%7B|\$)",
        CLEAR,
    ),
)
