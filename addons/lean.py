"""Modules of mitmproxy's own addons, without all the others that their package would load.

`mitmproxy.addons` imports every addon there is, and with them Flask and LDAP: nearly a third
of a gateway's start. The modules themselves need none of that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import mitmproxy

_PACKAGE = "mitmproxy.addons"


def load(names: Sequence[str]) -> list[ModuleType]:
    """The modules of these names. Whoever imports the package later gets all of it, as always."""
    assert mitmproxy.__file__ is not None
    bare = _PACKAGE not in sys.modules
    if bare:
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(Path(mitmproxy.__file__).parent / "addons")]
        sys.modules[_PACKAGE] = package
    try:
        return [import_module(f"{_PACKAGE}.{name}") for name in names]
    finally:
        if bare:
            del sys.modules[_PACKAGE]
