"""`inspector.inspection.decision`: from logits to one verdict per tile."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakes import LABELS, decision_rules, one_space, write_bundle
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ConfigError
from inspector.inspection.decision import Verdict, decide, to_scores
from inspector.inspection.predictions import Predictions
from inspector.model.bundle import load_bundle
from inspector.model.rules import decision_rules as rules_of


def logits_for(*scores: float) -> npt.NDArray[np.float64]:
    """One row whose softmax is `scores`, which must sum to 1."""
    logits: npt.NDArray[np.float64] = np.log(np.array([scores]))
    return logits


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param((0.9, 0.05, 0.03, 0.02), Verdict("crack", 0.9, "crack", "hole", 0.05), id="over its threshold"),
        pytest.param((0.8, 0.1, 0.06, 0.04), Verdict("crack", 0.8, "crack", "hole", 0.1), id="at its threshold"),
        pytest.param(
            (0.79996, 0.1, 0.06004, 0.04), Verdict("crack", 0.8, "crack", "hole", 0.1),
            id="the score a message shows is the one that is compared",
        ),
        pytest.param(
            (0.7999, 0.1, 0.0601, 0.04), Verdict("unknown", 0.7999, "crack", "hole", 0.1, candidate=True),
            id="under its threshold",
        ),
        pytest.param(
            (0.3, 0.28, 0.22, 0.2), Verdict("unknown", 0.3, "crack", "hole", 0.28, candidate=True), id="at the floor"
        ),
        pytest.param(
            (0.2999, 0.28, 0.2201, 0.2), Verdict("unknown", 0.2999, "crack", "hole", 0.28), id="under the floor"
        ),
        pytest.param((0.1, 0.2, 0.3, 0.4), Verdict("clean", 0.4, "clean", "rust", 0.3), id="clean needs no threshold"),
        pytest.param((0.25, 0.25, 0.25, 0.25), Verdict("unknown", 0.25, "crack", "hole", 0.25), id="ties: card order"),
    ],
)  # fmt: skip
def test_verdict(scores: tuple[float, ...], expected: Verdict) -> None:
    """The best label decides: at its threshold a defect, else unknown and, from the floor on, a candidate."""
    assert [expected] == decide(Predictions(logits_for(*scores)), decision_rules())


@pytest.mark.parametrize(
    ("distance", "scores", "label", "candidate"),
    [
        pytest.param(3.01, (0.97, 0.01, 0.01, 0.01), "unknown", False, id="a sure defect too far away"),
        pytest.param(3.01, (0.01, 0.01, 0.01, 0.97), "unknown", False, id="clean too far away"),
        pytest.param(3.01, (0.5, 0.3, 0.1, 0.1), "unknown", False, id="a candidate too far away is none"),
        pytest.param(3.0, (0.97, 0.01, 0.01, 0.01), "crack", False, id="at the limit it is known"),
    ],
)
def test_unknown_by_distance(distance: float, scores: tuple[float, ...], label: str, candidate: bool) -> None:
    """A tile too far from every label is unknown, whatever its scores say; the distance comes with the verdict."""
    rules = decision_rules(distance=one_space(np.zeros((4, 2))), unknown_threshold=3.0)
    features = np.array([[0.0, distance]])
    (verdict,) = decide(Predictions(logits_for(*scores), features), rules)

    assert (label, candidate, distance) == (verdict.label, verdict.candidate, verdict.distance)


def test_softmax_is_float64_and_survives_large_logits() -> None:
    """Scores are float64 even of float32 logits, sum to 1, and no logit is too large."""
    scores = to_scores(np.array([[1000.0, 999.0, -1000.0]], np.float32), 1.0)
    expected = 1 / (1 + math.exp(-1))

    assert scores.dtype == np.float64
    assert expected == pytest.approx(scores[0, 0], abs=1e-15)
    assert pytest.approx(scores.sum(), abs=1e-15) == 1.0


@given(
    st.lists(st.lists(st.floats(-30, 30), min_size=4, max_size=4), min_size=1, max_size=8),
    st.floats(0.3, 4.0),
)
def test_every_tile_gets_one_verdict_that_its_scores_allow(rows: list[list[float]], temperature: float) -> None:
    """One verdict per tile in order; a defect reaches its threshold, a candidate does not, and neither is both."""
    rules = decision_rules(temperature=temperature)
    verdicts = decide(Predictions(np.array(rows)), rules)
    scores = to_scores(np.array(rows), temperature)

    assert [LABELS[row.argmax()] for row in scores] == [verdict.top for verdict in verdicts]
    assert [round(float(row.max()), 4) for row in scores] == [verdict.score for verdict in verdicts]
    for verdict in verdicts:
        assert verdict.score >= verdict.runner_up_score
        assert verdict.label in (verdict.top, "unknown")
        assert not verdict.is_defect or verdict.score >= rules.thresholds[verdict.label]
        assert not verdict.candidate or rules.record_floor <= verdict.score < rules.thresholds[verdict.top]


@given(st.lists(st.lists(st.integers(-128, 127), min_size=4, max_size=4), min_size=2, max_size=12), st.integers(1, 11))
def test_a_tile_is_decided_alone(rows: list[list[int]], cut: int) -> None:
    """Which other tiles share a batch changes nothing, so workers may share the tiles of a frame as they like."""
    rules = decision_rules(distance=one_space(np.eye(4)), unknown_threshold=90.0)
    logits = np.array(rows, np.float64) * 0.125
    features = np.array(rows, np.float64)

    def decided(part: slice) -> list[Verdict]:
        return decide(Predictions(logits[part], features[part]), rules) if len(logits[part]) else []

    assert decided(slice(None)) == decided(slice(0, cut)) + decided(slice(cut, None))


def test_configuration_changes_the_card(tmp_path: Path) -> None:
    """Thresholds and severities of the configuration win over the card's; the others stay."""
    bundle = load_bundle(write_bundle(tmp_path))
    rules = rules_of(bundle, {"hole": 0.6}, {"rust": "critical"}, 0.2)

    assert rules.thresholds == {"crack": 0.8, "hole": 0.6, "rust": 0.8}
    assert rules.severity == {"crack": "critical", "hole": "major", "rust": "critical"}
    assert rules.unknown_threshold == 3.0


def test_unknown_can_be_switched_off(tmp_path: Path) -> None:
    """`decision.unknown = false` leaves the distance out."""
    rules = rules_of(load_bundle(write_bundle(tmp_path)), {}, {}, 0.2, use_unknown=False)
    (verdict,) = decide(Predictions(logits_for(0.97, 0.01, 0.01, 0.01), np.full((1, 8), 99.0)), rules)

    assert (verdict.label, verdict.distance) == ("crack", None)


@pytest.mark.parametrize(
    ("card", "second_look", "expected"),
    [
        pytest.param({"looks": 4}, True, 4, id="as the card says"),
        pytest.param({"looks": 4}, False, 1, id="switched off"),
        pytest.param({}, True, 1, id="a bundle of before"),
    ],
)
def test_how_often_a_tile_is_looked_at(tmp_path: Path, card: dict[str, Any], second_look: bool, expected: int) -> None:
    """The card says it, and `decision.second_look = false` wins."""
    bundle = load_bundle(write_bundle(tmp_path, **card))

    assert rules_of(bundle, {}, {}, 0.2, second_look=second_look).looks == expected


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"thresholds": {"krack": 0.5}}, r"decision\.thresholds: .*crack, hole, rust\): krack", id="label"),
        pytest.param({"severity": {"clean": "minor"}}, r"decision\.severity: .*: clean", id="clean has no severity"),
    ],
)
def test_strange_labels_are_refused(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    """A label that the bundle does not have is refused with the key, the label, and the labels there are."""
    given_changes: dict[str, Any] = {"thresholds": {}, "severity": {}, **changes}
    with pytest.raises(ConfigError, match=text):
        rules_of(load_bundle(write_bundle(tmp_path)), record_floor=0.2, **given_changes)
