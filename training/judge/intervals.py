"""k of N with its Wilson bound: the only form in which a rate is reported. Beside it an interval over surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from scipy.stats import binomtest  # type: ignore[import-untyped]


class Share(TypedDict):
    """k of n, the share, and its 95 % Wilson interval."""

    k: int
    n: int
    share: float
    low: float
    high: float


def share(k: int, n: int) -> Share:
    """Return k of n with its 95 % score interval (Wilson, JASA 22, 1927); of none, the interval says nothing."""
    if n == 0:
        return {"k": 0, "n": 0, "share": 0.0, "low": 0.0, "high": 1.0}
    bound = binomtest(int(k), int(n)).proportion_ci(0.95, method="wilson")
    return {
        "k": int(k),
        "n": int(n),
        "share": round(k / n, 6),
        "low": round(float(bound.low), 6),
        "high": round(float(bound.high), 6),
    }


class Bounds(TypedDict):
    """Both ends of an interval."""

    low: float
    high: float


def cluster_bootstrap(hits: Sequence[bool], clusters: Sequence[str], draws: int = 2000, seed: int = 0) -> Bounds | None:
    """Return the 95 % interval of the share of hits when whole clusters are resampled, or None if no draw differs.

    Tiles of one surface are right or wrong together, which Wilson's interval ignores. A single cluster says nothing
    about others, nor do many if none or all of their tiles hit.
    """
    place = np.unique(list(clusters), return_inverse=True)[1]
    counts = np.stack([np.bincount(place, np.asarray(hits, np.float64)), np.bincount(place)], axis=1)
    if len(counts) < 2 or sum(hits) in (0, len(hits)):
        return None
    chosen = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    drawn = counts[chosen].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return {"low": round(float(low), 6), "high": round(float(high), 6)}


def by_surface(alarms: Sequence[bool], groups: Sequence[str], pictures: Sequence[str]) -> dict[str, Any]:
    """Return how many pictures and groups the tiles come from, how many groups alarm, and the interval over groups."""
    alarmed = {group for group, alarm in zip(groups, alarms, strict=True) if alarm}
    return {
        "pictures": len(set(pictures)),
        "groups": len(set(groups)),
        "groups_with_alarm": share(len(alarmed), len(set(groups))),
        "bootstrap95": cluster_bootstrap(alarms, groups),
    }
