"""`training.data.overlap`: views of one surface are found, near and far."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_pictures import surface

from training.data.blocks import Read, find_pairs
from training.data.dataset import DataSet, Picture, read_pixels
from training.data.folds import seen_in, shared_with_training
from training.data.manifest import Manifest, read_manifest
from training.data.prepare import build_manifest, compare_groups
from training.opened import open_data


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
    manifest = build_manifest(DataSet(tmp_path))

    assert [p.group for p in manifest.pictures] == ["a_1", "a_1", "a_3", "a_3", "b_0", "b_1"]
    assert manifest.duplicates == (("a/a_3.png", "a/a_4.png"),)


def test_pictures_of_one_name_in_two_folders_are_two_surfaces(tmp_path: Path) -> None:
    """`dent/1.png` and `fold/1.png`, as cameras number them, are not taken for views of one surface."""
    for number, name in enumerate(("dent/1.png", "dent/2.png", "fold/1.png", "fold/2.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), surface(number))

    assert len({p.group for p in build_manifest(DataSet(tmp_path)).pictures}) == 4


def views(names: Sequence[str], surfaces: int) -> tuple[list[Picture], list[np.ndarray]]:
    """Pictures of 48 px of which every `surfaces`-th shows the surface that the first shows."""
    each = [surface(number, 60) for number in range(surfaces)]
    pictures = [Picture(name, "dent", "", name, 48, 48) for name in names]
    return pictures, [each[i % surfaces][i // surfaces :, :48][:48] for i in range(len(names))]


def shown(pictures: Sequence[Picture], pixels: Sequence[np.ndarray]) -> Read:
    """A reader of pictures that no file holds."""
    at = {picture.path: its_pixels for picture, its_pixels in zip(pictures, pixels, strict=True)}
    return lambda some: (at[picture.path] for picture in some)


@pytest.mark.parametrize("pattern", ["dent/coil{coil}_{number}.png", "coil{coil}/dent/{number}.png"])
def test_neighbours_of_one_coil_are_compared(pattern: str) -> None:
    """Twelve coils of three pictures: views of one surface stand side by side, whatever number they bear."""
    names = [pattern.format(coil=coil, number=number) for number in (1, 2, 3) for coil in "ABCDEFGHIJKL"]
    pictures, pixels = views(names, surfaces=12)
    pairs = {(names[a], names[b]) for a, b in find_pairs(pictures, shown(pictures, pixels)).near}

    for coil in "ABCDEFGHIJKL":
        first, second, third = (pattern.format(coil=coil, number=number) for number in (1, 2, 3))
        assert {(first, second), (second, third)} <= pairs


def test_views_on_both_sides_of_a_split_are_compared() -> None:
    """A held-out view is found far away in the other split, where its number stands."""
    names = [f"{'val' if number == 15 else 'train'}/dent/{number}.png" for number in range(1, 31)]
    pictures, pixels = views(names, surfaces=len(names))
    pixels[13] = np.roll(pixels[14], 3, axis=0)

    assert find_pairs(pictures, shown(pictures, pixels)).near == [(13, 14)]


def test_validation_pictures_that_training_pictures_show_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted over whole groups, on the validation side; preparing says so, and where the honest figure is."""
    one = surface(1)
    for name, pixels in (
        ("train/dent/1.png", one[:200, :200]), ("test/dent/2.png", one[60:260, 90:290]),
        ("train/dent/3.png", surface(2)[:200, :200]), ("test/dent/4.png", surface(3)[:200, :200]),
        *((f"{side}/fold/{i}.png", surface(4 + i)[:200, :200]) for i, side in enumerate(("train", "test", "train"))),
    ):  # fmt: skip
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "own" / name), pixels)
    _, manifest = open_data(tmp_path / "own", tmp_path / "run" / "manifest.json")
    told = " ".join(capsys.readouterr().err.split())

    assert shared_with_training(manifest) == {"test/dent/2.png"}
    assert "1 of 3 validation pictures show what a training picture shows" in told
    assert "evaluate gives the figure without them" in told
    assert not shared_with_training(Manifest(tuple(manifest.split("validation")), ()))


def test_a_surface_that_was_photographed_again_much_later_is_told(tmp_path: Path) -> None:
    """A view 15 places on joins no group, so that folds stay comparable, and is known to show what training saw."""
    for number in range(1, 41):
        label, place = "ab"[number > 20], (number - 1) % 20 + 1
        shown = surface(3, 260)[40:240, 30:230] if (label, place) == ("a", 19) else surface(number, 260)[:200, :200]
        path = tmp_path / "own" / ("test" if place > 17 else "train") / label / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), shown)
    data_set, manifest = open_data(tmp_path / "own", tmp_path / "run" / "manifest.json")
    places = {picture.path: index for index, picture in enumerate(manifest.pictures)}
    first, again, other = (places[name] for name in ("train/a/3.png", "test/a/19.png", "test/a/20.png"))

    pairs = find_pairs(manifest.pictures, partial(read_pixels, data_set))
    assert [set(pair) for pair in pairs.far] == [{first, again}]
    assert len({picture.group for picture in manifest.pictures}) == 40
    assert read_manifest(tmp_path / "run" / "manifest.json") == manifest
    assert shared_with_training(manifest) == {"test/a/19.png"}
    assert seen_in(manifest, [first], [again, other]) == [True, False]


@pytest.mark.data
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("labels", "missed"),
    [
        pytest.param(("patches", "scratches"), 1, id="two labels"),
        pytest.param((), 5, id="all labels", marks=pytest.mark.slow),
    ],
)
def test_groups_found_agree_with_the_supplied_list(
    labels: Sequence[str], missed: int, data_folder: Path, tmp_path: Path
) -> None:
    """Of the list's picture pairs hardly one is missed; ours are more, and each of those correlates by over 0.8."""
    whole = data_folder / "neu-det"
    for label in labels:
        for path in whole.glob(f"NEU-DET/*/images/{label}/*.jpg"):
            beside = tmp_path / path.relative_to(whole)
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.symlink_to(path)
    manifest = build_manifest(DataSet(tmp_path if labels else whole))
    told = compare_groups(manifest, whole / "overlap_groups.csv")
    both, there = (int(word) for word in told.split("; ")[1].split(" pairs")[0].split(" of "))

    assert len(manifest.pictures) == 300 * (len(labels) or 6)
    assert manifest.duplicates[0][0].endswith("patches_101.jpg")
    assert there - both <= missed
