"""`inspector.inspection`: one frame in, one inspection out."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakes import LABELS, PaintedClassifier, decision_rules, make_frame, one_space
from hypothesis import given
from hypothesis import strategies as st
from pace import cost_ratio
from strategies import boxes

from inspector.box import Box
from inspector.errors import PictureError
from inspector.frame import Cause, Pixels
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.distance import FeatureDistance, Space
from inspector.inspection.merge import Defect, merge_tiles
from inspector.inspection.one_frame import InspectRules, inspect_frame, judge_tiles
from inspector.inspection.picture import classify_pixels
from inspector.inspection.predictions import Predictions
from inspector.inspection.quality import QualityRules, judge_quality
from inspector.inspection.second_look import LOOKED_AT_ONCE
from inspector.inspection.tiling import TilingRules, cut_tiles, plan_tiles
from inspector.labels import CLEAN, UNKNOWN
from inspector.model.bundle import DEFAULT_BUNDLE, find_bundle, load_bundle
from inspector.model.classifier import Classifier

RULES = decision_rules()
NOISE = np.random.default_rng(8).integers(60, 190, (64, 64)).astype(np.uint8)


def verdict(label: str, score: float = 0.9, candidate: bool = False) -> Verdict:
    return Verdict(UNKNOWN if candidate else label, score, label, CLEAN, round(1 - score, 4), candidate)


def grid(*rows: str) -> tuple[list[Box], list[Verdict]]:
    """Tiles of 10 px from a drawing: c, h, r are defects, lower-case k a candidate crack, a dot is clean."""
    names = {"c": "crack", "h": "hole", "r": "rust"}
    places, verdicts = [], []
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            places.append(Box(x * 10, y * 10, 10, 10))
            verdicts.append(
                verdict(CLEAN) if sign == "." else verdict("crack", 0.5, True) if sign == "k" else verdict(names[sign])
            )
    return places, verdicts


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [
        pytest.param(("...", "..."), [], id="clean"),
        pytest.param(("cc.", "..."), [("crack", Box(0, 0, 20, 10), 2)], id="edge to edge"),
        pytest.param(("c..", ".c."), [("crack", Box(0, 0, 10, 10), 1), ("crack", Box(10, 10, 10, 10), 1)], id="corner"),
        pytest.param(("cc.", ".cc"), [("crack", Box(0, 0, 30, 20), 4)], id="a staircase is one"),
        pytest.param(("ccc", "c.c", "ccc"), [("crack", Box(0, 0, 30, 30), 8)], id="a ring is one"),
        pytest.param(
            ("crc",),
            [("crack", Box(0, 0, 10, 10), 1), ("crack", Box(20, 0, 10, 10), 1), ("rust", Box(10, 0, 10, 10), 1)],
            id="another label parts, severe first",
        ),
        pytest.param(
            ("ckc",),
            [("crack", Box(0, 0, 10, 10), 1), ("crack", Box(20, 0, 10, 10), 1), ("crack", Box(10, 0, 10, 10), 1)],
            id="candidates join nothing and come last",
        ),
        pytest.param(("rh",), [("hole", Box(10, 0, 10, 10), 1), ("rust", Box(0, 0, 10, 10), 1)], id="severe first"),
    ],
)
def test_merging(drawing: tuple[str, ...], expected: list[tuple[str, Box, int]]) -> None:
    """Tiles of one label that share an edge are one defect with the box around all of them."""
    defects = merge_tiles(*grid(*drawing), RULES)

    assert expected == [(defect.label, defect.box, defect.tiles) for defect in defects]


def test_a_defect_has_the_score_of_its_best_tile() -> None:
    """Score and runner-up are those of the tile that is surest; of equal ones, the first."""
    places = [Box(0, 0, 10, 10), Box(10, 0, 10, 10), Box(20, 0, 10, 10)]
    verdicts = [
        Verdict("crack", 0.85, "crack", "rust", 0.1),
        Verdict("crack", 0.95, "crack", "hole", 0.03),
        Verdict("crack", 0.95, "crack", "clean", 0.05),
    ]
    expected = Defect("crack", Box(0, 0, 30, 10), Box(0, 0, 30, 10), 0.95, "hole", 0.03, 3)

    assert [expected] == [replace(defect, votes=()) for defect in merge_tiles(places, verdicts, RULES)]


def plain_groups(places: list[Box]) -> set[frozenset[int]]:
    """What merging means, written as plainly as possible."""
    left, groups = set(range(len(places))), set[frozenset[int]]()
    while left:
        group, border = set[int](), deque([left.pop()])
        while border:
            number = border.popleft()
            group.add(number)
            near = {other for other in left if places[number].touches(places[other])}
            left -= near
            border.extend(near)
        groups.add(frozenset(group))
    return groups


@given(boxes())
def test_merging_joins_what_touches_and_nothing_else(places: list[Box]) -> None:
    """For tiles anywhere, overlapping or not, defects are the connected groups of touching tiles, each tile in one."""
    defects = merge_tiles(places, [verdict("crack")] * len(places), RULES)
    expected = []
    for group in plain_groups(places):
        members = [places[number] for number in group]
        box = members[0]
        for member in members[1:]:
            box = box.union(member)
        expected.append((box.y, box.x, box.width, box.height, len(members)))

    assert sorted(expected) == sorted((d.box.y, d.box.x, d.box.width, d.box.height, d.tiles) for d in defects)


@given(boxes(), st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_the_order_of_tiles(places: list[Box], random: object) -> None:
    """The same tiles in another order give the same defects in the same order."""
    shuffled = places.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def merged(of: list[Box]) -> list[tuple[Box, int]]:
        return [(defect.box, defect.tiles) for defect in merge_tiles(of, [verdict("crack")] * len(of), RULES)]

    assert sorted(merged(places), key=repr) == sorted(merged(shuffled), key=repr)


@pytest.mark.parametrize(
    ("place", "groups"),
    [
        pytest.param(lambda n: Box(n % 50 * 200, n // 50 * 200, 200, 200), 1, id="all touch"),
        pytest.param(lambda n: Box((n % 25 * 2 + n // 25 % 2) * 200, n // 25 * 200, 200, 200), 800, id="none does"),
        pytest.param(lambda n: Box(n % 50 * 20, n // 50 * 20, 200, 200), 1, id="heavy overlap"),
        pytest.param(lambda n: Box(0, n * 400, 200, 200), 800, id="one column"),
    ],
)
def test_merging_grows_with_the_tiles_alone(place: Callable[[int], Box], groups: int) -> None:
    """800 defect tiles cost about four times what 200 do (measured: up to 6); compared in pairs, they cost 16."""
    places = [place(number) for number in range(800)]
    verdicts = [verdict("crack")] * len(places)

    assert groups == len(merge_tiles(places, verdicts, RULES))
    ratio = cost_ratio(
        lambda: merge_tiles(places, verdicts, RULES), lambda: merge_tiles(places[:200], verdicts[:200], RULES), 3
    )
    assert ratio < 9


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        pytest.param(NOISE, None, id="a surface"),
        pytest.param(np.full((64, 64), 128, np.uint8), Cause.BLANK, id="lens cap"),
        pytest.param(np.full((64, 64), 255, np.uint8), Cause.OVEREXPOSED, id="white"),
        pytest.param(np.full((64, 64), 250, np.uint8), Cause.OVEREXPOSED, id="250 is white"),
        pytest.param(np.zeros((64, 64), np.uint8), Cause.UNDEREXPOSED, id="black"),
        pytest.param(np.full((64, 64), 5, np.uint8), Cause.UNDEREXPOSED, id="5 is black"),
        pytest.param(np.full((64, 64), 6, np.uint8), Cause.BLANK, id="6 is not black"),
        pytest.param(np.array([[0], [255]], np.uint8).repeat(32, 0).repeat(64, 1), None, id="half black, half white"),
        pytest.param(np.where(np.arange(4096).reshape(64, 64) == 99, 200, 100).astype(np.uint8), None, id="one speck"),
        pytest.param(np.array([[7]], np.uint8), Cause.BLANK, id="one pixel"),
    ],
)
def test_quality(pixels: Pixels, expected: Cause | None) -> None:
    """A frame that shows no surface says why; one that shows any is inspected."""
    assert expected is judge_quality(pixels, QualityRules())


def painted(*rows: str) -> Pixels:
    """A frame of 40 px tiles, each with its label's number at the centre, on a textured ground."""
    numbers = {"c": 0, "h": 1, "r": 2, ".": 3}
    pixels = np.random.default_rng(2).integers(60, 190, (40 * len(rows), 40 * len(rows[0]))).astype(np.uint8)
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            pixels[y * 40 + 20, x * 40 + 20] = numbers[sign]
    return pixels


@pytest.mark.parametrize(
    ("rows", "decision", "labels"),
    [
        pytest.param(("..", ".."), CLEAN, [], id="clean"),
        pytest.param(("r.", ".c"), "crack", ["crack", "rust"], id="the most severe names the frame"),
    ],
)
def test_frame_in_words(rows: tuple[str, ...], decision: str, labels: list[str]) -> None:
    """A frame is called after its most severe defect."""
    inspection = inspect_frame(
        make_frame(pixels=painted(*rows)), PaintedClassifier(), InspectRules(TilingRules(40), RULES)
    )

    assert (decision, labels) == (inspection.decision, [defect.label for defect in inspection.defects])
    assert inspection.cause is None
    assert sum(inspection.verdict_counts().values()) == len(inspection.boxes) == 4


def test_only_candidates_is_unknown_and_publishes_nothing() -> None:
    """A frame with nothing but candidates is unknown; they are kept, not published."""
    inspection = inspect_frame(
        make_frame(pixels=painted("c.")), PaintedClassifier(logit=1.5), InspectRules(TilingRules(40), RULES)
    )

    assert (inspection.decision, inspection.published) == (UNKNOWN, ())
    assert [(defect.label, defect.candidate) for defect in inspection.defects] == [("crack", True)]


def test_a_frame_that_shows_nothing_is_not_scored() -> None:
    """Blank frames never reach the network: their inspection has a cause, no tiles, no verdicts."""
    classify = PaintedClassifier()
    inspection = inspect_frame(
        make_frame(pixels=np.full((80, 80), 90, np.uint8)), classify, InspectRules(TilingRules(40), RULES)
    )

    assert (inspection.cause, inspection.boxes, inspection.verdicts, classify.calls) == (Cause.BLANK, (), (), 0)


def test_a_frame_outside_the_region_is_not_inspected() -> None:
    """A frame without a pixel of the region of interest is unsupported, by its size and the key, and not clean."""
    rules = InspectRules(TilingRules(40, 0, ((500, 500), (600, 500), (600, 600))), RULES)
    inspection = inspect_frame(make_frame(), PaintedClassifier(), rules)

    assert (inspection.cause, inspection.boxes, inspection.verdicts) == (Cause.UNSUPPORTED, (), ())
    assert inspection.detail.startswith("tiling.roi_xy has no pixel in the frame of 64x64: ")
    with pytest.raises(PictureError, match=r"tiling\.roi_xy"):
        classify_pixels(make_frame().pixels, "thumb.png", PaintedClassifier(), rules)


def test_the_frame_is_not_written() -> None:
    """Inspection reads the pixels and leaves them as they were, so the source may lend them."""
    pixels = painted("c.", ".h")
    before = pixels.copy()
    pixels.flags.writeable = False
    inspect_frame(make_frame(pixels=pixels), PaintedClassifier(), InspectRules(TilingRules(40), RULES))

    assert np.array_equal(before, pixels)


def test_deciding_costs_little_beside_the_network() -> None:
    """Verdicts and merging of 100 tiles cost less than a fifth of what their network costs (measured: a twentieth).

    The network answers at once where our own time is taken.
    """
    pixels = np.random.default_rng(1).integers(60, 190, (2000, 2000)).astype(np.uint8)
    logits = np.random.default_rng(2).normal(0, 2, (100, len(LABELS)))
    features = np.random.default_rng(3).normal(0, 1, (100, 231))
    texture = Space(0, np.zeros((56, 224)), np.eye(224), ((0, 112), (112, 224)))
    certainty = Space(224, np.zeros((7, 7)), np.eye(7))
    rules = InspectRules(
        TilingRules(200),
        decision_rules(distance=FeatureDistance((texture, certainty)), unknown_threshold=14.0),
    )
    frame = make_frame(pixels=pixels)
    classify = Classifier(load_bundle(find_bundle(DEFAULT_BUNDLE)))
    tiles = list(cut_tiles(pixels, plan_tiles(2000, 2000, rules.tiling)))

    ours = cost_ratio(
        lambda: inspect_frame(frame, lambda _tiles: Predictions(logits, features), rules), lambda: classify(tiles), 3
    )
    assert len(tiles) == 100
    assert ours < 0.2


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(("rust", 0.95, 0), ("hole", 0.7, 150), ["rust"], id="the weaker one is a piece of the stronger"),
        pytest.param(("rust", 0.95, 0), ("hole", 0.7, 180), ["rust", "hole"], id="hardly any overlap"),
        pytest.param(("rust", 0.95, 0), ("hole", 0.7, 200), ["rust", "hole"], id="edge to edge"),
    ],
)
def test_overlapping_tiles_of_two_labels_are_one_defect(
    first: tuple[str, float, int], second: tuple[str, float, int], expected: list[str]
) -> None:
    """Tiles that overlap by a fifth and disagree show one defect under its stronger name, however severe each is."""
    tiles = [Box(x, 0, 200, 200) for _, _, x in (first, second)]
    verdicts = [Verdict(label, score, label, "clean", 0.01) for label, score, _ in (first, second)]
    for severity in ({"rust": "major", "hole": "major"}, {"rust": "minor", "hole": "critical"}):
        rules = DecisionRules(LABELS, 1.0, {}, {**dict.fromkeys(LABELS, "minor"), **severity}, 0.2)  # type: ignore[dict-item]
        found = [defect.label for defect in merge_tiles(tiles, verdicts, rules)]
        assert sorted(expected) == sorted(found)


EQUALLY_SEVERE = DecisionRules(LABELS, 1.0, {}, dict.fromkeys(LABELS, "major"), 0.2)


def test_a_defect_in_the_empty_corner_of_another_ones_box_stays() -> None:
    """The box around an L of tiles covers a corner where no tile of it lies: what is found there is another defect."""
    bend = [Box(0, y, 200, 200) for y in range(0, 900, 150)] + [Box(x, 750, 200, 200) for x in range(150, 900, 150)]
    corner = Box(600, 150, 200, 200)
    verdicts = [verdict("rust")] * len(bend) + [verdict("hole")]

    defects = merge_tiles([*bend, corner], verdicts, EQUALLY_SEVERE)

    assert {("rust", Box(0, 0, 950, 950)), ("hole", corner)} == {(defect.label, defect.box) for defect in defects}


def test_a_wrongly_named_tile_within_a_defect_is_part_of_it() -> None:
    """A tile between two of another label, half under each, is no event of its own."""
    tiles = [Box(0, 0, 200, 200), Box(100, 0, 200, 200), Box(200, 0, 200, 200)]
    verdicts = [verdict("rust"), verdict("hole"), verdict("rust")]

    (defect,) = merge_tiles(tiles, verdicts, EQUALLY_SEVERE)

    assert ("rust", Box(0, 0, 400, 200), 3) == (defect.label, defect.box, defect.tiles)


def hot_at(*cells: tuple[int, int] | None) -> npt.NDArray[np.int8]:
    """Maps of 4 x 4 cells, a tile each: the leading label's is hot in one of them, or cold."""
    cam = np.full((len(cells), 4, 4, len(RULES.labels)), -60, np.int8)
    for tile, cell in enumerate(cells):
        if cell is not None:
            cam[tile, cell[1], cell[0], : len(RULES.labels) - 1] = 90
    return cam


def test_a_defect_lies_where_the_maps_of_its_tiles_are_hot() -> None:
    """Two tiles of one scratch: the box goes from the hot place of one to that of the other, the tiles' is theirs."""
    places, verdicts = [Box(0, 0, 200, 200), Box(200, 0, 200, 200)], [verdict("crack")] * 2
    cam = hot_at((3, 1), (0, 2))
    tiles = merge_tiles(places, verdicts, RULES, cam)[0].box
    (defect,) = merge_tiles(places, verdicts, replace(RULES, box_from="cam"), cam)
    without = merge_tiles(places, verdicts, replace(RULES, box_from="cam"))[0].box

    assert tiles == without == defect.tiles_box == Box(0, 0, 400, 200)
    for hot in (Box(150, 50, 50, 50), Box(200, 100, 50, 50)):
        assert hot.area_px == hot.shared_px(defect.box)
    assert defect.box.area_px == defect.box.shared_px(Box(100, 0, 200, 200))


def test_boxes_that_are_apart_are_one_defect_where_their_tiles_touch() -> None:
    """What joins is the tiles: the far ends of two of them are one defect still, its box from end to end."""
    places, verdicts = [Box(0, 0, 200, 200), Box(200, 0, 200, 200)], [verdict("crack")] * 2
    (defect,) = merge_tiles(places, verdicts, replace(RULES, box_from="cam"), hot_at((0, 1), (3, 1)))

    assert (defect.box.x, defect.box.right, defect.tiles) == (0, 400, 2)
    assert defect.box.height < 200


FROM_MAPS = replace(EQUALLY_SEVERE, box_from="cam")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param(((3, 1), (0, 1)), ["rust"], id="a tile's edge cuts one defect"),
        pytest.param(((1, 1), (0, 1)), ["hole", "rust"], id="one ends before the edge, the other begins far from it"),
        pytest.param(((3, 0), (0, 3)), ["hole", "rust"], id="both at the edge, but not beside each other"),
        pytest.param(((0, 1), (3, 1)), ["hole", "rust"], id="at the far ends of their tiles"),
    ],
)
def test_pieces_of_two_names_are_one_defect_where_an_edge_cuts_them(
    cells: tuple[tuple[int, int], ...], expected: list[str]
) -> None:
    """Edge to edge, tiles of two labels show one defect if one goes on where the other is cut, else two."""
    tiles = [Box(0, 0, 200, 200), Box(200, 0, 200, 200)]
    verdicts = [verdict("rust", 0.99), verdict("hole", 0.9)]
    defects = merge_tiles(tiles, verdicts, FROM_MAPS, hot_at(*cells))

    assert expected == sorted(defect.label for defect in defects)
    assert len(tiles) == sum(defect.tiles for defect in defects)


def test_a_tile_that_sees_a_sliver_counts_little() -> None:
    """The tile that sees most of a defect names it, though the one that sees its rim is surer."""
    tiles = [Box(0, 0, 200, 200), Box(200, 0, 200, 200)]
    verdicts = [verdict("rust", 0.85), verdict("hole", 0.99)]
    cam = hot_at((3, 1), (0, 1))
    cam[0, 1, 1:, :-1] = 90
    (defect,) = merge_tiles(tiles, verdicts, FROM_MAPS, cam)

    assert (defect.label, defect.score) == ("rust", 0.85)
    assert dict(defect.votes)["rust"] > dict(defect.votes)["hole"]


def test_two_labels_in_overlapping_tiles_stay_two_where_they_show_apart() -> None:
    """Tiles that overlap by half and show two labels at places that do not touch found two defects."""
    tiles = [Box(0, 0, 200, 200), Box(100, 0, 200, 200)]
    defects = merge_tiles(tiles, [verdict("rust"), verdict("hole")], FROM_MAPS, hot_at((1, 0), (1, 3)))

    assert sorted(defect.label for defect in defects) == ["hole", "rust"]


def test_what_an_edge_cuts_is_looked_at_again_in_the_middle_of_a_window() -> None:
    """Two tiles that see a part each and name it otherwise: a window around each names it, and all of it is one."""
    pixels = np.full((200, 400), 128, np.uint8)
    pixels[::2] += 20
    asked = list[int]()

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        asked.append(len(tiles))
        logits = np.zeros((len(tiles), len(LABELS)))
        of_tiles = len(asked) <= 2  # the tiles, their mirror images; then the windows and theirs
        for number in range(len(tiles)):
            second = of_tiles and number * 2 >= len(tiles)
            logits[number, LABELS.index("hole" if second else "rust")] = 9
        return Predictions(logits, cam=hot_at(*([(3, 1), (0, 1)] if of_tiles else [(1, 1)] * len(tiles))))

    rules = InspectRules(TilingRules(200), replace(decision_rules(), looks=2, box_from="cam"))
    inspection = inspect_frame(make_frame(pixels=pixels), classify, rules)

    assert [defect.label for defect in inspection.published] == ["rust"]
    assert [verdict.label for verdict in inspection.verdicts] == ["rust", "hole"]
    assert (inspection.published[0].tiles, asked) == (2, [2, 6, 2, 6])


def test_nothing_is_looked_at_again_where_nothing_was_found() -> None:
    """A clean frame costs what its tiles cost."""
    asked = list[int]()

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        asked.append(len(tiles))
        logits = np.zeros((len(tiles), len(LABELS)))
        logits[:, LABELS.index("clean")] = 9
        return Predictions(logits)

    pixels = np.random.default_rng(1).integers(60, 190, (400, 400)).astype(np.uint8)
    inspect_frame(make_frame(pixels=pixels), classify, InspectRules(TilingRules(200), decision_rules(looks=2)))

    assert asked == [4]


def test_two_labels_all_over_a_large_frame_take_little_memory() -> None:
    """Two labels on 4,000 overlapping tiles are compared within 20 MiB."""
    places = [Box(x * 100, y * 100, 200, 200) for y in range(40) for x in range(100)]
    verdicts = [verdict("rust" if number % 2 else "hole") for number in range(len(places))]
    tracemalloc.start()
    try:
        (defect,) = merge_tiles(places, verdicts, EQUALLY_SEVERE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(places) == defect.tiles
    assert peak < 20 << 20


class Lopsided:
    """A network to which a tile whose first pixel is 9 is clean, and another a crack as far as `by_corner` says."""

    def __init__(self, by_corner: Mapping[int, float], far: float = 0.0) -> None:
        self._by_corner, self._far = by_corner, far
        self.seen: list[int] = []

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        self.seen.append(len(tiles))
        logits = np.zeros((len(tiles), len(LABELS)))
        for row, tile in enumerate(tiles):
            corner = int(tile[0, 0])
            logits[row, LABELS.index(CLEAN)] = 6.0 if corner == 9 else 2.0
            logits[row, LABELS.index("crack")] = self._by_corner.get(corner, 0.0)
        return Predictions(logits, np.full((len(tiles), 2), self._far))


PLAIN = np.full((2, 2), 9, np.uint8)
DOUBTFUL = np.array([[10, 20], [30, 40]], np.uint8)
"""Its first pixel is 10; in its mirror images 20, 30 and 40."""


@pytest.mark.parametrize(
    ("by_corner", "expected"),
    [
        pytest.param({10: 5, 20: 5, 30: 5, 40: 5}, ("crack", 0.9405), id="the same in every mirror: as before"),
        pytest.param({10: 5, 20: 2, 30: 2, 40: 2}, ("unknown", 0.6249), id="seen upright alone: no defect"),
        pytest.param({10: 3, 20: 3, 30: 6, 40: 6}, ("crack", 0.9055), id="too weak upright, strong in its mirrors"),
        pytest.param({10: 1, 20: 6, 30: 6, 40: 6}, ("crack", 0.9249), id="clean leads upright, yet not surely"),
    ],
)
def test_a_tile_is_looked_at_again_before_it_is_a_defect(
    by_corner: dict[int, float], expected: tuple[str, float]
) -> None:
    """The mean logit of the tile and its three mirror images decides; a clean tile is scored once."""
    network = Lopsided(by_corner)
    predictions, (plain, doubtful) = judge_tiles([PLAIN, DOUBTFUL], network, decision_rules(looks=4))

    assert network.seen == [2, 3]
    assert plain.label == CLEAN
    assert (doubtful.label, doubtful.score) == expected
    assert predictions.logits[1, 0] == sum(by_corner.values()) / 4


@pytest.mark.parametrize(
    ("case", "changes", "far"),
    [
        ("the bundle, or decision.second_look = false, wants one look", {"looks": 1}, 0.0),
        (
            "a tile that is like nothing known is unknown whatever its mirrors say",
            {"looks": 4, "distance": one_space(np.zeros((1, 2))), "unknown_threshold": 1.0},
            5.0,
        ),
    ],
)
def test_one_look_is_enough(case: str, changes: dict[str, Any], far: float) -> None:
    """Nothing is scored twice where it could not change the verdict."""
    network = Lopsided({}, far)
    judge_tiles([PLAIN, DOUBTFUL], network, decision_rules(**changes))

    assert network.seen == [2]


def test_looking_again_holds_few_tiles_at_a_time() -> None:
    """A frame of 2,500 doubtful tiles is scored again in parts, takes a few tiles' memory, and no row goes astray."""
    pixels = np.random.default_rng(4).integers(60, 190, (2000, 2000)).astype(np.uint8)
    most = 0

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        nonlocal most
        most = max(most, len(tiles)) if len(tiles) < 2500 else most
        logits = np.zeros((len(tiles), len(LABELS)))
        logits[:, 0] = [1 + int(tile.min()) % 7 for tile in tiles]  # the same for a tile and its mirror images
        return Predictions(logits)

    once = decision_rules()
    tracemalloc.start()
    inspection = inspect_frame(
        make_frame(pixels=pixels), classify, InspectRules(TilingRules(40), replace(once, looks=4))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most == 3 * LOOKED_AT_ONCE
    assert peak < 12 * 2**20
    assert (
        inspection.verdicts
        == inspect_frame(make_frame(pixels=pixels), classify, InspectRules(TilingRules(40), once)).verdicts
    )


def test_nothing_to_look_at_is_nothing_to_look_at_again() -> None:
    """A frame whose region of interest holds no tile asks the network once and finds nothing."""
    predictions, verdicts = judge_tiles([], PaintedClassifier(), decision_rules(looks=4))

    assert (len(predictions.logits), verdicts) == (0, [])
