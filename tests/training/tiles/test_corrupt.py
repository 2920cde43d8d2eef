"""`training.tiles.corrupt`: the corruption suite."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.drawn.tiles import draw_tile
from training.tiles.corrupt import SUITE, corrupted


@pytest.mark.parametrize("name", sorted(SUITE))
@pytest.mark.parametrize("severity", [1, 2, 3])
def test_corruptions_are_seeded_and_keep_the_form(name: str, severity: int) -> None:
    """The same seed gives the same pixels, of the same shape, and something has changed."""
    tile = draw_tile("scratches", 1, 200)
    first, again = (corrupted(tile, name, severity, 4) for _ in range(2))

    assert np.array_equal(first, again)
    assert first.shape == tile.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, tile)
