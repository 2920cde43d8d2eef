"""How sure a figure is, and what it is over."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pytest

from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.predictions import Predictions
from training.data.dataset import LabelledBox, Picture
from training.judge.evaluate import clean_windows
from training.judge.gallery import Gallery
from training.judge.intervals import by_surface, cluster_bootstrap, share
from training.judge.measures import MeasuredModel, localisation, surface
from training.judge.report import write_report
from training.judge.strips import compose_benchmark, count_grounds
from training.tiles.composed import composed_tiles

GROUPS = [f"g{i}" for i in range(10) for _ in range(20)]


def drawn(number: int, box: LabelledBox, group: str) -> tuple[Picture, Pixels]:
    """Return a picture of one inclusion on clean steel."""
    pixels = draw_tile("clean", number, 200)
    pixels[box.y : box.bottom, box.x : box.right] -= 14
    return Picture(f"{number}.jpg", "inclusion", "validation", f"{number:064d}"[::-1], 200, 200, (box,), group), pixels


BOX = LabelledBox("inclusion", 20, 20, 60, 90)
PICTURES, PIXELS = zip(*(drawn(number, BOX, group) for number, group in ((5, "a"), (6, "a"), (7, "b"))), strict=True)


def test_alarms_of_one_surface_make_a_rate_less_sure_than_alarms_of_many() -> None:
    """Twenty of 200 tiles alarm: two of each surface, or all of one, of which Wilson's interval knows nothing."""
    spread, together = [i % 20 < 2 for i in range(200)], [i < 20 for i in range(200)]
    wilson = share(20, 200)
    even, one = cluster_bootstrap(spread, GROUPS), cluster_bootstrap(together, GROUPS)

    assert even == {"low": 0.1, "high": 0.1}
    assert one is not None
    assert one["low"] == 0.0 < wilson["low"] < wilson["high"] < one["high"] <= 0.4
    assert one == cluster_bootstrap(together, GROUPS)


@pytest.mark.parametrize("alarms", [pytest.param(0, id="none"), pytest.param(200, id="all")])
def test_where_no_draw_differs_there_is_no_interval(alarms: int) -> None:
    """An interval from 0 to 0 would say that it is certain."""
    hits = [i < alarms for i in range(200)]

    assert cluster_bootstrap(hits, GROUPS) is None
    assert cluster_bootstrap([True, False], ["one", "one"]) is None


def test_clean_tiles_tell_how_many_pictures_and_surfaces_they_are_of() -> None:
    """Four tiles of three pictures of two surfaces, one of which alarms."""
    row = by_surface([True, False, True, False], ["a", "a", "a", "b"], ["1", "1", "2", "3"])

    assert (row["pictures"], row["groups"]) == (3, 2)
    assert (row["groups_with_alarm"]["k"], row["groups_with_alarm"]["n"]) == (1, 2)
    assert row["bootstrap95"]["low"] < 0.5 < row["bootstrap95"]["high"]


def test_clean_windows_are_the_same_and_tell_their_picture() -> None:
    """As many and the same pixels as by group alone; three pictures of two groups, or the one that is not marked."""
    tiles, groups, pictures = clean_windows(PICTURES, PIXELS, 100, 60)
    same = composed_tiles(PICTURES, PIXELS, clean=60, cut=0, tile_px=100, seed=13)
    rules = DecisionRules(("inclusion", "clean"), 1.0, {"inclusion": 0.5}, {"inclusion": "major"}, 0.2)
    shown = tiles[0]
    model = MeasuredModel(lambda tiles: Predictions(np.array([[8.0 * (tile is shown), 4.0] for tile in tiles])), rules)
    row = surface(model, tiles, groups, pictures)

    assert groups == same.groups
    assert all(np.array_equal(one, other) for one, other in zip(tiles, same.pixels, strict=True))
    assert (row["surfaces"]["pictures"], row["surfaces"]["groups"], row["alarms"]["k"]) == (3, 2, 1)
    assert row["surfaces"]["groups_with_alarm"] == row["groups_with_alarm"]
    assert "surfaces" not in surface(model, tiles, groups)
    marked = {PICTURES[0].sha256[:16], PICTURES[2].sha256[:16]}
    assert set(clean_windows(PICTURES, PIXELS, 100, 60, marked)[2]) == {PICTURES[1].sha256[:16]}


def test_pointing_tells_what_is_left_out_and_what_chance_would_hit(tmp_path: Path) -> None:
    """A box of 40 x 70 px is 0.07 of its picture, 0.175 with 15 px around; one at the edge grows on two sides only."""
    edge, _ = drawn(8, LabelledBox("inclusion", 0, 0, 40, 70), "c")
    full, _ = drawn(9, LabelledBox("inclusion", 0, 0, 200, 100), "d")
    bare = Picture("bare.jpg", "inclusion", "validation", "", 200, 200, (), "e")
    rules = DecisionRules(("inclusion", "clean"), 1.0, {"inclusion": 0.5}, {"inclusion": "major"}, 0.2)
    model = MeasuredModel(
        lambda tiles: Predictions(np.zeros((len(tiles), 2)), cam=np.zeros((len(tiles), 4, 4, 2), np.int8)), rules
    )
    row = dict(localisation(model, [PICTURES[0], edge, full, bare], [PIXELS[0]] * 4))

    assert row["pointing_strict"]["n"] == 2
    assert row["left_out"] == {"boxes_cover_half_or_more": 1, "no_box": 1}
    assert row["pointing_strict_by_chance"] == 0.07
    assert row["pointing_within_tolerance_by_chance"] == round((70 * 100 + 55 * 85) / 2 / 40000, 4)
    page = write_report(tmp_path, "small", {"cam": row}, Gallery()).read_text()
    assert "<td>1, 1</td>" in page
    assert "<td>0.1459, 0.0700</td>" in page


def test_pictures_that_give_no_ground_are_counted_by_what_they_lack() -> None:
    """One has a box all over, one an unmarked speck; a crazing picture is not asked."""
    full, no_room = drawn(8, LabelledBox("inclusion", 5, 5, 195, 195), "c")
    specked, speck = drawn(9, BOX, "d")
    speck[150:156, 150:156] = 255
    crazing = Picture("crazing.jpg", "crazing", "validation", "", 200, 200, (BOX,), "e")
    grounds = count_grounds([*PICTURES, full, specked, crazing], [*PIXELS, no_room, speck, PIXELS[0]])

    assert grounds == {"pictures": 5, "give_ground": 3, "too_little_room": 1, "specks": 1}


def test_each_strip_knows_the_picture_of_its_ground() -> None:
    """Two pictures of one group are told apart."""
    strips = compose_benchmark(PICTURES, PIXELS, clean_strips=3)
    group_of = {picture.sha256[:16]: picture.group for picture in PICTURES}

    assert [group_of[strip.picture] for strip in strips] == [strip.group for strip in strips]
    assert {strip.picture for strip in strips} == set(group_of)


@pytest.mark.parametrize("alarms", [0, 1])
def test_the_report_says_what_clean_tiles_are_of(alarms: int, tmp_path: Path) -> None:
    """Pictures, groups that alarm, the interval over groups, and what was left out."""
    hits = [i < alarms for i in range(4)]
    row = {"alarms": share(alarms, 4), "surfaces": by_surface(hits, ["a", "a", "b", "b"], ["1", "2", "3", "3"])}
    grounds = {"pictures": 7, "give_ground": 3, "too_little_room": 3, "specks": 1}
    page = write_report(tmp_path, "small", {"clean": {"neu_held_out": row, "grounds": grounds}}, Gallery())
    text = html.unescape(page.read_text())

    assert f"<td>{alarms} of 2 = " in text
    assert "; 3 pictures</td>" in text
    assert ("<td>0.0000 to 0.5000</td>" if alarms else "<td>not to be told: none or all alarm</td>") in text
    assert "<td>3 of 7</td>" in text


def test_without_tiles_nothing_is_said() -> None:
    """No clean tile at all: no group, no interval."""
    assert by_surface([], [], []) == {
        "pictures": 0, "groups": 0, "groups_with_alarm": share(0, 0), "bootstrap95": None,
    }  # fmt: skip
