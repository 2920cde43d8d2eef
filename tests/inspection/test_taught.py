"""How a taught station decides: what is like the site's reference is clean, what is like nothing is unclassified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fakes import LABELS, decision_rules, make_frame, one_space, site_reference
from hypothesis import given
from hypothesis import strategies as st

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict, decide
from inspector.inspection.merge import Defect, merge_tiles
from inspector.inspection.one_frame import InspectRules, inspect_frame, judge_tiles
from inspector.inspection.predictions import Predictions
from inspector.inspection.quality import QualityRules
from inspector.inspection.tiling import TilingRules
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


@pytest.mark.parametrize(
    ("scores", "distance", "label"),
    [
        pytest.param(SURE["crack"], 3, CLEAN, id="near: a defect is overruled"),
        pytest.param(SURE["crack"], 5, UNCLASSIFIED, id="between: a defect is recorded without alarm"),
        pytest.param(SURE["hole"], 5, "hole", id="between: a class that is never overruled stays"),
        pytest.param(SURE["clean"], 5, UNCLASSIFIED, id="between: so is what looks clean"),
        pytest.param(SURE["crack"], 7, "crack", id="far: a defect is a defect"),
    ],
)
def test_a_strict_aim_passes_nothing_over(scores: tuple[float, ...], distance: int, label: str) -> None:
    """Where a defect takes more distance (6) than being unlike the site (3), what lies between is unclassified."""
    rules = decision_rules(reference=site_reference(6.0, 3.0), never_overrule=frozenset({"hole"}))

    assert decide(seen(scores, distance), rules)[0].label == label


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


# --- From tiles to defects ----------------------------------------------------------------------------------------


def drawn(*rows: str, overlap: int = 0) -> tuple[list[Box], list[Verdict]]:
    """Tiles of 80 px from a drawing: c a crack, r rust, u unclassified, a dot clean."""
    boxes, verdicts = [], []
    step = 80 - overlap
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            boxes.append(Box(x * step, y * step, 80, 80))
            top = {"c": "crack", "r": "rust", "u": "hole"}.get(sign, CLEAN)
            label = UNCLASSIFIED if sign == "u" else top
            verdicts.append(Verdict(label, 0.6 if sign == "u" else 0.9, top, "rust", 0.1, distance=5.0 + x))
    return boxes, verdicts


def cold(count: int, hot: dict[int, tuple[int, int]]) -> np.ndarray[Any, Any]:
    """Heat of `count` tiles, 8 x 8 places each: 9 at one place of some, else 1."""
    heat = np.ones((count, 8, 8))
    for tile, (row, column) in hot.items():
        heat[tile, row, column] = 9
    return heat


def found(defects: Sequence[Defect]) -> list[tuple[str, Box, int]]:
    return [(defect.label, defect.box, defect.tiles) for defect in defects]


@pytest.mark.parametrize(
    ("drawing", "hot", "expected"),
    [
        pytest.param(("u.",), {0: (2, 3)}, [(UNCLASSIFIED, Box(30, 20, 10, 10), 1)], id="around what is far"),
        pytest.param(("u.",), {}, [(UNCLASSIFIED, Box(0, 0, 80, 80), 1)], id="the same everywhere: the whole tile"),
        pytest.param(
            ("uu",), {0: (0, 7), 1: (1, 0)}, [(UNCLASSIFIED, Box(70, 0, 20, 20), 2)], id="touching tiles are one"
        ),
        pytest.param(
            ("uc",), {0: (0, 7)}, [("crack", Box(80, 0, 80, 80), 1), (UNCLASSIFIED, Box(70, 0, 10, 10), 1)],
            id="beside a crack: both, the crack first",
        ),
        pytest.param(
            ("ur",), {0: (0, 7)}, [("rust", Box(80, 0, 80, 80), 1), (UNCLASSIFIED, Box(70, 0, 10, 10), 1)],
            id="a name comes first, however harmless",
        ),
        pytest.param(
            ("ucu",), {0: (0, 0), 2: (0, 0)},
            [("crack", Box(80, 0, 80, 80), 1), (UNCLASSIFIED, Box(160, 0, 10, 10), 1),
             (UNCLASSIFIED, Box(0, 0, 10, 10), 1)],
            id="a crack between them: two, the farther first",
        ),
    ],
)  # fmt: skip
def test_what_is_unclassified_becomes_a_defect(
    drawing: tuple[str, ...], hot: dict[int, tuple[int, int]], expected: list[tuple[str, Box, int]]
) -> None:
    """Touching unclassified tiles are one defect around what is far in them; they join and hide no named one."""
    boxes, verdicts = drawn(*drawing)

    assert expected == found(merge_tiles(boxes, verdicts, taught(), heat=cold(len(boxes), hot)))


@pytest.mark.parametrize(
    ("far", "labels"),
    [
        pytest.param((4, 6), ["rust"], id="under the tile of the rust: the same place, the name wins"),
        pytest.param((4, 1), ["rust", UNCLASSIFIED], id="beside it: another place"),
    ],
)
def test_of_one_place_the_name_wins(far: tuple[int, int], labels: list[str]) -> None:
    """Tiles overlap by half: what is far under a named defect's tile belongs to it, and does not change it."""
    boxes, verdicts = drawn("ur", overlap=40)
    defects = merge_tiles(boxes, verdicts, taught(), heat=cold(2, {0: far}))

    assert labels == [defect.label for defect in defects]
    assert found(defects)[0] == ("rust", Box(40, 0, 80, 80), 1)


def test_an_unclassified_defect_says_what_the_bundle_said() -> None:
    """It has the distance of its farthest tile, that tile's score, and as runner-up what leads there."""
    boxes, verdicts = drawn("uu")
    (defect,) = merge_tiles(boxes, verdicts, taught())

    assert (defect.distance, defect.score, defect.runner_up, defect.runner_up_score) == (6.0, 0.6, "hole", 0.6)


def test_a_named_defect_has_its_distance_where_the_site_was_taught() -> None:
    """The largest of its tiles; None without a reference, though the bundle has a distance of its own."""
    boxes, verdicts = drawn("cc")

    assert [defect.distance for defect in merge_tiles(boxes, verdicts, taught())] == [6.0]
    assert [defect.distance for defect in merge_tiles(boxes, verdicts, decision_rules())] == [None]


class Mapped:
    """A bundle that calls every tile clean, and gives the grey values of each quarter as its map."""

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        logits = np.log(np.repeat(np.array([SURE["clean"]]), len(tiles), axis=0))
        maps = np.array([tile[10::20, 10::20] for tile in tiles]).astype(np.int8)[..., None]
        return Predictions(logits, maps={"map": maps})


@pytest.mark.parametrize(
    ("marks", "decision", "boxes"),
    [
        pytest.param({}, CLEAN, [], id="all is near"),
        pytest.param({(30, 50): 5}, UNCLASSIFIED, [Box(40, 20, 20, 20)], id="one strange place"),
        pytest.param(
            {(30, 30): 6, (30, 50): 5, (70, 10): 5}, UNCLASSIFIED, [Box(0, 20, 60, 60)], id="places, two tiles touch"
        ),
    ],
)
def test_a_frame_with_something_strange(marks: dict[tuple[int, int], int], decision: str, boxes: list[Box]) -> None:
    """A frame on which the bundle finds nothing is unclassified where a place is far; heat and maps stay with it."""
    pixels = np.tile(np.array([[1, 3], [2, 0]], np.uint8), (40, 40))
    for (y, x), value in marks.items():
        pixels[y, x] = value
    rules = InspectRules(TilingRules(40), taught(), QualityRules(0.0, 1.0, 1.0))
    inspection = inspect_frame(make_frame(pixels=pixels), Mapped(), rules)

    assert decision == inspection.decision
    assert boxes == [defect.box for defect in inspection.published]
    assert inspection.maps["map"].shape == (4, 2, 2, 1)
    assert (inspection.heat is not None) == bool(marks)
