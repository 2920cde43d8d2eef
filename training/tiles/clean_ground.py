"""Clean ground of a mill as pictures, in two halves without a common group: one is quilted, the other teaches."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from inspector.frame import Pixels
from training.data.dataset import DataSet, find_pictures, load_pixels
from training.errors import DataError
from training.tiles.composed import find_grounds
from training.tiles.foreign import BLACK_LEVEL
from training.tiles.marked import MarkedFrame
from training.tiles.mills import MILLS
from training.tiles.quilt import quilt

GROUNDS = ("cr7", "gc10", "neu")
"""Steel with plain stretches; NEU's own test pictures stand for the mill that the bundle knows."""
MARGIN_PX = 8
LEAST_PX, MOST_PX, BAND_PX = 128, 1024, 256
PER_GROUP = 3
SEED = 43
NEU_FIELD_PX = 400


@dataclass(frozen=True, slots=True, eq=False)
class CleanPicture:
    """A stretch without a mark, and the group that it shares its surface with."""

    pixels: Pixels
    group: str


def clean_pictures(name: str, data: Path) -> list[CleanPicture]:
    """Return stretches of a surface that no mark touches, at most `PER_GROUP` of a group.

    Raises:
        DataError: There is none.
        OSError: A file of the set is missing.
    """
    found: dict[str, list[CleanPicture]] = {}
    for picture in _neu(data / "neu-det") if name == "neu" else _cut(MILLS[name](data)):
        found.setdefault(picture.group, []).append(picture)
    if not found:
        raise DataError(f"clean strip: {name}: no stretch without a mark")
    return [picture for pictures in found.values() for picture in pictures[:PER_GROUP]]


def halves(pictures: list[CleanPicture]) -> tuple[list[CleanPicture], list[CleanPicture]]:
    """Return two halves of the groups, at random: whose pictures are quilted, and whose teach."""
    groups = sorted({picture.group for picture in pictures})
    order = np.random.default_rng(SEED).permutation(len(groups))
    quilted = {groups[int(i)] for i in order[: len(groups) // 2]}
    return (
        [picture for picture in pictures if picture.group in quilted],
        [picture for picture in pictures if picture.group not in quilted],
    )


def write_pictures(pictures: list[CleanPicture], folder: Path) -> None:
    """Write pictures as files that `--ground` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:05d}.png"), picture.pixels)


def _cut(frames: Iterator[MarkedFrame]) -> Iterator[CleanPicture]:
    for frame in frames:
        height = min(BAND_PX, len(frame.pixels))
        for top in range(0, len(frame.pixels) - height + 1, height):
            band = slice(top, top + height)
            marked = frame.marks[max(0, top - MARGIN_PX) : top + height + MARGIN_PX].any(axis=0).astype(np.float64)
            near = np.convolve(marked, np.ones(2 * MARGIN_PX + 1), "same") > 0
            clear = ~near & ((frame.pixels[band] <= BLACK_LEVEL).mean(axis=0) < 0.05)
            for left, right in _runs(clear):
                for start in range(left, right - LEAST_PX + 1, MOST_PX):
                    yield CleanPicture(frame.pixels[band, start : min(right, start + MOST_PX)].copy(), frame.group)


def _runs(clear: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Return first and past-the-last column of the runs of at least `LEAST_PX` clear columns."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], clear, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= LEAST_PX]


def _neu(root: Path) -> Iterator[CleanPicture]:
    """Yield fields grown from what no box touches in the official test pictures."""
    with (root / "overlap_groups.csv").open(newline="") as file:
        groups = {row["image"]: row["group"] for row in csv.DictReader(file)}
    data_set = DataSet(root)
    pictures = [
        replace(picture, group=groups[picture.name])
        for picture in find_pictures(data_set)
        if picture.split == "validation"
    ]
    rng = np.random.default_rng(SEED)
    for ground in find_grounds(pictures, load_pixels(data_set, pictures)):
        yield CleanPicture(quilt(ground, NEU_FIELD_PX, NEU_FIELD_PX, rng), ground.group)
