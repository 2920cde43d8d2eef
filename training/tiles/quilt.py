"""Larger fields of clean steel, grown from the box-free parts of one picture by `inspector.drawn.quilt`.

Pictures without enough surface outside every box give no ground, nor do those whose surface has specks that
stand out, because many of those hide unboxed marks: more than half of NEU-DET's inclusion and scratches test pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inspector.drawn.quilt import quilt_row
from inspector.frame import Pixels
from training.data.dataset import Picture
from training.data.learned import picture_id
from training.data.overlap import high_pass

BLOCK_PX = 48
RIM_PX = 16
BOX_MARGIN_PX = 4
MIN_PLACES = 200
MAX_SPECK = 6.0
"""Strongest speck of credible ground, in spreads of its grain: above lie unmarked scratches and inclusions (by eye)."""
NO_ROOM = "too_little_room"
SPECKS = "specks"


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A picture and where blocks of clean surface may be cut from it.

    Attributes:
        pixels: (H, W) uint8.
        places: (N, 2) rows of (y, x), top-left corners of blocks that touch no box.
        group: The picture's group.
        label: The picture's label.
        picture: The picture's id.
    """

    pixels: Pixels
    places: npt.NDArray[np.intp]
    group: str
    label: str
    picture: str

    def corners(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """See `inspector.drawn.quilt.Surface`."""
        return self.places[rng.integers(0, len(self.places), count)]


def find_ground(picture: Picture, pixels: Pixels, block_px: int = BLOCK_PX) -> Ground | None:
    """Return where a picture shows clean surface, or None if there is too little of it."""
    found = ground_or_reason(picture, pixels, block_px)
    return None if isinstance(found, str) else found


def ground_or_reason(picture: Picture, pixels: Pixels, block_px: int = BLOCK_PX) -> Ground | str:
    """Return where a picture shows clean surface, or why it gives none: `NO_ROOM` or `SPECKS`."""
    taken = np.zeros(pixels.shape, np.uint8)
    for box in picture.boxes:
        top, left = max(0, box.y - BOX_MARGIN_PX), max(0, box.x - BOX_MARGIN_PX)
        taken[top : box.bottom + BOX_MARGIN_PX, left : box.right + BOX_MARGIN_PX] = 1
    sums = cv2.integral(taken)
    side = block_px
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    places = np.argwhere(inside == 0)
    if len(places) < MIN_PLACES:
        return NO_ROOM
    if strongest_speck(pixels, taken == 0) > MAX_SPECK:
        return SPECKS
    return Ground(pixels, places, picture.group, picture.label, picture_id(picture))


def strongest_speck(pixels: Pixels, where: npt.NDArray[np.bool_]) -> float:
    """Return how far the brightest or darkest specks stand out of the grain: the 0.05 % tail over the robust spread."""
    grain = cv2.GaussianBlur(high_pass(pixels), (0, 0), 1.0)[where]
    spread = 1.4826 * float(np.median(np.abs(grain - np.median(grain)))) + 0.3
    return max(float(np.quantile(grain, 0.9995)), -float(np.quantile(grain, 0.0005))) / spread


def quilt(
    ground: Ground,
    height_px: int,
    width_px: int,
    rng: np.random.Generator,
    block_px: int = BLOCK_PX,
    rim_px: int = RIM_PX,
) -> Pixels:
    """Return a (height_px, width_px) field with the texture of `ground`."""
    step = block_px - rim_px
    rows, columns = -(-(height_px - rim_px) // step), -(-(width_px - rim_px) // step)
    field = np.zeros((rows * step + rim_px, columns * step + rim_px), np.float32)
    for top in range(0, rows * step, step):
        above = field[top : top + rim_px] if top else None
        field[top : top + block_px] = quilt_row(ground, above, columns, rng, block_px, rim_px)
    return field[:height_px, :width_px].astype(np.uint8)
