"""The generator: a moving steel strip with the six defect kinds of NEU at known places, drawn, never photographed.

What is drawn depends on the seed and the absolute line alone, not on how it is sliced into frames, so "drawn against
found" can be counted. Outside the boxes the strip is exactly the strip without defects. Pixels come from integers and
exactly rounded float operations (no sine, logarithm or matrix product): the same bytes on every x86 machine. Pure: no
clock or thread, and no I/O but `read_tiles`. Training uses other seeds of the same generator than the demo; see
`TRAINING_SEEDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.errors import ConfigError, PictureError
from inspector.frame import Pixels
from inspector.inspection.preprocess import resize_tile, to_grey
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file

KINDS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
CLEAN = "clean"
DEMO_SEED = 0
TRAINING_SEEDS = 1_000_000
"""Training draws with seeds from here on, golden tiles from `GOLDEN_SEEDS` on; the demo and the tests stay below."""
GOLDEN_SEEDS = 2_000_000

DEFAULT_MM_PER_PX = 0.5
MAX_DEFECT_TILES = 1.2
"""Longest side of a defect, in tiles."""
SAME_LABEL_GAP_TILES = 2
"""Between any two boxes, across or along: tiles of one then never touch tiles of the other, wherever the grid lies."""

_ONE = 16
"""Fractions of a grey level in which the strip is added up."""
_CHUNK_LINES = 256
"""Lines drawn at once (they stay in the cache), and the distance of the knots of the slow brightness."""
_KNOT_PX = 200
_MARK_LINES = 2048
"""Length of a section with its own faint water marks."""

_SURFACE, _LIGHT, _KNOTS, _MARKS, _ORDER, _DEFECT, _TILE = range(7)
"""Independent random streams of one seed."""

Ints = npt.NDArray[np.int32]
Delta = npt.NDArray[np.int16]
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DrawnDefect:
    """What was drawn where.

    Attributes:
        label: One of `KINDS`, or the folder's name of a pasted picture.
        box: Tight, `y` in absolute lines.
        ordinal: Counts the defects along the strip from 0.
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
        defects_per_m: Defects on each metre of strip; 0 gives clean strip.
        tile_px: Side of the tiles that will inspect it: defects measure 0.4 to 1.2 of it, gaps twice.
    """

    seed: int = DEMO_SEED
    width_px: int = 1600
    mm_per_px: float = DEFAULT_MM_PER_PX
    defects_per_m: float = 3.0
    tile_px: int = 200

    def __post_init__(self) -> None:
        if self.seed < 0 or self.mm_per_px <= 0 or self.defects_per_m < 0:
            raise ConfigError(f"a strip needs seed >= 0, a scale > 0 and defects_per_m >= 0: {self}")
        if self.tile_px < 64 or self.width_px < 1.5 * self.tile_px:
            raise ConfigError(f"a strip needs tile_px >= 64 and a width of 1.5 tiles: {self.width_px} / {self.tile_px}")
        if self.defects_per_m and self.bay_lines < self._least_bay_lines:
            most = self.columns * 1000 / (self.mm_per_px * self._least_bay_lines)
            raise ConfigError(f"defects would touch: at most {most:.2f} a metre fit: {self.defects_per_m}")

    @property
    def columns(self) -> int:
        """Defects that lie beside each other."""
        return max(1, int(self.width_px / ((MAX_DEFECT_TILES + SAME_LABEL_GAP_TILES) * self.tile_px)))

    @property
    def bay_lines(self) -> float:
        """Length of a piece of strip that holds one defect in each column."""
        return self.columns * 1000 / (self.defects_per_m * self.mm_per_px)

    @property
    def _least_bay_lines(self) -> int:
        return int((MAX_DEFECT_TILES + SAME_LABEL_GAP_TILES + 0.3) * self.tile_px)


@dataclass(frozen=True, slots=True, eq=False)
class _Stamp:
    """Something to be laid on the strip.

    Attributes:
        x: Left column.
        y: Top line, absolute.
        delta: (H, W), added; sixteenths of a grey level.
        cover: (H, W), 0..256: how much of the strip's own texture is hidden below.
        ink: (H, W), how plainly the defect itself shows in each pixel.
    """

    x: int
    y: int
    delta: Delta
    cover: Delta
    ink: Mask

    @property
    def box(self) -> Box:
        height, width = self.delta.shape
        return Box(self.x, self.y, width, height)


class Strip:
    """An endless strip.

    Args:
        spec: Geometry and seed.
        tiles: Pictures by label, (H, W) uint8 up to `MAX_DEFECT_TILES` a side, pasted instead of drawn defects.
    """

    def __init__(self, spec: StripSpec, tiles: Mapping[str, Sequence[Pixels]] | None = None) -> None:
        self.spec = spec
        self._tiles = {label: tuple(pictures) for label, pictures in (tiles or {}).items()}
        self._labels = tuple(sorted(self._tiles)) or KINDS
        most = int(MAX_DEFECT_TILES * spec.tile_px)
        for label, pictures in self._tiles.items():
            if largest := max((max(picture.shape) for picture in pictures if max(picture.shape) > most), default=0):
                raise ConfigError(f"pictures of {label} exceed {most} px a side: {largest}")
        self._level = _level(spec.seed)
        self._light = _light(spec)
        self._layers = _surface(spec.seed)
        self._wide = lru_cache(maxsize=1)(self._widened)
        self._stamp = lru_cache(maxsize=64)(self._make_stamp)
        self._mark = lru_cache(maxsize=4)(self._make_marks)

    def lines(self, first_line: int, count: int) -> Pixels:
        """Return (count, width_px) uint8: the lines from `first_line` on, which may be any number >= 0."""
        if first_line < 0 or count < 0:
            raise ValueError(f"lines are counted from 0: {first_line}, {count}")
        return self._draw(Box(0, first_line, self.spec.width_px, count), self._wide())

    def defects(self, first_line: int, count: int) -> list[DrawnDefect]:
        """Return the defects whose box has a line among these, in the order of the strip."""
        found = []
        for ordinal in self._ordinals(first_line, count):
            label, stamp = self._stamp(ordinal)
            if stamp.y < first_line + count and stamp.box.bottom > first_line:
                found.append(DrawnDefect(label, stamp.box, ordinal))
        return found

    def _region(self, box: Box) -> Pixels:
        """Return the pixels of `box`, the same as `lines` has there, without drawing the whole width."""
        return self._draw(box, self._widened(box.x, box.width))

    def _widened(self, x: int = 0, width: int | None = None) -> list[Delta]:
        """Return the layers of texture for these columns, darker where the light is."""
        columns = np.arange(x, x + (self.spec.width_px if width is None else width))
        gain = self._light[columns]
        layers = (np.take(layer, columns % layer.shape[1], axis=1) * gain >> 8 for layer in self._layers)
        return [np.ascontiguousarray(layer, np.int16) for layer in layers]

    def _draw(self, box: Box, layers: list[Delta]) -> Pixels:
        pixels = np.empty((box.height, box.width), np.uint8)
        top = box.y
        while top < box.bottom:
            bottom = min(box.bottom, (top // _CHUNK_LINES + 1) * _CHUNK_LINES)
            rows = np.arange(top, bottom)
            grey = self._slow(top, bottom, box)
            for layer in layers:
                grey += np.take(layer, rows % layer.shape[0], axis=0)
            for stamp in self._stamps(top, bottom - top):
                _lay(grey, Box(box.x, top, box.width, bottom - top), stamp)
            grey += _ONE // 2
            grey >>= 4
            np.clip(grey, 0, 255, out=grey)
            pixels[top - box.y : bottom - box.y] = grey
            top = bottom
        return pixels

    def _slow(self, top: int, bottom: int, box: Box) -> Delta:
        """Return light and slow brightness, convex between two rows of knots: no step anywhere."""
        knot, columns = top // _CHUNK_LINES, slice(box.x, box.right)
        before, after = (_knots(self.spec, number)[columns] for number in (knot, knot + 1))
        share = (np.arange(top, bottom) - knot * _CHUNK_LINES).astype(np.int16)[:, None]
        slow = before * (_CHUNK_LINES - share) + after * share  # at most 120 * 256: fits 16 bits
        slow >>= 8
        slow += (self._light[columns] * self._level >> 8).astype(np.int16)
        return slow

    def _ordinals(self, first_line: int, count: int) -> range:
        if not self.spec.defects_per_m or count <= 0:
            return range(0)
        bay, columns = self.spec.bay_lines, self.spec.columns
        return range(int(first_line / bay) * columns, (int((first_line + count - 1) / bay) + 1) * columns)

    def _stamps(self, first_line: int, count: int) -> list[_Stamp]:
        sections = range(first_line // _MARK_LINES, (first_line + count - 1) // _MARK_LINES + 1)
        marks = [mark for section in sections for mark in self._mark(section)]
        return marks + [self._stamp(ordinal)[1] for ordinal in self._ordinals(first_line, count)]

    def _make_marks(self, section: int) -> list[_Stamp]:
        rng = _rng(self.spec.seed, _MARKS, section)
        marks = []
        for _ in range(int(rng.integers(0, 4))):
            height, width = int(rng.integers(250, 700)), int(rng.integers(150, min(500, self.spec.width_px)))
            delta = _water_mark(rng, height, width)
            x = int(rng.integers(0, self.spec.width_px - width + 1))
            y = section * _MARK_LINES + int(rng.integers(0, _MARK_LINES - height))
            marks.append(_Stamp(x, y, delta, np.zeros_like(delta), np.zeros(delta.shape, np.uint8)))
        return marks

    def _make_stamp(self, ordinal: int) -> tuple[str, _Stamp]:
        """Return a defect and its label. Every label comes once before one comes again."""
        spec, labels = self.spec, self._labels
        turn = _rng(spec.seed, _ORDER, ordinal // len(labels)).permutation(len(labels))
        label = labels[int(turn[ordinal % len(labels)])]
        rng = _rng(spec.seed, _DEFECT, ordinal)
        if self._tiles:
            pictures = self._tiles[label]
            stamp = _pasted(pictures[int(rng.integers(len(pictures)))])
        else:
            stamp = _drawn(label, rng, spec.tile_px)
        bay, column = divmod(ordinal, spec.columns)
        height, width = stamp.delta.shape
        gap = SAME_LABEL_GAP_TILES * spec.tile_px
        left, right = (spec.width_px * number // spec.columns for number in (column, column + 1))
        left += gap // 2 if column else 0
        right -= gap // 2 if column + 1 < spec.columns else 0
        top, bottom = int(bay * spec.bay_lines) + 1, int((bay + 1) * spec.bay_lines) - gap
        x, y = int(rng.integers(left, right - width + 1)), int(rng.integers(top, bottom - height + 1))
        light = int(self._light[x + width // 2]) * self._level // (130 * _ONE)
        if not self._tiles:
            light = (light + 256) // 2
            stamp = replace(stamp, delta=((stamp.delta.astype(np.int32) * light) >> 8).astype(np.int16))
        return label, replace(stamp, x=x, y=y)


def open_strip(seed: int, mm_per_px: float | None, images: Path | None) -> Strip:
    """Return the demo's strip.

    Args:
        seed: What is drawn.
        mm_per_px: Scale; None takes the default.
        images: Folder with pictures in one folder per label, pasted instead of drawn defects.

    Raises:
        ConfigError: No label folder with a picture in `images`, or one that cannot be decoded.
    """
    scale = DEFAULT_MM_PER_PX if mm_per_px is None else mm_per_px
    spec = StripSpec(seed, mm_per_px=scale, defects_per_m=1.5 / scale)  # as many a frame at every scale
    return Strip(spec, None if images is None else read_tiles(images))


def read_tiles(folder: Path) -> dict[str, list[Pixels]]:
    """Return the pictures below `folder` by the name of their folder, at most 1.2 tiles a side.

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
            if max(pixels.shape) > MAX_DEFECT_TILES * 200:
                pixels = resize_tile(pixels, 200)
            tiles.setdefault(path.parent.name, []).append(pixels)
    if not tiles:
        raise ConfigError(f"source.images: no pictures in {folder}/<label>/")
    return tiles


def draw_tile(label: str, seed: int, tile_px: int = 200) -> Pixels:
    """Return a still of one kind: (tile_px, tile_px) uint8, the defect wholly or nearly so inside.

    Args:
        label: One of `KINDS`, or `clean`.
        seed: Of the strip that the tile is cut from: another seed, another strip.
        tile_px: Side.
    """
    rng = _rng(seed, _TILE, 0)
    if label == CLEAN:
        spec = StripSpec(seed, tile_px=tile_px, defects_per_m=0)
        x, y = int(rng.integers(0, spec.width_px - tile_px + 1)), int(rng.integers(0, 20 * _MARK_LINES))
        return Strip(spec)._region(Box(x, y, tile_px, tile_px))
    strip, stamp = _defect_of(label, seed, tile_px)
    return strip._region(_around(rng, strip, stamp))


def draw_cut_tile(label: str, seed: int, tile_px: int = 200, min_visible: float = 0.25) -> tuple[Pixels, float]:
    """Return a tile that shows its defect only in part, cut at an edge or corner as a tiled line cuts it.

    Args:
        label: One of `KINDS`.
        seed: Of the strip that the tile is cut from: another seed, another strip.
        tile_px: Side.
        min_visible: Least share of the defect's own pixels in the tile.

    Returns:
        The tile, and the share that it shows: `min_visible` at least, and seldom more than 0.95.
    """
    rng = _rng(seed, _TILE, 1)
    strip, stamp = _defect_of(label, seed, tile_px)
    total = int(stamp.ink.sum(dtype=np.int64))
    best = _around(rng, strip, stamp)
    shown = 1.0
    for _ in range(200):
        x = int(rng.integers(stamp.x - tile_px + 1, stamp.box.right))
        y = int(rng.integers(stamp.y - tile_px + 1, stamp.box.bottom))
        x, y = min(max(x, 0), strip.spec.width_px - tile_px), max(y, 0)
        left, top = max(0, x - stamp.x), max(0, y - stamp.y)
        part = stamp.ink[top : max(0, y + tile_px - stamp.y), left : max(0, x + tile_px - stamp.x)]
        share = int(part.sum(dtype=np.int64)) / total
        if share >= min_visible and (share < 0.95 or shown > share):
            best, shown = Box(x, y, tile_px, tile_px), share
            if share < 0.95:
                break
    return strip._region(best), shown


def _defect_of(label: str, seed: int, tile_px: int) -> tuple[Strip, _Stamp]:
    """Return the strip of that seed and its first defect of that kind, at y > 0 by at least a tile."""
    strip = Strip(StripSpec(seed, width_px=8 * tile_px, tile_px=tile_px, defects_per_m=600 / tile_px))
    found = (strip._stamp(ordinal) for ordinal in range(len(KINDS), 2 * len(KINDS)))
    return strip, next(stamp for name, stamp in found if name == label)


def _around(rng: np.random.Generator, strip: Strip, stamp: _Stamp) -> Box:
    """Return a tile at any place that holds the defect, or as much as goes in."""
    tile_px, box = strip.spec.tile_px, stamp.box
    corner = []
    for start, length in ((box.x, box.width), (box.y, box.height)):
        ends = sorted((start, start + length - tile_px))
        corner.append(int(rng.integers(ends[0], ends[1] + 1)))
    return Box(min(max(corner[0], 0), strip.spec.width_px - tile_px), max(corner[1], 0), tile_px, tile_px)


# --- Surface ------------------------------------------------------------------------------------------------------


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _field(rng: np.random.Generator, height: int, width: int, boxes: Sequence[tuple[int, int]], spread: int) -> Ints:
    """Return (height, width) noise, smoothed by boxes of (lines, columns), mean 0, standard deviation `spread`.

    It wraps around on both axes. Sums of integers only, so every machine gives the same.
    """
    field = rng.integers(-128, 128, (height, width), dtype=np.int8).astype(np.int32)
    for lines, columns in boxes:
        pad_y, pad_x = lines // 2 + 1, columns // 2 + 1
        padded = np.pad(field, ((pad_y, pad_y), (pad_x, pad_x)), mode="wrap")
        summed = cv2.boxFilter(padded, cv2.CV_32S, (columns, lines), normalize=False, borderType=cv2.BORDER_CONSTANT)
        field = np.asarray(summed[pad_y:-pad_y, pad_x:-pad_x], np.int32) // max(1, isqrt(lines * columns) // 2)
    field -= int(field.sum(dtype=np.int64)) // field.size
    deviation = isqrt(int(np.square(field, dtype=np.int64).sum()) // field.size) or 1
    return (field.astype(np.int64) * spread // deviation).astype(np.int32)


@lru_cache(maxsize=2)
def _surface(seed: int) -> tuple[Delta, ...]:
    """Return three layers of texture, sixteenths of a grey level; they repeat only together.

    Grain runs along the strip, roughness is the pickled or scaled skin, the last is the camera's noise. Their sides are
    primes, so that the sum repeats after far more lines than a coil has.
    """
    rng = _rng(seed, _SURFACE, 0)
    grain, skin, noise = (int(_ONE * _between(rng, *span)) for span in ((1.5, 4.5), (1.5, 4.5), (1.0, 2.5)))
    length = int(rng.integers(15, 60))
    streaks = _field(rng, 1021, 389, ((length, 1), (length, 2)), grain)
    streaks += _field(rng, 1021, 389, ((7, 1),), grain // 2)
    rough = _field(rng, 509, 487, ((3, 3), (2, 2)), skin) + _field(rng, 509, 487, ((9, 7), (9, 7)), skin // 2)
    camera = _field(rng, 383, 521, (), noise)
    return tuple(layer.astype(np.int16) for layer in (streaks, rough, camera))


def _level(seed: int) -> int:
    """Return the mean brightness of a strip, sixteenths of a grey level."""
    return int(_ONE * _between(_rng(seed, _LIGHT, 0), 95, 160))


@lru_cache(maxsize=4)
def _light(spec: StripSpec) -> Ints:
    """Return the light across the strip, 256 for full: less at the edges, tilted, with faint bands of the rolls."""
    rng = _rng(spec.seed, _LIGHT, 1)
    across = np.arange(spec.width_px) * (2 / (spec.width_px - 1)) - 1
    middle, fall, tilt = _between(rng, -0.3, 0.3), _between(rng, 0.08, 0.28), _between(rng, -0.08, 0.08)
    light = 1 - fall * (across - middle) * (across - middle) + tilt * across
    bands = _field(rng, 1, spec.width_px, ((1, 21), (1, 9)), 3)[0]
    return np.asarray(np.floor(light * 256).astype(np.int32) + bands, np.int32)


@lru_cache(maxsize=16)
def _knots(spec: StripSpec, number: int) -> Delta:
    """Return one row of the slow brightness across the strip, sixteenths of a grey level, at most 120."""
    columns = spec.width_px // _KNOT_PX + 2
    rng = _rng(spec.seed, _KNOTS, number)
    knots = rng.integers(-80, 81, columns).astype(np.int32) + int(rng.integers(-40, 41))
    place = np.arange(spec.width_px)
    left, share = place // _KNOT_PX, place % _KNOT_PX
    return ((knots[left] * (_KNOT_PX - share) + knots[left + 1] * share) // _KNOT_PX).astype(np.int16)


def _water_mark(rng: np.random.Generator, height: int, width: int) -> Delta:
    """Return a large soft stain with a slightly stronger rim: harmless."""
    small = _rim_to_0(_blob(rng, height // 8, width // 8, 5, 0.0))
    mask = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR_EXACT), np.int32)
    rim = mask * (255 - mask) // 64
    depth = int(_ONE * _between(rng, -4, 4))
    return ((mask * depth + rim * depth // 2) // 255).astype(np.int16)


def _lay(grey: Delta, window: Box, stamp: _Stamp) -> None:
    """Lay the part of `stamp` that lies in `window`, the place of `grey` on the strip."""
    box = stamp.box
    left, right = max(window.x, box.x), min(window.right, box.right)
    top, bottom = max(window.y, box.y), min(window.bottom, box.bottom)
    if left >= right or top >= bottom:
        return
    part = (slice(top - box.y, bottom - box.y), slice(left - box.x, right - box.x))
    view = grey[top - window.y : bottom - window.y, left - window.x : right - window.x]
    cover = stamp.cover[part].astype(np.int32)
    if cover.any():
        level = 130 * _ONE  # `delta` of a pasted picture counts from here as well
        view -= ((view - level) * cover >> 8).astype(np.int16)
    view += stamp.delta[part]


def _pasted(picture: Pixels) -> _Stamp:
    """Return a picture as a stamp: its own grey, faded into the strip over a few pixels."""
    height, width = picture.shape
    cover = _ramp(picture.shape, 8)
    delta = (picture.astype(np.int32) - 130) * _ONE * cover >> 8
    return _Stamp(0, 0, delta.astype(np.int16), cover.astype(np.int16), np.full((height, width), 255, np.uint8))


def _ramp(shape: tuple[int, ...], edge_px: int) -> Ints:
    """Return 256 inside, falling over `edge_px` to nearly 0 at the rim."""
    height, width = shape
    down = np.minimum(np.arange(1, height + 1), np.arange(height, 0, -1))
    across = np.minimum(np.arange(1, width + 1), np.arange(width, 0, -1))
    nearest = np.minimum(np.minimum(down[:, None], across[None, :]), edge_px)
    return (nearest * 256 // edge_px).astype(np.int32)


# --- Defects ------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Sketch:
    """A defect while it is drawn.

    Attributes:
        ink: (H, W) uint8, what makes the box.
        marks: (H, W), change of grey where there is ink, sixteenths.
        ground: (H, W), change of the surface around the ink, sixteenths; faded out towards the box.
        cover: (H, W), 0..256: how much of the strip's texture is hidden.
    """

    ink: Mask
    marks: Ints
    ground: Ints
    cover: Ints


def _drawn(label: str, rng: np.random.Generator, tile_px: int) -> _Stamp:
    """Return a defect of that kind at no place yet, cropped to what shows."""
    least, narrow = _SIZES[label]
    height = int(tile_px * _between(rng, least, MAX_DEFECT_TILES))
    width = int(tile_px * _between(rng, *narrow))
    sketch = _DRAW[label](rng, height, width)
    ys, xs = np.nonzero(sketch.ink >= 24)
    part = (slice(int(ys.min()), int(ys.max()) + 1), slice(int(xs.min()), int(xs.max()) + 1))
    ink = sketch.ink[part]
    fade = _ramp(ink.shape, 24)
    delta = sketch.marks[part] + (sketch.ground[part] * fade >> 8)
    cover = sketch.cover[part] * fade >> 8
    return _Stamp(0, 0, delta.astype(np.int16), cover.astype(np.int16), ink)


def _squares(height: int, width: int) -> npt.NDArray[np.float64]:
    """Return 0 in the middle, 1 at the middle of each side: a rounded rectangle's distance."""
    v = (np.arange(height) * 2 + 1) / height - 1
    u = (np.arange(width) * 2 + 1) / width - 1
    return np.asarray((v * v * v * v)[:, None] + (u * u * u * u)[None, :])


def _blob(rng: np.random.Generator, height: int, width: int, size: int, bias: float) -> Mask:
    """Return a ragged soft area (255 inside) that fills about the middle of the rectangle."""
    field = _field(rng, height, width, ((size, size), (size, size)), 100)
    inside = (1 - _squares(height, width)) * 220 + field + bias * 100 - 60
    return np.clip(np.floor(inside * 2.2), 0, 255).astype(np.uint8)


def _rim_to_0(mask: Mask) -> Mask:
    return ((mask.astype(np.int32) * _ramp(mask.shape, 4)) >> 8).astype(np.uint8)


def _soft(mask: Mask) -> Mask:
    """Return `mask` as the lens shows it: edges of a pixel or two."""
    return np.asarray(cv2.blur(mask, (2, 2), borderType=cv2.BORDER_CONSTANT), np.uint8)


def _stroke(mask: Mask, start: tuple[float, float], end: tuple[float, float], ink: int, thickness: int) -> None:
    points = [(int(x * 16), int(y * 16)) for x, y in (start, end)]
    cv2.line(mask, points[0], points[1], ink, thickness, cv2.LINE_AA, 4)


def _crazing(rng: np.random.Generator, height: int, width: int) -> _Sketch:
    """A net of fine dark cracks, mostly across the strip, that waver, fork and fade, on roughened skin."""
    area = _rim_to_0(_blob(rng, height, width, 25, 0.6)).astype(np.int32)
    ink = np.zeros((height, width), np.uint8)
    slope = _between(rng, -0.35, 0.35)
    for _ in range(int(height * width / _between(rng, 500, 1100))):
        x, y = _between(rng, 0, width), _between(rng, 0, height)
        upright = rng.random() < 0.2
        way = _between(rng, -0.5, 0.5)
        strength = _between(rng, 90, 255)
        for _ in range(int(rng.integers(6, 26))):
            along, aside = _between(rng, 0.6, 3.2), _between(rng, -2.2, 2.2) + way
            way = min(max(way + _between(rng, -0.5, 0.5), -1.2), 1.2)
            to = (x + aside, y + along) if upright else (x + along, y + aside + slope * along)
            shown = int(strength * _between(rng, 0.35, 1.0))
            _stroke(ink, (x, y), to, min(255, shown), 2 if rng.random() < 0.12 else 1)
            x, y = to
    ink = ((_soft(ink).astype(np.int32) * np.minimum(area * 2, 255)) // 255).astype(np.uint8)
    depth = int(_ONE * _between(rng, 60, 105))
    rough = _field(rng, height, width, ((2, 2),), int(_ONE * _between(rng, 11, 22)))
    clouds = _field(rng, height, width, ((31, 31), (31, 31)), 6 * _ONE) + int(_ONE * _between(rng, 2, 26))
    return _Sketch(ink, -(ink.astype(np.int32) * depth // 255), (rough + clouds) * area // 255, np.zeros_like(area))


def _inclusion(rng: np.random.Generator, height: int, width: int) -> _Sketch:
    """One to five dark ragged streaks along the strip that taper at both ends, with slivers beside them."""
    ink = np.zeros((height, width), np.float64)
    x = np.arange(width)[None, :]
    count = int(rng.integers(1, 4))
    for number in range(count + int(rng.integers(0, 5))):
        main = number < count
        length = int(height * (_between(rng, 0.5, 1.0) if main else _between(rng, 0.08, 0.3)))
        if number == 0:
            length = height
        half = _between(rng, 3.5, 10.0) if main else _between(rng, 0.9, 2.4)
        top = int(rng.integers(0, height - length + 1))
        t = (np.arange(length) + 0.5) / length
        drift = np.cumsum(_field(rng, length, 1, ((9, 1),), 16)[:, 0]) / 160
        wide, fine = (_field(rng, length, 1, ((size, 1), (size, 1)), 100)[:, 0] for size in (max(5, length // 4), 3))
        peak = _between(rng, 0.3, 0.7)
        taper = np.where(t < peak, t / peak, (1 - t) / (1 - peak))
        body = np.sqrt(taper) * half * np.maximum(wide / 250 + fine / 600 + 0.75, 0.12)
        middle = _between(rng, 0.2, 0.8) * width + drift
        shape = np.clip(body[:, None] - np.abs(x - middle[:, None]) + 0.5, 0, 1) * _between(rng, 0.7, 1.0)
        ink[top : top + length] = np.maximum(ink[top : top + length], shape)
    full = _soft(np.floor(ink * 255).astype(np.uint8))
    depth = int(_ONE * _between(rng, 34, 62))
    inside = _field(rng, height, width, ((9, 2), (3, 1)), 4 * _ONE)
    marks = (full.astype(np.int32) * (inside - depth)) // 255
    none = np.zeros_like(marks)
    return _Sketch(full, marks, none, full.astype(np.int32) // 2)


def _patches(rng: np.random.Generator, height: int, width: int) -> _Sketch:
    """Large dark blotches with soft irregular edges on a brighter, rough ground, and a few black specks."""
    size = int(min(height, width) * _between(rng, 0.16, 0.26)) | 1
    large = _field(rng, height, width, ((size, size), (size, size)), 100)
    fine = _field(rng, height, width, ((9, 5), (7, 3)), 20)
    hill = 150 - _squares(height, width) * 330 + large + fine - _between(rng, 10, 90)
    ink = _rim_to_0(np.clip(np.floor(hill * 2.2), 0, 255).astype(np.uint8))
    ink = np.asarray(cv2.blur(ink, (5, 5), borderType=cv2.BORDER_CONSTANT), np.uint8)
    if int(ink.max()) < 200:
        ink = np.maximum(ink, _rim_to_0(_blob(rng, height, width, 15, -0.4)))
    area = _rim_to_0(_blob(rng, height, width, 25, 0.6)).astype(np.int32)
    depth = int(_ONE * _between(rng, 36, 66))
    inside = _field(rng, height, width, ((2, 2), (3, 2)), int(_ONE * _between(rng, 6, 11)))
    inside += _field(rng, height, width, ((19, 19), (19, 19)), 8 * _ONE)
    marks = ink.astype(np.int32) * (inside - depth) // 255
    specks = np.zeros_like(ink)
    for _ in range(int(rng.integers(0, 14))):
        at = (_between(rng, 0.2, 0.8) * width, _between(rng, 0.2, 0.8) * height)
        _stroke(specks, at, (at[0] + _between(rng, -4, 4), at[1] + _between(rng, -2, 2)), 255, int(rng.integers(1, 4)))
    specks = _rim_to_0(_soft(specks))
    marks -= specks.astype(np.int32) * (30 * _ONE) // 255
    bright = int(_ONE * _between(rng, 4, 24))
    rough = _field(rng, height, width, ((2, 1), (2, 2)), int(_ONE * _between(rng, 4, 9)))
    ground = (bright + rough) * area // 255 * (255 - ink.astype(np.int32)) // 255
    return _Sketch(np.maximum(ink, specks), marks, ground, np.zeros_like(area))


def _pitted(rng: np.random.Generator, height: int, width: int) -> _Sketch:
    """Many small dark pits, drawn out a little along the strip, on smooth bright ground."""
    area = _rim_to_0(_blob(rng, height, width, 35, 0.7))
    area = np.asarray(cv2.blur(area, (15, 15), borderType=cv2.BORDER_CONSTANT), np.uint8)
    ink = np.zeros((height, width), np.uint8)
    coarse = _between(rng, 0, 1)
    for _ in range(int(height * width / (40 + 70 * coarse))):
        x, y = _between(rng, 2, width - 2), _between(rng, 2, height - 2)
        if _between(rng, 0, 255) > area[int(y), int(x)]:
            continue
        long = _between(rng, 0, 2.5 + 4 * coarse)
        thickness = int(rng.integers(1, 3 + round(2 * coarse)))
        lean = _between(rng, -0.3, 0.3) * long
        _stroke(ink, (x, y), (x + lean, y + long), int(rng.integers(110, 256)), thickness)
    ink = _rim_to_0(_soft(ink))
    depth = int(_ONE * _between(rng, 34, 64))
    bright = int(_ONE * _between(rng, 0, 12))
    whole = area.astype(np.int32)
    return _Sketch(ink, -(ink.astype(np.int32) * depth // 255), whole * bright // 255, whole * 100 // 255)


def _scale(rng: np.random.Generator, height: int, width: int) -> _Sketch:
    """Clusters of dark slanting flecks of scale pressed into a mottled skin, bright chips between them."""
    area = _rim_to_0(_blob(rng, height, width, 31, 0.5))
    cluster = _field(rng, height, width, ((29, 41), (29, 41)), 100)
    dark, chips = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    slope = _between(rng, -0.6, 0.3)
    for _ in range(int(height * width / _between(rng, 90, 170))):
        x, y = _between(rng, 3, width - 3), _between(rng, 3, height - 3)
        if area[int(y), int(x)] < 120 or cluster[int(y), int(x)] < _between(rng, -120, 160):
            continue
        target = dark if rng.random() < 0.82 else chips
        ink, thickness = int(rng.integers(120, 256)), int(rng.integers(1, 4))
        for _ in range(int(rng.integers(1, 4))):
            along = _between(rng, 2.0, 6.0)
            to = (x + along, y + slope * along + _between(rng, -1.3, 1.3))
            _stroke(target, (x, y), to, ink, max(1, thickness + int(rng.integers(-1, 2))))
            x, y = to
    dark, chips = _rim_to_0(_soft(dark)), _rim_to_0(_soft(chips))
    depth, lift = int(_ONE * _between(rng, 30, 56)), int(_ONE * _between(rng, 8, 26))
    marks = chips.astype(np.int32) * lift // 255 - dark.astype(np.int32) * depth // 255
    mottle = _field(rng, height, width, ((11, 17), (11, 17)), int(_ONE * _between(rng, 4, 8)))
    mottle += _field(rng, height, width, ((2, 5), (1, 3)), int(_ONE * _between(rng, 5, 9)))
    return _Sketch(dark, marks, mottle * area.astype(np.int32) // 255, np.zeros_like(mottle))


def _scratches(rng: np.random.Generator, height: int, width: int) -> _Sketch:
    """One to four thin bright lines, nearly straight and parallel, that flare up and fade; seldom across the strip."""
    turned = rng.random() < 0.2
    if turned:
        height, width = max(width, height // 3), height
    ink = np.zeros((width, height) if turned else (height, width), np.uint8)
    long, side = ink.shape
    lean = _between(rng, -0.5, 0.5) * min(1.0, side / long)
    if rng.random() < 0.6:
        lean *= 0.15
    for number in range(int(rng.integers(1, 5))):
        length = int(long * (1.0 if number == 0 else _between(rng, 0.3, 1.0)))
        top = int(rng.integers(0, long - length + 1))
        x = _between(rng, 0.15, 0.85) * side - lean * length / 2
        bend = _between(rng, -0.03, 0.03)
        shine = _field(rng, length // 3 + 2, 1, ((5, 1), (3, 1)), 60)[:, 0] + int(rng.integers(120, 200))
        thickness = 2 if rng.random() < 0.2 else 1
        for step, value in enumerate(shine[: length // 3]):
            to = x + (lean + bend) * 3 + _between(rng, -0.25, 0.25)
            at = top + step * 3
            _stroke(ink, (x, at), (to, at + 3), int(min(max(value, 45), 255)), thickness)
            x = to
    if turned:
        ink = np.ascontiguousarray(ink.T)
    ink = _soft(ink)
    height_of = int(_ONE * _between(rng, 75, 140))
    marks = ink.astype(np.int32) * height_of // 255
    return _Sketch(ink, marks, np.zeros_like(marks), np.zeros_like(marks))


_SIZES: Mapping[str, tuple[float, tuple[float, float]]] = {
    "crazing": (0.6, (0.6, 1.2)),
    "inclusion": (0.45, (0.15, 0.5)),
    "patches": (0.5, (0.5, 1.1)),
    "pitted_surface": (0.6, (0.6, 1.2)),
    "rolled-in_scale": (0.6, (0.6, 1.2)),
    "scratches": (0.6, (0.1, 0.6)),
}
"""Least length along the strip, and least and most width, in tiles; the length goes up to `MAX_DEFECT_TILES`."""

_DRAW: Mapping[str, Callable[[np.random.Generator, int, int], _Sketch]] = {
    "crazing": _crazing,
    "inclusion": _inclusion,
    "patches": _patches,
    "pitted_surface": _pitted,
    "rolled-in_scale": _scale,
    "scratches": _scratches,
}
