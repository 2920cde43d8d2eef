"""What training chooses by is what the daemon decides by: there is one softmax, and it is `decision`'s."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.inspection.decision import to_scores
from training.int8.quantize import parity

LABELS = ("crack", "pit", "scratch", "clean")


@pytest.mark.parametrize("seed", range(20))
def test_training_compares_the_scores_of_the_daemon(seed: int) -> None:
    """Shifts of score between float and int8 are those of the daemon's softmax, bit for bit, at any temperature."""
    rng = np.random.default_rng(seed)
    floats, ints = rng.normal(0, 1, (2, 1000, len(LABELS)))
    truth = rng.integers(0, len(LABELS), 1000)
    wanted = [LABELS[int(i)] for i in truth]
    temperature = 0.73 if seed == 0 else float(rng.uniform(0.25, 4))
    shift = np.abs(to_scores(floats, temperature) - to_scores(ints, temperature)).max(axis=1)
    compared = parity(floats, ints, wanted, wanted, LABELS, temperature)

    assert compared.p99_shift == float(np.quantile(shift, 0.99))
    for index, label in enumerate(LABELS):
        assert compared.per_label[label]["p99_shift"] == float(np.quantile(shift[truth == index], 0.99))
