"""What a row of the ledger costs its writer: without and with the chain, by the rows of a batch.

    python bench/ledger.py [--rows N] [--rounds N] [--json]

Each batch is a transaction. With the chain, its rows are hashed and it ends in a signed head.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.ledger.synthetic import rows
from tokenomics_core.ledger.chain import Chain
from tokenomics_core.ledger.chain_check import check
from tokenomics_core.ledger.database import insert_rows, open_for_writing
from tokenomics_core.ledger.row import Row
from tokenomics_core.ledger.signing import PUBLIC, PublicKey, Signer

BATCHES = (1, 8, 512)


def write(path: Path, some: list[Row], batch: int, chain: Chain | None) -> float:
    """Microseconds of the thread for each row."""
    with closing(open_for_writing(path, busy_timeout=5)) as db:
        started = time.thread_time()
        for place in range(0, len(some), batch):
            db.execute("BEGIN IMMEDIATE")
            insert_rows(db, some[place : place + batch], chain)
            db.commit()
            if chain is not None:
                chain.committed()
        return (time.thread_time() - started) / len(some) * 1e6


def measure(folder: Path, some: list[Row], batch: int) -> dict[str, float]:
    keys = folder / "keys"
    chain = Chain("be" * 8, Signer(keys, os.urandom), lambda: datetime.now(UTC))
    plain = write(folder / "plain.db", some, batch, None)
    chained = write(folder / "chained.db", some, batch, chain)
    started = time.thread_time()
    said = check(folder / "chained.db", PublicKey(keys / PUBLIC).verifies)
    assert (said.rows, said.findings) == (len(some), [])
    checked = (time.thread_time() - started) / len(some) * 1e6
    size = [(folder / f"{name}.db").stat().st_size / len(some) for name in ("plain", "chained")]
    return {
        "batch": batch,
        "plain_us": plain,
        "chained_us": chained,
        "check_us": checked,
        "plain_bytes": size[0],
        "chained_bytes": size[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    some = list(rows(options.rows))
    results = []
    for batch in BATCHES:
        rounds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append(measure(Path(folder), some, batch))
        # What else the machine does only adds.
        results.append({name: round(min(each[name] for each in rounds), 1) for name in rounds[0]})
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print("  ".join(f"{name:>13}" for name in results[0]))
    for result in results:
        print("  ".join(f"{value:>13}" for value in result.values()))


if __name__ == "__main__":
    main()
