"""The size that is found nine times in ten (a90), as aircraft inspectors report it.

Hit or miss against the logarithm of the size, by a logistic curve: MIL-HDBK-1823A, "Nondestructive evaluation system
reliability assessment" (2009), sections G.3 and H. Its likelihood is penalised as Firth proposed ("Bias reduction of
maximum likelihood estimates", Biometrika 80, 1993), so that a fit exists even where every large defect was found and no
small one. The bound a90/95 is where the penalised likelihood ratio test rejects (Heinze and Schemper, Statistics in
Medicine 21, 2002): with 95 % confidence, a90 is no greater.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, log

import numpy as np
import numpy.typing as npt

SHARE = 0.9
LEAST = 10
"""Defects without which no curve is fitted."""
_ODDS = log(SHARE / (1 - SHARE))
_ONE_SIDED_95 = 2.705543
"""Of chi squared with one degree of freedom: 90 % between both bounds, 95 % under the upper one."""
_GOLDEN = (5**0.5 - 1) / 2
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """How likely a defect is found by its size.

    Attributes:
        offset: Log odds at size 1.
        slope: Log odds for each factor e of size.
        a90: Size that is found nine times in ten; None: at no size.
        a90_95: With 95 % confidence, a90 is no greater than this; None: nothing says so.
    """

    offset: float
    slope: float
    a90: float | None
    a90_95: float | None

    def at(self, size: float) -> float:
        """Return how likely a defect of that size is found."""
        return 1 / (1 + exp(-min(50.0, max(-50.0, self.offset + self.slope * log(size)))))


def fit_curve(sizes: npt.ArrayLike, found: npt.ArrayLike) -> Curve | None:
    """Return the curve of found and missed defects, or None if there are too few, or all were found, or none.

    Args:
        sizes: N, more than 0.
        found: N, 0 or 1.
    """
    x, y = np.log(np.asarray(sizes, np.float64)), np.asarray(found, np.float64)
    if len(x) < LEAST or float(np.ptp(x)) < 0.1 or y.min() == y.max():
        return None
    offset, slope = _fit(x, y)
    if slope <= 0:
        return Curve(offset, slope, None, None)
    best = _likelihood(x, y, offset, slope)
    at = (_ODDS - offset) / slope
    return Curve(offset, slope, _size(at), _size(_bound(x, y, best, at)))


def _size(log_size: float) -> float | None:
    return exp(log_size) if log_size < 20 else None


def _likelihood(x: _Floats, y: _Floats, offset: float, slope: float) -> float:
    """Return the penalised logarithm of the likelihood."""
    odds = np.clip(offset + slope * x, -500, 500)
    p = 1 / (1 + np.exp(-odds))
    weight = p * (1 - p)
    across = (weight * x).sum()
    information = weight.sum() * (weight * x * x).sum() - across * across
    if information <= 1e-300:
        return -inf
    return float((y * odds - np.logaddexp(0, odds)).sum() + 0.5 * log(information))


def _fit(x: _Floats, y: _Floats) -> tuple[float, float]:
    """Return offset and slope of the greatest penalised likelihood (Newton's method, halved steps)."""
    middle = float(x.mean())
    design = np.stack([np.ones_like(x), x - middle], axis=1)
    beta = np.zeros(2)

    def value(beta: _Floats) -> float:
        return _likelihood(x - middle, y, float(beta[0]), float(beta[1]))

    for _ in range(200):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        weight = p * (1 - p)
        inverse = np.linalg.pinv(design.T @ (design * weight[:, None]))
        leverage = weight * np.einsum("ij,jk,ik->i", design, inverse, design)
        step = inverse @ (design.T @ (y - p + leverage * (0.5 - p)))
        before = value(beta)
        for _ in range(30):
            if value(beta + step) >= before - 1e-12:
                break
            step = step / 2
        beta = beta + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(beta[0] - beta[1] * middle), float(beta[1])


def _bound(x: _Floats, y: _Floats, best: float, at: float) -> float:
    """Return the logarithm of the greatest a90 that the data do not reject."""

    def rejected(log_size: float) -> bool:
        def value(log_slope: float) -> float:
            slope = exp(log_slope)
            return _likelihood(x, y, _ODDS - slope * log_size, slope)

        return 2 * (best - _greatest(value, log(1e-3), log(1e3))) > _ONE_SIDED_95

    low, high = at, at + 0.05
    while not rejected(high):
        low, high = high, high + (high - at) * 1.5
        if high - at > 20:
            return inf
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high


def _greatest(value: Callable[[float], float], low: float, high: float) -> float:
    """Return the greatest value between two places: a scan, then the golden section around its best."""
    places = np.linspace(low, high, 60)
    best = int(np.argmax([value(float(place)) for place in places]))
    low, high = float(places[max(0, best - 1)]), float(places[min(len(places) - 1, best + 1)])
    while high - low > 1e-5:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if value(left) > value(right) else (left, high)
    return value((low + high) / 2)
