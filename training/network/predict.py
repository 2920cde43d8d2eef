"""What a float network gives for whole tiles, prepared as the daemon prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from training.network.feed import stacked_input
from training.network.network import float_input
from training.recipe import Recipe


def predict_tiles(network: Any, tiles: Sequence[Pixels], recipe: Recipe) -> npt.NDArray[np.float64]:
    """Return the (N, C) output of a float network, usually its logits, for whole tiles."""
    rows = [
        network.predict_on_batch(float_input(stacked_input(tiles[start : start + 64], recipe.input_px), recipe))
        for start in range(0, len(tiles), 64)
    ]
    return np.concatenate(rows).astype(np.float64)
