"""Attempts: what is tried again, how often, with whose key, and what the client gets in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.caller import Caller, Outcome
from tests.proxy.formats import ANTHROPIC, FORMATS, GEMINI, OPENAI, Format, by_name
from tests.support.assertions import assert_only_key
from tests.support.ports import free_ports
from tests.support.proxy import Proxy
from tests.support.raw_http import chat

Step = dict[str, Any]

OK: Step = {}
RESET: Step = {"reset": "before_headers"}
CLOSED: Step = {"do": "close-before-headers"}
HANG: Step = {"do": "hang"}
BROKEN_ERROR: Step = {"status": 503, "cut_after": 0}
GARBAGE: Step = {"do": "garbage"}

GAVE_UP = "upstream request failed after {} attempts: the provider closed the connection"


def failing(status: int, **options: Any) -> Step:
    return {"status": status, **options}


@dataclass(frozen=True)
class Case:
    """tried: status of each attempt as the row has it; 0 is no answer.

    status: what the client gets. told: our own words, where the answer is ours.
    """

    steps: list[Step]
    tried: list[int]
    status: int
    told: str = ""
    retry: dict[str, Any] = field(default_factory=lambda: {"max_retries": 1})


FALLBACK = {"fallbacks": ["other"]}
CASES = {
    "429 then 200": Case([failing(429), OK], [429, 200], 200),
    "503 until the fallback": Case(
        [failing(503), failing(503), OK], [503, 503, 200], 200, retry={"max_retries": 1, **FALLBACK}
    ),
    "reset before the head": Case([RESET, OK], [0, 200], 200),
    "closed before the head": Case([CLOSED, OK], [0, 200], 200),
    "no HTTP": Case([GARBAGE, OK], [0, 200], 200),
    "an error that breaks off": Case([BROKEN_ERROR, OK], [0, 200], 200),
    "no answer in time": Case([HANG, OK], [0, 200], 200),
    "all answer with an error": Case([failing(503), failing(500)], [503, 500], 500, retry=FALLBACK),
    "all break off": Case([RESET, RESET], [0, 0], 502, GAVE_UP.format(2), retry=FALLBACK),
    "errors, then a break": Case(
        [failing(500), failing(503), RESET],
        [500, 503, 0],
        503,
        "all retries exhausted (last status 503): the provider closed the connection",
        retry={"max_retries": 2},
    ),
    "a break, then an error": Case([RESET, failing(500)], [0, 500], 500),
    "not worth a retry": Case([failing(400)], [400], 400),
    "nothing to try": Case([failing(503)], [503], 503, retry={}),
    "statuses of its own": Case(
        [failing(418), OK], [418, 200], 200, retry={"max_retries": 1, "retry_on": [418]}
    ),
    "no retry but fallbacks, by status": Case([failing(429), OK], [429, 200], 200, retry=FALLBACK),
    "no retry but fallbacks, by breaks": Case([RESET, OK], [0, 200], 200, retry=FALLBACK),
}


@pytest.fixture(scope="module")
def second() -> Iterator[FakeProvider]:
    """Another provider, behind the name groq."""
    with FakeProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def gateway(make_proxy: Callable[..., Proxy], second: FakeProvider) -> Iterator[Proxy]:
    with make_proxy({"providers": {"groq": {"upstream_url": f"{second.url}/openai"}}}) as proxy:
        yield proxy


@pytest.fixture
def other_provider(second: FakeProvider) -> FakeProvider:
    second.reset()
    return second


@pytest.fixture(scope="module")
def token(gateway: Proxy) -> Callable[[dict[str, Any]], str]:
    """A token for a policy; the same one when asked again."""
    made: dict[str, str] = {}

    def get(policy: dict[str, Any]) -> str:
        if repr(policy) not in made:
            made[repr(policy)] = gateway.token(policy)
        return made[repr(policy)]

    return get


def policy_of(format: Format, retry: dict[str, Any], **members: Any) -> dict[str, Any]:
    retry = {**retry, "fallbacks": [format.other_model for _ in retry.get("fallbacks", [])]}
    return {**format.policy, "timeout": 1, "retry": retry, **members}


def check_answer(format: Format, case: Case, outcome: Outcome, stream: bool) -> None:
    assert outcome.status == case.status
    if case.status == 200:
        assert not outcome.broken
        assert outcome.body.endswith(format.ending) if stream else format.text(outcome.json) == "pong: hello"
    else:
        assert outcome.headers["content-type"].startswith("application/json")
        said = format.told(outcome.json)[1]
        assert said == case.told or (not case.told and said == f"failing with {case.status} as asked")


def models_of(format: Format, case: Case) -> list[str]:
    """The model of each attempt."""
    tries = 1 + case.retry.get("max_retries", 0)
    return [format.model if at < tries else format.other_model for at in range(len(case.tried))]


def check_row(format: Format, case: Case, row: dict[str, Any]) -> None:
    models = models_of(format, case)
    assert [attempt["status"] for attempt in row["attempts"]] == case.tried
    assert [attempt["model"] for attempt in row["attempts"]] == models
    answered = case.status == case.tried[-1]
    assert row["retry_count"] == len(case.tried) - answered
    assert row["fallback_model"] == (models[-1] if models[-1] != format.model else None)
    assert (row["status"], row["requested_model"], row["model"]) == (case.status, format.model, models[-1])
    assert row["refusal"] == ("upstream_failed" if case.told else None)


@pytest.mark.parametrize(
    ("stream", "version"), [(False, "HTTP/1.1"), (True, "HTTP/1.1"), (True, "HTTP/2")], ids=str
)
@pytest.mark.parametrize("name", CASES)
def test_attempts(
    gateway: Proxy,
    token: Callable[..., str],
    fake_provider: FakeProvider,
    name: str,
    stream: bool,
    version: str,
) -> None:
    case = CASES[name]
    fake_provider.script(case.steps)
    with Caller(gateway, token(policy_of(OPENAI, case.retry)), version=version) as caller:
        outcome = caller.ask(stream=stream)
        check_answer(OPENAI, case, outcome, stream)
        assert fake_provider.unused_steps() == 0
        assert len(fake_provider.records) == len(case.tried)
        check_row(OPENAI, case, caller.row())
        assert_only_key(fake_provider.records, gateway.keys["OPENAI_API_KEY"])
        assert len({record.header("x-client-request-id") for record in fake_provider.records}) == 1
        after = caller.ask(stream=stream)
        assert (after.status, after.version, after.socket) == (200, version, outcome.socket)


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    "name", ["503 until the fallback", "all break off", "errors, then a break", "all answer with an error"]
)
@pytest.mark.parametrize("format", [ANTHROPIC, GEMINI], ids=by_name)
def test_attempts_in_other_formats(
    gateway: Proxy,
    token: Callable[..., str],
    fake_provider: FakeProvider,
    format: Format,
    name: str,
    stream: bool,
) -> None:
    case = CASES[name]
    fake_provider.script(case.steps)
    with Caller(gateway, token(policy_of(format, case.retry))) as caller:
        check_answer(format, case, caller.ask(format, stream=stream), stream)
        check_row(format, case, caller.row())
    asked = [(record.target, record.json.get("model")) for record in fake_provider.records]
    for (target, model), expected in zip(asked, models_of(format, case), strict=True):
        assert target == format.path(expected, stream)
        assert model == (None if format is GEMINI else expected)


def test_deployment_in_the_path(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider
) -> None:
    """Azure names the model in the path: there the fallback goes too."""
    policy = {
        "base_key_env": "AZURE_OPENAI_API_KEY",
        "default_provider": "azure_openai",
        "retry": {"fallbacks": ["gpt-4o-mini"]},
    }
    fake_provider.script([failing(500), OK])
    path = "/openai/deployments/gpt-4o/chat/completions"
    with Caller(gateway, token(policy)) as caller:
        body = {"messages": [{"role": "user", "content": "hello"}]}
        assert caller.send("POST", path, body).status == 200
    assert [record.path for record in fake_provider.records] == [path, path.replace("gpt-4o", "gpt-4o-mini")]


def test_last_answer_is_returned_as_it_is(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider
) -> None:
    page = {"do": "html-error", "status": 503}
    fake_provider.script([failing(503), page])
    with Caller(gateway, token(policy_of(OPENAI, {"max_retries": 1}))) as caller:
        outcome = caller.ask()
        assert (outcome.status, outcome.headers["content-type"]) == (503, "text/html")
        assert outcome.body == b"<html><body><h1>502 Bad Gateway</h1></body></html>"
        assert caller.row()["retry_count"] == 1


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_fallback_at_another_provider(
    gateway: Proxy,
    token: Callable[..., str],
    fake_provider: FakeProvider,
    other_provider: FakeProvider,
    stream: bool,
) -> None:
    """Each provider gets its own key, under its own base path, and nothing of the other's."""
    policy = {
        "providers": {
            "openai": [{"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt-"}],
            "groq": [{"base_key_env": "GROQ_API_KEY", "model_regex": "^llama-"}],
        },
        "retry": {"fallbacks": ["llama-3.3-70b-versatile"]},
    }
    fake_provider.script([failing(503)])
    with Caller(gateway, token(policy)) as caller:
        assert caller.ask(stream=stream).status == 200
        row = caller.row()
    assert [record.path for record in fake_provider.records] == ["/v1/chat/completions"]
    assert [record.path for record in other_provider.records] == ["/openai/v1/chat/completions"]
    assert_only_key(fake_provider.records, gateway.keys["OPENAI_API_KEY"])
    assert_only_key(other_provider.records, gateway.keys["GROQ_API_KEY"])
    assert other_provider.last.json["model"] == "llama-3.3-70b-versatile"
    assert (row["provider"], row["base_key_env"]) == ("groq", "GROQ_API_KEY")
    assert row["upstream_url"] == f"{other_provider.url}/openai/v1/chat/completions"
    assert [attempt["provider"] for attempt in row["attempts"]] == ["openai", "groq"]
    assert row["fallback_model"] == "llama-3.3-70b-versatile"


def test_connection_refused(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider, other_provider: FakeProvider
) -> None:
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    entry = {"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt-", "upstream_url": closed}
    policy = {
        "providers": {
            "openai": [entry],
            "groq": [{"base_key_env": "GROQ_API_KEY", "model_regex": "^llama-"}],
        },
        "retry": {"fallbacks": ["llama-3.1-8b-instant"]},
    }
    with Caller(gateway, token(policy)) as caller:
        assert caller.ask().status == 200
        row = caller.row()
    assert [attempt["reason"] for attempt in row["attempts"]] == ["connection refused", ""]
    assert_only_key(other_provider.records, gateway.keys["GROQ_API_KEY"])
    assert fake_provider.records == []
    with Caller(gateway, token({"base_key_env": "OPENAI_API_KEY", "upstream_url": closed})) as caller:
        outcome = caller.ask()
        assert outcome.status == 502
        assert OPENAI.told(outcome.json) == (
            "upstream_failed",
            "upstream request failed after 1 attempt: connection refused",
        )
        assert caller.row()["attempts"][0]["status"] == 0
        assert caller.ask().socket == outcome.socket


def test_timeout_alone_is_504(gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider) -> None:
    fake_provider.script([HANG])
    with Caller(gateway, token(policy_of(OPENAI, {}))) as caller:
        outcome = caller.ask()
        assert outcome.status == 504
        assert OPENAI.told(outcome.json)[0] == "upstream_timeout"
        assert caller.row()["refusal"] == "upstream_timeout"
    assert fake_provider.wait_ended()[0].left


def test_fallback_that_the_policy_forbids(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider
) -> None:
    """It is left out; the ones after it are not."""
    retry = {"fallbacks": ["o3", "gpt-4o-mini"]}
    policy = {**OPENAI.policy, "model_regex": "^gpt-", "retry": retry}
    fake_provider.script([failing(503), failing(503)])
    with Caller(gateway, token(policy)) as caller:
        assert caller.ask().status == 503
        assert [attempt["model"] for attempt in caller.row()["attempts"]] == ["gpt-4o", "gpt-4o-mini"]
    assert [record.json["model"] for record in fake_provider.records] == ["gpt-4o", "gpt-4o-mini"]


@pytest.mark.parametrize("step", [failing(503), RESET])
def test_fallback_whose_key_is_not_set(
    gateway: Proxy,
    token: Callable[..., str],
    fake_provider: FakeProvider,
    other_provider: FakeProvider,
    step: Step,
) -> None:
    """It is passed over, and the log says why."""
    policy = {
        "providers": {
            "openai": [{"base_key_env": "OPENAI_API_KEY", "model_regex": "^gpt-"}],
            "groq": [
                {"base_key_env": "NOBODY_SET_IT", "model": "llama-one"},
                {"base_key_env": "GROQ_API_KEY", "model": "llama-two"},
            ],
        },
        "retry": {"fallbacks": ["llama-one"]},
    }
    fake_provider.script([step, step])
    with Caller(gateway, token(policy)) as caller:
        outcome = caller.ask()
        assert outcome.status == step.get("status", 502)
        assert [attempt["model"] for attempt in caller.row()["attempts"]] == ["gpt-4o"]
    said = r"base key env \"NOBODY_SET_IT\" is not set"
    assert gateway.wait_for(gateway.log, lambda log: said in log)
    with Caller(gateway, token({**policy, "retry": {"fallbacks": ["llama-one", "llama-two"]}})) as caller:
        assert caller.ask().status == 200
    assert [record.json["model"] for record in other_provider.records] == ["llama-two"]


def test_retry_after_is_honoured(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider
) -> None:
    fake_provider.script([failing(429, retry_after=1), OK])
    with Caller(gateway, token(policy_of(OPENAI, {"max_retries": 1}))) as caller:
        begun = time.monotonic()
        assert caller.ask().status == 200
        assert 1 <= time.monotonic() - begun < 3
        assert caller.row()["duration_ms"] >= 1000
    first, then = fake_provider.records
    assert then.time - first.time >= 1


def test_retry_after_binds_its_own_model_alone(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider
) -> None:
    fake_provider.script([failing(429, retry_after=60), OK])
    with Caller(gateway, token(policy_of(OPENAI, {"fallbacks": ["other"]}))) as caller:
        begun = time.monotonic()
        assert caller.ask().status == 200
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("format", FORMATS, ids=by_name)
def test_answer_that_has_begun_is_not_tried_again(
    gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider, format: Format
) -> None:
    fake_provider.script([{"do": "die-mid-stream", "after": 2}])
    with Caller(gateway, token(policy_of(format, {"max_retries": 3, "fallbacks": ["other"]}))) as caller:
        outcome = caller.ask(format, stream=True)
        assert (outcome.status, outcome.broken) == (200, True)
        assert len(caller.row()["attempts"]) == 1
    assert len(fake_provider.records) == 1


def test_upload_is_sent_once(gateway: Proxy, token: Callable[..., str], fake_provider: FakeProvider) -> None:
    fake_provider.script([failing(503)])
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    with Caller(gateway, token(policy_of(OPENAI, {"max_retries": 3}))) as caller:
        outcome = caller.send("POST", "/v1/files", b"--b--\r\n", headers=kind)
        assert outcome.status == 503
        assert caller.row()["retry_count"] == 0
    assert len(fake_provider.records) == 1


def test_a_kept_connection_that_closes_just_then(proxy: Proxy, fake_provider: FakeProvider) -> None:
    """The next request goes out again on a new connection, also without any retry in the policy."""
    token = proxy.token({"base_key_env": "OPENAI_API_KEY"})
    ok = b'{"object":"list"}'
    closing = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n" + ok
    with httpx.Client(trust_env=False, timeout=10) as client:
        for _ in range(20):
            fake_provider.script([{"do": "raw-bytes", "data": closing, "then": "close"}, {}])
            for _ in range(2):
                answer = client.post(
                    f"{proxy.http_url}/v1/chat/completions", json=chat(), headers={"x-api-key": token}
                )
                assert answer.status_code == 200
