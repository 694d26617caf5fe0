"""What a gateway does not load at its start."""

from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
from addons import lean
core, next_layer = lean.load(["core", "next_layer"])
assert "mitmproxy.addons" not in sys.modules
assert not {"flask", "ldap3"} & set(sys.modules)
import mitmproxy.addons
assert mitmproxy.addons.core is core and mitmproxy.addons.default_addons()
assert lean.load(["core"]) == [core]
assert sys.modules["mitmproxy.addons"] is mitmproxy.addons
"""


def test_modules_of_mitmproxys_addons_without_their_package() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
