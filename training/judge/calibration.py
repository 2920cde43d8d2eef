"""How far scores are from hit rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def expected_calibration_error(confidence: Sequence[float], correct: Sequence[bool], bins: int = 15) -> float:
    """Return the mean gap between score and hit rate over equal-width bins, weighted by their tiles."""
    scores, hits = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gap = [abs(scores[place == b].mean() - hits[place == b].mean()) * (place == b).sum() for b in set(place.tolist())]
    return round(float(sum(gap) / max(1, len(scores))), 4)
