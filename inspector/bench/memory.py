"""A station whose frames come from memory: `python -m inspector.bench.memory CONFIG FRAMES RATE`.

All but its source is what `inspector run` runs. FRAMES is a .npy file of (N, H, W) uint8 that are given in turn. RATE
is frames a second, given as a live camera gives them: what is not taken in time is dropped. 0: as fast as they are
taken.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from inspector.frame import Frame, Gap
from inspector.settings.source import AnySource
from inspector.sources.base import READ_TIMEOUT_S, FrameSource, Ledger, Policy, SourceContext
from inspector.station import pipeline
from inspector.station.run import run_daemon


class MemorySource:
    """Frames from memory.

    Args:
        pixels: (N, H, W) uint8, given in turn.
        rate: Frames a second, live; 0: as fast as they are taken, and none is dropped.
        context: Time and epochs.
    """

    description = "frames from memory"

    def __init__(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], rate: float, context: SourceContext) -> None:
        self.policy = Policy.LIVE if rate else Policy.LOSSLESS
        self._pixels, self._rate, self._context = pixels, rate, context
        self._closed = threading.Event()
        self._epoch, self._given, self._began_s = 0, 0, 0.0

    def read(self) -> Frame | Gap | None:
        """Return the next frame at its moment; see `FrameSource`."""
        clock = self._context.clock
        if not self._epoch:
            self._epoch, self._began_s = self._context.next_epoch(), clock.monotonic()
        now_s = clock.monotonic()
        due_s = self._began_s + self._given / self._rate if self._rate else now_s
        if due_s > now_s and self._closed.wait(min(READ_TIMEOUT_S, due_s - now_s)):
            return None
        now_s = clock.monotonic()
        if self._closed.is_set() or due_s > now_s:
            return None
        number, self._given = self._given, self._given + 1
        captured_at = clock.now() - timedelta(seconds=now_s - due_s)
        return Frame(
            self._pixels[number % len(self._pixels)], self._epoch, number, captured_at, due_s,
            self._context.stream_identity(self._epoch, number), simulated=True,
        )  # fmt: skip

    def done(self, item: Frame | Gap) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """End."""
        self._closed.set()


def main(config: str, frames: str, rate: str) -> int:
    """Run the station until it is stopped; returns its exit code."""
    pixels = np.load(frames)

    def open_memory(_options: AnySource, context: SourceContext, _ledger: Ledger) -> FrameSource:
        return MemorySource(pixels, float(rate), context)

    setattr(pipeline, "open_source", open_memory)  # noqa: B010 - a module's name is replaced, in this process alone
    return run_daemon(Path(config))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
