"""target: where a request goes, from the upstream's base URL and the path that the client asked for.

The base URL's own path stays. Clients disagree on whether a base URL ends in ``/v1``, and so do providers:
segments with which the base path ends and the request path begins are written once. The client's path is
never decoded and encoded again; a path that could climb out of the base path is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, unquote

from tokenomics_core.config.base_url import BaseUrl, InvalidBaseUrl, parse_base_url

_NONE: Mapping[str, str] = MappingProxyType({})
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")

# Visible ASCII, less what ends a path (? and #) and the backslash, which some servers take for a slash.
_PATH = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]*")


class TargetError(ValueError):
    """There is no target. The message is one line with a remedy and repeats neither URL nor path."""


class PathError(TargetError):
    """The configuration is right, but the request's path or model is none that can be sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """path: percent-encoded, begins with a slash, without a query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """``scheme://host``, with the port when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if usual else f":{self.port}")

    @property
    def url(self) -> str:
        return self.origin + self.path


def target(
    base_url: str,
    request_path: str,
    *,
    chat_path: str = "",
    model: str = "",
    parameters: Mapping[str, str] = _NONE,
    provider: str = "",
) -> Target:
    """Joins base URL and path; raises TargetError, or PathError when the request is to blame.

    request_path: as the client sent it, without a query. chat_path: replaces it when given; ``{model}`` in it
    is filled with model and every other ``{name}``, here and in the base URL, from parameters.
    provider: its name in the configuration, for errors.
    """
    try:
        base = parse_base_url(base_url)
    except InvalidBaseUrl as error:
        raise TargetError(f"the upstream URL {error}; correct upstream_url") from None
    fill = _Filler(parameters, provider)
    host = fill.host(base)
    base_path = fill.path(base.path)
    path = _join(base_path, fill.path(chat_path, model) if chat_path else request_path)
    if not _PATH.fullmatch(path):
        raise PathError("the path has characters that a URL cannot have; percent-encode them")
    if _has_dot_segments(path):
        raise PathError("the path has . or .. segments; send the path it stands for")
    return Target(base.scheme, host, base.port, path)


@dataclass(frozen=True, slots=True)
class _Filler:
    parameters: Mapping[str, str]
    provider: str

    def host(self, base: BaseUrl) -> str:
        def label(match: re.Match[str]) -> str:
            value = self._value(match[1])
            if not _LABEL.fullmatch(value):
                raise TargetError(
                    f"{self._key(match[1])} has characters that a host name cannot have; correct it"
                )
            return value.lower()

        return _PLACEHOLDER.sub(label, base.host)

    def path(self, path: str, model: str | None = None) -> str:
        def segment(match: re.Match[str]) -> str:
            if match[1].lower() != "model" or model is None:
                return _quote(self._value(match[1]))
            if not model:
                raise PathError("the request names no model, which this provider has in its path; name one")
            return _quote(model)

        return _PLACEHOLDER.sub(segment, path)

    def _value(self, name: str) -> str:
        value = self.parameters.get(name.lower(), "")
        if not value:
            raise TargetError(
                f"the upstream URL needs {{{name}}}; set {self._key(name)} in the configuration"
            )
        return value

    def _key(self, name: str) -> str:
        return f"providers.{self.provider or '<name>'}.parameters.{name.lower()}"


def _join(base_path: str, path: str) -> str:
    if not path.startswith("/"):
        if path:
            raise PathError("the path does not begin with a slash; send one such as /v1/chat/completions")
        return base_path or "/"
    base, own = base_path.split("/")[1:], path.split("/")[1:]
    for shared in range(min(len(base), len(own)), 0, -1):
        if base[-shared:] == own[:shared]:
            return "/" + "/".join(base + own[shared:])
    return base_path + path


def _has_dot_segments(path: str) -> bool:
    # A server may decode once more than we do, and may take a backslash for a slash.
    decoded = path
    for _ in range(8):
        previous, decoded = decoded, unquote(decoded, errors="replace")
        if decoded == previous:
            break
    return any(segment.partition(";")[0] in (".", "..") for segment in re.split(r"[/\\]", decoded))


def _quote(text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise PathError("the model's name is no valid text; name another") from None
