"""`training.tiles.generated`: seeds of their own."""

from __future__ import annotations

from training.tiles.generated import (
    EVALUATION_SEED,
    TRAIN_SEED,
    VALIDATION_SEED,
    generated_clean_tiles,
    generated_tiles,
)


def test_generated_tiles_never_share_a_seed_between_sides() -> None:
    """Training, validation and evaluation draw different pictures, and generated clean tiles are clean steel."""
    sides = [generated_tiles(12, 200, seed) for seed in (TRAIN_SEED, VALIDATION_SEED, EVALUATION_SEED)]

    assert len({tile.tobytes() for side in sides for tile in side.pixels}) == 36
    clean = generated_clean_tiles(10, 200, TRAIN_SEED, per_strip=5)
    assert clean.labels == ["clean"] * 10
    assert max(float(tile.std()) for tile in clean.pixels) < 12
