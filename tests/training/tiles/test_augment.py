"""`training.tiles.augment`: seeded changes, and the mask that moves with them."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.drawn.tiles import draw_tile
from inspector.model.bundle import SHIPPED, load_bundle
from training.recipe import Augment, load_recipe
from training.tiles.augment import augment, augment_marked, stretch, vary_clean


def test_augmentation_is_seeded_and_leaves_its_input_alone() -> None:
    """One seed, one result; the tile that came in is unchanged."""
    tile = draw_tile("crazing", 1, 200)
    before = tile.copy()
    rows = [augment(tile, np.random.default_rng((1, i)), Augment()) for i in (0, 0, 1)]

    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert np.array_equal(tile, before)
    assert all(row.flags.c_contiguous for row in rows)


@pytest.mark.parametrize("seed", range(6))
def test_the_mask_of_a_defect_moves_with_its_tile(seed: int) -> None:
    """Whatever turns, flips and shifts a tile, its mask lies on the same pixels."""
    tile = np.full((200, 200), 50, np.uint8)
    tile[30:70, 110:180] = 200
    moves = Augment(light=0, exposure=0, blur=0, noise=0, jpeg=0)
    changed, marked = augment_marked(tile, (tile == 200).astype(np.uint8) * 255, np.random.default_rng(seed), moves)

    assert marked is not None
    assert ((changed > 125) == (marked > 127)).mean() > 0.998
    assert np.array_equal(changed, augment(tile, np.random.default_rng(seed), moves))


@pytest.mark.parametrize("seed", range(4))
def test_a_rough_line_turns_the_mask_with_the_tile(seed: int) -> None:
    """At any angle the mask lies on the same pixels, but for those that a sensor spoils."""
    tile = np.full((200, 200), 50, np.uint8)
    tile[60:90, 80:150] = 200
    moves = Augment(light=0, exposure=0, blur=0, noise=0, jpeg=0, rough=1.0)
    changed, marked = augment_marked(tile, (tile == 200).astype(np.uint8) * 255, np.random.default_rng(seed), moves)

    assert marked is not None
    assert ((changed > 125) == (marked > 127)).mean() > 0.96
    assert len(np.unique(changed)) > 10


def test_without_a_rough_line_a_recipe_draws_what_it_always_drew() -> None:
    """Previous recipes learn the same: the setting changes neither lots nor digest while it is 0."""
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    tile = draw_tile("patches", 2, 200)

    assert np.array_equal(augment(tile, rng, Augment()), augment(tile, other, Augment(rough=0.0)))
    assert rng.random() == other.random()
    assert load_recipe("neu-fast").digest == load_bundle(SHIPPED / "neu-fast").card.training["digest"]


def test_a_clean_tile_is_mixed_and_stretched_without_an_edge() -> None:
    """Two even surfaces of one grey stay even, whatever is drawn; of two grains, something of both remains."""
    policy = Augment(clean_mix=1.0, clean_scale=2.0)
    even = np.full((64, 64), 90, np.uint8)
    for seed in range(8):
        assert np.ptp(vary_clean(even, even, np.random.default_rng(seed), policy)) == 0
    rows, columns = (np.indices((64, 64)) // 8 % 2 * 100 + 50).astype(np.uint8)
    mixed = vary_clean(rows, columns, np.random.default_rng(1), policy).astype(float)
    assert mixed.std(axis=0).mean() > 5
    assert mixed.std(axis=1).mean() > 5
    assert np.array_equal(vary_clean(rows, columns, np.random.default_rng(1), Augment()), rows)


def test_stretching_keeps_the_middle_and_the_grey_level() -> None:
    """A bar twice as wide after stretching across, as high as before; shrinking smooths before it samples."""
    tile = np.full((100, 100), 50, np.uint8)
    tile[40:60, 45:55] = 200
    wide = stretch(tile, 2.0, 1.0)

    assert np.count_nonzero(wide[50] > 125) == pytest.approx(20, abs=2)
    assert np.count_nonzero(wide[:, 50] > 125) == pytest.approx(20, abs=2)
    noise = np.random.default_rng(0).normal(128, 20, (100, 100)).astype(np.uint8)
    assert stretch(noise, 0.5, 0.5).std() < 0.8 * noise.std()
