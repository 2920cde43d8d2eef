"""Public sets in the layout in which their authors publish them, each with its source and what is known of its licence.

Read where they lie; nothing here fetches any. Of a set without groups the surface that pictures share is worked out:
by coil or item where the name has it, else by `data.blocks`. At most `MOST` pictures of a set are read, evenly chosen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspector.frame import Pixels
from training.data.blocks import find_pairs, group_names
from training.data.dataset import Picture, natural_key, read_boxes
from training.errors import DataError
from training.tiles.marked import Boxed, MarkedFrame, boxed, masked, read_grey, read_rows, read_yolo, run_lengths

MOST = 2000
"""Pictures of a set: more tiles than are taught and judged come of them, and 12,568 of Severstal's are 4 GB."""
CR7_SIDE = 400
CR7_ROWS = slice(136, 264)
"""Of a picture of CR7: the rest mirrors these rows, in all but three files."""
CR7_LABELS = {
    "0": "inclusions", "1": "dents", "2": "oil spots", "3": "pits", "4": "punching", "5": "linear", "6": "macular",
}  # fmt: skip
PIECE_NUMBERS = 200
"""Numbers of magnetic tile's pictures that lie closer are of one piece (found by phase correlation)."""


@dataclass(frozen=True, slots=True)
class Source:
    """A public set.

    Attributes:
        folder: Where it is looked for, below the folder of the data sets.
        marker: What lies in that folder if it is this layout.
        cite: Whom to name.
        licence: What the authors say, and what follows.
        read: Its pictures, from that folder.
    """

    folder: str
    marker: str
    cite: str
    licence: str
    read: Callable[[Path], Iterator[MarkedFrame]]

    def lies_in(self, data: Path) -> bool:
        """Return whether the set is there in its published layout."""
        return any((data / self.folder).glob(self.marker))


def evenly(paths: Iterable[Path]) -> list[Path]:
    """Return at most `MOST` of the files, evenly spaced in natural order."""
    ordered = sorted(paths, key=lambda path: natural_key(path.as_posix()))
    places = np.unique(np.linspace(0, len(ordered) - 1, min(MOST, len(ordered))).round().astype(int))
    return [ordered[int(place)] for place in places] if ordered else []


def _severstal(root: Path) -> Iterator[MarkedFrame]:
    """Read `train_images/` and the masks of `train.csv`, four classes by number; a picture without a row is free."""
    table = root / "train.csv"
    runs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, row in enumerate(read_rows(table), 2):
        name, kind = row.get("ImageId"), row.get("ClassId")
        if both := row.get("ImageId_ClassId"):  # the competition's first form: a row for each class, most empty
            name, _, kind = both.rpartition("_")
        if not name or not kind or "EncodedPixels" not in row:
            raise DataError(f"{table}: line {number}: ImageId, ClassId and EncodedPixels are expected: {sorted(row)}")
        if row["EncodedPixels"]:
            runs[name].append((kind, row["EncodedPixels"]))
    for path in evenly((root / "train_images").glob("*.jpg")):
        pixels = read_grey(path)
        marks, labels = np.zeros(pixels.shape, np.int32), list[str]()
        for kind, text in runs[path.name]:
            mask = run_lengths(text, (pixels.shape[0], pixels.shape[1]), f"{table}: {path.name}")
            pieces = masked(pixels, path.stem, mask.astype(np.uint8), f"class {kind}")
            marks[pieces.marks > 0] = pieces.marks[pieces.marks > 0] + len(labels)
            labels += pieces.labels
        yield MarkedFrame(pixels, path.stem, marks, tuple(labels))


def _gc10(root: Path) -> Iterator[MarkedFrame]:
    """Read the ten folders of pictures and the boxes beside them, in `lable/` as it is spelt there, or `label/`.

    A picture is in several folders where it shows several classes; its name has its coil.
    """
    notes = {path.stem: path for name in ("lable", "label", "labels") for path in (root / name).glob("*.xml")}
    if not notes:
        raise DataError(f"{root}: no lable/*.xml, in which the set has its boxes")
    pictures = {path.stem: path for path in root.rglob("img_*.jpg")}
    for path in evenly(path for stem, path in pictures.items() if stem in notes):
        note = notes[path.stem]
        boxes: list[Boxed] = [
            (each.label, each.x, each.y, each.right, each.bottom)
            for each in read_boxes(note.read_bytes(), note.name)[1]
        ]
        parts = path.stem.split("_")
        yield boxed(read_grey(path), parts[2] if len(parts) > 3 else path.stem, boxes)


def _cr7(root: Path) -> Iterator[MarkedFrame]:
    """Read `images/` and YOLO's `labels/`: of each picture the band that is no mirror image; grouped by its surface."""
    frames, bands = list[MarkedFrame](), list[Picture]()
    for path in evenly((root / "images").glob("*.jpg")):
        pixels = read_grey(path)
        if pixels.shape != (CR7_SIDE, CR7_SIDE) or not _mirrored(pixels):
            continue
        boxes = read_yolo(root / "labels" / f"{path.stem}.txt", CR7_SIDE, CR7_LABELS)
        frame = boxed(pixels, path.stem, boxes)
        band = np.ascontiguousarray(pixels[CR7_ROWS])
        frames.append(MarkedFrame(band, path.stem, frame.marks[CR7_ROWS].copy(), frame.labels))
        label = re.sub(r"\d+$", "", path.stem)
        bands.append(Picture(path.stem, label, "", path.stem, band.shape[1], band.shape[0]))
    at = {picture.path: frame.pixels for picture, frame in zip(bands, frames, strict=True)}
    pairs = find_pairs(bands, lambda some: (at[picture.path] for picture in some))
    for frame, group in zip(frames, group_names(bands, [*pairs.near, *pairs.far]), strict=True):
        yield MarkedFrame(frame.pixels, group, frame.marks, frame.labels)


def _mirrored(pixels: Pixels) -> bool:
    """Return whether the rows above the band are its mirror image, but for what JPEG leaves."""
    above = pixels[CR7_ROWS.start - 100 : CR7_ROWS.start][::-1].astype(np.int16)
    return bool(np.abs(above - pixels[CR7_ROWS.start : CR7_ROWS.start + 100]).mean() < 4)


def _kolektor(root: Path) -> Iterator[MarkedFrame]:
    """Read `kosNN/PartN.jpg` with the mask beside it; items that repeat another's bytes are one group."""
    first: dict[bytes, str] = {}
    for path in evenly(root.glob("kos*/Part*.jpg")):
        mask = next(iter(path.parent.glob(f"{path.stem}_label.*")), None)
        pixels = read_grey(path)
        item = first.setdefault(pixels[:64].tobytes(), path.parent.name)
        yield masked(pixels, item, read_grey(mask) if mask else np.zeros(pixels.shape, np.uint8), "crack")


def _magnetic_tile(root: Path) -> Iterator[MarkedFrame]:
    """Read `MT_*/Imgs/` with a mask beside each picture; close numbers are one piece."""
    paths = [path for path in evenly(root.glob("MT_*/Imgs/*.jpg")) if path.with_suffix(".png").is_file()]
    pieces = _pieces([_number(path) for path in paths])
    for path in paths:
        label = path.parent.parent.name.removeprefix("MT_").lower()
        yield masked(read_grey(path), str(pieces[_number(path)]), read_grey(path.with_suffix(".png")) > 127, label)


def _number(path: Path) -> int:
    found = re.search(r"num_(\d+)", path.stem)
    if found is None:
        raise DataError(f"{path}: a name as exp1_num_108719.jpg is expected")
    return int(found[1])


def _pieces(numbers: Sequence[int]) -> dict[int, int]:
    """Return the piece of each number: one begins where the next number is farther away."""
    piece, found, before = 0, dict[int, int](), None
    for number in sorted(set(numbers)):
        if before is not None and number - before > PIECE_NUMBERS:
            piece += 1
        found[number], before = piece, number
    return found


NOT_OURS = "not for redistribution with the product"
SOURCES = {
    "severstal": Source(
        "severstal", "train.csv", "PAO Severstal, Severstal: Steel Defect Detection, Kaggle 2019",
        f"the competition's rules: competition, non-commercial research and education; {NOT_OURS}", _severstal,
    ),
    "gc10": Source(
        "gc10-det", "l*/*.xml", "X. Lv et al., Sensors 20(6), 1562 (2020)",
        f"the authors state none; copies elsewhere say CC BY 4.0; {NOT_OURS}", _gc10,
    ),
    "cr7": Source(
        "cr7-full", "labels/*.txt", "S. Chen et al., J. Real-Time Image Processing, doi 10.1007/s11554-024-01606-6",
        f"none stated, citation asked; {NOT_OURS}", _cr7,
    ),
    "commutators": Source(
        "kolektor-full", "kos*/Part*.jpg", "D. Tabernik et al., J. Intelligent Manufacturing (2019); Kolektor Group",
        f"CC BY-NC-SA 4.0: not commercial, share alike; {NOT_OURS}", _kolektor,
    ),
    "magnetic-tile": Source(
        "magnetic-tile-full", "MT_*/Imgs/*.jpg", "Y. Huang et al., The Visual Computer 36 (2020)",
        f"none stated; the authors welcome its use and ask to be cited; {NOT_OURS}", _magnetic_tile,
    ),
}  # fmt: skip
"""By the name of the surface in `mills`.

X-SDD (X. Feng et al., Symmetry 13(4), 706, 2021; Apache 2.0) is a folder a label, which `DataSet` reads.
"""


def origin_of(surface: str, data: Path) -> dict[str, str]:
    """Return whom to name for a surface and what its licence says, where its published set is what is read."""
    source = SOURCES.get(surface)
    return {"cite": source.cite, "licence": source.licence} if source and source.lies_in(data) else {}
