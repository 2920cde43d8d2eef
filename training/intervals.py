"""k of N with its Wilson bound: the only form in which a rate is reported."""

from __future__ import annotations

from typing import TypedDict

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
