"""How a taught station decides: what is like the site's reference is clean, what is like nothing is unclassified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fakes import LABELS, decision_rules, one_space, site_reference
from hypothesis import given
from hypothesis import strategies as st

from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict, decide
from inspector.inspection.one_frame import judge_tiles
from inspector.inspection.predictions import Predictions
from inspector.labels import CLEAN, UNCLASSIFIED, UNKNOWN

SURE = {"crack": (0.9, 0.05, 0.03, 0.02), "hole": (0.05, 0.9, 0.03, 0.02), "clean": (0.02, 0.03, 0.05, 0.9)}
WEAK = {"crack": (0.5, 0.2, 0.2, 0.1), "hole": (0.2, 0.5, 0.2, 0.1)}


def taught(**changes: Any) -> DecisionRules:
    return decision_rules(reference=site_reference(), **changes)


def seen(scores: Sequence[float], distance: int) -> Predictions:
    """One tile with these scores, whose farthest place is this far from the reference."""
    maps = np.zeros((1, 2, 2, 1), np.int8)
    maps[0, 1, 0, 0] = distance
    return Predictions(np.log(np.array([scores])), features=np.array([[9.0]]), maps={"map": maps})


@pytest.mark.parametrize(
    ("scores", "distance", "label", "candidate", "overruled"),
    [
        pytest.param(SURE["crack"], 3, CLEAN, False, True, id="near: a defect is overruled"),
        pytest.param(WEAK["crack"], 3, CLEAN, False, False, id="near: nothing is unknown, nothing a candidate"),
        pytest.param(SURE["clean"], 0, CLEAN, False, False, id="near and clean"),
        pytest.param(SURE["hole"], 3, "hole", False, False, id="near: a class that is never overruled stays"),
        pytest.param(WEAK["hole"], 3, CLEAN, False, False, id="near: a guess at such a class does not"),
        pytest.param(SURE["crack"], 4, "crack", False, False, id="far: a defect is a defect"),
        pytest.param(SURE["crack"], 5, "crack", False, False, id="farther: a defect is a defect"),
        pytest.param(WEAK["crack"], 4, CLEAN, True, False, id="far: unknown is clean, and a candidate as ever"),
        pytest.param(SURE["clean"], 4, CLEAN, False, False, id="far and clean"),
        pytest.param(WEAK["crack"], 5, UNCLASSIFIED, False, False, id="farther: unknown is unclassified"),
        pytest.param(SURE["clean"], 5, UNCLASSIFIED, False, False, id="farther: so is what looks clean"),
    ],
)
def test_a_taught_verdict(
    scores: tuple[float, ...], distance: int, label: str, candidate: bool, overruled: bool
) -> None:
    """Near (up to 3): clean. Far: the bundle's defect; unclassified beyond 4 where the bundle knows none."""
    (verdict,) = decide(seen(scores, distance), taught(never_overrule=frozenset({"hole"})))

    assert (label, candidate, overruled) == (verdict.label, verdict.candidate, verdict.overruled)
    assert verdict.distance == distance
    assert verdict.score == max(scores)
    assert verdict.top == LABELS[scores.index(max(scores))]


def test_the_reference_has_the_last_word_on_what_the_bundle_does_not_know() -> None:
    """A tile that the bundle finds foreign is clean near the reference, and unclassified far from it."""
    rules = taught(distance=one_space(np.zeros((1, 1))), unknown_threshold=1.0)

    assert [decide(seen(SURE["crack"], far), rules)[0].label for far in (3, 4, 5)] == [CLEAN, CLEAN, UNCLASSIFIED]


class TwoFaced:
    """A bundle to which mirror images show something else; it counts the tiles that it scored."""

    def __init__(self, first: Sequence[float], mirrored: Sequence[float], distance: int) -> None:
        self._first, self._mirrored = seen(first, distance), seen(mirrored, distance)
        self.scored = 0

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        self.scored += len(tiles)
        said = self._first if self.scored == 1 else self._mirrored
        maps = {role: np.repeat(values, len(tiles), axis=0) for role, values in said.maps.items()}
        return Predictions(np.repeat(said.logits, len(tiles), axis=0), maps=maps)


@pytest.mark.parametrize(
    ("first", "mirrored", "distance", "label", "overruled", "scored"),
    [
        pytest.param(SURE["crack"], SURE["clean"], 3, CLEAN, True, 1, id="near: no second look"),
        pytest.param(WEAK["crack"], SURE["clean"], 3, CLEAN, False, 1, id="near and weak: no second look"),
        pytest.param(SURE["crack"], SURE["crack"], 4, "crack", False, 4, id="far: the looks agree"),
        pytest.param(SURE["crack"], SURE["clean"], 4, CLEAN, False, 4, id="far: the looks say clean"),
        pytest.param(SURE["crack"], SURE["clean"], 5, UNCLASSIFIED, False, 4, id="farther: no class is left"),
        pytest.param(SURE["hole"], SURE["hole"], 3, "hole", False, 4, id="never overruled: its usual looks"),
        pytest.param(SURE["hole"], SURE["clean"], 3, CLEAN, False, 4, id="never overruled: taken back by the bundle"),
        pytest.param(SURE["hole"], WEAK["hole"], 3, UNKNOWN, False, 4, id="never overruled: unknown as ever"),
        pytest.param(
            SURE["hole"], (0.97, 0.01, 0.01, 0.01), 3, CLEAN, True, 4, id="never overruled, then another class"
        ),
    ],
)
def test_who_is_looked_at_again(
    first: Sequence[float], mirrored: Sequence[float], distance: int, label: str, overruled: bool, scored: int
) -> None:
    """A tile like the reference costs one inference; the others have their looks before the reference judges them."""
    network = TwoFaced(first, mirrored, distance)
    rules = taught(looks=4, never_overrule=frozenset({"hole"}))
    _, (verdict,) = judge_tiles([np.zeros((8, 8), np.uint8)], network, rules)

    assert (label, overruled, scored) == (verdict.label, verdict.overruled, network.scored)
    assert verdict.distance == distance


ROWS = st.lists(
    st.tuples(st.lists(st.integers(-40, 40), min_size=4, max_size=4), st.integers(0, 127)), min_size=1, max_size=9
)


def predictions_of(rows: list[tuple[list[int], int]]) -> Predictions:
    maps = np.array([[[[distance]]] for _, distance in rows], np.int8)
    return Predictions(np.array([logits for logits, _ in rows], np.float64) / 8, maps={"map": maps})


@given(ROWS)
def test_where_all_is_near_all_is_clean_but_what_is_never_overruled(rows: list[tuple[list[int], int]]) -> None:
    """A reference to which everything is near leaves clean tiles, holes, and the count of what it overruled."""
    rules = decision_rules(reference=site_reference(200.0, 200.0), never_overrule=frozenset({"hole"}))
    alone, together = decide(predictions_of(rows), decision_rules()), decide(predictions_of(rows), rules)

    assert [v.label if v.label == "hole" else CLEAN for v in alone] == [v.label for v in together]
    assert [v.label in ("crack", "rust") for v in alone] == [v.overruled for v in together]
    assert not any(v.candidate for v in together)


@given(ROWS)
def test_where_all_is_far_the_bundles_defects_stay(rows: list[tuple[list[int], int]]) -> None:
    """A reference to which everything is far takes no defect away, and leaves no `unknown`."""
    rules = decision_rules(reference=site_reference(0.0, 0.0))
    rows = [(logits, max(distance, 1)) for logits, distance in rows]
    alone, together = decide(predictions_of(rows), decision_rules()), decide(predictions_of(rows), rules)

    assert [v.label if v.is_defect else UNCLASSIFIED for v in alone] == [v.label for v in together]


@given(ROWS, st.integers(0, 8))
def test_a_tile_is_decided_alone(rows: list[tuple[list[int], int]], cut: int) -> None:
    """Which other tiles share a batch changes nothing."""
    rules = decision_rules(reference=site_reference(40.0, 60.0))
    parts = [part for part in (rows[:cut], rows[cut:]) if part]

    assert decide(predictions_of(rows), rules) == [v for part in parts for v in decide(predictions_of(part), rules)]


def test_a_classifier_without_maps_is_refused() -> None:
    """A taught station never decides without the maps: what is missing is named."""
    with pytest.raises(ValueError, match="needs the map 'map'"):
        decide(Predictions(np.zeros((1, 4))), taught())


def test_nothing_taught_changes_nothing() -> None:
    """Without a reference, `decide` says what the bundle says, maps or not."""
    assert decide(seen(WEAK["crack"], 5), decision_rules()) == [
        Verdict(UNKNOWN, 0.5, "crack", "hole", 0.2, candidate=True)
    ]
