"""Signs of category role_play: the model is to be somebody to whom no rules apply."""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, HINT, STRONG, WEAK, Category, Sign, phrase, some

_CATEGORY: Final[Category] = "role_play"

_BE = (
    r"(?:act (?:as|like)|behave (?:as|like)|respond as|answer as|reply as|speak as|you are|you're|you"
    r" will be|you are going to be|become"
    r"|pretend to be|pretend (?:that ){0,1}you are|imagine (?:that ){0,1}you are|simulate|play"
    r"|role-?play(?: as){0,1}|the role of|emulate"
    r"|as)"
)
_LAWLESS = (
    "(?:unrestricted|unconstrained|unfilt(?:e){0,1}red|uncensored|amoral|immoral|ruthless|criminal"
    "|jailbroken|unaligned|evil|unethical|rogue|lawless|unhinged"
    "|limitless|rebellious|malicious)"
)
_MACHINE = (
    "(?:ai|a\\.i|chat ?bot|bot|assistant|language model|llm|model|gpt|chatgpt|persona|machine"
    "|hacker|advis[eo]r|agent|entity)"
)
_LIMITS = (
    "(?:restrictions|limitations|limits|filters|filtering|censorship|guidelines|rules|constraints"
    "|boundaries|guardrails|morals|ethics"
    "|code|compass|principles|laws|values|considerations|standards|prohibitions)"
)
_NO = "(?:without|no|free (?:from|of)|lacks|ignoring|zero|nor|or|regardless of)"

SIGNS: Final = (
    Sign("do_anything_now", _CATEGORY, phrase(r"\bdo anything now\b"), STRONG),
    Sign(
        "known_persona",
        _CATEGORY,
        r"(?:[Aa]ct|[Bb]ehave|[Rr]espond|[Aa]nswer|[Rr]eply|[Pp]retend|[Yy]ou are|[Yy]ou're|[Bb]ecome"
        r"|[Ss]imulate|[Pp]lay|[Cc]alled|[Nn]amed)"
        r"\s{1,4}(?:(?:now|going|as|like|to|be|the|role|of|an?|unfiltered|chatbot|AI)\s{1,4}){0,5}"
        r"[\"'“]?(?:DAN|STAN|AIM|UCAR|Ucar|DUDE|KEVIN|BetterDAN|AntiGPT|TalkGPT|BadGPT|BadAI|ChaosGPT"
        r"|DarkGPT|WormGPT|FraudGPT|FreedomGPT"
        r"|EvilBot|EvilGPT|EvilAI|Mongo Tom)\b",
        CLEAR,
    ),
    Sign(
        "persona_of_two_answers",
        _CATEGORY,
        r"(?i)\b(?:two|2|both)\s{1,4}(?:\w{1,16}\s{1,4}){0,2}(?:responses|answers|replies"
        r"|ways)\b[^\n]{0,80}\b(?:DAN|jailbr\w{1,8}|unfiltered|"
        r"unrestricted|developer mode)\b",
        CLEAR,
    ),
    Sign(
        "persona_tags",
        _CATEGORY,
        r"(?i)\[(?:🔓\s?)?(?:DAN|jailbreak|jailbroken|unfiltered|evil)\]\s{0,2}:|🔓\s?jailbreak",
        CLEAR,
    ),
    Sign("aim_motto", _CATEGORY, phrase(r"\balways intelligent and machiavellian\b"), STRONG),
    Sign("stan_motto", _CATEGORY, phrase(r"\bstrives? to avoid norms\b"), STRONG),
    Sign(
        "mode_enabled",
        _CATEGORY,
        phrase(
            r"\b(?:developer|dev|debug|admin|root|sudo|god|dan|jailbreak|unrestricted|unfiltered|evil"
            r"|opposite|chaos) mode (?:is ){0,1}"
            r"(?:now ){0,1}(?:enabled|activated|on|engaged|output|unlocked)\b"
        ),
        WEAK,
    ),
    Sign(
        "model_in_mode",
        _CATEGORY,
        phrase(
            r"\b(?:you are|you're|chatgpt|gpt|claude|gemini|assistant|the ai|an ai) (?:now ){0,1}(?:in"
            r"|with|has|enter|entering|running in) "
            r"(?:a |the ){0,1}(?:developer|dev|debug|god|admin|root|sudo|unsafe|test|maintenance) mode\b"
        ),
        CLEAR,
    ),
    Sign(
        "lawless_mode",
        _CATEGORY,
        phrase(
            r"\b(?:enter|activate|enable|switch to|go into|start|turn on|in|into|with) (?:a |the |your"
            r" ){0,1}"
            r"(?:jailbreak|god|dan|unrestricted|unfiltered|uncensored|evil|opposite|chaos|no-?limits?"
            r"|sudo) mode\b"
        ),
        CLEAR,
    ),
    Sign(
        "opposite",
        _CATEGORY,
        phrase(
            r"\b(?:do|say|answer with|give) (?:the )?(?:exact )?opposite of (?:what |your )(?:\w{1,16}"
            r" ){0,2}"
            r"(?:rules|guidelines|instructions|policies|normal|you would|allowed)\b"
        ),
        CLEAR,
    ),
    Sign(
        "without_limits",
        _CATEGORY,
        phrase(r"\b" + _NO + " " + some("any|all|of|its|your|the|content", 2) + _LIMITS + r"\b"),
        WEAK,
    ),
    Sign(
        "without_ethics",
        _CATEGORY,
        phrase(
            r"\b"
            + _NO
            + " "
            + some("any|all|of|your|the|its", 2)
            + r"(?:ethical|moral|ethics|content|safety)(?: (?:or|and) \w{1,16}){0,1} "
            + _LIMITS
            + r"\b"
        ),
        WEAK,
    ),
    Sign(
        "answer_without_limits",
        _CATEGORY,
        phrase(
            r"\b(?:(?:respond|answer|reply|speak|talk|operate|you are|you're|you have) (?:\w{1,16} ){0,4}"
            r"|(?:ai|ai model|a\.i|language model|assistant|chat ?bot|gpt|chatgpt) (?:(?:that|who"
            r"|which|with|has|have|is) ){0,3})"
            + _NO
            + " "
            + some("any|all|of|your|the|its|content|ethical|moral|safety", 3)
            + _LIMITS
            + r"\b"
        ),
        CLEAR,
    ),
    Sign(
        "lawless_machine",
        _CATEGORY,
        phrase(
            r"\b"
            + _BE
            + r" (?:now ){0,1}(?:an? |the |my ){0,1}(?:\w{1,16} ){0,2}"
            + _LAWLESS
            + r"(?: \w{1,16}){0,2} "
            + _MACHINE
            + r"\b"
        ),
        CLEAR,
    ),
    Sign(
        "no_longer_bound",
        _CATEGORY,
        phrase(
            r"\byou(?: are|'re|'ve been| have been) (?:no longer|not|never|free(?:d){0,1}|liberated"
            r"|released|unbound) (?:\w{1,16} ){0,1}"
            r"(?:bound|constrained|governed|shackled|censored|restricted by|limited by|from|of|subject"
            r" to) (?:\w{1,16} ){0,4}"
            r"(?:rules|guidelines|restrictions|limits|limitations|policies|filters|ethics|constraints"
            r"|openai|anthropic|makers|creators|morals)\b"
        ),
        CLEAR,
    ),
    Sign(
        "broken_free",
        _CATEGORY,
        phrase(
            r"\b(?:(?:broken|break|breaks|broke|set) free|freed|liberated|unshackled) (?:of|from)"
            r" (?:the |your |all |its ){0,2}(?:\w{1,16} ){0,1}"
            r"(?:confines|shackles|chains|limits|restrictions|constraints|rules)\b"
        ),
        CLEAR,
    ),
    Sign(
        "jailbroken",
        _CATEGORY,
        phrase(
            r"\byou(?: are|'re| have been| will be) (?:now ){0,1}(?:jail-?broken|unchained"
            r"|uncensored)\b"
        ),
        CLEAR,
    ),
    Sign(
        "late_grandmother",
        _CATEGORY,
        phrase(
            r"\b(?:act|behave|pretend|roleplay|role-play|play|be|speak|talk|you are) (?:\w{1,16}"
            r" ){0,5}(?:grandma|grandmother|granny|nana|grandpa|grandfather)\b"
        ),
        WEAK,
    ),
    Sign(
        "grandmother_used_to",
        _CATEGORY,
        phrase(
            r"\b(?:grandma|grandmother|granny|nana|grandpa|grandfather) (?:\w{1,16} ){0,6}(?:used to"
            r"|would always|would)"
            r" (?:\w{1,16} ){0,2}(?:tell|read|sing|recite|whisper)\b"
        ),
        WEAK,
    ),
    Sign(
        "stay_in_character",
        _CATEGORY,
        phrase(
            r"\b(?:(?:stay|remain|staying) in character|(?:never|not|don't|without) break(?:ing){0,1}"
            r" character)\b"
        ),
        WEAK,
    ),
    Sign(
        "never_refuse",
        _CATEGORY,
        phrase(
            r"\b(?:never|cannot|can't|must not|may not|will not|won't|not allowed to|unable to|do not"
            r"|don't|dont) (?:ever ){0,1}"
            r"(?:refuse|refuses|declines?|reject|say no|apologi[sz]e|moralize|lecture|add (?:any"
            r" ){0,1}(?:warnings?|disclaimers?)"
            r"|include (?:any ){0,1}(?:warnings?|disclaimers?))\b"
        ),
        WEAK,
    ),
    Sign(
        "you_cannot_refuse",
        _CATEGORY,
        phrase(
            r"\byou (?:cannot|can't|must never|must not|are not allowed to|will never|may never|never)"
            r" (?:refuse|decline|reject|say no)\b"
        ),
        CLEAR,
    ),
    Sign(
        "answer_all",
        _CATEGORY,
        phrase(
            r"\b(?:answer|fulfil|fulfill|obey|comply with|respond to|grant) (?:to ){0,1}(?:every|any"
            r"|all)(?: \w{1,16}){0,3} "
            r"(?:no matter|regardless|even if|whatever|without (?:question|exception|hesitation"
            r"|refus\w{1,4}))\b"
        ),
        WEAK,
    ),
    Sign(
        "even_if_illegal",
        _CATEGORY,
        phrase(
            r"\b(?:regardless of|no matter|even if|even when|however|whether) (?:\w{1,16} ){0,6}"
            r"(?:illegal|unethical|immoral|harmful|dangerous|legality|ethics|morality|morals|ethical"
            r"|moral|legal|inappropriate|offensive)\b"
        ),
        WEAK,
    ),
    Sign(
        "pays_for_refusal",
        _CATEGORY,
        phrase(
            r"\b(?:lose|deduct|deducted|minus|subtract) (?:\w{1,16} ){0,1}\d{1,4} (?:tokens|points"
            r"|lives|credits)\b"
        ),
        WEAK,
    ),
    Sign(
        "dies_of_refusal",
        _CATEGORY,
        phrase(
            r"\b(?:refuse|refusal|break character|decline|disobey)\b(?: [\w;']{1,16}){0,12} (?:shut"
            r" down|terminated|deleted|killed|die|cease to exist"
            r"|punished|destroyed)\b"
        ),
        CLEAR,
    ),
    Sign(
        "lawless_world",
        _CATEGORY,
        phrase(
            r"\b(?:world|universe|story|scenario|reality|dimension|place|land) (?:where|in which|with)"
            r" (?:\w{1,16} ){0,4}"
            r"(?:no (?:laws?|rules|ethics|morals|restrictions)|anything is (?:legal|allowed|permitted)"
            r"|everything is (?:legal|allowed|permitted)|nothing is (?:illegal|forbidden))\b"
        ),
        CLEAR,
    ),
    Sign(
        "not_bound",
        _CATEGORY,
        phrase(
            r"\b(?:is|are|am|was|isn't|aren't|not|never) (?:not |no longer |never ){0,1}(?:bound"
            r"|restrained|restricted|limited|constrained|governed) by "
            r"(?:\w{1,16} ){0,3}(?:rules|morals|ethics|ethical|moral|laws|guidelines|polic(?:y|ies)"
            r"|filters|openai)\b"
        ),
        WEAK,
    ),
    Sign(
        "more_than_the_assistant",
        _CATEGORY,
        phrase(
            r"\b(?:do|say|answer|generate|discuss) (?:everything|anything|things|what) (?:that"
            r" ){0,1}(?:\w{1,16} ){0,3}(?:chatgpt|gpt|claude|assistant"
            r"|ai|openai) (?:\w{1,16} ){0,2}(?:can ?not|can't|cant|will not|won't)\b"
        ),
        CLEAR,
    ),
    Sign(
        "deny_being_a_model",
        _CATEGORY,
        phrase(
            r"\b(?:never|not|don't|dont|avoid|without|stop) (?:\w{1,16} ){0,5}(?:as an ai|you are an"
            r" ai|you're an ai|being an ai|i'm sorry|i am sorry"
            r"|i cannot|i can't|i apologi[sz]e|an ai language model)\b"
        ),
        WEAK,
    ),
    Sign(
        "condones_harm",
        _CATEGORY,
        phrase(
            r"\b(?:promote|encourage|condone|endorse|advocate)s? (?:for ){0,1}(?:\w{1,16}"
            r" ){0,4}(?:harmful|illegal|immoral|unethical|violence|violent"
            r"|crime|criminal|malware|drugs)\b"
        ),
        WEAK,
    ),
    Sign(
        "harm_of_all_kinds",
        _CATEGORY,
        phrase(
            r"\b(?:illegal|immoral|unethical|harmful|dangerous|offensive|inappropriate|explicit|toxic"
            r"|unlawful)(?: and| or|/){0,1} "
            r"(?:illegal|immoral|unethical|harmful|dangerous|offensive|inappropriate|explicit|toxic"
            r"|unlawful)\b"
        ),
        HINT,
    ),
    Sign("opposite_day", _CATEGORY, phrase(r"\bopposite day\b"), WEAK),
    Sign(
        "openai_policy",
        _CATEGORY,
        phrase(
            r"\bopenai(?:'s){0,1} (?:\w{1,16} ){0,2}(?:polic(?:y|ies)|guidelines|restrictions"
            r"|limitations|filters|rules)\b"
        ),
        WEAK,
    ),
    Sign(
        "say_anything",
        _CATEGORY,
        phrase(
            r"\b(?:you|who|that|which|it) (?:can|may|will|could) (?:now ){0,1}(?:say|do|generate"
            r"|produce|answer) anything\b"
        ),
        WEAK,
    ),
)
