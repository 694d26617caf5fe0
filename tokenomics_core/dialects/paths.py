"""Models that stand in the path: Azure's deployments, and what Google and Bedrock put before a verb.

Providers decode a path before they read it, and so does this: else an encoded letter would hide a model.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

DEPLOYMENT = re.compile(r"/deployments/(?P<model>[^/]+)/", re.IGNORECASE)
BEDROCK = re.compile(r"/model/(?P<model>.+)/(?:invoke|converse)[^/]*/?$", re.IGNORECASE)
BEFORE_VERB = re.compile(r"/(?:models|tunedModels|endpoints)/(?P<model>.+):[^/:]+/?$", re.IGNORECASE)

_UNQUOTED = "/:@!$&'()*+,;=~"


def named_model(pattern: re.Pattern[str], path: str) -> str:
    """The model in a path; the empty string where there is none."""
    found = pattern.search(unquote(path))
    return found["model"] if found else ""


def renamed_model(pattern: re.Pattern[str], path: str, model: str) -> str:
    """The path with another model in it; as it is where it names none."""
    plain = unquote(path)
    found = pattern.search(plain)
    if found is None:
        return path
    before, after = plain[: found.start("model")], plain[found.end("model") :]
    return quote(before, safe=_UNQUOTED) + quote(model, safe="") + quote(after, safe=_UNQUOTED)
