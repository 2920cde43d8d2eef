"""`training.judge.intervals`: a rate and its bound."""

from __future__ import annotations

import pytest

from training.judge.intervals import share


@pytest.mark.parametrize(("k", "n", "low", "high"), [(0, 0, 0, 1), (360, 360, 0.9894, 1), (0, 1000, 0, 0.0038)])
def test_a_share_carries_its_bound(k: int, n: int, low: float, high: float) -> None:
    """The 95 % Wilson interval stands beside every share."""
    row = share(k, n)

    assert (row["k"], row["n"]) == (k, n)
    assert row["low"] == pytest.approx(low, abs=1e-4)
    assert row["high"] == pytest.approx(high, abs=1e-4)
