"""What became of each defect on a strip: found, rightly named, and how well the published box lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from inspector.inspection.one_frame import Inspection
from training.judge.maps import box_iou
from training.tiles.composed import ComposedStrip, Placed


@dataclass(frozen=True, slots=True)
class Judged:
    """One placed defect and what became of it.

    Attributes:
        placed: Where it lies.
        found: The tiles of a published defect touch it.
        right_label: One of those has its label.
        touched: The box of one of them touches it, too.
        covered: Share of its box that theirs cover; 0 if it was not found.
        iou: Of its box and the best of theirs.
        right_iou: Of its box and the best of those with its label; 0 without one.
        tile_px: Side of a tile.
    """

    placed: Placed
    found: bool
    right_label: bool
    touched: bool
    covered: float
    iou: float
    right_iou: float
    tile_px: int

    @property
    def quarter_side(self) -> bool:
        """Its longer side is at least a quarter of a tile's."""
        return 4 * max(self.placed.box.width, self.placed.box.height) >= self.tile_px

    @property
    def quarter_area(self) -> bool:
        """It covers at least a quarter of a tile."""
        return 4 * self.placed.box.width * self.placed.box.height >= self.tile_px**2


def judge(strip: ComposedStrip, inspection: Inspection, tile_px: int) -> list[Judged]:
    """Return what became of each placed defect of a strip."""
    rows = []
    for placed in strip.placed:
        touching = [defect for defect in inspection.published if defect.tiles_box.touches(placed.box)]
        right = any(defect.label == placed.label for defect in touching)
        ious = [(defect.label == placed.label, box_iou(defect.box, placed.box)) for defect in touching]
        iou = max((each for _, each in ious), default=0.0)
        right_iou = max((each for its_own, each in ious if its_own), default=0.0)
        marked = np.zeros((placed.box.height, placed.box.width), bool)
        for defect in touching:
            left, top = max(0, defect.box.x - placed.box.x), max(0, defect.box.y - placed.box.y)
            right_end, bottom = max(0, defect.box.right - placed.box.x), max(0, defect.box.bottom - placed.box.y)
            marked[top:bottom, left:right_end] = True
        touched, covered = any(defect.box.touches(placed.box) for defect in touching), float(marked.mean())
        rows.append(Judged(placed, bool(touching), right, touched, covered, iou, right_iou, tile_px))
    return rows


def judge_by_chance(inspected: Sequence[tuple[ComposedStrip, Inspection]], tile_px: int) -> list[Judged]:
    """Return what would become of the defects of each strip if it were judged by what was found on the next one.

    The share of "found" shows how lenient touching is. A single strip gives nothing.
    """
    others = [other for _, other in (*inspected[1:], *inspected[:1])] if len(inspected) > 1 else []
    return [row for (strip, _), other in zip(inspected, others, strict=False) for row in judge(strip, other, tile_px)]


def count_matched(strip: ComposedStrip, inspection: Inspection, tile_px: int, named: bool) -> int:
    """Return how many defects of a quarter side can each have a published one of their own, of its label if `named`."""
    placed = [each.placed for each in judge(strip, inspection, tile_px) if each.quarter_side]
    pairs = [
        [defect.tiles_box.touches(each.box) and (not named or defect.label == each.label) for each in placed]
        for defect in inspection.published
    ]
    if not placed or not pairs:
        return 0
    fits = np.array(pairs)
    return int(fits[linear_sum_assignment(fits, maximize=True)].sum())
