"""Where the defects of a strip lie: in the order of the strip, from the seed alone, however long it is."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

import numpy as np

from inspector.drawn.noise import DEFECT, ORDER, rng_of
from inspector.drawn.spec import KINDS
from inspector.simulate.laid import Laid, draw_sized, draw_whole, log_between
from inspector.simulate.order import GAP_PX, MARK_PX, NATURAL_PX, Order
from inspector.simulate.pictures import RIM_PX, DefectPictures

MARK_LABEL = "inclusion"
"""What a roll's mark looks like."""
MARK, MARK_ORDINALS = 100, 1 << 40
"""A random stream of its own, and the numbers of the marks: beyond those of any other defect."""


class Layout:
    """The defects of an order.

    Every label comes once before one comes again. Each defect has a bay of the strip for itself, so that its box is two
    tiles from any other's.

    Args:
        order: What is asked for.

    Raises:
        OrderError: The folder of pictures has none.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._pictures = None if order.images is None else DefectPictures(order.images)
        self._labels = KINDS if self._pictures is None else self._pictures.labels

    def defects(self) -> Iterator[Laid]:
        """Yield them by their first line, all that lie wholly on the strip."""
        return heapq.merge(self._spread(), self._marks(), key=lambda laid: laid.box.y)

    def _spread(self) -> Iterator[Laid]:
        order = self._order
        if not order.defects_per_m:
            return
        for bay in count():
            top, bottom = int(bay * order.bay_lines) + 1, int((bay + 1) * order.bay_lines) - GAP_PX
            if top >= order.lines:
                return
            row = [self._one(bay * order.columns + column, column, top, bottom) for column in range(order.columns)]
            for laid in sorted(row, key=lambda each: each.box.y):
                if laid.box.bottom <= order.lines:
                    yield laid

    def _one(self, ordinal: int, column: int, top: int, bottom: int) -> Laid:
        order, labels = self._order, self._labels
        turn = rng_of(order.seed, ORDER, ordinal // len(labels)).permutation(len(labels))
        label = labels[int(turn[ordinal % len(labels)])]
        rng = rng_of(order.seed, DEFECT, ordinal)
        laid = self._draw(label, rng)
        first, room = order.margin_px + order.lane_px, order.sound_px - order.lane_px
        left, right = (first + room * number // order.columns for number in (column, column + 1))
        left += GAP_PX // 2 if column else 0
        right -= GAP_PX // 2 if column + 1 < order.columns else 0
        x = int(rng.integers(left, max(left, right - laid.box.width) + 1))
        y = int(rng.integers(top, max(top, bottom - laid.box.height) + 1))
        return laid.at(x, y, ordinal)

    def _draw(self, label: str, rng: np.random.Generator) -> Laid:
        order = self._order
        size_px = None if order.size_px is None else log_between(rng, *order.size_px)
        if self._pictures is not None:
            most_px = order.most_px - (0 if order.size_px else 2 * RIM_PX)
            return self._pictures.laid(label, size_px, order.contrast, most_px, rng)
        if size_px is None and order.contrast is None:
            return draw_whole(label, rng)
        return draw_sized(label, size_px or log_between(rng, *NATURAL_PX), order.contrast, rng)

    def _marks(self) -> Iterator[Laid]:
        """Yield the mark of a damaged roll: the same each time, at one place across."""
        order = self._order
        if order.roll_mark_mm is None:
            return
        rng = rng_of(order.seed, MARK, 0)
        mark = draw_sized(MARK_LABEL, MARK_PX, order.contrast, rng)
        room = MARK_PX if order.lane_px else order.sound_px
        x = order.margin_px + int(rng.integers(0, room - mark.box.width + 1))
        pitch_px = order.roll_mark_mm / order.mm_per_px
        head = float(rng.random()) * pitch_px
        for number in count():
            y = round(head + number * pitch_px)
            if y + mark.box.height > order.lines:
                return
            yield mark.at(x, y, MARK_ORDINALS + number)
