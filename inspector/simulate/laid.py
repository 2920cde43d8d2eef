"""What lies on the strip, as a change of the light under it: drawn whole, a drawn piece of a stated size, or pasted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.drawn.defects import draw_defect
from inspector.drawn.laid import CONTRAST, draw_piece
from inspector.drawn.noise import ONE, between
from inspector.frame import Pixels

LEVEL = 130
"""Grey on which the generator draws."""
SHOWN = 0.08
"""Least share of the plainest change that still belongs to a piece's box."""
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """A defect at its place.

    Attributes:
        label: What it is.
        box: What is changed; `y` in lines of the strip.
        change: (H, W) of the box, added as a share of the light.
        cover: (H, W) from 0 to 1: how much of the ground's own texture is hidden.
        rim_px: Of the box, what is no part of the defect, on each side.
        ordinal: Names it on its strip.
    """

    label: str
    box: Box
    change: _Floats
    cover: _Floats
    rim_px: tuple[int, int] = (0, 0)
    ordinal: int = -1

    @property
    def shows(self) -> Box:
        """Where the defect itself lies, tight."""
        (dy, dx), box = self.rim_px, self.box
        return Box(box.x + dx, box.y + dy, box.width - 2 * dx, box.height - 2 * dy)

    def at(self, x: int, y: int, ordinal: int) -> Laid:
        """Return it elsewhere."""
        return replace(self, box=Box(x, y, self.box.width, self.box.height), ordinal=ordinal)


def lay(pixels: Pixels, first_line: int, laid: Laid) -> None:
    """Lay a defect on the lines from `first_line` on, which hold it wholly."""
    box = laid.box
    under = pixels[box.y - first_line : box.bottom - first_line, box.x : box.right]
    light = cv2.blur(under, (31, 31), borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    shown = under + (light - under) * laid.cover + laid.change * light
    under[:] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def draw_whole(label: str, rng: np.random.Generator) -> Laid:
    """Return a defect of that kind as the generator draws it for tiles of 200 px."""
    stamp = draw_defect(label, rng, 200)
    return Laid(
        label,
        stamp.box,
        stamp.delta.astype(np.float32) / np.float32(ONE * LEVEL),
        stamp.cover.astype(np.float32) / np.float32(256),
    )


def draw_sized(label: str, size_px: int, contrast: float | None, rng: np.random.Generator) -> Laid:
    """Return a piece of a drawn defect whose longer side is about `size_px`; the box is tight."""
    change = draw_piece(label, size_px, rng) * np.float32(CONTRAST if contrast is None else contrast)
    ys, xs = np.nonzero(np.abs(change) >= SHOWN * np.abs(change).max())
    part = np.ascontiguousarray(change[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
    return Laid(label, Box(0, 0, part.shape[1], part.shape[0]), part, np.zeros_like(part))


def paste(
    label: str, picture: Pixels, rim_px: int, size_px: int | None, contrast: float | None, rng: np.random.Generator
) -> Laid:
    """Return a photographed defect.

    Args:
        label: What it is.
        picture: (H, W) uint8, with `rim_px` of its surroundings, or none.
        rim_px: Width of that rim on each side: it fades into the strip and is no part of the defect.
        size_px: Its longer side without the rim; None: as photographed.
        contrast: As `Order.contrast`.
        rng: Which way round it lies.
    """
    grey = picture.astype(np.float32)
    light = max(float(np.median(_rim_of(grey, max(rim_px, 2)))), 1.0)
    change, ratio = grey / np.float32(light) - 1, 1.0
    if size_px is not None:
        ratio = size_px / max(side - 2 * rim_px for side in picture.shape)
        wide, high = (max(2, round(side * ratio)) for side in (picture.shape[1], picture.shape[0]))
        how = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        change = np.asarray(cv2.resize(change, (wide, high), interpolation=how), np.float32)
    if contrast is not None:
        plain = np.quantile(np.abs(change), 0.9)
        change = np.clip(change * np.float32(contrast / max(float(plain), 0.01)), -1, 3)
    for axis in (0, 1):
        if rng.random() < 0.5:
            change = np.flip(change, axis)
    cover = _fade(change.shape, max(1, min(8, min(change.shape) // 4)))
    change = np.ascontiguousarray(change * cover, np.float32)
    rim = min(round(rim_px * ratio), (min(change.shape) - 1) // 2)
    return Laid(label, Box(0, 0, change.shape[1], change.shape[0]), change, cover, (rim, rim))


def _rim_of(grey: _Floats, rim_px: int) -> _Floats:
    inside = np.ones(grey.shape, bool)
    inside[rim_px:-rim_px, rim_px:-rim_px] = False
    return grey[inside]


def _fade(shape: tuple[int, ...], edge_px: int) -> _Floats:
    """Return 1 inside, falling to nearly 0 over `edge_px` at the rim."""
    ramps = [np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) for side in shape]
    return np.clip(np.minimum(ramps[0][:, None], ramps[1][None, :]) / (edge_px + 1), 0, 1).astype(np.float32)


def log_between(rng: np.random.Generator, low: int, high: int) -> int:
    """Return a size, each octave as likely as another."""
    return min(high, max(low, round(float(2 ** between(rng, np.log2(low), np.log2(high))))))
