"""Pictures from elsewhere that a recipe learns from beside its own data set.

A network that has seen one mill is overconfident on every other one. A recipe therefore names folders of another data
set and what they show: one of the labels, or none of them. The network learns to be unsure of the latter (outlier
exposure; Hendrycks, Mazeika and Dietterich, ICLR 2019). Half of those pictures are learned from, whole groups of
overlapping views; `evaluate` measures on the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inspector.labels import CLEAN
from training.data.dataset import DataSet, Picture, load_pixels
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.errors import DataError, RecipeError
from training.recipe import Recipe
from training.tiles.tile_set import OUTLIER, TileSet

ORIGIN = "auxiliary"


@dataclass(frozen=True, slots=True, eq=False)
class Auxiliary:
    """Tiles from elsewhere, and the hash of the data set they come from; empty for a recipe without any."""

    tiles: TileSet
    sha256: str = ""

    @property
    def provenance(self) -> dict[str, str]:
        """Return what a run or fold reports about them."""
        return {"auxiliary": self.sha256} if self.sha256 else {}


NOTHING = Auxiliary(TileSet([], [], [], [], []))


def learned_half(manifest: Manifest) -> list[Picture]:
    """Return the pictures to learn from: of each label every second group, beginning with the first."""
    learned = []
    for label in manifest.labels:
        pictures = [picture for picture in manifest.pictures if picture.label == label]
        groups = list(dict.fromkeys(picture.group for picture in pictures))
        chosen = set(groups[::2])
        learned += [picture for picture in pictures if picture.group in chosen]
    return learned


def held_half(manifest: Manifest) -> list[Picture]:
    """Return the pictures that no recipe learns from."""
    learned = {picture.path for picture in learned_half(manifest)}
    return [picture for picture in manifest.pictures if picture.path not in learned]


def load_auxiliary(recipe: Recipe, root: Path | None, labels: Sequence[str]) -> Auxiliary:
    """Return the auxiliary tiles of a recipe, as large as its tiles.

    Args:
        recipe: Says which folders show what.
        root: The data set with those folders; not read if the recipe names none.
        labels: Of the network.

    Raises:
        RecipeError: The recipe needs such pictures and `root` is None, or it names a label that the network lacks.
        DataError: A folder that the recipe names is not there, or as `build_manifest`.
    """
    if recipe.auxiliary is None:
        return NOTHING
    wanted = recipe.auxiliary.shows
    if root is None:
        raise RecipeError(f"recipe {recipe.name}: learns from pictures of elsewhere too: --auxiliary FOLDER is wanted")
    if strange := sorted(set(wanted.values()) - {OUTLIER, CLEAN, *labels}):
        raise RecipeError(f"recipe {recipe.name}: auxiliary: no label of the data: {strange[0]!r}")
    data_set = DataSet(root)
    manifest = build_manifest(data_set)
    if missing := sorted(set(wanted) - set(manifest.labels)):
        raise DataError(f"{root}: no folder {missing[0]!r}, which recipe {recipe.name} learns from")
    pictures = [picture for picture in learned_half(manifest) if picture.label in wanted]
    side = recipe.tile_px
    tiles = [
        np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
        for pixels in load_pixels(data_set, pictures)
    ]
    shown = [wanted[picture.label] for picture in pictures]
    return Auxiliary(TileSet.of(tiles, shown, ORIGIN, [picture.group for picture in pictures]), manifest.sha256)
