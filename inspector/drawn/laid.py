"""A known defect on a live clean tile: what the proof that a station still sees is shown (docs/sensitivity.md).

The defect is a piece of a drawn one, `size_px` a side and of a stated contrast, and lies on the tile's own light and
texture. What the camera does to a real defect it does to this one: it is as dark as the light there, and as blurred and
pale as the surface has become since the station was last known to see. Without that, a sharp drawing on a blurred tile
would be found more easily the worse the focus is. Pure: the same random numbers give the same tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inspector.drawn.defects import draw_long_defect
from inspector.drawn.noise import ONE
from inspector.drawn.spec import KINDS
from inspector.frame import Pixels

CONTRAST = 0.35
"""Change of grey at the plainest tenth of the defect, as a share of the light under it (Weber's fraction)."""
SIZES_PX = (16, 32, 64, 128)
"""Sides of the defects that are laid."""
_LEAST_DRAWN_PX = 100
"""Defects are drawn at least this long, and smaller ones are pieces of them: strokes keep their width."""
_MOST = 1.3
"""Beyond so many times the stated contrast nothing of a defect goes, the roughened skin around it neither."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What the camera does to what it sees, against how it was when the station was last known to see.

    Attributes:
        blur_px: Standard deviation of the Gaussian that blurs it, pixels; 0: as sharp as then.
        contrast: Share of the contrast that is left, 0 to 1.
    """

    blur_px: float = 0.0
    contrast: float = 1.0


AS_BEFORE = Passage()


def laid_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return which of a bundle's labels can be laid; if it has none of them, all that the generator draws."""
    return tuple(kind for kind in KINDS if kind in labels) or KINDS


def lay_defect(
    tile: Pixels, label: str, size_px: int, rng: np.random.Generator, passage: Passage = AS_BEFORE
) -> Pixels:
    """Return a copy of a clean tile with a defect of that kind at a random place, wholly inside.

    Args:
        tile: (H, W) uint8 grey.
        label: One of `spec.KINDS`.
        size_px: Side of the square that holds it; at most the tile's shorter side counts.
        rng: Where it lies and what it looks like.
        passage: What has become of light, focus and glass.

    Raises:
        KeyError: No such kind.
    """
    change = draw_piece(label, min(size_px, *tile.shape), rng)
    if passage.blur_px > 0:
        margin = int(3 * passage.blur_px) + 1
        change = cv2.GaussianBlur(np.pad(change, margin), (0, 0), passage.blur_px).astype(np.float32)
    top, left = (max(0, have - room) // 2 for have, room in zip(change.shape, tile.shape, strict=True))
    change = change[top : top + tile.shape[0], left : left + tile.shape[1]]
    height, width = change.shape
    y, x = int(rng.integers(tile.shape[0] - height + 1)), int(rng.integers(tile.shape[1] - width + 1))
    laid = tile.copy()
    under = laid[y : y + height, x : x + width].astype(np.float32)
    light = cv2.blur(under, (31, 31), borderType=cv2.BORDER_REPLICATE)
    shown = under + change * light * (CONTRAST * passage.contrast)
    laid[y : y + height, x : x + width] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return laid


def draw_piece(label: str, size_px: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return (size_px, size_px): the change of grey, about 1 where the ink is plainest, faded out in a circle.

    Raises:
        KeyError: No such kind.
    """
    stamp = draw_long_defect(label, rng, max(_LEAST_DRAWN_PX, size_px))
    delta, ink = (_at_least(each, size_px).astype(np.float32) for each in (stamp.delta, stamp.ink))
    held = cv2.boxFilter(ink, -1, (size_px, size_px), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
    held = held[: ink.shape[0] - size_px + 1, : ink.shape[1] - size_px + 1]
    y, x = divmod(int(held.argmax()), held.shape[1])
    part = (slice(y, y + size_px), slice(x, x + size_px))
    plain = np.abs(delta[part][ink[part] >= 128])
    change = delta[part] / (np.quantile(plain, 0.9) if plain.size else ONE)
    return np.asarray(np.clip(change, -_MOST, _MOST) * _round_fade(size_px), np.float32)


def _round_fade(side_px: int) -> npt.NDArray[np.float64]:
    """Return (side_px, side_px): 1 in the middle, falling to 0 at the circle that touches the sides."""
    across = (2 * np.arange(side_px) + 1) / side_px - 1
    inside = np.clip(2.5 * (1 - (across**2)[:, None] - (across**2)[None, :]), 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))


def _at_least(values: npt.NDArray[Any], side_px: int) -> npt.NDArray[Any]:
    """Return an array padded with zeros, evenly on both sides, to at least this many rows and columns."""
    missing = [max(0, side_px - length) for length in values.shape]
    return np.pad(values, [(short // 2, short - short // 2) for short in missing])
