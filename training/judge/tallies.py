"""What is counted over the strips of the line benchmark: a tally a question, each with `add` and `rows`.

A tally sees each strip once, with what the daemon made of it, and gives its figures at the end; none knows another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.decision import Verdict
from inspector.inspection.one_frame import Inspection
from inspector.inspection.predictions import Classify, Predictions
from inspector.labels import CLEAN, UNKNOWN
from inspector.pages.language import N_
from training.judge.calibration import expected_calibration_error
from training.judge.fate import Judged, count_matched, judge, judge_by_chance
from training.judge.gallery import Exhibit, Gallery, Room
from training.judge.intervals import Share, by_surface, share
from training.judge.maps import POINTING_TOLERANCE_PX, grown_map, hottest_place, off_by_px
from training.tiles.composed import FEATHER_PX, ComposedStrip, label_of_window

LEAST_IOUS = (0.1, 0.3, 0.5)
MM_PER_PX = 0.5
"""Scale at which false alarms are also stated per square metre; NEU's own scale is not published."""


class Tally(Protocol):
    """Counts over strips what one question asks."""

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count one strip."""

    def rows(self) -> dict[str, Any]:
        """Return the figures over all strips, by name, fit for JSON."""
        ...


class Found:
    """How many of the drawn defects are found and rightly named, in all and per label. Missed ones go to the gallery.

    Counted are defects whose longer side is at least a quarter of a tile's, unless a figure's name says otherwise.
    """

    def __init__(self, tile_px: int, gallery: Gallery) -> None:
        self._tile_px, self._gallery = tile_px, gallery
        self._judged: list[Judged] = []

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count the defects of one strip."""
        here = judge(strip, inspection, self._tile_px)
        self._judged += here
        for missed in here:
            if not missed.found and missed.quarter_side:
                self._gallery.show(Room(N_("Defects on the line that were missed")), _surroundings(strip, missed))

    def rows(self) -> dict[str, Any]:
        """Return found and rightly named: all, by size, by label, and by how well the boxes agree."""
        chosen = [each for each in self._judged if each.quarter_side]
        labels = sorted({each.placed.label for each in self._judged})
        by_label = {label: [each for each in chosen if each.placed.label == label] for label in labels}
        return {
            "recall": _found(chosen)["share"],
            "right_label": _named(chosen)["share"],
            "found": _found(chosen),
            "found_all_sizes": _found(self._judged),
            "found_quarter_area": _found([each for each in self._judged if each.quarter_area]),
            "labelled_right": _named(chosen),
            "right_at_iou": {
                f"{least:g}": share(sum(d.right_label and d.right_iou >= least for d in chosen), len(chosen))
                for least in LEAST_IOUS
            },
            "per_label": {label: _found(its_own) for label, its_own in by_label.items()},
            "right_label_per_label": {label: _named(its_own) for label, its_own in by_label.items()},
        }


class Lenience:
    """How much of "found" is chance: judged against another strip's findings, and one published for one drawn."""

    def __init__(self, tile_px: int) -> None:
        self._tile_px = tile_px
        self._inspected: list[tuple[ComposedStrip, Inspection]] = []

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Keep a strip that has defects."""
        if strip.placed:
            self._inspected.append((strip, inspection))

    def rows(self) -> dict[str, Any]:
        """Return what chance would find, and as many pairs as can be, over defects of a quarter side."""
        chance = [each for each in judge_by_chance(self._inspected, self._tile_px) if each.quarter_side]
        count = sum(each.quarter_side for pair in self._inspected for each in judge(*pair, self._tile_px))
        return {
            "found_by_chance": {
                "found": _found(chance),
                "rightly_named": share(sum(each.right_label for each in chance), len(chance)),
            },
            "one_to_one": {
                name: share(sum(count_matched(*pair, self._tile_px, named) for pair in self._inspected), count)
                for name, named in (("found", False), ("rightly_named", True))
            },
        }


class Boxes:
    """How well the published boxes lie on the defects they found, of a quarter side or more."""

    def __init__(self, tile_px: int) -> None:
        self._tile_px = tile_px
        self._found: list[Judged] = []

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count the found defects of one strip."""
        self._found += [each for each in judge(strip, inspection, self._tile_px) if each.found and each.quarter_side]

    def rows(self) -> dict[str, Any]:
        """Return how many are touched, how much of them is covered, and the mean IoU."""
        return {
            "box_touches": share(sum(each.touched for each in self._found), len(self._found)),
            "covered_mean": _mean([each.covered for each in self._found]),
            "box_iou_mean": _mean([each.iou for each in self._found]),
        }


class Published:
    """How many of the published defects lie at a drawn one, and of those of a label, at one of that label."""

    def __init__(self) -> None:
        self._drawn: set[str] = set()
        self._published: Counter[str] = Counter()
        self._real: Counter[str] = Counter()
        self._named: Counter[str] = Counter()

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count what was published on one strip."""
        self._drawn |= {placed.label for placed in strip.placed}
        for defect in inspection.published:
            near = [placed.label for placed in strip.placed if defect.tiles_box.touches(placed.box, FEATHER_PX)]
            self._published[defect.label] += 1
            self._real[defect.label] += bool(near)
            self._named[defect.label] += defect.label in near

    def rows(self) -> dict[str, Any]:
        """Return precision, in all and per label."""
        return {
            "precision": share(self._real.total(), self._published.total()),
            "precision_per_label": {
                label: share(self._named[label], self._published[label])
                for label in sorted(self._drawn | set(self._published))
            },
        }


class DefectTiles:
    """How many tiles with a defect get its label, how sure scores are, and what becomes of tiles in doubt."""

    def __init__(self) -> None:
        self._confidence: list[float] = []
        self._correct: list[bool] = []
        self._right: list[bool] = []
        self._doubtful_alarms: list[bool] = []

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count the tiles of one strip."""
        for _, verdict, truth in _tiles(strip, inspection):
            if truth is None:
                self._doubtful_alarms.append(verdict.is_defect)
                continue
            self._confidence.append(verdict.score)
            self._correct.append(verdict.top == truth)
            if truth != CLEAN:
                self._right.append(verdict.label == truth)

    def rows(self) -> dict[str, Any]:
        """Return the figures of tiles; those of clean ones are `CleanTiles`'."""
        return {
            "tiles_in_doubt": share(sum(self._doubtful_alarms), len(self._doubtful_alarms)),
            "defect_tiles_right": share(sum(self._right), len(self._right)),
            "ece": expected_calibration_error(self._confidence, self._correct),
        }


class CleanTiles:
    """How many clean tiles alarm, over all grounds and over those without marks; false alarms go to the gallery.

    Args:
        tile_px: Side of a tile.
        gallery: Gets the tiles that alarm.
        marked_groups: Groups of grounds that show unboxed marks (see `data.reviewed`):
            `clean_tiles_reviewed`, which is there if there are any, leaves them out.
        marked_pictures: The pictures (ids) in which these marks are: `clean_tiles_reviewed_pictures` leaves them out.
    """

    def __init__(
        self, tile_px: int, gallery: Gallery, marked_groups: Collection[str], marked_pictures: Collection[str]
    ) -> None:
        self._tile_px, self._gallery = tile_px, gallery
        self._marked_groups, self._marked_pictures = marked_groups, marked_pictures
        self._strips: list[ComposedStrip] = []
        self._alarms: list[bool] = []
        self._unknown = 0

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count the clean tiles of one strip."""
        for box, verdict, truth in _tiles(strip, inspection):
            if truth != CLEAN:
                continue
            self._strips.append(strip)
            self._alarms.append(verdict.is_defect)
            self._unknown += verdict.label == UNKNOWN
            if verdict.is_defect:
                tile = strip.pixels[box.y : box.bottom, box.x : box.right]
                values: dict[str, str | float] = {
                    "label": verdict.label,
                    "score": float(verdict.score),
                    "group": strip.group,
                }
                exhibit = Exhibit(tile, N_("%(label)s %(score)s, ground of %(group)s"), verdict.score, values=values)
                self._gallery.show(Room(N_("Clean tiles on the line that alarm")), exhibit)

    def rows(self) -> dict[str, Any]:
        """Return the shares that alarm, by ground, by picture, and by area."""
        alarms, tiles = sum(self._alarms), len(self._alarms)
        by_group, false = Counter(strip.group for strip in self._strips), Counter[str]()
        for strip, alarm in zip(self._strips, self._alarms, strict=True):
            false[strip.group] += alarm
        area_m2 = tiles * (self._tile_px * MM_PER_PX / 1000) ** 2
        return {
            "clean_tiles": share(alarms, tiles),
            **self._reviewed(),
            "clean_surfaces": self._surfaces(range(tiles)),
            "clean_tiles_of_clean_strips": self._share([i for i, strip in enumerate(self._strips) if not strip.placed]),
            "clean_tiles_unknown": share(self._unknown, tiles),
            "clean_groups_with_false_alarm": share(sum(count > 0 for count in false.values()), len(by_group)),
            "clean_tiles_by_alarming_ground": {
                group: share(count, by_group[group]) for group, count in false.most_common() if count
            },
            "false_alarms_per_10000": round(1e4 * alarms / max(1, tiles), 2),
            "false_alarms_per_m2": round(alarms / max(area_m2, 1e-9), 3),
            "mm_per_px": MM_PER_PX,
        }

    def _reviewed(self) -> dict[str, Any]:
        """Return the figures without what the reviews call marked; nothing without a review."""
        rows: dict[str, Any] = {}
        if self._marked_groups:
            kept = [i for i, strip in enumerate(self._strips) if strip.group not in self._marked_groups]
            rows["clean_tiles_reviewed"] = self._share(kept)
            rows["clean_groups_reviewed"] = len({self._strips[i].group for i in kept})
        if self._marked_pictures:
            kept = [i for i, strip in enumerate(self._strips) if strip.ground not in self._marked_pictures]
            rows["clean_tiles_reviewed_pictures"] = {"alarms": self._share(kept), "surfaces": self._surfaces(kept)}
        return rows

    def _share(self, kept: Sequence[int]) -> Share:
        return share(sum(self._alarms[i] for i in kept), len(kept))

    def _surfaces(self, kept: Sequence[int]) -> dict[str, Any]:
        strips = [self._strips[i] for i in kept]
        alarms = [self._alarms[i] for i in kept]
        return by_surface(alarms, [strip.group for strip in strips], [strip.ground for strip in strips])


class KeptMaps:
    """A classifier that keeps the first look of the frame it scores, maps and all; `take` hands it over once."""

    def __init__(self, classify: Classify) -> None:
        self._classify = classify
        self._first: Predictions | None = None

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Classify; of a frame's tiles the first look is kept, not that at their mirror images."""
        predictions = self._classify(tiles)
        self._first = self._first or predictions
        return predictions

    def take(self) -> Predictions | None:
        """Return what was kept of the frame that was just inspected, and keep that of the next one."""
        first, self._first = self._first, None
        return first


class Pointing:
    """Where activation maps point, on tiles that show a defect, are led by its label, and could point past it.

    The map could point past it where boxes of that label cover less than half of the tile.

    Args:
        maps: What the strips are inspected with.
        labels: In the order of the maps.
    """

    def __init__(self, maps: KeptMaps, labels: Sequence[str]) -> None:
        self._maps, self._labels = maps, labels
        self._off_px: list[int] = []

    def add(self, strip: ComposedStrip, inspection: Inspection) -> None:
        """Count the tiles of the strip that was just inspected."""
        first = self._maps.take()
        if inspection.cause is not None or first is None or first.cam is None:
            return
        for cam, (window, verdict, label) in zip(first.cam, _tiles(strip, inspection), strict=True):
            if label in (None, CLEAN) or label != verdict.top:
                continue
            boxes = [each.box for each in strip.placed if each.label == label and each.box.shared_px(window)]
            if 2 * sum(box.shared_px(window) for box in boxes) >= window.area_px:
                continue
            heat = grown_map(cam[:, :, self._labels.index(label)], window.width, window.height)
            self._off_px.append(off_by_px(hottest_place(heat), [box.moved(-window.x, -window.y) for box in boxes]))

    def rows(self) -> dict[str, Any]:
        """Return in how many tiles the peak lies in a box of the label, or at most the tolerance beside it."""
        near = sum(off <= POINTING_TOLERANCE_PX for off in self._off_px)
        return {
            "cam_pointing_tolerance_px": POINTING_TOLERANCE_PX,
            "cam_pointing": share(near, len(self._off_px)),
            "cam_pointing_strict": share(self._off_px.count(0), len(self._off_px)),
        }


def _tiles(strip: ComposedStrip, inspection: Inspection) -> Iterator[tuple[Box, Verdict, str | None]]:
    """Yield each tile of a strip with its verdict, and what it shows (see `label_of_window`)."""
    for box, verdict in zip(inspection.boxes, inspection.verdicts, strict=True):
        yield box, verdict, label_of_window(strip.placed, box)


def _found(chosen: Sequence[Judged]) -> Share:
    return share(sum(each.found for each in chosen), len(chosen))


def _named(chosen: Sequence[Judged]) -> Share:
    return share(sum(each.right_label for each in chosen), sum(each.found for each in chosen))


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4) if values else 0.0


def _surroundings(strip: ComposedStrip, missed: Judged) -> Exhibit:
    """Return what lies around a missed defect, as large as a tile, the larger defects first."""
    box, side = missed.placed.box, missed.tile_px
    height, width = strip.pixels.shape
    x = min(max(0, box.x + box.width // 2 - side // 2), max(0, width - side))
    y = min(max(0, box.y + box.height // 2 - side // 2), max(0, height - side))
    return Exhibit(
        strip.pixels[y : y + side, x : x + side],
        N_("%(label)s of %(group)s, %(width)s x %(height)s px"),
        float(box.area_px),
        box.moved(-x, -y),
        {"label": missed.placed.label, "group": missed.placed.group, "width": box.width, "height": box.height},
    )
