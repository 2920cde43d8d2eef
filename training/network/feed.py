"""The `tf.data` pipeline: seeded draws, augmentation, the daemon's own preprocessing, and the network's float scale.

Batch number k of a run is always the same batch, whatever interruption came before it: the order of an epoch and each
tile's changes come from generators seeded by (seed, epoch) and (seed, epoch, place).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_input
from inspector.labels import CLEAN
from training.network.network import float_input
from training.recipe import Recipe
from training.tiles.augment import augment_marked, vary_clean
from training.tiles.tile_set import OUTLIER, TileSet

MAP_STRIDE = 32
"""Input pixels between two cells of MobileNetV2's last feature map."""
LEAST_SHOWN = 0.02


def steps_per_epoch(tiles: TileSet, recipe: Recipe) -> int:
    """Return how many full batches an epoch has; the few tiles that are left over wait for the next shuffle."""
    return max(1, len(tiles) // recipe.batch)


def training_batches(
    tiles: TileSet, labels: Sequence[str], recipe: Recipe, *, input_px: int, first_epoch: int, epochs: int
) -> Any:
    """Return a dataset of (float tiles, {`logits`: target scores, `cam`: see `shown_cells`}) of `epochs` epochs.

    It starts with epoch `first_epoch`. The target scores are 1 for a tile's label, and equal for all labels of an
    outlier.
    """
    cells = -(-input_px // MAP_STRIDE)
    steps, index_of = steps_per_epoch(tiles, recipe), {label: i for i, label in enumerate(labels)}
    targets = np.array([len(labels) if label == OUTLIER else index_of[label] for label in tiles.labels])
    unsure = np.full((1, len(labels)), 1 / len(labels), np.float32)
    wanted_rows = np.concatenate([np.eye(len(labels), dtype=np.float32), unsure])

    clean = [place for place, label in enumerate(tiles.labels) if label == CLEAN]

    def varied(place: int, rng: np.random.Generator) -> Pixels:
        """Return a tile, a clean one mixed with another clean one of its size."""
        tile = tiles.pixels[place]
        if tiles.labels[place] != CLEAN or not recipe.augment.clean_mix:
            return tile
        other = tiles.pixels[clean[int(rng.integers(len(clean)))]]
        return vary_clean(tile, other if other.shape == tile.shape else tile, rng, recipe.augment)

    def draw(step: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], ...]:
        epoch, place = divmod(int(step), steps)
        order = np.random.default_rng((recipe.seed, epoch)).permutation(len(tiles))
        chosen = order[place * recipe.batch : (place + 1) * recipe.batch]
        rngs = [np.random.default_rng((recipe.seed, epoch, int(index))) for index in chosen]
        wanted = wanted_rows[targets[chosen]]
        shown = np.zeros((len(chosen), cells, cells, len(labels)), np.float32)
        batch = []
        for place, (i, rng) in enumerate(zip(chosen, rngs, strict=True)):
            marked = mask_of(tiles.boxes[i], tiles.pixels[i].shape) if recipe.pointing and tiles.boxes[i] else None
            tile, marked = augment_marked(varied(i, rng), marked, rng, recipe.augment)
            batch.append(to_input(tile, input_px))
            if marked is not None:
                shown[place] = shown_cells(marked, cells)[..., None] * wanted[place]
        return float_input(np.stack(batch), recipe), wanted, shown

    channels = 1 if recipe.colour == "grey" else 3
    size = min(recipe.batch, len(tiles))

    def load(step: Any) -> Any:
        batch, wanted, shown = tf.numpy_function(draw, [step], (tf.float32, tf.float32, tf.float32))
        batch.set_shape((size, input_px, input_px, channels))
        wanted.set_shape((size, len(labels)))
        shown.set_shape((size, cells, cells, len(labels)))
        return batch, {"logits": wanted, "cam": shown}

    dataset = tf.data.Dataset.range(first_epoch * steps, (first_epoch + epochs) * steps)
    return dataset.map(load, num_parallel_calls=2, deterministic=True).prefetch(4)


def mask_of(boxes: Sequence[Box], shape: tuple[int, ...]) -> Pixels:
    """Return a mask of `shape`, 255 inside the boxes."""
    mask = np.zeros(shape, np.uint8)
    for box in boxes:
        mask[box.y : box.bottom, box.x : box.right] = 255
    return mask


def shown_cells(marked: Pixels, cells: int) -> npt.NDArray[np.float32]:
    """Return (cells, cells): the share of each cell of the last feature map that is marked, over the largest share.

    All zero if hardly anything is marked: a turn or shift has moved the defect out of the tile.
    """
    shares = cv2.resize(marked, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(shares / shares.max() if shares.max() >= LEAST_SHOWN else np.zeros_like(shares), np.float32)


def preprocess_in_graph(pixels: Pixels, input_px: int) -> Pixels:
    """Return what a tile becomes inside `tf.data`: the daemon's bytes, as a test shows."""
    dataset = tf.data.Dataset.from_tensors(pixels).map(
        lambda tile: tf.numpy_function(lambda array: to_input(array, input_px), [tile], tf.uint8)
    )
    return np.asarray(next(iter(dataset)).numpy(), np.uint8)


def stacked_input(tiles: Sequence[Pixels], input_px: int) -> Pixels:
    """Return (N, S, S) uint8 network inputs of whole tiles."""
    return np.stack([to_input(tile, input_px) for tile in tiles])
