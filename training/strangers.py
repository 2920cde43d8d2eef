"""Photographs of surfaces that are no steel strip, of which a recipe learns to be unsure.

The mills that can be had are two. What another one's strip, or another material, looks like is not known, and a
network that has seen nothing else names it all the same. So it sees a thousand surfaces of every other kind, and must
not be sure of them (outlier exposure; Hendrycks, Mazeika and Dietterich, ICLR 2019). From each picture one square is
cut, of a size drawn anew, so that coarse and fine grain are there at every scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from inspector.frame import Pixels
from training.auxiliary import NOTHING, Auxiliary, load_auxiliary
from training.dataset import Store, decode
from training.errors import DataError, RecipeError
from training.recipe import Recipe
from training.tiles import OUTLIER, TileSet

ORIGIN = "stranger"
MIN_SIDE = 128
"""Pixels; smaller pictures are drawn buttons and icons."""
SIDES = (112, 420)
"""The squares' sides, pixels."""
MIN_STD = 3.0
"""Grey levels: a smaller deviation shows no surface, and a plain one may well be called clean."""
MAX_EXTREME_SHARE = 0.5
"""A square that is black or white to a larger part shows none either."""


def load_elsewhere(
    recipe: Recipe, auxiliary_root: Path | None, strangers_root: Path | None, labels: Sequence[str]
) -> Auxiliary:
    """Return all that a recipe learns from beside its own data set; see `load_auxiliary` and `load_strangers`."""
    return load_auxiliary(recipe, auxiliary_root, labels) + load_strangers(recipe, strangers_root)


def load_strangers(recipe: Recipe, root: Path | None) -> Auxiliary:
    """Return one tile of each picture that shows a surface, as large as the recipe's tiles.

    Args:
        recipe: Says whether it wants them, and which files are none.
        root: A folder, or a zip file under any name; not looked at when the recipe wants none.

    Raises:
        RecipeError: The recipe wants such pictures and `root` is None.
        DataError: No picture there, or one that the daemon would refuse; the text names it.
    """
    wanted = recipe.strangers
    if wanted is None:
        return NOTHING
    if root is None:
        raise RecipeError(f"recipe {recipe.name}: learns from photographed surfaces too: --strangers PATH is wanted")
    store = Store(root)
    rng = np.random.default_rng(recipe.seed)
    contents = hashlib.sha256()
    tiles: list[Pixels] = []
    names: list[str] = []
    for name in store.pictures:
        if PurePosixPath(name).stem.endswith(wanted.without):
            continue
        raw = store.read(name)
        contents.update(f"{name}\0{hashlib.sha256(raw).hexdigest()}\n".encode())
        tile = cut_square(decode(raw, name), recipe.tile_px, rng)
        if tile is not None:
            tiles.append(tile)
            names.append(name)
    if not tiles:
        raise DataError(f"{root}: no picture of a surface, of {MIN_SIDE} px a side or more, for recipe {recipe.name}")
    return Auxiliary(TileSet.of(tiles, [OUTLIER] * len(tiles), ORIGIN, names), {"strangers": contents.hexdigest()})


def cut_square(pixels: Pixels, tile_px: int, rng: np.random.Generator) -> Pixels | None:
    """Return a square of (H, W) `pixels`, drawn by `rng` and brought to `tile_px`; None where it shows no surface."""
    shorter = min(pixels.shape)
    if shorter < MIN_SIDE:
        return None
    low, high = (min(shorter, side) for side in SIDES)
    side = int(rng.integers(low, high + 1))
    y, x = (int(rng.integers(length - side + 1)) for length in pixels.shape)
    how = cv2.INTER_AREA if side > tile_px else cv2.INTER_LINEAR
    tile = np.asarray(cv2.resize(pixels[y : y + side, x : x + side], (tile_px, tile_px), interpolation=how), np.uint8)
    extreme = max(float((tile < 8).mean()), float((tile > 247).mean()))
    return None if float(tile.std()) < MIN_STD or extreme > MAX_EXTREME_SHARE else tile
