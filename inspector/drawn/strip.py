"""The generator: a moving steel strip with the six defect kinds of NEU at known places, drawn, never photographed.

What is drawn depends on the seed and the absolute line alone, not on how it is sliced into frames, so "drawn against
found" can be counted. Outside the boxes the strip is exactly the strip without defects. Pixels come from integers and
exactly rounded float operations (no sine, logarithm or matrix product): the same bytes on every x86 machine. Pure: no
clock or thread, and no I/O but `read_tiles`. Training uses other seeds of the same generator than the demo; see
`TRAINING_SEEDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from inspector.box import Box
from inspector.drawn.defects import draw_defect
from inspector.drawn.noise import DEFECT, MARKS, ONE, ORDER, Delta, rng_of
from inspector.drawn.spec import KINDS, MAX_DEFECT_TILES, SAME_LABEL_GAP_TILES, DrawnDefect, StripSpec
from inspector.drawn.stamp import Stamp, lay, stamp_of
from inspector.drawn.surface import CHUNK_LINES, MARK_LINES, draw_surface, draw_water_mark, knots_of, level_of, light_of
from inspector.errors import ConfigError
from inspector.frame import Pixels


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
        self._level = level_of(spec.seed)
        self._light = light_of(spec)
        self._layers = draw_surface(spec.seed)
        self._wide = lru_cache(maxsize=1)(self._widened)
        self.stamp_at = lru_cache(maxsize=64)(self._make_stamp)
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
            label, stamp = self.stamp_at(ordinal)
            if stamp.y < first_line + count and stamp.box.bottom > first_line:
                found.append(DrawnDefect(label, stamp.box, ordinal))
        return found

    def region(self, box: Box) -> Pixels:
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
            bottom = min(box.bottom, (top // CHUNK_LINES + 1) * CHUNK_LINES)
            rows = np.arange(top, bottom)
            grey = self._slow(top, bottom, box)
            for layer in layers:
                grey += np.take(layer, rows % layer.shape[0], axis=0)
            for stamp in self._stamps(top, bottom - top):
                lay(grey, Box(box.x, top, box.width, bottom - top), stamp)
            grey += ONE // 2
            grey >>= 4
            np.clip(grey, 0, 255, out=grey)
            pixels[top - box.y : bottom - box.y] = grey
            top = bottom
        return pixels

    def _slow(self, top: int, bottom: int, box: Box) -> Delta:
        """Return light and slow brightness, convex between two rows of knots: no step anywhere."""
        knot, columns = top // CHUNK_LINES, slice(box.x, box.right)
        before, after = (knots_of(self.spec, number)[columns] for number in (knot, knot + 1))
        share = (np.arange(top, bottom) - knot * CHUNK_LINES).astype(np.int16)[:, None]
        slow = before * (CHUNK_LINES - share) + after * share  # at most 120 * 256: fits 16 bits
        slow >>= 8
        slow += (self._light[columns] * self._level >> 8).astype(np.int16)
        return slow

    def _ordinals(self, first_line: int, count: int) -> range:
        if not self.spec.defects_per_m or count <= 0:
            return range(0)
        bay, columns = self.spec.bay_lines, self.spec.columns
        return range(int(first_line / bay) * columns, (int((first_line + count - 1) / bay) + 1) * columns)

    def _stamps(self, first_line: int, count: int) -> list[Stamp]:
        sections = range(first_line // MARK_LINES, (first_line + count - 1) // MARK_LINES + 1)
        marks = [mark for section in sections for mark in self._mark(section)]
        return marks + [self.stamp_at(ordinal)[1] for ordinal in self._ordinals(first_line, count)]

    def _make_marks(self, section: int) -> list[Stamp]:
        rng = rng_of(self.spec.seed, MARKS, section)
        marks = []
        for _ in range(int(rng.integers(0, 4))):
            height, width = int(rng.integers(250, 700)), int(rng.integers(150, min(500, self.spec.width_px)))
            delta = draw_water_mark(rng, height, width)
            x = int(rng.integers(0, self.spec.width_px - width + 1))
            y = section * MARK_LINES + int(rng.integers(0, MARK_LINES - height))
            marks.append(Stamp(x, y, delta, np.zeros_like(delta), np.zeros(delta.shape, np.uint8)))
        return marks

    def _make_stamp(self, ordinal: int) -> tuple[str, Stamp]:
        """Return a defect and its label. Every label comes once before one comes again."""
        spec, labels = self.spec, self._labels
        turn = rng_of(spec.seed, ORDER, ordinal // len(labels)).permutation(len(labels))
        label = labels[int(turn[ordinal % len(labels)])]
        rng = rng_of(spec.seed, DEFECT, ordinal)
        if self._tiles:
            pictures = self._tiles[label]
            stamp = stamp_of(pictures[int(rng.integers(len(pictures)))])
        else:
            stamp = draw_defect(label, rng, spec.tile_px)
        bay, column = divmod(ordinal, spec.columns)
        height, width = stamp.delta.shape
        gap = SAME_LABEL_GAP_TILES * spec.tile_px
        left, right = (spec.width_px * number // spec.columns for number in (column, column + 1))
        left += gap // 2 if column else 0
        right -= gap // 2 if column + 1 < spec.columns else 0
        top, bottom = int(bay * spec.bay_lines) + 1, int((bay + 1) * spec.bay_lines) - gap
        x, y = int(rng.integers(left, right - width + 1)), int(rng.integers(top, bottom - height + 1))
        light = int(self._light[x + width // 2]) * self._level // (130 * ONE)
        if not self._tiles:
            light = (light + 256) // 2
            stamp = replace(stamp, delta=((stamp.delta.astype(np.int32) * light) >> 8).astype(np.int16))
        return label, replace(stamp, x=x, y=y)
