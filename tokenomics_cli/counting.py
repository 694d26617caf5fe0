"""How commands get at the counters: for one piece of work, on the store that the configuration names."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokenomics_cli.command import Invocation

if TYPE_CHECKING:
    from tokenomics_core.counters import Counters


def have_counters(invocation: Invocation) -> bool:
    """Whether anything was counted, as far as can be told without making a file."""
    from tokenomics_core.counters import FILE

    config = invocation.config
    return config.session.backend == "redis" or (config.dir / FILE).exists()


def with_counters[T](invocation: Invocation, work: Callable[[Counters], Awaitable[T]]) -> T:
    """Opens the counters, does the work, closes them. Raises CountersUnavailable."""
    with counters_at_hand(invocation) as do:
        return do(work)


@contextmanager
def counters_at_hand(
    invocation: Invocation,
) -> Iterator[Callable[[Callable[[Counters], Awaitable[Any]]], Any]]:
    """Does one piece of work after another, on counters that are opened once, for the first of them.

    Raises CountersUnavailable.
    """
    from tokenomics_core.config import prepare_data_dir
    from tokenomics_core.counters import open_counters

    # A person is told that Redis is away, and does not look at what one machine counted meanwhile.
    asked = invocation.config
    strict = asked.session.model_copy(update={"on_store_error": "refuse"})
    config = asked.model_copy(update={"session": strict})
    # The error says it; the log of a gateway would say it once more.
    logging.getLogger("tokenomics").addHandler(logging.NullHandler())
    counters = open_counters(config, f"cli-{os.getpid()}")

    opened = False

    async def run(work: Callable[[Counters], Awaitable[Any]]) -> Any:
        nonlocal opened
        if not opened:
            prepare_data_dir(config)
            await counters.open()
            opened = True
        return await work(counters)

    with asyncio.Runner() as runner:
        try:
            yield lambda work: runner.run(run(work))
        finally:
            runner.run(counters.close())
