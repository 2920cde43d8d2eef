"""Few places for the C library to take memory from: it gives each thread its own, and each keeps what was freed in it.

The unit says so by `MALLOC_ARENA_MAX`; by hand, in a container or under another supervisor the process says it itself.
"""

from __future__ import annotations

import ctypes

ARENAS = 2
_M_ARENA_MAX = -8
"""`mallopt(3)`."""


def keep_few_arenas() -> bool:
    """Bound the arenas of glibc from now on, before threads are started; returns whether this C library knows that."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS))
    except (AttributeError, OSError):  # musl has one arena, others are not asked
        return False
