"""DebugLog: what was done with each request, step by step, in plain lines: ``proxy.log``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenomics_core.ledger.row import Row, timestamp
from tokenomics_core.request_log.hiding import without_hash, without_secrets
from tokenomics_core.request_log.log_file import LogFile


class DebugLog:
    """For the writer's thread. The file is made when the first line is written."""

    def __init__(self, path: Path, *, max_bytes: int = 0, keep: int = 5) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file: LogFile | None = None

    def write(self, rows: Sequence[Row], *, hide_token_hash: bool = False) -> None:
        """What cannot be written is lost: nobody waits for it."""
        lines = [line for row in rows for line in debug_lines(row, hide_token_hash=hide_token_hash)]
        if not lines:
            return
        try:
            if self._file is None:
                self._file = LogFile(self._path, max_bytes=self._max_bytes, keep=self._keep)
            self._file.write(without_secrets("\n".join(lines) + "\n"))
        except OSError:
            return

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def debug_lines(row: Row, *, hide_token_hash: bool = False) -> Iterator[str]:
    """Lines without their ends, each with the time at which the request ended, and its id."""
    for line in _lines(row):
        # Of many lines in one: what a provider says stands in one as well.
        line = " ".join(line.split())
        yield without_hash(line, row.token_hash) if hide_token_hash else line


def _lines(row: Row) -> Iterator[str]:
    begin = f"{timestamp(row.ended_at)} {row.id}"
    token = row.token_hash[:16] or "unknown"
    session = f", session {row.session_id}" if row.session_id else ""
    yield f"{begin} {row.method} {row.path} ({row.ingress}, {row.dialect}): token {token}{session}"
    if row.refusal:
        yield f"{begin} refused with {row.status} {row.refusal}: {row.error}"
    for match in row.rule_matches:
        yield f"{begin} rule {match.get('action', '')}: {match.get('message', '')}"
    for number, attempt in enumerate(row.attempts, 1):
        why = f": {attempt['reason']}" if attempt["reason"] else ""
        yield (
            f"{begin} attempt {number} of {len(row.attempts)}: {attempt['provider']} {attempt['model']},"
            f" status {attempt['status'] or 'none'}{why}"
        )
    if row.attempts:
        yield (
            f"{begin} {row.upstream_url} with the key in {row.base_key_env or 'no variable'}:"
            f" {row.upstream_status or 'no answer'}, to the client {row.status}, {row.duration_ms} ms"
        )
