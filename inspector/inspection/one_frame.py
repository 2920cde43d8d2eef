"""The first pure function: one frame in, one `Inspection` out.

Stateless, so the same frame gives the same inspection on any worker, in a replay, or years later. No I/O, no clock,
no thread; with a worker pool as `classify` it runs in parallel, without this module knowing.

A tile that may show a defect is scored again before it counts: its mirror images are scored too, and the mean of
their logits decides (docs/decisions/0009). What shows in one of them alone is mostly no defect. This costs next to
nothing on clean steel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.errors import ConfigError
from inspector.frame import Cause, Frame, Pixels
from inspector.inspection.centred import centred_windows
from inspector.inspection.decision import DecisionRules, Verdict, compare, find_near, hear_bundle, heat_of, margin_of
from inspector.inspection.edges import EdgeRules, on_strip
from inspector.inspection.merge import Defect, merge_pieces
from inspector.inspection.naming import name_own
from inspector.inspection.pieces import Piece, View, find_pieces, where_shown
from inspector.inspection.predictions import Classify, Predictions
from inspector.inspection.preprocess import cut_inputs, to_grey
from inspector.inspection.quality import QualityRules, judge_quality
from inspector.inspection.reference import Maps, tile_distances
from inspector.inspection.second_look import find_doubtful, look_again
from inspector.inspection.tiling import TilingRules, cut_tiles, plan_tiles
from inspector.labels import CLEAN, UNCLASSIFIED, UNKNOWN

HURRIED_PART = 5
"""Where there is no time this part of the tiles is looked at again, and as many windows are scored: 3/5 + 1/5 more."""
NO_STRIP = "no strip in the picture: it wandered off, or strip.edges does not fit"


@dataclass(frozen=True, slots=True)
class InspectRules:
    """All that `inspect_frame` depends on besides the frame and the network."""

    tiling: TilingRules
    decision: DecisionRules
    quality: QualityRules = field(default_factory=QualityRules)
    input_px: int | None = None
    """Side of the network's input: with it a frame is resized at once where that changes no byte."""
    edges: EdgeRules = field(default_factory=EdgeRules)
    hurried: bool = False
    """There is no time for all looks, frames are being dropped: a fifth of the tiles is looked at again at most, those
    whose verdict is closest, and as many centred windows are scored, once. So a frame that is all defects takes no more
    than twice the time of a clean one."""


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What was found in one frame.

    Attributes:
        frame: The frame.
        cause: Why it was not inspected, or None.
        boxes: Where the tiles lie; empty when it was not inspected.
        verdicts: One per tile.
        defects: Most severe first, then highest score, then top left; candidates last.
        detail: More about the cause, for a person, if there is more to say.
        logits: (N, C) float64 that the verdicts rest on: the mean of all looks where there was more than one.
        maps: (N, h, w, D) int8 by role that the network gave for the tiles; empty where nobody asked for them.
        edges: Columns of the strip's edges in the frame, where they were looked for and found, or None.
        off_strip: Tiles that were not inspected because no strip is in them.
        looks_left_out: Tiles that would have been scored again if there had been time.
        heat: (N, h, w) distances of the tiles' places from the site's reference where a tile is unclassified, or None.
    """

    frame: Frame
    cause: Cause | None
    boxes: tuple[Box, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    defects: tuple[Defect, ...] = ()
    detail: str = ""
    logits: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    maps: Maps = field(default_factory=dict)
    heat: npt.NDArray[np.float64] | None = None
    edges: tuple[int, int] | None = None
    off_strip: int = 0
    looks_left_out: int = 0

    def verdict_counts(self) -> Mapping[str, int]:
        """Return how many tiles had each verdict."""
        return Counter(verdict.label for verdict in self.verdicts)

    @property
    def published(self) -> tuple[Defect, ...]:
        """Defects at or over their threshold, then what is unclassified."""
        return tuple(defect for defect in self.defects if not defect.candidate)

    @property
    def decision(self) -> str:
        """The frame in one word: the most severe defect's label, else `unclassified`, else `unknown`, else `clean`."""
        if self.published:
            return self.published[0].label
        return UNKNOWN if any(verdict.label == UNKNOWN for verdict in self.verdicts) else CLEAN


def inspect_frame(frame: Frame, classify: Classify, rules: InspectRules) -> Inspection:
    """Return what is visible in `frame`; a frame whose size does not fit the region of interest is unsupported.

    Raises:
        WorkerError: From `classify`.
    """
    grey = to_grey(frame.pixels)
    if (cause := judge_quality(grey, rules.quality)) is not None:
        return Inspection(frame, cause)
    try:
        boxes = plan_tiles(frame.height_px, frame.width_px, rules.tiling, frame.independent)
    except ConfigError as exc:  # of this frame's size: the next one may fit
        return Inspection(frame, Cause.UNSUPPORTED, detail=str(exc))
    edges = rules.edges.of(grey)
    boxes, planned = () if edges is None else on_strip(boxes, edges), len(boxes)
    if edges is None or not boxes:
        return Inspection(frame, Cause.UNSUPPORTED, detail=NO_STRIP, off_strip=planned)
    tiles = list(cut_tiles(grey, boxes)) if rules.input_px is None else cut_inputs(grey, boxes, rules.input_px)
    most = len(tiles) // HURRIED_PART if rules.hurried else None
    predictions, verdicts, heat, left_out = _judge(tiles, classify, rules.decision, most)
    if all(verdict.label != UNCLASSIFIED for verdict in verdicts):
        heat = None
    pieces = find_pieces(boxes, verdicts, rules.decision, predictions.cam, heat)
    defects = merge_pieces(_look_centred(grey, pieces, classify, rules.decision, most), rules.decision)
    return Inspection(
        frame, None, boxes, tuple(verdicts), defects, logits=predictions.logits, maps=predictions.maps, heat=heat,
        edges=edges, off_strip=planned - len(boxes), looks_left_out=left_out,
    )  # fmt: skip


def _look_centred(
    grey: Pixels, pieces: list[Piece], classify: Classify, rules: DecisionRules, most: int | None
) -> list[Piece]:
    """Return the pieces, each with what a window around it shows, where second looks are taken; at most so many."""
    windows = centred_windows(pieces, Box(0, 0, grey.shape[1], grey.shape[0])) if rules.looks > 1 else {}
    if most is not None:
        windows, rules = dict(list(windows.items())[:most]), replace(rules, looks=1)
    if not windows:
        return pieces
    places = list(windows.values())
    predictions, verdicts = judge_tiles(list(cut_tiles(grey, places)), classify, rules)
    shown = where_shown(places, verdicts, range(len(places)), rules, predictions.cam)
    looked = list(pieces)
    for place, number in enumerate(windows):
        looked[number] = replace(looked[number], centred=View(places[place], shown[place], verdicts[place]))
    return looked


def judge_tiles(tiles: Sequence[Pixels], classify: Classify, rules: DecisionRules) -> tuple[Predictions, list[Verdict]]:
    """Return one verdict a tile, and the network's answer: the mean of all looks if there was more than one.

    Features and maps are those of the tile as it is. A tile too far from every label is not scored again, nor one that
    is like the site's reference.

    Raises:
        WorkerError: From `classify`.
        ValueError: It gives no map that the reference needs.
    """
    predictions, verdicts, _, _ = _judge(tiles, classify, rules, None)
    return predictions, verdicts


def _judge(
    tiles: Sequence[Pixels], classify: Classify, rules: DecisionRules, most: int | None
) -> tuple[Predictions, list[Verdict], npt.NDArray[np.float64] | None, int]:
    """Return what `judge_tiles` does, the (N, h, w) distances behind it, if any, and how many looks `most` cost."""
    left_out = 0
    predictions = classify(tiles)
    first, heat = hear_bundle(predictions, rules), heat_of(predictions, rules)
    distances = None if heat is None else tile_distances(heat)
    near = [False] * len(first) if distances is None else find_near(first, distances, rules)
    said = list(first)
    if rules.looks > 1:
        suspects = find_doubtful(predictions.logits, rules.labels, rules.temperature)
        doubtful = [n for n in suspects if not near[n] and not rules.is_far(first[n].distance)]
        if most is not None and len(doubtful) > most:
            left_out = len(doubtful) - most
            doubtful = sorted(sorted(doubtful, key=lambda n: (margin_of(first[n], rules), n))[:most])
        if doubtful:
            predictions = look_again(tiles, predictions, doubtful, classify)
            features = None if predictions.features is None else predictions.features[doubtful]
            again = hear_bundle(Predictions(predictions.logits[doubtful], features), rules)
            for number, verdict in zip(doubtful, again, strict=True):
                said[number] = verdict
    verdicts = said if distances is None else compare(first, said, distances, rules)
    return predictions, name_own(verdicts, predictions, rules), heat, left_out
