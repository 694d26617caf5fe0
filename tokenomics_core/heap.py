"""Heap: a process that runs for weeks keeps its memory small, and pauses little for that.

Bodies and answers of all sizes come and go beside small things that stay, and glibc's allocator keeps the
gaps: up to a megabyte for a thousand requests. Flows are full of cycles, which only the collector frees.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def settle_heap() -> Callable[[], None]:
    """To be called once, before there are threads. Gives what hands freed memory back to the system.

    Larger blocks are mapped by themselves, and threads share two heaps. Where the C library is another one
    nothing changes, and nothing is given back.
    """
    try:
        library = ctypes.CDLL(None)
        set_option, trim = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        return lambda: None
    # Naming one of them also stops glibc from raising both as it goes.
    set_option(_MMAP_THRESHOLD, 64 * 1024)
    set_option(_TRIM_THRESHOLD, 128 * 1024)
    set_option(_ARENA_MAX, 2)
    # ctypes gives the interpreter lock up meanwhile.
    return lambda: trim(0)


def settle_collector() -> None:
    """To be called once, when all is loaded: that is never looked through again.

    A pass holds up whatever runs: about 1 ms for 2,000 new objects, and 5 ms for what was in use during five
    such passes. What was in use then is garbage later: at 200 requests a second it is looked for every 40 s.
    """
    gc.freeze()
    gc.set_threshold(2_000, 4, 100)
