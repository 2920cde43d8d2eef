"""From logits to a verdict per tile: softmax, thresholds, `clean`, `unknown`. Pure arithmetic in float64.

Where the site was taught, its reference has the last word: what is like the site's good surface is clean, and what is
neither like it nor of a known class is `unclassified`.

float64 because a float32 softmax differs between CPUs even after rounding to the four decimals that messages carry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from inspector.inspection.distance import FeatureDistance
from inspector.inspection.own_labels import OwnLabel
from inspector.inspection.predictions import Predictions
from inspector.inspection.reference import SiteReference, tile_distances
from inspector.labels import CLEAN, UNCLASSIFIED, UNKNOWN, BoxFrom, Severity

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
        own: Labels that the site taught itself; thresholds and severity have them, too.
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
    own: tuple[OwnLabel, ...] = ()

    def is_far(self, distance: float | None) -> bool:
        """Whether a tile at this distance is like nothing the network knows."""
        return distance is not None and distance > self.unknown_threshold

    def stays(self, verdict: Verdict) -> bool:
        """Whether the reference never overrules what the bundle said at first look."""
        return verdict.is_defect and verdict.label in self.never_overrule


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one tile is.

    Attributes:
        label: A defect label, `clean`, `unknown`, or `unclassified`.
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
        """Whether the label is a defect of a known class."""
        return self.label not in (CLEAN, UNKNOWN, UNCLASSIFIED)


def to_scores(logits: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """Return the (N, C) softmax of `logits / temperature`, float64; rows sum to 1."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)


def decide(predictions: Predictions, rules: DecisionRules) -> list[Verdict]:
    """Return one verdict per tile, in order: what the bundle says, and where there is a reference, what it makes of it.

    Raises:
        ValueError: The predictions lack a map that the reference needs.
    """
    said = hear_bundle(predictions, rules)
    distances = distances_of(predictions, rules)
    return said if distances is None else compare(said, said, distances, rules)


def hear_bundle(predictions: Predictions, rules: DecisionRules) -> list[Verdict]:
    """Return what the bundle alone says of each tile, in order.

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


def margin_of(verdict: Verdict, rules: DecisionRules) -> float:
    """Return by how much of a score this verdict is what it is: over the next label, and from its own threshold."""
    ahead = verdict.score - verdict.runner_up_score
    return ahead if verdict.top == CLEAN else min(ahead, abs(verdict.score - rules.thresholds[verdict.top]))


def distances_of(predictions: Predictions, rules: DecisionRules) -> list[float] | None:
    """Return how far each tile is from the site's reference, or None where there is none.

    Raises:
        ValueError: The predictions lack a map that the reference needs.
    """
    heat = heat_of(predictions, rules)
    return None if heat is None else tile_distances(heat)


def heat_of(predictions: Predictions, rules: DecisionRules) -> npt.NDArray[np.float64] | None:
    """Return how far each place of each tile is from the site's reference, (N, h, w), or None where there is none.

    Raises:
        ValueError: The predictions lack a map that the reference needs.
    """
    return None if rules.reference is None else rules.reference.distance_map(predictions.maps)


def find_near(first: Sequence[Verdict], distances: Sequence[float], rules: DecisionRules) -> list[bool]:
    """Return which tiles are clean for the reference alone: those like it that show no class which always stays."""
    if rules.reference is None:
        return [False] * len(first)
    limit = rules.reference.near_threshold
    return [distance <= limit and not rules.stays(verdict) for verdict, distance in zip(first, distances, strict=True)]


def compare(
    first: Sequence[Verdict], said: Sequence[Verdict], distances: Sequence[float], rules: DecisionRules
) -> list[Verdict]:
    """Return the verdicts that the site's reference leaves of what the bundle says.

    Near the reference a tile is clean, and counted where the bundle said defect; labels that are never overruled go
    their usual way. Far from it a defect is a defect; all else is `unclassified` beyond a distance of its own, else
    clean. Where that distance is the smaller one, a defect of the bundle between the two is unclassified.

    Args:
        first: What the bundle says at first look.
        said: What it says after its looks.
        distances: From the reference.
        rules: With the reference.
    """
    if rules.reference is None:
        return list(said)
    near = find_near(first, distances, rules)
    return [
        _like_reference(seen, distance) if is_near else _unlike_reference(verdict, distance, rules)
        for seen, verdict, is_near, distance in zip(first, said, near, distances, strict=True)
    ]


def _like_reference(verdict: Verdict, distance: float) -> Verdict:
    return replace(verdict, label=CLEAN, candidate=False, distance=distance, overruled=verdict.is_defect)


def _unlike_reference(verdict: Verdict, distance: float, rules: DecisionRules) -> Verdict:
    if rules.reference is None or distance <= rules.reference.near_threshold:  # of a label that is never overruled
        usual = rules.stays(verdict) or not verdict.is_defect
        return replace(verdict, distance=distance) if usual else _like_reference(verdict, distance)
    if verdict.is_defect and (distance > rules.reference.defect_threshold or rules.stays(verdict)):
        return replace(verdict, distance=distance)
    if distance > rules.reference.unclassified_threshold:
        return replace(verdict, label=UNCLASSIFIED, candidate=False, distance=distance)
    return replace(verdict, label=CLEAN, distance=distance)


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
