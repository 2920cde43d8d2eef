"""Where the tiles of a frame lie. Pure geometry: no pixels are touched until `cut_tiles`.

Tiles are `tile_px` squares on a regular stride; the last row and column lie flush with the edge, so every pixel is
covered and no tile leaves the frame. A frame smaller than a tile is one tile of the frame's own size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.errors import ConfigError
from inspector.frame import Pixels

SINGLE_TILE_RATIO = 1.25
"""A still up to this many tiles a side is scored as one tile: a 224 px crop of a 200 px model is one picture."""
STREAM_OVERLAP = 8
"""Tiles of a stream share this part of their side: what one tile's edge cuts the next one sees."""
MAX_CORNER_PX = 1_000_000
"""Corners of a polygon may lie outside the frame, but not so far that drawing it overflows."""


@dataclass(frozen=True, slots=True)
class TilingRules:
    """How a frame is cut.

    Attributes:
        tile_px: Field of view of one tile, frame pixels a side.
        overlap_px: Pixels that neighbouring tiles share, at most half a tile's side; None: an eighth of it on a stream
            (docs/decisions/0045), none on stills.
        roi_xy: Corners of a polygon in frame pixels; tiles without a pixel inside are left out. Empty: all.
    """

    tile_px: int
    overlap_px: int | None = 0
    roi_xy: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        most_px = self.tile_px // 2  # there each pixel is scored four times; near a whole tile it is thousands
        if self.overlap_px is not None and not 0 <= self.overlap_px <= most_px:
            raise ConfigError(
                f"tiling.overlap_px must be in 0..{most_px} (half the tile's side, {self.tile_px}): {self.overlap_px}"
            )
        if self.roi_xy and len(self.roi_xy) < 3:
            raise ConfigError(f"tiling.roi_xy needs at least 3 corners: {len(self.roi_xy)}")
        if far := [corner for corner in self.roi_xy if max(map(abs, corner)) > MAX_CORNER_PX]:
            raise ConfigError(f"tiling.roi_xy must lie within {MAX_CORNER_PX} px: {list(far[0])}")

    def overlap_of(self, still: bool) -> int:
        """Return how many pixels neighbouring tiles share on a still, or on a frame of a stream."""
        if self.overlap_px is not None:
            return self.overlap_px
        return 0 if still else self.tile_px // STREAM_OVERLAP


def _offsets(extent_px: int, tile_px: int, stride_px: int) -> list[int]:
    if extent_px <= tile_px:
        return [0]
    offsets = list(range(0, extent_px - tile_px, stride_px))
    return [*offsets, extent_px - tile_px]


@lru_cache(maxsize=64)
def plan_tiles(height_px: int, width_px: int, rules: TilingRules, still: bool = True) -> tuple[Box, ...]:
    """Return the tiles of a still, or of a frame of a stream, row by row from the top left.

    Every pixel of the frame (of the region of interest, where one is set) lies in at least one box; no box leaves the
    frame. A frame up to `SINGLE_TILE_RATIO` tiles a side is one box.

    Raises:
        ConfigError: The region of interest has no pixel in a frame of this size.
    """
    side = rules.tile_px
    if max(height_px, width_px) <= SINGLE_TILE_RATIO * side and not rules.roi_xy:
        return (Box(0, 0, width_px, height_px),)
    stride = side - rules.overlap_of(still)
    tile_h, tile_w = min(side, height_px), min(side, width_px)
    boxes = [
        Box(x, y, tile_w, tile_h) for y in _offsets(height_px, side, stride) for x in _offsets(width_px, side, stride)
    ]
    if not rules.roi_xy:
        return tuple(boxes)
    mask = roi_mask(height_px, width_px, rules.roi_xy)
    kept = tuple(box for box in boxes if mask[box.y : box.bottom, box.x : box.right].any())
    if not kept:
        raise ConfigError(f"tiling.roi_xy has no pixel in the frame of {width_px}x{height_px}: {list(rules.roi_xy)}")
    return kept


def roi_mask(height_px: int, width_px: int, roi_xy: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Return the (H, W) mask of the polygon, its outline included."""
    mask = np.zeros((height_px, width_px), np.uint8)
    cv2.fillPoly(mask, [np.array(roi_xy, np.int32)], 1)
    return mask.astype(bool)


def cut_tiles(pixels: Pixels, boxes: Sequence[Box]) -> Iterator[Pixels]:
    """Yield the pixels under each box, views of `pixels` in the order of `boxes`."""
    for box in boxes:
        yield pixels[box.y : box.bottom, box.x : box.right]
