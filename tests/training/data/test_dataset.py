"""`training.data.dataset`: pictures, labels and boxes of every layout, and what is refused by name."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_pictures import picture, surface

from inspector.pictures.limits import MAX_FRAME_PX
from training.data.dataset import MAX_PX, DataSet, decode, find_pictures, load_pixels
from training.data.prepare import build_manifest, check_labels
from training.errors import DataError


def test_reads_the_layout_of_the_public_distribution(small_data: Path) -> None:
    """Folder names are labels, the split comes from the path, and boxes from the annotation."""
    found = find_pictures(DataSet(small_data))

    assert len(found) == 108
    assert {p.split for p in found} == {"train", "validation"}
    assert all(len(p.boxes) == 1 and p.boxes[0].label == p.label for p in found)
    assert [p.name for p in found if p.label == "crazing"][:3] == ["crazing_1", "crazing_2", "crazing_3"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Cr_1.bmp", "crazing"),
        ("In_2.bmp", "inclusion"),
        ("Pa_3.bmp", "patches"),
        ("PS_4.bmp", "pitted_surface"),
        ("RS_5.bmp", "rolled-in_scale"),
        ("Sc_6.bmp", "scratches"),
        ("dent/a.png", "dent"),
        ("any/where/dent/b.png", "dent"),
    ],
)
def test_label_of_a_file(tmp_path: Path, name: str, label: str) -> None:
    """A flat NEU-CLS name or the folder says what a picture shows."""
    picture(tmp_path / name)

    assert [p.label for p in find_pictures(DataSet(tmp_path))] == [label]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("clean/PS_12.png", "dent/In_3.png"), ["clean", "dent"]),
        (("train/clean/PS_1.png", "train/dent/In_1.png"), ["clean", "dent"]),
        (("NEU-CLS/Cr_1.png", "NEU-CLS/In_1.png"), ["crazing", "inclusion"]),
        (("NEU-CLS/Cr_1.png", "NEU-CLS/clean/In_1.png"), ["crazing", "clean"]),
        (("Cr_1.png", "clean/a.png"), ["crazing", "clean"]),
        (("train/Cr_1.png", "validation/In_1.png"), ["crazing", "inclusion"]),
    ],
)
def test_a_flat_name_counts_only_without_a_label_folder(
    tmp_path: Path, names: Sequence[str], labels: Sequence[str]
) -> None:
    """A camera may number its pictures `PS_12`: the folder says what they show."""
    for name in names:
        picture(tmp_path / name)

    assert {p.path: p.label for p in find_pictures(DataSet(tmp_path))} == dict(zip(names, labels, strict=True))


@pytest.mark.parametrize("name", ["own/loose.png", "train/loose.png"])
def test_a_picture_beside_label_folders_has_no_label(tmp_path: Path, name: str) -> None:
    folder = name.partition("/")[0]
    for each in (name, f"{folder}/dent/1.png", f"{folder}/fold/1.png"):
        picture(tmp_path / each)
    with pytest.raises(DataError, match=rf"{name}: no label: .* as in {folder}/scratches/loose.png"):
        find_pictures(DataSet(tmp_path))


@pytest.mark.parametrize("folder", ["validation", "val", "valid", "test", "Test"])
def test_split_folders_go_by_their_usual_names(tmp_path: Path, folder: str) -> None:
    """What is kept apart from training is the split `validation`, however its folder is called."""
    for split in ("train", folder):
        picture(tmp_path / split / "dent" / "1.png")

    found = {p.path: p.split for p in find_pictures(DataSet(tmp_path))}
    assert found == {"train/dent/1.png": "train", f"{folder}/dent/1.png": "validation"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("train/dent/1.png", "later/dent/2.png"), "train/dent/1.png in 'train', this one in none: later/dent/2.png"),
        (("train/dent/1.png", "val/dent/2.png", "test/dent/3.png"), "2 are there: test, val"),
        (("dent/train/1.png", "dent/test/1.png"), "dent/test/1.png: no label: 'test' is a split"),
    ],
)
def test_splits_that_would_leave_pictures_out_are_refused(tmp_path: Path, names: Sequence[str], told: str) -> None:
    for name in names:
        picture(tmp_path / name)
    with pytest.raises(DataError) as caught:
        find_pictures(DataSet(tmp_path))

    assert told in str(caught.value)


def note(path: Path, label: str, x: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    box = f"<xmin>{x}</xmin><ymin>1</ymin><xmax>90</xmax><ymax>90</ymax>"
    size = "<size><width>100</width><height>100</height></size>"
    path.write_text(f"<annotation>{size}<object><name>{label}</name><bndbox>{box}</bndbox></object></annotation>")


@pytest.mark.parametrize(
    "pairs",
    [
        {"train/images/dent/1.png": "train/annotations/1.xml", "val/images/dent/1.png": "val/annotations/1.xml"},
        {"dent/1.png": "dent/1.xml", "fold/1.png": "fold/1.xml"},
        {"dent/1.png": "annotations/dent/1.xml", "fold/1.png": "annotations/fold/1.xml"},
        {"images/a/dent/1.png": "annotations/a/1.xml", "images/b/dent/1.png": "annotations/b/1.xml"},
        {"dent/1.png": "dent/1.xml", "a/dent/1.png": "a/dent/1.xml"},
        {
            "train/dent/1.png": "annotations/train/1.xml",
            "test/dent/1.png": "annotations/validation/1.xml",
        },
        {"dent/1.png": "annotations/1.xml", "fold/2.png": "annotations/2.xml"},
    ],
)
def test_boxes_are_those_of_the_picture_in_the_same_split_and_folder(tmp_path: Path, pairs: dict[str, str]) -> None:
    """Pictures of one name, in two folders, keep their own boxes."""
    for number, (name, annotation) in enumerate(pairs.items(), start=1):
        picture(tmp_path / name)
        note(tmp_path / annotation, Path(name).parent.name, x=number)

    found = {p.path: p.boxes[0].x for p in find_pictures(DataSet(tmp_path))}
    assert found == {name: number for number, name in enumerate(pairs, start=1)}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ("dent/1.png", "fold/1.png", "annotations/1.xml"),
            "annotations/1.xml: an annotation that could .*: dent/1.png, fold/1.png",
        ),
        (
            ("train/dent/1.png", "test/dent/1.png", "notes/1.xml"),
            "notes/1.xml: an annotation that could .* test/dent/1.png, train/dent/1.png",
        ),
        (("dent/1.png", "a/1.xml", "b/1.xml"), "dent/1.png: two annotations could belong to it: a/1.xml, b/1.xml"),
        (("dent/1.png", "fold/2.png", "fold/1.xml"), "fold/1.xml: an annotation without its picture"),
        (
            ("train/dent/1.png", "val/dent/2.png", "val/notes/1.xml"),
            "val/notes/1.xml: an annotation without its picture",
        ),
    ],
)
def test_an_annotation_that_nothing_assigns_is_refused(tmp_path: Path, names: Sequence[str], told: str) -> None:
    for name in names:
        if name.endswith(".xml"):
            note(tmp_path / name, "dent", 1)
        else:
            picture(tmp_path / name)
    with pytest.raises(DataError, match=told):
        find_pictures(DataSet(tmp_path))


def test_a_zip_reads_as_the_folder_does(small_data: Path, tmp_path: Path) -> None:
    """The same pictures come out of a zip, with the same hashes."""
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted(small_data.rglob("crazing_*")):
            archive.write(path, path.relative_to(small_data))
    zipped = find_pictures(DataSet(tmp_path / "data.zip"))

    assert [p for p in find_pictures(DataSet(small_data)) if p.label == "crazing"] == zipped
    assert load_pixels(DataSet(tmp_path / "data.zip"), zipped)[0].shape == (200, 200)


@pytest.mark.parametrize("packed", [False, True])
def test_what_shares_leave_behind_is_no_picture_and_no_label(tmp_path: Path, packed: bool) -> None:
    """Hidden files and folders, and those of macOS and Synology, wherever they lie, in a folder and in a zip."""
    junk = ("._1.png", ".hidden/1.png", "dent/._1.png", "dent/.hidden/1.png", "@eaDir/1.png", "dent/@eaDir/1.png",
            "__MACOSX/dent/1.png", "own/__MACOSX/1.png", "dent/.1.xml")  # fmt: skip
    root = tmp_path / ".own"  # where the data lie is the user's affair
    for name in ("dent/1.png", "fold/2.png"):
        picture(root / name)
    for name in junk:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"Mac OS X")
    if packed:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for path in root.rglob("*.*"):
                archive.write(path, path.relative_to(root))

    found = find_pictures(DataSet(tmp_path / "data.zip" if packed else root))
    assert {p.path: p.label for p in found} == {"dent/1.png": "dent", "fold/2.png": "fold"}


def packed(path: Path) -> bytearray:
    raw = path.parent / "raw.png"
    cv2.imwrite(str(raw), surface(1))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(raw, "dent/1.png")
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("encrypted", "data.zip: cannot read dent/1.png: .*encrypted"),
        ("damaged", "data.zip: cannot read dent/1.png: Error -3 while decompressing"),
        ("other-bytes", "data.zip: cannot read dent/1.png: Bad CRC-32"),
        ("unknown-packing", "data.zip: cannot read dent/1.png: .*compression"),
        ("no-directory", "data.zip: a zip file that cannot be opened"),
    ],
)
def test_a_zip_that_cannot_be_read_is_refused_by_name(tmp_path: Path, how: str, told: str) -> None:
    """An encrypted or damaged member is named; so is a zip without its list of files."""
    path = tmp_path / "data.zip"
    raw = packed(path)
    local, listed = raw.index(b"PK\x03\x04"), raw.index(b"PK\x01\x02")
    match how:
        case "encrypted":
            raw[local + 6] |= 1
            raw[listed + 8] |= 1
        case "damaged":
            raw[local + 40 : local + 44] = b"\xff" * 4
        case "other-bytes":
            raw[listed + 16] ^= 1
        case "unknown-packing":
            raw[local + 8] = raw[listed + 10] = 97
        case "no-directory":
            raw[listed : listed + 4] = b"none"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=told):
        find_pictures(DataSet(path))


def encoded(how: str) -> bytes:
    grey = surface(3, 64)
    flags: list[int]
    match how:
        case "float TIFF":
            kind, pixels, flags = ".tif", grey.astype(np.float32) / 255, []
        case "cut JPEG":
            kind, pixels, flags = ".jpg", grey, []
        case _:
            kind, pixels, flags = ".tif", grey, [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    raw = bytearray(cv2.imencode(kind, pixels, flags)[1].tobytes())
    if how == "cut JPEG":
        return bytes(raw[: len(raw) * 2 // 3]) + b"\xff\xd9"
    if how == "1-bit TIFF":
        set_tiff_tag(raw, 258, 1)
    elif how == "2-sample TIFF":
        set_tiff_tag(raw, 256, 32)
        set_tiff_tag(raw, 277, 2)
    elif how == "CMYK JPEG":
        return cmyk()
    return bytes(raw)


def set_tiff_tag(raw: bytearray, tag: int, value: int) -> None:
    start = int.from_bytes(raw[4:8], "little")
    for number in range(int.from_bytes(raw[start : start + 2], "little")):
        at = start + 2 + 12 * number
        if int.from_bytes(raw[at : at + 2], "little") == tag:
            size = {3: 2, 4: 4}[int.from_bytes(raw[at + 2 : at + 4], "little")]
            raw[at + 8 : at + 8 + size] = value.to_bytes(size, "little")


def cmyk() -> bytes:
    """A grey JPEG of four components: quantization and code tables as they are, each scan table the first."""
    raw = cv2.imencode(".jpg", np.full((8, 8), 128, np.uint8))[1].tobytes()
    frame, scan = raw.index(b"\xff\xc0"), raw.index(b"\xff\xda")
    parts = b"".join(bytes((number, 0x11, 0)) for number in range(1, 5))
    head = b"\xff\xc0\x00\x14\x08\x00\x08\x00\x08\x04" + parts
    begin = b"\xff\xda\x00\x0e\x04" + b"".join(bytes((number, 0)) for number in range(1, 5)) + b"\x00\x3f\x00"
    after_frame = frame + 2 + int.from_bytes(raw[frame + 2 : frame + 4])
    after_scan = scan + 2 + int.from_bytes(raw[scan + 2 : scan + 4])
    return raw[:frame] + head + raw[after_frame:scan] + begin + raw[after_scan:-2] * 4 + raw[-2:]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("float TIFF", "unsigned samples"),
        ("1-bit TIFF", "unsigned samples"),
        ("2-sample TIFF", "2 samples"),
        ("CMYK JPEG", "4 components"),
        ("cut JPEG", "damaged JPEG"),
    ],
)
def test_what_the_daemon_refuses_is_not_learned_from(how: str, told: str) -> None:
    """Training sees pictures as the line does; what it never sees teaches nothing."""
    with pytest.raises(DataError, match=rf"dent/1: .*{told}"):
        decode(encoded(how), "dent/1")


def test_pictures_may_be_as_large_as_the_daemon_takes_them() -> None:
    assert MAX_FRAME_PX == MAX_PX


@pytest.mark.parametrize("label", ["unknown", "Unknown", "Clean", "CLEAN"])
def test_names_of_verdicts_are_no_labels(tmp_path: Path, label: str) -> None:
    """`unknown` cannot be learned, and good steel is `clean` exactly."""
    for name in ("dent/1.png", "dent/2.png", f"{label}/1.png", f"{label}/2.png"):
        picture(tmp_path / name)
    pictures = find_pictures(DataSet(tmp_path))
    with pytest.raises(DataError, match=rf"data: .*{label.lower()}.*: {label}$"):
        check_labels(pictures)


def broken(root: Path, how: str) -> None:
    first = root / "train" / "images" / "crazing" / "crazing_1.jpg"
    note = root / "train" / "annotations" / "crazing_1.xml"
    match how:
        case "truncated":
            first.write_bytes(first.read_bytes()[:100])
        case "empty":
            first.write_bytes(b"")
        case "orphan":
            first.unlink()
        case "outside":
            note.write_text(note.read_text().replace("<xmax>190", "<xmax>290"))
        case "not-xml":
            note.write_text("<annotation>")
        case "entities":
            note.write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + note.read_text())
        case "other-size":
            note.write_text(note.read_text().replace("<width>200", "<width>300"))
        case "other-label":
            note.write_text(note.read_text().replace(">crazing<", ">dent<"))
        case "lost-label":
            shutil.rmtree(root / "validation" / "images" / "crazing")
            for path in (root / "validation" / "annotations").glob("crazing_*"):
                path.unlink()
        case "single":
            picture(root / "train" / "images" / "dent" / "dent_1.jpg")
        case "no-label":
            picture(root / "loose.jpg")


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("truncated", "crazing_1.jpg: truncated JPEG"),
        ("empty", "crazing_1.jpg: empty: 0 bytes"),
        ("orphan", "crazing_1.xml: an annotation without its picture"),
        ("outside", "crazing_1.xml: a box is empty or leaves the picture"),
        ("not-xml", "crazing_1.xml: not a Pascal VOC annotation"),
        ("entities", "crazing_1.xml: an annotation must not declare entities"),
        ("other-size", "crazing_1.xml: says 300x200"),
        ("other-label", "crazing_1.xml: no box of its picture's label 'crazing'"),
        ("lost-label", "label 'crazing' is missing in the split 'validation', which validation/images/inclusion/"),
        ("single", "label 'dent' has one picture"),
        ("no-label", "loose.jpg: no label"),
    ],
)
def test_bad_data_is_refused_by_name(small_data: Path, tmp_path: Path, how: str, named: str) -> None:
    """The error names the file or label and what is wrong with it."""
    root = tmp_path / "data"
    shutil.copytree(small_data, root)
    broken(root, how)
    with pytest.raises(DataError) as caught:
        build_manifest(DataSet(root))

    assert named in str(caught.value)


def test_a_label_missing_in_a_split_is_said_with_the_folder_as_the_user_named_it(tmp_path: Path) -> None:
    """`test` is one of the names of the split that results are measured on."""
    for name in ("train/dent/1.png", "train/dent/2.png", "train/fine/1.png", "train/fine/2.png", "test/fine/3.png"):
        picture(tmp_path / name)
    with pytest.raises(DataError, match=r"label 'dent' is missing in .* which test/fine/3\.png is of"):
        check_labels(find_pictures(DataSet(tmp_path)))


def test_a_path_that_is_no_data_is_refused(tmp_path: Path) -> None:
    """Neither a folder nor a zip, and a folder without a picture."""
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        DataSet(tmp_path / "a.txt")
    with pytest.raises(DataError, match="no picture"):
        find_pictures(DataSet(tmp_path))
