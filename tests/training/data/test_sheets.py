"""`training.data.sheets`: one a label."""

from __future__ import annotations

from pathlib import Path

import cv2

from training.data.dataset import DataSet
from training.data.prepare import build_manifest
from training.data.sheets import write_sheets


def test_a_sheet_a_label_is_written(small_data: Path, tmp_path: Path) -> None:
    """There is something to look at for each label."""
    manifest = build_manifest(DataSet(small_data))
    sheets = write_sheets(tmp_path, DataSet(small_data), manifest, per_label=3)

    assert len(sheets) == 6
    assert all(cv2.imread(str(path)) is not None for path in sheets)
