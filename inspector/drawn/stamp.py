"""Something that is laid on the strip: a drawn defect, a stain, a pasted picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inspector.box import Box
from inspector.drawn.noise import ONE, Delta, Mask, ramp
from inspector.frame import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """Something to lay on the strip.

    Attributes:
        x: Left column.
        y: Top line, absolute.
        delta: (H, W), added; sixteenths of a grey level.
        cover: (H, W), 0..256: how much of the strip's own texture is hidden below.
        ink: (H, W), how plainly the defect itself shows in each pixel.
    """

    x: int
    y: int
    delta: Delta
    cover: Delta
    ink: Mask

    @property
    def box(self) -> Box:
        """Where it lies."""
        height, width = self.delta.shape
        return Box(self.x, self.y, width, height)


def lay(grey: Delta, window: Box, stamp: Stamp) -> None:
    """Lay the part of `stamp` that lies in `window`, the place of `grey` on the strip."""
    box = stamp.box
    left, right = max(window.x, box.x), min(window.right, box.right)
    top, bottom = max(window.y, box.y), min(window.bottom, box.bottom)
    if left >= right or top >= bottom:
        return
    part = (slice(top - box.y, bottom - box.y), slice(left - box.x, right - box.x))
    view = grey[top - window.y : bottom - window.y, left - window.x : right - window.x]
    cover = stamp.cover[part].astype(np.int32)
    if cover.any():
        level = 130 * ONE  # `delta` of a pasted picture counts from here as well
        view -= ((view - level) * cover >> 8).astype(np.int16)
    view += stamp.delta[part]


def stamp_of(picture: Pixels) -> Stamp:
    """Return a picture as a stamp: its own grey, faded into the strip over a few pixels."""
    height, width = picture.shape
    cover = ramp(picture.shape, 8)
    delta = (picture.astype(np.int32) - 130) * ONE * cover >> 8
    return Stamp(0, 0, delta.astype(np.int16), cover.astype(np.int16), np.full((height, width), 255, np.uint8))
