"""The line benchmark: what a tiled line would have made of real defects on real clean steel.

Strips are composed, seeded, from *test* groups only (see `composed.compose_strip`), go through the daemon's own
`inspect_frame` — its tiling, its network, its decision, its merging — and are judged against the boxes. Random places
put tile edges through defects at every phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from inspector.frame import Frame, Pixels
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.predictions import Classify, Predictions
from inspector.labels import CLEAN
from training.data.dataset import Picture
from training.judge.calibration import expected_calibration_error
from training.judge.gallery import Exhibit, Gallery
from training.judge.intervals import Share, by_surface, share
from training.judge.maps import POINTING_TOLERANCE_PX, box_iou, grown_map, hottest_place, off_by_px
from training.tiles.composed import (
    CREDIBLE_GROUND,
    FEATHER_PX,
    Cutout,
    Placed,
    Strip,
    compose_strip,
    find_cutouts,
    find_grounds,
    label_of_window,
)
from training.tiles.quilt import NO_ROOM, SPECKS, ground_or_reason, quilt

STRIP_PX = 1000
DEFECTS_PER_STRIP = 6
GAP_PX = 120
LEAST_IOUS = (0.1, 0.3, 0.5)
MM_PER_PX = 0.5
"""Scale at which false alarms are also stated per square metre; NEU's own scale is not published."""


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """Composed strips, with and without defects.

    Attributes:
        strips: The strips.
        pictures: The id of the picture that each strip's ground is of; empty where its group is all that is known.
    """

    strips: tuple[Strip, ...]
    pictures: tuple[str, ...] = ()


def compose_benchmark(
    pictures: Sequence[Picture], pixels: Sequence[Pixels], *, clean_strips: int, seed: int = 7
) -> Benchmark:
    """Return strips that hold every cut-out of `pictures` once, and `clean_strips` without any.

    Args:
        pictures: Of test groups only.
        pixels: Theirs.
        clean_strips: Each `STRIP_PX` squared.
        seed: Same seed, same strips.
    """
    rng = np.random.default_rng(seed)
    grounds = find_grounds(pictures, pixels)
    cutouts: list[Cutout] = []
    for picture, its_pixels in zip(pictures, pixels, strict=True):
        cutouts += find_cutouts(picture, its_pixels)
    order = rng.permutation(len(cutouts))
    strips, pictures_of_ground = [], []
    for start in range(0, len(order), DEFECTS_PER_STRIP):
        chosen = [cutouts[int(i)] for i in order[start : start + DEFECTS_PER_STRIP]]
        ground = grounds[int(rng.integers(len(grounds)))]
        strips.append(compose_strip(quilt(ground, STRIP_PX, STRIP_PX, rng), ground.group, chosen, GAP_PX, rng))
        pictures_of_ground.append(ground.picture)
    for number in range(clean_strips):
        ground = grounds[number % len(grounds)]
        strips.append(Strip(quilt(ground, STRIP_PX, STRIP_PX, rng), (), ground.group))
        pictures_of_ground.append(ground.picture)
    return Benchmark(tuple(strips), tuple(pictures_of_ground))


def count_grounds(pictures: Sequence[Picture], pixels: Sequence[Pixels]) -> dict[str, int]:
    """Return how many boxed pictures of credible labels there are, how many give ground, and why the others do not."""
    found = [
        ground_or_reason(picture, its_pixels)
        for picture, its_pixels in zip(pictures, pixels, strict=True)
        if picture.label in CREDIBLE_GROUND and picture.boxes
    ]
    left_out = {reason: found.count(reason) for reason in (NO_ROOM, SPECKS)}
    return {"pictures": len(found), "give_ground": len(found) - sum(left_out.values()), **left_out}


def as_frame(pixels: Pixels, number: int = 0) -> Frame:
    """Return pixels as a frame of no camera, for the daemon's pure functions."""
    return Frame(pixels, 1, number, datetime(2000, 1, 1, tzinfo=UTC), 0.0, f"line-{number}", independent=True)


@dataclass(frozen=True, slots=True)
class Judged:
    """One placed defect and what became of it.

    Attributes:
        placed: Where it lies.
        found: The tiles of a published defect touch it.
        right_label: One of those has its label.
        touched: The box of one of them touches it, too.
        covered: Share of its box that theirs cover; 0 where it was not found.
        iou: Of its box and the best of theirs.
        right_iou: Of its box and the best of those with its label; 0 where there is none.
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


def run_benchmark(
    benchmark: Benchmark,
    classify: Classify,
    rules: InspectRules,
    gallery: Gallery,
    marked_groups: Collection[str] = (),
    marked_pictures: Collection[str] = (),
) -> dict[str, Any]:
    """Inspect every strip and return the figures of the line; what was missed and what was false goes to `gallery`.

    Args:
        benchmark: The strips.
        classify: Scores tiles.
        rules: The daemon's.
        gallery: Gets pictures.
        marked_groups: Groups of grounds that show marks which nobody had boxed (see `reviewed`):
            `clean_tiles_reviewed`, which is there if there are any, leaves them out.
        marked_pictures: The pictures (ids) in which these marks are: `clean_tiles_reviewed_pictures` leaves them out.
    """
    judged: list[Judged] = []
    inspected: list[tuple[Strip, Inspection]] = []
    clean_tiles = false_tiles = defect_tiles = right_tiles = unknown_clean = doubtful_tiles = doubtful_alarms = 0
    clean_by_ground: Counter[str] = Counter()
    false_by_ground: Counter[str] = Counter()
    clean_false = clean_count = 0
    clean_alarms: list[bool] = []
    clean_groups: list[str] = []
    clean_pictures: list[str] = []
    pictures = benchmark.pictures or [strip.group for strip in benchmark.strips]
    confidence: list[float] = []
    correct: list[bool] = []
    published: Counter[str] = Counter()
    true_published: Counter[str] = Counter()
    rightly_named: Counter[str] = Counter()
    pointed = Pointed(classify)
    for number, strip in enumerate(benchmark.strips):
        inspection = inspect_frame(as_frame(strip.pixels, number), pointed, rules)
        if strip.placed:
            inspected.append((strip, inspection))
        judged += (here := judge(strip, inspection, rules.tiling.tile_px))
        for missed in here:
            if not missed.found and missed.quarter_side:
                gallery.show("Defects on the line that were missed", _missed(strip, missed))
        for defect in inspection.published:
            near = [placed.label for placed in strip.placed if defect.tiles_box.touches(placed.box, FEATHER_PX)]
            published[defect.label] += 1
            true_published[defect.label] += bool(near)
            rightly_named[defect.label] += defect.label in near
        pointed.judge(strip, inspection, rules)
        for box, verdict in zip(inspection.boxes, inspection.verdicts, strict=True):
            truth = label_of_window(strip.placed, box)
            if truth is None:
                doubtful_tiles += 1
                doubtful_alarms += verdict.is_defect
                continue
            confidence.append(verdict.score)
            correct.append(verdict.top == truth)
            if truth == CLEAN:
                clean_tiles += 1
                false_tiles += verdict.is_defect
                unknown_clean += verdict.label == "unknown"
                if not strip.placed:
                    clean_count += 1
                    clean_false += verdict.is_defect
                clean_alarms.append(verdict.is_defect)
                clean_groups.append(strip.group)
                clean_pictures.append(pictures[number])
                clean_by_ground[strip.group] += 1
                false_by_ground[strip.group] += verdict.is_defect
                if verdict.is_defect:
                    tile = strip.pixels[box.y : box.bottom, box.x : box.right]
                    told = f"{verdict.label} {verdict.score:.3f}, ground of {strip.group}"
                    gallery.show("Clean tiles on the line that alarm", Exhibit(tile, told, verdict.score))
            else:
                defect_tiles += 1
                right_tiles += verdict.label == truth
    chosen = [each for each in judged if each.quarter_side]
    chance = [each for each in judge_by_chance(inspected, rules.tiling.tile_px) if each.quarter_side]
    groups = [group for group in clean_by_ground if group not in marked_groups]
    reviewed = share(sum(false_by_ground[group] for group in groups), sum(clean_by_ground[group] for group in groups))
    kept = [i for i, picture in enumerate(clean_pictures) if picture not in marked_pictures]
    alarms = [clean_alarms[i] for i in kept]
    unmarked = {
        "alarms": share(sum(alarms), len(kept)),
        "surfaces": by_surface(alarms, [clean_groups[i] for i in kept], [clean_pictures[i] for i in kept]),
    }
    area_m2 = clean_tiles * (rules.tiling.tile_px * MM_PER_PX / 1000) ** 2
    labels = sorted({each.placed.label for each in judged})
    return {
        "protocol": (
            f"{len(benchmark.strips)} strips of {STRIP_PX} px, defects and ground of test groups, tiled and decided by"
            " the daemon's inspect_frame; recall and right_label over defects whose longer side is at least a quarter"
            " of a tile; a defect counts as found when the tiles of a published one touch its box; precision_per_label:"
            f" of the published defects of a label, those within {FEATHER_PX} px of a defect of that label;"
            " tiles_in_doubt, of which a defect shows too little, or two labels too much, count neither as clean nor as"
            " defect tiles: k of n alarm; found_by_chance: the same defects against what was published on the next"
            " strip, rightly_named of all of them; one_to_one: the same where each published defect may stand for one"
            " of them only, and each of them for one published (as many pairs as can be: linear_sum_assignment);"
            " right_at_iou: of the same, those whose box and that of a published one of their label have at least that"
            " IoU;"
            " localisation: box_touches, covered_mean and box_iou_mean over found defects and the boxes published for"
            " them; cam_pointing over tiles led by the label of the defect they show, where its boxes cover less than"
            " half"
        ),
        "recall": share(sum(d.found for d in chosen), len(chosen))["share"],
        "right_label": share(sum(d.right_label for d in chosen), sum(d.found for d in chosen))["share"],
        "precision": share(true_published.total(), published.total()),
        "precision_per_label": {
            label: share(rightly_named[label], published[label]) for label in sorted({*labels, *published})
        },
        "found": share(sum(d.found for d in chosen), len(chosen)),
        "found_all_sizes": share(sum(d.found for d in judged), len(judged)),
        "found_quarter_area": _found([d for d in judged if d.quarter_area]),
        "labelled_right": share(sum(d.right_label for d in chosen), sum(d.found for d in chosen)),
        "found_by_chance": {
            "found": _found(chance),
            "rightly_named": share(sum(d.right_label for d in chance), len(chance)),
        },
        "one_to_one": {
            name: share(sum(count_matched(*each, rules.tiling.tile_px, named) for each in inspected), len(chosen))
            for name, named in (("found", False), ("rightly_named", True))
        },
        "right_at_iou": {
            f"{least:g}": share(sum(d.right_label and d.right_iou >= least for d in chosen), len(chosen))
            for least in LEAST_IOUS
        },
        "per_label": {label: _found([d for d in chosen if d.placed.label == label]) for label in labels},
        "right_label_per_label": {
            label: share(
                sum(d.right_label for d in chosen if d.placed.label == label),
                sum(d.found for d in chosen if d.placed.label == label),
            )
            for label in labels
        },
        "clean_tiles": share(false_tiles, clean_tiles),
        **({"clean_tiles_reviewed": reviewed, "clean_groups_reviewed": len(groups)} if marked_groups else {}),
        **({"clean_tiles_reviewed_pictures": unmarked} if marked_pictures else {}),
        "clean_surfaces": by_surface(clean_alarms, clean_groups, clean_pictures),
        "clean_tiles_of_clean_strips": share(clean_false, clean_count),
        "clean_tiles_unknown": share(unknown_clean, clean_tiles),
        "clean_groups_with_false_alarm": share(sum(k > 0 for k in false_by_ground.values()), len(clean_by_ground)),
        "clean_tiles_by_alarming_ground": {
            group: share(k, clean_by_ground[group]) for group, k in false_by_ground.most_common() if k
        },
        "false_alarms_per_10000": round(1e4 * false_tiles / max(1, clean_tiles), 2),
        "false_alarms_per_m2": round(false_tiles / max(area_m2, 1e-9), 3),
        "mm_per_px": MM_PER_PX,
        "tiles_in_doubt": share(doubtful_alarms, doubtful_tiles),
        "defect_tiles_right": share(right_tiles, defect_tiles),
        "ece": expected_calibration_error(confidence, correct),
        "localisation": {
            "box_touches": share(sum(d.touched for d in chosen), sum(d.found for d in chosen)),
            "covered_mean": _mean([d.covered for d in chosen if d.found]),
            "box_iou_mean": _mean([d.iou for d in chosen if d.found]),
            "cam_pointing_tolerance_px": POINTING_TOLERANCE_PX,
            "cam_pointing": share(pointed.near, pointed.tiles),
            "cam_pointing_strict": share(pointed.inside, pointed.tiles),
        },
    }


def _missed(strip: Strip, missed: Judged) -> Exhibit:
    """Return the surroundings of a missed defect, as large as a tile, the larger defects first."""
    box, side = missed.placed.box, missed.tile_px
    height, width = strip.pixels.shape
    x = min(max(0, box.x + box.width // 2 - side // 2), max(0, width - side))
    y = min(max(0, box.y + box.height // 2 - side // 2), max(0, height - side))
    told = f"{missed.placed.label} of {missed.placed.group}, {box.width} x {box.height} px"
    return Exhibit(strip.pixels[y : y + side, x : x + side], told, float(box.area_px), box.moved(-x, -y))


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4) if values else 0.0


def _found(chosen: Sequence[Judged]) -> Share:
    return share(sum(each.found for each in chosen), len(chosen))


class Pointed:
    """A classifier that keeps the maps of the last frame's tiles, and counts where they point.

    Counted are tiles that show a defect and are led by its label, and in which the map could miss it: boxes of that
    label cover less than half.

    Attributes:
        tiles: How many there were.
        near: In how many the peak of the label's map lies in such a box or at most `POINTING_TOLERANCE_PX` beside it.
        inside: In how many it lies in one.
    """

    def __init__(self, classify: Classify) -> None:
        self.tiles = self.near = self.inside = 0
        self._classify = classify
        self._first: Predictions | None = None

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Classify; of a frame's tiles the first look is kept, not that at their mirror images."""
        predictions = self._classify(tiles)
        self._first = self._first or predictions
        return predictions

    def judge(self, strip: Strip, inspection: Inspection, rules: InspectRules) -> None:
        """Count the tiles of the frame that was just inspected."""
        first, self._first = self._first, None
        if inspection.cause is not None or first is None or first.cam is None:
            return
        for cam, window, verdict in zip(first.cam, inspection.boxes, inspection.verdicts, strict=True):
            label = label_of_window(strip.placed, window)
            if label in (None, CLEAN) or label != verdict.top:
                continue
            boxes = [each.box for each in strip.placed if each.label == label and each.box.shared_px(window)]
            if 2 * sum(box.shared_px(window) for box in boxes) >= window.area_px:
                continue
            heat = grown_map(cam[:, :, rules.decision.labels.index(label)], window.width, window.height)
            off = off_by_px(hottest_place(heat), [box.moved(-window.x, -window.y) for box in boxes])
            self.tiles += 1
            self.near += off <= POINTING_TOLERANCE_PX
            self.inside += off == 0


def judge(strip: Strip, inspection: Inspection, tile_px: int) -> list[Judged]:
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


def judge_by_chance(inspected: Sequence[tuple[Strip, Inspection]], tile_px: int) -> list[Judged]:
    """Return what would become of the defects of each strip, were it judged by what was found on the next one.

    How often that gives "found" is how lenient touching is. Of a single strip there is nothing to say.
    """
    others = [other for _, other in (*inspected[1:], *inspected[:1])] if len(inspected) > 1 else []
    return [row for (strip, _), other in zip(inspected, others, strict=False) for row in judge(strip, other, tile_px)]


def count_matched(strip: Strip, inspection: Inspection, tile_px: int, named: bool) -> int:
    """Return how many defects of a quarter side can each have a published one to itself, of its label where `named`."""
    placed = [each.placed for each in judge(strip, inspection, tile_px) if each.quarter_side]
    pairs = [
        [defect.tiles_box.touches(each.box) and (not named or defect.label == each.label) for each in placed]
        for defect in inspection.published
    ]
    if not placed or not pairs:
        return 0
    fits = np.array(pairs)
    return int(fits[linear_sum_assignment(fits, maximize=True)].sum())
