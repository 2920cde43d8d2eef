"""Where everything that is ordered, and does not come from the source, waits for its place among the frames.

Commands of the plant arrive on one thread, losses on another, gaps at the start on a third; the committer alone takes
them out, each before the first frame that was captured after it was put in.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from inspector.clock import Clock
from inspector.frame import Gap
from inspector.items import AreaLink, AreaWord, CoilChange, Command, Lost

Word = Gap | Lost | CoilChange | Command | AreaLink | AreaWord


class Inbox:
    """Ordered, unbounded, safe to use from several threads.

    Args:
        clock: Time.
        heard: Told of each item and its place, before any frame behind it is taken.
    """

    def __init__(self, clock: Clock, heard: Callable[[Word, float], None] = lambda word, place_s: None) -> None:
        self._clock = clock
        self._heard = heard
        self._guard = threading.Lock()
        self._waiting: deque[tuple[float, Word]] = deque()

    def put(self, *words: Word) -> None:
        """Put an item in its place: after all frames that were captured until now."""
        with self._guard:
            now_mono_s = self._clock.monotonic()
            self._waiting.extend((now_mono_s, word) for word in words)
            for word in words:
                self._heard(word, now_mono_s)

    def take(self, until_mono_s: float) -> list[Word]:
        """Return and remove the items that were put in up to that monotonic time, in order."""
        taken: list[Word] = []
        with self._guard:
            while self._waiting and self._waiting[0][0] <= until_mono_s:
                taken.append(self._waiting.popleft()[1])
        return taken

    def __len__(self) -> int:
        return len(self._waiting)
