"""Ports on loopback: free ones, and who listens on them."""

from __future__ import annotations

import socket
from pathlib import Path

_LISTEN = "0A"


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def listens(pid: int, port: int) -> bool:
    """Whether the process itself listens on the port. True where the system does not tell (no /proc)."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        return True
    wanted = {f"socket:[{inode}]" for table in tables if table.exists() for inode in _inodes(table, port)}
    try:
        return any(str(link.readlink()) in wanted for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _inodes(table: Path, port: int) -> list[str]:
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rsplit(":", 1)[1], 16) == port]
