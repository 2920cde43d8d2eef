"""Pictures of real defects and of real clean surface, from folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from inspector.box import Box
from inspector.errors import PictureError
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_grey
from inspector.labels import CLEAN
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX
from inspector.simulate.laid import Laid, paste
from inspector.simulate.order import OrderError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
RIM_PX = 8
"""Surroundings that are cut out with a boxed defect, to fade it into the strip."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a defect: all of it, or a box in it."""

    path: Path
    box: Box | None


class DefectPictures:
    """A folder of pictures in one folder per label.

    Where a Pascal VOC file of a picture's name lies in a folder `annotations`, its boxes of that label are the defects,
    else the whole picture is one. `clean` is left out.

    Args:
        folder: Where they lie, at any depth.

    Raises:
        OrderError: There is none, or an annotation cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        notes = {path.stem: path for path in sorted(folder.rglob("*.xml")) if path.parent.name == "annotations"}
        found: dict[str, list[Shown]] = {}
        for path in find_pictures(folder, "--images"):
            label = path.parent.name
            if label == CLEAN or path.parent == folder:
                continue
            boxes = _boxes(notes[path.stem], label) if path.stem in notes else [None]
            found.setdefault(label, []).extend(Shown(path, box) for box in boxes)
        self._shown: Mapping[str, list[Shown]] = {label: shown for label, shown in found.items() if shown}
        if not self._shown:
            raise OrderError("--images", f"no picture in {folder}/LABEL/")

    @property
    def labels(self) -> tuple[str, ...]:
        """In order."""
        return tuple(sorted(self._shown))

    def laid(
        self, label: str, size_px: int | None, contrast: float | None, most_px: int, rng: np.random.Generator
    ) -> Laid:
        """Return one of that label, at random; one that would be longer than `most_px` is made smaller.

        Raises:
            OrderError: It cannot be read.
        """
        shown = self._shown[label][int(rng.integers(len(self._shown[label])))]
        pixels, box = read_grey(shown.path, "--images"), shown.box
        if box is None:
            longest = max(pixels.shape)
            size_px = min(size_px or longest, most_px)
            return paste(label, pixels, 0, None if size_px == longest else size_px, contrast, rng)
        padded = np.pad(pixels, RIM_PX, mode="reflect")
        part = padded[box.y : box.bottom + 2 * RIM_PX, box.x : box.right + 2 * RIM_PX]
        if size_px is None and max(box.width, box.height) > most_px:
            size_px = most_px
        return paste(label, part, RIM_PX, size_px, contrast, rng)


def find_pictures(folder: Path, option: str) -> list[Path]:
    """Return the picture files below a folder, sorted.

    Raises:
        OrderError: It is none, or has none.
    """
    if not folder.is_dir():
        raise OrderError(option, f"not a folder: {folder}")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise OrderError(option, f"no picture in {folder}")
    return found


def read_grey(path: Path, option: str) -> Pixels:
    """Return a picture, (H, W) uint8.

    Raises:
        OrderError: It cannot be read.
    """
    try:
        raw = read_picture_file(path, MAX_FILE_BYTES)
        return to_grey(decode_picture(raw, name=str(path), max_px=MAX_FRAME_PX))
    except PictureError as exc:
        raise OrderError(option, str(exc)) from exc


def _boxes(path: Path, label: str) -> list[Box]:
    """Return the boxes of that label in a Pascal VOC file."""
    raw = path.read_bytes()
    try:
        if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
            raise ValueError("it declares entities")
        found = []
        for node in ElementTree.fromstring(raw).iter("object"):  # noqa: S314 - entities are refused above
            left, top, right, bottom = (
                int(node.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
            )
            if node.findtext("name", "") == label and right > left >= 0 and bottom > top >= 0:
                found.append(Box(left, top, right - left, bottom - top))
        return found
    except (ElementTree.ParseError, ValueError) as exc:
        raise OrderError("--images", f"not a Pascal VOC annotation: {path}: {exc}") from exc
