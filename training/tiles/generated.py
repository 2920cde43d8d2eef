"""Tiles of the product's own generator, under training's own seeds: the demo's strip must be read right as well.

No accuracy claim counts them. Seeds lie above `drawn.spec.TRAINING_SEEDS`, those of golden tiles above
`GOLDEN_SEEDS`; the demo's and the tests' lie below both.
"""

from __future__ import annotations

import numpy as np

from inspector.box import Box
from inspector.drawn.spec import KINDS, TRAINING_SEEDS, StripSpec
from inspector.drawn.strip import Strip
from inspector.drawn.tiles import draw_cut_tile, draw_tile
from inspector.labels import CLEAN
from training.tiles.tile_set import TileSet

TRAIN_SEED = TRAINING_SEEDS
VALIDATION_SEED = TRAINING_SEEDS + 300_000
EVALUATION_SEED = TRAINING_SEEDS + 600_000
LEAST_SHOWN = (0.15, 0.5)
"""Least share of a cut defect that its tile shows, drawn from this range."""
LINES = 1000


def generated_tiles(count: int, tile_px: int, seed: int) -> TileSet:
    """Return `count` drawn defect tiles, the six labels in turn; of each label's, half are cut by an edge."""
    rng = np.random.default_rng(seed)
    labels = [KINDS[i % len(KINDS)] for i in range(count)]
    pixels = []
    for number, label in enumerate(labels):
        if (number // len(KINDS)) % 2:
            pixels.append(draw_cut_tile(label, seed + number, tile_px, float(rng.uniform(*LEAST_SHOWN)))[0])
        else:
            pixels.append(draw_tile(label, seed + number, tile_px))
    return TileSet.of(pixels, labels, "generated", [f"generated-{seed + number}" for number in range(count)])


def generated_clean_tiles(count: int, tile_px: int, seed: int, per_strip: int = 40) -> TileSet:
    """Return `count` windows of drawn strips that touch no defect, at most `per_strip` of one strip."""
    rng = np.random.default_rng(seed)
    tiles = TileSet([], [], [], [], [])
    number = 0
    while len(tiles) < count:
        strip = Strip(StripSpec(seed + number))
        first = int(rng.integers(0, 100_000))
        pixels = strip.lines(first, LINES)
        near = [defect.box.moved(0, -first) for defect in strip.defects(first, LINES)]
        found = []
        for x, y in rng.integers(0, (strip.spec.width_px - tile_px + 1, LINES - tile_px + 1), (4 * per_strip, 2)):
            window = Box(int(x), int(y), tile_px, tile_px)
            if not any(window.touches(box) for box in near):
                found.append(pixels[window.y : window.bottom, window.x : window.right].copy())
        found = found[: min(per_strip, count - len(tiles))]
        groups = [f"generated-{seed + number}"] * len(found)
        tiles = tiles + TileSet.of(found, [CLEAN] * len(found), "generated_clean", groups)
        number += 1
    return tiles
