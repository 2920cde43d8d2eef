"""The second look at doubtful tiles: their mirror images are scored too (docs/decisions/0009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from inspector.inspection.decision import to_scores
from inspector.inspection.predictions import Classify, Predictions
from inspector.labels import CLEAN

MIRRORS = ((slice(None), slice(None, None, -1)), (slice(None, None, -1),), (slice(None, None, -1),) * 2)
"""Across, along, both: a strip keeps its direction of travel, which a quarter turn would not."""
DOUBT = 0.1
"""A tile is scored again if all labels but `clean` together have at least this score."""
LOOKED_AT_ONCE = 64
"""Doubtful tiles whose mirror images are held at the same time: a large frame that is all defects must not fill the
memory."""


def find_doubtful(logits: npt.NDArray[np.float64], labels: Sequence[str], temperature: float) -> list[int]:
    """Return which of the (N, C) rows are not surely clean; all of them, if `clean` is no label."""
    if CLEAN not in labels:
        return list(range(len(logits)))
    clean = to_scores(logits, temperature)[:, list(labels).index(CLEAN)]
    return [int(n) for n in np.flatnonzero(1 - clean >= DOUBT)]


def look_again(
    tiles: Sequence[Pixels], predictions: Predictions, doubtful: Sequence[int], classify: Classify
) -> Predictions:
    """Return the predictions with the logits of the doubtful tiles averaged over the tile and its mirror images.

    Logits are multiples of one step, so that sums and a quarter of them are exact: nothing depends on the order.
    """
    logits = predictions.logits.copy()
    for start in range(0, len(doubtful), LOOKED_AT_ONCE):
        part = list(doubtful[start : start + LOOKED_AT_ONCE])
        mirrored = [np.ascontiguousarray(tiles[n][turn]) for n in part for turn in MIRRORS]
        seen = classify(mirrored).logits.reshape(len(part), len(MIRRORS), -1)
        logits[part] = (logits[part] + seen.sum(axis=1)) / (1 + len(MIRRORS))
    return replace(predictions, logits=logits)
