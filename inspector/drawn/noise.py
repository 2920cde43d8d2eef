"""Smooth noise and ramps from integers alone: the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import cv2
import numpy as np
import numpy.typing as npt

ONE = 16
"""Fractions of a grey level in which the strip is added up."""


SURFACE, LIGHT, KNOTS, MARKS, ORDER, DEFECT, TILE = range(7)
"""Independent random streams of one seed."""


Ints = npt.NDArray[np.int32]
Delta = npt.NDArray[np.int16]
Mask = npt.NDArray[np.uint8]


def rng_of(*key: int) -> np.random.Generator:
    """Return the random numbers of a key: a seed, one of the streams, a number."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a random number from `low` to `high`."""
    return low + (high - low) * float(rng.random())


def noise_field(
    rng: np.random.Generator, height: int, width: int, boxes: Sequence[tuple[int, int]], spread: int
) -> Ints:
    """Return (height, width) noise, smoothed by boxes of (lines, columns), mean 0, standard deviation `spread`.

    It wraps around on both axes. Sums of integers only, so every machine gives the same.
    """
    field = rng.integers(-128, 128, (height, width), dtype=np.int8).astype(np.int32)
    for lines, columns in boxes:
        pad_y, pad_x = lines // 2 + 1, columns // 2 + 1
        padded = np.pad(field, ((pad_y, pad_y), (pad_x, pad_x)), mode="wrap")
        summed = cv2.boxFilter(padded, cv2.CV_32S, (columns, lines), normalize=False, borderType=cv2.BORDER_CONSTANT)
        field = np.asarray(summed[pad_y:-pad_y, pad_x:-pad_x], np.int32) // max(1, isqrt(lines * columns) // 2)
    field -= int(field.sum(dtype=np.int64)) // field.size
    deviation = isqrt(int(np.square(field, dtype=np.int64).sum()) // field.size) or 1
    return (field.astype(np.int64) * spread // deviation).astype(np.int32)


def ramp(shape: tuple[int, ...], edge_px: int) -> Ints:
    """Return 256 inside, falling over `edge_px` to nearly 0 at the rim."""
    height, width = shape
    down = np.minimum(np.arange(1, height + 1), np.arange(height, 0, -1))
    across = np.minimum(np.arange(1, width + 1), np.arange(width, 0, -1))
    nearest = np.minimum(np.minimum(down[:, None], across[None, :]), edge_px)
    return (nearest * 256 // edge_px).astype(np.int32)
