"""Provider: one entry of the catalogue, and the rules for what may stand in it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tokenomics_core.config.base_url import InvalidBaseUrl, parse_base_url

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")

# The engine's own; a provider entry that set one of them would break the request, or send it elsewhere.
_RESERVED = {
    "connection",
    "content-length",
    "host",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
}


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _variable(value: str) -> str:
    # The value is often the key itself, put in the wrong place: it is never shown.
    if value and not _VARIABLE.fullmatch(value):
        raise ValueError("write the name of the environment variable, not the key")
    return value


def _header_name(value: str) -> str:
    if not _TOKEN.fullmatch(value) or value.lower() in _RESERVED:
        raise ValueError("write the name of a header that may be set")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        _header_name(name)
        if not _VALUE.fullmatch(text):
            raise ValueError("write header values on one line")
    return {name.lower(): text for name, text in value.items()}


def _url(value: str) -> str:
    try:
        if value:
            parse_base_url(value)
    except InvalidBaseUrl as error:
        raise ValueError(f"the URL {error}, write one such as https://api.openai.com") from None
    return value


def _path(value: str) -> str:
    if value and not value.startswith("/"):
        raise ValueError("write a path that begins with a slash")
    return value


Variable = Annotated[str, AfterValidator(_variable)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]


class ProviderFields(BaseModel):
    """What can be written about a provider in a file.

    upstream_url: base URL, its path is kept; empty means ``server.upstream_url``. It may hold ``{name}``,
        filled from parameters.
    api_key_env: variable with the real key, used when the policy names none.
    key_optional: the provider is also called without a key when that variable is not set.
    base_url_env: variable in which client SDKs look for the base URL.
    auth_scheme: how the key is sent: ``Authorization: Bearer KEY``, raw in auth_header, as query ``key``, or
        not at all.
    headers: set on every request, over the client's own. default_headers and query: only where the client
        sent none of that name. Header names are lower case.
    models: for listings; never used to refuse.
    chat_path: replaces the path of chat requests; may hold ``{model}`` and other ``{name}``.
    stream_usage: the provider accepts ``stream_options.include_usage``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    upstream_url: Annotated[str, AfterValidator(_url)] = ""
    api_key_env: Variable = ""
    key_optional: bool = False
    base_url_env: Variable = ""
    auth_scheme: Annotated[Literal["bearer", "header", "query", "none"], BeforeValidator(_lower)] = "bearer"
    auth_header: Annotated[str, AfterValidator(_header_name)] = "Authorization"
    headers: Headers = Field(default={}, repr=False)
    default_headers: Headers = Field(default={}, repr=False)
    query: dict[str, str] = {}
    models: list[str] = []
    chat_path: Annotated[str, AfterValidator(_path)] = ""
    parameters: dict[str, str] = {}
    stream_usage: bool = True


class Provider(ProviderFields):
    """One entry of the catalogue.

    scheme, host, port: those under which clients know the provider when they are not told of Tokenomics: of
        the built-in base URL, also when upstream_url says otherwise. The host may hold ``{name}``. Empty
        and 0 when there is no URL.
    alias_of: the name of the entry it is a copy of.
    """

    name: str
    scheme: str = ""
    host: str = ""
    port: int = 0
    alias_of: str = ""
