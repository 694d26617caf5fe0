"""Terminal: a program on a pseudo-terminal of its own, as a person sees and types."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType


class Terminal:
    """As a context manager it ends what still runs in it, as closing a terminal window does."""

    def __init__(self, command: Sequence[str | Path], *, cwd: Path, environ: Mapping[str, str]) -> None:
        self._main, other = pty.openpty()
        self.text = ""
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={**environ, "TERM": "dumb"},
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(other)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        os.close(self._main)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def echoes(self) -> bool:
        """Whether what is typed is shown."""
        return bool(termios.tcgetattr(self._main)[3] & termios.ECHO)

    def wait_for(self, text: str, timeout: float = 60) -> str:
        """All that was shown, once the text is in it; raises TimeoutError with what was shown instead."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while text not in self.text:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise TimeoutError(f"{text!r} was not shown: {self.text}")
            return self.text

    def end(self, timeout: float = 60) -> int:
        """Its exit code, once it has ended and all was read."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._main, 65536)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self.text += data.decode(errors="replace").replace("\r\n", "\n")
                self._changed.notify_all()
