"""How long one thread has been waiting for a disk: a disk that hangs raises no error, so that it must be watched.

It stops and interrupts nothing: a thread in the kernel cannot be interrupted. Supervision reads the reason and makes
the station blind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inspector.clock import Clock

SILENT_S = 1.5
"""A disk that has not answered for this long hangs; with the period of supervision health says so within 2 s."""


class DiskWatch:
    """What one thread waits for, and since when; read by others.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: tuple[str, float] | None = None  # one value: readers take no lock

    @contextmanager
    def waiting_for(self, name: str) -> Iterator[None]:
        """Note that the block waits for `name`, from its first line to its last; do not nest it."""
        self._waiting = name, self._clock.monotonic()
        try:
            yield
        finally:
            self._waiting = None

    def reason(self, now_mono_s: float) -> str | None:
        """Return what has not answered, and for how long, or None while the disk is quick enough."""
        waiting = self._waiting
        if waiting is None or now_mono_s - waiting[1] <= SILENT_S:
            return None
        return f"{waiting[0]} has not answered for {now_mono_s - waiting[1]:.0f} s"
