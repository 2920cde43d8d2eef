"""Which event stands for which defect: one for one, as many pairs as can be, then the greatest shared area.

Boxes that share a pixel may be a pair. The pairs are the assignment with the most of them, and among those the one with
the greatest sum of IoU: Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics Quarterly 2
(1955), in the shortest-path form of Jonker and Volgenant (1987). Along a strip the problem falls apart into the few
boxes that lie on each other, so it stays small however long the strip is (docs/decisions/0044).

Chance: the truth is shifted along the strip by random offsets, around its end, and matched in the same way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspector.box import Box

SHIFTS = 20
"""Random offsets of the truth, for chance."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Events against defects.

    Attributes:
        event_of: For each defect the number of its event, or None.
        touching: For each defect the numbers of all events that share a pixel with it, in order.
    """

    event_of: tuple[int | None, ...]
    touching: tuple[tuple[int, ...], ...]


def iou(first: Box, second: Box) -> float:
    """Return the shared area of two boxes as a share of what they cover together."""
    shared = first.shared_px(second)
    return shared / (first.area_px + second.area_px - shared)


def find_touching(truths: Sequence[Box], events: Sequence[Box]) -> tuple[tuple[int, ...], ...]:
    """Return for each box of the truth which events share a pixel with it."""
    order = sorted(range(len(events)), key=lambda i: events[i].y)
    tops = [events[i].y for i in order]
    tallest = max((box.height for box in events), default=0)
    found = []
    for box in truths:
        near = order[bisect_right(tops, box.y - tallest) : bisect_right(tops, box.bottom)]
        found.append(tuple(sorted(i for i in near if events[i].shared_px(box))))
    return tuple(found)


def match(truths: Sequence[Box], events: Sequence[Box]) -> Matching:
    """Return the best assignment of events to defects."""
    touching = find_touching(truths, events)
    event_of: list[int | None] = [None] * len(truths)
    for rows, columns in _parts(touching):
        if len(rows) == len(columns) == 1:
            event_of[rows[0]] = columns[0]
            continue
        gain = np.array([[1 + iou(truths[r], events[c]) if c in touching[r] else 0.0 for c in columns] for r in rows])
        gain[gain > 0] += len(rows) + len(columns)  # one pair more is worth more than any area
        for row, column in zip(rows, assign(gain), strict=True):
            if column is not None and gain[rows.index(row), column] > 0:
                event_of[row] = columns[column]
    return Matching(tuple(event_of), touching)


def _parts(touching: Sequence[Sequence[int]]) -> list[tuple[list[int], list[int]]]:
    """Return the parts of the problem that have nothing to do with each other, as defects and events."""
    part_of: dict[int, int] = {}
    parts: dict[int, tuple[list[int], set[int]]] = {}
    for row, columns in enumerate(touching):
        if not columns:
            continue
        joined = {part_of[column] for column in columns if column in part_of}
        mine = parts[row] = ([row], set(columns))
        for other in joined:
            rows, theirs = parts.pop(other)
            mine[0].extend(rows)
            mine[1].update(theirs)
        part_of.update(dict.fromkeys(mine[1], row))
    return [(sorted(rows), sorted(columns)) for rows, columns in parts.values()]


def assign(gain: npt.NDArray[np.float64]) -> list[int | None]:
    """Return for each row of a matrix the column of the assignment with the greatest sum, or None.

    Args:
        gain: (R, C), 0 or more; 0 stands for no pair.
    """
    if gain.shape[0] > gain.shape[1]:
        rows: list[int | None] = [None] * gain.shape[0]
        for column, row in enumerate(assign(np.ascontiguousarray(gain.T))):
            if row is not None:
                rows[row] = column
        return rows
    cost = gain.max(initial=0.0) - gain
    count, width = cost.shape
    row_of = np.zeros(width + 1, np.intp)  # 1-based; 0: free
    row_price, column_price = np.zeros(count + 1), np.zeros(width + 1)
    for row in range(1, count + 1):
        least, way, done = np.full(width + 1, np.inf), np.zeros(width + 1, np.intp), np.zeros(width + 1, bool)
        column, row_of[0] = 0, row
        while True:
            done[column] = True
            here = row_of[column]
            reduced = cost[here - 1] - row_price[here] - column_price[1:]
            better = ~done[1:] & (reduced < least[1:])
            least[1:][better], way[1:][better] = reduced[better], column
            following = int(np.where(done, np.inf, least).argmin())
            step = least[following]
            row_price[row_of[done]] += step
            column_price[done] -= step
            least[~done] -= step
            column = following
            if row_of[column] == 0:
                break
        while column:
            row_of[column] = row_of[way[column]]
            column = int(way[column])
    found: list[int | None] = [None] * count
    for column in range(1, width + 1):
        if row_of[column]:
            found[row_of[column] - 1] = column - 1
    return found


def found_by_chance(truths: Sequence[Box], events: Sequence[Box], lines: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Return for each defect the share of random shifts along the strip under which some event is matched to it.

    Args:
        truths: What was there.
        events: What was published.
        lines: Length of the strip, around which it is shifted.
        seed: Of the offsets.
    """
    rng = np.random.default_rng(seed)
    hits = np.zeros(len(truths))
    for _ in range(SHIFTS if truths and events else 0):
        by = int(rng.integers(lines // 10, max(lines - lines // 10, lines // 10 + 1)))
        moved = [Box(box.x, (box.y + by) % max(1, lines - box.height + 1), box.width, box.height) for box in truths]
        hits += [event is not None for event in match(moved, events).event_of]
    return hits / SHIFTS
