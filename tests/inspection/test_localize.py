"""A defect's box is around what is hot in its map, and inside its tile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inspector.box import Box
from inspector.inspection.localize import locate, locate_far

TILE = Box(400, 200, 200, 200)
MAPS = arrays(np.int8, st.tuples(*[st.integers(1, 9)] * 2, st.just(3)), elements=st.integers(-128, 127))
WINDOWS = st.builds(Box, *[st.integers(0, 5000)] * 2, *[st.integers(1, 400)] * 2)


def map_of(*hot: tuple[int, int], side: int = 8, height: int = 60) -> npt.NDArray[np.int8]:
    """Two labels' maps (1, side, side, 2), the first one hot in these cells (x, y)."""
    cam = np.full((1, side, side, 2), -60, np.int8)
    for x, y in hot:
        cam[0, y, x, 0] = height
    return cam


def mirrored(box: Box, window: Box) -> Box:
    """Where the box lies when the window is seen in a mirror: across, then along."""
    return Box(
        2 * window.x + window.width - box.right, 2 * window.y + window.height - box.bottom, box.width, box.height
    )


def test_the_box_is_around_the_hot_cell() -> None:
    """A tile of 200 px has cells of 25: the box is the hot one and a part of the next ones, as much on every side."""
    (box,) = locate(map_of((2, 5)), [0], [TILE])

    assert Box(450, 325, 25, 25).shared_px(box) == 25 * 25
    assert Box(425, 300, 75, 75).shared_px(box) == box.area_px
    assert 450 - box.x == 325 - box.y == box.right - 475 == box.bottom - 350


def test_everything_hot_is_in_the_box() -> None:
    """Two spots of one label are one box; a spot half as hot as them does not reach it, nor another label's."""
    cam = map_of((1, 1), (6, 2))
    cam[0, 7, 7, 0], cam[0, 0, 4, 1] = -40, 90
    (box,) = locate(cam, [0], [TILE])

    assert Box(425, 225, 25, 25).shared_px(box) == Box(550, 250, 25, 25).shared_px(box) == 25 * 25
    assert box.bottom <= 325
    assert box.y > 200


@pytest.mark.parametrize("height", [-60, -45, -30])
def test_a_map_that_is_raised_everywhere_gives_the_tile(height: int) -> None:
    """The label leads by 20 steps on average, and its map's highest place is not twice as far above its mean."""
    cam = np.full((1, 8, 8, 2), -60, np.int8)
    cam[:, :, :, 1] = -80
    cam[0, 3, 3, 0] = height

    assert locate(cam, [0], [TILE]) == [TILE]


def test_a_label_that_does_not_lead_its_map_has_a_box_too() -> None:
    """The mean of four looks may decide otherwise than the map of the first."""
    cam = map_of((2, 5))
    cam[:, :, :, 1] = 100

    assert locate(map_of((2, 5)), [0], [TILE]) == locate(cam, [0], [TILE])


@given(MAPS, WINDOWS, st.integers(0, 2))
def test_the_box_lies_in_its_window_over_the_hottest_cell(cam: npt.NDArray[np.int8], window: Box, label: int) -> None:
    """Whatever the map: at least a pixel, none outside, and all of the cell (whole pixels outwards) where it peaks."""
    (box,) = locate(cam[None], [label], [window])
    y, x = np.unravel_index(cam[:, :, label].argmax(), cam.shape[:2])
    middle = Box(
        window.x + (2 * int(x) + 1) * window.width // (2 * cam.shape[1]),
        window.y + (2 * int(y) + 1) * window.height // (2 * cam.shape[0]), 1, 1,
    )  # fmt: skip

    assert box.area_px == box.shared_px(window) > 0
    assert middle.shared_px(box) == 1


@given(MAPS, WINDOWS, st.integers(0, 2))
def test_a_mirrored_tile_has_a_mirrored_box(cam: npt.NDArray[np.int8], window: Box, label: int) -> None:
    """No side is preferred."""
    (box,) = locate(cam[None], [label], [window])

    assert [mirrored(box, window)] == locate(cam[None, ::-1, ::-1], [label], [window])


@given(arrays(np.int8, (8, 8, 3), elements=st.integers(-40, 40)), st.integers(1, 3), st.integers(-8, 7))
def test_steps_and_zero_of_the_quantization_do_not_matter(cam: npt.NDArray[np.int8], step: int, zero: int) -> None:
    """The same map in other steps is the same box, to the pixel."""
    other = (cam.astype(int) * step + zero).astype(np.int8)

    assert locate(cam[None], [0], [TILE]) == locate(other[None], [0], [TILE])


def test_many_tiles_are_many_single_ones() -> None:
    """However many there are at once, each has the box that it has alone."""
    rng = np.random.default_rng(3)
    cam = rng.integers(-128, 128, (150, 8, 8, 4)).astype(np.int8)
    labels, windows = rng.integers(0, 4, 150).tolist(), [TILE.moved(dx=n) for n in range(150)]
    alone = [locate(cam[n : n + 1], labels[n : n + 1], windows[n : n + 1])[0] for n in range(150)]

    assert alone == locate(cam, labels, windows)
    assert locate(cam[:0], [], []) == []


@pytest.mark.parametrize(
    ("far", "expected"),
    [
        pytest.param({(2, 3): 9.0}, Box(130, 220, 10, 10), id="one place"),
        pytest.param({(2, 3): 9.0, (5, 5): 4.6, (3, 7): 4.4}, Box(130, 220, 30, 40), id="half of the farthest counts"),
        pytest.param({(2, 3): 4.2, (5, 5): 3.9}, Box(130, 220, 10, 10), id="what is not beyond the limit does not"),
        pytest.param({(2, 3): 3.0, (2, 4): 2.9}, Box(130, 220, 10, 10), id="nothing beyond it: the farthest"),
        pytest.param({}, Box(100, 200, 80, 80), id="the same everywhere: the whole tile"),
    ],
)
def test_the_box_of_something_strange(far: dict[tuple[int, int], float], expected: Box) -> None:
    """It is drawn around the places beyond the limit (4) that reach half of the farthest, inside the tile."""
    heat = np.ones((2, 8, 8))
    for place, distance in far.items():
        heat[(1, *place)] = distance

    assert locate_far(heat, 4.0, [Box(0, 0, 80, 80), Box(100, 200, 80, 80)])[1] == expected
