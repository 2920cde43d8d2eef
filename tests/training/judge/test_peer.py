"""`training.judge.peer`: two ways to learn good surface, judged on the same tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from inspector.frame import Pixels
from training.errors import DataError
from training.judge.peer import PatchCore, figures_of
from training.tiles.mills import Mill


class _Brightness:
    """Knows the brightest good tile, and is as surprised as a tile is brighter."""

    def teach(self, mill: Mill, rows: npt.NDArray[np.intp]) -> None:
        self.known = max(float(mill.tiles[i].mean()) for i in rows)

    def judge(self, tiles: Sequence[Pixels]) -> npt.NDArray[np.float64]:
        return np.array([float(tile.mean()) - self.known for tile in tiles])

    def size_mb(self) -> float:
        return 0.04


def test_a_peer_is_taught_on_the_one_half_and_judged_on_the_other() -> None:
    """Recall is the share of marked tiles beyond the score that so many clean tiles exceed."""
    values = [10, 11, *range(20, 120), *[119] * 50, *[200] * 50]
    tiles = [np.full((4, 4), value, np.uint8) for value in values]
    mill = Mill("fake", "", tiles, [], [str(i % 5) for i in range(len(tiles))], [])
    rows, clean = np.arange(2, 202), np.arange(200) < 100

    found = figures_of(_Brightness(), mill, np.array([0, 1]), rows, clean, [mill.groups[i] for i in rows])

    assert found["recall_at_0.1%"] == 1.0
    assert found["recall_at_1.0%"] == 1.0
    assert found["auroc"]["value"] == pytest.approx(0.9975)
    assert found["mb"] == 0.0
    assert found["tiles_per_s"] > 0


def test_a_peer_that_is_not_installed_is_named() -> None:
    """It is no dependency of this program."""
    with pytest.raises(DataError, match="anomalib"):
        PatchCore(Path("weights.h5"), 1)
