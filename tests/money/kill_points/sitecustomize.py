"""Loaded by Python at start when this folder is on PYTHONPATH: the guard, and a process that kills itself.

The file named by KILL_POINT says where, and at which passing of that place: ``granted 7``. It is read once;
without it the process lives. The signal is SIGKILL: no handler, no flush, no goodbye.
"""

import importlib.abc
import importlib.util
import os
import pathlib
import runpy
import signal
import sys

runpy.run_path(str(pathlib.Path(__file__).parents[2] / "support" / "guard" / "sitecustomize.py"))

ORDER = pathlib.Path(os.environ["KILL_POINT"])
POINT, LEFT = (ORDER.read_text().split() if ORDER.exists() else None) or ("", "0")
LEFT = int(LEFT)


def passing(point):
    global LEFT
    if point == POINT:
        LEFT -= 1
        if LEFT == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner, name, *, before="", after=""):
    """The points before and after an async method."""
    method = getattr(owner, name)

    async def passed(self, *arguments, **named):
        passing(before)
        result = await method(self, *arguments, **named)
        passing(after)
        return result

    setattr(owner, name, passed)


def counters(module):
    around(module.SqliteCounters, "ask", before="asked", after="granted")
    around(module.SqliteCounters, "extend", before="short", after="extended")
    around(module.SqliteCounters, "settle", before="answered", after="settled")


def services(module):
    """A recovery settles as an exchange does; here it is told apart."""
    around(module.Services, "forget_written", before="told", after="forgotten")
    recover = module.recover

    async def recovering(counters, *arguments):
        class Recovering:
            def __getattr__(self, name):
                return getattr(counters, name)

            async def settle(self, settlement):
                settled = await counters.settle(settlement)
                passing("recovering")
                return settled

        return await recover(Recovering(), *arguments)

    module.recover = recovering


def ledger(module):
    write = module.Ledger._write

    def passed(self, rows):
        passing("unwritten")
        write(self, rows)
        passing("written")

    module.Ledger._write = passed


PLACES = {
    "tokenomics_core.counters.sqlite": counters,
    "tokenomics_core.ledger.ledger": ledger,
    "addons.services": services,
}


class Watcher(importlib.abc.MetaPathFinder):
    """Marks the points once their module is imported."""

    def __init__(self):
        self.seen = set()

    def find_spec(self, name, path=None, target=None):
        if name not in PLACES or name in self.seen:
            return None
        self.seen.add(name)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_mark(loaded):
            run(loaded)
            PLACES[name](loaded)

        spec.loader.exec_module = run_and_mark
        return spec


sys.meta_path.insert(0, Watcher())
