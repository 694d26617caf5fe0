"""The names under which one model goes."""

from __future__ import annotations

import re

LONGEST = 256
"""Characters of a model name; a longer one names no model."""

# gpt-4o-2024-08-06, claude-3-5-haiku-20241022, claude-3-5-haiku@20241022, mistral-large-latest, phi3:latest
_VERSION = re.compile(r"(?:-20\d\d-\d\d-\d\d|[-@]20\d{6}|[-:@]latest|@default)$")
# models/gemini-2.5-pro, projects/p/locations/l/publishers/google/models/gemini-2.5-pro
_RESOURCE = re.compile(r"(?:^|/)models/")


def spellings(model: str) -> tuple[str, ...]:
    """The model's names in lower case, from the most particular to the one without path and version.

    A fine-tuned model is not its base: ``ft:gpt-4o-2024-08-06:org::id`` leads to ``ft:gpt-4o``.
    """
    name = model.strip().lower()
    if not name or len(name) > LONGEST:
        return ()
    names = [name]
    if found := _RESOURCE.search(name):
        names.append(name[found.end() :])
    if name.startswith("ft:"):
        names.append(":".join(name.split(":")[:2]))
    names += [_VERSION.sub("", name) for name in names]
    return tuple(dict.fromkeys(filter(None, names)))
