"""Who uses a gateway: each `run` holds a lock, which the system takes away when it ends, however it ends."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tokenomics_core.counters.owners import Owners


class Users:
    """The users of a data directory's gateway."""

    def __init__(self, data_dir: Path) -> None:
        self._owners = Owners(data_dir / "run" / "users")

    def enter(self) -> None:
        """From now on this process is one of them. To be called under the start lock."""
        self._owners.claim(f"{os.getpid()}-{secrets.token_hex(4)}")

    def leave(self) -> None:
        self._owners.release()

    def any(self) -> bool:
        """Whether there is one. Files of users that are gone are removed; so, under the start lock only."""
        folder = self._owners.directory
        found = False
        for path in folder.glob("*.lock") if folder.is_dir() else ():
            if self._owners.alive(path.stem):
                found = True
            else:
                path.unlink(missing_ok=True)
        return found
