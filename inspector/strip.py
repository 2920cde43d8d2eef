"""The generator: a moving steel strip with the six defect kinds of NEU at known places, drawn, never photographed.

What is drawn depends on the seed and the absolute line alone, not on how it is sliced into frames, so "drawn against
found" can be counted. The strip is integer arithmetic on seeded noise: the same bytes on every machine. Pure: no I/O,
clock or thread. Training uses other seeds of the same generator than the demo; see `TRAINING_SEEDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspector.decode import decode_picture, read_picture_file
from inspector.errors import ConfigError, PictureError
from inspector.frame import Pixels
from inspector.preprocess import resize_tile, to_grey
from inspector.tiling import Box

KINDS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
CLEAN = "clean"
DEMO_SEED = 0
TRAINING_SEEDS = 1_000_000
"""Training draws with seeds from here on, golden tiles from `GOLDEN_SEEDS` on; the demo and the tests stay below."""
GOLDEN_SEEDS = 2_000_000

MEAN_GREY = 128
CELL_PX = 520
"""Side of the cells that hold at most one defect each."""
MAX_DEFECT_PX = 260
"""Longest side of a defect; what is left of a cell keeps defects more than a tile of 200 px apart."""
MIN_DEFECT_PX = 90
CELL_SHARE = 0.3
"""Share of cells with a defect: 3 cells a row, so about 100 defects in 15 s at 2 m/s."""
_PERIODS = (1021, 769)
"""Lines after which the two layers of texture repeat: primes, so that their sum does so after 785,149 lines."""

Delta = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class DrawnDefect:
    """What was drawn where.

    Attributes:
        label: One of `KINDS`, or the folder's name of a pasted picture.
        box: Tight, `y` in absolute lines.
        ordinal: Number of its cell, counted along the strip.
    """

    label: str
    box: Box
    ordinal: int


@dataclass(frozen=True, slots=True)
class StripSpec:
    """Geometry and seed of a strip.

    Attributes:
        seed: What is drawn.
        width_px: Pixels across.
        mm_per_px: Scale, both ways.
    """

    seed: int = DEMO_SEED
    width_px: int = 1600
    mm_per_px: float = 0.5

    def __post_init__(self) -> None:
        if self.seed < 0 or self.width_px < CELL_PX or self.mm_per_px <= 0:
            raise ConfigError(f"a strip needs seed >= 0, width >= {CELL_PX} px and a scale > 0: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """A defect ready to be laid on the strip: `delta` is added, or where `alpha` (0..256) is given, blended in."""

    label: str
    x: int
    y: int
    delta: Delta
    alpha: Ints | None
    box: Box


class Strip:
    """An endless strip.

    Args:
        spec: Geometry and seed.
        tiles: Pictures by label, (H, W) uint8, pasted instead of drawn defects.
    """

    def __init__(self, spec: StripSpec, tiles: Mapping[str, Sequence[Pixels]] | None = None) -> None:
        self.spec = spec
        self._tiles = {label: list(pictures) for label, pictures in (tiles or {}).items()}
        self._layers = [
            _texture(_rng(spec.seed, 7, number), period, spec.width_px, number)
            for number, period in enumerate(_PERIODS)
        ]
        self._light = _light(_rng(spec.seed, 8), spec.width_px)
        self._columns = spec.width_px // CELL_PX
        self._patch = lru_cache(maxsize=256)(self._make_patch)

    def lines(self, first_line: int, count: int) -> Pixels:
        """Return (count, width_px) uint8: the lines from `first_line` on, which may be any number >= 0."""
        rows = np.arange(first_line, first_line + count)
        grey = self._light + self._layers[0][rows % _PERIODS[0]]
        grey += self._layers[1][rows % _PERIODS[1]]
        for patch in self._patches(first_line, count):
            top, bottom = max(patch.y, first_line), min(patch.y + len(patch.delta), first_line + count)
            if top >= bottom:
                continue
            part = slice(top - patch.y, bottom - patch.y)
            view = grey[top - first_line : bottom - first_line, patch.x : patch.x + patch.delta.shape[1]]
            _lay(view, patch.delta[part], None if patch.alpha is None else patch.alpha[part])
        return _to_pixels(grey)

    def defects(self, first_line: int, count: int) -> list[DrawnDefect]:
        """Return the defects whose box has a line among these, in the order of the strip."""
        found = []
        for row, column in self._cells(first_line, count):
            patch = self._patch(row, column)
            if patch is not None and patch.box.y < first_line + count and patch.box.bottom > first_line:
                found.append(DrawnDefect(patch.label, patch.box, row * self._columns + column))
        return found

    def _cells(self, first_line: int, count: int) -> list[tuple[int, int]]:
        rows = range(first_line // CELL_PX, (first_line + count - 1) // CELL_PX + 1)
        return [(row, column) for row in rows for column in range(self._columns)]

    def _patches(self, first_line: int, count: int) -> list[_Patch]:
        patches = (self._patch(row, column) for row, column in self._cells(first_line, count))
        return [patch for patch in patches if patch is not None]

    def _make_patch(self, row: int, column: int) -> _Patch | None:
        rng = _rng(self.spec.seed, 9, row * self._columns + column)
        if rng.random() >= CELL_SHARE:
            return None
        if self._tiles:
            label = sorted(self._tiles)[int(rng.integers(len(self._tiles)))]
            pictures = self._tiles[label]
            picture = pictures[int(rng.integers(len(pictures)))]
            delta, alpha = picture.astype(np.int16), _feather(*picture.shape)
            tight = Box(0, 0, picture.shape[1], picture.shape[0])
        else:
            label = KINDS[int(rng.integers(len(KINDS)))]
            delta, alpha = _draw(label, rng), None
            tight = _tight(delta)
        height, width = delta.shape
        x, y = (
            number * CELL_PX + int(rng.integers(CELL_PX - 200 - side + 1))
            for number, side in ((column, width), (row, height))
        )
        return _Patch(label, x, y, delta, alpha, tight.moved(x, y))


def open_strip(seed: int, mm_per_px: float | None, images: Path | None) -> Strip:
    """Return the demo's strip.

    Args:
        seed: What is drawn.
        mm_per_px: Scale; None takes the default.
        images: Folder with pictures in one folder per label, pasted instead of drawn defects.

    Raises:
        ConfigError: No label folder with a picture in `images`, or one that cannot be decoded.
    """
    spec = StripSpec(seed) if mm_per_px is None else StripSpec(seed, mm_per_px=mm_per_px)
    return Strip(spec, None if images is None else read_tiles(images))


def read_tiles(folder: Path) -> dict[str, list[Pixels]]:
    """Return the pictures below `folder` by the name of their folder, at most `MAX_DEFECT_PX` a side.

    `clean` is left out: the strip's own surface is clean.

    Raises:
        ConfigError: There is none, or one cannot be decoded.
    """
    tiles: dict[str, list[Pixels]] = {}
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"} and path.parent.name != CLEAN:
            try:
                pixels = to_grey(decode_picture(read_picture_file(path, 64 << 20), name=str(path), max_px=10**8))
            except PictureError as exc:
                raise ConfigError(f"source.images: {exc}") from exc
            if max(pixels.shape) > MAX_DEFECT_PX:
                pixels = resize_tile(pixels, 200)
            tiles.setdefault(path.parent.name, []).append(pixels)
    if not tiles:
        raise ConfigError(f"source.images: no pictures in {folder}/<label>/")
    return tiles


def draw_tile(label: str, seed: int, tile_px: int = 200) -> Pixels:
    """Return a still of one kind: (tile_px, tile_px) uint8, the defect wholly or nearly so inside.

    Args:
        label: One of `KINDS`, or `clean`.
        seed: Another seed, another picture.
        tile_px: Side.
    """
    rng = _rng(seed, 11)
    grey = _surface(rng, tile_px)
    if label != CLEAN:
        delta = _draw(label, rng)
        height, width = delta.shape
        y, x = (int(rng.integers(min(0, tile_px - side) - 10, max(0, tile_px - side) + 11)) for side in (height, width))
        _lay_at(grey, delta, x, y)
    return _to_pixels(grey)


def draw_cut_tile(label: str, seed: int, tile_px: int = 200, min_visible: float = 0.25) -> tuple[Pixels, float]:
    """Return a tile that shows its defect only in part, cut at an edge or corner as a tiled line cuts it.

    Args:
        label: One of `KINDS`.
        seed: Another seed, another picture.
        tile_px: Side.
        min_visible: Least share of the defect's own pixels in the tile.

    Returns:
        The tile, and the share that it shows, `min_visible` at least.
    """
    rng = _rng(seed, 12)
    grey = _surface(rng, tile_px)
    delta = _draw(label, rng)
    mass = int(np.count_nonzero(delta))
    height, width = delta.shape
    x = y = (tile_px - max(height, width)) // 2
    shown = 1.0
    for _ in range(64):
        x, y = int(rng.integers(-width + 8, tile_px - 8)), int(rng.integers(-height + 8, tile_px - 8))
        part = delta[max(0, -y) : max(0, tile_px - y), max(0, -x) : max(0, tile_px - x)]
        shown = np.count_nonzero(part) / mass
        if min_visible <= shown < 0.95:
            break
    else:
        x, y, shown = 0, 0, np.count_nonzero(delta[:tile_px, :tile_px]) / mass
    _lay_at(grey, delta, x, y)
    return _to_pixels(grey), float(shown)


# --- Surface ------------------------------------------------------------------------------------------------------


def _to_pixels(grey: Delta) -> Pixels:
    return np.asarray(np.clip(grey, 0, 255), np.uint8)


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _smooth(noise: Ints, height: int, width: int) -> Ints:
    """Return the box mean over `height` x `width`, wrapped around, in integers."""
    out = noise
    for axis, size in ((0, height), (1, width)):
        if size > 1:
            extent = out.shape[axis]
            wrapped = out.take(range(-(size // 2) - 1, extent + size - size // 2 - 1), axis=axis, mode="wrap")
            total = np.cumsum(wrapped, axis=axis, dtype=np.int64)
            sums = total.take(range(size, size + extent), axis=axis) - total.take(range(extent), axis=axis)
            out = (sums // size).astype(np.int32)
    return out


def _noise(rng: np.random.Generator, height: int, width: int) -> Ints:
    return rng.integers(-4096, 4097, (height, width), dtype=np.int32)


def _scaled(field: Ints, deviation: int) -> Ints:
    """Return `field` with about that deviation, grey levels times 16, by an integer gain."""
    spread = int(np.abs(field - int(field.mean())).mean()) or 1
    return ((field - int(field.mean())) * (deviation * 13)) // (spread * 16)


def _texture(rng: np.random.Generator, height: int, width: int, layer: int) -> Delta:
    """Return one layer of rolled surface: grain along the strip, slow clouds, fine noise; grey levels around 0."""
    grain = _scaled(_smooth(_noise(rng, height, width), 61, 2), 3 * 16)
    clouds = _scaled(_smooth(_smooth(_noise(rng, height, width), 121, 91), 61, 61), 2 * 16)
    fine = _scaled(_smooth(_noise(rng, height, width), 2, 2), (3 - layer) * 16)
    return ((grain + clouds + fine) // 16).astype(np.int16)


def _light(rng: np.random.Generator, width: int) -> Delta:
    """Return the brightness across the strip: fuller in the middle, tilted a little."""
    across = np.linspace(-1, 1, width)
    tilt, fall = rng.uniform(-8, 8), rng.uniform(6, 16)
    return np.round(MEAN_GREY + rng.uniform(-10, 10) + tilt * across - fall * across**2).astype(np.int16)


def _surface(rng: np.random.Generator, side: int) -> Delta:
    height = width = side + 8
    grey = _texture(rng, height, width, 0) + _texture(rng, height, width, 1)
    light = _light(rng, 1600)
    left = int(rng.integers(1600 - side))
    return np.asarray(grey[:side, :side] + light[left : left + side], np.int16)


def _lay(view: Delta, delta: Delta, alpha: Ints | None) -> None:
    if alpha is None:
        view += delta
    else:
        view += ((delta.astype(np.int32) - view) * alpha // 256).astype(np.int16)


def _lay_at(grey: Delta, delta: Delta, x: int, y: int) -> None:
    height, width = grey.shape
    part = delta[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
    grey[max(0, y) : max(0, y) + part.shape[0], max(0, x) : max(0, x) + part.shape[1]] += part


def _feather(height: int, width: int, edge: int = 10) -> Ints:
    ramp_y = np.minimum(np.arange(1, height + 1), np.arange(height, 0, -1))
    ramp_x = np.minimum(np.arange(1, width + 1), np.arange(width, 0, -1))
    return (np.minimum(np.minimum(ramp_y[:, None], ramp_x[None, :]), edge) * 256 // edge).astype(np.int32)


def _tight(delta: Delta) -> Box:
    ys, xs = np.nonzero(np.abs(delta) >= 12)
    return Box(int(xs.min()), int(ys.min()), int(xs.max() - xs.min() + 1), int(ys.max() - ys.min() + 1))


# --- Defects ------------------------------------------------------------------------------------------------------


def _draw(label: str, rng: np.random.Generator) -> Delta:
    """Return the change of grey that a defect makes, (H, W) int16, 0 where there is none."""
    height, width = (int(side) for side in rng.integers(MIN_DEFECT_PX, MAX_DEFECT_PX + 1, 2))
    return _DRAW[label](rng, height, width)


def _soften(mask: npt.NDArray[np.uint8]) -> Ints:
    """Return a drawn mask (0..255) with edges of a pixel or two."""
    return np.asarray(cv2.blur(mask, (3, 3), borderType=cv2.BORDER_CONSTANT), np.int32)


def _envelope(rng: np.random.Generator, height: int, width: int) -> Ints:
    """Return how strongly a texture-like defect shows, 0..256: full inside, fading over an irregular rim."""
    across = np.linspace(-1, 1, width)[None, :] ** 4 + np.linspace(-1, 1, height)[:, None] ** 4
    ragged = _scaled(_smooth(_smooth(_noise(rng, height, width), 25, 25), 15, 15), 60)
    return np.asarray(np.clip(np.round(330 * (1.05 - across)).astype(np.int32) + ragged, 0, 256), np.int32)


def _shaped(rng: np.random.Generator, delta: Ints) -> Delta:
    """Return `delta` under an envelope of its own size."""
    return np.asarray(delta * _envelope(rng, *delta.shape) // 256, np.int16)


def _walk(
    rng: np.random.Generator, start: tuple[float, float], angle: float, steps: int, step: float, wobble: float
) -> Ints:
    """Return the corners of a jagged line, (N, 2) x and y."""
    x, y = start
    points = [(x, y)]
    for turn in rng.normal(0, wobble, steps):
        angle += turn
        x, y = x + step * np.cos(angle), y + step * np.sin(angle)
        points.append((x, y))
    return np.round(np.array(points)).astype(np.int32)


def _draw_crazing(rng: np.random.Generator, height: int, width: int) -> Delta:
    """Many fine dark cracks, mostly across the strip, that branch and meet."""
    mask = np.zeros((height, width), np.uint8)
    lean = rng.uniform(-0.4, 0.4)
    for _ in range(int(height * width / 420)):
        start = (rng.uniform(0, width), rng.uniform(0, height))
        steps = int(rng.integers(5, 16))
        line = _walk(rng, start, lean + (rng.random() < 0.3) * rng.uniform(-1.2, 1.2), steps, 4.0, 0.45)
        cv2.polylines(mask, [line], False, int(rng.integers(130, 256)), 1, cv2.LINE_8)
    depth = int(rng.integers(46, 72))
    return _shaped(rng, -(_soften(mask) * depth) // 140)


def _draw_inclusion(rng: np.random.Generator, height: int, width: int) -> Delta:
    """A few dark, frayed streaks along the strip, and specks beside them."""
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(2, 6))):
        x = rng.uniform(width * 0.15, width * 0.85)
        length = int(rng.integers(height // 2, height))
        start = (x, rng.uniform(0, height - length))
        line = _walk(rng, start, np.pi / 2, length // 6, 6.0, 0.07)
        for point, other in pairwise(line):
            thickness = int(rng.integers(2, 9))
            cv2.line(mask, point.tolist(), other.tolist(), int(rng.integers(170, 256)), thickness, cv2.LINE_8)
    for _ in range(int(rng.integers(3, 14))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.ellipse(mask, centre, (int(rng.integers(1, 4)), int(rng.integers(2, 10))), 0, 0, 360, 220, -1)
    depth = int(rng.integers(56, 84))
    return (-(_soften(mask) * depth) // 255).astype(np.int16)


def _blobs(rng: np.random.Generator, height: int, width: int, size: int, share: float) -> npt.NDArray[np.uint8]:
    """Return 255 on about `share` of the area, in blobs of about `size` pixels, fewer towards the rim."""
    field = _smooth(_smooth(_noise(rng, height, width), size, size), size // 2 + 1, size // 2 + 1)
    across = np.linspace(-1, 1, width)[None, :] ** 4 + np.linspace(-1, 1, height)[:, None] ** 4
    spread = int(np.abs(field).mean()) or 1
    field = field - np.round(across * 1.6 * spread).astype(np.int32)
    order = np.sort(field, axis=None)
    return np.where(field > order[int((1 - share) * (order.size - 1))], 255, 0).astype(np.uint8)


def _draw_patches(rng: np.random.Generator, height: int, width: int) -> Delta:
    """Large irregular dark blotches with a mottled inside."""
    mask = _soften(_blobs(rng, height, width, 29, rng.uniform(0.3, 0.5)))
    inside = _scaled(_smooth(_noise(rng, height, width), 5, 5), 9)
    depth = int(rng.integers(48, 70))
    return (mask * (inside - depth) // 255).astype(np.int16)


def _draw_pitted(rng: np.random.Generator, height: int, width: int) -> Delta:
    """Many small dark pits, each with a bright lower rim."""
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(height * width / rng.uniform(170, 300))):
        centre = (int(rng.integers(3, width - 3)), int(rng.integers(3, height - 3)))
        axes = (int(rng.integers(1, 4)), int(rng.integers(1, 5)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, int(rng.integers(120, 256)), -1)
    pits = _soften(mask)
    rim = np.zeros_like(pits)
    rim[2:] = pits[:-2]
    depth = int(rng.integers(62, 96))
    return _shaped(rng, -(pits * depth) // 255 + np.clip(rim - pits, 0, 255) * 26 // 255)


def _draw_scale(rng: np.random.Generator, height: int, width: int) -> Delta:
    """Mottled flecks of scale, dark and bright beside each other, drawn out along the strip."""
    dark = _soften(_stretched(rng, height, width, rng.uniform(0.2, 0.32)))
    bright = _soften(_stretched(rng, height, width, rng.uniform(0.1, 0.2)))
    depth = int(rng.integers(40, 60))
    return _shaped(rng, (bright * (depth - 8) - dark * depth) // 255)


def _stretched(rng: np.random.Generator, height: int, width: int, share: float) -> npt.NDArray[np.uint8]:
    field = _smooth(_smooth(_noise(rng, height, width), 13, 5), 7, 3)
    order = np.sort(field, axis=None)
    return np.where(field > order[int((1 - share) * (order.size - 1))], 255, 0).astype(np.uint8)


def _draw_scratches(rng: np.random.Generator, height: int, width: int) -> Delta:
    """A few thin, bright, nearly straight lines, roughly in one direction."""
    mask = np.zeros((height, width), np.uint8)
    upright = rng.random() < 0.6
    lean = rng.uniform(-0.25, 0.25)
    for _ in range(int(rng.integers(1, 5))):
        if upright:
            start, angle, steps = (rng.uniform(width * 0.2, width * 0.8), rng.uniform(0, 12)), np.pi / 2, height // 8
        else:
            start, angle, steps = (rng.uniform(0, 12), rng.uniform(height * 0.2, height * 0.8)), 0.0, width // 8
        line = _walk(rng, start, angle + lean + rng.normal(0, 0.04), int(steps * rng.uniform(0.7, 1.0)), 8.0, 0.01)
        cv2.polylines(mask, [line], False, int(rng.integers(190, 256)), int(rng.integers(1, 4)), cv2.LINE_8)
    height_of = int(rng.integers(76, 110))
    return np.asarray(_soften(mask) * height_of // 200, np.int16)


_DRAW: Mapping[str, Callable[[np.random.Generator, int, int], Delta]] = {
    "crazing": _draw_crazing,
    "inclusion": _draw_inclusion,
    "patches": _draw_patches,
    "pitted_surface": _draw_pitted,
    "rolled-in_scale": _draw_scale,
    "scratches": _draw_scratches,
}
