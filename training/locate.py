"""A finer map: where in a tile its label shows, read from a map that the logits do not look at.

MobileNetV2's last map has cells of 32 input pixels, four a side at 128 px: too coarse to point with. The map before the
last halving has twice as many. When a network is finished, a linear head is fitted on that one, so that its output and
the class activation map together peak inside the boxes (`pointing_loss`). No other weight learns, and the logits do not
see the head: what is decided stays as it was, to the bit (docs/decisions/0008).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.augment import augment_marked
from training.feed import mask_of, shown_cells, stacked_input
from training.network import FINAL_MAP, FINE_MAP, float_input, grow_map, pointing_loss
from training.recipe import Recipe
from training.tiles import TileSet

VIEWS = 2
"""How often each tile is shown, changed otherwise each time."""
EPOCHS = 6
LEARNING_RATE = 2e-3
DECAY = 1e-4
BATCH = 64

_Floats = npt.NDArray[np.float32]


def fit_fine_head(network: Any, tiles: TileSet, labels: Sequence[str], recipe: Recipe) -> _Floats | None:
    """Return the (D, C) kernel of the head on `FINE_MAP`, or None where no tile says where its label shows.

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
    maps = keras.Model(network.input, [network.get_layer(name).output for name in (FINAL_MAP, FINE_MAP)])
    kernel = network.get_layer("logits").get_weights()[0]
    side = int(maps.output[1].shape[1])
    coarse: list[_Floats] = []
    fine: list[npt.NDArray[np.float16]] = []
    shown: list[_Floats] = []
    for batch in np.array_split(np.tile(marked, VIEWS), -(-VIEWS * len(marked) // BATCH)):
        changed = [
            augment_marked(tiles.pixels[i], mask_of(tiles.boxes[i], tiles.pixels[i].shape), rng, recipe.augment)
            for i in batch
        ]
        final, middle = maps.predict_on_batch(
            float_input(stacked_input([tile for tile, _ in changed], recipe.input_px), recipe)
        )
        coarse.append(final @ kernel)
        fine.append(middle.astype(np.float16))
        wanted = np.zeros((len(batch), side, side, len(labels)), np.float32)
        for row, (i, (_, mask)) in enumerate(zip(batch, changed, strict=True)):
            if mask is not None:
                wanted[row, :, :, labels.index(tiles.labels[i])] = shown_cells(mask, side)
        shown.append(wanted)
    return _fit(np.concatenate(coarse), np.concatenate(fine), np.concatenate(shown), rng)


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
