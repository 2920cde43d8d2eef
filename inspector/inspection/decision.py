"""From logits to a verdict per tile: softmax, thresholds, `clean`, `unknown`. Pure arithmetic in float64.

float64 because a float32 softmax differs between CPUs even after rounding to the four decimals that messages carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspector.inspection.distance import FeatureDistance
from inspector.inspection.predictions import Predictions
from inspector.inspection.reference import SiteReference
from inspector.labels import CLEAN, UNKNOWN, BoxFrom, Severity

SCORE_DECIMALS = 4


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRules:
    """Everything that turns scores into verdicts.

    Attributes:
        labels: Order of the logits.
        temperature: Divides the logits before the softmax; calibrated in training (Guo et al., ICML 2017).
        thresholds: Score from which a label is a defect, per defect label.
        severity: Per defect label.
        record_floor: Score from which a tile under its threshold is kept as a candidate, so that thresholds can be
            judged later.
        distance: Of features from everything known, or None when no tile is `unknown` for its distance.
        unknown_threshold: Distance above which a tile is `unknown`.
        looks: How many views of a tile that may show a defect are scored, itself and mirror images; 1: itself alone.
        box_from: What a defect's box is drawn around: its tiles, or what is hot in their class activation maps.
        reference: The good surface of the site, or None where nobody has taught it.
        never_overrule: Defect labels that stay defects on a tile that is like the reference.
    """

    labels: tuple[str, ...]
    temperature: float
    thresholds: Mapping[str, float]
    severity: Mapping[str, Severity]
    record_floor: float
    distance: FeatureDistance | None = None
    unknown_threshold: float = np.inf
    looks: int = 1
    box_from: BoxFrom = "tile"
    reference: SiteReference | None = None
    never_overrule: frozenset[str] = frozenset()

    def is_far(self, distance: float | None) -> bool:
        """Whether a tile at this distance is like nothing the network knows."""
        return distance is not None and distance > self.unknown_threshold


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one tile is.

    Attributes:
        label: A defect label, `clean`, or `unknown`.
        score: Of `top`, rounded to four decimals.
        top: Arg-max over the defect labels and `clean`.
        runner_up: The label with the next score.
        runner_up_score: Its score.
        candidate: Under the threshold, yet at or over the record floor: stored, not published.
        distance: From the site's reference, if there is one; else in feature space from everything known, or None
            without an unknown rule.
        overruled: The bundle said defect of a tile that is like the reference: it is clean, and counted.
    """

    label: str
    score: float
    top: str
    runner_up: str
    runner_up_score: float
    candidate: bool = False
    distance: float | None = None
    overruled: bool = False

    @property
    def is_defect(self) -> bool:
        """Whether the label is a defect."""
        return self.label not in (CLEAN, UNKNOWN)


def to_scores(logits: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """Return the (N, C) softmax of `logits / temperature`, float64; rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)


def decide(predictions: Predictions, rules: DecisionRules) -> list[Verdict]:
    """Return one verdict per tile, in order.

    A tile too far from every label is `unknown`, whatever its scores say. Otherwise the best defect label is the
    verdict if it reaches its threshold, and a tile whose best label is `clean` is clean. The rest, where a defect label
    leads but stays under its threshold, is `unknown` and, from the record floor on, a candidate.
    """
    scores = to_scores(predictions.logits, rules.temperature)
    leading = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    distances: list[float | None] = [None] * len(scores)
    if rules.distance is not None and predictions.features is not None:
        distances = list(rules.distance(predictions.features).tolist())
    return [
        _decide_tile(row[best], best, row[second], second, distance, rules)
        for row, (best, second), distance in zip(scores.tolist(), leading.tolist(), distances, strict=True)
    ]


def _decide_tile(
    best_score: float, best: int, second_score: float, second: int, distance: float | None, rules: DecisionRules
) -> Verdict:
    top, score = rules.labels[best], round(best_score, SCORE_DECIMALS)
    label, candidate = top, False
    if rules.is_far(distance):
        label = UNKNOWN
    elif top != CLEAN and score < rules.thresholds[top]:
        label, candidate = UNKNOWN, score >= rules.record_floor
    return Verdict(label, score, top, rules.labels[second], round(second_score, SCORE_DECIMALS), candidate, distance)
