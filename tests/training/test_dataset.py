from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.strip import draw_tile
from training.dataset import Store, find_pictures, load_pixels
from training.errors import DataError
from training.prepare import (
    build_manifest,
    check_leaks,
    compare_groups,
    count_pictures,
    group_folds,
    read_manifest,
    write_manifest,
    write_sheets,
)


def picture(path: Path, seed: int = 0, label: str = "scratches") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw_tile(label, seed, 100))
    return path


def test_reads_the_layout_of_the_public_distribution(small_data: Path) -> None:
    """Folder names are labels, the split comes from the path, and boxes from the annotation."""
    found = find_pictures(Store(small_data))

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

    assert [p.label for p in find_pictures(Store(tmp_path))] == [label]


def test_a_zip_reads_as_the_folder_does(small_data: Path, tmp_path: Path) -> None:
    """The same pictures come out of a zip, with the same hashes."""
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted(small_data.rglob("crazing_*")):
            archive.write(path, path.relative_to(small_data))
    zipped = find_pictures(Store(tmp_path / "data.zip"))

    assert [p for p in find_pictures(Store(small_data)) if p.label == "crazing"] == zipped
    assert load_pixels(Store(tmp_path / "data.zip"), zipped)[0].shape == (200, 200)


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
        ("truncated", "crazing_1.jpg: not a picture"),
        ("empty", "crazing_1.jpg: not a picture"),
        ("orphan", "crazing_1.xml: an annotation without its picture"),
        ("outside", "crazing_1.xml: a box is empty or leaves the picture"),
        ("not-xml", "crazing_1.xml: not a Pascal VOC annotation"),
        ("entities", "crazing_1.xml: an annotation must not declare entities"),
        ("other-size", "crazing_1.xml: says 300x200"),
        ("other-label", "crazing_1.xml: no box of its picture's label 'crazing'"),
        ("lost-label", "label 'crazing' is missing in the split 'validation'"),
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
        build_manifest(Store(root))

    assert named in str(caught.value)


def test_a_path_that_is_no_data_is_refused(tmp_path: Path) -> None:
    """Neither a folder nor a zip, and a folder without a picture."""
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        Store(tmp_path / "a.txt")
    with pytest.raises(DataError, match="no picture"):
        find_pictures(Store(tmp_path))


def surface(seed: int, side: int = 300) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(128, 40, (side, side)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 3 - 256, 0, 255).astype(np.uint8)


def test_overlapping_views_and_copies_share_a_group(tmp_path: Path) -> None:
    """Two views of one surface are one group, a copy joins its original, another surface stays apart."""
    one, other = surface(1), surface(2)
    views = {"a_1": one[:200, :200], "a_2": one[60:260, 90:290], "a_3": other[:200, :200], "a_4": other[:200, :200]}
    for name, pixels in views.items():
        (tmp_path / "a").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "a" / f"{name}.png"), pixels)
    for number in range(2):
        (tmp_path / "b").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "b" / f"b_{number}.png"), surface(10 + number)[:200, :200])
    manifest = build_manifest(Store(tmp_path))

    assert [p.group for p in manifest.pictures] == ["a_1", "a_1", "a_3", "a_3", "b_0", "b_1"]
    assert manifest.duplicates == (("a/a_3.png", "a/a_4.png"),)


def test_pictures_of_one_name_in_two_folders_are_two_surfaces(tmp_path: Path) -> None:
    """`dent/1.png` and `fold/1.png`, as cameras number them, are not taken for views of one surface."""
    for number, name in enumerate(("dent/1.png", "dent/2.png", "fold/1.png", "fold/2.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), surface(number))

    assert len({p.group for p in build_manifest(Store(tmp_path)).pictures}) == 4


def test_manifest_survives_and_damage_is_seen(small_data: Path, tmp_path: Path) -> None:
    """What is read is what was written; a changed manifest and a changed picture are refused."""
    manifest = build_manifest(Store(small_data))
    write_manifest(tmp_path / "manifest.json", manifest)

    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert count_pictures(manifest)["crazing"]["train"] == 14

    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace('"split": "train"', '"split": "validation"', 1))
    with pytest.raises(DataError, match="damaged"):
        read_manifest(tmp_path / "manifest.json")

    root = tmp_path / "data"
    shutil.copytree(small_data, root)
    picture(root / manifest.pictures[0].path, seed=99)
    with pytest.raises(DataError, match="differ from the manifest"):
        load_pixels(Store(root), manifest.pictures[:1])


def test_folds_keep_groups_whole_and_leaks_are_refused(small_data: Path) -> None:
    """Every picture is held out once, no group stands on both sides, and a leaking split has a name."""
    manifest = build_manifest(Store(small_data))
    folds = list(group_folds(manifest.pictures, seed=1))
    held = sorted(i for _, part in folds for i in part)

    assert held == list(range(len(manifest.pictures)))
    for kept, part in folds:
        assert not {manifest.pictures[i].group for i in kept} & {manifest.pictures[i].group for i in part}
    with pytest.raises(DataError, match="lie on both sides"):
        check_leaks(manifest.pictures[:3], manifest.pictures[2:5])


def test_a_sheet_a_label_is_written(small_data: Path, tmp_path: Path) -> None:
    """There is something to look at for each label."""
    manifest = build_manifest(Store(small_data))
    sheets = write_sheets(tmp_path, Store(small_data), manifest, per_label=3)

    assert len(sheets) == 6
    assert all(cv2.imread(str(path)) is not None for path in sheets)


@pytest.mark.data
@pytest.mark.timeout(900)
def test_groups_found_agree_with_the_supplied_list(data_folder: Path) -> None:
    """Of the list's picture pairs at most five are missed; ours are more, and each of those correlates by over 0.8."""
    manifest = build_manifest(Store(data_folder / "neu-det"))
    told = compare_groups(manifest, data_folder / "neu-det" / "overlap_groups.csv")
    both, there = (int(word) for word in told.split("; ")[1].split(" pairs")[0].split(" of "))

    assert len(manifest.pictures) == 1800
    assert manifest.duplicates[0][0].endswith("patches_101.jpg")
    assert there - both <= 5
