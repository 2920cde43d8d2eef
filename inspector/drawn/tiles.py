"""Single tiles of a strip, with a defect wholly or partly inside."""

from __future__ import annotations

import numpy as np

from inspector.box import Box
from inspector.drawn.noise import TILE, rng_of
from inspector.drawn.spec import KINDS, StripSpec
from inspector.drawn.stamp import Stamp
from inspector.drawn.strip import Strip
from inspector.drawn.surface import MARK_LINES
from inspector.frame import Pixels
from inspector.labels import CLEAN


def draw_tile(label: str, seed: int, tile_px: int = 200) -> Pixels:
    """Return a still of one kind: (tile_px, tile_px) uint8, the defect wholly or nearly so inside.

    Args:
        label: One of `KINDS`, or `clean`.
        seed: Of the strip that the tile is cut from: another seed, another strip.
        tile_px: Side.
    """
    rng = rng_of(seed, TILE, 0)
    if label == CLEAN:
        spec = StripSpec(seed, tile_px=tile_px, defects_per_m=0)
        x, y = int(rng.integers(0, spec.width_px - tile_px + 1)), int(rng.integers(0, 20 * MARK_LINES))
        return Strip(spec).region(Box(x, y, tile_px, tile_px))
    strip, stamp = _defect_of(label, seed, tile_px)
    return strip.region(_around(rng, strip, stamp))


def draw_cut_tile(label: str, seed: int, tile_px: int = 200, min_visible: float = 0.25) -> tuple[Pixels, float]:
    """Return a tile that shows its defect only in part, cut at an edge or corner as a tiled line cuts it.

    Args:
        label: One of `KINDS`.
        seed: Of the strip that the tile is cut from: another seed, another strip.
        tile_px: Side.
        min_visible: Least share of the defect's own pixels in the tile.

    Returns:
        The tile, and the share that it shows: `min_visible` at least, and seldom more than 0.95.
    """
    rng = rng_of(seed, TILE, 1)
    strip, stamp = _defect_of(label, seed, tile_px)
    total = int(stamp.ink.sum(dtype=np.int64))
    best = _around(rng, strip, stamp)
    shown = 1.0
    for _ in range(200):
        x = int(rng.integers(stamp.x - tile_px + 1, stamp.box.right))
        y = int(rng.integers(stamp.y - tile_px + 1, stamp.box.bottom))
        x, y = min(max(x, 0), strip.spec.width_px - tile_px), max(y, 0)
        left, top = max(0, x - stamp.x), max(0, y - stamp.y)
        part = stamp.ink[top : max(0, y + tile_px - stamp.y), left : max(0, x + tile_px - stamp.x)]
        share = int(part.sum(dtype=np.int64)) / total
        if share >= min_visible and (share < 0.95 or shown > share):
            best, shown = Box(x, y, tile_px, tile_px), share
            if share < 0.95:
                break
    return strip.region(best), shown


def _defect_of(label: str, seed: int, tile_px: int) -> tuple[Strip, Stamp]:
    """Return the strip of that seed and its first defect of that kind, at y > 0 by at least a tile."""
    strip = Strip(StripSpec(seed, width_px=8 * tile_px, tile_px=tile_px, defects_per_m=600 / tile_px))
    found = (strip.stamp_at(ordinal) for ordinal in range(len(KINDS), 2 * len(KINDS)))
    return strip, next(stamp for name, stamp in found if name == label)


def _around(rng: np.random.Generator, strip: Strip, stamp: Stamp) -> Box:
    """Return a tile at any place that holds the defect, or as much as goes in."""
    tile_px, box = strip.spec.tile_px, stamp.box
    corner = []
    for start, length in ((box.x, box.width), (box.y, box.height)):
        ends = sorted((start, start + length - tile_px))
        corner.append(int(rng.integers(ends[0], ends[1] + 1)))
    return Box(min(max(corner[0], 0), strip.spec.width_px - tile_px), max(corner[1], 0), tile_px, tile_px)
