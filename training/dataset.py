"""Pictures on disk or in a zip, their labels and boxes: three layouts, one `Picture` a file.

Layouts: the public NEU-DET distribution (`train|validation/images/LABEL/NAME.jpg` beside `annotations/NAME.xml`, Pascal
VOC), NEU-CLS flat names (`Cr_1.bmp`), and any `LABEL/*` folder. The folder name is the label: some boxes carry another
class's name, and every picture has a box of its own class. Nothing here splits or groups; see `prepare`.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import cv2
import numpy as np

from inspector.frame import Pixels
from inspector.preprocess import to_grey
from training.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
NEU_LABELS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
FLAT_PREFIXES = {
    "Cr": "crazing", "In": "inclusion", "Pa": "patches",
    "PS": "pitted_surface", "RS": "rolled-in_scale", "Sc": "scratches",
}  # fmt: skip
SPLITS = ("train", "validation")
_FLAT = re.compile(r"^(Cr|In|Pa|PS|RS|Sc)_(\d+)$")


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A rectangle of a picture, pixels, `right` and `bottom` exclusive, with the class name its annotation gives."""

    label: str
    x: int
    y: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return (self.right - self.x) * (self.bottom - self.y)


@dataclass(frozen=True, slots=True)
class Picture:
    """One file of a data set.

    Attributes:
        path: Relative to the data set's root, with forward slashes.
        label: What it shows.
        split: `train`, `validation`, or empty where the data set brings no split.
        sha256: Of the file's bytes.
        boxes: As annotated; empty without an annotation.
        group: Name of the set of overlapping views it belongs to; filled by `prepare`.
    """

    path: str
    label: str
    split: str
    sha256: str
    width: int
    height: int
    boxes: tuple[LabelledBox, ...] = ()
    group: str = ""

    @property
    def name(self) -> str:
        """File name without its suffix."""
        return PurePosixPath(self.path).stem


class Store:
    """The files of a data set: a folder, or a zip read in place.

    Raises:
        DataError: Neither a folder nor a zip, or nothing readable in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: zipfile.ZipFile | None = None
        if root.is_dir():
            names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        elif zipfile.is_zipfile(root):
            self._zip = zipfile.ZipFile(root)
            names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            raise DataError(f"data: neither a folder nor a zip file: {root}")
        self.names = tuple(sorted(name for name in names if not name.startswith(("__MACOSX/", "."))))

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        try:
            return self._zip.read(name) if self._zip else (self.root / name).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as exc:
            raise DataError(f"{self.root}: cannot read {name}: {exc}") from exc

    def pixels(self, name: str) -> Pixels:
        """Return one picture as (H, W) uint8 grey, decoded as the daemon decodes it."""
        return decode(self.read(name), name)


def decode(raw: bytes, name: str) -> Pixels:
    """Return the picture in `raw` as (H, W) uint8 grey.

    Raises:
        DataError: It does not decode; the text names the file.
    """
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), flags) if raw else None
    if pixels is None:
        raise DataError(f"{name}: not a picture that decodes ({len(raw)} bytes)")
    if pixels.dtype == np.uint16:
        pixels = np.asarray(pixels // 256, np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[:, :, :3]
    return to_grey(np.ascontiguousarray(pixels, dtype=np.uint8))


def read_boxes(raw: bytes, name: str) -> tuple[tuple[int, int], tuple[LabelledBox, ...]]:
    """Return (width, height) and the boxes of a Pascal VOC annotation.

    Raises:
        DataError: Not such a file, or a box without extent or outside its picture.
    """
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise DataError(f"{name}: an annotation must not declare entities")
    try:
        tree = ElementTree.fromstring(raw)  # noqa: S314 - entities are refused above
        width, height = int(tree.findtext("size/width", "")), int(tree.findtext("size/height", ""))
        boxes = []
        for node in tree.iter("object"):
            xmin, ymin, xmax, ymax = (
                int(node.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
            )
            boxes.append(LabelledBox(node.findtext("name", ""), xmin, ymin, xmax, ymax))
    except (ElementTree.ParseError, ValueError) as exc:
        raise DataError(f"{name}: not a Pascal VOC annotation: {exc}") from exc
    for box in boxes:
        if not (0 <= box.x < box.right <= width and 0 <= box.y < box.bottom <= height):
            raise DataError(f"{name}: a box is empty or leaves the picture of {width}x{height}: {box}")
    return (width, height), tuple(boxes)


def find_pictures(store: Store) -> list[Picture]:
    """Return every picture of the store with its label, split and boxes; each is decoded once to prove it.

    Raises:
        DataError: A file does not decode, an annotation has no picture, a picture no label; the text names it.
    """
    pictures = [name for name in store.names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not pictures:
        raise DataError(f"data: no picture ({', '.join(sorted(SUFFIXES))}) below {store.root}")
    annotations = {PurePosixPath(name).stem: name for name in store.names if name.lower().endswith(".xml")}
    stems = {PurePosixPath(name).stem for name in pictures}
    if orphans := sorted(set(annotations) - stems):
        raise DataError(f"{annotations[orphans[0]]}: an annotation without its picture ({len(orphans)} in all)")
    found = [_picture(store, name, annotations.get(PurePosixPath(name).stem)) for name in pictures]
    return sorted(found, key=lambda picture: natural_key(picture.path))


def _picture(store: Store, name: str, annotation: str | None) -> Picture:
    parts = PurePosixPath(name).parts
    flat = _FLAT.match(PurePosixPath(name).stem)
    if "images" in parts[:-2]:
        label = parts[-2]
        split = next((part for part in parts if part in SPLITS), "")
    elif flat:
        label, split = FLAT_PREFIXES[flat[1]], ""
    elif len(parts) >= 2:
        label = parts[-2]
        split = parts[-3] if len(parts) >= 3 and parts[-3] in SPLITS else ""
    else:
        raise DataError(f"{name}: no label: put pictures into one folder a label, as in scratches/{name}")
    raw = store.read(name)
    height, width = decode(raw, name).shape
    picture = Picture(name, label, split, hashlib.sha256(raw).hexdigest(), width, height)
    if annotation is None:
        return picture
    size, boxes = read_boxes(store.read(annotation), annotation)
    if size != (width, height):
        raise DataError(f"{annotation}: says {size[0]}x{size[1]}, but {name} is {width}x{height}")
    if label not in {box.label for box in boxes}:
        raise DataError(
            f"{annotation}: no box of its picture's label {label!r}: {sorted({box.label for box in boxes})}"
        )
    return replace(picture, boxes=boxes)


def natural_key(path: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `a_2` before `a_10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]


def load_pixels(store: Store, pictures: Iterable[Picture]) -> list[Pixels]:
    """Return the grey pixels of `pictures`, in order; a file that changed since `prepare` is refused.

    Raises:
        DataError: A file's bytes differ from the manifest's hash.
    """
    loaded = []
    for picture in pictures:
        raw = store.read(picture.path)
        if hashlib.sha256(raw).hexdigest() != picture.sha256:
            raise DataError(f"{picture.path}: its bytes differ from the manifest: run prepare again")
        loaded.append(decode(raw, picture.path))
    return loaded
