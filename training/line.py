"""The line benchmark: what a tiled line would have made of real defects on real clean steel.

Strips are composed, seeded, from *test* groups only (see `tiles.compose_strip`), go through the daemon's own
`inspect_frame` — its tiling, its network, its decision, its merging — and are judged against the boxes. Random places
put tile edges through defects at every phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from inspector.bundle import CLEAN
from inspector.classifier import Classify
from inspector.frame import Frame, Pixels
from inspector.inspection import Inspection, InspectRules, inspect_frame
from training.dataset import Picture
from training.intervals import Share, share
from training.quilt import quilt
from training.tiles import FEATHER_PX, Cutout, Placed, Strip, compose_strip, find_cutouts, find_grounds, label_of_window

STRIP_PX = 1000
DEFECTS_PER_STRIP = 6
GAP_PX = 120
MM_PER_PX = 0.5
"""Scale at which false alarms are also stated per square metre; NEU's own scale is not published."""


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """Composed strips, with and without defects."""

    strips: tuple[Strip, ...]


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
    strips = []
    for start in range(0, len(order), DEFECTS_PER_STRIP):
        chosen = [cutouts[int(i)] for i in order[start : start + DEFECTS_PER_STRIP]]
        ground = grounds[int(rng.integers(len(grounds)))]
        strips.append(compose_strip(quilt(ground, STRIP_PX, STRIP_PX, rng), ground.group, chosen, GAP_PX, rng))
    for number in range(clean_strips):
        ground = grounds[number % len(grounds)]
        strips.append(Strip(quilt(ground, STRIP_PX, STRIP_PX, rng), (), ground.group))
    return Benchmark(tuple(strips))


def as_frame(pixels: Pixels, number: int = 0) -> Frame:
    """Return pixels as a frame of no camera, for the daemon's pure functions."""
    return Frame(pixels, 1, number, datetime(2000, 1, 1, tzinfo=UTC), 0.0, f"line-{number}", independent=True)


@dataclass(frozen=True, slots=True)
class Judged:
    """One placed defect and what became of it."""

    placed: Placed
    found: bool
    right_label: bool
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
    on_step: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Inspect every strip and return the figures of the line."""
    judged: list[Judged] = []
    clean_tiles = false_tiles = defect_tiles = right_tiles = unknown_clean = 0
    frames_alarmed: dict[str, bool] = {}
    clean_false = clean_count = 0
    confidence: list[float] = []
    correct: list[bool] = []
    published = true_published = 0
    for number, strip in enumerate(benchmark.strips):
        inspection = inspect_frame(as_frame(strip.pixels, number), classify, rules)
        judged += judge(strip, inspection, rules.tiling.tile_px)
        near = [placed.box for placed in strip.placed]
        for defect in inspection.published:
            published += 1
            true_published += any(defect.box.touches(box, FEATHER_PX) for box in near)
        for box, verdict in zip(inspection.boxes, inspection.verdicts, strict=True):
            truth = label_of_window(strip.placed, box)
            if truth is None:
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
                frames_alarmed[strip.group] = frames_alarmed.get(strip.group, False) or verdict.is_defect
            else:
                defect_tiles += 1
                right_tiles += verdict.label == truth
        on_step(number + 1)
    chosen = [each for each in judged if each.quarter_side]
    area_m2 = clean_tiles * (rules.tiling.tile_px * MM_PER_PX / 1000) ** 2
    labels = sorted({each.placed.label for each in judged})
    return {
        "protocol": (
            f"{len(benchmark.strips)} strips of {STRIP_PX} px, defects and ground of test groups, tiled and decided by"
            " the daemon's inspect_frame; recall and right_label over defects whose longer side is at least a quarter"
            " of a tile; a defect counts as found when a published defect touches its box"
        ),
        "recall": share(sum(d.found for d in chosen), len(chosen))["share"],
        "right_label": share(sum(d.right_label for d in chosen), sum(d.found for d in chosen))["share"],
        "precision": share(true_published, published),
        "found": share(sum(d.found for d in chosen), len(chosen)),
        "found_all_sizes": share(sum(d.found for d in judged), len(judged)),
        "found_quarter_area": _found([d for d in judged if d.quarter_area]),
        "labelled_right": share(sum(d.right_label for d in chosen), sum(d.found for d in chosen)),
        "per_label": {label: _found([d for d in chosen if d.placed.label == label]) for label in labels},
        "right_label_per_label": {
            label: share(
                sum(d.right_label for d in chosen if d.placed.label == label),
                sum(d.found for d in chosen if d.placed.label == label),
            )
            for label in labels
        },
        "clean_tiles": share(false_tiles, clean_tiles),
        "clean_tiles_of_clean_strips": share(clean_false, clean_count),
        "clean_tiles_unknown": share(unknown_clean, clean_tiles),
        "clean_groups_with_false_alarm": share(sum(frames_alarmed.values()), len(frames_alarmed)),
        "false_alarms_per_10000": round(1e4 * false_tiles / max(1, clean_tiles), 2),
        "false_alarms_per_m2": round(false_tiles / max(area_m2, 1e-9), 3),
        "mm_per_px": MM_PER_PX,
        "defect_tiles_right": share(right_tiles, defect_tiles),
        "ece": expected_calibration_error(confidence, correct),
    }


def _found(chosen: Sequence[Judged]) -> Share:
    return share(sum(each.found for each in chosen), len(chosen))


def judge(strip: Strip, inspection: Inspection, tile_px: int) -> list[Judged]:
    """Return what became of each placed defect of a strip."""
    rows = []
    for placed in strip.placed:
        touching = [defect for defect in inspection.published if defect.box.touches(placed.box)]
        right = any(defect.label == placed.label for defect in touching)
        rows.append(Judged(placed, bool(touching), right, tile_px))
    return rows


def expected_calibration_error(confidence: Sequence[float], correct: Sequence[bool], bins: int = 15) -> float:
    """Return the mean gap between score and hit rate over equal-width bins, weighted by their tiles."""
    scores, hits = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gap = [abs(scores[place == b].mean() - hits[place == b].mean()) * (place == b).sum() for b in set(place.tolist())]
    return round(float(sum(gap) / max(1, len(scores))), 4)
