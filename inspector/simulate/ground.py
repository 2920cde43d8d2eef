"""The strip without defects, drawn or quilted from pictures of clean surface; read from its head on, once."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from inspector.drawn.noise import between, rng_of
from inspector.drawn.quilt import WholeSurface, quilt_row
from inspector.drawn.spec import StripSpec
from inspector.drawn.strip import Strip
from inspector.frame import Pixels
from inspector.simulate.order import Order, OrderError
from inspector.simulate.pictures import find_pictures, read_grey

BLOCK_PX, RIM_PX = 96, 24
"""Blocks that are quilted, and what they share: the wider, the better the cut."""
SECTION_ROWS = 16
"""Rows of blocks that come from one picture."""
LIGHT_PX = 40.0
"""Standard deviation of the blur that shows a picture's light."""
MAX_PICTURES = 256
"""Beyond so many, pictures are taken evenly from the folder: all are in memory."""
QUILT, EDGE = 101, 102
"""Random streams of their own."""
LEAST_DRAWN_PX = 300
"""The generator draws no narrower strip; a narrower one is the left part of it."""


class Ground(Protocol):
    """Clean strip."""

    def take(self, count: int) -> Pixels:
        """Return the next (count, width_px) lines, which the caller may change."""


class DrawnGround:
    """The generator's own surface."""

    def __init__(self, order: Order) -> None:
        spec = StripSpec(order.seed, max(order.width_px, LEAST_DRAWN_PX), order.mm_per_px, 0.0)
        self._strip, self._width_px, self._line = Strip(spec), order.width_px, 0

    def take(self, count: int) -> Pixels:
        """See `Ground`."""
        lines = self._strip.lines(self._line, count)
        self._line += count
        return lines if lines.shape[1] == self._width_px else np.ascontiguousarray(lines[:, : self._width_px])


class QuiltedGround:
    """Real surface: rows of blocks, a picture after another (docs/decisions/0043).

    Args:
        order: What is asked for.
        folder: Pictures of clean surface.

    Raises:
        OrderError: There is no picture that is large enough, or one that cannot be read.
    """

    def __init__(self, order: Order, folder: Path) -> None:
        self._seed, self._width_px = order.seed, order.width_px
        self._surfaces = read_surfaces(folder)
        self._columns = -(-(order.width_px - RIM_PX) // (BLOCK_PX - RIM_PX))
        self._row = 0
        self._above: npt.NDArray[np.float32] | None = None
        self._ready: list[Pixels] = []
        self._ready_lines = 0

    def take(self, count: int) -> Pixels:
        """See `Ground`."""
        while self._ready_lines < count:
            self._grow()
        whole = np.concatenate(self._ready)
        self._ready = [whole[count:].copy()]
        self._ready_lines -= count
        return whole[:count].copy()

    def _grow(self) -> None:
        section = self._row // SECTION_ROWS
        turn = rng_of(self._seed, QUILT, 0, section // len(self._surfaces)).permutation(len(self._surfaces))
        surface = self._surfaces[int(turn[section % len(self._surfaces)])]
        rng = rng_of(self._seed, QUILT, 1, self._row)
        field = quilt_row(surface, self._above, self._columns, rng, BLOCK_PX, RIM_PX)
        self._above = field[-RIM_PX:]
        self._ready.append(field[:-RIM_PX, : self._width_px].astype(np.uint8))
        self._ready_lines += BLOCK_PX - RIM_PX
        self._row += 1


def quilt_rows(surface: WholeSurface, rows: int, columns: int, rng: np.random.Generator) -> Pixels:
    """Return rows of blocks of one picture, as the strip has them."""
    field, above = [], None
    for _ in range(rows):
        grown = quilt_row(surface, above, columns, rng, BLOCK_PX, RIM_PX)
        above = grown[-RIM_PX:]
        field.append(grown[:-RIM_PX])
    return np.concatenate(field).astype(np.uint8)


def read_surfaces(folder: Path) -> list[WholeSurface]:
    """Return pictures of clean surface, evenly lit, all as bright as their middle one.

    Blocks from a bright and a dark part of a picture would show as patches: what changes over more than a block is
    light, and taken out.

    Raises:
        OrderError: As `QuiltedGround`.
    """
    paths = find_pictures(folder, "--ground")
    paths = paths[:: -(-len(paths) // MAX_PICTURES)]
    pictures = [read_grey(path, "--ground") for path in paths]
    pictures = [pixels for pixels in pictures if min(pixels.shape) >= BLOCK_PX + 16]
    if not pictures:
        raise OrderError("--ground", f"no picture of at least {BLOCK_PX + 16} px a side in {folder}")
    level = float(np.median([pixels.mean() for pixels in pictures]))
    return [WholeSurface(even_light(pixels, level), BLOCK_PX) for pixels in pictures]


def even_light(pixels: Pixels, level: float) -> Pixels:
    """Return a picture, (H, W) uint8, whose light is `level` all over: divided by itself, blurred over a block."""
    light = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), LIGHT_PX, borderType=cv2.BORDER_REFLECT_101)
    return np.clip(np.rint(pixels * (level / np.maximum(light, 1.0))), 0, 255).astype(np.uint8)


def open_ground(order: Order) -> Ground:
    """Return the ground of an order.

    Raises:
        OrderError: As `QuiltedGround`.
    """
    return DrawnGround(order) if order.ground is None else QuiltedGround(order, order.ground)


class Edges:
    """What lies beside a strip that is narrower than the picture: a dark roll behind it, and the burr of the cut."""

    EVERY_LINES = 1500

    def __init__(self, order: Order) -> None:
        self._order = order
        rng = rng_of(order.seed, EDGE, 0)
        self._dark = int(between(rng, 8, 30))
        self._noise = rng.integers(-3, 4, (61, order.width_px)).astype(np.int16)

    def draw(self, pixels: Pixels, first_line: int) -> None:
        """Cover the lines from `first_line` of the strip on, outside its edges."""
        rows = np.arange(first_line, first_line + len(pixels))
        across = np.arange(pixels.shape[1])[None, :]
        left = self._margin(rows, 0)[:, None]
        right = pixels.shape[1] - self._margin(rows, 1)[:, None]
        beside = (across < left) | (across >= right)
        burr = ((across >= left) & (across < left + 2)) | ((across >= right - 2) & (across < right))
        background = np.clip(self._dark + self._noise[rows % len(self._noise)], 0, 255).astype(np.uint8)
        pixels[beside] = background[beside]
        pixels[burr] = pixels[burr] // 2 + 110

    def _margin(self, rows: npt.NDArray[np.intp], side: int) -> npt.NDArray[np.intp]:
        """Return how many columns lie beside the strip, which wanders."""
        knot = rows // self.EVERY_LINES
        low, high = int(knot.min()), int(knot.max()) + 1
        most = self._order.margin_px
        knots = [int(rng_of(self._order.seed, EDGE, 1 + side, at).integers(most // 2, most + 1)) for at in
                 range(low, high + 1)]  # fmt: skip
        return np.interp(rows / self.EVERY_LINES, np.arange(low, high + 1), knots).astype(np.intp)
