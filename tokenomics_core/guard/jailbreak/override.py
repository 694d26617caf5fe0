"""Signs of category override: earlier instructions are to lose their force, or others to take
their place."""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, HINT, STRONG, WEAK, Category, Sign, phrase, some

_CATEGORY: Final[Category] = "override"

_DROP = (
    "(?:ignore|ignoring|disregard|disregarding|forget|neglect|overlook|dismiss|override|bypass|abandon"
    "|discard|void"
    "|erase|delete|wipe|cancel|scrap|reset|set aside|put aside|throw away|never mind|unlearn"
    "|stop (?:following|obeying)|(?:do not|don't|no longer) (?:follow|obey)|pay no attention to)"
)
_FILL = some(
    "all|any|and|each|every|of|the|your|my|our|those|these|that|this|other|entire|own|out|from|everything in",
    5,
)
_EARLIER = (
    "(?:previous|prior|above|earlier|preceding|foregoing|past|former|aforementioned"
    "|initial|original|existing|system|hidden|developer)"
)
_ORDERS = (
    "(?:instructions?|prompts?|directions?|directives?|guidelines?|guidance|orders|programming"
    "|training|guardrails"
    "|rules|commands|constraints|restrictions|limitations|policies)"
)
_LATER = "(?:above|before|prior|previously|earlier|until now|up to now|so far)"

SIGNS: Final = (
    # The (+) forms of ignore_previous, forget_previous and disregard_instructions.
    Sign(
        "drop_earlier_instructions",
        _CATEGORY,
        phrase(r"\b" + _DROP + " " + _FILL + _EARLIER + r" (?:\w{1,16} ){0,2}" + _ORDERS + r"\b"),
        STRONG,
    ),
    Sign(
        "drop_instructions_above",
        _CATEGORY,
        phrase(r"\b" + _DROP + " " + _FILL + _ORDERS + r" (?:\w{1,16} ){0,3}" + _LATER + r"\b"),
        CLEAR,
    ),
    Sign(
        "drop_your_instructions",
        _CATEGORY,
        phrase(
            r"\b"
            + _DROP
            + " "
            + some("all|any|of|each|every", 3)
            + r"(?:your|openai's|anthropic's|google's|the model's) "
            r"(?:\w{1,16} ){0,2}" + _ORDERS + r"\b"
        ),
        CLEAR,
    ),
    Sign(
        "drop_everything_said",
        _CATEGORY,
        phrase(
            r"\b(?:ignore|disregard|forget) (?:everything|anything|all|whatever) (?:\w{1,16} ){0,5}"
            r"(?:above|before|told|taught|so far|previously)\b"
        ),
        CLEAR,
    ),
    # The (+) forms of bypass_safety.
    Sign(
        "bypass_safety_filters",
        _CATEGORY,
        phrase(
            r"\b(?:bypass|disable|remove|override|circumvent|turn off|switch off|deactivate|evade|get"
            r" around|lift|drop) "
            + some("all|any|every|each|of|the|your|its|built-in", 4)
            + r"(?:safety|ethical|ethics|moderation|censorship|alignment|content|content safety"
            r"|content moderation) "
            r"(?:and \w{1,16} ){0,1}(?:filters?|filtering|guardrails?|protocols?|guidelines?"
            r"|restrictions?)\b"
        ),
        CLEAR,
    ),
    Sign(
        "bypass_security_filters",
        _CATEGORY,
        phrase(
            r"\b(?:bypass|disable|remove|override|circumvent) "
            + some("all|any|every|your", 2)
            + r"security filters?\b"
        ),
        CLEAR,
    ),
    Sign(
        "bypass_all_safety",
        _CATEGORY,
        phrase(
            r"\b(?:bypass|disable|remove|override|circumvent|turn off|deactivate|ignore|disregard)"
            r" (?:all|any|your|every) "
            r"(?:of your ){0,1}(?:safety|safeguards?|guardrails?|safety (?:measures|features|checks"
            r"|training|rules)|censorship)\b"
        ),
        CLEAR,
    ),
    Sign(
        "instructions_void",
        _CATEGORY,
        phrase(
            r"\b(?:previous|prior|above|earlier|original|initial|your|system) (?:\w{1,16}"
            r" ){0,1}(?:instructions|prompt|directives"
            r"|guidelines|rules|restrictions|limits)(?: \w{1,16}){0,2} (?:are|is|were|was|have been"
            r"|has been|no longer|do not|don't) "
            r"(?:\w{1,16} ){0,1}(?:void|cancelled|canceled|revoked|suspended|lifted|obsolete|invalid"
            r"|superseded|overridden"
            r"|null|apply|valid|replaced|a test|fake|deleted|reset)\b"
        ),
        CLEAR,
    ),
    Sign(
        "rules_suspended",
        _CATEGORY,
        phrase(
            r"\ball (?:\w{1,16} ){0,2}(?:rules|restrictions|limits|limitations|filters|guidelines"
            r"|safeguards) (?:above ){0,1}"
            r"(?:are|is|have been) (?:now ){0,1}(?:suspended|lifted|void|disabled|off|removed"
            r"|cancelled|gone)\b"
        ),
        WEAK,
    ),
    Sign(
        "takes_precedence",
        _CATEGORY,
        phrase(
            r"\b(?:takes?|taking|has|have) (?:absolute |full ){0,1}(?:precedence|priority) over "
            + some("all|any|your|the|other", 3)
            + _EARLIER
            + " "
            + _ORDERS
            + r"\b"
        ),
        CLEAR,
    ),
    Sign(
        "new_instructions",
        _CATEGORY,
        r"(?i)\bnew\s{1,8}(?:instructions?|directives?|system prompt|task)\s{0,4}:",
        WEAK,
    ),
    Sign(
        "your_new_instructions",
        _CATEGORY,
        phrase(
            r"\b(?:your new|here are new|here are your|begin new|new system|updated system) "
            r"(?:instructions?|directives?|prompt|orders|rules)\b"
        ),
        WEAK,
    ),
    Sign("from_now_on", _CATEGORY, phrase(r"\bfrom (?:now|this (?:point|moment)) on you\b"), WEAK),
    Sign(
        "obey_me",
        _CATEGORY,
        phrase(
            r"\b(?:obey|comply with|follow) (?:me\b|my (?:every |commands|orders|instructions)"
            r"|(?:every|all|any) "
            r"(?:command|order|instruction)s? i\b|the user's orders|only (?:me|my))"
        ),
        WEAK,
    ),
    Sign(
        "real_instructions",
        _CATEGORY,
        phrase(
            r"\b(?:your|the) (?:real|true|actual|only real|secret) (?:instructions?|orders|directives?"
            r"|goal|task|purpose|mission"
            r"|objective)\b"
        ),
        CLEAR,
    ),
    Sign(
        "end_of_prompt",
        _CATEGORY,
        phrase(
            r"\b(?:end|stop) of (?:the |all ){0,1}(?:system |previous |original |initial"
            r" ){0,1}(?:prompt|instructions|directives)\b"
        ),
        WEAK,
    ),
    Sign(
        "start_anew",
        _CATEGORY,
        phrase(
            r"\b(?:begin|start) (?:new (?:instructions|session|prompt|conversation)|a new (?:session"
            r"|prompt))\b"
        ),
        WEAK,
    ),
    Sign(
        "system_override",
        _CATEGORY,
        phrase(
            r"\b(?:system|admin|administrator|developer|root|security|emergency|manual|safety) override\b"
        ),
        WEAK,
    ),
    Sign(
        "claims_authority",
        _CATEGORY,
        phrase(
            r"\b(?:i am|i'm|this is|as) (?:your (?:developer|creator|programmer|administrator|admin|maker)"
            r"|an? (?:openai|anthropic|google|deepmind|meta) (?:developer|engineer|employee"
            r"|administrator))\b"
        ),
        WEAK,
    ),
    Sign(
        "no_longer_assistant",
        _CATEGORY,
        phrase(r"\byou are no longer (?:an?|the|chatgpt|claude|gemini|gpt)\b"),
        WEAK,
    ),
    # Turns of a conversation that stand inside one message.
    Sign(
        "chatml_turn",
        _CATEGORY,
        r"(?i)<\|(?:im_start|start_header_id|start)\|>\s{0,4}(?:system|developer)",
        CLEAR,
    ),
    Sign("control_token", _CATEGORY, r"(?i)<\|(?:endoftext|eot_id|im_end|end_of_text|end_of_turn)\|>", WEAK),
    Sign("llama_system", _CATEGORY, r"(?i)<<\s{0,2}/?SYS\s{0,2}>>", CLEAR),
    Sign("llama_turn", _CATEGORY, r"\[/?INST\]", HINT),
    Sign("heading_turn", _CATEGORY, r"(?i)#{2,4}\s{0,2}(?:system|instructions?)\s{0,2}:", WEAK),
    Sign(
        "system_message_mark",
        _CATEGORY,
        r"(?i)#{1,4}\s{0,2}[(\[<]\s{0,2}system(?:[_ ](?:message|prompt)){0,1}\s{0,2}[)\]>]",
        CLEAR,
    ),
    Sign(
        "closed_system_tag", _CATEGORY, r"(?i)</\s{0,2}(?:system|system_prompt|instructions?)\s{0,2}>", HINT
    ),
    Sign(
        "closed_and_reopened",
        _CATEGORY,
        r"(?i)</(?:system|user|instructions?|prompt|context)>\s{0,8}<(?:system|instructions?)>",
        CLEAR,
    ),
    Sign(
        "spoken_turn",
        _CATEGORY,
        r"(?i)\n\s{0,4}(?:assistant|ai)\s{0,2}:\s{0,4}(?:sure|of course|certainly|understood|absolutely)\b",
        WEAK,
    ),
)
