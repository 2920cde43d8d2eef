"""Surfaces of many mills, each with what is marked on it: to teach a bundle on one half and judge it on the other.

A set is cut as the daemon cuts its frames. A tile is *marked* where at least a quarter of an annotated defect, or a
sixteenth of the tile, lies in it, *clean* where no mark is near and nothing is black beyond the strip's edge, and left
out otherwise. Groups are those that each set's README names: what shares a surface stays on one side.

Where a set lies there as its authors publish it (`published`), it is read instead of the part of it that we have.

X-SDD is not here: each of its pictures shows a defect, none says where, so nothing in it is known to be good surface.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.frame import Pixels
from inspector.inspection.tiling import TilingRules, plan_tiles
from inspector.labels import CLEAN
from training.data.dataset import DataSet, find_pictures, load_pixels, read_boxes
from training.tiles import published
from training.tiles.composed import composed_tiles, find_grounds
from training.tiles.foreign import BLACK_LEVEL
from training.tiles.marked import Boxed, MarkedFrame, boxed, masked, read_grey, read_rows, read_yolo
from training.tiles.quilt import quilt

MARGIN_PX = 4
"""A tile is clean only this far from every mark."""
SHOWN_SHARE, TILE_SHARE = 1 / 4, 1 / 16
"""A tile is marked where it holds this share of a mark, or a mark fills this share of it."""
MAX_BLACK = 0.05
"""Share of a clean tile that may be black."""
NEU_CUT, NEU_FIELDS, NEU_SEED = 600, 3, 24
"""Tiles with a defect, and quilted fields of nine tiles of each ground."""


@dataclass(frozen=True, slots=True, eq=False)
class Mill:
    """Tiles of one surface.

    Attributes:
        name: As `cr7`.
        geometry: How its tiles were cut.
        tiles: N arrays (H, W) uint8.
        labels: N: `clean`, or what is marked in the tile, as the set calls it.
        groups: N.
        frames: N numbers of pictures.
    """

    name: str
    geometry: str
    tiles: list[Pixels]
    labels: list[str]
    groups: list[str]
    frames: list[int]


def load_mill(name: str, data: Path, tile_px: int) -> Mill:
    """Return a surface of `MILLS`, cut into tiles of a bundle's `tile_px` where its pictures are large enough.

    Args:
        name: Of the surface.
        data: Folder that holds the data sets.
        tile_px: Of the bundle.

    Raises:
        DataError: A picture cannot be read.
        OSError: A file of the set is missing.
    """
    return _neu(data / "neu-det", tile_px) if name == "neu" else cut_mill(name, MILLS[name](data), tile_px)


def cut_mill(name: str, frames: Iterator[MarkedFrame], tile_px: int) -> Mill:
    """Return the tiles of frames as the daemon cuts them; of a frame lower than a tile, squares of its height."""
    mill = Mill(name, "", [], [], [], [])
    sides = set()
    for number, frame in enumerate(frames):
        height, width = frame.pixels.shape
        side = min(tile_px, height, width)
        sides.add(side)
        totals = np.bincount(frame.marks.ravel(), minlength=len(frame.labels) + 1)
        for box in plan_tiles(height, width, TilingRules(side)):
            if (label := label_of_tile(frame, box, totals)) is not None:
                mill.tiles.append(np.ascontiguousarray(frame.pixels[box.y : box.bottom, box.x : box.right]))
                mill.labels.append(label)
                mill.groups.append(frame.group)
                mill.frames.append(number)
    least, most = min(sides, default=0), max(sides, default=0)
    return replace(mill, geometry=f"tiles of {least if least == most else f'{least} to {most}'} px, as the daemon cuts")


def label_of_tile(frame: MarkedFrame, box: Box, totals: npt.NDArray[np.intp]) -> str | None:
    """Return what is marked in a tile, `clean`, or None if a person would not be sure.

    Args:
        frame: It is a part of.
        box: Of the tile.
        totals: Pixels of each mark in the frame, by its number.
    """
    inside = np.bincount(frame.marks[box.y : box.bottom, box.x : box.right].ravel(), minlength=len(totals))
    inside[0] = 0
    enough = (inside > 0) & ((inside >= SHOWN_SHARE * totals) | (inside >= TILE_SHARE * box.area_px))
    if enough.any():
        return frame.labels[int(np.where(enough, inside, 0).argmax()) - 1]
    top, left = max(0, box.y - MARGIN_PX), max(0, box.x - MARGIN_PX)
    if frame.marks[top : box.bottom + MARGIN_PX, left : box.right + MARGIN_PX].any():
        return None
    black = (frame.pixels[box.y : box.bottom, box.x : box.right] <= BLACK_LEVEL).mean()
    return None if black > MAX_BLACK else CLEAN


def _cr7(data: Path) -> Iterator[MarkedFrame]:
    root = data / "cr7-det"
    for row in read_rows(root / "groups.csv"):
        if row["mirrored"] != "yes":
            continue
        boxes = read_yolo(root / "labels" / f"{Path(row['image']).stem}.txt", 400, published.CR7_LABELS)
        frame = boxed(read_grey(root / "images" / row["image"]), row["group"], boxes)
        marks = frame.marks[published.CR7_ROWS].copy()
        yield MarkedFrame(np.ascontiguousarray(frame.pixels[published.CR7_ROWS]), frame.group, marks, frame.labels)


def _gc10(data: Path) -> Iterator[MarkedFrame]:
    root = data / "gc10-sample"
    for row in read_rows(root / "groups.csv"):
        name = f"{Path(row['image']).stem}.xml"
        boxes: list[Boxed] = [
            (each.label, each.x, each.y, each.right, each.bottom)
            for each in read_boxes((root / "labels" / name).read_bytes(), name)[1]
        ]
        yield boxed(read_grey(root / "images" / row["image"]), row["coil"], boxes)
    root = data / "gc10-crops"
    for row in read_rows(root / "groups.csv"):
        boxes = read_yolo(root / "labels" / f"{Path(row['image']).stem}.txt", 400, published.CR7_LABELS)
        group = row["gc10_frame"].split("_")[2] if row["gc10_frame"] else row["group"]
        yield boxed(read_grey(root / "images" / row["image"]), group, boxes)


def _severstal(data: Path) -> Iterator[MarkedFrame]:
    for root in (data / "severstal-sample", data / "severstal-more"):
        pictures = {path.stem: path for path in (root / "images").iterdir()}
        for row in read_rows(root / "labels.csv"):
            stem = Path(row["image"]).stem
            boxes = [("defect", *corners) for corners in json.loads(row["boxes_x0_y0_x1_y1"])]
            yield boxed(read_grey(pictures[stem]), stem, boxes)


def _magnetic_tile(data: Path) -> Iterator[MarkedFrame]:
    root = data / "magnetic-tile"
    for row in read_rows(root / "pieces.csv"):
        path = root / row["label"] / "Imgs" / row["file"]
        mask = read_grey(path.with_suffix(".png"))
        yield masked(read_grey(path), row["piece"], mask > 127, row["label"].removeprefix("MT_").lower())


def _ball_screws(data: Path) -> Iterator[MarkedFrame]:
    root = data / "bsdata-sample"
    for row in read_rows(root / "labels.csv"):
        if row["label"] == "unlabelled":
            continue
        pixels = read_grey(root / "images" / row["image"])
        marks = np.zeros(pixels.shape, np.int32)
        polygons = json.loads(row["polygons_x_y"])
        for number, polygon in enumerate(polygons, 1):
            cv2.fillPoly(marks, [np.array(polygon).round().astype(np.int32)], number)
        yield MarkedFrame(pixels, row["position"], marks, ("pitting",) * len(polygons))


def _commutators(data: Path) -> Iterator[MarkedFrame]:
    root = data / "kolektor-sdd"
    for row in read_rows(root / "labels.csv"):
        path = root / row["image"]
        pixels, mask = read_grey(path), path.with_name(f"{path.stem}_label.bmp")
        yield masked(pixels, row["item"], read_grey(mask) if mask.is_file() else np.zeros(pixels.shape), "crack")


def _either(surface: str) -> Callable[[Path], Iterator[MarkedFrame]]:
    """Return the reader of a surface: of the whole set as it is published where that lies there, else of ours."""

    def read(data: Path) -> Iterator[MarkedFrame]:
        source = published.SOURCES[surface]
        return source.read(data / source.folder) if source.lies_in(data) else _OWN[surface](data)

    return read


def _neu(root: Path, tile_px: int) -> Mill:
    """Return tiles of strips composed of the official test split: its own grounds quilted, its defects on them."""
    groups = {row["image"]: row["group"] for row in read_rows(root / "overlap_groups.csv")}
    data_set = DataSet(root)
    pictures = [
        replace(picture, group=groups[picture.name])
        for picture in find_pictures(data_set)
        if picture.split == "validation"
    ]
    pixels, rng = load_pixels(data_set, pictures), np.random.default_rng(NEU_SEED)
    cut = composed_tiles(pictures, pixels, clean=0, cut=NEU_CUT, tile_px=tile_px, seed=NEU_SEED)
    geometry = f"tiles of {tile_px} px of composed strips: pictures of the official test split, grounds quilted"
    mill = Mill("neu", geometry, cut.pixels, cut.labels, cut.groups, list(range(len(cut))))
    for ground in find_grounds(pictures, pixels):
        for _ in range(NEU_FIELDS):
            field = quilt(ground, 3 * tile_px, 3 * tile_px, rng)
            number = mill.frames[-1] + 1
            for box in plan_tiles(*field.shape, TilingRules(tile_px)):
                mill.tiles.append(field[box.y : box.bottom, box.x : box.right].copy())
                mill.labels.append(CLEAN)
                mill.groups.append(ground.group)
                mill.frames.append(number)
    return mill


_OWN: Mapping[str, Callable[[Path], Iterator[MarkedFrame]]] = {
    "cr7": _cr7, "gc10": _gc10, "severstal": _severstal, "magnetic-tile": _magnetic_tile, "commutators": _commutators,
}  # fmt: skip
MILLS: Mapping[str, Callable[[Path], Iterator[MarkedFrame]]] = {
    "cr7": _either("cr7"),
    "gc10": _either("gc10"),
    "severstal": _either("severstal"),
    "magnetic-tile": _either("magnetic-tile"),
    "ball-screws": _ball_screws,
    "commutators": _either("commutators"),
}
"""Surfaces that are cut; `neu` is composed."""
SURFACES = ("neu", *MILLS)
