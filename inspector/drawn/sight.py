"""How bright, sharp and rich in contrast a camera shows its surface, and what has become of that since it was noted.

Measured on clean tiles alone, from the surface's own texture: the energy of two bands of it, as a share of the light.
Defocus, dirt and motion take the fine band first; haze, dust and a lamp that glares take both alike. So the share of
the fine band in the coarse one gives the blur, whatever the contrast, and the coarse band the contrast that is left.
A product that is smoother than all that were seen when it was noted looks the same as haze: see docs/sensitivity.md.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inspector.drawn.laid import Passage
from inspector.frame import Pixels

BLURS_PX = (0.0, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The blurs for which the bands are noted: between them a straight line."""
_BANDS_PX = (1.0, 2.0, 4.0)
"""Standard deviations of the Gaussians whose differences are the two bands, fine and coarse."""
_LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Sight:
    """What clean tiles look like.

    Attributes:
        light: Mean grey, 0 to 255.
        fine: Deviation of the fine band, as a share of the light: as it is, and after each further blur of `BLURS_PX`.
        coarse: Of the coarse band, likewise.
    """

    light: float
    fine: tuple[float, ...]
    coarse: tuple[float, ...]


def see(tile: Pixels, blurs_px: Sequence[float] = BLURS_PX[:1]) -> Sight:
    """Return what a clean tile (H, W) uint8 looks like, blurred by each of these."""
    grey = tile.astype(np.float32)
    light = max(float(grey.mean()), 1.0)
    fine, coarse = [], []
    for blur_px in blurs_px:
        steps = [cv2.GaussianBlur(grey, (0, 0), float(np.hypot(width, blur_px))) for width in _BANDS_PX]
        fine.append(max(float((steps[0] - steps[1]).std()) / light, _LEAST))
        coarse.append(max(float((steps[1] - steps[2]).std()) / light, _LEAST))
    return Sight(light, tuple(fine), tuple(coarse))


def middle_of(sights: Sequence[Sight]) -> Sight:
    """Return the median of each measure."""
    return Sight(
        float(np.median([sight.light for sight in sights])),
        tuple(np.median([sight.fine for sight in sights], axis=0).tolist()),
        tuple(np.median([sight.coarse for sight in sights], axis=0).tolist()),
    )


def passage_since(noted: Sight, now: Sight) -> Passage:
    """Return what has become of the camera's picture; sharper and richer than noted is as noted.

    Args:
        noted: With all of `BLURS_PX`.
        now: As it is.
    """
    shares = np.minimum.accumulate(
        [np.log(fine / coarse) for fine, coarse in zip(noted.fine, noted.coarse, strict=True)]
    )
    share = np.log(now.fine[0] / now.coarse[0])
    if share >= shares[0]:
        return Passage(0.0, _left(now.coarse[0], noted.coarse[0]))
    blur_px = float(np.interp(-share, -shares, BLURS_PX))
    return Passage(blur_px, _left(now.coarse[0], float(np.interp(blur_px, BLURS_PX, noted.coarse))))


def _left(now: float, noted: float) -> float:
    return min(1.0, now / noted)
