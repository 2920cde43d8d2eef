"""How far the machine's clock is off, as the kernel says: what NTP, chrony or timesyncd told it (adjtimex(2)).

Nothing is asked over the network. A kernel that nobody disciplines knows no offset; then nothing is claimed.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

LIMIT_MS = 1000.0
"""Beyond it health is `degraded: clock`: times of different stations and of the plant no longer go together."""
_TIME_ERROR = 5
_STA_NANO = 0x2000
_STA_UNSYNC = 0x0040


class Timex(ctypes.Structure):
    """`struct timex` of the C library; the kernel fills it, and with `modes` 0 changes nothing."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("constant", ctypes.c_long),
        ("precision", ctypes.c_long), ("rest", ctypes.c_char * 512),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelClock:
    """The clock as the kernel knows it.

    Attributes:
        state: Whether something disciplines it.
        offset_ms: How far it is still off, signed; None: not known.
        error_ms: How large the kernel takes the error to be; None: not known.
    """

    state: Literal["synchronized", "unsynchronized", "unknown"]
    offset_ms: float | None = None
    error_ms: float | None = None

    @property
    def reason(self) -> str | None:
        """What is wrong with it, as the reason of health, or None."""
        off_ms = max(abs(self.offset_ms or 0.0), self.error_ms or 0.0)
        return f"clock: off by up to {off_ms / 1000:.1f} s, as the kernel says" if off_ms > LIMIT_MS else None


def _adjtimex(found: Timex) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    code = int(library.adjtimex(ctypes.byref(found)))
    if code < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return code


def read_kernel_clock(ask: Callable[[Timex], int] = _adjtimex) -> KernelClock:
    """Return what the kernel says of its clock now.

    Args:
        ask: Fills a `Timex` and returns the state of the clock; a test gives its own.
    """
    found = Timex()
    try:
        code = ask(found)
    except (OSError, AttributeError):  # a sandbox that forbids the call, or a library without it
        return KernelClock("unknown")
    if code == _TIME_ERROR or found.status & _STA_UNSYNC:
        return KernelClock("unsynchronized")
    offset_ms = found.offset / (1e6 if found.status & _STA_NANO else 1e3)
    return KernelClock("synchronized", round(offset_ms, 3), round(found.esterror / 1e3, 3))
