"""The pid file: which process is the gateway of a data directory, and the lock under which one is started."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenomics_cli.errors import CommandError
from tokenomics_core.private_files import private_directory
from tokenomics_core.process import Process

NAME = "tokenomics.pid"
_LOCK = "start.lock"
_LONGEST_WAIT = 60.0
_POLL = 0.05


@dataclass(frozen=True)
class Record:
    """What a gateway says of itself when its listeners are open.

    started: as `Process.started`. log: where its output goes, empty for a terminal. while_used: it ends when
    no `run` uses it. keys: by provider, the variable of the gateway's environment with its key; None where
    nobody has said.
    """

    pid: int
    started: str
    url: str
    instance: str
    log: str = ""
    while_used: bool = False
    keys: dict[str, str] | None = None

    @property
    def process(self) -> Process:
        return Process(self.pid, self.started)


def pid_file(data_dir: Path, named: str = "") -> Path:
    return Path(named).expanduser().absolute() if named else data_dir / NAME


def read_record(path: Path) -> Record | None:
    """What the file says, true or not; None when there is none. Raises CommandError."""
    try:
        told = json.loads(path.read_text())
        return Record(**{name: told[name] for name in Record.__dataclass_fields__ if name in told})
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"read PID file: {path}: {error.strerror}; check its owner and mode") from None
    except (ValueError, TypeError):
        raise CommandError(
            f"read PID file: {path} is no PID file of a gateway; look at it and delete it"
        ) from None


def write_record(path: Path, record: Record) -> None:
    """Puts the whole file in its place at once, for its owner only."""
    private_directory(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(record), file, indent=2)
            file.write("\n")
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def starting(data_dir: Path) -> Iterator[None]:
    """Only one process at a time looks for the gateway of this directory, starts it or ends it."""
    deadline = time.monotonic() + _LONGEST_WAIT
    while (handle := try_lock(data_dir)) is None:
        if time.monotonic() > deadline:
            raise CommandError("another command starts or stops the gateway and does not end; try again")
        time.sleep(_POLL)
    try:
        yield
    finally:
        os.close(handle)


def try_lock(data_dir: Path) -> int | None:
    """The lock of `starting` as a file descriptor, held until it is closed; None while somebody has it."""
    folder = data_dir / "run"
    private_directory(folder)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
