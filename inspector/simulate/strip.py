"""The strip as the camera sees it: its lines in the order of the stream, and what they show.

Whatever the length, memory is that of a few thousand lines: ground is drawn as it is read, and kept only as far back as
a reverse jog goes. The same order gives the same bytes, however they are read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inspector.frame import Pixels
from inspector.simulate.faults import Fault, plan_faults, spoil
from inspector.simulate.ground import Edges, open_ground
from inspector.simulate.laid import Laid, lay
from inspector.simulate.layout import Layout
from inspector.simulate.order import Order, OrderError
from inspector.simulate.speed import OPTION, Speed, Stretch, furthest_back, stretches

CHUNK_LINES = 1024
"""Lines that are drawn at once; more where a defect lies across."""
MOST_KEPT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Row:
    """A defect as the stream shows it; `y` in lines from the head of the stream, as in a row of the truth."""

    label: str
    x: int
    y: int
    width: int
    height: int
    position_m: float
    ordinal: int = -1

    def as_dict(self) -> dict[str, object]:
        """Return the row of the truth."""
        return {
            "label": self.label, "x": self.x, "y": self.y, "width": self.width, "height": self.height,
            "position_m": self.position_m,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The next lines of the stream.

    Attributes:
        pixels: (H, W) uint8.
        first_line: Of the stream.
        rows: Defects whose last line is among them, or was before: they will not change any more.
        faults: That begin among them, each with the defects that it hides.
        stretch: How the strip moves here.
        at_s: When its first line passes; 0 without a profile.
    """

    pixels: Pixels
    first_line: int
    rows: tuple[Row, ...]
    faults: tuple[tuple[Fault, tuple[Row, ...]], ...]
    stretch: Stretch
    at_s: float


class _Surface:
    """The strip's own lines, with its defects laid; they can be read again as far back as `keep` lines."""

    def __init__(self, order: Order, keep: int) -> None:
        self._order, self._keep = order, keep
        self._ground = open_ground(order)
        self._edges = Edges(order) if order.edges else None
        self._coming = Layout(order).defects()
        self._next = next(self._coming, None)
        self._lines: deque[tuple[int, Pixels]] = deque()
        self._end = 0
        self.laid: deque[Laid] = deque()

    def read(self, first: int, count: int) -> Pixels:
        """Return (count, width_px) lines of the strip, which the caller may change."""
        while self._end < first + count:
            self._draw()
        parts = [
            lines[max(0, first - top) : max(0, first + count - top)]
            for top, lines in self._lines
            if top < first + count and top + len(lines) > first
        ]
        while self._lines and self._lines[0][0] + len(self._lines[0][1]) <= first - self._keep:
            self._lines.popleft()
        while self.laid and self.laid[0].box.bottom <= first - self._keep - CHUNK_LINES:
            self.laid.popleft()
        return np.concatenate(parts)

    def _draw(self) -> None:
        top = self._end
        end, here = min(top + CHUNK_LINES, self._order.lines), list[Laid]()
        while self._next is not None and self._next.box.y < end:
            here.append(self._next)
            end = max(end, self._next.box.bottom)
            self._next = next(self._coming, None)
        pixels = self._ground.take(end - top)
        for laid in here:
            lay(pixels, top, laid)
        if self._edges is not None:
            self._edges.draw(pixels, top)
        self._lines.append((top, pixels))
        self.laid.extend(here)
        self._end = end


class SimulatedStrip:
    """The stream of an order.

    Args:
        order: What is asked for.
        profile: How the strip moves; None: forward, once.

    Raises:
        OrderError: It cannot be made, and by which option.
    """

    def __init__(self, order: Order, profile: Sequence[Speed] | None = None) -> None:
        self.order, self._profile = order, profile
        back = furthest_back(order, profile)
        if back * order.width_px > MOST_KEPT_BYTES:
            raise OrderError(OPTION, f"a reverse jog of {back} lines is more than can be kept")
        self._back = back
        self._surface = _Surface(order, back)
        self.lines = sum(stretch.count for stretch in stretches(order, profile))
        """Lines of the stream; of those some are not seen where lines are dropped."""

    def pieces(self) -> Iterator[Piece]:
        """Yield the stream from its head on; once.

        Raises:
            OrderError: A picture cannot be read.
        """
        coming = plan_faults(self.order.seed, self.lines, self.order.width_px) if self.order.faults else iter(())
        ahead = _Faults(coming, np.zeros(self.order.width_px, np.uint8))
        at, showing = 0, _Showing(self.order.mm_per_px)
        for stretch in stretches(self.order, self._profile):
            done = 0
            while done < stretch.count:
                skipped = min(ahead.dropped_at(at), stretch.count - done)
                done += skipped
                count = min(CHUNK_LINES, stretch.count - done, ahead.until_drop(at))
                if count <= 0:
                    continue
                first = stretch.first + stretch.step * done
                top = first if stretch.step > 0 else first - count + 1
                pixels = self._surface.read(top, count)[:: stretch.step]
                showing.show(self._surface.laid, top, count, stretch.step, at)
                pixels = np.ascontiguousarray(pixels)
                ahead.spoil(pixels, at)
                at_s = stretch.at_s + (done / stretch.lines_per_s if stretch.lines_per_s else 0.0)
                at += count
                done += count
                rows, faults = ahead.hide(showing.settled(at), at)
                yield Piece(pixels, at - count, rows, faults, stretch, at_s)
            if not stretch.count:
                yield Piece(np.empty((0, self.order.width_px), np.uint8), at, (), (), stretch, stretch.at_s)
        rows, faults = ahead.hide(showing.settled(None), None)
        if rows or faults:
            yield Piece(np.empty((0, self.order.width_px), np.uint8), at, rows, faults, stretch, stretch.at_s)


class _Showing:
    """Which defects the stream shows, and where: one that goes on where it was is the same showing."""

    def __init__(self, mm_per_px: float) -> None:
        self._mm_per_px = mm_per_px
        self._rows: dict[int, Row] = {}
        self._done: list[Row] = []

    def show(self, laid: Sequence[Laid] | deque[Laid], top: int, count: int, step: int, at: int) -> None:
        """Note what is on strip lines from `top` on, which the stream shows from line `at` on."""
        for each in laid:
            box = each.shows
            first, end = max(box.y, top), min(box.bottom, top + count)
            if first >= end:
                continue
            y = at + (first - top if step > 0 else top + count - end)
            position_m = round(first * self._mm_per_px / 1000, 6)
            row = Row(each.label, box.x, y, box.width, end - first, position_m, each.ordinal)
            before = self._rows.get(each.ordinal)
            if before is not None and before.y + before.height == y:
                row = Row(row.label, row.x, before.y, row.width, row.y + row.height - before.y,
                          min(before.position_m, position_m), row.ordinal)  # fmt: skip
            elif before is not None:
                self._done.append(before)
            self._rows[each.ordinal] = row

    def settled(self, at: int | None) -> list[Row]:
        """Return, in order, what does not reach line `at`, once; None: all."""
        over = [key for key, row in self._rows.items() if at is None or row.y + row.height < at]
        found = sorted([*self._done, *(self._rows.pop(key) for key in over)], key=lambda row: (row.y, row.x))
        self._done = []
        return found


def _covered(row: Row, fault: Fault) -> int:
    """Return how many lines of a defect a fault covers."""
    return min(fault.end, row.y + row.height) - max(fault.line, row.y)


class _Faults:
    """The faults of a stream as it passes them."""

    def __init__(self, coming: Iterator[Fault], black: Pixels) -> None:
        self._coming = coming
        self._next = next(coming, None)
        self._here: deque[Fault] = deque()
        self._hidden: dict[Fault, list[Row]] = {}
        self._last = black

    def dropped_at(self, at: int) -> int:
        """Return how many lines never arrive at line `at` of the stream, once."""
        if self._next is None or self._next.kind != "dropped" or self._next.line > at:
            return 0
        fault, self._next = self._next, next(self._coming, None)
        self._hidden[fault] = []
        self._here.append(fault)
        return fault.lines

    def until_drop(self, at: int) -> int:
        """Return how many lines come before the next fault begins: a piece ends there."""
        return 1 << 40 if self._next is None or self._next.line <= at else self._next.line - at

    def spoil(self, pixels: Pixels, at: int) -> None:
        """Do to lines from `at` of the stream on what the faults there do."""
        while self._next is not None and self._next.line <= at and self._next.kind != "dropped":
            fault, self._next = self._next, next(self._coming, None)
            self._hidden[fault] = []
            self._here.append(fault)
        for fault in self._here:
            if fault.kind != "dropped":
                spoil(pixels, at, fault, self._last)
        self._last = pixels[-1].copy()

    def hide(
        self, rows: list[Row], at: int | None
    ) -> tuple[tuple[Row, ...], tuple[tuple[Fault, tuple[Row, ...]], ...]]:
        """Return which rows can be seen, and the faults that are over, each with those that it hides."""
        seen = []
        for row in rows:
            over = [f for f in self._here if f.kind != "dropped" and _covered(row, f) > row.height / 2]
            for fault in over[:1]:
                self._hidden[fault].append(row)
            if not over:
                seen.append(row)
        past = [fault for fault in self._here if at is None or fault.end + 4 * CHUNK_LINES < at]
        for fault in past:
            self._here.remove(fault)
        return tuple(seen), tuple((fault, tuple(self._hidden.pop(fault))) for fault in past)
