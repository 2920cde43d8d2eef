"""What defects are drawn with: blots, strokes, soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inspector.drawn.noise import Ints, Mask, noise_field, ramp


@dataclass(slots=True, eq=False)
class Sketch:
    """A defect while it is drawn.

    Attributes:
        ink: (H, W) uint8, what makes the box.
        marks: (H, W), change of grey where there is ink, sixteenths.
        ground: (H, W), change of the surface around the ink, sixteenths; faded out towards the box.
        cover: (H, W), 0..256: how much of the strip's texture is hidden.
    """

    ink: Mask
    marks: Ints
    ground: Ints
    cover: Ints


def squares(height: int, width: int) -> npt.NDArray[np.float64]:
    """Return 0 in the middle, 1 at the middle of each side: a rounded rectangle's distance."""
    v = (np.arange(height) * 2 + 1) / height - 1
    u = (np.arange(width) * 2 + 1) / width - 1
    return np.asarray((v * v * v * v)[:, None] + (u * u * u * u)[None, :])


def draw_blob(rng: np.random.Generator, height: int, width: int, size: int, bias: float) -> Mask:
    """Return a ragged soft area (255 inside) that fills about the middle of the rectangle."""
    field = noise_field(rng, height, width, ((size, size), (size, size)), 100)
    inside = (1 - squares(height, width)) * 220 + field + bias * 100 - 60
    return np.clip(np.floor(inside * 2.2), 0, 255).astype(np.uint8)


def fade_rim(mask: Mask) -> Mask:
    """Return `mask` faded to 0 over four pixels at its rim."""
    return ((mask.astype(np.int32) * ramp(mask.shape, 4)) >> 8).astype(np.uint8)


def soften(mask: Mask) -> Mask:
    """Return `mask` as the lens shows it: edges of a pixel or two."""
    return np.asarray(cv2.blur(mask, (2, 2), borderType=cv2.BORDER_CONSTANT), np.uint8)


def stroke(mask: Mask, start: tuple[float, float], end: tuple[float, float], ink: int, thickness: int) -> None:
    """Draw a smooth line of that ink, in sixteenths of a pixel."""
    points = [(int(x * 16), int(y * 16)) for x, y in (start, end)]
    cv2.line(mask, points[0], points[1], ink, thickness, cv2.LINE_AA, 4)
