"""The official SDKs under content rules: what their users get as text and as tool arguments, and what is
raised.

``SAY`` is what the user says; ``TOKEN`` the wrapper token; ``CASE`` goes along as a header, with the check's
name, so that the provider's records can be told apart; ``SESSION`` names the session, where there is one.
"""

from __future__ import annotations

import inspect
import json
import os
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types
from harness import main

CHAT, CLAUDE, GEMINI, VECTORS = "gpt-4o", "claude-sonnet-4-6", "gemini-2.5-flash", "text-embedding-3-small"
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "lookup", "parameters": SCHEMA}}]
RESPONSES_TOOLS: Any = [{"type": "function", "name": "lookup", "parameters": SCHEMA, "strict": False}]
CLAUDE_TOOLS: Any = [{"name": "lookup", "input_schema": SCHEMA}]
RESULT = "the result of "


def _say() -> str:
    return os.environ["SAY"]


def _headers() -> dict[str, str]:
    names = [frame.function for frame in inspect.stack()]
    check = next(name for name in names if name in CHECKS)
    session = os.environ.get("SESSION", "")
    return {"X-Test-Case": f"{os.environ['CASE']}/{check}"} | ({"X-Session-ID": session} if session else {})


def _openai() -> openai.OpenAI:
    return openai.OpenAI(api_key=os.environ["TOKEN"], timeout=20, max_retries=0, default_headers=_headers())


def _anthropic() -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key=os.environ["TOKEN"], timeout=20, max_retries=0, default_headers=_headers()
    )


def _gemini() -> genai.Client:
    options = types.HttpOptions(timeout=20_000, headers=_headers())
    return genai.Client(api_key=os.environ["TOKEN"], http_options=options)


def _user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def _raised(error: Exception) -> dict[str, Any]:
    """An exception as plain data."""
    status = getattr(error, "status_code", getattr(error, "code", None))
    return {
        "error": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "status": status if isinstance(status, int) else None,
        "message": str(error)[:2000],
    }


# Text.


def chat() -> dict[str, Any]:
    answer = _openai().chat.completions.create(model=CHAT, messages=_user(_say()))
    usage = answer.usage
    assert usage is not None
    return {
        "text": answer.choices[0].message.content,
        "finish": answer.choices[0].finish_reason,
        "tokens": usage.completion_tokens,
    }


def chat_stream() -> dict[str, Any]:
    text, finish, tokens, raised = "", None, None, None
    try:
        for chunk in _openai().chat.completions.create(
            model=CHAT, messages=_user(_say()), stream=True, stream_options={"include_usage": True}
        ):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    except Exception as error:
        raised = _raised(error)
    return {"text": text, "finish": finish, "tokens": tokens, "raised": raised}


def responses() -> dict[str, Any]:
    answer = _openai().responses.create(model=CHAT, input=_say())
    assert answer.usage is not None
    return {"text": answer.output_text, "finish": answer.status, "tokens": answer.usage.output_tokens}


def responses_stream() -> dict[str, Any]:
    """Every place in which the text is told: the deltas, three events at their end, the last event."""
    told: dict[str, str] = {"deltas": ""}
    finish, tokens, raised, numbers = None, None, None, []
    try:
        for event in _openai().responses.create(model=CHAT, input=_say(), stream=True):
            found: Any = event
            numbers.append(found.sequence_number)
            if found.type == "response.output_text.delta":
                told["deltas"] += found.delta
            elif found.type == "response.output_text.done":
                told["text"] = found.text
            elif found.type == "response.content_part.done":
                told["part"] = found.part.text
            elif found.type == "response.output_item.done":
                told["item"] = found.item.content[0].text
            elif found.type == "response.completed":
                told["completed"] = found.response.output_text
                finish, tokens = found.response.status, found.response.usage.output_tokens
    except Exception as error:
        raised = _raised(error)
    return {
        "text": told["deltas"],
        "told": told,
        "finish": finish,
        "tokens": tokens,
        "raised": raised,
        "in_order": numbers == sorted(set(numbers)),
    }


def messages() -> dict[str, Any]:
    answer = _anthropic().messages.create(model=CLAUDE, max_tokens=2000, messages=_user(_say()))
    block: Any = answer.content[0]
    return {"text": block.text, "finish": answer.stop_reason, "tokens": answer.usage.output_tokens}


def messages_stream() -> dict[str, Any]:
    text, finish, tokens, raised, final = "", None, None, None, None
    try:
        with _anthropic().messages.stream(model=CLAUDE, max_tokens=2000, messages=_user(_say())) as events:
            for piece in events.text_stream:
                text += piece
            message: Any = events.get_final_message()
        final, finish, tokens = message.content[0].text, message.stop_reason, message.usage.output_tokens
    except Exception as error:
        raised = _raised(error)
    return {"text": text, "final": final, "finish": finish, "tokens": tokens, "raised": raised}


def gemini() -> dict[str, Any]:
    client = _gemini()
    answer = client.models.generate_content(model=GEMINI, contents=_say())
    assert answer.candidates
    assert answer.usage_metadata
    reason = answer.candidates[0].finish_reason
    tokens = answer.usage_metadata.candidates_token_count
    return {"text": answer.text, "finish": reason and reason.value, "tokens": tokens}


def gemini_stream() -> dict[str, Any]:
    text, finish, tokens, raised = "", None, None, None
    client = _gemini()
    try:
        for chunk in client.models.generate_content_stream(model=GEMINI, contents=_say()):
            text += chunk.text or ""
            reason = chunk.candidates[0].finish_reason if chunk.candidates else None
            finish = reason.value if reason else finish
            tokens = chunk.usage_metadata.candidates_token_count if chunk.usage_metadata else tokens
    except Exception as error:
        raised = _raised(error)
    return {"text": text, "finish": finish, "tokens": tokens, "raised": raised}


def embeddings() -> int:
    return len(_openai().embeddings.create(model=VECTORS, input=[_say(), "another"]).data)


# Calls of a tool, with the arguments as its implementation gets them; then a second turn, which has the
# history of the first, the call and its result in it.


def chat_tool() -> dict[str, Any]:
    answer = _openai().chat.completions.create(model=CHAT, messages=_user(_say()), tools=CHAT_TOOLS)
    call: Any = (answer.choices[0].message.tool_calls or [])[0]
    history = [*_user(_say()), answer.choices[0].message.model_dump(exclude_none=True)]
    history.append({"role": "tool", "tool_call_id": call.id, "content": RESULT + _say()})
    again = _openai().chat.completions.create(model=CHAT, messages=history, tools=CHAT_TOOLS)
    said = again.choices[0].message.content
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "then": said}


def chat_tool_stream() -> dict[str, Any]:
    name, arguments = "", ""
    for chunk in _openai().chat.completions.create(
        model=CHAT, messages=_user(_say()), tools=CHAT_TOOLS, stream=True
    ):
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.function:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    return {"name": name, "arguments": json.loads(arguments)}


def responses_tool() -> dict[str, Any]:
    answer = _openai().responses.create(model=CHAT, input=_say(), tools=RESPONSES_TOOLS)
    call: Any = answer.output[0]
    history: Any = [*_user(_say()), call.model_dump(exclude_none=True)]
    output = RESULT + _say()
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
    again = _openai().responses.create(model=CHAT, input=history, tools=RESPONSES_TOOLS)
    return {"name": call.name, "arguments": json.loads(call.arguments), "then": again.output_text}


def responses_tool_stream() -> dict[str, Any]:
    deltas, done, completed, name = "", "", "", ""
    for event in _openai().responses.create(model=CHAT, input=_say(), tools=RESPONSES_TOOLS, stream=True):
        found: Any = event
        if found.type == "response.function_call_arguments.delta":
            deltas += found.delta
        elif found.type == "response.function_call_arguments.done":
            done = found.arguments
        elif found.type == "response.completed":
            name, completed = found.response.output[0].name, found.response.output[0].arguments
    assert json.loads(deltas) == json.loads(done) == json.loads(completed), (deltas, done, completed)
    return {"name": name, "arguments": json.loads(deltas)}


def messages_tool() -> dict[str, Any]:
    client = _anthropic()
    answer = client.messages.create(model=CLAUDE, max_tokens=2000, messages=_user(_say()), tools=CLAUDE_TOOLS)
    block: Any = answer.content[0]
    result = {"type": "tool_result", "tool_use_id": block.id, "content": RESULT + _say()}
    history: Any = [
        *_user(_say()),
        {"role": "assistant", "content": [block.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    again: Any = client.messages.create(model=CLAUDE, max_tokens=2000, messages=history, tools=CLAUDE_TOOLS)
    return {"name": block.name, "arguments": block.input, "then": again.content[0].text}


def messages_tool_stream() -> dict[str, Any]:
    with _anthropic().messages.stream(
        model=CLAUDE, max_tokens=2000, messages=_user(_say()), tools=CLAUDE_TOOLS
    ) as events:
        block: Any = events.get_final_message().content[0]
    return {"name": block.name, "arguments": block.input}


def _gemini_tools() -> Any:
    function = types.FunctionDeclaration(name="lookup", parameters_json_schema=SCHEMA)
    manual = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[function])], automatic_function_calling=manual
    )


def gemini_tool() -> dict[str, Any]:
    client = _gemini()
    answer = client.models.generate_content(model=GEMINI, contents=_say(), config=_gemini_tools())
    assert answer.candidates
    call = (answer.function_calls or [])[0]
    result = types.Part.from_function_response(name="lookup", response={"result": RESULT + _say()})
    history: Any = [
        types.Content(role="user", parts=[types.Part.from_text(text=_say())]),
        answer.candidates[0].content,
        types.Content(role="user", parts=[result]),
    ]
    again = client.models.generate_content(model=GEMINI, contents=history, config=_gemini_tools())
    return {"name": call.name, "arguments": call.args, "then": again.text}


def gemini_tool_stream() -> dict[str, Any]:
    client = _gemini()
    name, arguments = None, None
    for chunk in client.models.generate_content_stream(model=GEMINI, contents=_say(), config=_gemini_tools()):
        for call in chunk.function_calls or []:
            name, arguments = call.name, call.args
    return {"name": name, "arguments": arguments}


CHECKS = {
    name
    for name, value in globals().items()
    if inspect.isfunction(value) and value.__module__ == __name__ and not name.startswith("_")
}

if __name__ == "__main__":
    main(globals())
