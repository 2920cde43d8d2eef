"""`training.network.feed`: what training is fed is what the daemon sees."""

from __future__ import annotations

import numpy as np
import pytest
from small_run import Trained

from inspector.box import Box
from inspector.drawn.tiles import draw_tile
from inspector.inspection.preprocess import to_input
from inspector.model.bundle import load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from training.network.feed import mask_of, preprocess_in_graph, shown_cells


def test_marked_cells_are_shares_of_the_largest() -> None:
    """A box over one cell and half of the next gives 1 and 0.5; hardly a pixel gives nothing to learn from."""
    cells = shown_cells(mask_of([Box(50, 0, 75, 50)], (200, 200)), 4)

    assert cells[0].tolist() == [0, 1, pytest.approx(0.5, abs=0.02), 0]
    assert not cells[1:].any()
    assert not shown_cells(mask_of([Box(0, 0, 3, 3)], (200, 200)), 4).any()


@pytest.mark.parametrize("side", [128, 200, 224])
@pytest.mark.parametrize("colour", [False, True])
def test_preprocessing_gives_the_same_bytes_everywhere(trained: Trained, side: int, colour: bool) -> None:
    """Alone, inside tf.data, and as the bundle's golden hashes were made in the daemon's path."""
    tile = draw_tile("patches", 3, 200)
    if colour:
        tile = np.ascontiguousarray(np.repeat(tile[:, :, None], 3, axis=2))

    assert to_input(tile, side).tobytes() == preprocess_in_graph(tile, side).tobytes()
    assert check_golden(Classifier(load_bundle(trained.bundle))).max_steps == 0
