"""How many commands of one name are taken: more than people give, fewer than would hold up the frames.

Each accepted command waits for the disk, and shares the store with the commits of frames. What is beyond the budget is
refused at once, by name, without touching the disk; each name has its own, so that a flood of one holds up no other.
"""

from __future__ import annotations

import threading

from inspector.clock import Clock
from inspector.errors import CommandError

BURST = 200
"""At once ..."""
PER_SECOND = 20.0
"""... and as many more each second."""


class Budgets:
    """A bucket of tokens for each name; safe to use from several threads.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one.

        Raises:
            CommandError: There is none left now.
        """
        now_mono_s = self._clock.monotonic()
        with self._guard:
            left, at_mono_s = self._left.get(name, (float(BURST), now_mono_s))
            left = min(float(BURST), left + (now_mono_s - at_mono_s) * PER_SECOND)
            if left < 1:
                self._left[name] = left, now_mono_s
                raise CommandError(f"more than {PER_SECOND:g} {name} a second: send it again later", "busy")
            self._left[name] = left - 1, now_mono_s
