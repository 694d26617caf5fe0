"""Loaded by Python at start when this folder is on PYTHONPATH: guards the process, or ends it."""

import importlib.util
import os
import pathlib

try:
    path = pathlib.Path(__file__).parents[2] / "loopback_guard.py"
    spec = importlib.util.spec_from_file_location("loopback_guard", path)
    loopback_guard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loopback_guard)
    loopback_guard.install(pathlib.Path(os.environ[loopback_guard.LOG_VARIABLE]))
except BaseException as error:
    # Python would go on without the guard after an exception here.
    os.write(2, f"no loopback guard: {error!r}\n".encode())
    os._exit(70)
