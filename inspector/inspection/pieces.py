"""Pieces: touching tiles that were named alike. A tile's edge cuts a defect into several; `merge` joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.localize import locate, locate_far
from inspector.labels import UNCLASSIFIED


@dataclass(frozen=True, slots=True)
class View:
    """What one tile or window shows.

    Attributes:
        window: Where it lies, source-frame pixels.
        shown: Where in it its leading label shows: what is hot in its map, or all of it; of an unclassified one what is
            far from the reference.
        verdict: Of it.
    """

    window: Box
    shown: Box
    verdict: Verdict

    def is_cut_towards(self, other: Box) -> bool:
        """Say whether what it shows goes on at the edge of its window that faces a box: it is cut there."""
        shown, window = self.shown, self.window
        return (
            (shown.right == window.right and other.right > window.right)
            or (shown.bottom == window.bottom and other.bottom > window.bottom)
            or (shown.x == window.x and other.x < window.x)
            or (shown.y == window.y and other.y < window.y)
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Touching tiles of one label.

    Attributes:
        label: A defect label, or `unclassified`.
        candidate: Under the threshold.
        tiles: Views of its tiles, in order.
        centred: A window around it, scored after them; None where it was not looked at again.
    """

    label: str
    candidate: bool
    tiles: tuple[View, ...]
    centred: View | None = None

    @property
    def is_named(self) -> bool:
        """Whether it has a class."""
        return self.label != UNCLASSIFIED

    @property
    def views(self) -> tuple[View, ...]:
        """All that was seen of it."""
        return self.tiles if self.centred is None else (*self.tiles, self.centred)

    @property
    def tiles_box(self) -> Box:
        """Around its tiles."""
        return reduce(Box.union, (view.window for view in self.tiles))

    @property
    def shown(self) -> Box:
        """Around where it shows in its tiles."""
        return reduce(Box.union, (view.shown for view in self.tiles))


def find_pieces(
    boxes: Sequence[Box],
    verdicts: Sequence[Verdict],
    rules: DecisionRules,
    cam: npt.NDArray[np.int8] | None = None,
    heat: npt.NDArray[np.float64] | None = None,
) -> list[Piece]:
    """Return the touching tiles of one label as one piece each; those that only touch at a corner stay apart.

    Candidates are pieces of their own.

    Args:
        boxes: Where the N tiles lie.
        verdicts: Of these tiles.
        rules: What a defect's box is drawn around.
        cam: (N, h, w, C) maps of the tiles; without them a defect shows in all of its tile.
        heat: (N, h, w) distances from the reference; without them what is unclassified shows in all of its tile.
    """
    chosen: dict[tuple[bool, str], list[int]] = {}
    for number, verdict in enumerate(verdicts):
        if verdict.label == UNCLASSIFIED:
            chosen.setdefault((False, UNCLASSIFIED), []).append(number)
        elif verdict.candidate or verdict.is_defect:
            chosen.setdefault((verdict.candidate, verdict.top), []).append(number)
    strange = chosen.get((False, UNCLASSIFIED), [])
    named = [number for (_, label), members in chosen.items() if label != UNCLASSIFIED for number in members]
    shown = {**where_shown(boxes, verdicts, named, rules, cam), **_where_far(boxes, strange, rules, heat)}
    return [
        Piece(label, candidate, tuple(View(boxes[n], shown[n], verdicts[n]) for n in group))
        for (candidate, label), members in chosen.items()
        for group in _touching(members, boxes)
    ]


def where_shown(
    boxes: Sequence[Box],
    verdicts: Sequence[Verdict],
    chosen: Sequence[int],
    rules: DecisionRules,
    cam: npt.NDArray[np.int8] | None,
) -> dict[int, Box]:
    """Return where the chosen tiles show their leading label, by tile number."""
    shown = {number: boxes[number] for number in chosen}
    mapped = [number for number in chosen if verdicts[number].top in rules.labels]  # a site's own label has no map
    if rules.box_from == "cam" and cam is not None and mapped:
        leading = [rules.labels.index(verdicts[number].top) for number in mapped]
        windows = locate(cam[mapped], leading, [boxes[number] for number in mapped])
        shown.update(zip(mapped, windows, strict=True))
    return shown


def _where_far(
    boxes: Sequence[Box], strange: Sequence[int], rules: DecisionRules, heat: npt.NDArray[np.float64] | None
) -> dict[int, Box]:
    """Return where the unclassified tiles are far from the reference, by tile number."""
    windows = [boxes[number] for number in strange]
    if heat is not None and rules.reference is not None and strange:
        windows = locate_far(heat[list(strange)], rules.reference.unclassified_threshold, windows)
    return dict(zip(strange, windows, strict=True))


def _touching(members: Sequence[int], boxes: Sequence[Box]) -> list[list[int]]:
    """Return the connected groups, each in order; neighbours are looked up in cells as large as the largest box."""
    if len(members) == 1:
        return [list(members)]
    cell_w = max(boxes[number].width for number in members)
    cell_h = max(boxes[number].height for number in members)
    cells: dict[tuple[int, int], list[int]] = {}
    for number in members:
        cells.setdefault((boxes[number].x // cell_w, boxes[number].y // cell_h), []).append(number)
    groups: list[list[int]] = []
    grouped: set[int] = set()
    for first in members:
        if first in grouped:
            continue
        grouped.add(first)
        group, border = [], [first]
        while border:
            number = border.pop()
            group.append(number)
            box = boxes[number]
            column, row = box.x // cell_w, box.y // cell_h
            for place in ((column + dx, row + dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if waiting := cells.get(place):
                    near = [other for other in waiting if other not in grouped and box.touches(boxes[other])]
                    if near:
                        grouped.update(near)
                        border += near
                        cells[place] = [other for other in waiting if other not in grouped]
        groups.append(sorted(group))
    return groups
