"""The two ways from a source to the inspection: `Mailbox` (live, newest wins) and `FrameQueue` (lossless, waits).

Neither loses a gap. A mailbox turns every frame it drops into a gap, so what was not seen is always reported.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from inspector.frame import Cause, Frame, Gap

MAX_GAPS = 256
"""Gaps that a mailbox keeps while its reader is stuck; further ones are merged into the last one of their cause."""


MAX_UNCOMMITTED_BYTES = 48 << 20
"""Pixels of frames between source and commit, beyond which a lossless source waits before it decodes the next one."""


class ItemQueue(Protocol):
    """One writer, one reader."""

    def put(self, item: Frame | Gap) -> int:
        """Hand over an item; returns how many frames were dropped for it. May block (see the class)."""
        ...

    def get(self, timeout_s: float) -> Frame | Gap | None:
        """Take the next item, or None after `timeout_s` seconds or when closed and empty."""
        ...

    def release(self, item: Frame | Gap) -> None:
        """An item that was taken is committed: its pixels are not needed any more."""
        ...

    def close(self) -> None:
        """Let waiting `put` and `get` calls return; what is inside can still be taken."""
        ...

    def __len__(self) -> int: ...


class Mailbox:
    """Holds the newest frame. A frame that is replaced before it was taken becomes a `dropped` gap in its place."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list[Frame | Gap] = []  # in order of time; at most one is a frame
        self._closed = False

    def put(self, item: Frame | Gap) -> int:
        """Never blocks; see `ItemQueue`."""
        with self._changed:
            dropped = 0
            if isinstance(item, Frame):
                for number, old in enumerate(self._items):
                    if isinstance(old, Frame):
                        later = self._items[number + 1 :]
                        del self._items[number:]
                        self._add_gap(Gap(Cause.DROPPED, old.captured_at, old.captured_at, old.epoch, frames=1))
                        self._items += later
                        dropped = 1
                        break
                self._items.append(item)
            else:
                self._add_gap(item)
            self._changed.notify()
            return dropped

    def _add_gap(self, gap: Gap) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(last, Gap) and last.cause is gap.cause is Cause.DROPPED and last.epoch == gap.epoch:
            self._items[-1] = _joined(last, gap)
            return
        if len(self._items) >= MAX_GAPS:
            for number in reversed(range(len(self._items))):
                if isinstance(known := self._items[number], Gap) and known.cause is gap.cause:
                    self._items[number] = _joined(known, gap)
                    return
        self._items.append(gap)

    def get(self, timeout_s: float) -> Frame | Gap | None:
        """Take the oldest item; see `ItemQueue`."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.pop(0) if self._items else None

    def release(self, item: Frame | Gap) -> None:
        """A live camera is read whatever is being inspected; see `ItemQueue`."""

    def close(self) -> None:
        """See `ItemQueue`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)


def _joined(known: Gap, gap: Gap) -> Gap:
    """Return one gap for both; it is a stretch, so it has no identity of its own any more."""
    return Gap(
        known.cause,
        min(known.since, gap.since),
        max(known.until, gap.until),
        known.epoch,
        frames=sum(one.frames or (one.frame_id is not None) for one in (known, gap)),
        detail=gap.detail or known.detail,
    )


class FrameQueue:
    """Keeps order and loses nothing: `put` waits while `capacity` items are inside (back-pressure).

    It also waits, after handing over, until the frames that are not committed yet have less than `most_bytes`: the next
    picture is decoded only then, so that large pictures follow each other instead of filling the memory together.
    """

    def __init__(self, capacity: int, most_bytes: int = MAX_UNCOMMITTED_BYTES) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1: {capacity}")
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._uncommitted_bytes = 0
        self._changed = threading.Condition()
        self._items: deque[Frame | Gap] = deque()
        self._closed = False

    def put(self, item: Frame | Gap) -> int:
        """Wait for room; once closed, take nothing more of a file: it is not done, so it will be read again."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._closed)
            if not self._closed or item.source_key is None:
                self._items.append(item)
                self._uncommitted_bytes += _bytes_of(item)
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._uncommitted_bytes <= self._most_bytes or self._closed)
            return 0

    def release(self, item: Frame | Gap) -> None:
        """See `ItemQueue`."""
        with self._changed:
            self._uncommitted_bytes -= _bytes_of(item)
            self._changed.notify_all()

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


def _bytes_of(item: Frame | Gap) -> int:
    return item.pixels.nbytes if isinstance(item, Frame) else 0
