"""The line benchmark judges what it says it judges: a strip whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.predictions import Predictions
from inspector.inspection.tiling import TilingRules
from training.judge.gallery import Gallery
from training.judge.line import run_benchmark
from training.judge.maps import hottest_place, off_by_px
from training.tiles.composed import ComposedStrip, Placed

LABELS = ("inclusion", "scratches", "clean")
RULES = InspectRules(
    TilingRules(200),
    DecisionRules(LABELS, 1.0, dict.fromkeys(LABELS[:2], 0.5), dict.fromkeys(LABELS[:2], "major"), 0.2),
)
STRIP = ComposedStrip(
    np.random.default_rng(0).normal(128, 10, (400, 600)).astype(np.uint8),
    (
        Placed("inclusion", Box(20, 20, 60, 100), "a"),  # all of it in tile 0
        Placed("scratches", Box(300, 300, 200, 20), "b"),  # half in tile 4, half in tile 5
    ),
    "ground",
)
"""Tiles 0 to 5, three in a row."""


def answer(named: Sequence[str], peaks: Sequence[tuple[int, int]]) -> Predictions:
    """Each tile's label, sure of it, and the cell (of 4 x 4) where its map is highest."""
    logits = np.array([[8.0 * (label == name) for label in LABELS] for name in named])
    cam = np.zeros((len(named), 4, 4, len(LABELS)), np.int8)
    for tile, (x, y) in enumerate(peaks):
        cam[tile, y, x, :] = 100
    return Predictions(logits, cam=cam)


@pytest.mark.parametrize(
    ("named", "found", "right", "covered", "false", "precision"),
    [
        pytest.param(
            ["inclusion", "clean", "clean", "clean", "scratches", "scratches"], 2, 2, 1.0, 0,
            {"inclusion": (1, 1), "scratches": (1, 1)}, id="all right",
        ),
        pytest.param(
            ["clean", "clean", "clean", "clean", "scratches", "clean"], 1, 1, 0.5, 0,
            {"inclusion": (0, 0), "scratches": (1, 1)}, id="one missed, one half covered",
        ),
        pytest.param(
            ["scratches", "clean", "inclusion", "clean", "scratches", "scratches"], 2, 1, 1.0, 1,
            {"inclusion": (0, 1), "scratches": (1, 2)}, id="one misnamed, one false",
        ),
    ],
)  # fmt: skip
def test_every_placed_defect_is_judged(
    named: list[str], found: int, right: int, covered: float, false: int, precision: dict[str, tuple[int, int]]
) -> None:
    """Found, named, covered, and what was published for nothing."""
    gallery = Gallery()
    row = run_benchmark([STRIP], lambda tiles: answer(named, [(0, 0)] * 6), RULES, gallery)

    assert (row["found"]["k"], row["found"]["n"]) == (found, 2)
    assert row["labelled_right"]["k"] == right
    assert row["localisation"]["covered_mean"] == covered
    assert (row["clean_tiles"]["k"], row["clean_tiles"]["n"]) == (false, 3)
    assert row["clean_surfaces"]["groups_with_alarm"] == row["clean_groups_with_false_alarm"]
    assert [each["k"] for each in row["clean_tiles_by_alarming_ground"].values()] == [false] * bool(false)
    assert {label: (each["k"], each["n"]) for label, each in row["precision_per_label"].items()} == precision
    rooms = {room.text.split()[0]: len(exhibits) for room, exhibits in gallery.rooms.items()}
    assert rooms == {room: count for room, count in (("Defects", 2 - found), ("Clean", false)) if count}


def test_grounds_with_marks_that_nobody_boxed_are_counted_and_also_left_out() -> None:
    """One of three clean tiles alarms; on a marked ground the figure beside it is over no tile at all."""
    named = ["inclusion", "clean", "inclusion", "clean", "scratches", "scratches"]

    def clean_tiles(*marked: str) -> dict[str, Any]:
        return run_benchmark([STRIP], lambda tiles: answer(named, [(0, 0)] * 6), RULES, Gallery(), marked)

    assert "clean_tiles_reviewed" not in clean_tiles()
    elsewhere, here = clean_tiles("another"), clean_tiles(STRIP.group)
    assert elsewhere["clean_tiles_reviewed"] == elsewhere["clean_tiles"] == here["clean_tiles"]
    assert (here["clean_tiles_reviewed"]["k"], here["clean_tiles_reviewed"]["n"]) == (0, 0)
    assert (elsewhere["clean_groups_reviewed"], here["clean_groups_reviewed"]) == (1, 0)


def test_what_chance_would_find_is_told() -> None:
    """Each strip's defects against the other's findings: two of three lie in alarming tiles, of other names."""
    other = ComposedStrip(STRIP.pixels[:, ::-1], (Placed("scratches", Box(50, 50, 100, 100), "c"),), "ground")
    named = [
        ["inclusion", "clean", "clean", "clean", "scratches", "scratches"],
        ["scratches", "clean", "clean", "clean", "clean", "clean"],
    ]
    calls = iter(named)
    row = run_benchmark([STRIP, other], lambda tiles: answer(next(calls), [(0, 0)] * 6), RULES, Gallery())
    alone = run_benchmark([STRIP], lambda tiles: answer(named[0], [(0, 0)] * 6), RULES, Gallery())

    assert (row["found"]["k"], row["found"]["n"]) == (3, 3)
    assert [(each["k"], each["n"]) for each in row["found_by_chance"].values()] == [(2, 3), (0, 3)]
    assert alone["found_by_chance"]["found"]["n"] == 0


@pytest.mark.parametrize(
    ("named", "matched"),
    [
        pytest.param(["scratches", "scratches"], (1, 1), id="one published, two drawn"),
        pytest.param(["scratches", "inclusion"], (2, 2), id="one each"),
        pytest.param(["inclusion", "scratches"], (2, 0), id="one each, misnamed"),
    ],
)
def test_a_published_defect_stands_for_one_drawn_defect_only(named: list[str], matched: tuple[int, int]) -> None:
    """Both defects are found in any case; one merged alarm over both is one pair."""
    placed = Placed("scratches", Box(20, 20, 100, 100), "a"), Placed("inclusion", Box(260, 20, 100, 100), "b")
    strip = ComposedStrip(STRIP.pixels[:200, :400], placed, "ground")
    row = run_benchmark([strip], lambda tiles: answer(named, [(0, 0)] * 2), RULES, Gallery())

    assert row["found"]["k"] == 2
    assert tuple(each["k"] for each in row["one_to_one"].values()) == matched
    assert {each["n"] for each in row["one_to_one"].values()} == {2}


def test_a_right_name_is_told_by_how_well_the_boxes_agree() -> None:
    """Defects of 0.4 and 0.18 of their tiles, which are the boxes that are published; a wrong name has no IoU."""
    placed = Placed("scratches", Box(0, 0, 200, 80), "a"), Placed("inclusion", Box(410, 0, 180, 40), "b")
    strip = ComposedStrip(STRIP.pixels[:200], placed, "ground")

    def right_at(*named: str) -> dict[str, int]:
        row = run_benchmark([strip], lambda tiles: answer(named, [(0, 0)] * 3), RULES, Gallery())
        assert {each["n"] for each in row["right_at_iou"].values()} == {2}
        return {least: each["k"] for least, each in row["right_at_iou"].items()}

    assert right_at("scratches", "clean", "inclusion") == {"0.1": 2, "0.3": 1, "0.5": 0}
    assert right_at("inclusion", "clean", "inclusion") == {"0.1": 1, "0.3": 0, "0.5": 0}


def test_another_view_of_a_marked_surface_counts_by_picture() -> None:
    """Two pictures of one group: the one with a mark, where a clean tile alarms, is left out, the other is not."""
    named = [["inclusion", "clean", "inclusion", "clean", "scratches", "scratches"], ["clean"] * 6]
    calls = iter(named * 2)

    def clean_tiles(*marked: set[str]) -> dict[str, Any]:
        strips = replace(STRIP, picture="first"), ComposedStrip(STRIP.pixels, (), STRIP.group, "second")
        return run_benchmark(strips, lambda tiles: answer(next(calls), [(0, 0)] * 6), RULES, Gallery(), *marked)

    row = clean_tiles({STRIP.group}, {"first"})
    assert (row["clean_tiles"]["k"], row["clean_tiles"]["n"], row["clean_tiles_reviewed"]["n"]) == (1, 9, 0)
    unmarked = row["clean_tiles_reviewed_pictures"]
    assert (unmarked["alarms"]["k"], unmarked["alarms"]["n"]) == (0, 6)
    assert (unmarked["surfaces"]["pictures"], row["clean_surfaces"]["pictures"]) == (1, 2)
    assert "clean_tiles_reviewed_pictures" not in clean_tiles()


def test_tiles_that_a_defect_only_touches_are_counted_apart() -> None:
    """Five pixels of a defect in the left tile: neither a clean nor a defect tile, and its alarm is told."""
    strip = ComposedStrip(STRIP.pixels[:200, :400], (Placed("scratches", Box(195, 20, 100, 100), "a"),), "ground")
    row = run_benchmark([strip], lambda tiles: answer(["scratches"] * 2, [(0, 0)] * 2), RULES, Gallery())

    assert (row["tiles_in_doubt"]["k"], row["tiles_in_doubt"]["n"]) == (1, 1)
    assert (row["clean_tiles"]["n"], row["defect_tiles_right"]["n"]) == (0, 1)
    assert "tiles_in_doubt" in row["protocol"]


def test_maps_are_judged_where_they_could_miss() -> None:
    """Three tiles show a defect and are led by its label; one map points into it, one beside, one elsewhere."""
    named = ["inclusion", "clean", "clean", "clean", "scratches", "scratches"]
    # The middle of cell (x, y) of a tile is at (50 x + 25, 50 y + 25); the scratches lie at y 100 to 120.
    peaks = [(1, 1), (0, 0), (0, 0), (0, 0), (2, 2), (3, 3)]
    row = run_benchmark([STRIP], lambda tiles: answer(named, peaks), RULES, Gallery())["localisation"]

    assert (row["cam_pointing"]["k"], row["cam_pointing"]["n"], row["cam_pointing_strict"]["k"]) == (2, 3, 1)


@pytest.mark.parametrize(
    ("peaks", "touched", "covered"),
    [
        pytest.param([(0, 0), (0, 0), (0, 0), (0, 0), (2, 2), (0, 2)], 2, (0.2, 0.8), id="in both"),
        pytest.param([(3, 3), (0, 0), (0, 0), (0, 0), (2, 2), (0, 2)], 1, (0.1, 0.5), id="in one, far from the other"),
    ],
)
def test_boxes_are_judged_apart_from_finding(
    peaks: list[tuple[int, int]], touched: int, covered: tuple[float, float]
) -> None:
    """What its tiles find is found; whether the box that was read from their maps touches it is told beside."""
    named = ["inclusion", "clean", "clean", "clean", "scratches", "scratches"]
    rules = replace(RULES, decision=replace(RULES.decision, box_from="cam"))
    row = run_benchmark([STRIP], lambda tiles: answer(named, peaks), rules, Gallery())
    place = row["localisation"]

    assert (row["found"]["k"], row["labelled_right"]["k"]) == (2, 2)
    assert (place["box_touches"]["k"], place["box_touches"]["n"]) == (touched, 2)
    assert covered[0] < place["covered_mean"] < covered[1]


def test_a_strip_that_the_daemon_refuses_is_passed_over() -> None:
    """A black strip is not inspected, so it has no tiles and no maps; the others are judged."""
    black = ComposedStrip(np.zeros((400, 400), np.uint8), (), "dark")
    named = ["inclusion", "clean", "clean", "clean", "scratches", "scratches"]
    row = run_benchmark([STRIP, black], lambda tiles: answer(named, [(1, 1)] * 6), RULES, Gallery())

    assert (row["found"]["k"], row["clean_tiles"]["n"]) == (2, 3)


def test_a_network_without_a_map_points_nowhere() -> None:
    """Older files have logits alone: nothing is counted."""

    def bare(tiles: Sequence[Pixels]) -> Predictions:
        return Predictions(answer(["clean"] * 6, [(0, 0)] * 6).logits)

    assert run_benchmark([STRIP], bare, RULES, Gallery())["localisation"]["cam_pointing"]["n"] == 0


def test_distance_is_along_the_farther_axis() -> None:
    """Nothing inside a box, else pixels to its edge; the nearest box counts."""
    box = Box(10, 20, 5, 5)

    assert off_by_px((10, 24), [box]) == 0
    assert off_by_px((15, 24), [box]) == 1
    assert off_by_px((3, 18), [box, Box(100, 100, 5, 5)]) == 7
    assert hottest_place(np.eye(3)[::-1] * [1, 2, 3]) == (2, 0)
