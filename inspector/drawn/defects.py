"""The six kinds of NEU, each drawn by its own function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from inspector.drawn.noise import ONE, between, noise_field, ramp
from inspector.drawn.shapes import Sketch, draw_blob, fade_rim, soften, squares, stroke
from inspector.drawn.spec import MAX_DEFECT_TILES
from inspector.drawn.stamp import Stamp


def draw_defect(label: str, rng: np.random.Generator, tile_px: int) -> Stamp:
    """Return a defect of that kind at no place yet, cropped to what shows."""
    least, narrow = _SIZES[label]
    height = int(tile_px * between(rng, least, MAX_DEFECT_TILES))
    width = int(tile_px * between(rng, *narrow))
    return _stamp(_DRAW[label](rng, height, width))


def draw_long_defect(label: str, rng: np.random.Generator, length_px: int) -> Stamp:
    """Return a defect of that kind at no place yet, about `length_px` along the strip, cropped to what shows.

    Raises:
        KeyError: No such kind.
    """
    return _stamp(_DRAW[label](rng, length_px, int(length_px * between(rng, *_SIZES[label][1]))))


def _stamp(sketch: Sketch) -> Stamp:
    ys, xs = np.nonzero(sketch.ink >= 24)
    part = (slice(int(ys.min()), int(ys.max()) + 1), slice(int(xs.min()), int(xs.max()) + 1))
    ink = sketch.ink[part]
    fade = ramp(ink.shape, 24)
    delta = sketch.marks[part] + (sketch.ground[part] * fade >> 8)
    cover = sketch.cover[part] * fade >> 8
    return Stamp(0, 0, delta.astype(np.int16), cover.astype(np.int16), ink)


def _crazing(rng: np.random.Generator, height: int, width: int) -> Sketch:
    """A net of fine dark cracks, mostly across the strip, that waver, fork and fade, on roughened skin."""
    area = fade_rim(draw_blob(rng, height, width, 25, 0.6)).astype(np.int32)
    ink = np.zeros((height, width), np.uint8)
    slope = between(rng, -0.35, 0.35)
    for _ in range(int(height * width / between(rng, 500, 1100))):
        x, y = between(rng, 0, width), between(rng, 0, height)
        upright = rng.random() < 0.2
        way = between(rng, -0.5, 0.5)
        strength = between(rng, 90, 255)
        for _ in range(int(rng.integers(6, 26))):
            along, aside = between(rng, 0.6, 3.2), between(rng, -2.2, 2.2) + way
            way = min(max(way + between(rng, -0.5, 0.5), -1.2), 1.2)
            to = (x + aside, y + along) if upright else (x + along, y + aside + slope * along)
            shown = int(strength * between(rng, 0.35, 1.0))
            stroke(ink, (x, y), to, min(255, shown), 2 if rng.random() < 0.12 else 1)
            x, y = to
    ink = ((soften(ink).astype(np.int32) * np.minimum(area * 2, 255)) // 255).astype(np.uint8)
    depth = int(ONE * between(rng, 60, 105))
    rough = noise_field(rng, height, width, ((2, 2),), int(ONE * between(rng, 11, 22)))
    clouds = noise_field(rng, height, width, ((31, 31), (31, 31)), 6 * ONE) + int(ONE * between(rng, 2, 26))
    return Sketch(ink, -(ink.astype(np.int32) * depth // 255), (rough + clouds) * area // 255, np.zeros_like(area))


def _inclusion(rng: np.random.Generator, height: int, width: int) -> Sketch:
    """One to five dark ragged streaks along the strip that taper at both ends, with slivers beside them."""
    ink = np.zeros((height, width), np.float64)
    x = np.arange(width)[None, :]
    count = int(rng.integers(1, 4))
    for number in range(count + int(rng.integers(0, 5))):
        main = number < count
        length = int(height * (between(rng, 0.5, 1.0) if main else between(rng, 0.08, 0.3)))
        if number == 0:
            length = height
        half = between(rng, 3.5, 10.0) if main else between(rng, 0.9, 2.4)
        top = int(rng.integers(0, height - length + 1))
        t = (np.arange(length) + 0.5) / length
        drift = np.cumsum(noise_field(rng, length, 1, ((9, 1),), 16)[:, 0]) / 160
        wide, fine = (
            noise_field(rng, length, 1, ((size, 1), (size, 1)), 100)[:, 0] for size in (max(5, length // 4), 3)
        )
        peak = between(rng, 0.3, 0.7)
        taper = np.where(t < peak, t / peak, (1 - t) / (1 - peak))
        body = np.sqrt(taper) * half * np.maximum(wide / 250 + fine / 600 + 0.75, 0.12)
        middle = between(rng, 0.2, 0.8) * width + drift
        shape = np.clip(body[:, None] - np.abs(x - middle[:, None]) + 0.5, 0, 1) * between(rng, 0.7, 1.0)
        ink[top : top + length] = np.maximum(ink[top : top + length], shape)
    full = soften(np.floor(ink * 255).astype(np.uint8))
    depth = int(ONE * between(rng, 34, 62))
    inside = noise_field(rng, height, width, ((9, 2), (3, 1)), 4 * ONE)
    marks = (full.astype(np.int32) * (inside - depth)) // 255
    none = np.zeros_like(marks)
    return Sketch(full, marks, none, full.astype(np.int32) // 2)


def _patches(rng: np.random.Generator, height: int, width: int) -> Sketch:
    """Large dark blotches with soft irregular edges on a brighter, rough ground, and a few black specks."""
    size = int(min(height, width) * between(rng, 0.16, 0.26)) | 1
    large = noise_field(rng, height, width, ((size, size), (size, size)), 100)
    fine = noise_field(rng, height, width, ((9, 5), (7, 3)), 20)
    hill = 150 - squares(height, width) * 330 + large + fine - between(rng, 10, 90)
    ink = fade_rim(np.clip(np.floor(hill * 2.2), 0, 255).astype(np.uint8))
    ink = np.asarray(cv2.blur(ink, (5, 5), borderType=cv2.BORDER_CONSTANT), np.uint8)
    if int(ink.max()) < 200:
        ink = np.maximum(ink, fade_rim(draw_blob(rng, height, width, 15, -0.4)))
    area = fade_rim(draw_blob(rng, height, width, 25, 0.6)).astype(np.int32)
    depth = int(ONE * between(rng, 36, 66))
    inside = noise_field(rng, height, width, ((2, 2), (3, 2)), int(ONE * between(rng, 6, 11)))
    inside += noise_field(rng, height, width, ((19, 19), (19, 19)), 8 * ONE)
    marks = ink.astype(np.int32) * (inside - depth) // 255
    specks = np.zeros_like(ink)
    for _ in range(int(rng.integers(0, 14))):
        at = (between(rng, 0.2, 0.8) * width, between(rng, 0.2, 0.8) * height)
        stroke(specks, at, (at[0] + between(rng, -4, 4), at[1] + between(rng, -2, 2)), 255, int(rng.integers(1, 4)))
    specks = fade_rim(soften(specks))
    marks -= specks.astype(np.int32) * (30 * ONE) // 255
    bright = int(ONE * between(rng, 4, 24))
    rough = noise_field(rng, height, width, ((2, 1), (2, 2)), int(ONE * between(rng, 4, 9)))
    ground = (bright + rough) * area // 255 * (255 - ink.astype(np.int32)) // 255
    return Sketch(np.maximum(ink, specks), marks, ground, np.zeros_like(area))


def _pitted(rng: np.random.Generator, height: int, width: int) -> Sketch:
    """Many small dark pits, drawn out a little along the strip, on smooth bright ground."""
    area = fade_rim(draw_blob(rng, height, width, 35, 0.7))
    area = np.asarray(cv2.blur(area, (15, 15), borderType=cv2.BORDER_CONSTANT), np.uint8)
    ink = np.zeros((height, width), np.uint8)
    coarse = between(rng, 0, 1)
    for _ in range(int(height * width / (40 + 70 * coarse))):
        x, y = between(rng, 2, width - 2), between(rng, 2, height - 2)
        if between(rng, 0, 255) > area[int(y), int(x)]:
            continue
        long = between(rng, 0, 2.5 + 4 * coarse)
        thickness = int(rng.integers(1, 3 + round(2 * coarse)))
        lean = between(rng, -0.3, 0.3) * long
        stroke(ink, (x, y), (x + lean, y + long), int(rng.integers(110, 256)), thickness)
    ink = fade_rim(soften(ink))
    depth = int(ONE * between(rng, 34, 64))
    bright = int(ONE * between(rng, 0, 12))
    whole = area.astype(np.int32)
    return Sketch(ink, -(ink.astype(np.int32) * depth // 255), whole * bright // 255, whole * 100 // 255)


def _scale(rng: np.random.Generator, height: int, width: int) -> Sketch:
    """Clusters of dark slanting flecks of scale pressed into a mottled skin, bright chips between them."""
    area = fade_rim(draw_blob(rng, height, width, 31, 0.5))
    cluster = noise_field(rng, height, width, ((29, 41), (29, 41)), 100)
    dark, chips = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    slope = between(rng, -0.6, 0.3)
    for _ in range(int(height * width / between(rng, 90, 170))):
        x, y = between(rng, 3, width - 3), between(rng, 3, height - 3)
        if area[int(y), int(x)] < 120 or cluster[int(y), int(x)] < between(rng, -120, 160):
            continue
        target = dark if rng.random() < 0.82 else chips
        ink, thickness = int(rng.integers(120, 256)), int(rng.integers(1, 4))
        for _ in range(int(rng.integers(1, 4))):
            along = between(rng, 2.0, 6.0)
            to = (x + along, y + slope * along + between(rng, -1.3, 1.3))
            stroke(target, (x, y), to, ink, max(1, thickness + int(rng.integers(-1, 2))))
            x, y = to
    dark, chips = fade_rim(soften(dark)), fade_rim(soften(chips))
    depth, lift = int(ONE * between(rng, 30, 56)), int(ONE * between(rng, 8, 26))
    marks = chips.astype(np.int32) * lift // 255 - dark.astype(np.int32) * depth // 255
    mottle = noise_field(rng, height, width, ((11, 17), (11, 17)), int(ONE * between(rng, 4, 8)))
    mottle += noise_field(rng, height, width, ((2, 5), (1, 3)), int(ONE * between(rng, 5, 9)))
    return Sketch(dark, marks, mottle * area.astype(np.int32) // 255, np.zeros_like(mottle))


def _scratches(rng: np.random.Generator, height: int, width: int) -> Sketch:
    """One to four thin bright lines, nearly straight and parallel, that flare up and fade; seldom across the strip."""
    turned = rng.random() < 0.2
    if turned:
        height, width = max(width, height // 3), height
    ink = np.zeros((width, height) if turned else (height, width), np.uint8)
    long, side = ink.shape
    lean = between(rng, -0.5, 0.5) * min(1.0, side / long)
    if rng.random() < 0.6:
        lean *= 0.15
    for number in range(int(rng.integers(1, 5))):
        length = int(long * (1.0 if number == 0 else between(rng, 0.3, 1.0)))
        top = int(rng.integers(0, long - length + 1))
        x = between(rng, 0.15, 0.85) * side - lean * length / 2
        bend = between(rng, -0.03, 0.03)
        shine = noise_field(rng, length // 3 + 2, 1, ((5, 1), (3, 1)), 60)[:, 0] + int(rng.integers(120, 200))
        thickness = 2 if rng.random() < 0.2 else 1
        for step, value in enumerate(shine[: length // 3]):
            to = x + (lean + bend) * 3 + between(rng, -0.25, 0.25)
            at = top + step * 3
            stroke(ink, (x, at), (to, at + 3), int(min(max(value, 45), 255)), thickness)
            x = to
    if turned:
        ink = np.ascontiguousarray(ink.T)
    ink = soften(ink)
    height_of = int(ONE * between(rng, 75, 140))
    marks = ink.astype(np.int32) * height_of // 255
    return Sketch(ink, marks, np.zeros_like(marks), np.zeros_like(marks))


_SIZES: Mapping[str, tuple[float, tuple[float, float]]] = {
    "crazing": (0.6, (0.6, 1.2)),
    "inclusion": (0.45, (0.15, 0.5)),
    "patches": (0.5, (0.5, 1.1)),
    "pitted_surface": (0.6, (0.6, 1.2)),
    "rolled-in_scale": (0.6, (0.6, 1.2)),
    "scratches": (0.6, (0.1, 0.6)),
}
"""Least length along the strip, and least and most width, in tiles; the length goes up to `MAX_DEFECT_TILES`."""


_DRAW: Mapping[str, Callable[[np.random.Generator, int, int], Sketch]] = {
    "crazing": _crazing,
    "inclusion": _inclusion,
    "patches": _patches,
    "pitted_surface": _pitted,
    "rolled-in_scale": _scale,
    "scratches": _scratches,
}
