"""The distance behind `unknown`: nearest place, length 1, the space that sees a tile farthest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.inspection.distance import FeatureDistance, Space


def test_it_is_to_the_nearest_place_after_whitening() -> None:
    """Distances are Euclidean after whitening, to the nearest place."""
    space = Space(0, np.array([[0.0, 0.0], [10.0, 0.0]]), np.diag([0.5, 2.0]))

    assert space(np.array([[4.0, 1.0], [9.0, 0.0]])).tolist() == pytest.approx([math.hypot(2.0, 2.0), 0.5])


def test_a_group_of_length_1_says_what_shows_and_not_how_strongly() -> None:
    """Each group is divided by its own length; features outside keep theirs; the caller's row too."""
    space = Space(1, np.array([[0.6, 0.8, 1.0, 0.0, 5.0]]), np.eye(5), ((0, 2), (2, 4)))
    row = np.array([[99.0, 3.0, 4.0, 7.0, 0.0, 5.0]])
    before = row.copy()

    assert space(row)[0] == pytest.approx(0, abs=1e-7)
    assert space(row * [1, 9, 9, 0.1, 0.1, 1])[0] == pytest.approx(0, abs=1e-7)
    assert space(row + np.array([0, 0, 0, 0, 0, 2]))[0] == pytest.approx(2)
    assert np.array_equal(before, row)


def test_a_group_that_is_all_zero_has_a_distance() -> None:
    """A black tile may leave nothing behind a ReLU: far, not NaN."""
    space = Space(0, np.array([[1.0, 0.0]]), np.eye(2), ((0, 2),))

    assert space(np.zeros((1, 2)))[0] == pytest.approx(1)


def test_the_space_that_sees_a_tile_farthest_counts() -> None:
    """The largest distance over the spaces, whose features lie one behind the other."""
    distance = FeatureDistance((Space(0, np.zeros((1, 2)), np.eye(2)), Space(2, np.zeros((1, 1)), np.eye(1))))

    assert distance.width == 3
    assert distance(np.array([[3.0, 4.0, 1.0], [3.0, 4.0, 9.0]])).tolist() == pytest.approx([5, 9])


def test_no_tiles_have_no_distances() -> None:
    """A frame without tiles gives an empty row, not an error."""
    assert FeatureDistance((Space(0, np.zeros((1, 2)), np.eye(2)),))(np.zeros((0, 2))).shape == (0,)


@given(st.integers(1, 30), st.integers(0, 30))
def test_which_tiles_stand_beside_it_changes_nothing(count: int, cut: int) -> None:
    """Bit for bit, whatever the frame: workers may share its tiles as they like."""
    rng = np.random.default_rng(count)
    space = Space(0, rng.normal(0, 1, (56, 40)), rng.normal(0, 1, (40, 40)), ((0, 20), (20, 40)))
    rows = rng.normal(0, 1, (count, 40))

    assert np.array_equal(space(rows), np.concatenate([space(rows[:cut]), space(rows[cut:])]))


def test_it_is_the_textbook_distance() -> None:
    """The expanded square agrees with the plain one for places far from the origin."""
    rng = np.random.default_rng(6)
    means, whitening = rng.normal(0.1, 0.02, (56, 30)), rng.normal(0, 300, (30, 30))
    rows = rng.normal(0.1, 0.02, (9, 30))
    plain = np.linalg.norm((rows[:, None] - means) @ whitening, axis=2).min(axis=1)

    assert Space(0, means, whitening)(rows) == pytest.approx(plain, rel=1e-9)
