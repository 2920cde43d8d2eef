"""The few formulas that acceptance rests on, each with its source; pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import exp, lgamma, log, sqrt

import numpy as np
import numpy.typing as npt

Z95 = 1.959964
"""Of a two-sided bound of 95 %."""
_FLOOR = 1e-4
"""Share that an empty bin counts as, so that its logarithm exists."""


def wilson(hits: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Return the bounds of a share (Wilson, 1927): right also for few and for shares near 0 and 1."""
    if total == 0:
        return 0.0, 1.0
    share, square = hits / total, z * z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Return the agreement of two beyond chance (Cohen, 1960); None: no pair, or both always say the same one word."""
    if not pairs:
        return None
    total = len(pairs)
    agreed = sum(one == other for one, other in pairs) / total
    words = {word for pair in pairs for word in pair}
    chance = sum(sum(one == word for one, _ in pairs) * sum(other == word for _, other in pairs) for word in words) / (
        total * total
    )
    return None if chance == 1 else (agreed - chance) / (1 - chance)


def stability_index(before: Sequence[float], now: Sequence[float]) -> float:
    """Return how far two distributions over the same bins are apart: the population stability index.

    Below 0.1 nothing has moved, above 0.25 the population is another one (Siddiqi, Credit Risk Scorecards, 2006).
    """
    shares = [(max(one, _FLOOR), max(other, _FLOOR)) for one, other in zip(before, now, strict=True)]
    return sum((other - one) * log(other / one) for one, other in shares)


def kolmogorov_smirnov(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the largest distance of two samples' distributions, and its bound at 0.1 % (Smirnov, 1948)."""
    first, second = np.sort(np.asarray(one)), np.sort(np.asarray(other))
    every = np.concatenate((first, second))
    shares = [np.searchsorted(part, every, side="right") / len(part) for part in (first, second)]
    bound = 1.949 * sqrt((len(first) + len(second)) / (len(first) * len(second)))
    return float(np.max(np.abs(shares[0] - shares[1]))), bound


def same_rate(count: int, exposure: float, other: int, other_exposure: float) -> float:
    """Return how likely two counts are that far apart if their rates are equal (Przyborowski and Wilenski, 1940).

    Given their sum, the first is binomial with its share of the exposure; both tails together.
    """
    total, share = count + other, exposure / (exposure + other_exposure)
    if total == 0:
        return 1.0
    if total > 20_000:  # as good as normal by then
        away = abs(count - total * share) / sqrt(total * share * (1 - share))
        return min(1.0, 2 * exp(-away * away / 2))
    logs = [
        lgamma(total + 1) - lgamma(k + 1) - lgamma(total - k + 1) + k * log(share) + (total - k) * log(1 - share)
        for k in range(total + 1)
    ]
    shares = [exp(one) for one in logs]
    return min(1.0, 2 * min(sum(shares[: count + 1]), sum(shares[count:])))


def noise_of(grey: npt.NDArray[np.uint8]) -> float:
    """Return the noise of a picture in grey levels (Immerkaer, 1996): what a Laplacian of edges leaves over.

    Args:
        grey: (H, W), at least 3 by 3.
    """
    x = grey.astype(np.float32)
    left = x[:-2, :-2] - 2 * x[:-2, 1:-1] + x[:-2, 2:]
    middle = x[1:-1, :-2] - 2 * x[1:-1, 1:-1] + x[1:-1, 2:]
    right = x[2:, :-2] - 2 * x[2:, 1:-1] + x[2:, 2:]
    return float(sqrt(np.pi / 2) / 6 * np.mean(np.abs(left - 2 * middle + right)))


def sharpness_of(grey: npt.NDArray[np.uint8]) -> float:
    """Return the variance of a picture's Laplacian (Pech-Pacheco and others, 2000), in grey levels squared."""
    x = grey.astype(np.float32)
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    return float(np.var(laplacian))
