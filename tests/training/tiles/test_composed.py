"""`training.tiles.composed`: what a window shows, and where."""

from __future__ import annotations

import numpy as np
import pytest
from pieces import BOX, picture

from inspector.box import Box
from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels
from training.data.dataset import LabelledBox, Picture
from training.tiles.composed import (
    Placed,
    compose_strip,
    composed_tiles,
    cut_picture_tiles,
    find_cutouts,
    label_of_window,
)

WINDOW = Box(0, 0, 200, 200)


def composed_from() -> tuple[list[Picture], list[Pixels]]:
    """Return one picture with one inclusion on clean ground."""
    pixels = draw_tile("clean", 5, 200)
    pixels[20:90, 20:60] -= 14
    return [picture(boxes=(BOX,))], [pixels]


@pytest.mark.parametrize(
    ("case", "placed", "expected"),
    [
        ("nothing near", [], "clean"),
        ("far away", [Placed("scratches", Box(300, 0, 50, 50), "g")], "clean"),
        ("whole", [Placed("scratches", Box(50, 50, 50, 50), "g")], "scratches"),
        ("half of it", [Placed("scratches", Box(175, 50, 50, 50), "g")], "scratches"),
        ("a sliver", [Placed("scratches", Box(196, 50, 50, 50), "g")], None),
        ("its blended rim", [Placed("scratches", Box(203, 50, 50, 50), "g")], None),
        ("a tenth that fills much of the tile", [Placed("crazing", Box(140, -100, 600, 300), "g")], "crazing"),
        (
            "one large, one small",
            [Placed("crazing", Box(0, 0, 150, 150), "g"), Placed("scratches", Box(160, 160, 30, 30), "g")],
            "crazing",
        ),
        (
            "two alike",
            [Placed("crazing", Box(0, 0, 90, 90), "g"), Placed("scratches", Box(100, 100, 90, 90), "g")],
            None,
        ),
    ],
)
def test_what_a_window_shows(case: str, placed: list[Placed], expected: str | None) -> None:
    """A window has a defect's label, is clean, or is left out where a person would not be sure."""
    assert label_of_window(placed, WINDOW) == expected


def test_a_cutout_lands_where_it_says() -> None:
    """The placed box holds the defect's pixels, the rest of the strip stays as it was, foreign boxes are not cut."""
    pixels = np.full((200, 200), 110, np.uint8)
    pixels[20:90, 20:60] = 20
    foreign = LabelledBox("patches", 120, 120, 180, 180)
    cutouts = find_cutouts(picture(boxes=(BOX, foreign)), pixels)
    field = np.full((400, 400), 180, np.uint8)
    strip = compose_strip(field, "g", cutouts, 50, np.random.default_rng(3))

    assert [cutout.label for cutout in cutouts] == ["inclusion"]
    (placed,) = strip.placed
    box = placed.box
    assert (box.width, box.height) == (40, 70)
    assert strip.pixels[box.y + 15 : box.bottom - 15, box.x + 15 : box.right - 15].max() < 120
    outside = np.ones(field.shape, bool)
    outside[box.y - 8 : box.bottom + 8, box.x - 8 : box.right + 8] = False
    assert (strip.pixels[outside] == 180).all()


def test_composed_tiles_are_the_same_again_and_hold_both_kinds() -> None:
    """The same seed gives the same tiles; clean and cut ones come as many as asked."""
    pictures, pixels = composed_from()
    first, again = (composed_tiles(pictures, pixels, clean=6, cut=4, tile_px=200, seed=2) for _ in range(2))

    assert sorted(first.labels) == ["clean"] * 6 + ["inclusion"] * 4
    assert all(np.array_equal(a, b) for a, b in zip(first.pixels, again.pixels, strict=True))
    assert {tile.shape for tile in first.pixels} == {(200, 200)}


def test_composed_tiles_know_where_their_defect_shows() -> None:
    """A cut tile's boxes lie inside it and show its own label; a clean one has none."""
    pictures, pixels = composed_from()
    tiles = composed_tiles(pictures, pixels, clean=4, cut=8, tile_px=200, seed=3)

    for label, boxes in zip(tiles.labels, tiles.boxes, strict=True):
        assert bool(boxes) == (label != "clean")
        assert all(0 <= b.x < b.right <= 200 and 0 <= b.y < b.bottom <= 200 for b in boxes)


def test_cut_pictures_show_a_part_of_a_defect_and_its_place() -> None:
    """Two windows in three show a part of a picture with its box, one clean surface on another; seeded."""
    pictures, pixels = composed_from()
    first, again = (cut_picture_tiles(pictures, pixels, 8, 200, seed=4) for _ in range(2))

    assert first.labels.count("inclusion") >= 5
    assert first.labels.count("clean") == 8 - first.labels.count("inclusion") >= 2
    assert all(np.array_equal(a, b) for a, b in zip(first.pixels, again.pixels, strict=True))
    for tile, label, boxes in zip(first.pixels, first.labels, first.boxes, strict=True):
        assert tile.shape == (200, 200)
        assert bool(boxes) is (label == "inclusion")
        assert all(box.x >= 0 and box.y >= 0 and box.right <= 200 and box.bottom <= 200 for box in boxes)
    assert set(first.groups) <= {picture.group for picture in pictures} | {"artificial"}


def test_without_boxes_no_picture_is_cut() -> None:
    """A user's pictures say nowhere where their defect lies, so a part of one could show none."""
    pixels = np.zeros((200, 200), np.uint8)

    assert len(cut_picture_tiles([picture(boxes=())], [pixels], 8, 200, seed=4)) == 0
