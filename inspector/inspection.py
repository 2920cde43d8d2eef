"""The first pure function: one frame in, one `Inspection` out.

Stateless, so the same frame gives the same inspection on any worker, in a replay, or years later. No I/O, no clock,
no thread; whoever passes a worker pool as `classify` gets parallelism without this module knowing.

A tile that may show a defect is looked at again before it counts: its mirror images are scored too, and the mean of
their logits decides (docs/decisions/0009). What is seen in one of them alone is mostly no defect. Clean steel costs
next to nothing more by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import cv2
import numpy as np
import numpy.typing as npt

from inspector.bundle import CLEAN, UNKNOWN
from inspector.classifier import Classify, Predictions
from inspector.decision import SEVERITIES, DecisionRules, Verdict, decide, to_scores
from inspector.errors import ConfigError
from inspector.frame import Cause, Frame, Pixels
from inspector.localize import locate
from inspector.preprocess import to_grey
from inspector.tiling import Box, TilingRules, cut_tiles, plan_tiles

SAME_PLACE_SHARE = 0.2
"""A defect of which this share lies under another one's tiles is part of it: tiles must overlap for that."""
MIRRORS = ((slice(None), slice(None, None, -1)), (slice(None, None, -1),), (slice(None, None, -1),) * 2)
"""Across, along, both: a strip keeps its direction of travel, which a quarter turn would not."""
DOUBT = 0.1
"""A tile is looked at again when all labels but `clean` together have at least this score."""
LOOKED_AT_ONCE = 64
"""Doubtful tiles whose mirror images are held at the same time: a large frame that is all defects must not fill the
memory."""
MAX_COMPARED = 100
"""In a frame with more defects than this, further ones are not compared: it is lost anyway, and time is not."""


@dataclass(frozen=True, slots=True)
class QualityRules:
    """When a frame shows nothing that could be inspected.

    Attributes:
        blank_std: Grey levels; a smaller deviation is no picture of a surface.
        overexposed_share: Share of pixels >= 250 above which a frame is not inspected.
        underexposed_share: Share of pixels <= 5 above which a frame is not inspected.
    """

    blank_std: float = 0.5
    overexposed_share: float = 0.98
    underexposed_share: float = 0.98


@dataclass(frozen=True, slots=True)
class InspectRules:
    """All that `inspect_frame` depends on besides the frame and the network."""

    tiling: TilingRules
    decision: DecisionRules
    quality: QualityRules = QualityRules()


@dataclass(frozen=True, slots=True)
class Defect:
    """Touching tiles of one label.

    Attributes:
        label: A defect label.
        box: Where it shows, in source-frame pixels: around what is hot in its tiles' maps, or around the tiles.
        tiles_box: Around its tiles.
        score: Highest of its tiles.
        runner_up: Next label of that tile.
        runner_up_score: Its score.
        tiles: How many tiles.
        candidate: Under the threshold: recorded, never published.
    """

    label: str
    box: Box
    tiles_box: Box
    score: float
    runner_up: str
    runner_up_score: float
    tiles: int
    candidate: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What was found in one frame.

    Attributes:
        frame: The frame.
        cause: Why it was not inspected, or None.
        boxes: Where the tiles lie; empty when it was not inspected.
        verdicts: One per tile.
        defects: Most severe first, then highest score, then top left; candidates last.
        detail: More of the cause, for a person, where there is more to say.
    """

    frame: Frame
    cause: Cause | None
    boxes: tuple[Box, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    defects: tuple[Defect, ...] = ()
    detail: str = ""

    def verdict_counts(self) -> Mapping[str, int]:
        """Return how many tiles had each verdict."""
        return Counter(verdict.label for verdict in self.verdicts)

    @property
    def published(self) -> tuple[Defect, ...]:
        """Defects at or over their threshold."""
        return tuple(defect for defect in self.defects if not defect.candidate)

    @property
    def decision(self) -> str:
        """The frame in one word: the most severe defect's label, else `unknown`, else `clean`."""
        if self.published:
            return self.published[0].label
        return UNKNOWN if any(verdict.label == UNKNOWN for verdict in self.verdicts) else CLEAN


def inspect_frame(frame: Frame, classify: Classify, rules: InspectRules) -> Inspection:
    """Return what is to be seen in `frame`; one of a size that the region of interest does not fit is unsupported.

    Raises:
        WorkerError: `classify` says so.
    """
    grey = to_grey(frame.pixels)
    if (cause := judge_quality(grey, rules.quality)) is not None:
        return Inspection(frame, cause)
    try:
        boxes = plan_tiles(frame.height_px, frame.width_px, rules.tiling)
    except ConfigError as exc:  # of this frame's size: the next one may fit
        return Inspection(frame, Cause.UNSUPPORTED, detail=str(exc))
    predictions, verdicts = judge_tiles(list(cut_tiles(grey, boxes)), classify, rules.decision)
    defects = merge_tiles(boxes, verdicts, rules.decision, predictions.cam)
    return Inspection(frame, None, boxes, tuple(verdicts), defects)


def judge_tiles(tiles: Sequence[Pixels], classify: Classify, rules: DecisionRules) -> tuple[Predictions, list[Verdict]]:
    """Return one verdict a tile, and what the network said: the mean of all looks where there was more than one.

    Features and maps are those of the tile as it is. A tile too far from every label is not looked at again.

    Raises:
        WorkerError: `classify` says so.
    """
    predictions = classify(tiles)
    verdicts = decide(predictions, rules)
    if rules.looks == 1:
        return predictions, verdicts
    suspects = find_doubtful(predictions.logits, rules.labels, rules.temperature)
    doubtful = [n for n in suspects if not rules.is_far(verdicts[n].distance)]
    if not doubtful:
        return predictions, verdicts
    predictions = look_again(tiles, predictions, doubtful, classify)
    features = None if predictions.features is None else predictions.features[doubtful]
    again = decide(Predictions(predictions.logits[doubtful], features), rules)
    for number, verdict in zip(doubtful, again, strict=True):
        verdicts[number] = verdict
    return predictions, verdicts


def find_doubtful(logits: npt.NDArray[np.float64], labels: Sequence[str], temperature: float) -> list[int]:
    """Return which of the (N, C) rows are not surely clean; all of them, if `clean` is no label."""
    if CLEAN not in labels:
        return list(range(len(logits)))
    clean = to_scores(logits, temperature)[:, list(labels).index(CLEAN)]
    return [int(n) for n in np.flatnonzero(1 - clean >= DOUBT)]


def look_again(
    tiles: Sequence[Pixels], predictions: Predictions, doubtful: Sequence[int], classify: Classify
) -> Predictions:
    """Return the predictions with the logits of the doubtful tiles averaged over the tile and its mirror images.

    Logits are multiples of one step, so that sums and a quarter of them are exact: nothing depends on the order.
    """
    logits = predictions.logits.copy()
    for start in range(0, len(doubtful), LOOKED_AT_ONCE):
        part = list(doubtful[start : start + LOOKED_AT_ONCE])
        mirrored = [np.ascontiguousarray(tiles[n][turn]) for n in part for turn in MIRRORS]
        seen = classify(mirrored).logits.reshape(len(part), len(MIRRORS), -1)
        logits[part] = (logits[part] + seen.sum(axis=1)) / (1 + len(MIRRORS))
    return replace(predictions, logits=logits)


def judge_quality(grey: Pixels, rules: QualityRules) -> Cause | None:
    """Return why a frame cannot be inspected, or None; judged on every fourth row and column of a large frame."""
    sample = grey[::4, ::4] if min(grey.shape) >= 64 else grey
    histogram = cv2.calcHist([np.ascontiguousarray(sample)], [0], None, [256], [0, 256]).ravel()
    if histogram[250:].sum() > rules.overexposed_share * sample.size:
        return Cause.OVEREXPOSED
    if histogram[:6].sum() > rules.underexposed_share * sample.size:
        return Cause.UNDEREXPOSED
    if float(cv2.meanStdDev(grey)[1][0, 0]) < rules.blank_std:
        return Cause.BLANK
    return None


def merge_tiles(
    boxes: Sequence[Box],
    verdicts: Sequence[Verdict],
    rules: DecisionRules,
    cam: npt.NDArray[np.int8] | None = None,
) -> tuple[Defect, ...]:
    """Return the defects of a frame: touching tiles of one label become one.

    Tiles that only touch at a corner stay apart. Candidates merge among themselves, never with published defects.

    Args:
        boxes: Where the N tiles lie.
        verdicts: Theirs.
        rules: They say what a defect's box is drawn around.
        cam: (N, h, w, C) maps of the tiles; without them it is the tiles.
    """
    chosen: dict[tuple[bool, str], list[int]] = {}
    for number, verdict in enumerate(verdicts):
        if verdict.candidate or verdict.is_defect:
            chosen.setdefault((verdict.candidate, verdict.top), []).append(number)
    shown = _where_shown(boxes, verdicts, [number for members in chosen.values() for number in members], rules, cam)
    defects: list[tuple[Defect, list[Box]]] = []
    for (candidate, label), members in chosen.items():
        for group in _touching(members, boxes):
            best = max(group, key=lambda number: (verdicts[number].score, -number))
            tiles, verdict = [boxes[number] for number in group], verdicts[best]
            box, tiles_box = reduce(Box.union, (shown[number] for number in group)), reduce(Box.union, tiles)
            defect = Defect(
                label, box, tiles_box, verdict.score, verdict.runner_up, verdict.runner_up_score, len(group), candidate
            )
            defects.append((defect, tiles))
    rank = {label: SEVERITIES.index(severity) for label, severity in rules.severity.items()}
    defects.sort(key=lambda each: (each[0].candidate, -rank[each[0].label], -each[0].score * each[0].tiles))
    return tuple(
        sorted(
            _one_per_place(defects),
            key=lambda defect: (
                defect.candidate, -rank[defect.label], -defect.score, defect.box.y, defect.box.x, defect.label,
            ),
        )
    )  # fmt: skip


def _where_shown(
    boxes: Sequence[Box],
    verdicts: Sequence[Verdict],
    chosen: Sequence[int],
    rules: DecisionRules,
    cam: npt.NDArray[np.int8] | None,
) -> dict[int, Box]:
    """Return by number where the chosen tiles show their leading label."""
    windows = [boxes[number] for number in chosen]
    if rules.box_from == "cam" and cam is not None and chosen:
        leading = [rules.labels.index(verdicts[number].top) for number in chosen]
        windows = locate(cam[list(chosen)], leading, windows)
    return dict(zip(chosen, windows, strict=True))


def _one_per_place(defects: Sequence[tuple[Defect, Sequence[Box]]]) -> list[Defect]:
    """Return the defects without those that a weightier, at least as severe one of another label lies over.

    Overlapping tiles show one defect several times, and a piece of it may be named wrongly: that is one event. The
    weight is score times tiles, so three tiles overrule one. Tiles are compared, not the boxes around them: in the box
    around a long defect there is room for others.

    Args:
        defects: With their tiles; most severe first, then weightiest.
    """
    kept: list[tuple[Defect, Sequence[Box]]] = []
    for defect, tiles in defects:
        for number, (other, its_tiles) in enumerate(kept[:MAX_COMPARED]):
            if (
                other.candidate == defect.candidate
                and other.score * other.tiles >= defect.score * defect.tiles
                and other.tiles_box.shared_px(defect.tiles_box)
                and _covered_share(tiles, its_tiles) >= SAME_PLACE_SHARE
            ):
                joined = replace(
                    other,
                    box=other.box.union(defect.box),
                    tiles_box=other.tiles_box.union(defect.tiles_box),
                    tiles=other.tiles + defect.tiles,
                )
                kept[number] = (joined, its_tiles)
                break
        else:
            kept.append((defect, tiles))
    return [defect for defect, _ in kept]


def _covered_share(tiles: Sequence[Box], over: Sequence[Box]) -> float:
    """Return how much of the tiles' area lies under `over`; of each tile, what the one most over it covers."""
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
