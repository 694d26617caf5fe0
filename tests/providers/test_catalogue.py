"""The catalogue: what is built in, and what may be changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tokenomics_core.config import Config, ConfigError
from tokenomics_core.providers import Catalogue, Provider, TargetError, load_catalogue, target


def catalogue(tmp_path: Path, providers: dict[str, Any] | None = None, **files: str) -> Catalogue:
    """files: text of providers.yaml by folder (cwd, data, home)."""
    folders = {"cwd": tmp_path / "cwd", "data": tmp_path / "data", "home": tmp_path / "home" / ".tokenomics"}
    for name, text in files.items():
        folders[name].mkdir(parents=True)
        (folders[name] / "providers.yaml").write_text(text)
    config = Config(dir=tmp_path / "data", providers=providers or {}, source=tmp_path / "config.yaml")
    return load_catalogue(config, tmp_path / "cwd", tmp_path / "home", {"SET": "value"})


def get(found: Catalogue, name: str) -> Provider:
    provider = found.get(name)
    assert provider is not None
    return provider


# Where the request to /v1/chat/completions goes; every parameter is p, the model a/m.
CHAT = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "anthropic": "https://api.anthropic.com/v1/messages",
    "azure_openai": "https://p.openai.azure.com/v1/chat/completions",
    "google_gemini": "https://generativelanguage.googleapis.com/v1beta/models/a%2Fm:generateContent",
    "vertex_ai": "https://p-aiplatform.googleapis.com/v1/projects/p/locations/p/publishers/google/models/a%2Fm:generateContent",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "cohere": "https://api.cohere.com/v2/chat",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "together": "https://api.together.xyz/v1/chat/completions",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "perplexity": "https://api.perplexity.ai/chat/completions",
    "deepseek": "https://api.deepseek.com/v1/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "ollama": "http://localhost:11434/api/chat",
    "vllm": "http://localhost:8000/v1/chat/completions",
    "litellm": "http://localhost:4000/v1/chat/completions",
    "bedrock": "https://bedrock-runtime.p.amazonaws.com/v1/chat/completions",
    "replicate": "https://api.replicate.com/v1/chat/completions",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1/chat/completions",
    "sambanova": "https://api.sambanova.ai/v1/chat/completions",
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "ai21": "https://api.ai21.com/studio/v1/chat/completions",
    "moonshot": "https://api.moonshot.ai/v1/chat/completions",
    "anyscale": "https://api.endpoints.anyscale.com/v1/chat/completions",
    "localai": "http://localhost:8081/v1/chat/completions",
    "lmstudio": "http://localhost:1234/v1/chat/completions",
    "generic": "https://api.openai.com/v1/chat/completions",
    "azure": "https://p.openai.azure.com/v1/chat/completions",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/models/a%2Fm:generateContent",
}

# Name, key variable, base URL variable, auth, number of models, the end of a model's name.
BUILT_IN = [
    ("openai", "OPENAI_API_KEY", "OPENAI_BASE_URL", "bearer", 11, "o4-mini"),
    ("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "header x-api-key", 8, "claude-3-opus"),
    ("azure_openai", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "header api-key", 6, "gpt-35-turbo"),
    ("google_gemini", "GOOGLE_API_KEY", "GEMINI_BASE_URL", "header x-goog-api-key", 6, "gemini-1.5-pro"),
    ("vertex_ai", "VERTEX_AI_TOKEN", "VERTEX_AI_BASE_URL", "bearer", 3, "gemini-2.5-pro"),
    ("mistral", "MISTRAL_API_KEY", "MISTRAL_BASE_URL", "bearer", 7, "codestral-latest"),
    ("cohere", "COHERE_API_KEY", "COHERE_BASE_URL", "bearer", 4, "command-r"),
    ("groq", "GROQ_API_KEY", "GROQ_BASE_URL", "bearer", 5, "gemma2-9b-it"),
    ("together", "TOGETHER_API_KEY", "TOGETHER_BASE_URL", "bearer", 5, "Meta-Llama-3.1-70B-Instruct-Turbo"),
    ("fireworks", "FIREWORKS_API_KEY", "FIREWORKS_BASE_URL", "bearer", 4, "qwen2p5-72b-instruct"),
    ("perplexity", "PERPLEXITY_API_KEY", "PERPLEXITY_BASE_URL", "bearer", 4, "sonar"),
    ("deepseek", "DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "bearer", 2, "deepseek-chat"),
    ("xai", "XAI_API_KEY", "XAI_BASE_URL", "bearer", 4, "grok-3"),
    ("openrouter", "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "bearer", 4, "gpt-4o"),
    ("ollama", "", "OLLAMA_BASE_URL", "none", 7, "llama3.2"),
    ("vllm", "VLLM_API_KEY", "VLLM_BASE_URL", "bearer optional", 0, ""),
    ("litellm", "LITELLM_API_KEY", "LITELLM_BASE_URL", "bearer optional", 0, ""),
    ("bedrock", "AWS_BEARER_TOKEN_BEDROCK", "BEDROCK_BASE_URL", "bearer", 4, "amazon.nova-pro-v1:0"),
    ("replicate", "REPLICATE_API_TOKEN", "REPLICATE_BASE_URL", "bearer", 2, "mistral-7b-instruct-v0.2"),
    ("nvidia_nim", "NVIDIA_API_KEY", "NVIDIA_NIM_BASE_URL", "bearer", 2, "llama-3.1-70b-instruct"),
    ("sambanova", "SAMBANOVA_API_KEY", "SAMBANOVA_BASE_URL", "bearer", 2, "Qwen2.5-72B-Instruct"),
    ("cerebras", "CEREBRAS_API_KEY", "CEREBRAS_BASE_URL", "bearer", 2, "llama-3.3-70b"),
    ("ai21", "AI21_API_KEY", "AI21_BASE_URL", "bearer", 2, "jamba-1.5-mini"),
    ("moonshot", "MOONSHOT_API_KEY", "MOONSHOT_BASE_URL", "bearer", 2, "moonshot-v1-8k"),
    ("anyscale", "ANYSCALE_API_KEY", "ANYSCALE_BASE_URL", "bearer", 2, "Mixtral-8x7B-Instruct-v0.1"),
    ("localai", "LOCALAI_API_KEY", "LOCALAI_BASE_URL", "bearer optional", 0, ""),
    ("lmstudio", "LMSTUDIO_API_KEY", "LMSTUDIO_BASE_URL", "bearer optional", 0, ""),
    ("generic", "OPENAI_API_KEY", "OPENAI_BASE_URL", "bearer", 11, "o4-mini"),
    ("azure", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "header api-key", 6, "gpt-35-turbo"),
    ("gemini", "GEMINI_API_KEY", "GEMINI_BASE_URL", "header x-goog-api-key", 6, "gemini-1.5-pro"),
]

PARAMETERS = {"resource": "p", "region": "p", "project": "p", "location": "p"}


@pytest.mark.parametrize("row", BUILT_IN, ids=[row[0] for row in BUILT_IN])
def test_built_in(tmp_path: Path, row: tuple[str, str, str, str, int, str]) -> None:
    name, api_key_env, base_url_env, auth, models, model = row
    provider = get(catalogue(tmp_path), name)
    to = target(
        provider.upstream_url,
        "/v1/chat/completions",
        chat_path=provider.chat_path,
        model="a/m",
        parameters=PARAMETERS,
        provider=name,
    )
    assert to.url == CHAT[name]
    header = f" {provider.auth_header}" if provider.auth_scheme == "header" else ""
    assert provider.auth_scheme + header + (" optional" if provider.key_optional else "") == auth
    assert provider.api_key_env == api_key_env
    assert provider.base_url_env == base_url_env
    assert len(provider.models) == models
    assert not models or any(each.endswith(model) for each in provider.models)


def test_the_table_is_complete(tmp_path: Path) -> None:
    found = catalogue(tmp_path)
    assert found.names() == sorted(row[0] for row in BUILT_IN)
    assert [provider.name for provider in found] == found.names()
    assert {p.name: p.alias_of for p in found if p.alias_of} == {
        "generic": "openai",
        "azure": "azure_openai",
        "gemini": "google_gemini",
    }


def test_what_else_is_sent(tmp_path: Path) -> None:
    found = catalogue(tmp_path)
    assert {p.name: p.default_headers for p in found if p.default_headers} == {
        "anthropic": {"anthropic-version": "2023-06-01"}
    }
    assert {p.name: p.query for p in found if p.query} == {
        "azure": {"api-version": "2024-10-21"},
        "azure_openai": {"api-version": "2024-10-21"},
    }
    assert not any(p.headers for p in found)
    assert {p.name for p in found if not p.stream_usage} == {
        "ai21",
        "anthropic",
        "cohere",
        "gemini",
        "google_gemini",
        "mistral",
        "ollama",
        "perplexity",
        "vertex_ai",
        "xai",
    }


def test_names_in_any_case(tmp_path: Path) -> None:
    found = catalogue(tmp_path, {"MyLab": {"upstream_url": "http://lab:1"}})
    assert get(found, "OpenAI").name == "openai"
    assert get(found, "MYLAB").name == "mylab"
    assert found.get("nobody") is None
    assert found.get("") is None


@pytest.mark.parametrize(
    ("host", "port", "scheme", "names"),
    [
        ("api.openai.com", 443, "https", ["openai", "generic"]),
        ("API.OpenAI.com.", 443, "https", ["openai", "generic"]),
        ("api.anthropic.com", 443, "https", ["anthropic"]),
        ("generativelanguage.googleapis.com", 443, "https", ["google_gemini", "gemini"]),
        ("foo.openai.azure.com", 443, "https", ["azure_openai", "azure"]),
        ("europe-west1-aiplatform.googleapis.com", 443, "https", ["vertex_ai"]),
        ("bedrock-runtime.us-east-1.amazonaws.com", 443, "https", ["bedrock"]),
        ("localhost", 11434, "http", ["ollama"]),
        ("api.openai.com", 80, "http", []),
        ("api.openai.com", 8443, "https", []),
        ("api.openai.com", 443, "http", []),
        ("evil.api.openai.com", 443, "https", []),
        ("evilapi.openai.com", 443, "https", []),
        ("api.openai.com.evil.com", 443, "https", []),
        ("api.openai.com..", 443, "https", []),
        ("api-openai.com", 443, "https", []),
        ("apixopenai.com", 443, "https", []),
        ("openai.com", 443, "https", []),
        ("", 443, "https", []),
        ("a.b.openai.azure.com", 443, "https", []),
        (".openai.azure.com", 443, "https", []),
        ("openai.azure.com", 443, "https", []),
        ("foo.openai.azure.com.evil.com", 443, "https", []),
        ("foo.openai.azure.com\n", 443, "https", []),
        ("foo.openai-azure.com", 443, "https", []),
        ("evil.com/.openai.azure.com", 443, "https", []),
        ("-aiplatform.googleapis.com", 443, "https", []),
        ("localhost", 11435, "http", []),
    ],
)
def test_by_host(tmp_path: Path, host: str, port: int, scheme: str, names: list[str]) -> None:
    assert [provider.name for provider in catalogue(tmp_path).by_host(host, port, scheme)] == names


def test_by_host_with_parameters(tmp_path: Path) -> None:
    found = catalogue(tmp_path, {"azure_openai": {"parameters": {"resource": "Mine"}}})
    assert [p.name for p in found.by_host("mine.openai.azure.com", 443, "https")] == ["azure_openai", "azure"]
    assert found.by_host("other.openai.azure.com", 443, "https") == []


def test_the_host_is_the_built_in_one(tmp_path: Path) -> None:
    providers = {
        "openai": {"upstream_url": "http://127.0.0.1:9/v1"},
        "azure": {"upstream_url": "http://127.0.0.1:9"},
        "lab": {"upstream_url": "http://Lab.corp:8000/v1"},
        "nowhere": {},
    }
    found = catalogue(tmp_path, providers)
    openai = get(found, "openai")
    assert (openai.scheme, openai.host, openai.port) == ("https", "api.openai.com", 443)
    assert openai.upstream_url == "http://127.0.0.1:9/v1"
    assert get(found, "azure").host == "{resource}.openai.azure.com"
    assert found.by_host("127.0.0.1", 9, "http") == []
    lab = get(found, "lab")
    assert (lab.scheme, lab.host, lab.port) == ("http", "lab.corp", 8000)
    assert found.by_host("lab.corp", 8000, "http") == [lab]
    nowhere = get(found, "nowhere")
    assert (nowhere.scheme, nowhere.host, nowhere.port, nowhere.upstream_url) == ("", "", 0, "")


def test_a_new_provider_has_plain_defaults(tmp_path: Path) -> None:
    lab = get(catalogue(tmp_path, {"my-lab.2": {"upstream_url": "http://lab:1"}}), "my-lab.2")
    assert lab.base_url_env == "MY_LAB_2_BASE_URL"
    assert (lab.api_key_env, lab.auth_scheme, lab.auth_header) == ("", "bearer", "Authorization")
    assert (lab.headers, lab.default_headers, lab.query, lab.parameters) == ({}, {}, {}, {})
    assert (lab.models, lab.chat_path, lab.stream_usage, lab.key_optional) == ([], "", True, False)


def test_fields_are_merged_one_by_one(tmp_path: Path) -> None:
    file = "providers:\n  Anthropic:\n    api_key_env: FROM_FILE\n    headers: {X-A: file, x-b: file}\n"
    config = {"anthropic": {"upstream_url": "http://gw", "headers": {"x-b": "config", "x-c": "config"}}}
    found = get(catalogue(tmp_path, config, cwd=file), "anthropic")
    assert found.upstream_url == "http://gw"
    assert found.api_key_env == "FROM_FILE"
    assert found.auth_header == "x-api-key"
    assert found.chat_path == "/v1/messages"
    assert found.headers == {"x-a": "file", "x-b": "config", "x-c": "config"}
    assert found.default_headers == {"anthropic-version": "2023-06-01"}
    assert len(found.models) == 8


def test_null_takes_away(tmp_path: Path) -> None:
    config = {
        "anthropic": {"chat_path": None, "default_headers": {"anthropic-version": None}},
        "ollama": {"chat_path": None, "models": None},
        "azure_openai": {"query": None},
        "xai": None,
        "nobody": None,
    }
    found = catalogue(tmp_path, config)
    assert get(found, "anthropic").chat_path == ""
    assert get(found, "anthropic").default_headers == {}
    assert get(found, "ollama").models == []
    assert get(found, "azure").query == {}
    assert found.get("xai") is None
    assert found.by_host("api.x.ai", 443, "https") == []
    assert found.get("nobody") is None


@pytest.mark.parametrize("layer", ["file", "config"])
def test_an_alias_follows_its_original(tmp_path: Path, layer: str) -> None:
    entries = {
        "openai": {"upstream_url": "http://gw", "api_key_env": "MINE"},
        "generic": {"api_key_env": "OTHER"},
    }
    if layer == "file":
        text = "providers:\n" + "".join(f"  {name}: {fields}\n" for name, fields in entries.items())
        found = catalogue(tmp_path, cwd=text)
    else:
        found = catalogue(tmp_path, entries)
    assert get(found, "generic").upstream_url == "http://gw"
    assert get(found, "generic").api_key_env == "OTHER"
    assert get(found, "openai").api_key_env == "MINE"


def test_an_alias_goes_with_its_original(tmp_path: Path) -> None:
    assert catalogue(tmp_path, {"openai": None}).get("generic") is None
    alone = catalogue(tmp_path / "b", {"openai": None, "generic": {"upstream_url": "http://gw"}})
    assert get(alone, "generic").upstream_url == "http://gw"


@pytest.mark.parametrize(
    ("files", "winner"),
    [
        (["cwd", "data", "home"], "cwd"),
        (["data", "home"], "data"),
        (["home"], "home"),
        ([], ""),
    ],
)
def test_the_first_providers_file_counts(tmp_path: Path, files: list[str], winner: str) -> None:
    found = catalogue(tmp_path, **{name: f"providers: {{lab: {{chat_path: /{name}}}}}" for name in files})
    lab = found.get("lab")
    assert (lab.chat_path if lab else "") == (f"/{winner}" if winner else "")


def test_providers_file_may_name_variables(tmp_path: Path) -> None:
    found = catalogue(tmp_path, cwd="providers: {lab: {headers: {x-gw: '${SET}'}}}")
    assert get(found, "lab").headers == {"x-gw": "value"}
    with pytest.raises(ConfigError, match=r"providers\.lab\.headers\.x-gw needs the variable UNSET; set it"):
        catalogue(tmp_path / "b", cwd="providers: {lab: {headers: {x-gw: '${UNSET}'}}}")


@pytest.mark.parametrize("text", ["", "# nothing\n", "providers:\n", "providers: {}\n"])
def test_an_empty_providers_file(tmp_path: Path, text: str) -> None:
    assert len(catalogue(tmp_path, cwd=text).names()) == len(BUILT_IN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("providers: [", "invalid YAML in line 1"),
        ("providers:\n  a: {}\n  A: {}\n", "invalid YAML in line 3: the key 'a' stands twice"),
        ("- openai", "needs the one key 'providers' at its top; put the provider names below it"),
        ("openai: {}", "needs the one key 'providers' at its top; put the provider names below it"),
        (
            "providers: {}\nmodels: {}",
            "needs the one key 'providers' at its top; put the provider names below it",
        ),
        ("providers: [openai]", "providers is not a map; write lines such as 'openai:' below it"),
    ],
)
def test_broken_providers_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        catalogue(tmp_path, cwd=text)
    assert str(caught.value).startswith(f"{tmp_path}/cwd/providers.yaml: {message}")


NAME_THE_VARIABLE = "write the name of the environment variable, not the key"
A_HEADER = "write the name of a header that may be set"
A_URL = "write one such as https://api.openai.com"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"auth_scheme": "basic"}, ".auth_scheme is 'basic'; write one of bearer, header, query, none"),
        ({"auth_schema": "none"}, ".auth_schema is no known key; take it out"),
        ({"name": "x"}, ".name is no known key; take it out"),
        ({"host": "x"}, ".host is no known key; take it out"),
        (
            {"upstream_url": "api.x"},
            f".upstream_url is 'api.x'; the URL does not begin with http:// or https://, {A_URL}",
        ),
        (
            {"upstream_url": "https://u:hush@x"},
            ".upstream_url is a URL with a password or a query;"
            f" the URL has a user name or password in it, {A_URL}",
        ),
        ({"api_key_env": "sk-hush"}, f".api_key_env has an invalid value; {NAME_THE_VARIABLE}"),
        (
            {"headers": {"x": "hush\r\ny: z"}},
            ".headers has an invalid value; write header values on one line",
        ),
        ({"headers": {"x y": "hush"}}, f".headers has an invalid value; {A_HEADER}"),
        ({"headers": {"Host": "hush"}}, f".headers has an invalid value; {A_HEADER}"),
        ({"default_headers": {"x": ["hush"]}}, ".default_headers.x has an invalid value; write a text"),
        ({"headers": "hush"}, ".headers has an invalid value; write a map of keys and values"),
        ({"auth_header": ""}, f".auth_header is ''; {A_HEADER}"),
        ({"chat_path": "v1/x"}, ".chat_path is 'v1/x'; write a path that begins with a slash"),
        ({"models": "gpt"}, ".models is 'gpt'; write a list"),
        ({"key_optional": "perhaps"}, ".key_optional is 'perhaps'; write true or false"),
        ("http://x", " is not a map; write lines such as 'upstream_url: https://...' below it"),
    ],
)
@pytest.mark.parametrize("layer", ["file", "config"])
def test_wrong_entries(tmp_path: Path, layer: str, fields: Any, message: str) -> None:
    source = tmp_path / "config.yaml"
    entries = {"openai": fields}
    if layer == "file":
        source = tmp_path / "providers.yaml"
        source.write_text(json.dumps({"providers": entries}))
        entries = {}
    config = Config.model_construct(dir=tmp_path, providers=entries, source=source)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(config, tmp_path, tmp_path)
    assert str(caught.value) == f"{source}: providers.openai{message}"
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "my lab", "a/b", "-x", "é", "a:b"])
def test_wrong_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"is no provider name; use letters"):
        catalogue(tmp_path, {name: {}})


def test_a_provider_without_its_parameters_has_no_target(tmp_path: Path) -> None:
    azure = get(catalogue(tmp_path), "azure")
    with pytest.raises(TargetError, match=r"set providers\.azure\.parameters\.resource"):
        target(azure.upstream_url, "/x", parameters=azure.parameters, provider=azure.name)


def test_providers_cannot_be_changed_and_keep_headers_to_themselves(tmp_path: Path) -> None:
    lab = get(catalogue(tmp_path, {"lab": {"headers": {"x": "hush"}}}), "lab")
    with pytest.raises(ValueError, match="frozen"):
        lab.name = "other"  # type: ignore[misc]
    assert "hush" not in repr(lab)
