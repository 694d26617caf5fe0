"""Heap: a process that runs for weeks gives back what its C library has freed.

Bodies and answers of all sizes come and go beside small things that stay, and glibc's allocator keeps the
gaps: up to a megabyte for a thousand requests. Python's own objects do not grow.
"""

from __future__ import annotations

import ctypes
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
