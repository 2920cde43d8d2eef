"""Pictures and what is marked on them, in the forms in which sets say it: boxes, masks, YOLO's shares, run lengths."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from training.data.dataset import decode
from training.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class MarkedFrame:
    """A picture and what is marked on it.

    Attributes:
        pixels: (H, W) uint8.
        group: What it shares its surface with.
        marks: (H, W) int32, 0 where nothing is marked, else the number of a mark, from 1 on.
        labels: Of the marks, from number 1 on.
    """

    pixels: Pixels
    group: str
    marks: npt.NDArray[np.int32]
    labels: tuple[str, ...]


Boxed = tuple[str, float, float, float, float]
"""A label and left, top, right, bottom in pixels."""


def read_grey(path: Path) -> Pixels:
    """Return a picture as (H, W) uint8 grey, decoded as the daemon decodes it; DataError where it would refuse it."""
    return decode(path.read_bytes(), path.name)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a head."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def boxed(pixels: Pixels, group: str, boxes: Sequence[Boxed]) -> MarkedFrame:
    """Return a frame whose marks are boxes: label, left, top, right, bottom in pixels."""
    marks = np.zeros(pixels.shape, np.int32)
    for number, (_, *corners) in enumerate(boxes, 1):
        left, top, right, bottom = (max(0, round(corner)) for corner in corners)
        marks[top:bottom, left:right] = number
    return MarkedFrame(pixels, group, marks, tuple(label for label, *_ in boxes))


def masked(pixels: Pixels, group: str, mask: npt.NDArray[Any], label: str) -> MarkedFrame:
    """Return a frame whose marks are the pieces of a mask."""
    count, marks = cv2.connectedComponents((mask > 0).astype(np.uint8))
    return MarkedFrame(pixels, group, np.asarray(marks, np.int32), (label,) * (count - 1))


def read_yolo(path: Path, side: int, names: Mapping[str, str]) -> list[Boxed]:
    """Return the boxes of a file of YOLO: class, centre and size as shares of a square picture of `side` pixels."""
    found: list[Boxed] = []
    for line in path.read_text().splitlines():
        kind, *shares = line.split()
        x, y, width, height = (float(share) * side for share in shares)
        found.append((names.get(kind, kind), x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return found


def run_lengths(text: str, shape: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W) from run lengths: start and length in turn, column by column, counted from 1.

    Args:
        text: Numbers, separated by spaces.
        shape: Height and width of the picture.
        where: File and row, for the error.

    Raises:
        DataError: Not such numbers, or beyond the picture.
    """
    height, width = shape
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError as exc:
        raise DataError(f"{where}: run lengths are whole numbers: {exc}") from exc
    flat = np.zeros(height * width, bool)
    for start, length in zip(numbers[::2], numbers[1::2], strict=len(numbers) % 2 == 0):
        if start < 1 or length < 1 or start - 1 + length > flat.size:
            raise DataError(f"{where}: a run leaves the picture of {width} x {height}: {start} {length}")
        flat[start - 1 : start - 1 + length] = True
    if len(numbers) % 2:
        raise DataError(f"{where}: a run without its length: {numbers[-1]}")
    return np.ascontiguousarray(flat.reshape(width, height).T)
