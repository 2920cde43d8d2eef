"""A finer map: where in a tile its label shows, read from a map that the logits do not use.

MobileNetV2's last map has cells of 32 input pixels, four a side at 128 px: too coarse to point with. The map before the
last halving has about twice as many. When a network is finished, a linear head is fitted on that one, so that its
output and the class activation map together peak inside the boxes (`pointing_loss`). No other weight learns, and the
logits do not see the head: every decision stays the same, to the bit (docs/decisions/0008).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from training.network.feed import mask_of, shown_cells, stacked_input
from training.network.network import FINAL_MAP, FINE_MAP, float_input, grow_map, pointing_loss
from training.recipe import Recipe
from training.tiles.augment import augment_marked
from training.tiles.tile_set import TileSet

MOST_TILES = 3000
"""More than these are not learned from: a map of neu-224 is 226 kB."""
VIEWS = 2
"""How often each tile is shown, changed differently each time."""
EPOCHS = 6
LEARNING_RATE = 2e-3
DECAY = 1e-4
BATCH = 64


_Floats = npt.NDArray[np.float32]


def fit_fine_head(network: Any, tiles: TileSet, labels: Sequence[str], recipe: Recipe) -> _Floats | None:
    """Return the (D, C) kernel of the head on `FINE_MAP`, or None if hardly any tile says where its label shows.

    Args:
        network: The float network, finished; it is not changed.
        tiles: To learn from; those with boxes count.
        labels: In the order of the logits.
        recipe: How tiles are changed and prepared.
    """
    marked = [i for i, boxes in enumerate(tiles.boxes) if boxes and tiles.labels[i] in labels]
    if not marked:
        return None
    rng = np.random.default_rng((recipe.seed, 8))
    marked = sorted(rng.permutation(marked)[:MOST_TILES].tolist())
    maps = keras.Model(network.input, [network.get_layer(name).output for name in (FINAL_MAP, FINE_MAP)])
    kernel = network.get_layer("logits").get_weights()[0]
    side = int(maps.output[1].shape[1])
    order = np.tile(marked, VIEWS)
    coarse: _Floats = np.zeros((len(order), *maps.output[0].shape[1:3], len(labels)), np.float32)
    fine: npt.NDArray[np.float16] = np.zeros((len(order), *maps.output[1].shape[1:]), np.float16)
    shown: _Floats = np.zeros((len(order), side, side, len(labels)), np.float32)
    for start in range(0, len(order), BATCH):
        rows = range(start, min(start + BATCH, len(order)))
        changed: list[Pixels] = []
        for row in rows:
            i = order[row]
            boxed = mask_of(tiles.boxes[i], tiles.pixels[i].shape)
            tile, mask = augment_marked(tiles.pixels[i], boxed, rng, recipe.augment)
            changed.append(tile)
            if mask is not None:
                shown[row, :, :, labels.index(tiles.labels[i])] = shown_cells(mask, side)
        final, fine[rows] = maps.predict_on_batch(float_input(stacked_input(changed, recipe.input_px), recipe))
        coarse[rows] = final @ kernel
    return _fit(coarse, fine, shown, rng) if shown.any() else None


def _fit(coarse: _Floats, fine: npt.NDArray[np.float16], shown: _Floats, rng: np.random.Generator) -> _Floats:
    """Return the kernel with which `coarse`, grown, and `fine` together point at what is `shown`."""
    below, above = keras.Input(coarse.shape[1:]), keras.Input(fine.shape[1:])
    head = keras.layers.Dense(
        coarse.shape[-1], use_bias=False, kernel_initializer="zeros", kernel_regularizer=keras.regularizers.L2(DECAY)
    )
    learner = keras.Model([below, above], grow_map(below, fine.shape[1]) + head(above))
    steps = -(-len(coarse) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, EPOCHS * steps)
    learner.compile(optimizer=keras.optimizers.Adam(rate), loss=pointing_loss, jit_compile=False)
    for epoch in range(EPOCHS):
        loss = 0.0
        for batch in np.array_split(rng.permutation(len(coarse)), steps):
            loss += float(learner.train_on_batch([coarse[batch], fine[batch].astype(np.float32)], shown[batch]))
        print(f"  finer map, epoch {epoch + 1} of {EPOCHS}  loss {loss / steps:.4f}", flush=True)
    return np.asarray(head.get_weights()[0], np.float32)
