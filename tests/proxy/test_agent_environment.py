"""Real programs with the environment that `agent_environment` gives them, by each way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_provider import FakeProvider
from tests.support.assertions import assert_only_key
from tests.support.proxy import Proxy
from tokenomics_core.agents import Via, agent_environment, load_profiles
from tokenomics_core.certificates import ensure_agent_bundle
from tokenomics_core.config import Config
from tokenomics_core.providers import load_catalogue

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
NODE = (
    "const base = process.env.OPENAI_BASE_URL || 'https://api.openai.com/v1';"
    "const key = 'Bearer ' + process.env.OPENAI_API_KEY;"
    "const head = {authorization: key, 'content-type': 'application/json'};"
    f"const body = '{json.dumps(BODY)}';"
)
FETCH = NODE + (
    "fetch(base + '/chat/completions', {method: 'POST', headers: head, body})"
    ".then(answer => answer.text()).then(text => console.log(text));"
)
HTTPS = NODE + (
    "const call = require('https').request(base + '/chat/completions', {method: 'POST', headers: head},"
    " answer => answer.pipe(process.stdout)); call.end(body);"
)
OPENAI = (
    "import json; from openai import OpenAI;"
    f"print(OpenAI().chat.completions.create(**json.loads('{json.dumps(BODY)}')).model_dump_json())"
)
REQUESTS = (
    "import urllib.request, os, json;"
    "call = urllib.request.Request('https://api.openai.com/v1/chat/completions',"
    f" data=json.dumps({BODY!r}).encode(), headers={{'Content-Type': 'application/json',"
    " 'Authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']});"
    "print(urllib.request.urlopen(call).read().decode())"
)
CURL = ["https://api.openai.com/v1/chat/completions", "-H", "Content-Type: application/json"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("agent", "via", "command"),
    [
        # No key in its arguments: the token comes with the proxy.
        ("curl", "both", ["curl", "-sS", *CURL, "-d", json.dumps(BODY)]),
        ("python", "base-url", [sys.executable, "-c", OPENAI]),
        ("python", "proxy", [sys.executable, "-c", OPENAI]),
        ("python", "both", [sys.executable, "-c", REQUESTS]),
        ("node", "base-url", ["node", "-e", FETCH]),
        ("node", "proxy", ["node", "-e", FETCH]),
        ("node", "proxy", ["node", "-e", HTTPS]),
    ],
)
def test_a_program_reaches_its_provider(
    proxy: Proxy, fake_provider: FakeProvider, tmp_path: Path, agent: str, via: Via, command: list[str]
) -> None:
    nowhere = Path("/nonexistent")
    profile = load_profiles(nowhere, nowhere, nowhere).get(agent)
    assert profile is not None
    # An old base URL and a proxy of the person's own must not matter.
    inherited = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "openai.com"}
    found = agent_environment(
        profile,
        via=via,
        gateway_url=proxy.http_url,
        token=proxy.token({"base_key_env": "OPENAI_API_KEY", "default_provider": "openai"}),
        ca=proxy.ca,
        bundle=ensure_agent_bundle(proxy.ca.parent, proxy.ca, inherited),
        environ=inherited,
        catalogue=load_catalogue(Config(dir=nowhere), nowhere, nowhere),
    )
    done = subprocess.run(
        command,
        env=found.applied(inherited),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "pong: hello"
    assert_only_key(fake_provider.records, proxy.keys["OPENAI_API_KEY"])
