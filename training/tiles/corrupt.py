"""The corruption suite: seven ways in which a line spoils a picture, three severities each, after ImageNet-C.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions", ICLR 2019. Severity 1 is an
ordinary bad day, 3 is a camera that needs a person.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inspector.frame import Pixels
from training.tiles.augment import (
    add_noise,
    blur,
    expose,
    jpeg,
    light_gradient,
    motion_blur,
    salt_and_pepper,
    turn,
    uneven_columns,
)

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

ROUGH: dict[str, Corrupt] = {
    "turned/30": lambda tile, rng: turn(tile, 30),
    "turned/45": lambda tile, rng: turn(tile, 45),
    "columns/5%": lambda tile, rng: uneven_columns(tile, 0.05, rng),
    "salt/2%": lambda tile, rng: salt_and_pepper(tile, 0.02, rng),
}
"""What a line does beside: a camera that is turned, a line sensor whose columns differ, pixels that are dead or hot."""


def corrupted(tile: Pixels, name: str, severity: int, seed: int) -> Pixels:
    """Return `tile` under one corruption; the same seed gives the same pixels."""
    return SUITE[name][severity - 1](tile, np.random.default_rng((seed, severity)))


def roughened(tile: Pixels, name: str, seed: int) -> Pixels:
    """Return `tile` under one of `ROUGH`; the same seed gives the same pixels."""
    return ROUGH[name](tile, np.random.default_rng(seed))


def spoil(tile: Pixels, rng: np.random.Generator) -> Pixels:
    """Return `tile` as a rough line may show it: under one corruption, of any strength up to what the suites have."""
    kinds: tuple[Callable[[], Pixels], ...] = (
        lambda: motion_blur(tile, int(rng.integers(3, 12)), rng.uniform(0, 180)),
        lambda: turn(tile, rng.uniform(0, 90)),
        lambda: uneven_columns(tile, rng.uniform(0.01, 0.07), rng),
        lambda: salt_and_pepper(tile, rng.uniform(0.004, 0.03), rng),
        lambda: jpeg(tile, int(rng.integers(10, 60))),
        lambda: add_noise(tile, rng.uniform(5, 22), rng),
        lambda: blur(tile, rng.uniform(0.5, 2)),
    )
    return kinds[int(rng.integers(len(kinds)))]()
