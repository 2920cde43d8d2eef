"""From frame pixels to the bytes the network sees. Training and the daemon share this module, so both see the same.

The model takes uint8 grey pixels untouched (input scale 1/128, zero point 128), so preparing a tile is: one channel,
one size. There is no normalization here, and there must never be: it is inside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import cv2
import numpy as np

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.tiling import cut_tiles

cv2.setNumThreads(1)  # tiles are small: OpenCV's own threads only get into the workers' way


MOST_PHASES = 128
"""Most output pixels of the period of a resize for which OpenCV's weights, of 8 bits, are exact."""
WORTHWHILE = 1.5
"""A frame is resized at once if it has at most this many pixels for each pixel of its tiles."""


def to_grey(pixels: Pixels) -> Pixels:
    """Return (H, W) uint8 luma (ITU-R BT.601, as OpenCV rounds it); grey input comes back as it is, not copied.

    Args:
        pixels: (H, W) grey or (H, W, 3) BGR, uint8. Three equal channels give exactly that channel.
    """
    return pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def resize_tile(tile: Pixels, input_px: int) -> Pixels:
    """Return `tile` as (input_px, input_px) uint8: bilinear, or averaged over areas when it shrinks to half or less.

    Bilinear is OpenCV's bit-exact kind: the same bytes on every processor, at a third of the time of area averaging
    (28 against 85 us for 200 to 128 px); area averaging was a fifth of the small model's 0.4 ms a tile.

    Args:
        tile: (H, W) uint8 grey.
        input_px: Side of the network's input, pixels.
    """
    height, width = tile.shape
    if (height, width) == (input_px, input_px):
        return np.ascontiguousarray(tile)
    method = cv2.INTER_AREA if min(height, width) >= 2 * input_px else cv2.INTER_LINEAR_EXACT
    return np.asarray(cv2.resize(tile, (input_px, input_px), interpolation=method), dtype=np.uint8)


def shared_step_px(tile_px: int, input_px: int) -> int | None:
    """Return at which multiples of pixels a square tile may begin to be resized with its whole frame, or None.

    There a resized frame shows, pixel for pixel, the tile resized by itself: both sample the same places, none of them
    beyond the tile's edge, and as each lies a whole number of 256ths of a pixel from the next, both are exact
    (docs/decisions/0040). 25 for 200 to 128 px. None for what grows, or shrinks to half and less.
    """
    common = gcd(tile_px, input_px)
    shrunk = input_px // common
    if not input_px < tile_px < 2 * input_px or shrunk & (shrunk - 1) or shrunk > MOST_PHASES:
        return None
    return tile_px // common


def cut_inputs(grey: Pixels, boxes: Sequence[Box], input_px: int) -> list[Pixels]:
    """Return the tiles of a frame, resized already where one resize of the whole frame gives the same bytes cheaper.

    Per pixel of the frame that takes half of what it takes tile by tile, and where tiles overlap less still. A tile
    that begins elsewhere, as the last row and column may, comes as it is.

    Args:
        grey: (H, W) uint8.
        boxes: Inside it.
        input_px: Side of the network's input, pixels.

    Returns:
        Views in the order of `boxes`: (input_px, input_px) or of the box's own size. `to_input` gives the same bytes
        for them as for the tiles.
    """
    tiles = list(cut_tiles(grey, boxes))
    if not boxes:
        return tiles
    side = boxes[0].width
    if (step := shared_step_px(side, input_px)) is None:
        return tiles
    shared = [
        n for n, box in enumerate(boxes)
        if (box.width, box.height) == (side, side) and box.x % step == box.y % step == 0
    ]  # fmt: skip
    if not shared:
        return tiles
    left, top = (min(getattr(boxes[n], name) for n in shared) for name in ("x", "y"))
    right, bottom = (max(getattr(boxes[n], name) for n in shared) for name in ("right", "bottom"))
    if (right - left) * (bottom - top) > WORTHWHILE * len(shared) * side**2:
        return tiles
    size = tuple(extent * input_px // side for extent in (right - left, bottom - top))
    small = np.asarray(cv2.resize(grey[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)
    for n in shared:
        x, y = ((start - first) * input_px // side for start, first in ((boxes[n].x, left), (boxes[n].y, top)))
        tiles[n] = small[y : y + input_px, x : x + input_px]
    return tiles


def to_input(pixels: Pixels, input_px: int) -> Pixels:
    """Return one whole picture as the network's (input_px, input_px) uint8 grey input; aspect ratio is not kept."""
    return resize_tile(to_grey(pixels), input_px)
