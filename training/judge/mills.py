"""What teaching is worth on a surface: taught on the good tiles of half of its groups, judged on the other half.

Both ways round, so that every group is judged once by what it did not teach. All is as it is published: int8 through
the daemon's `judge_tiles`, with the reference that `inspector teach` would fit, beside the same tiles untaught. The
thresholds come from the half that taught. Silence is shown beside recall: whoever calls everything clean finds nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict, to_scores
from inspector.inspection.one_frame import judge_tiles
from inspector.inspection.predictions import Classify, Predictions
from inspector.inspection.preprocess import to_input
from inspector.labels import CLEAN, UNCLASSIFIED, UNKNOWN
from inspector.model.bundle import Bundle
from inspector.model.pool import open_model
from inspector.model.rules import decision_rules
from inspector.teach.aim import PER_1000, Aim
from inspector.teach.fit import Lesson, fit_reference
from training.errors import DataError
from training.files import write_json
from training.int8.places import measured_sha256
from training.judge.intervals import Bounds, cluster_bootstrap, share
from training.judge.origin import code_and_date
from training.tiles.mills import Mill, load_mill
from training.tiles.published import origin_of

AIM = Aim(PER_1000, "1000 pictures", tiles=1000.0, tiles_per_frame=1.0)
"""What a station of stills asks for by itself, each tile a picture: 0.3 % of good tiles."""
MOST_TAUGHT, MOST_CLEAN, MOST_MARKED = 1000, 2000, 1500
"""Tiles of a half, drawn at random where there are more: to teach, and to judge of each kind."""
AT_ONCE = 64
DRAWS = 200
"""Of the bootstrap over groups, for the area under the curve."""
PROTOCOL = (
    "groups halved at random (seeded), both ways: taught on at most {taught} clean tiles of one half, judged on at most"
    " {clean} clean and {marked} marked tiles of the other; int8 by LiteRT, verdicts by the daemon's judge_tiles with"
    " the reference and without; aim {aim} of good tiles; bounds: Wilson over tiles, bootstrap95 over groups; called:"
    " anything but clean; auroc: marked against clean tiles, taught by the distance from the reference, untaught by one"
    " minus the score of clean, its interval over groups"
).format(taught=MOST_TAUGHT, clean=MOST_CLEAN, marked=MOST_MARKED, aim=f"{AIM.tile_share:.1%}")

_Ints = npt.NDArray[np.intp]
_Floats = npt.NDArray[np.float64]


@dataclass(slots=True, eq=False)
class _Counted:
    """A `Classify` that counts the tiles it scores."""

    classify: Classify
    scored: int = 0

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        self.scored += len(tiles)
        return self.classify(tiles)


@dataclass(slots=True, eq=False)
class _Judged:
    """What was judged in all halves so far."""

    rows: list[int] = field(default_factory=list)
    before: list[Verdict] = field(default_factory=list)
    after: list[Verdict] = field(default_factory=list)
    strange: list[float] = field(default_factory=list)
    taught: list[dict[str, Any]] = field(default_factory=list)
    looks: dict[str, int] = field(default_factory=lambda: {"untaught": 0, "taught": 0})


def measure_mills(
    bundle: Bundle, data: Path, names: Sequence[str], output: Path, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the figures of surfaces, written to `output` after each; those that are there already are kept.

    Args:
        bundle: It must give places.
        data: Folder that holds the data sets.
        names: Of surfaces.
        output: JSON file; figures of another network, seed or protocol in it are replaced.
        seed: Of the halves.
        say: Told how far it is.

    Raises:
        BundleError: The bundle does not hold on this machine.
        DataError: It gives no places, a set is missing, or none of its pictures can be read.
        LessonError: A half has too few clean tiles.
    """
    if not {"map", "map_deep"} & set(bundle.card.main.outputs):
        raise DataError(f"mills: {bundle.root} gives no places: python -m training places BUNDLE adds them")
    identity = {
        "bundle": f"{bundle.card.name}@{bundle.card.version}",
        "model_sha256": measured_sha256(bundle.model_path().read_bytes()),
        "protocol": PROTOCOL,
        "seed": seed,
        "command": f"python -m training mills --data DATA --bundle {bundle.card.name} --seed {seed}",
    }
    results: dict[str, Any] = {**identity, "mills": {}}
    if output.is_file():
        before = json.loads(output.read_text("utf-8"))
        if all(before.get(key) == value for key, value in identity.items()):
            results = before
    pool, _ = open_model(bundle, os.cpu_count() or 1, places=True)
    rules = decision_rules(bundle, {}, {}, record_floor=1.0)
    try:
        for name in names:
            if name in results["mills"]:
                say(f"{name}: measured already, in {output}")
                continue
            started = time.monotonic()
            try:
                mill = load_mill(name, data, bundle.card.tile_px)
            except OSError as exc:
                raise DataError(f"mills: {name}: {exc.filename}: {exc.strerror}") from exc
            say(f"{name}: {len(mill.tiles)} tiles of {len(set(mill.groups))} groups, {mill.geometry}")
            row = measure_mill(mill, pool, rules, bundle.card.input_px, seed, say)
            row |= {
                "seconds": round(time.monotonic() - started),
                "provenance": code_and_date(),
                **origin_of(name, data),
            }
            results["mills"][name] = row
            write_json(output, results)
    finally:
        pool.close()
    return results


def measure_mill(
    mill: Mill, classify: Classify, rules: DecisionRules, input_px: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the figures of a surface.

    Args:
        mill: Its tiles.
        classify: The network, with places.
        rules: Of the bundle, without a reference.
        input_px: Of the network.
        seed: Of the halves and of what is drawn.
        say: Told how far it is.

    Raises:
        LessonError: A half has too few clean tiles.
        ValueError: The bundle gives no places.
    """
    clean = np.array([label == CLEAN for label in mill.labels])
    halves = halve(mill, clean, seed)
    rng = np.random.default_rng((seed, 1))
    found = _Judged()
    for held in (1, 0):
        taught = some(np.flatnonzero((halves != held) & clean), MOST_TAUGHT, rng)
        judged = np.concatenate(
            [
                some(np.flatnonzero((halves == held) & kind), most, rng)
                for kind, most in ((clean, MOST_CLEAN), (~clean, MOST_MARKED))
            ]
        )
        say(f"{mill.name}: {len(taught)} tiles teach, {len(judged)} are judged")
        _judge_half(mill, taught, judged, classify, rules, input_px, found)
    return _figures(mill, found, clean)


def halve(mill: Mill, clean: npt.NDArray[np.bool_], seed: int) -> _Ints:
    """Return for each tile the half, 0 or 1, that its group is in: groups at random, each to the half with fewer clean.

    Args:
        mill: The surface.
        clean: Which of its tiles are.
        seed: Of the order.
    """
    names, places = np.unique(mill.groups, return_inverse=True)
    sizes = np.bincount(places.ravel(), clean.astype(np.float64), len(names))
    half_of, held = np.zeros(len(names), np.intp), np.zeros(2)
    for name in np.random.default_rng(seed).permutation(len(names)):
        half_of[name] = int(held.argmin())
        held[half_of[name]] += sizes[name]
    return half_of[places.ravel()]


def some(rows: _Ints, most: int, rng: np.random.Generator) -> _Ints:
    """Return at most so many of the rows, drawn at random, in order."""
    return np.sort(rng.permutation(rows)[:most])


def _judge_half(
    mill: Mill, taught: _Ints, judged: _Ints, classify: Classify, rules: DecisionRules, input_px: int, found: _Judged
) -> None:
    lesson = lesson_of(mill, taught, classify, rules, input_px)
    fitted = fit_reference(lesson, AIM)
    counted = _Counted(classify)
    for verdicts, under, name in (
        (found.before, rules, "untaught"),
        (found.after, replace(rules, reference=fitted.reference), "taught"),
    ):
        for start in range(0, len(judged), AT_ONCE):
            predictions, more = judge_tiles([mill.tiles[i] for i in judged[start : start + AT_ONCE]], counted, under)
            verdicts += more
            if under is rules:
                scores = to_scores(predictions.logits, rules.temperature)
                found.strange += (1 - scores[:, list(rules.labels).index(CLEAN)]).tolist()
        found.looks[name] += counted.scored
        counted.scored = 0
    found.rows += judged.tolist()
    found.taught.append(
        {
            "tiles": len(taught),
            "groups": lesson.coils,
            "defect_threshold": fitted.reference.defect_threshold,
            "unclassified_threshold": fitted.reference.unclassified_threshold,
        }
    )


def lesson_of(mill: Mill, rows: _Ints, classify: Classify, rules: DecisionRules, input_px: int) -> Lesson:
    """Return what some tiles of a surface teach.

    Raises:
        ValueError: The bundle gives no places.
    """
    parts: list[Predictions] = []
    defects: list[bool] = []
    for start in range(0, len(rows), AT_ONCE):
        predictions, verdicts = judge_tiles([mill.tiles[i] for i in rows[start : start + AT_ONCE]], classify, rules)
        parts.append(predictions)
        defects += [verdict.is_defect for verdict in verdicts]
    if not parts[0].maps:
        raise ValueError("the bundle gives no places: python -m training places BUNDLE adds them")
    return Lesson(
        {role: np.concatenate([part.maps[role] for part in parts]) for role in parts[0].maps},
        np.unique(mill.groups, return_inverse=True)[1].ravel()[rows].astype(np.int32),
        np.array(mill.frames, np.int32)[rows],
        np.stack([to_input(mill.tiles[i], input_px) for i in rows]),
        np.array(defects, bool),
        coils_known=True,
    )


def _figures(mill: Mill, found: _Judged, clean: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rows = np.array(found.rows)
    groups = [mill.groups[i] for i in rows]
    good = clean[rows]
    distances = np.array([verdict.distance or 0.0 for verdict in found.after])
    kinds = {"clean_tiles": good, "marked_tiles": ~good}
    judged = {"untaught": found.before, "taught": found.after}
    return {
        "geometry": mill.geometry,
        "tiles": {name: int(which.sum()) for name, which in kinds.items()},
        "groups": len(set(mill.groups)),
        "taught_on": found.taught,
        **{
            state: {name: dict(_shares(verdicts, which, groups)) for name, which in kinds.items()}
            for state, verdicts in judged.items()
        },
        "by_label": dict(_by_label(mill, rows, found)),
        "overruled": share(sum(verdict.overruled for verdict in found.after), len(rows)),
        "looks_a_tile": {state: round(count / len(rows), 3) for state, count in found.looks.items()},
        "auroc": {
            "untaught": rank(np.array(found.strange), ~good, groups),
            "taught": rank(distances, ~good, groups),
        },
    }  # fmt: skip


def _shares(
    verdicts: Sequence[Verdict], which: npt.NDArray[np.bool_], groups: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what share of some tiles alarms, is unknown, is unclassified, and is called anything but clean."""
    theirs = [(verdicts[i], groups[i]) for i in np.flatnonzero(which).tolist()]
    for name, holds in _CALLED.items():
        hits = [holds(verdict) for verdict, _ in theirs]
        yield name, {**share(sum(hits), len(hits)), "bootstrap95": cluster_bootstrap(hits, [g for _, g in theirs])}


_CALLED: dict[str, Callable[[Verdict], bool]] = {
    "alarm": lambda verdict: verdict.is_defect,
    "unknown": lambda verdict: verdict.label == UNKNOWN,
    "unclassified": lambda verdict: verdict.label == UNCLASSIFIED,
    "called": lambda verdict: verdict.label != CLEAN,
}


def _by_label(mill: Mill, rows: _Ints, found: _Judged) -> Iterator[tuple[str, dict[str, int]]]:
    labels = np.array([mill.labels[i] for i in rows])
    for label in sorted(set(labels.tolist()) - {CLEAN}):
        theirs = np.flatnonzero(labels == label)
        yield (
            label,
            {
                "n": len(theirs),
                "alarm_untaught": sum(found.before[i].is_defect for i in theirs),
                "alarm_taught": sum(found.after[i].is_defect for i in theirs),
                "called_taught": sum(found.after[i].label != CLEAN for i in theirs),
            },
        )


def rank(scores: _Floats, marked: npt.NDArray[np.bool_], groups: Sequence[str]) -> dict[str, Any]:
    """Return the area under the curve of marked against clean tiles, and its 95 % interval over groups."""
    names, places = np.unique(list(groups), return_inverse=True)
    rng, drawn = np.random.default_rng(0), list[float]()
    for _ in range(DRAWS):
        counts = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[places.ravel()]
        if counts[marked].any() and counts[~marked].any():
            drawn.append(float(roc_auc_score(marked, scores, sample_weight=counts)))
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (0.0, 1.0)
    bounds: Bounds = {"low": round(float(low), 4), "high": round(float(high), 4)}
    return {"value": round(float(roc_auc_score(marked, scores)), 4), **bounds}
