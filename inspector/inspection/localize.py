"""Where in its tile a defect lies, read from the class activation map of its label. Pure arithmetic on whole numbers.

The box goes around everything that is hot, not around the hottest blob: inclusions and patches come in groups. A
defect that fills its tile raises the map everywhere, and its box is the tile. Both limits were chosen on validation
pictures and strips (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from inspector.box import Box

HOT = (3, 10)
"""A place is hot if it reaches this share of the way from the map's mean to its maximum."""
FLAT = 2
"""A map is hot everywhere if its maximum exceeds its mean by less than this many times the label's lead."""
STEPS = 4
"""Places a side into which a cell is divided, between cells along straight lines."""
_AT_ONCE = 64


_Floats = npt.NDArray[np.float64]


def locate(cam: npt.NDArray[np.int8], leading: Sequence[int], windows: Sequence[Box]) -> list[Box]:
    """Return the box of each tile's defect, in the pixels that its window is given in and inside that window.

    Args:
        cam: (N, h, w, C) class activation maps in steps of their quantization, whatever step and zero are.
        leading: N places among the C labels: what each tile shows.
        windows: N; where each tile lies.
    """
    boxes: list[Box] = []
    for start in range(0, len(leading), _AT_ONCE):  # a frame that is all defects must not fill the memory
        part = slice(start, start + _AT_ONCE)
        boxes += _locate(cam[part].astype(np.float64), np.asarray(leading[part]), windows[part])
    return boxes


def _locate(cam: _Floats, leading: npt.NDArray[np.intp], windows: Sequence[Box]) -> list[Box]:
    """As `locate`. The values are whole numbers, of which float64 adds and multiplies exactly: no sum rounds."""
    count, rows, columns, _ = cam.shape
    each = np.arange(count)
    heat, cells = cam[each, :, :, leading], rows * columns
    totals = cam.sum(axis=(1, 2))
    own = totals[each, leading]
    totals[each, leading] = -np.inf
    flat = cells * heat.max(axis=(1, 2)) - own < FLAT * (own - totals.max(axis=1))
    grown = _growth(rows) @ heat @ _growth(columns).T
    places = grown.shape[1] * grown.shape[2]
    mean, top = grown.sum(axis=(1, 2)), grown.max(axis=(1, 2)) * places
    level = HOT[1] * mean + HOT[0] * (top - mean)
    hot = (HOT[1] * places * grown >= level[:, None, None]) | flat[:, None, None]
    y, bottom = _span(hot.any(axis=2))
    x, right = _span(hot.any(axis=1))
    return [
        _in_window(window, (int(x[n]), int(right[n]), hot.shape[2]), (int(y[n]), int(bottom[n]), hot.shape[1]))
        for n, window in enumerate(windows)
    ]


def locate_far(heat: _Floats, limit: float, windows: Sequence[Box]) -> list[Box]:
    """Return the box around the places of each tile that are far, in the pixels of its window.

    Far is what is beyond the limit and reaches half of the tile's farthest place: a place sees its surroundings, too,
    so that around something very strange all are beyond the limit.

    Args:
        heat: (N, h, w) distances of places.
        limit: Of a tile without a place beyond it, the farthest counts.
        windows: N; where each tile lies.
    """
    farthest = heat.max(axis=(1, 2))[:, None, None]
    hot = (heat > limit) & (heat >= farthest / 2) | (heat == farthest)
    y, bottom = _span(hot.any(axis=2))
    x, right = _span(hot.any(axis=1))
    return [
        _in_window(window, (int(x[n]), int(right[n]), hot.shape[2]), (int(y[n]), int(bottom[n]), hot.shape[1]))
        for n, window in enumerate(windows)
    ]


@lru_cache(maxsize=8)
def _growth(cells: int) -> _Floats:
    """Return (STEPS * cells, cells) weights, whole numbers, that draw a row of cells along straight lines."""
    doubled = np.clip(2 * np.arange(STEPS * cells) + 1 - STEPS, 0, 2 * STEPS * (cells - 1))
    below, share = np.divmod(doubled, 2 * STEPS)
    weights = np.zeros((STEPS * cells, cells))
    place = np.arange(STEPS * cells)
    weights[place, below] += 2 * STEPS - share
    weights[place, np.minimum(below + 1, cells - 1)] += share
    return weights


def _span(hot: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return for each row of (N, P) its first hot place, and one past its last."""
    return hot.argmax(axis=1), hot.shape[1] - hot[:, ::-1].argmax(axis=1)


def _in_window(window: Box, across: tuple[int, int, int], along: tuple[int, int, int]) -> Box:
    """Map a span of grid places back to pixels inside `window`, rounded outwards."""
    (x, right, places_x), (y, bottom, places_y) = across, along
    left, top = x * window.width // places_x, y * window.height // places_y
    width = -(-right * window.width // places_x) - left
    height = -(-bottom * window.height // places_y) - top
    return Box(window.x + left, window.y + top, width, height)
