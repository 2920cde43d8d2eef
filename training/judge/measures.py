"""What a bundle scores, one evaluator a question; each yields `(name, value)` with values fit for JSON.

Everything runs the int8 file through the daemon's own classifier and decision. Metrics are scikit-learn's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    auc,
    confusion_matrix,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from inspector.box import Box
from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict, to_scores
from inspector.inspection.localize import locate
from inspector.inspection.one_frame import judge_tiles
from inspector.inspection.predictions import Classify, Predictions
from inspector.labels import CLEAN, UNKNOWN
from inspector.pages.language import N_
from training.data.dataset import Picture
from training.judge.calibration import expected_calibration_error
from training.judge.gallery import Exhibit
from training.judge.intervals import by_surface, share
from training.judge.maps import POINTING_TOLERANCE_PX, box_iou, grown_map, hottest_place, off_by_px
from training.network.feed import mask_of
from training.tiles.corrupt import ROUGH, SUITE, corrupted, roughened
from training.tiles.tile_set import own_boxes

COVERED_SHARE = 0.5
DEFECT_SHARE = 0.001
"""Of all tiles of a line; assumed."""


_Floats = npt.NDArray[np.float64]
Row = tuple[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredModel:
    """A bundle at work: its classifier and its rules."""

    classify: Classify
    rules: DecisionRules

    def verdicts(self, tiles: Sequence[Pixels]) -> tuple[Predictions, list[Verdict]]:
        """Return the network's answer and the decision for tiles."""
        return judge_tiles(tiles, self.classify, self.rules)

    @property
    def without_unknown(self) -> MeasuredModel:
        """Return the same network, never calling a tile unknown for its distance."""
        return MeasuredModel(self.classify, replace(self.rules, distance=None))


def official(model: MeasuredModel, pictures: Sequence[Picture], pixels: Sequence[Pixels]) -> Iterator[Row]:
    """Arg-max over the labels on whole pictures; beside it that of one look at each, and the full decision."""
    predictions, verdicts = model.verdicts(pixels)
    truth, top = [picture.label for picture in pictures], [verdict.top for verdict in verdicts]
    yield from classification(truth, top, model.rules.labels)
    one_look = model.classify(pixels).logits.argmax(axis=1)
    right = sum(model.rules.labels[int(i)] == label for i, label in zip(one_look, truth, strict=True))
    yield "one_look", share(right, len(truth))
    yield "decision", share(sum(v.label == t for v, t in zip(verdicts, truth, strict=True)), len(truth))
    yield "unknown", share(sum(v.label == UNKNOWN for v in verdicts), len(truth))
    scores = to_scores(predictions.logits, model.rules.temperature)
    yield (
        "ece",
        expected_calibration_error(scores.max(axis=1).tolist(), [a == b for a, b in zip(truth, top, strict=True)]),
    )
    yield (
        "errors",
        [
            {"picture": picture.name, "label": picture.label, "top": verdict.top, "score": verdict.score}
            for picture, verdict in zip(pictures, verdicts, strict=True)
            if verdict.top != picture.label
        ],
    )


def classification(truth: Sequence[str], top: Sequence[str], labels: Sequence[str]) -> Iterator[Row]:
    """Accuracy, macro and per-class precision, recall, F1, and the confusion matrix."""
    present = [label for label in labels if label in set(truth)]
    yield "correct", share(sum(a == b for a, b in zip(truth, top, strict=True)), len(truth))
    yield "accuracy", round(float(accuracy_score(truth, top)), 6)
    macro = precision_recall_fscore_support(truth, top, labels=present, average="macro", zero_division=0)
    yield (
        "macro",
        {name: round(float(value), 6) for name, value in zip(("precision", "recall", "f1"), macro, strict=False)},
    )
    each = precision_recall_fscore_support(truth, top, labels=present, zero_division=0)
    yield "per_class", {
        label: {
            "precision": round(float(each[0][i]), 6), "recall": round(float(each[1][i]), 6),
            "f1": round(float(each[2][i]), 6), "n": int(each[3][i]),
        }
        for i, label in enumerate(present)
    }  # fmt: skip
    yield "confusion", {"labels": list(labels), "rows_truth": confusion_matrix(truth, top, labels=labels).tolist()}


def corruption(
    model: MeasuredModel,
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    on_step: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """What is named rightly under each corruption and severity: by arg-max, and as it is published."""
    cells: dict[str, float] = {}
    published: dict[str, float] = {}
    rough: dict[str, dict[str, float]] = {}
    for name, severities in SUITE.items():
        for severity in range(1, len(severities) + 1):
            tiles = [corrupted(tile, name, severity, seed) for seed, tile in enumerate(pixels)]
            found = _named_rightly(model, pictures, tiles)
            cells[f"{name}/{severity}"], published[f"{name}/{severity}"] = found["top"], found["published"]
            on_step()
    for name in ROUGH:
        rough[name] = _named_rightly(model, pictures, [roughened(tile, name, seed) for seed, tile in enumerate(pixels)])
        on_step()
    for title, values in (("", cells), ("published_", published)):
        worst = min(values, key=lambda cell: values[cell])
        yield f"{title}mean", round(float(np.mean(list(values.values()))), 6)
        yield f"{title}worst", values[worst]
        yield f"{title}worst_cell", worst
        yield f"{title}cells", values
    yield "rough", rough
    yield "n", len(pictures)


def _named_rightly(model: MeasuredModel, pictures: Sequence[Picture], tiles: Sequence[Pixels]) -> dict[str, float]:
    """Return the shares of tiles that are right by arg-max and as published, and that are called unknown or clean."""
    _, verdicts = model.verdicts(tiles)
    pairs = [(verdict, picture.label) for verdict, picture in zip(verdicts, pictures, strict=True)]
    kinds = {
        "top": sum(verdict.top == label for verdict, label in pairs),
        "published": sum(verdict.label == label for verdict, label in pairs),
        "unknown": sum(verdict.label == UNKNOWN for verdict, _ in pairs),
        "clean": sum(verdict.label == CLEAN for verdict, _ in pairs),
    }
    return {kind: round(count / len(pictures), 6) for kind, count in kinds.items()}


def surface(
    model: MeasuredModel, tiles: Sequence[Pixels], groups: Sequence[str], pictures: Sequence[str] = ()
) -> dict[str, Any]:
    """What becomes of tiles that show no defect this model knows: alarms, unknown, clean, by tile and by group.

    With the picture of each tile, also from how many pictures they are, and an interval over groups.
    """
    _, verdicts = model.verdicts(tiles)
    alarms = [verdict.is_defect for verdict in verdicts]
    alarmed = {group for group, alarm in zip(groups, alarms, strict=True) if alarm}
    _, without = model.without_unknown.verdicts(tiles)
    return {
        "alarms": share(sum(alarms), len(tiles)),
        "alarms_without_unknown": share(sum(verdict.is_defect for verdict in without), len(tiles)),
        "groups_with_alarm": share(len(alarmed), len(set(groups))),
        **({"surfaces": by_surface(alarms, groups, pictures)} if pictures else {}),
        "verdicts": dict(sorted(Counter(verdict.label for verdict in verdicts).items())),
        "top": dict(sorted(Counter(verdict.top for verdict in verdicts).items())),
        "false_alarms_per_10000": round(1e4 * sum(alarms) / max(1, len(tiles)), 2),
    }


def alarming(model: MeasuredModel, tiles: Sequence[Pixels]) -> Iterator[Exhibit]:
    """Yield the tiles that alarm."""
    _, verdicts = model.verdicts(tiles)
    for tile, verdict in zip(tiles, verdicts, strict=True):
        if verdict.is_defect:
            values: dict[str, str | float] = {"label": verdict.label, "score": float(verdict.score)}
            yield Exhibit(tile, N_("%(label)s %(score)s"), verdict.score, values=values)


def counterpart(model: MeasuredModel, tiles: Sequence[Pixels], label: str) -> dict[str, Any]:
    """How often another mill's defect comes out under the name a person would give it."""
    _, verdicts = model.verdicts(tiles)
    return {
        "right": share(sum(verdict.label == label for verdict in verdicts), len(tiles)),
        "right_top": share(sum(verdict.top == label for verdict in verdicts), len(tiles)),
        "verdicts": dict(sorted(Counter(verdict.label for verdict in verdicts).items())),
    }


def unknown_curve(
    model: MeasuredModel, known: Sequence[Pixels], foreign: Mapping[str, Sequence[Pixels]], rates: Sequence[float]
) -> Iterator[Row]:
    """For each false-unknown rate on `known`: the share of each foreign set beyond that distance, and not alarmed."""
    if model.rules.distance is None:
        return
    near = _distances(model, known)
    far = {name: _distances(model, tiles) for name, tiles in foreign.items()}
    alarms = {name: [v.is_defect for v in model.without_unknown.verdicts(tiles)[1]] for name, tiles in foreign.items()}
    yield (
        "auroc",
        {
            name: round(float(roc_auc_score([0] * len(near) + [1] * len(d), np.concatenate([near, d]))), 4)
            for name, d in far.items()
        },
    )
    for rate in rates:
        threshold = float(np.quantile(near, 1 - rate, method="higher"))
        yield (
            f"at_{rate:g}",
            {
                name: {
                    "unknown": share(int((d > threshold).sum()), len(d)),
                    "not_alarmed": share(int(((d > threshold) | ~np.array(alarms[name])).sum()), len(d)),
                }
                for name, d in far.items()
            },
        )


def _distances(model: MeasuredModel, tiles: Sequence[Pixels]) -> _Floats:
    distance, features = model.rules.distance, model.classify(tiles).features
    if features is None or distance is None:
        raise BundleError("model.path: this bundle has no rule for unknown tiles")
    return distance(features)


def localisation(model: MeasuredModel, pictures: Sequence[Picture], pixels: Sequence[Pixels]) -> Iterator[Row]:
    """Pointing game of the class activation map, on pictures whose boxes cover less than half of them, and its box.

    The box (`inspection.localize`) is compared with that around all boxes of the picture's label;
    `covered` is the share of what these mark that lies in it. `by_chance`: how often a place drawn at random would do.
    """
    shares = [covered_share(picture) for picture in pictures]
    chosen = [i for i, its_share in enumerate(shares) if 0 < its_share < COVERED_SHARE]
    if not chosen:
        return
    predictions = model.classify([pixels[i] for i in chosen])
    if predictions.cam is None:
        return
    strict = tolerant = 0
    overlaps, covered = [], []
    for row, index in enumerate(chosen):
        picture = pictures[index]
        leading = model.rules.labels.index(picture.label)
        heat = grown_map(predictions.cam[row, :, :, leading], picture.width, picture.height)
        boxes = own_boxes(picture)
        off = off_by_px(hottest_place(heat), boxes)
        strict += off == 0
        tolerant += off <= POINTING_TOLERANCE_PX
        window = Box(0, 0, picture.width, picture.height)
        shown = locate(predictions.cam[row : row + 1], [leading], [window])[0]
        overlaps.append(box_iou(shown, reduce(Box.union, boxes)))
        marked = mask_of(boxes, (picture.height, picture.width)) > 0
        covered.append(float(marked[shown.y : shown.bottom, shown.x : shown.right].sum() / marked.sum()))
    yield "pointing", share(tolerant, len(chosen))["share"]
    yield "pointing_tolerance_px", POINTING_TOLERANCE_PX
    yield "pointing_within_tolerance", share(tolerant, len(chosen))
    yield "pointing_strict", share(strict, len(chosen))
    near = [covered_share(pictures[i], POINTING_TOLERANCE_PX) for i in chosen]
    yield "pointing_within_tolerance_by_chance", round(float(np.mean(near)), 4)
    yield "pointing_strict_by_chance", round(float(np.mean([shares[i] for i in chosen])), 4)
    covering = sum(its_share >= COVERED_SHARE for its_share in shares)
    yield "left_out", {"boxes_cover_half_or_more": covering, "no_box": len(shares) - covering - len(chosen)}
    yield "box_iou_mean", round(float(np.mean(overlaps)), 4)
    yield "box_iou_half", share(sum(overlap >= 0.5 for overlap in overlaps), len(chosen))
    yield "box_covered_mean", round(float(np.mean(covered)), 4)


def covered_share(picture: Picture, margin_px: int = 0) -> float:
    """Return the share of the picture that boxes of its own label cover, with `margin_px` around each."""
    corners = [(max(0, box.x - margin_px), max(0, box.y - margin_px), box) for box in own_boxes(picture)]
    grown = [Box(x, y, box.right + margin_px - x, box.bottom + margin_px - y) for x, y, box in corners]
    return float((mask_of(grown, (picture.height, picture.width)) > 0).mean())


def costs(model: MeasuredModel, tiles: Sequence[Pixels], truth: Sequence[str]) -> Iterator[Row]:
    """ROC and precision-recall of "is a defect", and the cheapest threshold when a miss costs c false alarms.

    A tile's score is what `decision.thresholds` is compared with: that of the leading label where it is a defect, else
    0. Costs are weighed for a line on which `DEFECT_SHARE` of the tiles show a defect, not for the mix of the test.
    """
    scores = to_scores(model.verdicts(tiles)[0].logits, model.rules.temperature)
    defects = np.array([label != CLEAN for label in model.rules.labels])
    leading = np.where(defects[scores.argmax(axis=1)], scores.max(axis=1), 0.0)
    wanted = np.array([label != CLEAN for label in truth])
    if wanted.all() or not wanted.any():
        return
    false_rate, true_rate, cuts = roc_curve(wanted, leading)
    precision, recall, _ = precision_recall_curve(wanted, leading)
    yield "roc_auc", round(float(auc(false_rate, true_rate)), 6)
    yield "pr_auc", round(float(auc(recall, precision)), 6)
    yield "roc", {"false_alarm": false_rate.round(5).tolist(), "recall": true_rate.round(5).tolist()}
    yield "pr", {"recall": recall[::5].round(5).tolist(), "precision": precision[::5].round(5).tolist()}
    yield "defect_share", DEFECT_SHARE
    misses, alarms = (1 - true_rate) * DEFECT_SHARE, false_rate * (1 - DEFECT_SHARE)
    yield (
        "threshold_by_cost",
        {
            f"a miss costs {cost} false alarms": _cheapest(cost * misses + alarms, cuts, true_rate, false_rate)
            for cost in (10, 100, 1000)
        },
    )


def _cheapest(cost: _Floats, cuts: _Floats, true_rate: _Floats, false_rate: _Floats) -> dict[str, float]:
    best = int(cost.argmin())
    return {
        "threshold": round(float(min(cuts[best], 1.0)), 4),
        "recall": round(float(true_rate[best]), 5),
        "false_alarm_rate": round(float(false_rate[best]), 5),
    }


def offenders(
    model: MeasuredModel, pictures: Sequence[Picture], pixels: Sequence[Pixels], count: int = 24
) -> list[tuple[int, str, float]]:
    """Return (index, what it was taken for, score of its own label) of the pictures that hurt the model most."""
    predictions, verdicts = model.verdicts(pixels)
    scores = to_scores(predictions.logits, model.rules.temperature)
    own = np.array([scores[i, model.rules.labels.index(picture.label)] for i, picture in enumerate(pictures)])
    return [(int(i), verdicts[int(i)].top, round(float(own[i]), 4)) for i in np.argsort(own)[:count]]
