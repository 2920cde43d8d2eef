"""Tiles with their labels, in the one form from which everything learns: whole pictures, plain surfaces, and sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inspector.box import Box
from inspector.frame import Pixels
from inspector.labels import CLEAN
from training.data.dataset import Picture
from training.tiles.surfaces import texture

OUTLIER = ""
"""The label of a tile that shows none of the labels, not even `clean`: the network is to be unsure of it."""


@dataclass(frozen=True, slots=True, eq=False)
class TileSet:
    """Tiles with their labels.

    Attributes:
        pixels: N arrays (H, W) uint8.
        labels: N label names, or `OUTLIER`.
        origins: N words: where each tile comes from (`picture`, `clean_quilted`, `cut`, `generated`, ...).
        groups: N group names; tiles of one group never stand on both sides of a split.
        boxes: N tuples: where the tile's own label shows, tile pixels; empty if that is unknown.
    """

    pixels: list[Pixels]
    labels: list[str]
    origins: list[str]
    groups: list[str]
    boxes: list[tuple[Box, ...]]

    def __len__(self) -> int:
        return len(self.pixels)

    def __add__(self, other: TileSet) -> TileSet:
        return TileSet(
            self.pixels + other.pixels, self.labels + other.labels,
            self.origins + other.origins, self.groups + other.groups, self.boxes + other.boxes,
        )  # fmt: skip

    def pick(self, keep: Sequence[int]) -> TileSet:
        """Return the tiles at `keep`, in that order."""
        return TileSet(
            [self.pixels[i] for i in keep], [self.labels[i] for i in keep],
            [self.origins[i] for i in keep], [self.groups[i] for i in keep], [self.boxes[i] for i in keep],
        )  # fmt: skip

    @staticmethod
    def of(
        pixels: Sequence[Pixels],
        labels: Sequence[str],
        origin: str,
        groups: Sequence[str],
        boxes: Sequence[tuple[Box, ...]] | None = None,
    ) -> TileSet:
        """Return tiles of one origin."""
        known: list[tuple[Box, ...]] = [()] * len(pixels) if boxes is None else list(boxes)
        return TileSet(list(pixels), list(labels), [origin] * len(pixels), list(groups), known)


def picture_tiles(pictures: Sequence[Picture], pixels: Sequence[Pixels]) -> TileSet:
    """Return one tile a picture, whole."""
    boxes = [own_boxes(picture) for picture in pictures]
    return TileSet.of(pixels, [picture.label for picture in pictures], "picture", [p.group for p in pictures], boxes)


def own_boxes(picture: Picture) -> tuple[Box, ...]:
    """Return the boxes of a picture that carry its own label."""
    return tuple(Box(b.x, b.y, b.right - b.x, b.bottom - b.y) for b in picture.boxes if b.label == picture.label)


def sum_tiles(sets: Iterator[TileSet] | Sequence[TileSet]) -> TileSet:
    """Join tile sets in order."""
    total = TileSet([], [], [], [], [])
    for tiles in sets:
        total = total + tiles
    return total


def texture_tiles(count: int, tile_px: int, seed: int) -> TileSet:
    """Return seeded artificial clean surfaces: coloured noise, brushed lines, uneven light, black margins.

    They stand for the mills without pictures: what has none of the defects must come out as clean there too.
    """
    rng = np.random.default_rng(seed)
    tiles = [texture(tile_px, rng) for _ in range(count)]
    return TileSet.of(tiles, [CLEAN] * count, "clean_textures", [f"texture-{seed}-{i}" for i in range(count)])
