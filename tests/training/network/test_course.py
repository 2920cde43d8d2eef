"""`training.network.course`: pictures that nothing can be held out or learned from are named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from small_run import SMALL, Trained

from inspector.drawn.tiles import draw_tile
from training.data.dataset import DataSet, Picture
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.errors import DataError
from training.network.course import carve_validation, course_of


def test_pictures_of_one_surface_cannot_be_held_out(tmp_path: Path) -> None:
    """All views of a label overlap: the error says so before anything is trained."""
    for label, seed in (("a", 1), ("b", 2)):
        (tmp_path / label).mkdir()
        for number in range(3):
            pixels = draw_tile("crazing", seed if label == "a" else 10 * seed + number, 200)
            cv2.imwrite(str(tmp_path / label / f"{label}_{number}.png"), pixels)
    data_set = DataSet(tmp_path)
    with pytest.raises(DataError, match="all pictures of 'a' are views of one surface"):
        course_of(SMALL, data_set, build_manifest(data_set))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"width": 4000}, "4000 x 200 px is more than one tile (250 px a side at most", id="frames"),
        pytest.param({"split": "validation"}, "none in a folder named train", id="nothing to train on"),
    ],
)
def test_pictures_that_nothing_can_be_learned_from_are_named(
    changes: dict[str, Any], named: str, trained: Trained
) -> None:
    """Whole frames would be squeezed into one tile, and held-out pictures are never learned from."""
    pictures = tuple(replace(picture, **changes) for picture in trained.manifest.pictures)
    with pytest.raises(DataError, match=re.escape(named)):
        course_of(SMALL, trained.data_set, Manifest(pictures, ()))


@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        pytest.param({"a": [1] * 100, "b": [1] * 2}, {"a": 12, "b": 1}, id="a rare label"),
        pytest.param({"a": [20, 1, 1, 1, 1], "b": [1] * 40}, {"a": 3, "b": 5}, id="one large group"),
        pytest.param({"a": [5, 5], "b": [3, 4]}, {"a": 5, "b": 3}, id="two groups each"),
    ],
)
def test_a_rare_label_does_not_hold_out_the_others(sizes: dict[str, list[int]], held: dict[str, int]) -> None:
    """An eighth of each label as near as groups allow, at least one, never the largest."""
    pictures = [
        Picture(f"{label}/{group}-{i}.png", label, "", "", 200, 200, (), f"{label}{group}")
        for label, groups in sizes.items() for group, size in enumerate(groups) for i in range(size)
    ]  # fmt: skip
    kept, out = carve_validation(pictures)

    assert sorted(kept + out) == list(range(len(pictures)))
    assert not {pictures[i].group for i in kept} & {pictures[i].group for i in out}
    assert {label: sum(pictures[i].label == label for i in out) for label in sizes} == held
