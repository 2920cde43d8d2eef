"""From verdicts of tiles to defects: touching tiles of one label are one defect, and so is what lies in one place.

What is unclassified is a defect without a class: least severe, around what is far from the reference. It never hides or
joins one that has a name; where both show the same place, the name wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.localize import locate, locate_far
from inspector.labels import SEVERITIES, UNCLASSIFIED

OVERLAP_MERGES_SHARE = 0.2
"""A defect is part of another one if this share of it lies under the other's tiles: tiles must overlap for that."""
MAX_COMPARED = 100
"""In a frame with more defects than this, further ones are not compared: the frame is lost anyway, and time counts."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Touching tiles of one label.

    Attributes:
        label: A defect label, or `unclassified`.
        box: Where it shows, in source-frame pixels: around what is hot in its tiles' maps, or around the tiles; of an
            unclassified one around what is far from the reference.
        tiles_box: Around its tiles.
        score: Highest of its tiles; of an unclassified one that of its farthest tile.
        runner_up: Next label of that tile; of an unclassified one what the bundle said first.
        runner_up_score: Its score.
        tiles: How many tiles.
        candidate: Under the threshold: recorded, never published.
        distance: Largest of its tiles from the site's reference, or None where there is none.
    """

    label: str
    box: Box
    tiles_box: Box
    score: float
    runner_up: str
    runner_up_score: float
    tiles: int
    candidate: bool = False
    distance: float | None = None

    @property
    def is_named(self) -> bool:
        """Whether it has a class."""
        return self.label != UNCLASSIFIED

    @property
    def weight(self) -> float:
        """What counts where two lie in one place: a name before everything that has none, then score times tiles."""
        return self.score * self.tiles if self.is_named else 0.0

    @property
    def surety(self) -> float:
        """How sure it is that this is one, to compare with others of its label."""
        return self.score if self.is_named else self.distance or 0.0


def merge_tiles(
    boxes: Sequence[Box],
    verdicts: Sequence[Verdict],
    rules: DecisionRules,
    cam: npt.NDArray[np.int8] | None = None,
    heat: npt.NDArray[np.float64] | None = None,
) -> tuple[Defect, ...]:
    """Return the defects of a frame: touching tiles of one label become one.

    Tiles that only touch at a corner stay apart. Candidates merge among themselves, never with published defects.

    Args:
        boxes: Where the N tiles lie.
        verdicts: Of these tiles.
        rules: What a defect's box is drawn around.
        cam: (N, h, w, C) maps of the tiles; without them boxes are drawn around tiles.
        heat: (N, h, w) distances from the reference; without them unclassified boxes are drawn around tiles.
    """
    chosen: dict[tuple[bool, str], list[int]] = {}
    for number, verdict in enumerate(verdicts):
        if verdict.label == UNCLASSIFIED:
            chosen.setdefault((False, UNCLASSIFIED), []).append(number)
        elif verdict.candidate or verdict.is_defect:
            chosen.setdefault((verdict.candidate, verdict.top), []).append(number)
    strange = chosen.get((False, UNCLASSIFIED), [])
    named = [number for (_, label), members in chosen.items() if label != UNCLASSIFIED for number in members]
    shown = {**_where_shown(boxes, verdicts, named, rules, cam), **_where_far(boxes, strange, rules, heat)}
    defects: list[tuple[Defect, list[Box]]] = []
    for (candidate, label), members in chosen.items():
        for group in _touching(members, boxes):
            defect = _merged(label, [(boxes[n], shown[n], verdicts[n]) for n in group], candidate, rules)
            defects.append((defect, [boxes[n] if defect.is_named else shown[n] for n in group]))
    rank = {UNCLASSIFIED: -1, **{label: SEVERITIES.index(severity) for label, severity in rules.severity.items()}}
    defects.sort(key=lambda each: (each[0].candidate, -rank[each[0].label], -each[0].weight))
    return tuple(
        sorted(
            _one_per_place(defects),
            key=lambda defect: (
                defect.candidate, -rank[defect.label], -defect.surety, defect.box.y, defect.box.x, defect.label,
            ),
        )
    )  # fmt: skip


def _merged(label: str, tiles: Sequence[tuple[Box, Box, Verdict]], candidate: bool, rules: DecisionRules) -> Defect:
    """Return touching tiles, each with where it lies and where it shows the defect, as one."""
    verdicts = [verdict for *_, verdict in tiles]
    box, tiles_box = (
        reduce(Box.union, (shown for _, shown, _ in tiles)),
        reduce(Box.union, (tile for tile, *_ in tiles)),
    )
    distance = None if rules.reference is None else max(verdict.distance or 0.0 for verdict in verdicts)
    if label == UNCLASSIFIED:
        best = max(verdicts, key=lambda verdict: verdict.distance or 0.0)
        second, its_score = best.top, best.score
    else:
        best = max(verdicts, key=lambda verdict: verdict.score)
        second, its_score = best.runner_up, best.runner_up_score
    return Defect(label, box, tiles_box, best.score, second, its_score, len(tiles), candidate, distance)


def _where_far(
    boxes: Sequence[Box], strange: Sequence[int], rules: DecisionRules, heat: npt.NDArray[np.float64] | None
) -> dict[int, Box]:
    """Return where the unclassified tiles are far from the reference, by tile number."""
    windows = [boxes[number] for number in strange]
    if heat is not None and rules.reference is not None and strange:
        windows = locate_far(heat[list(strange)], rules.reference.unclassified_threshold, windows)
    return dict(zip(strange, windows, strict=True))


def _where_shown(
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


def _one_per_place(defects: Sequence[tuple[Defect, Sequence[Box]]]) -> list[Defect]:
    """Return the defects without those that lie under a weightier, at least as severe one of another label.

    Overlapping tiles show one defect several times, and a piece of it may be named wrongly: that is one event. The
    weight is score times tiles, so three tiles overrule one. Tiles are compared, not the boxes around them: in the box
    around a long defect there is room for others. What is unclassified has no weight: under the tiles of one that has a
    name it is left out, and the other stays as it is.

    Args:
        defects: With their tiles, of unclassified ones what is far in them; most severe first, then weightiest.
    """
    kept: list[tuple[Defect, Sequence[Box]]] = []
    for defect, tiles in defects:
        for number, (other, its_tiles) in enumerate(kept[:MAX_COMPARED]):
            if (
                other.candidate == defect.candidate
                and other.weight >= defect.weight
                and other.is_named
                and other.tiles_box.shared_px(defect.tiles_box)
                and _covered_share(tiles, its_tiles) >= OVERLAP_MERGES_SHARE
            ):
                if defect.is_named:
                    joined = replace(
                        other,
                        box=other.box.union(defect.box),
                        tiles_box=other.tiles_box.union(defect.tiles_box),
                        tiles=other.tiles + defect.tiles,
                        distance=_farther(other.distance, defect.distance),
                    )
                    kept[number] = (joined, its_tiles)
                break
        else:
            kept.append((defect, tiles))
    return [defect for defect, _ in kept]


def _farther(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)


def _covered_share(tiles: Sequence[Box], over: Sequence[Box]) -> float:
    """Return how much of the tiles' area lies under `over`: of each tile, the largest overlap with any one box."""
    left, top, right, bottom = np.array([(box.x, box.y, box.right, box.bottom) for box in over]).T
    shared = 0
    for box in tiles:  # one tile at a time: all pairs at once would be gigabytes in a frame full of defects
        width = np.minimum(right, box.right) - np.maximum(left, box.x)
        height = np.minimum(bottom, box.bottom) - np.maximum(top, box.y)
        shared += int((np.maximum(width, 0) * np.maximum(height, 0)).max())
    return shared / sum(box.area_px for box in tiles)


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
