"""Spares the work on frames of a pause: from when on the dispatcher need not inspect what it takes.

Which frames belong to a pause is decided in order, by `track`; here only work is saved. So the mark is set when the
pause has taken its place, and goes the moment its end is asked for: a frame that was captured after that is inspected.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from inspector.track.operators import Pause

ON_THE_WAY = timedelta(seconds=5)
"""How long a frame may be on its way from the queue to its commit."""


class PauseMark:
    """Written by the committer and by whoever ends a pause, read by the dispatcher."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._ending = 0
        self._pause: Pause | None = None
        self._since_mono_s = 0.0

    def end_soon(self) -> None:
        """The end of a pause is about to take its place."""
        with self._guard:
            self._ending += 1
            self._pause = None

    def ended(self) -> None:
        """The end of a pause has taken its place."""
        with self._guard:
            self._ending = max(0, self._ending - 1)
            self._pause = None

    def follow(self, pause: Pause | None, now_mono_s: float) -> None:
        """Take over what is in force now; a pause whose end is on its way is not worth a mark."""
        with self._guard:
            if pause is None or self._ending:
                self._pause = None
            elif self._pause is None:
                self._pause, self._since_mono_s = pause, now_mono_s
            else:
                self._pause = pause

    def of(self, placed_mono_s: float, now: datetime) -> Pause | None:
        """Return the pause in which something with this place lies for certain, or None.

        Args:
            placed_mono_s: Its place.
            now: UTC; what is taken shortly before a pause ends by itself may be committed after it.
        """
        with self._guard:
            pause = self._pause
            if pause is None or placed_mono_s < self._since_mono_s or pause.until - now < ON_THE_WAY:
                return None
            return pause
