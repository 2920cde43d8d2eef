"""`training.data.folds`: whole groups on one side."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.dataset import DataSet
from training.data.folds import check_leaks, group_folds
from training.data.prepare import build_manifest
from training.errors import DataError


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
