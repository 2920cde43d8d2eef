"""Where the strip's edges are in a picture: columns that are strip, told from the roll or the gap beside it.

A column is strip if its grey lies on the strip's side of the middle between both; the strip is the longest run of such
columns. An edge is a step: where the light falls off slowly, the strip goes on to the picture's border. Rows are
sampled, so that it costs little, and the outermost edge among a few bands of rows counts: a strip that wanders within
a frame is inspected as far as it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.frame import Pixels

BANDS, ROWS_A_BAND = 4, 16
"""Of a frame's rows so many are looked at, in so many bands."""
LEAST_STEP = 15.0
"""Grey levels between strip and background; with less there is no edge in the picture."""
LEAST_SHARP = 0.25
"""This share of what parts strip and background lies within 3 % of the picture's width at an edge. Light that falls off
evenly over half of the picture changes by 6 % there, a blurred edge by nearly all."""
LEAST_WIDTH = 0.05
"""A strip is at least this share of the picture's width."""


@dataclass(frozen=True, slots=True)
class EdgeRules:
    """How the strip's edges are known.

    Attributes:
        find: They are looked for in each frame.
        fixed: Columns of left and right edge, or None.
        background: What lies beside the strip.
    """

    find: bool = False
    fixed: tuple[int, int] | None = None
    background: Literal["dark", "bright"] = "dark"

    def of(self, grey: Pixels) -> tuple[int, int] | None:
        """Return the columns at which the strip begins and ends in a (H, W) picture; None: there is no strip in it."""
        width = grey.shape[1]
        if self.fixed is not None:
            left, right = self.fixed[0], min(self.fixed[1], width)
            return (left, right) if left < right else None
        return find_edges(grey, self.background) if self.find else (0, width)


def find_edges(grey: Pixels, background: Literal["dark", "bright"] = "dark") -> tuple[int, int] | None:
    """Return the columns at which the strip begins and ends; the picture's own where no edge is in it.

    Args:
        grey: (H, W) uint8.
        background: What lies beside the strip.

    Returns:
        First column and one past the last; None: no strip is in the picture.
    """
    height, width = grey.shape
    rows = np.unique(np.linspace(0, height - 1, min(height, BANDS * ROWS_A_BAND)).astype(np.intp))
    found = []
    for band in np.array_split(rows, min(BANDS, len(rows))):
        profile = grey[band].mean(axis=0, dtype=np.float32)
        if (edges := _edges_of(profile if background == "dark" else 255 - profile)) is not None:
            found.append(edges)
    if not found:
        return None
    left, right = min(edges[0] for edges in found), max(edges[1] for edges in found)
    return (left, right) if right - left >= LEAST_WIDTH * width else None


def _edges_of(profile: npt.NDArray[np.floating]) -> tuple[int, int] | None:
    """Return the longest run of bright columns; all of them where no background is among them."""
    bright, rim = float(np.percentile(profile, 97)), max(4, len(profile) // 100)
    dark = min(float(profile[:rim].mean()), float(profile[-rim:].mean()))
    if bright - dark < LEAST_STEP:
        return 0, len(profile)
    strip = np.concatenate([[0], (profile > (bright + dark) / 2).astype(np.int8), [0]])
    steps = np.flatnonzero(np.diff(strip))
    begins, ends = steps[::2], steps[1::2]
    closes = np.flatnonzero(begins[1:] - ends[:-1] > len(profile) // 50)  # a dark streak does not part the strip
    begins = begins[np.concatenate([[0], closes + 1])] if len(begins) else begins
    ends = ends[np.concatenate([closes, [len(ends) - 1]])] if len(ends) else ends
    if not len(begins):
        return None
    longest = int(np.argmax(ends - begins))
    least = LEAST_SHARP * (bright - dark)
    left = _edge_outside(profile, int(begins[longest]), rim, least)
    return left, len(profile) - _edge_outside(profile[::-1], len(profile) - int(ends[longest]), rim, least)


def _edge_outside(profile: npt.NDArray[np.floating], column: int, reach: int, least: float) -> int:
    """Return where the strip begins: at `column` if a step is there, else at the greatest step before it, else at 0.

    A step is the mean of `reach` columns less that of `reach` columns before, and of `reach` between them: at least
    `least`.
    """

    def step(at: int) -> tuple[float, float]:
        before, behind = profile[max(0, at - reach) : at], profile[at + reach : at + 2 * reach]
        return float(before.mean()) if at > 0 else float(profile[0]), float(behind.mean()) if len(behind) else 0.0

    tried = [(step(at), at) for at in (max(0, column - reach // 2), *range(0, column, max(1, reach // 2)))]
    steps = [behind - before for (before, behind), _ in tried]
    if steps[0] >= least:
        return column
    best = int(np.argmax(steps))
    if steps[best] < least:
        return 0
    (before, behind), at = tried[best]
    return int(at + np.argmax(profile[at : at + 2 * reach] > (before + behind) / 2))


def on_strip(boxes: tuple[Box, ...], edges: tuple[int, int]) -> tuple[Box, ...]:
    """Return the tiles in which there is a column of strip."""
    left, right = edges
    if all(box.x < right and box.right > left for box in boxes):
        return boxes
    return tuple(box for box in boxes if box.x < right and box.right > left)
