"""`training.int8.quantize`: the gate between float and int8."""

from __future__ import annotations

import numpy as np
import pytest

from training.int8.quantize import Parity, parity


def test_the_parity_gate_counts_and_lists_what_differs() -> None:
    """One of 400 may differ, two may not; every larger shift is listed with its tile."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 0.1, (400, 2)) + np.eye(2)[rng.integers(0, 2, 400)] * 20
    wanted = ["ab"[i] for i in logits.argmax(axis=1)]
    names = [str(i) for i in range(400)]
    for flips, refused in ((0, False), (1, False), (2, True)):
        other = logits.copy()
        other[:flips] = other[:flips, ::-1]
        row = parity(logits, other, wanted, names, ("a", "b"))
        assert bool(row.refusal) is refused
        assert [entry["tile"] for entry in row.larger] == [str(i) for i in range(flips)]
        assert f"of 400 float names 400 rightly and int8 {400 - flips}; furthest apart: " in row.account
        assert row.account.count("int8 a, shift 1.0") + row.account.count("int8 b, shift 1.0") == flips


@pytest.mark.parametrize(
    ("tiles", "flips", "shift", "refusal"),
    [
        pytest.param(8, 0, 0.4, "", id="eight of eight alike, one of them unsure"),
        pytest.param(8, 1, 0.0, "1 of 8 tiles are decided differently (all of so few", id="one of eight"),
        pytest.param(99, 0, 0.4, "", id="ninety-nine"),
        pytest.param(100, 0, 0.4, "the 99th percentile of the score shift is 0.4000", id="a hundred"),
        pytest.param(100, 1, 0.0, "", id="one of a hundred"),
    ],
)
def test_of_few_pictures_the_gate_wants_equal_decisions(tiles: int, flips: int, shift: float, refusal: str) -> None:
    """A percentile of a few pictures is the least certain of them: below a hundred only decisions count."""
    row = Parity(tiles, 1 - flips / tiles, 1.0, 1.0, shift, {}, ())

    assert row.refusal.startswith(refusal)
    assert bool(row.refusal) is bool(refusal)
