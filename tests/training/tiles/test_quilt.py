"""`training.tiles.quilt`: ground that touches no box."""

from __future__ import annotations

import numpy as np
from pieces import BOX, picture

from training.data.dataset import LabelledBox
from training.tiles.quilt import BLOCK_PX, find_ground, quilt


def test_ground_touches_no_box_and_quilting_keeps_its_greys() -> None:
    """No block of ground holds a pixel of a box, and a quilted field holds only greys of the ground."""
    pixels = np.random.default_rng(0).integers(100, 120, (200, 200)).astype(np.uint8)
    pixels[20:90, 20:60] = 125
    ground = find_ground(picture(boxes=(BOX,)), pixels)

    assert ground is not None
    assert all(pixels[y : y + BLOCK_PX, x : x + BLOCK_PX].max() < 125 for y, x in ground.places)
    field = quilt(ground, 330, 450, np.random.default_rng(1))
    assert field.shape == (330, 450)
    assert 100 <= field.min() <= field.max() < 120
    assert np.array_equal(field, quilt(ground, 330, 450, np.random.default_rng(1)))


def test_a_picture_full_of_boxes_gives_no_ground() -> None:
    """Where boxes leave no room there is no clean steel."""
    full = LabelledBox("inclusion", 5, 5, 195, 195)

    assert find_ground(picture(boxes=(full,)), np.zeros((200, 200), np.uint8)) is None
