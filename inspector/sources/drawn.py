"""The drawn strip as a source: frames of lines at the pace of a real strip, lossless, marked as simulated."""

from __future__ import annotations

import threading

from inspector.drawn.pasted import open_strip
from inspector.drawn.strip import Strip
from inspector.frame import Frame, Gap
from inspector.settings.source import DemoOptions
from inspector.sources.base import READ_TIMEOUT_S, Policy, SourceContext


class DemoSource:
    """Draws `frame_lines` lines at a time, as fast as the strip would bring them.

    Attributes:
        options: The section `[source]`.
        strip: What is drawn; the demo compares findings with it.
        committed_lines: Absolute line up to which everything was inspected and committed.
    """

    policy = Policy.LOSSLESS

    def __init__(self, options: DemoOptions, context: SourceContext) -> None:
        self.options = options
        self._context = context
        self.strip: Strip = open_strip(options.seed, options.mm_per_px, options.images)
        self._lines_per_s = options.speed_m_s * 1000 / self.strip.spec.mm_per_px
        self._closed = threading.Event()
        self._epoch = 0
        self._frame_id = 0
        self._next_line = 0
        self._started_mono_s = 0.0
        self.committed_lines = 0

    @property
    def description(self) -> str:
        """What is drawn."""
        spec = self.strip.spec
        return f"demo strip, seed {spec.seed}, {spec.width_px} px wide, {self.options.speed_m_s:g} m/s"

    def read(self) -> Frame | Gap | None:
        """Return the next piece of strip when its last line has passed; see `FrameSource`."""
        clock = self._context.clock
        if self._epoch == 0:
            self._epoch = self._context.next_epoch()
            self._started_mono_s = clock.monotonic()
        overlap = self.options.overlap_lines if self._next_line else 0
        first = self._next_line - overlap
        count = self.options.frame_lines
        due_mono_s = self._started_mono_s + (first + count) / self._lines_per_s
        if (wait_s := due_mono_s - clock.monotonic()) > 0:
            self._closed.wait(min(wait_s, READ_TIMEOUT_S))
            if wait_s > READ_TIMEOUT_S:
                return None
        elif wait_s < -READ_TIMEOUT_S:  # the inspection holds the strip up: it does not catch up by racing later
            self._started_mono_s -= wait_s + READ_TIMEOUT_S
        if self._closed.is_set():
            return None
        frame = Frame(
            self.strip.lines(first, count),
            self._epoch,
            self._frame_id,
            clock.now(),
            clock.monotonic(),
            self._context.stream_identity(self._epoch, first),
            first_line=first,
            overlap_lines=overlap,
            simulated=True,
        )
        self._frame_id += 1
        self._next_line = first + count
        return frame

    def done(self, item: Frame | Gap) -> None:
        """Note how far the strip is inspected; see `FrameSource`."""
        if isinstance(item, Frame) and item.first_line is not None:
            self.committed_lines = item.first_line + item.height_px

    def close(self) -> None:
        """See `FrameSource`."""
        self._closed.set()
