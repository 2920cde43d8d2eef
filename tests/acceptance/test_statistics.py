"""`inspector.acceptance.statistics`: against figures that stand in books, and against chance."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.acceptance.statistics import (
    kappa,
    kolmogorov_smirnov,
    noise_of,
    same_rate,
    sharpness_of,
    stability_index,
    wilson,
)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilson(hits: int, total: int, low: float, high: float) -> None:
    """Newcombe (1998), method 3, and at the ends never beyond 0 and 1."""
    assert wilson(hits, total) == pytest.approx((low, high), abs=1e-4)


def test_kappa() -> None:
    """Two doctors, 50 cases, 35 the same (20 yes, 15 no): 0.4; nothing said, or one word alone: not defined."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15

    assert kappa(pairs) == pytest.approx(0.4)
    assert (kappa([]), kappa([("y", "y")] * 5), kappa([("y", "n"), ("n", "y")])) == (None, None, -1)


def test_two_rates() -> None:
    """10 against 30 on the same exposure is unlikely, on three times of it it is not; none is certain."""
    assert same_rate(10, 1, 30, 1) == pytest.approx(0.00222, abs=1e-4)
    assert same_rate(10, 1, 30, 3) > 0.9
    assert same_rate(0, 1, 0, 1) == 1
    assert same_rate(15_000, 1, 14_000, 1) < 1e-6


def test_distributions() -> None:
    """Of one population nothing has moved; of one that lies elsewhere all has."""
    chance = np.random.default_rng(3)
    one, other = chance.normal(size=400).tolist(), chance.normal(size=300).tolist()
    away, bound = kolmogorov_smirnov(one, other)
    far, _ = kolmogorov_smirnov(one, [value + 1 for value in other])

    assert away < bound < far
    assert stability_index((0.5, 0.5), (0.5, 0.5)) == 0
    assert stability_index((0.5, 0.5), (0.2, 0.8)) == pytest.approx(0.4159, abs=1e-4)


def test_noise_and_sharpness() -> None:
    """Noise is measured to a tenth, on a slope too; a blurred picture is less sharp."""
    chance = np.random.default_rng(5)
    slope = np.linspace(80, 160, 400)[None, :] + np.zeros((400, 1))
    noisy = (slope + chance.normal(0, 4, slope.shape)).clip(0, 255).astype(np.uint8)
    smooth = (noisy[:-1, :-1] / 4.0 + noisy[1:, :-1] / 4.0 + noisy[:-1, 1:] / 4.0 + noisy[1:, 1:] / 4.0).astype(
        np.uint8
    )

    assert noise_of(noisy) == pytest.approx(4, rel=0.1)
    assert sharpness_of(smooth) < sharpness_of(noisy) / 4
