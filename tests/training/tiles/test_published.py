"""`training.tiles.published`: each public set as its authors lay it out, its marks, its groups and its licence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_pictures import surface

from training.errors import DataError
from training.tiles.marked import MarkedFrame, run_lengths
from training.tiles.mills import MILLS, load_mill
from training.tiles.published import MOST, SOURCES, evenly, origin_of

VOC = (
    "<annotation><size><width>300</width><height>120</height></size><object><name>2_hanfeng</name>"
    "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>70</ymax></bndbox></object></annotation>"
)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])


def severstal(root: Path) -> None:
    """Two pictures 8 high; on the first columns 2 and 3 of class 3, and a row of class 1."""
    for number, name in enumerate(("a.jpg", "b.jpg")):
        write(root / "train_images" / name, surface(number)[:8, :40])
    rows = ["ImageId,ClassId,EncodedPixels", "a.jpg,3,17 16", "a.jpg,1,81 1 89 1"]
    (root / "train.csv").write_text("\n".join(rows) + "\n")


def gc10(root: Path) -> None:
    """One picture in two folders of classes, and one without boxes, which is left out."""
    for name in ("2/img_01_4247993_00018.jpg", "10/img_01_4247993_00018.jpg", "2/img_02_4250000_00001.jpg"):
        write(root / name, surface(5)[:120, :300])
    (root / "lable").mkdir()
    (root / "lable/img_01_4247993_00018.xml").write_text(VOC)


def cr7(root: Path) -> None:
    """Mirrored bands: two of one surface, one of another; a fourth that is no band is left out."""
    one, other = surface(1, 460), surface(2, 460)
    for name, band in (("pits1", one[:128, :400]), ("pits2", one[:128, 40:440]), ("dents1", other[:128, :400])):
        write(root / f"images/{name}.jpg", np.pad(np.pad(band, ((128, 128), (0, 0)), "symmetric"), ((8, 8), (0, 0))))
        (root / "labels").mkdir(exist_ok=True)
        (root / f"labels/{name}.txt").write_text("3 0.5 0.5 0.1 0.1\n")
    write(root / "images/linear9.jpg", other[:400, :400])
    (root / "labels/linear9.txt").write_text("")


def kolektor(root: Path) -> None:
    """Two items, of which the second repeats the first; one crack."""
    for item in ("kos01", "kos26"):
        write(root / item / "Part0.jpg", surface(7)[:200, :100])
    mask = np.zeros((200, 100), np.uint8)
    mask[50:60, 10:90] = 255
    write(root / "kos01/Part0_label.bmp", mask)


def magnetic_tile(root: Path) -> None:
    """Three pictures of two pieces; one with a mark."""
    for label, number in (("MT_Crack", 100), ("MT_Free", 250), ("MT_Free", 700)):
        mask = np.zeros((220, 150), np.uint8)
        mask[10:30, 10:30] = 255 if label == "MT_Crack" else 0
        write(root / label / f"Imgs/exp1_num_{number}.jpg", surface(number)[:220, :150])
        write(root / label / f"Imgs/exp1_num_{number}.png", mask)


SETS: dict[str, tuple[Callable[[Path], None], list[tuple[str, ...]], list[int]]] = {
    # written by, labels of each picture, and which of the pictures share a group
    "severstal": (severstal, [("class 3", "class 1"), ()], [0, 1]),
    "gc10": (gc10, [("2_hanfeng",)], [0]),
    "cr7": (cr7, [("pits",)] * 3, [0, 1, 1]),
    "commutators": (kolektor, [("crack",), ()], [0, 0]),
    "magnetic-tile": (magnetic_tile, [("crack",), (), ()], [0, 0, 1]),
}


def read(name: str, data: Path) -> list[MarkedFrame]:
    SETS[name][0](data / SOURCES[name].folder)
    return list(MILLS[name](data))


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_as_it_is_published(name: str, tmp_path: Path) -> None:
    """Every picture with its marks; what shares a surface shares its group."""
    _, labels, sharing = SETS[name]
    frames = read(name, tmp_path)
    order = list(dict.fromkeys(frame.group for frame in frames))

    assert [frame.labels for frame in frames] == labels
    assert [order.index(frame.group) for frame in frames] == sharing
    for frame in frames:
        assert frame.marks.shape == frame.pixels.shape
        assert set(np.unique(frame.marks)) - {0} == set(range(1, len(frame.labels) + 1))


def test_a_published_set_goes_before_our_part_of_it_with_its_licence(tmp_path: Path) -> None:
    """`mills` takes what lies there, and its results say whom to cite and what the licence is."""
    read("commutators", tmp_path)

    assert len(load_mill("commutators", tmp_path, 100).tiles) > 0
    assert "CC BY-NC-SA 4.0" in origin_of("commutators", tmp_path)["licence"]
    assert origin_of("cr7", tmp_path) == {} == origin_of("neu", tmp_path)
    assert all(source.cite and source.licence for source in SOURCES.values())


def test_masks_of_severstal_run_down_the_columns(tmp_path: Path) -> None:
    """17 16 of a picture 8 high are its columns 2 and 3, whole; 81 1 89 1 the top of columns 10 and 11."""
    marks = read("severstal", tmp_path)[0].marks

    assert np.argwhere(marks == 1).tolist() == [[y, x] for y in range(8) for x in (2, 3)]
    assert np.argwhere(marks == 2).tolist() == [[0, 10], [0, 11]]


@pytest.mark.parametrize(
    ("text", "says"), [("1 2 3", "without its length: 3"), ("320 2", "leaves the picture"), ("1 x", "whole numbers")]
)
def test_spoilt_run_lengths_are_refused_by_file(text: str, says: str) -> None:
    with pytest.raises(DataError, match=rf"^train\.csv: a\.jpg: .*{says}"):
        run_lengths(text, (8, 40), "train.csv: a.jpg")


def test_of_a_large_set_pictures_are_chosen_evenly() -> None:
    paths = [Path(f"{number}.jpg") for number in range(3 * MOST)]
    chosen = evenly(reversed(paths))

    assert len(chosen) == MOST
    assert (chosen[0], chosen[-1]) == (paths[0], paths[-1])
    assert evenly([]) == []
