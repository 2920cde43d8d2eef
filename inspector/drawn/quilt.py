"""More surface of the same kind, grown from one picture by image quilting.

Efros and Freeman, "Image quilting for texture synthesis and transfer", SIGGRAPH 2001: blocks are laid one by one, each
chosen among random candidates by how well its rim agrees with what lies there, and cut along the path of least
difference. Pure: the same random numbers give the same field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels

CANDIDATES = 24
"""Blocks among which each is chosen."""

_Field = npt.NDArray[np.float32]


class Surface(Protocol):
    """A picture of which blocks may be cut."""

    @property
    def pixels(self) -> Pixels:
        """(H, W) uint8."""

    def corners(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Return (count, 2) rows of (y, x), top left corners of blocks, at random."""


@dataclass(frozen=True, slots=True, eq=False)
class WholeSurface:
    """A picture that is surface all over, and the side of the blocks that are cut from it; see `Surface`."""

    pixels: Pixels
    block_px: int

    def corners(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """See `Surface`."""
        return np.stack([rng.integers(0, side - self.block_px + 1, count) for side in self.pixels.shape], axis=1)


def quilt_row(
    surface: Surface, above: _Field | None, columns: int, rng: np.random.Generator, block_px: int, rim_px: int
) -> _Field:
    """Return a row of blocks, (block_px, columns * (block_px - rim_px) + rim_px), grown from what lies above it.

    Args:
        surface: Where blocks come from.
        above: The last `rim_px` lines so far, which the row covers as far as the cuts go; None: it is the first.
        columns: Blocks beside each other.
        rng: Which candidates are drawn.
        block_px: Side of a block.
        rim_px: What it shares with its neighbours.
    """
    step = block_px - rim_px
    field = np.zeros((block_px, columns * step + rim_px), np.float32)
    if above is not None:
        field[:rim_px] = above
    for column in range(columns):
        here = field[:, column * step : column * step + block_px]
        block = _choose(surface, here, above is not None, column > 0, rng, rim_px)
        mask = np.ones((block_px, block_px), bool)
        if column:
            mask[:, :rim_px] &= _cut((here[:, :rim_px] - block[:, :rim_px]) ** 2)
        if above is not None:
            mask[:rim_px, :] &= _cut(((here[:rim_px] - block[:rim_px]) ** 2).T).T
        here[mask] = block[mask]
    return field


def _choose(surface: Surface, here: _Field, above: bool, left: bool, rng: np.random.Generator, rim: int) -> _Field:
    side = len(here)
    chosen = surface.corners(CANDIDATES if above or left else 1, rng)
    blocks = np.stack([surface.pixels[y : y + side, x : x + side] for y, x in chosen]).astype(np.float32)
    if len(blocks) == 1:
        return np.asarray(blocks[0], np.float32)
    error = np.zeros(len(blocks))
    if left:
        error += ((blocks[:, :, :rim] - here[:, :rim]) ** 2).sum(axis=(1, 2))
    if above:
        error += ((blocks[:, :rim, :] - here[:rim, :]) ** 2).sum(axis=(1, 2))
    return np.asarray(blocks[int(error.argmin())], np.float32)


def _cut(error: _Field) -> npt.NDArray[np.bool_]:
    """Return which pixels of a vertical (H, rim) seam belong to the new block: those right of the cheapest path."""
    height, rim = error.shape
    padded = np.full((height, rim + 2), np.inf, np.float32)
    cost = padded[:, 1:-1]
    cost[0] = error[0]
    for y in range(1, height):
        before = padded[y - 1]
        cost[y] = error[y] + np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    mask = np.zeros((height, rim), bool)
    x = int(cost[-1].argmin())
    for y in range(height - 1, -1, -1):
        mask[y, x:] = True
        if y:
            low = max(0, x - 1)
            x = low + int(cost[y - 1, low : min(rim, x + 2)].argmin())
    return mask
