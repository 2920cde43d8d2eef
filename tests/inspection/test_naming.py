"""Labels that a site taught itself: which tiles get them, and what else stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import LABELS, decision_rules, make_frame

from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.naming import name_own
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.own_labels import OwnLabel, embed
from inspector.inspection.predictions import Predictions
from inspector.inspection.tiling import TilingRules

PUNCHED = OwnLabel("punched", np.array([[1.0, 0.0], [0.6, 0.8]]), threshold=0.9, sure=0.97)
OILED = OwnLabel("oiled", np.array([[0.0, -1.0]]), threshold=0.9, sure=0.97)


def rules_of(*own: OwnLabel, **changes: object) -> DecisionRules:
    rules = decision_rules()
    severity = {**rules.severity, **{label.name: "minor" for label in own}}
    thresholds = {**rules.thresholds, **{label.name: label.threshold for label in own}}
    return replace(rules, own=own, severity=severity, thresholds=thresholds, **changes)  # type: ignore[arg-type]


def seen(*features: tuple[float, float]) -> Predictions:
    return Predictions(np.zeros((len(features), len(LABELS))), np.array(features))


def verdict(label: str, candidate: bool = False) -> Verdict:
    return Verdict(label, 0.7, "crack" if label in ("unknown", "unclassified") else label, "hole", 0.1, candidate)


@pytest.mark.parametrize(
    ("label", "features", "changes", "named"),
    [
        pytest.param("unknown", (1, 0), {}, "punched", id="unknown and alike"),
        pytest.param("unclassified", (0.6, 0.8), {}, "punched", id="unclassified, like the second example"),
        pytest.param("unclassified", (0, -1), {}, "oiled", id="the nearest label"),
        pytest.param("unknown", (0.8, -0.6), {}, "unknown", id="like none"),
        pytest.param("clean", (1, 0), {}, "clean", id="clean stays clean"),
        pytest.param("crack", (1, 0), {}, "punched", id="a defect of the bundle that is surely this"),
        pytest.param("crack", (0.94, -0.34), {}, "crack", id="a defect of the bundle that may be this"),
        pytest.param("unknown", (0.94, -0.34), {}, "punched", id="an unknown one that may be this"),
        pytest.param("crack", (1, 0), {"never_overrule": frozenset({"crack"})}, "crack", id="never overruled"),
    ],
)
def test_who_gets_an_own_label(
    label: str, features: tuple[float, float], changes: dict[str, object], named: str
) -> None:
    """What nothing names takes the nearest label; what the bundle names only where the likeness is sure."""
    given = name_own([verdict(label)], seen(features), rules_of(PUNCHED, OILED, **changes))

    assert [one.label for one in given] == [named]
    assert given[0].top == (named if named in ("punched", "oiled") else verdict(label).top)


def test_without_own_labels_nothing_is_compared() -> None:
    """A station that taught none needs neither maps nor features."""
    verdicts = [verdict("unknown"), verdict("crack")]

    assert name_own(verdicts, Predictions(np.zeros((2, len(LABELS)))), rules_of()) == verdicts


def test_a_tile_is_named_alike_alone_and_among_others() -> None:
    """Its likeness does not depend on how many tiles its frame has, to the last decimal."""
    random = np.random.default_rng(0)
    rows = embed(Predictions(np.zeros((64, 4)), random.normal(size=(64, 2))))
    together = PUNCHED.similarity(rows)

    assert together.tolist() == [PUNCHED.similarity(row[None])[0] for row in rows]


def test_deep_places_are_compared_where_the_bundle_has_them() -> None:
    """Mean, deviation, greatest and least of each channel over the places, brought to length 1."""
    places = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype(np.int8)
    rows = embed(Predictions(np.zeros((2, 4)), np.ones((2, 5)), maps={"map": places[..., :1], "map_deep": places}))

    assert rows.shape == (2, 12)
    assert np.allclose((rows**2).sum(axis=1), 1)


def test_a_named_tile_is_a_defect_with_a_box_and_a_severity() -> None:
    """From there on an own label goes the way of every label: it merges, and counts as what the site called it."""

    def classify(tiles: list[Pixels]) -> Predictions:
        features = np.array([(1.0, 0.0) if tile[0, 0] == 9 else (0.0, 1.0) for tile in tiles])
        logits = np.zeros((len(tiles), len(LABELS)))
        logits[:, 0] = 0.2  # a crack, far below its threshold
        return Predictions(logits, features, cam=np.zeros((len(tiles), 2, 2, len(LABELS)), np.int8))

    pixels = np.random.default_rng(0).integers(60, 190, (64, 256)).astype(np.uint8)
    pixels[0, [64, 128]] = 9
    rules = InspectRules(TilingRules(64), rules_of(PUNCHED, box_from="cam"))
    inspection = inspect_frame(make_frame(pixels=pixels), classify, rules)  # type: ignore[arg-type]

    assert inspection.decision == "punched"
    assert [(defect.label, defect.tiles, defect.box.x, defect.box.width) for defect in inspection.published] == [
        ("punched", 2, 64, 128)
    ]
    assert inspection.published[0].score == 1.0
    assert inspection.published[0].runner_up == "crack"
