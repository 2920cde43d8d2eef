"""`training.tiles.mills`: which tiles of a surface are clean, marked, or left out, and what belongs together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from inspector.box import Box
from inspector.labels import CLEAN
from training.tiles.marked import MarkedFrame
from training.tiles.mills import MILLS, cut_mill, label_of_tile, load_mill


def frame(mark: tuple[int, int, int, int] | None, black: int = 0) -> MarkedFrame:
    """400 x 200 px of grey with one mark (left, top, right, bottom) and black columns at the left."""
    pixels, marks = np.full((200, 400), 90, np.uint8), np.zeros((200, 400), np.int32)
    pixels[:, :black] = 3
    if mark is not None:
        left, top, right, bottom = mark
        marks[top:bottom, left:right] = 1
    return MarkedFrame(pixels, "g", marks, ("dents",) if mark else ())


@pytest.mark.parametrize(
    ("mark", "black", "expected"),
    [
        pytest.param(None, 0, CLEAN, id="nothing marked"),
        pytest.param((50, 50, 60, 60), 0, "dents", id="a small mark inside"),
        pytest.param((190, 50, 230, 60), 0, "dents", id="a quarter of it"),
        pytest.param((192, 50, 232, 60), 0, None, id="less than a quarter"),
        pytest.param((180, 0, 400, 200), 0, "dents", id="a sixteenth of the tile"),
        pytest.param((203, 50, 230, 60), 0, None, id="beside it, too near"),
        pytest.param((205, 50, 230, 60), 0, CLEAN, id="far enough"),
        pytest.param(None, 9, CLEAN, id="a little black"),
        pytest.param(None, 12, None, id="the strip's edge"),
        pytest.param((50, 50, 60, 60), 12, "dents", id="marked beside the edge"),
    ],
)
def test_a_tile_is_clean_marked_or_left_out(
    mark: tuple[int, int, int, int] | None, black: int, expected: str | None
) -> None:
    """What a person would not be sure of is neither clean nor marked."""
    shown = frame(mark, black)
    totals = np.bincount(shown.marks.ravel(), minlength=2)

    assert label_of_tile(shown, Box(0, 0, 200, 200), totals) == expected


def test_low_frames_give_squares_and_large_ones_tiles_of_the_bundle() -> None:
    """A band of 128 rows is cut into squares of 128 px, a frame of 400 px into tiles of 200."""
    low = MarkedFrame(np.full((128, 400), 90, np.uint8), "a", np.zeros((128, 400), np.int32), ())
    mill = cut_mill("some", iter([low, frame(None)]), 200)

    assert [tile.shape for tile in mill.tiles] == [(128, 128)] * 4 + [(200, 200)] * 2
    assert (mill.groups, mill.frames) == (["a"] * 4 + ["g"] * 2, [0] * 4 + [1] * 2)
    assert mill.geometry == "tiles of 128 to 200 px, as the daemon cuts"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "clean", "marked", "groups"),
    [("severstal", 473, 171, 46), ("gc10", 1317, 532, 201), ("commutators", 1322, 16, 8)],
)
def test_surfaces_are_read_as_their_readmes_say(
    name: str, clean: int, marked: int, groups: int, data_folder: Path
) -> None:
    """Tiles, and groups that share a surface."""
    mill = load_mill(name, data_folder, 200)
    counts = Counter(label == CLEAN for label in mill.labels)

    assert name in MILLS
    assert (counts[True], counts[False], len(set(mill.groups))) == (clean, marked, groups)
