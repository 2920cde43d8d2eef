"""Pictures on disk or in a zip, their labels and boxes: three layouts, one `Picture` a file.

Layouts: the public NEU-DET distribution (`train|validation/images/LABEL/NAME.jpg` beside `annotations/NAME.xml`, Pascal
VOC), any `LABEL/*` folder, and NEU-CLS flat names (`Cr_1.bmp`) where there is no label folder. The folder name is the
label: some boxes carry another class's name, and every picture has a box of its own class. A folder above the label's
may be a split: `train` and one of `validation`, `val`, `valid`, `test`. Nothing here splits or groups; see `prepare`.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from inspector.errors import PictureError
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_grey
from inspector.pictures.decode import decode_picture
from training.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
NEU_LABELS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
FLAT_PREFIXES = {
    "Cr": "crazing", "In": "inclusion", "Pa": "patches",
    "PS": "pitted_surface", "RS": "rolled-in_scale", "Sc": "scratches",
}  # fmt: skip
SPLITS = ("train", "validation")
SPLIT_FOLDERS = {
    "train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "validation",
}  # fmt: skip
"""What a folder of this name, in any case, holds."""
MAX_PX = 100_000_000
"""Pictures with more pixels are refused, as the daemon does by default (`max_frame_px`)."""
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

    @property
    def folder(self) -> str:
        """The folders it lies in, without those that say a split."""
        parts = PurePosixPath(self.path).parts[:-1]
        return "/".join(part for part in parts if part.lower() not in SPLIT_FOLDERS)


class DataSet:
    """The files of a data set: a folder, or a zip read in place. Hidden files and the junk of a share are left out.

    Raises:
        DataError: Neither a folder nor a zip, or nothing readable in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: zipfile.ZipFile | None = None
        if zipfile.is_zipfile(root):
            try:
                self._zip = zipfile.ZipFile(root)
            except (OSError, zipfile.BadZipFile, NotImplementedError) as exc:
                raise DataError(f"{root}: a zip file that cannot be opened: {exc}") from exc
        elif not root.is_dir():
            raise DataError(f"data: neither a folder nor a zip file: {root}")

    def __reduce__(self) -> tuple[type[DataSet], tuple[Path]]:
        """Travel to another process as a path, which is opened there."""
        return DataSet, (self.root.absolute(),)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every file, listed when it is first asked for: who reads named files of a million lists none."""
        if self._zip:
            names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]
        return tuple(sorted({name for name in names if not _is_junk(name)}))

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names that are pictures by their suffix."""
        return tuple(name for name in self.names if PurePosixPath(name).suffix.lower() in SUFFIXES)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file.

        Raises:
            DataError: It is missing, damaged, encrypted or packed in an unknown way; the text names it.
        """
        try:
            return self._zip.read(name) if self._zip else (self.root / name).read_bytes()
        except (OSError, KeyError, EOFError, RuntimeError, lzma.LZMAError, zipfile.BadZipFile, zlib.error) as exc:
            raise DataError(f"{self.root}: cannot read {name}: {exc}") from exc

    def pixels(self, name: str) -> Pixels:
        """Return one picture as (H, W) uint8 grey, decoded as the daemon decodes it."""
        return decode(self.read(name), name)


def _is_junk(name: str) -> bool:
    """Return whether a file is hidden, or left by macOS or a Synology share."""
    return any(part.startswith(".") or part in ("__MACOSX", "@eaDir") for part in PurePosixPath(name).parts)


def decode(raw: bytes, name: str) -> Pixels:
    """Return the picture in `raw` as (H, W) uint8 grey, decoded by the daemon's own decoder.

    Raises:
        DataError: The daemon would refuse it; the text names the file.
    """
    try:
        return to_grey(decode_picture(raw, name=name, max_px=MAX_PX))
    except PictureError as exc:
        raise DataError(str(exc)) from exc


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


def find_pictures(data_set: DataSet) -> list[Picture]:
    """Return every picture of a data set with its label, split and boxes; each is decoded once to prove it.

    Raises:
        DataError: A file does not decode, an annotation has no picture or could belong to two, a picture no label, or
            only some lie in a split; the text names it.
    """
    if not data_set.pictures:
        raise DataError(f"data: no picture ({', '.join(sorted(SUFFIXES))}) below {data_set.root}")
    common = _common_folder(data_set.pictures)
    alone = all(PurePosixPath(name).parts[:-1] == common for name in data_set.pictures)
    labels = {name: _label(name, common, alone) for name in data_set.pictures}
    _check_splits(data_set.pictures)
    annotations = _match_annotations(data_set, labels)
    found = [_picture(data_set, name, label, annotations.get(name)) for name, label in labels.items()]
    return sorted(found, key=lambda picture: natural_key(picture.path))


def _common_folder(names: Sequence[str]) -> tuple[str, ...]:
    common = PurePosixPath(names[0]).parts[:-1]
    for name in names:
        parts = PurePosixPath(name).parts[:-1]
        while parts[: len(common)] != common:
            common = common[:-1]
    return common


def _label(name: str, common: tuple[str, ...], alone: bool) -> str:
    """Return what a picture shows; `common` is the deepest folder that holds all pictures, so that it names no label.

    Where it has no other folder in it (`alone`), its name is the label all the same, unless the files have flat names.
    """
    *folders, file = PurePosixPath(name).parts
    flat = _FLAT.match(PurePosixPath(name).stem)
    is_split = bool(folders) and folders[-1].lower() in SPLIT_FOLDERS
    if flat and (is_split or tuple(folders) == common):
        return FLAT_PREFIXES[flat[1]]
    if is_split:
        raise DataError(
            f"{name}: no label: {folders[-1]!r} is a split: put one folder a label into it, as in"
            f" {'/'.join((*folders, 'scratches', file))}"
        )
    if not folders or (tuple(folders) == common and not alone):
        raise DataError(
            f"{name}: no label: put pictures into one folder a label, as in {'/'.join((*folders, 'scratches', file))}"
        )
    return folders[-1]


def _split_folder(name: str) -> str:
    """Return the folder that names the split of a picture or annotation, the one nearest to the file; empty if none."""
    return next((part for part in reversed(PurePosixPath(name).parts[:-1]) if part.lower() in SPLIT_FOLDERS), "")


def _check_splits(names: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(_split_folder(name).lower(), name)
    unsplit = first.pop("", None)
    if unsplit and first:
        folder, example = min(first.items())
        raise DataError(
            f"data: some pictures lie in a split, such as {example} in {folder!r}, this one in none: {unsplit}"
        )
    if len(held := sorted(set(first) - {"train"})) > 1:
        raise DataError(
            f"data: one split of pictures held out from training is wanted, {len(held)} are there: {', '.join(held)}"
        )


def _match_annotations(data_set: DataSet, labels: dict[str, str]) -> dict[str, str]:
    """Return the annotation of each picture that has one: same file name, and no folder that contradicts it.

    A folder of an annotation matters if pictures are in one of that name: its split, its label, its camera. Of the
    remaining pictures, the one that shares most folders is meant, or the one right beside it.
    """
    folders = {name: _folders(name) for name in labels}
    spoken = frozenset[str]().union(*folders.values())
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in labels:
        by_stem[PurePosixPath(name).stem].append(name)
    found: dict[str, str] = {}
    orphans = []
    for annotation in (name for name in data_set.names if name.lower().endswith(".xml")):
        path, its = PurePosixPath(annotation), _folders(annotation)
        fitting = [name for name in by_stem[path.stem] if its & spoken <= folders[name]]
        if not fitting:
            orphans.append(annotation)
            continue
        nearness = {name: (len(its & folders[name]), PurePosixPath(name).parent == path.parent) for name in fitting}
        most = max(nearness.values())
        nearest = [name for name in fitting if nearness[name] == most]
        if len(nearest) > 1:
            raise DataError(
                f"{annotation}: an annotation that could belong to either picture, put it into a folder of the same"
                f" name as its picture's: {nearest[0]}, {nearest[1]}"
            )
        if earlier := found.get(nearest[0]):
            raise DataError(f"{nearest[0]}: two annotations could belong to it: {earlier}, {annotation}")
        found[nearest[0]] = annotation
    if orphans:
        raise DataError(f"{orphans[0]}: an annotation without its picture ({len(orphans)} in all)")
    return found


def _folders(name: str) -> frozenset[str]:
    return frozenset(SPLIT_FOLDERS.get(part.lower(), part) for part in PurePosixPath(name).parts[:-1])


def _picture(data_set: DataSet, name: str, label: str, annotation: str | None) -> Picture:
    split = SPLIT_FOLDERS.get(_split_folder(name).lower(), "")
    raw = data_set.read(name)
    height, width = decode(raw, name).shape
    picture = Picture(name, label, split, hashlib.sha256(raw).hexdigest(), width, height)
    if annotation is None:
        return picture
    size, boxes = read_boxes(data_set.read(annotation), annotation)
    if size != (width, height):
        raise DataError(f"{annotation}: says {size[0]}x{size[1]}, but {name} is {width}x{height}")
    if label not in {box.label for box in boxes}:
        raise DataError(
            f"{annotation}: no box of its picture's label {label!r}: {sorted({box.label for box in boxes})}"
        )
    return replace(picture, boxes=boxes)


def natural_key(path: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `a_2` before `a_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]


def load_pixels(data_set: DataSet, pictures: Iterable[Picture]) -> list[Pixels]:
    """Return the grey pixels of `pictures`, in order; a file that changed since `prepare` is refused.

    Raises:
        DataError: A file's bytes differ from the manifest's hash.
    """
    return list(read_pixels(data_set, pictures))


def read_pixels(data_set: DataSet, pictures: Iterable[Picture]) -> Iterator[Pixels]:
    """Yield the grey pixels of `pictures`, one at a time, as `load_pixels`.

    Raises:
        DataError: As `load_pixels`.
    """
    for picture in pictures:
        raw = data_set.read(picture.path)
        if hashlib.sha256(raw).hexdigest() != picture.sha256:
            raise DataError(f"{picture.path}: its bytes differ from the manifest: run prepare again")
        yield decode(raw, picture.path)
