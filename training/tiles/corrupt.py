"""The corruption suite: seven ways in which a line spoils a picture, three severities each, after ImageNet-C.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions", ICLR 2019. Severity 1 is an
ordinary bad day, 3 is a camera that needs a person.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inspector.frame import Pixels
from training.tiles.augment import add_noise, blur, expose, jpeg, light_gradient, motion_blur

Corrupt = Callable[[Pixels, np.random.Generator], Pixels]


def _gamma(strength: float) -> Corrupt:
    return lambda tile, rng: expose(tile, gamma=strength if rng.random() < 0.5 else 1 / strength)


def _noise(sigma: float) -> Corrupt:
    return lambda tile, rng: add_noise(tile, sigma, rng)


def _blur(sigma_px: float) -> Corrupt:
    return lambda tile, rng: blur(tile, sigma_px)


def _motion(length_px: int) -> Corrupt:
    return lambda tile, rng: motion_blur(tile, length_px, rng.uniform(0, 180))


def _gradient(strength: float) -> Corrupt:
    return lambda tile, rng: light_gradient(tile, rng.uniform(0, 2 * np.pi), strength)


def _contrast(factor: float) -> Corrupt:
    return lambda tile, rng: expose(tile, contrast=factor)


def _jpeg(quality: int) -> Corrupt:
    return lambda tile, rng: jpeg(tile, quality)


SUITE: dict[str, tuple[Corrupt, Corrupt, Corrupt]] = {
    "noise": (_noise(6), _noise(12), _noise(20)),
    "blur": (_blur(0.7), _blur(1.2), _blur(1.8)),
    "motion_blur": (_motion(3), _motion(6), _motion(9)),
    "gamma": (_gamma(1.25), _gamma(1.6), _gamma(2.0)),
    "gradient": (_gradient(0.15), _gradient(0.3), _gradient(0.45)),
    "contrast": (_contrast(0.8), _contrast(0.6), _contrast(0.4)),
    "jpeg": (_jpeg(50), _jpeg(25), _jpeg(12)),
}
"""Name to severities 1, 2 and 3."""


def corrupted(tile: Pixels, name: str, severity: int, seed: int) -> Pixels:
    """Return `tile` under one corruption; the same seed gives the same pixels."""
    return SUITE[name][severity - 1](tile, np.random.default_rng((seed, severity)))
