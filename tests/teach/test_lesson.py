"""A lesson from a folder of good frames: what is taken, and what is left out or refused, each by its name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.errors import LessonError
from inspector.inspection.quality import QualityRules
from inspector.inspection.tiling import TilingRules
from inspector.teach import lesson as lesson_module
from inspector.teach.lesson import LessonRules, ShownLesson, find_frames, read_lesson

RULES = LessonRules(TilingRules(40), QualityRules(), 1 << 22)


def surface(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(128, 20, (height, width))
    return np.clip(noise, 0, 255).astype(np.uint8)


def frames(folder: Path, count: int, height: int = 40, width: int = 40, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"{number:04}.png"), surface(number, height, width))
    return folder


def read(folder: Path, by_folder: bool = False, rules: LessonRules = RULES) -> ShownLesson:
    return read_lesson(folder, rules, by_folder)


def test_each_picture_is_a_tile_and_a_group(tmp_path: Path) -> None:
    """Pictures up to 1.25 tiles a side are one tile each; with unknown coils each is a group of its own."""
    shown = read(frames(tmp_path, 60, 48, 50))

    assert shown.kept.tiles.shape == (60, 48, 50)
    assert len(np.unique(shown.kept.groups)) == len(np.unique(shown.kept.frames)) == 60
    assert (shown.tiles_across, shown.tiles_per_frame, shown.notes) == (1, 1, ())


def test_each_folder_is_a_coil(tmp_path: Path) -> None:
    """Sub-folders are coils, and frames are cut as the station cuts them."""
    for number, coil in enumerate(("7731", "7732", "7733")):
        frames(tmp_path / coil, 4, 80, 200, first=10 * number)
    shown = read(tmp_path, by_folder=True)

    assert shown.coils == ("7731", "7732", "7733")
    assert np.bincount(shown.kept.groups).tolist() == [40, 40, 40]
    assert (shown.tiles_across, shown.tiles_per_frame) == (5, 10)


def test_a_large_coil_does_not_crowd_out_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all tiles are kept, every coil has its share, and tiles come from all over the width."""
    frames(tmp_path / "large", 60, 40, 200)
    frames(tmp_path / "small", 5, 40, 200, first=100)
    monkeypatch.setattr(lesson_module, "MOST_TILES", 60)
    shown = read(tmp_path, by_folder=True)

    assert len(shown.kept.tiles) == 60
    assert np.bincount(shown.kept.groups)[1] == 5


def test_no_more_pixels_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels of a lesson have a bound."""
    monkeypatch.setattr(lesson_module, "MOST_BYTES", 70 * 40 * 40)

    assert len(read(frames(tmp_path, 20, 80, 200)).kept.tiles) == 70


def test_the_same_folder_gives_the_same_lesson(tmp_path: Path) -> None:
    """What is chosen depends on the folder alone."""
    frames(tmp_path, 60)

    assert find_frames(tmp_path, False) == find_frames(tmp_path, False)
    assert (read(tmp_path).kept.tiles == read(tmp_path).kept.tiles).all()


def spoil_black(folder: Path) -> None:
    cv2.imwrite(str(folder / "black.png"), np.zeros((40, 40), np.uint8))


def spoil_white(folder: Path) -> None:
    cv2.imwrite(str(folder / "white.png"), np.full((40, 40), 255, np.uint8))


def spoil_blank(folder: Path) -> None:
    cv2.imwrite(str(folder / "blank.png"), np.full((40, 40), 90, np.uint8))


def spoil_frozen(folder: Path) -> None:
    cv2.imwrite(str(folder / "again.png"), surface(5))


def spoil_nearly_frozen(folder: Path) -> None:
    noise = np.random.default_rng(1).integers(-1, 2, (40, 40))
    cv2.imwrite(str(folder / "nearly.png"), np.clip(surface(5) + noise, 0, 255).astype(np.uint8))


def spoil_cut(folder: Path) -> None:
    whole = (folder / "0001.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])


def spoil_text(folder: Path) -> None:
    (folder / "text.png").write_text("no picture")


def spoil_size(folder: Path) -> None:
    cv2.imwrite(str(folder / "larger.png"), surface(500, 48, 48))


def spoil_small(folder: Path) -> None:
    cv2.imwrite(str(folder / "small.png"), surface(500, 16, 16))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(spoil_black, "underexposed: black.png", id="black"),
        pytest.param(spoil_white, "overexposed: white.png", id="white"),
        pytest.param(spoil_blank, "blank: blank.png", id="blank"),
        pytest.param(spoil_frozen, "frozen", id="frozen"),
        pytest.param(spoil_nearly_frozen, "frozen", id="nearly frozen"),
        pytest.param(spoil_cut, "cut.png", id="cut"),
        pytest.param(spoil_text, "text.png", id="no picture"),
        pytest.param(spoil_size, "not of 40x40 px as the others: larger.png", id="another size"),
        pytest.param(spoil_small, "smaller than half a tile of 40 px: small.png", id="another field"),
    ],
)
def test_a_bad_frame_is_left_out_by_name(tmp_path: Path, spoil: object, said: str) -> None:
    """One bad frame among good ones is left out, with its name and the reason."""
    frames(tmp_path, 60)
    spoil(tmp_path)  # type: ignore[operator]
    shown = read(tmp_path)

    assert len(shown.kept.tiles) == 60
    assert len(shown.notes) == 1
    assert said in shown.notes[0]


@pytest.mark.parametrize(("width", "taken"), [(40, True), (20, True), (80, True), (100, False), (12, False)])
def test_a_field_that_is_not_the_stations_is_named(tmp_path: Path, width: int, taken: bool) -> None:
    """Frames more than twice as wide as the station's lines, or less than half, are not of this station."""
    frames(tmp_path, 60, 40, 40)
    rules = LessonRules(TilingRules(40), QualityRules(), 1 << 22, frame_wh=(width, None))

    if taken:
        assert len(read(tmp_path, rules=rules).kept.tiles) == 60
    else:
        with pytest.raises(LessonError, match=f"not of this station, whose frames are {width} px wide"):
            read(tmp_path, rules=rules)


def test_two_cameras_are_refused(tmp_path: Path) -> None:
    """Frames of two sizes are no lesson of one camera; both sizes are named."""
    frames(tmp_path, 60, 40, 40)
    frames(tmp_path, 20, 48, 48, first=100)

    with pytest.raises(LessonError, match=r"2 sizes.*60 of 80 are 40x40 px, .* is 48x48"):
        read(tmp_path)


def test_twenty_tiles_are_refused(tmp_path: Path) -> None:
    """Too few tiles are refused with their number, and with what was left out."""
    frames(tmp_path, 20)
    spoil_black(tmp_path)

    with pytest.raises(LessonError, match=r"at least 50 tiles .* gives 20; 1 frame\(s\) left out, underexposed"):
        read(tmp_path)


def test_a_frozen_camera_teaches_nothing(tmp_path: Path) -> None:
    """A folder that shows one picture again and again is refused."""
    for number in range(60):
        cv2.imwrite(str(tmp_path / f"{number}.png"), surface(1))

    with pytest.raises(LessonError, match=r"gives 1; 59 frame\(s\) left out, frozen"):
        read(tmp_path)


@pytest.mark.parametrize(("make", "said"), [(True, "no pictures"), (False, "no such folder")])
def test_nothing_to_read_is_named(tmp_path: Path, make: bool, said: str) -> None:
    """A folder that is missing or empty is named."""
    folder = tmp_path / "frames"
    if make:
        folder.mkdir()

    with pytest.raises(LessonError, match=f"{said}.*{folder}"):
        read(folder)
