"""`training.tiles.surfaces`: artificial surfaces."""

from __future__ import annotations

import numpy as np

from training.tiles.surfaces import ground_surface
from training.tiles.tile_set import texture_tiles


def test_ground_surfaces_have_streaks_one_way() -> None:
    """A ground surface changes more across its streaks than along them."""
    for seed in range(8):
        tile = ground_surface(128, np.random.default_rng(seed)).astype(float)[40:, 40:]
        across, along = sorted((np.abs(np.diff(tile, axis=0)).mean(), np.abs(np.diff(tile, axis=1)).mean()))[::-1]
        assert across > 1.1 * along


def test_textures_are_tiles_of_every_brightness() -> None:
    """Artificial surfaces differ in level, from dark to bright."""
    means = [float(tile.mean()) for tile in texture_tiles(40, 64, 3).pixels]

    assert min(means) < 80 < 150 < max(means)
