"""Where an activation map points, and how far that is from a box."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box

POINTING_TOLERANCE_PX = 15
"""As in the pointing game of Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126 (2018)."""


class Rectangle(Protocol):
    """A box in pixels; `right` and `bottom` are the first column and row past it."""

    @property
    def x(self) -> int: ...  # noqa: D102
    @property
    def y(self) -> int: ...  # noqa: D102
    @property
    def right(self) -> int: ...  # noqa: D102
    @property
    def bottom(self) -> int: ...  # noqa: D102


def box_iou(first: Box, second: Box) -> float:
    """Return the area that both boxes cover over the area that either does."""
    both = first.shared_px(second)
    return both / (first.area_px + second.area_px - both)


def grown_map(cam: npt.NDArray[Any], width_px: int, height_px: int) -> npt.NDArray[np.float32]:
    """Return one label's (h, w) map drawn to the size of its tile."""
    grown = cv2.resize(cam.astype(np.float32), (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.float32)


def hottest_place(heat: npt.NDArray[Any]) -> tuple[int, int]:
    """Return (x, y) of a map's largest value."""
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    return int(x), int(y)


def off_by_px(place: tuple[int, int], boxes: Iterable[Rectangle]) -> int:
    """Return how many pixels a place lies outside the nearest box, along the farther axis; 0 inside one."""
    x, y = place
    return min(max(b.x - x, x - b.right + 1, b.y - y, y - b.bottom + 1, 0) for b in boxes)
