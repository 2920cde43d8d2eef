"""The distance as a picture: what is like the reference stays as it is, what is not glows at its place."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.box import Box
from inspector.heat import Heat, draw_heat

STEEL = np.full((60, 80), 90, np.uint8)


def heat(**places: float) -> Heat:
    """Two overlapping tiles of 40 px, 4 x 4 places each; `a12=9` is place (1, 2) of the first."""
    distances = np.zeros((2, 4, 4))
    for name, value in places.items():
        distances["ab".index(name[0]), int(name[1]), int(name[2])] = value
    return Heat((Box(0, 0, 40, 40), Box(20, 20, 40, 40)), distances, 4.0)


def redness(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[..., 2].astype(int) - pixels[..., 0])


@pytest.mark.parametrize("pixels", [pytest.param(STEEL, id="grey"), pytest.param(np.dstack([STEEL] * 3), id="colour")])
def test_steel_like_the_reference_stays_as_it_is(pixels: np.ndarray) -> None:
    """Up to half the limit nothing is drawn, and the frame's own pixels never change."""
    drawn = draw_heat(pixels, heat(a12=1.9, b00=2.0))

    assert np.array_equal(drawn, np.dstack([STEEL] * 3))


def test_the_place_that_is_far_glows() -> None:
    """The glow lies where the place does; the farther, the redder; without a tile there is none."""
    drawn = redness(draw_heat(STEEL, heat(a12=8.0, b33=4.0)))

    assert drawn[15, 25] > 100
    assert 0 < drawn[55, 55] < drawn[15, 25]
    assert not drawn[:, 62:].any()
    assert not drawn[45:, :18].any()
    assert (STEEL == 90).all()


def test_where_tiles_overlap_the_larger_distance_is_shown() -> None:
    """Whichever tile comes last."""
    one, other = draw_heat(STEEL, heat(a33=8.0)), draw_heat(STEEL, heat(a33=8.0, b11=3.0))

    assert redness(one)[35, 35] == redness(other)[35, 35]


def test_a_part_shows_what_the_whole_does() -> None:
    """A part is cut from the same drawing, but for the outline at its edge."""
    whole, part = draw_heat(STEEL, heat(a12=3.9)), draw_heat(STEEL, heat(a12=3.9), Box(10, 5, 40, 30))

    assert np.array_equal(whole[5:35, 10:50], part)
