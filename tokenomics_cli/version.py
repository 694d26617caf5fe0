"""tokenomics-cli version."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from tokenomics_cli.command import Invocation, JsonFlag, command, new_app, print_json

COMMIT = "unknown"
BUILT = "unknown"
"""A build may replace both in this file."""

app = new_app("Print the version and what it runs on.")


@command(app, "version")
def show(invocation: Invocation, as_json: JsonFlag = False) -> None:
    """Print the version and what it runs on."""
    try:
        number = version("tokenomics")
    except PackageNotFoundError:
        number = "dev"
    arch = platform.machine()
    if as_json:
        print_json(
            {
                "version": number,
                "commit": COMMIT,
                "built": BUILT,
                "python": platform.python_version(),
                "os": sys.platform,
                "arch": arch,
            }
        )
        return
    print(f"tokenomics {number}")
    print(f"  commit:  {COMMIT}")
    print(f"  built:   {BUILT}")
    print(f"  python:  {platform.python_version()}")
    print(f"  os/arch: {sys.platform}/{arch}")
