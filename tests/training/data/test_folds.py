"""`training.data.folds`: whole groups on one side."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.dataset import DataSet, Picture
from training.data.folds import check_leaks, group_folds, held_out
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.errors import DataError


def test_every_nth_surface_is_held_out() -> None:
    """Of each label, whole surfaces, and never where the data set brings a split of its own."""
    pictures = tuple(
        Picture(f"{label}/{number}.png", label, "", "", 200, 200, (), f"{label}{number // 2}")
        for label in ("dents", "scratches") for number in range(14)
    )  # fmt: skip
    split = held_out(Manifest(pictures, ()), 3)
    held = {picture.group for picture in split.split("validation")}

    assert held == {"dents2", "dents5", "scratches2", "scratches5"}
    assert not held & {picture.group for picture in split.split("train")}
    assert len(split.pictures) == 28
    with pytest.raises(DataError, match="brings a split of its own"):
        held_out(split, 3)


def test_folds_keep_groups_whole_and_leaks_are_refused(small_data: Path) -> None:
    """Every picture is held out once, no group stands on both sides, and a leaking split has a name."""
    manifest = build_manifest(DataSet(small_data))
    folds = list(group_folds(manifest.pictures, seed=1))
    held = sorted(i for _, part in folds for i in part)

    assert held == list(range(len(manifest.pictures)))
    for kept, part in folds:
        assert not {manifest.pictures[i].group for i in kept} & {manifest.pictures[i].group for i in part}
    with pytest.raises(DataError, match="lie on both sides"):
        check_leaks(manifest.pictures[:3], manifest.pictures[2:5])
