"""How far places are from the site's reference, as a picture: steel that is like it stays as it is, the rest glows.

A place glows from half the limit on, from yellow to red at the farthest place, or at twice the limit if that is more;
where it is beyond the limit, it has an outline. Overlapping tiles show the larger distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.frame import Pixels

GLOWS_FROM, GLOWS_MOST_AT = 0.5, 2.0
"""Shares of the limit."""
_STRENGTH = 0.6
_MILD_BGR, _STRONG_BGR = np.array([0.0, 220.0, 255.0]), np.array([0.0, 0.0, 255.0])
_OUTLINE_BGR = (255, 255, 255)


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """How far places of a frame are from the site's reference.

    Attributes:
        boxes: N tiles of the frame.
        distances: (N, h, w) of their places.
        limit: The distance beyond which a place is strange.
    """

    boxes: tuple[Box, ...]
    distances: npt.NDArray[np.float64]
    limit: float


def draw_heat(pixels: Pixels, heat: Heat, part: Box | None = None) -> Pixels:
    """Return (H, W, 3) BGR: the pixels, or a part of them, glowing where they are far from the reference."""
    height, width = pixels.shape[:2]
    part = part or Box(0, 0, width, height)
    crop = pixels[part.y : part.bottom, part.x : part.right]
    view = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) if crop.ndim == 2 else crop.copy()
    shares = _shares(heat, part)
    most = max(GLOWS_MOST_AT, float(shares.max(initial=0.0)))
    glow = np.clip((shares - GLOWS_FROM) / (most - GLOWS_FROM), 0, 1)[..., None]
    colour = _MILD_BGR + (_STRONG_BGR - _MILD_BGR) * glow
    strength = _STRENGTH * np.sqrt(glow)
    drawn: Pixels = np.rint(view * (1 - strength) + colour * strength).astype(np.uint8)
    outlines, _ = cv2.findContours((shares > 1).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(drawn, outlines, -1, _OUTLINE_BGR, 1)
    return drawn


def _shares(heat: Heat, part: Box) -> npt.NDArray[np.float64]:
    """Return (H, W) of a part: each pixel's distance as a share of the limit."""
    shares = np.zeros((part.height, part.width))
    limit = max(heat.limit, np.finfo(np.float64).tiny)
    for box, distances in zip(heat.boxes, heat.distances, strict=True):
        x0, y0 = max(box.x, part.x), max(box.y, part.y)
        x1, y1 = min(box.right, part.right), min(box.bottom, part.bottom)
        if x0 < x1 and y0 < y1:
            grown = cv2.resize(distances / limit, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
            own = grown[y0 - box.y : y1 - box.y, x0 - box.x : x1 - box.x]
            place = shares[y0 - part.y : y1 - part.y, x0 - part.x : x1 - part.x]
            np.maximum(place, own, out=place)
    return shares
