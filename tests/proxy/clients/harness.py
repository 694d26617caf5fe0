"""Runs the checks of a client script: orders come as JSON on stdin, outcomes go as JSON to stdout.

An order is ``{"name", "environ", "checks"}``; a check is a function, async or not, that returns plain data.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

TEXT = "héllo 👋 wörld"
ANSWER = f"pong: {TEXT}"

Check = Callable[[], Any]


def main(
    module: dict[str, Any], *, failing: Callable[[int], None] | None = None, statuses: Iterable[int] = ()
) -> None:
    """Runs the public functions of the script, given its globals.

    failing: asks for an error with a status; becomes a check ``error_429`` for each of the statuses.
    """
    checks: dict[str, Check] = {
        name: value
        for name, value in module.items()
        if inspect.isfunction(value) and value.__module__ == "__main__" and not name.startswith("_")
    }
    if failing:
        checks |= {f"error_{status}": partial(failing, status) for status in statuses}
    # What the SDKs say goes to stderr: stdout is for the outcomes.
    results = {}
    for order in json.load(sys.stdin):
        before = dict(os.environ)
        os.environ.update(order["environ"])
        names = order["checks"] or list(checks)
        results[order["name"]] = {name: _outcome(checks[name]) for name in names}
        os.environ.clear()
        os.environ.update(before)
    json.dump(results, sys.stdout)


def _outcome(check: Check) -> dict[str, Any]:
    try:
        value = check()
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return {"value": value}
    except Exception as error:
        status = getattr(error, "status_code", getattr(error, "code", None))
        body = getattr(error, "body", None)
        return {
            "error": type(error).__name__,
            "kinds": [kind.__name__ for kind in type(error).__mro__],
            "status": status if isinstance(status, int) else None,
            "message": str(error)[:2000],
            "body": body if isinstance(body, dict | list | str) else None,
        }
