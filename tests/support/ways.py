"""The ways by which a client reaches the proxy, as the environment variables that its user would set."""

from __future__ import annotations

from tests.fake_provider import FakeProvider
from tests.support.proxy import AZURE_RESOURCE, Proxy

WAYS = ["base", "tls", "tunnel", "tls_tunnel"]
"""Base URL over HTTP, base URL over TLS, HTTPS_PROXY over HTTP, HTTPS_PROXY over TLS."""

SDK_WAYS = ["base", "tls", "tunnel"]
"""Without the last: the SDKs' HTTP library trusts no private authority for the proxy's own certificate."""

KEY_VARIABLES = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "AZURE_OPENAI_API_KEY",
]


def through(proxy: Proxy, way: str, key: str) -> dict[str, str]:
    """The variables for a client that holds this wrapper token, or whatever else stands for a key."""
    environ = dict.fromkeys(KEY_VARIABLES, key) | {"OPENAI_API_VERSION": "2024-10-21"}
    if way in ("base", "tls"):
        environ |= _base_urls(proxy.http_url if way == "base" else proxy.https_url)
    if way in ("tunnel", "tls_tunnel"):
        address = proxy.http_url if way == "tunnel" else proxy.https_url
        environ |= dict.fromkeys(["HTTPS_PROXY", "https_proxy"], address)
        environ["AZURE_OPENAI_ENDPOINT"] = f"https://{AZURE_RESOURCE}.openai.azure.com"
    if way != "base":
        environ |= dict.fromkeys(["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"], str(proxy.ca))
    return environ


def directly(provider: FakeProvider, key: str) -> dict[str, str]:
    """The variables for a client that talks to the fake provider without a proxy."""
    environ = dict.fromkeys(KEY_VARIABLES, key) | {"OPENAI_API_VERSION": "2024-10-21"}
    return environ | _base_urls(provider.url)


def _base_urls(url: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "ANTHROPIC_BASE_URL": url,
        "GOOGLE_GEMINI_BASE_URL": url,
        "AZURE_OPENAI_ENDPOINT": url,
    }
