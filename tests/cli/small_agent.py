"""A small agent, as a program: it asks for one answer by its environment's variables, and shows what comes.

    python small_agent.py [--stream] [--exit N] [--kill N] [--wait] [--show-env] [--print TEXT]... [PROMPT]

--wait: says ``waiting`` and goes on when a line comes, or standard input ends.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from urllib.parse import urlsplit


def ask(prompt: str, *, stream: bool) -> None:
    url = urlsplit(os.environ["OPENAI_BASE_URL"])
    assert url.hostname
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    body = {"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    key = os.environ["OPENAI_API_KEY"]
    connection.request(
        "POST",
        f"{url.path}/chat/completions",
        json.dumps(body),
        {"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    answer = connection.getresponse()
    print("status", answer.status, flush=True)
    while line := answer.readline():
        print(line.decode().rstrip(), flush=True)


def main(words: list[str]) -> int:
    if "--show-env" in words:
        print(json.dumps(dict(os.environ)), flush=True)
    if "--wait" in words:
        print("waiting", flush=True)
        sys.stdin.readline()
    prompts = [word for word in words if not word.startswith("-") and not word.isdigit()]
    if prompts:
        ask(prompts[0], stream="--stream" in words)
    if "--kill" in words:
        os.kill(os.getpid(), int(words[words.index("--kill") + 1]))
    return int(words[words.index("--exit") + 1]) if "--exit" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
