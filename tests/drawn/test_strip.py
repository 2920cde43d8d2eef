"""The drawn strip: the same however it is cut into frames, with defects apart from each other at the told places."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.drawn.pasted import open_strip, read_tiles
from inspector.drawn.spec import KINDS, DrawnDefect, StripSpec
from inspector.drawn.strip import Strip
from inspector.drawn.tiles import draw_cut_tile, draw_tile
from inspector.errors import ConfigError
from inspector.labels import CLEAN

DEMO_LINES = 60_000
"""What passes in 15 s at 2 m/s and 0.5 mm a line."""
TILE_PX = 200
STRIP = Strip(StripSpec(seed=77))


def gap_px(a: DrawnDefect, b: DrawnDefect) -> int:
    """Distance of two boxes along the axis on which they lie further apart."""
    across = max(a.box.x, b.box.x) - min(a.box.right, b.box.right)
    along = max(a.box.y, b.box.y) - min(a.box.bottom, b.box.bottom)
    return max(across, along)


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(st.integers(0, 3000), st.integers(2**33, 2**33 + 3000)),
    st.lists(st.integers(1, 330), min_size=1, max_size=5),
)
def test_slicing_changes_nothing(first: int, counts: list[int]) -> None:
    """Lines are the same pixels whatever frames they come in, also after weeks of strip."""
    whole = STRIP.lines(first, sum(counts))
    starts = [first + sum(counts[:number]) for number in range(len(counts))]

    assert np.array_equal(whole, np.vstack([STRIP.lines(start, n) for start, n in zip(starts, counts, strict=True)]))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30_000), st.integers(1, 4000))
def test_defects_of_a_range_are_those_whose_box_has_a_line_in_it(first: int, count: int) -> None:
    """Asking for a piece of strip gives what asking for all of it gives there."""
    inside = [one for one in STRIP.defects(0, 40_000) if one.box.y < first + count and one.box.bottom > first]

    assert inside == STRIP.defects(first, count)


def test_the_same_seed_draws_the_same_strip_and_another_seed_another() -> None:
    """A strip is its seed."""
    again, other = Strip(StripSpec(seed=77)), Strip(StripSpec(seed=78))

    assert np.array_equal(STRIP.lines(900, 300), again.lines(900, 300))
    assert STRIP.defects(0, 9000) == again.defects(0, 9000)
    assert not np.array_equal(STRIP.lines(900, 300), other.lines(900, 300))
    assert STRIP.defects(0, 9000) != other.defects(0, 9000)


def test_the_demo_shows_enough_defects_of_every_kind() -> None:
    """At least 60 defects pass in 15 s at 2 m/s, each of the six kinds among them, each under its own number."""
    drawn = open_strip(0, None, None).defects(0, DEMO_LINES)

    assert len(drawn) >= 60
    assert {one.label for one in drawn} == set(KINDS)
    assert len({one.ordinal for one in drawn}) == len(drawn)


@pytest.mark.parametrize("seed", [0, 77])
def test_no_tile_sees_two_defects(seed: int) -> None:
    """Any two boxes are at least a tile apart, and each box lies on the strip."""
    strip = Strip(StripSpec(seed))
    drawn = strip.defects(0, DEMO_LINES)
    near = [(a, b) for number, a in enumerate(drawn) for b in drawn[number + 1 : number + 12]]

    assert min(gap_px(a, b) for a, b in near) >= TILE_PX
    assert all(one.box.x >= 0 and one.box.right <= strip.spec.width_px and one.box.y >= 0 for one in drawn)


@pytest.mark.parametrize("label", [*KINDS, CLEAN])
def test_a_tile_is_its_seed(label: str) -> None:
    """A tile has the asked size, and is fixed by label and seed."""
    tile = draw_tile(label, 5)

    assert (tile.shape, tile.dtype) == ((200, 200), np.dtype(np.uint8))
    assert np.array_equal(tile, draw_tile(label, 5))
    assert not np.array_equal(tile, draw_tile(label, 6))
    assert draw_tile(label, 5, 128).shape == (128, 128)


@pytest.mark.parametrize("label", KINDS)
def test_a_cut_tile_shows_its_defect_in_part(label: str) -> None:
    """At least the asked share of the defect is in the tile, and not all of it where it can be cut."""
    shares = [draw_cut_tile(label, seed, min_visible=0.3)[1] for seed in range(8)]

    assert all(0.3 <= share <= 1 for share in shares)
    assert min(shares) < 0.95


def test_pictures_are_pasted_whole() -> None:
    """With pictures the strip shows these and nothing else: each box is one of them, unchanged but for its rim."""
    rng = np.random.default_rng(3)
    tiles = {label: [rng.integers(0, 256, (200, 200), dtype=np.uint8)] for label in ("dent", "rust")}
    strip = Strip(StripSpec(seed=4), tiles)
    drawn = strip.defects(0, 12_000)

    assert {one.label for one in drawn} == {"dent", "rust"}
    for one in drawn:
        box = one.box
        shown = strip.lines(box.y, box.height)[:, box.x : box.right]
        assert np.array_equal(shown[16:-16, 16:-16], tiles[one.label][0][16:-16, 16:-16])


def test_pictures_are_read_by_folder(tmp_path: Path) -> None:
    """Every folder is a label, `clean` and other files left out; a large picture is brought to the size of a tile."""
    for name, side in (("dent/a.png", 200), ("dent/b.bmp", 900), ("clean/c.png", 200)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((side, side), 90, np.uint8))
    (tmp_path / "dent" / "notes.txt").write_text("no picture")

    assert {label: [tile.shape for tile in tiles] for label, tiles in read_tiles(tmp_path).items()} == {
        "dent": [(200, 200), (200, 200)]
    }


@pytest.mark.parametrize("name", ["empty", "broken"])
def test_a_folder_without_pictures_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """No picture, or one that is none, is an error that names the place."""
    if name == "broken":
        (tmp_path / "dent").mkdir()
        (tmp_path / "dent" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")

    with pytest.raises(ConfigError, match=r"source\.images.*" + ("a.png" if name == "broken" else tmp_path.name)):
        read_tiles(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"width_px": 250}, {"mm_per_px": 0}], ids=["seed", "too narrow", "no scale"]
)
def test_an_impossible_strip_is_refused(wrong: dict[str, int]) -> None:
    """A strip that cannot be drawn cannot be specified."""
    with pytest.raises(ConfigError, match="a strip needs"):
        StripSpec(**wrong)


@pytest.mark.parametrize("label", KINDS)
def test_a_defect_lies_exactly_in_its_box(label: str) -> None:
    """Outside the boxes the strip is the clean strip; each side of a box has a changed pixel nearby."""
    strip, clean = Strip(StripSpec(seed=77)), Strip(StripSpec(seed=77, defects_per_m=0))
    drawn = strip.defects(0, 9000)
    box = next(one.box for one in drawn if one.label == label)
    first, count = max(0, box.y - 40), box.height + 80
    change = np.abs(strip.lines(first, count).astype(np.int16) - clean.lines(first, count))
    for one in strip.defects(first, count):
        there = one.box.moved(dy=-first)
        part = change[max(0, there.y) : max(0, there.bottom), there.x : there.right]
        if one.box == box:
            ys, xs = np.nonzero(part >= 3)
            assert ys.min() <= 8
            assert xs.min() <= 8
            assert part.shape[0] - ys.max() <= 8
            assert part.shape[1] - xs.max() <= 8
        part[:] = 0

    assert not change.any()


@pytest.mark.parametrize("spec", [StripSpec(0), StripSpec(9, 1000, 0.4, 1.4), StripSpec(9, 2600, 0.5, 7.0)], ids=str)
def test_tiles_of_two_defects_never_touch(spec: StripSpec) -> None:
    """Boxes are two tiles apart: wherever the grid lies, a whole tile is between the tiles of one and of the other."""
    drawn = Strip(spec).defects(0, 20_000)
    near = [(a, b) for number, a in enumerate(drawn) for b in drawn[number + 1 : number + 12]]

    assert min(gap_px(a, b) for a, b in near) >= 2 * spec.tile_px


def test_every_six_defects_show_the_six_kinds() -> None:
    """No kind is rare: each comes once before one comes again."""
    labels = [one.label for one in sorted(STRIP.defects(0, 12_000), key=lambda one: one.ordinal)]

    assert all(set(labels[number : number + 6]) == set(KINDS) for number in range(0, len(labels) - 5, 6))


def test_defects_that_would_touch_are_refused() -> None:
    """The message says how many fit."""
    with pytest.raises(ConfigError, match=r"at most 5\.\d+ a metre"):
        StripSpec(defects_per_m=9)
