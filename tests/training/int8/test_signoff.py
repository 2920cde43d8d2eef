"""`training.int8.signoff`: whole, or not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_run import Trained

from training.errors import DataError
from training.int8 import signoff


def test_a_sign_off_that_was_cut_off_is_no_sign_off(trained: Trained, tmp_path: Path) -> None:
    """A new network beside the thresholds of the one before is refused by name."""
    shutil.copytree(trained.run, tmp_path / "run")
    (tmp_path / "run" / "model.tflite").write_bytes(b"a network that came after")
    with pytest.raises(DataError, match=r"model\.tflite: is not what signoff\.json was written for"):
        signoff.load(tmp_path / "run")
    (tmp_path / "run" / "signoff.json").unlink()
    with pytest.raises(DataError, match="not quantized"):
        signoff.load(tmp_path / "run")
