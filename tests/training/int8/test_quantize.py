"""`training.int8.quantize`: the gate between float and int8."""

from __future__ import annotations

import numpy as np

from training.int8.quantize import parity


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
