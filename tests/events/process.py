"""A process with an emitter, as a gateway is one: python -m tests.events.process FOLDER URL NAME COUNT

It emits COUNT events, prints a line, delivers until its standard input ends, and stops in good order.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests import loopback_guard
from tokenomics_core.config import Webhook
from tokenomics_core.events import Emitter, Event


async def main(folder: str, url: str, name: str, count: int) -> None:
    emitter = Emitter([Webhook(url=url)], Path(folder))
    await emitter.start()
    for number in range(count):
        emitter.emit(Event("request.completed", {"from": name, "number": number}))
        if number % 10 == 0:
            await asyncio.sleep(0.001)
    assert emitter._writer is not None
    await asyncio.to_thread(emitter._writer.flush, 10.0)
    print("emitted", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await emitter.close()


if __name__ == "__main__":
    loopback_guard.install()
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
