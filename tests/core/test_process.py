from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

from tokenomics_core.process import Process, started


def test_a_process_is_its_number_and_its_start() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = Process(child.pid, started(child.pid))
        assert process.alive
        assert not process.wait(0.05)
        later = replace(process, started=process.started + "1")
        assert not later.alive
        assert not later.send(signal.SIGKILL)
        assert later.wait(0)
        assert child.poll() is None
        assert process.send(signal.SIGTERM)
        # It is gone before anybody has asked how it ended.
        assert process.wait(10)
        assert not process.alive
        assert not process.send(signal.SIGTERM)
    assert child.returncode == -signal.SIGTERM
    assert started(child.pid) == ""
    assert Process.own().alive
