"""The two ways from a source to the inspection: `Mailbox` (live, newest wins) and `FrameQueue` (lossless, waits).

Neither loses a gap. A mailbox turns every frame it drops into a gap, so what was not seen is always said.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Protocol

from inspector.frame import Cause, Frame, Gap

MAX_GAPS = 256
"""Gaps kept by a mailbox whose reader is stuck; further ones of the same cause are merged into the last."""


class ItemQueue(Protocol):
    """One writer, one reader."""

    def put(self, item: Frame | Gap) -> int:
        """Hand over an item; returns how many frames were dropped for it. May block (see the class)."""
        ...

    def get(self, timeout_s: float) -> Frame | Gap | None:
        """Take the next item, or None after `timeout_s` seconds or when closed and empty."""
        ...

    def close(self) -> None:
        """Let waiting `put` and `get` calls return; what is inside can still be taken."""
        ...

    def __len__(self) -> int: ...


class Mailbox:
    """Holds the newest frame. A frame that is replaced before it was taken becomes a `dropped` gap."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._gaps: deque[Gap] = deque()
        self._frame: Frame | None = None
        self._closed = False

    def put(self, item: Frame | Gap) -> int:
        """Never blocks; see `ItemQueue`."""
        with self._changed:
            dropped = 0
            if isinstance(item, Gap):
                self._add_gap(item)
            else:
                if (old := self._frame) is not None:
                    dropped = 1
                    self._add_gap(Gap(Cause.DROPPED, old.captured_at, old.captured_at, old.epoch, frames=1))
                self._frame = item
            self._changed.notify()
            return dropped

    def _add_gap(self, gap: Gap) -> None:
        last = self._gaps[-1] if self._gaps else None
        same = last is not None and (last.cause, last.epoch, last.identity) == (gap.cause, gap.epoch, None)
        if last is not None and same and (gap.cause is Cause.DROPPED or len(self._gaps) >= MAX_GAPS):
            self._gaps[-1] = replace(last, until=max(last.until, gap.until), frames=last.frames + gap.frames)
        else:
            self._gaps.append(gap)

    def get(self, timeout_s: float) -> Frame | Gap | None:
        """Take the oldest gap, else the newest frame; see `ItemQueue`."""
        with self._changed:
            self._changed.wait_for(lambda: self._gaps or self._frame is not None or self._closed, timeout_s)
            if self._gaps:
                return self._gaps.popleft()
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """See `ItemQueue`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._gaps) + (self._frame is not None)


class FrameQueue:
    """Keeps order and loses nothing: `put` waits while `capacity` items are inside (back-pressure)."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1: {capacity}")
        self._capacity = capacity
        self._changed = threading.Condition()
        self._items: deque[Frame | Gap] = deque()
        self._closed = False

    def put(self, item: Frame | Gap) -> int:
        """Wait for room; once closed, items are not taken any more (they were never inspected, so never done)."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._closed)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return 0

    def get(self, timeout_s: float) -> Frame | Gap | None:
        """Take the oldest item; see `ItemQueue`."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """See `ItemQueue`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)
