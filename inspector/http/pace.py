"""How fast frames and tiles go by, measured between the looks at the page."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

PACE_S = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Frames and tiles per second over the last `over_s` seconds."""

    frames_s: float
    tiles_s: float
    over_s: float


class PaceMeter:
    """Remembers the counters at each view of the page, for a minute."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: deque[tuple[float, float, float]] = deque()

    def note(self, mono_s: float, frames: float, tiles: float) -> Pace | None:
        """Take the present counters and return their growth, or None at the first view."""
        with self._guard:
            while len(self._seen) > 1 and mono_s - self._seen[1][0] >= PACE_S:
                self._seen.popleft()
            if not self._seen or mono_s - self._seen[-1][0] >= 1:
                self._seen.append((mono_s, frames, tiles))
            then_s, frames_then, tiles_then = self._seen[0]
        over_s = mono_s - then_s
        return Pace((frames - frames_then) / over_s, (tiles - tiles_then) / over_s, over_s) if over_s >= 1 else None
