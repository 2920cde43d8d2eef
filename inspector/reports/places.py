"""Where defects lie on the map: each by itself, or too many of them joined in cells, so that a person can read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inspector.reports.found import Found
from inspector.reports.report import MapPart, Mark
from inspector.reports.rules import SEVERITIES

MAX_MARKS = 600
"""Beyond it defects are joined in cells."""
CELLS_ALONG, CELLS_ACROSS = 120, 24
Point = tuple[float, float | None, Found]
_RANK = {name: number for number, name in enumerate(SEVERITIES)}


def place_defects(
    defects: Sequence[Found], length_m: float | None, width_mm: float | None, began_ms: int, ended_ms: int
) -> MapPart:
    """Return the map of a coil.

    Along are metres from the head, or where no defect has a place and no length is known, minutes from the start.
    Across are mm, or pixels where there is no scale.
    """
    in_m = length_m is not None or any(one.position_m is not None for one in defects)
    in_mm = any(one.across_mm is not None for one in defects) or not defects
    points = list[Point]()
    for one in defects:
        along = one.position_m if in_m else max(0.0, (one.captured_ms - began_ms) / 60_000)
        if along is None:
            continue
        x, _, width, _ = one.box_px
        middle = x + width / 2
        across: float | None = middle
        if in_mm:
            across = None if one.across_mm is None else one.across_mm + (one.width_mm or 0.0) / 2
        points.append((along, across, one))
    farthest = max((point[0] for point in points), default=0.0)
    along_to = (length_m or 0.0) if in_m else max(0.0, (ended_ms - began_ms) / 60_000)
    widest = max((across for _, across, _ in points if across is not None), default=0.0)
    across_to = max(width_mm or 0.0, widest) if in_mm else widest
    along_to, across_to = max(along_to, farthest) or 1.0, across_to or 1.0
    cells = (along_to / CELLS_ALONG, across_to / CELLS_ACROSS) if len(points) > MAX_MARKS else None
    return MapPart(
        along_unit="m" if in_m else "min",
        across_unit="mm" if in_mm else "px",
        across_from="operator" if any(one.from_operator for one in defects) else "left",
        along_to=round(along_to, 3),
        across_to=round(across_to, 2),
        cell_along=None if cells is None else cells[0],
        cell_across=None if cells is None else cells[1],
        marks=tuple(_alone(points) if cells is None else _in_cells(points, cells)),
        unplaced=len(defects) - len(points),
    )


def _alone(points: Sequence[Point]) -> list[Mark]:
    return [
        Mark(along=round(along, 3), across=None if across is None else round(across, 2), severity=one.severity,
             label=one.label)
        for along, across, one in points
    ]  # fmt: skip


def _in_cells(points: Sequence[Point], cells: tuple[float, float]) -> list[Mark]:
    """Return a mark for each cell that has defects, at its middle: with the worst of them, and how many there are."""
    worst: dict[tuple[int, int], Found] = {}
    counts: dict[tuple[int, int], int] = {}
    for along, across, one in points:
        row = -1 if across is None else min(CELLS_ACROSS - 1, math.floor(across / cells[1]))
        key = min(CELLS_ALONG - 1, math.floor(along / cells[0])), row
        counts[key] = counts.get(key, 0) + 1
        known = worst.get(key)
        if known is None or (_RANK[one.severity], -one.score) < (_RANK[known.severity], -known.score):
            worst[key] = one
    return [
        Mark(
            along=round((key[0] + 0.5) * cells[0], 3),
            across=None if key[1] < 0 else round((key[1] + 0.5) * cells[1], 2),
            severity=worst[key].severity, label=worst[key].label, count=count,
        )
        for key, count in sorted(counts.items())
    ]  # fmt: skip
