"""Labels that a site has taught itself from a few pictures: the nearest example names what the network cannot.

A tile is as near to a label as its most similar example, by the cosine of what the network's deepest map holds: mean,
deviation, greatest and least of each channel over its places. Of pooled maps and features in several measures this one
named the classes of two foreign mills best (docs/teaching.md). Pure arithmetic in float64.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspector.inspection.predictions import Predictions

ROLES = ("map_deep", "map")
"""What tiles are compared by, the best first; a bundle that has neither is compared by its features."""

LIKENESS_DECIMALS = 4
"""As of scores, whose place a likeness takes in messages."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OwnLabel:
    """One label and its examples.

    Attributes:
        name: Of the label.
        examples: (N, D), each of length 1, as `embed` gives them.
        threshold: A tile that the bundle does not name has this label from this similarity on.
        sure: One that the bundle calls a defect of its own has it from this similarity on.
    """

    name: str
    examples: _Floats
    threshold: float
    sure: float

    @property
    def short(self) -> str:
        """Start of a hash over all that decides: another one wherever two stations would name a tile otherwise."""
        numbers = self.examples.tobytes() + np.array([self.threshold, self.sure]).tobytes()
        return hashlib.sha256(numbers).hexdigest()[:12]

    def similarity(self, rows: _Floats) -> _Floats:
        """Return the (M,) similarity of (M, D) rows to the nearest example, 0 to 1, rounded as scores are.

        The sums are not BLAS's: its threads would fight the workers, and a tile's score depend on its neighbours.
        """
        near = np.einsum("md,nd->mn", rows, self.examples).max(axis=1)
        return np.asarray(np.clip(near, 0, 1).round(LIKENESS_DECIMALS), np.float64)


def embed(predictions: Predictions) -> _Floats:
    """Return (N, D) what tiles are compared by, each of length 1.

    Raises:
        ValueError: The network gives neither a map nor features.
    """
    role = next((role for role in ROLES if role in predictions.maps), None)
    if role is not None:
        places = predictions.maps[role].reshape(len(predictions.logits), -1, predictions.maps[role].shape[-1])
        values = places.astype(np.float64)
        rows = np.concatenate([values.mean(1), values.std(1), values.max(1), values.min(1)], axis=1)
    elif predictions.features is not None:
        rows = predictions.features
    else:
        raise ValueError("own labels need a bundle with maps or features")
    return np.asarray(rows / np.maximum(np.sqrt((rows**2).sum(axis=1, keepdims=True)), 1e-9), np.float64)
