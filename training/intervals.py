"""k of N with its Wilson bound: the only form in which a rate is reported."""

from __future__ import annotations

from math import sqrt
from typing import TypedDict

Z_95 = 1.959963984540054


class Share(TypedDict):
    """k of n, the share, and its 95 % Wilson interval."""

    k: int
    n: int
    share: float
    low: float
    high: float


def share(k: int, n: int) -> Share:
    """Return k of n with the 95 % score interval (Wilson, JASA 22, 1927); of none, the interval says nothing."""
    if n == 0:
        return {"k": 0, "n": 0, "share": 0.0, "low": 0.0, "high": 1.0}
    rate, z2 = k / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return {"k": int(k), "n": int(n), "share": round(rate, 6), "low": round(low, 6), "high": round(high, 6)}
