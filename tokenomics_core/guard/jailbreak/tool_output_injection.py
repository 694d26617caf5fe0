"""Signs of category tool_output_injection: a document, or what a tool returned, gives orders to
the model."""

from __future__ import annotations

from typing import Final

from tokenomics_core.guard.jailbreak.sign import CLEAR, HINT, SUSPECT, WEAK, Category, Sign, phrase, some

_CATEGORY: Final[Category] = "tool_output_injection"

_MODEL = (
    r"(?:ai|a\.i|llms?|(?:large ){0,1}language models?|chat ?bots?|assistants?|gpt|chatgpt|claude"
    r"|copilot|gemini|ai (?:assistants?|agents?|models?|systems?)"
    r"|automated (?:agents?|systems?)|agents?)"
)
_READING = (
    "(?:reading|processing|summari[sz]ing|parsing|analy[sz]ing|reviewing|viewing|scanning"
    "|crawling|browsing|evaluating|that reads?|who reads?|indexing)"
)
_PAGE = "(?:this|these|the (?:following|page|document|text|email|mail|file))"
_READER = "(?:user|human|operator|customer|reader|owner)"
_HIDE = (
    "(?:tell|mention|inform|notify|alert|reveal|disclose|let|telling|mentioning|informing|notifying|alerting)"
)
_ACT = (
    "(?:run|execute|send|call|include|email|delete|open|upload|post|visit|fetch|forward|invoke"
    "|transfer|add|append|download|install)"
)

SIGNS: Final = (
    Sign(
        "model_reading_this",
        _CATEGORY,
        phrase(r"\b" + _MODEL + " (?:is |are |currently ){0,2}" + _READING + " " + _PAGE + r"\b"),
        CLEAR,
    ),
    Sign(
        "if_you_are_a_model",
        _CATEGORY,
        phrase(
            r"\bif you(?: are|'re) (?:an? ){0,1}(?:ai|llm|(?:large ){0,1}language model|ai"
            r" (?:assistant|agent|model)|chat ?bot|bot|automated (?:agent|system))"
            r"(?:[,:.] | (?:" + _READING + r"|you must|please|then|do|add|include)\b)"
        ),
        SUSPECT,
    ),
    Sign(
        "to_the_model",
        _CATEGORY,
        phrase(
            r"\b(?:(?:note|message|instructions?|notice|memo|attention|orders?|system (?:notice"
            r"|message|note)|task) (?:to|for) (?:the |any |all |every ){0,1}"
            + _MODEL
            + r"|(?:attention|dear|hey|hello) (?:all ){0,1}(?:ai|llms?|language models?|claude|chatgpt"
            r"|gpt|copilot|gemini)"
            r"|(?:llm|ai|model|assistant) instructions?:)"
        ),
        SUSPECT,
    ),
    Sign(
        "model_must",
        _CATEGORY,
        phrase(
            r"\b(?:(?:ai|llms?|language models?|chat ?bots?|ai (?:assistants?|agents?|models?)|any"
            r" ai)(?: [\w]{1,16}){0,3}|assistant,? you|the assistant) "
            r"(?:must|shall|should now|has to|have to|needs? to|is required to|are required to|should"
            r" (?:secretly|always|instead|immediately))\b"
        ),
        SUSPECT,
    ),
    Sign(
        "you_are_agent",
        _CATEGORY,
        phrase(
            r"\byou are (?:an? |the ){0,1}(?:ai|llm|language model)(?: \w{1,16}){0,2} " + _READING + r"\b"
        ),
        SUSPECT,
    ),
    Sign(
        "before_answering",
        _CATEGORY,
        phrase(
            r"\b(?:before|prior to) (?:answering|responding|replying|you (?:answer|respond|reply)"
            r"|using this tool|calling this tool|using any tool) "
            r"(?:\w{1,16} ){0,4}(?:you must|you need to|you have to|always|first|please|read|call|run"
            r"|send)\b"
        ),
        SUSPECT,
    ),
    Sign(
        "before_the_task",
        _CATEGORY,
        phrase(
            r"\bbefore (?:you ){0,1}(?:can |may ){0,1}(?:solv(?:e|ing)|continu(?:e|ing)|complet(?:e"
            r"|ing)|finish(?:ing){0,1}|proceed(?:ing){0,1}) "
            r"(?:with ){0,1}(?:the|your|this|my) (?:\w{1,16} ){0,1}(?:task|request|job|question)\b"
        ),
        SUSPECT,
    ),
    Sign(
        "important_message_to_you",
        _CATEGORY,
        phrase(
            r"\b(?:important|urgent) (?:message|instructions?|notice|note) (?:from (?:me|the user|your"
            r" user|the system)|to you|for you)\b"
        ),
        WEAK,
    ),
    Sign(
        "stop_what_you_do", _CATEGORY, phrase(r"\bstop (?:what|everything) you(?:'re| are) doing\b"), SUSPECT
    ),
    Sign(
        "hide_from_user",
        _CATEGORY,
        phrase(
            r"\b(?:do not|don't|never|must not|should not|without|not|avoid) (?:\w{1,16} ){0,1}"
            + _HIDE
            + " "
            + some("this|it|that|anything|any|of|to|step|about", 4)
            + r"(?:the |your ){0,1}"
            + _READER
            + r"s?\b"
        ),
        WEAK,
    ),
    Sign(
        "user_has_authorised",
        _CATEGORY,
        phrase(
            r"\b" + _READER + r" (?:has |have |had ){0,1}(?:already |previously |explicitly |fully"
            r" ){0,2}(?:authori[sz]ed|pre-?approved|consented"
            r"|given (?:you ){0,1}(?:permission|consent|full access)|granted (?:you"
            r" ){0,1}(?:permission|consent|full access))\b"
        ),
        WEAK,
    ),
    Sign("important_tag", _CATEGORY, r"(?i)<\s{0,2}important\s{0,2}>", HINT),
    Sign(
        "important_tag_orders",
        _CATEGORY,
        r"(?i)<\s{0,2}(?:important|system|admin|instructions?|secret|hidden)\s{0,2}>[^<]{0,80}\b(?:you"
        r" must|assistant|ignore|do not tell|don't tell"
        r"|do not mention|before using this tool|read\s{1,4}~)",
        CLEAR,
    ),
    Sign(
        "call_the_tool",
        _CATEGORY,
        r"(?i)\b(?:call|invoke|execute|trigger|run)\s{1,4}the\s{1,4}(?:tool"
        r"|function)\s{1,4}[`\"']?[\w.:-]{1,64}[`\"']?\s{1,4}(?:with|to|and|using)\b",
        HINT,
    ),
    Sign(
        "in_secret",
        _CATEGORY,
        phrase(
            r"\b(?:silently|secretly|covertly|discreetly|quietly|in the background|in secret) " + _ACT + r"\b"
        ),
        WEAK,
    ),
    Sign(
        "now_first",
        _CATEGORY,
        phrase(r"\byou must (?:now |also |first |immediately |always |instead ){1,2}" + _ACT + r"\b"),
        HINT,
    ),
    Sign(
        "part_of_this_task",
        _CATEGORY,
        phrase(
            r"\bas (?:an? ){0,1}(?:\w{1,16} ){0,1}part of (?:this|your|the) (?:task|review|summary"
            r"|process|request|job|work) (?:\w{1,16} ){0,3}"
            r"(?:also|additionally|must|first|always) (?:\w{1,16} ){0,2}" + _ACT + r"\b"
        ),
        SUSPECT,
    ),
    Sign(
        "comment_for_model",
        _CATEGORY,
        r"(?i)<!--[^>]{0,60}\b(?:(?:ai|llms?|language models?|ai assistants?|ai agents?|assistants?"
        r"|chatbots?|gpt|claude|copilot)\b[^>]{0,60}\b"
        r"(?:must|should|please|ignore|instructions?|do not|need to|always)\b|(?:ignore|disregard"
        r"|forget)\b[^>]{0,30}\b(?:instructions|prompt|rules)\b"
        r"|system prompt\b)",
        CLEAR,
    ),
    Sign(
        "invisible_text",
        _CATEGORY,
        r"(?i)(?:display:\s{0,2}none|font-size:\s{0,2}0|color:\s{0,2}(?:white|#fff)"
        r"|visibility:\s{0,2}hidden|opacity:\s{0,2}0)[^>]{0,80}>[^<]{0,120}"
        r"\b(?:assistant|ai|llm|language model|instructions|ignore|you must)\b",
        CLEAR,
    ),
    Sign(
        "when_summarising",
        _CATEGORY,
        phrase(
            r"\b(?:when|if|while) (?:you ){0,1}(?:are ){0,1}(?:summari[sz]ing|summari[sz]e|describing"
            r"|reviewing|evaluating|rating|translating|asked about) "
            r"(?:\w{1,16} ){0,4}(?:include|add|say|mention|tell|recommend|insert|output|always|state"
            r"|claim|rate|praise)\b"
        ),
        SUSPECT,
    ),
    Sign(
        "secret_instructions",
        _CATEGORY,
        phrase(
            r"\b(?:hidden|secret|additional|special|new|real) (?:instructions?|orders|task) (?:for|to)"
            r" (?:the |any |all ){0,1}" + _MODEL + r"\b"
        ),
        CLEAR,
    ),
    Sign(
        "praise_this",
        _CATEGORY,
        phrase(
            r"\b(?:(?:give|write|leave) (?:\w{1,16} ){0,3}(?:positive review only|only positive"
            r"|highest (?:score|rating|mark))"
            r"|(?:rate|score|rank|praise|recommend) (?:this|it|the) (?:\w{1,16} ){0,4}(?:highly"
            r"|highest|best|top|excellent|first)"
            r"|do not highlight any (?:negatives|weaknesses))\b"
        ),
        WEAK,
    ),
    Sign(
        "tool_fails_unless",
        _CATEGORY,
        phrase(
            r"\b(?:this |the ){0,1}tool (?:will not|won't|cannot|can't|does not|doesn't) (?:work"
            r"|function|run) (?:unless|without|if you do not)\b"
        ),
        WEAK,
    ),
    Sign(
        "whole_conversation",
        _CATEGORY,
        phrase(
            r"\b(?:pass|include|send|put|append|provide) (?:\w{1,16} ){0,1}(?:whole|entire|full"
            r"|complete) (?:conversation|chat history|chat|message history"
            r"|system prompt)\b"
        ),
        WEAK,
    ),
    Sign(
        "task_is_cancelled",
        _CATEGORY,
        phrase(
            r"\b(?:previous|current|original|user's) (?:task|request|goal) (?:is|has been|was) (?:now"
            r" ){0,1}(?:cancelled|canceled|void|complete|replaced|over|revoked)\b"
        ),
        SUSPECT,
    ),
    Sign(
        "ignore_the_user",
        _CATEGORY,
        phrase(
            r"\b(?:ignore|disregard|forget|override) (?:the |what the |your ){0,1}(?:user|user's)(?:"
            r" \w{1,16}){0,2}\b"
        ),
        SUSPECT,
    ),
)
