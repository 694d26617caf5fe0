"""Loaded by Python at start when this folder is on PYTHONPATH: the guard, and addons that can be broken.

The file named by SABOTAGE says which hook raises from now on: ``identity Identity requestheaders whole``, or
``inside`` for an exception that the decorator around every hook gets to see; with ``nothing`` the method
does nothing at all. An empty file breaks nothing.
"""

import importlib.abc
import importlib.util
import inspect
import os
import pathlib
import runpy
import sys

runpy.run_path(str(pathlib.Path(__file__).parents[1] / "guard" / "sitecustomize.py"))

ORDERS = pathlib.Path(os.environ["SABOTAGE"])
HOOKS = {
    "admission": ("Admission", ["requestheaders", "http_connect", "server_connect", "tls_clienthello"]),
    "identity": ("Identity", ["requestheaders", "http_connect"]),
    "routing": ("Routing", ["requestheaders", "request"]),
    "guardrails": (
        "Guardrails",
        ["requestheaders", "request", "inspect", "_request", "_raw", "_text", "_inspected", "_edits"],
    ),
    "budget": ("Budget", ["requestheaders", "request", "reserve"]),
    "credentials": ("Credentials", ["requestheaders", "request", "tokenomics_attempt"]),
    "metering": ("Metering", ["responseheaders", "response", "tokenomics_cut"]),
    "records": ("Records", ["requestheaders", "response", "error"]),
    "frames": ("Frames", ["websocket_start", "websocket_message", "websocket_end"]),
}


def breakable(module, owner, name):
    from addons.guarded import guarded

    hook = getattr(owner, name)

    def broken(self, *data):
        raise RuntimeError("broken, with words of a secret prompt")

    broken.__name__ = broken.__qualname__ = name
    closed = guarded(broken)

    async def nothing():
        return None

    def either(self, *data, **options):
        order = ORDERS.read_text().split() if ORDERS.exists() else []
        if order[:3] == [module, owner.__name__, name]:
            if order[3] == "nothing":
                return nothing() if inspect.iscoroutinefunction(hook) else None
            return (broken if order[3] == "whole" else closed)(self, *data)
        return hook(self, *data, **options)

    setattr(owner, name, either)


class Saboteur(importlib.abc.MetaPathFinder):
    """Lays hands on an addon once it is imported."""

    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        if package != "addons" or module not in HOOKS or name in self.seen:
            return None
        self.seen.add(name)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_break(loaded):
            run(loaded)
            owner, hooks = HOOKS[module]
            for hook in hooks:
                breakable(module, getattr(loaded, owner), hook)

        spec.loader.exec_module = run_and_break
        return spec

    def __init__(self):
        self.seen = set()


sys.meta_path.insert(0, Saboteur())
