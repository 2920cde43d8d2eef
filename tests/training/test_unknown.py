"""The distance behind `unknown`: what it sees in the means of the map, and what in the logits."""

from __future__ import annotations

import numpy as np
import pytest

from training.unknown import fit_distance, fit_feature_head, threshold_for

RNG = np.random.default_rng(3)
LABELS = ["scratches"] * 300 + ["clean"] * 300


def known(count: int) -> np.ndarray:
    """Rows of two labels: four means of the map that say little, two logits that say which label it is."""
    means = RNG.normal(2, 0.5, (2 * count, 4))
    logits = np.concatenate([RNG.normal((5, 0), 0.3, (count, 2)), RNG.normal((0, 5), 0.3, (count, 2))])
    return np.hstack([means, logits])


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param((2, 2, 2, 2, 2.5, 2.5), id="unsure between the labels"),
        pytest.param((2, 2, 2, 2, 0, 0), id="sure of nothing"),
        pytest.param((2, 9, 2, 2, 5, 0), id="sure, by a map like no other"),
    ],
)
def test_either_part_makes_a_tile_unknown(strange: tuple[float, ...]) -> None:
    held = known(300)
    distance = fit_distance(known(300), LABELS, held, logits=2)
    threshold = threshold_for(distance(held), 0.01)

    assert (distance(held) > threshold).mean() <= 0.01
    assert distance(np.array([strange]))[0] > threshold


def test_both_parts_are_measured_in_what_known_tiles_reach() -> None:
    """A unit of either part is what 99 % of held-out tiles stay below, whatever its scale; logits count twice."""
    fit, held = known(300), known(300)
    scaled = np.array([100.0, 100, 100, 100, 1, 1])
    plain = fit_distance(fit, LABELS, held, logits=2)(held)

    assert fit_distance(fit * scaled, LABELS, held * scaled, logits=2)(held * scaled) == pytest.approx(plain, rel=0.05)
    assert 2 < np.quantile(plain, 0.99) < np.hypot(1, 2)


def test_the_channels_that_vary_most_below_the_ceiling_are_chosen() -> None:
    """A channel that varies only above the ceiling says nothing once cut off."""
    pooled = np.stack([RNG.uniform(0, 0.1, 50), RNG.uniform(0, 1, 50), RNG.uniform(2, 9, 50)], axis=1)

    assert fit_feature_head(pooled, 1).channels.tolist() == [1]
    assert fit_feature_head(pooled, 2).channels.tolist() == [0, 1]
