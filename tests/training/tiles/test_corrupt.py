"""`training.tiles.corrupt`: the corruption suite."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.drawn.tiles import draw_tile
from training.tiles.corrupt import ROUGH, SUITE, corrupted, roughened, spoil


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


@pytest.mark.parametrize("name", sorted(ROUGH))
def test_rough_pictures_are_seeded_and_keep_the_form(name: str) -> None:
    """The same seed gives the same pixels, of the same shape, and something has changed."""
    tile = draw_tile("scratches", 1, 200)
    first, again = (roughened(tile, name, 4) for _ in range(2))

    assert np.array_equal(first, again)
    assert first.shape == tile.shape
    assert first.dtype == np.uint8
    assert not np.array_equal(first, tile)


def test_what_is_spoilt_is_spoilt_in_every_way() -> None:
    """Seven ways come by lot; a lot decides way and strength."""
    tile = draw_tile("scratches", 1, 200)
    spoilt = [spoil(tile, np.random.default_rng(seed)) for seed in range(40)]

    assert all(np.array_equal(one, spoil(tile, np.random.default_rng(seed))) for seed, one in enumerate(spoilt))
    assert len({one.tobytes() for one in spoilt}) == len(spoilt)
    assert any((one == 0).any() and (one == 255).any() for one in spoilt)
