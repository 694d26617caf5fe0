"""Where requests go: base URL and path joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.providers import Target, TargetError, target

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        # The base path stays.
        ("https://api.openai.com", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("https://api.groq.com/openai", CHAT, "https://api.groq.com/openai/v1/chat/completions"),
        ("https://openrouter.ai/api", CHAT, "https://openrouter.ai/api/v1/chat/completions"),
        (
            "https://api.fireworks.ai/inference",
            CHAT,
            "https://api.fireworks.ai/inference/v1/chat/completions",
        ),
        ("https://x/a/b", "/c", "https://x/a/b/c"),
        # Shared segments are written once.
        ("https://api.x/v1", CHAT, "https://api.x/v1/chat/completions"),
        ("https://api.x/v1/", CHAT, "https://api.x/v1/chat/completions"),
        ("https://api.x/v1", "/chat/completions", "https://api.x/v1/chat/completions"),
        ("https://api.ai21.com/studio/v1", CHAT, "https://api.ai21.com/studio/v1/chat/completions"),
        ("https://api.ai21.com/studio/v1", "/studio/v1/x", "https://api.ai21.com/studio/v1/x"),
        ("https://g/v1beta", "/v1beta/models/m:generateContent", "https://g/v1beta/models/m:generateContent"),
        ("https://g/v1beta", "/v1/models", "https://g/v1beta/v1/models"),
        (
            "https://r.openai.azure.com/openai",
            "/openai/deployments/d/x",
            "https://r.openai.azure.com/openai/deployments/d/x",
        ),
        ("https://api.groq.com/openai", "/openai/v1/models", "https://api.groq.com/openai/v1/models"),
        ("https://api.groq.com/openai/v1", "/openai/v1/models", "https://api.groq.com/openai/v1/models"),
        ("https://api.groq.com/openai/v1", "/v1/models", "https://api.groq.com/openai/v1/models"),
        ("https://api.x/v1", "/v1", "https://api.x/v1"),
        ("https://api.x/v1", "/v1/", "https://api.x/v1/"),
        # Only whole segments are shared, and only where base and path meet.
        ("https://api.x/v1", "/v11/models", "https://api.x/v1/v11/models"),
        ("https://api.x/av1", "/v1/models", "https://api.x/av1/v1/models"),
        ("https://api.x/v1/x", "/v1/models", "https://api.x/v1/x/v1/models"),
        ("https://api.x/V1", "/v1/models", "https://api.x/V1/v1/models"),
        # No path.
        ("https://api.x", "/", "https://api.x/"),
        ("https://api.x", "", "https://api.x/"),
        ("https://api.x/v1", "", "https://api.x/v1"),
        ("https://api.x/v1", "/", "https://api.x/v1/"),
        # Slashes of the client stay.
        ("https://api.x/v1//", "/files/", "https://api.x/v1/files/"),
        ("https://api.x", "/v1//chat", "https://api.x/v1//chat"),
        ("https://api.x", "//evil.com/v1", "https://api.x//evil.com/v1"),
        # So does what the client encoded.
        ("https://api.x", "/v1/files/a%2Fb%20c%e4%BD", "https://api.x/v1/files/a%2Fb%20c%e4%BD"),
        ("https://api.x", "/model/a.b%3A0/invoke", "https://api.x/model/a.b%3A0/invoke"),
        (
            "https://api.x",
            "/v1/models/ft:gpt@1;a=b,c~!$&'()*+",
            "https://api.x/v1/models/ft:gpt@1;a=b,c~!$&'()*+",
        ),
        ("https://api.x", "/v1/{model}/%", "https://api.x/v1/{model}/%"),
        ("https://api.x", "/v1/a..b/...x/.hidden", "https://api.x/v1/a..b/...x/.hidden"),
        # Hosts and ports.
        ("HTTP://LocalHost:8000/V", "/x", "http://localhost:8000/V/x"),
        ("https://api.x:443", "/x", "https://api.x/x"),
        ("http://api.x:443", "/x", "http://api.x:443/x"),
        ("http://[::1]:9", "/x", "http://[::1]:9/x"),
        ("https://api.x.", "/x", "https://api.x/x"),
    ],
)
def test_join(base: str, path: str, url: str) -> None:
    assert target(base, path).url == url


@pytest.mark.parametrize(
    ("base", "chat_path", "model", "path"),
    [
        ("https://a.x", "/v1/messages", "m", "/v1/messages"),
        ("https://a.x/v1", "/v1/messages", "m", "/v1/messages"),
        ("https://a.x/gw", "/v2/chat", "m", "/gw/v2/chat"),
        (
            "https://a.x",
            "/v1beta/models/{model}:generateContent",
            "gemini-2.5-pro",
            "/v1beta/models/gemini-2.5-pro:generateContent",
        ),
        (
            "https://a.x/v1beta",
            "/v1beta/models/{model}:generateContent",
            "g",
            "/v1beta/models/g:generateContent",
        ),
        ("https://a.x", "/m/{model}/invoke", "anthropic.claude-v2:0", "/m/anthropic.claude-v2%3A0/invoke"),
        ("https://a.x", "/m/{model}", "meta/llama?x#y z%2F", "/m/meta%2Fllama%3Fx%23y%20z%252F"),
        ("https://a.x", "/m/{model}", "müller", "/m/m%C3%BCller"),
        ("https://a.x", "/m/{model}/{model}", "a", "/m/a/a"),
        ("https://a.x", "/m/{model}", "{region}", "/m/%7Bregion%7D"),
    ],
)
def test_chat_path(base: str, chat_path: str, model: str, path: str) -> None:
    assert target(base, CHAT, chat_path=chat_path, model=model).path == path


def test_parameters_fill_host_and_path() -> None:
    found = target(
        "https://{location}-aiplatform.googleapis.com/{project}",
        CHAT,
        chat_path="/v1/projects/{project}/locations/{location}/models/{model}",
        model="g",
        parameters={"location": "Europe-West1", "project": "example.com:my/p"},
    )
    assert found == Target(
        "https",
        "europe-west1-aiplatform.googleapis.com",
        443,
        "/example.com%3Amy%2Fp/v1/projects/example.com%3Amy%2Fp/locations/Europe-West1/models/g",
    )


@pytest.mark.parametrize(
    ("base", "chat_path", "parameters", "provider", "message"),
    [
        (
            "https://{resource}.x",
            "",
            {},
            "azure_openai",
            "the upstream URL needs {resource}; "
            "set providers.azure_openai.parameters.resource in the configuration",
        ),
        (
            "https://{resource}.x",
            "",
            {"resource": ""},
            "",
            "the upstream URL needs {resource}; "
            "set providers.<name>.parameters.resource in the configuration",
        ),
        (
            "https://x/{Region}",
            "",
            {"location": "a"},
            "b",
            "the upstream URL needs {Region}; set providers.b.parameters.region in the configuration",
        ),
        (
            "https://x",
            "/p/{project}/{model}",
            {},
            "v",
            "the upstream URL needs {project}; set providers.v.parameters.project in the configuration",
        ),
        (
            "https://x",
            "/p/{model}",
            {},
            "v",
            "the request names no model, which this provider has in its path; name one",
        ),
        (
            "https://{resource}.x",
            "",
            {"resource": "evil.com/"},
            "a",
            "providers.a.parameters.resource has characters that a host name cannot have; correct it",
        ),
        (
            "https://{resource}.x",
            "",
            {"resource": "a.b"},
            "a",
            "providers.a.parameters.resource has characters that a host name cannot have; correct it",
        ),
    ],
)
def test_placeholders_that_cannot_be_filled(
    base: str, chat_path: str, parameters: dict[str, str], provider: str, message: str
) -> None:
    with pytest.raises(TargetError) as caught:
        target(base, CHAT, chat_path=chat_path, parameters=parameters, provider=provider)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "base",
    [
        "",
        "api.x",
        "ftp://x",
        "https://",
        "https://u:p@x",
        "https://x#f",
        "https://x?q=1",
        "https://x\ny",
        "https://x y",
    ],
)
def test_refused_base_urls(base: str) -> None:
    with pytest.raises(TargetError, match=r"^the upstream URL .*; correct upstream_url$"):
        target(base, CHAT)


CLIMBING = [
    "/..",
    "/../x",
    "/v1/..",
    "/v1/../../admin",
    "/v1/./x",
    "/.",
    "/%2e%2e/x",
    "/v1/%2E./x",
    "/v1/.%2e",
    "/v1/..%2fx",
    "/v1%2f..%2fx",
    "/v1/%252e%252e/x",
    "/v1/%25252e%25252e/x",
    "/v1/..%5cx",
    "/v1%5C..%5C..%5Cx",
    "/v1/..;/x",
    "/v1/..;a=b/x",
    "/v1/..%3b/x",
    "/v1/%2e/x",
]


@pytest.mark.parametrize("path", CLIMBING)
@pytest.mark.parametrize("base", ["https://api.x", "https://api.x/tenant/v1"])
def test_paths_that_climb_are_refused(base: str, path: str) -> None:
    with pytest.raises(TargetError, match=r"segments; send the path it stands for$"):
        target(base, path)


@pytest.mark.parametrize("model", ["..", ".", "../x", "a/../../b", "..\\x", "%2e%2e", "..;x"])
def test_models_that_climb_are_refused(model: str) -> None:
    with pytest.raises(TargetError):
        target("https://api.x", CHAT, chat_path="/models/{model}", model=model)


@pytest.mark.parametrize(
    "path",
    [
        "*",
        "v1/chat",
        "https://evil.com/v1",
        "/v1 x",
        "/v1\r\nHost: evil.com",
        "/v1\x00",
        "/v1\\x",
        "/v1?x=1",
        "/v1#x",
        "/v1/ü",
        "/v1/\udcff",
    ],
)
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(TargetError) as caught:
        target("https://api.x", path)
    assert "evil" not in str(caught.value)


def test_a_model_that_is_no_text() -> None:
    with pytest.raises(TargetError):
        target("https://api.x", CHAT, chat_path="/models/{model}", model="\udcff")


SEGMENT = st.sampled_from(
    ["v1", "openai", "a", "..", ".", "%2e%2e", "%2E", "a%2Fb", "..%2f", "", ";x", "{x}", "é"]
)


@given(
    base=st.lists(st.sampled_from(["v1", "openai", "a"]), max_size=3),
    path=st.lists(SEGMENT, max_size=5),
)
def test_the_target_is_always_below_the_base(base: list[str], path: list[str]) -> None:
    base_path = "".join(f"/{segment}" for segment in base)
    request_path = "".join(f"/{segment}" for segment in path)
    try:
        found = target(f"https://api.x{base_path}", request_path)
    except TargetError:
        return
    assert (found.scheme, found.host, found.port) == ("https", "api.x", 443)
    assert (found.path + "/").startswith(base_path + "/")
    assert found.path.endswith(request_path.removeprefix(base_path)) or request_path in (base_path, "")
    assert ".." not in found.path.replace("%2e", ".").replace("%2E", ".").split("/")


@given(st.text(max_size=60))
def test_any_path_gives_a_target_or_its_own_error(path: str) -> None:
    try:
        found = target("https://api.x/v1", path)
    except TargetError:
        return
    assert found.path.isascii()
    assert found.path.isprintable()
    assert found.path.startswith("/v1")
