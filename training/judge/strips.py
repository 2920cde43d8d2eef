"""The strips of the line benchmark: real defects on real clean steel, composed from test groups, seeded.

Random places put tile edges through defects at every phase. Nothing here inspects; see `line`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inspector.frame import Pixels
from training.data.dataset import Picture
from training.recipe import CREDIBLE_GROUND
from training.tiles.composed import ComposedStrip, Cutout, compose_strip, find_cutouts, find_grounds
from training.tiles.quilt import NO_ROOM, SPECKS, ground_or_reason, quilt

STRIP_PX = 1000
DEFECTS_PER_STRIP = 6
GAP_PX = 120


def compose_benchmark(
    pictures: Sequence[Picture], pixels: Sequence[Pixels], *, clean_strips: int, seed: int = 7
) -> list[ComposedStrip]:
    """Return strips that hold every cut-out of `pictures` once, and `clean_strips` without any.

    Args:
        pictures: Of test groups only.
        pixels: Theirs.
        clean_strips: How many; each is `STRIP_PX` squared.
        seed: Same seed, same strips.
    """
    rng = np.random.default_rng(seed)
    grounds = find_grounds(pictures, pixels)
    cutouts: list[Cutout] = []
    for picture, its_pixels in zip(pictures, pixels, strict=True):
        cutouts += find_cutouts(picture, its_pixels)
    order = rng.permutation(len(cutouts))
    strips = []
    for start in range(0, len(order), DEFECTS_PER_STRIP):
        chosen = [cutouts[int(i)] for i in order[start : start + DEFECTS_PER_STRIP]]
        ground = grounds[int(rng.integers(len(grounds)))]
        strip = compose_strip(quilt(ground, STRIP_PX, STRIP_PX, rng), ground.group, chosen, GAP_PX, rng)
        strips.append(replace(strip, picture=ground.picture))
    for number in range(clean_strips):
        ground = grounds[number % len(grounds)]
        strips.append(ComposedStrip(quilt(ground, STRIP_PX, STRIP_PX, rng), (), ground.group, ground.picture))
    return strips


def count_grounds(pictures: Sequence[Picture], pixels: Sequence[Pixels]) -> dict[str, int]:
    """Return how many boxed pictures of credible labels there are, how many give ground, and why the others do not."""
    found = [
        ground_or_reason(picture, its_pixels)
        for picture, its_pixels in zip(pictures, pixels, strict=True)
        if picture.label in CREDIBLE_GROUND and picture.boxes
    ]
    left_out = {reason: found.count(reason) for reason in (NO_ROOM, SPECKS)}
    return {"pictures": len(found), "give_ground": len(found) - sum(left_out.values()), **left_out}
