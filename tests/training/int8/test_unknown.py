"""The distance behind `unknown`: what it sees in the texture, and what in the logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inspector.model.bundle import read_distance
from inspector.model.card import UnknownRule
from training.int8.unknown import arrays_of, fit_distance, fit_feature_head, rule_for, threshold_for, with_spoilt_places

LABELS = ["scratches"] * 300 + ["clean"] * 300
GROUPS = ((0, 2), (2, 4))


def known(count: int, seed: int = 1) -> np.ndarray:
    """Rows of two labels: four texture features, how strong is chance, and two logits that say which label it is."""
    rng = np.random.default_rng(seed)
    means = np.concatenate([rng.normal(each, 0.05, (count, 4)) for each in ((2, 1, 3, 1), (1, 2, 3, 1))]) * rng.uniform(
        0.3, 3, (2 * count, 1)
    )
    logits = np.concatenate([rng.normal((5, 0), 0.3, (count, 2)), rng.normal((0, 5), 0.3, (count, 2))])
    return np.hstack([means, logits])


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param((2, 1, 3, 1, 2.5, 2.5), id="unsure between the labels"),
        pytest.param((2, 1, 3, 1, 0, 0), id="sure of nothing"),
        pytest.param((2, 1, 1, 3, 5, 0), id="sure, with a texture like no other"),
    ],
)
def test_either_space_makes_a_tile_unknown(strange: tuple[float, ...]) -> None:
    held = known(300, 2)
    distance = fit_distance(known(300), LABELS, held, GROUPS)
    threshold = threshold_for(distance(held), 0.01)

    assert (distance(held) > threshold).mean() <= 0.01
    assert distance(np.array([strange]))[0] > threshold


def test_contrast_makes_no_tile_unknown() -> None:
    """The same texture a hundred times as strong is as near as before."""
    distance = fit_distance(known(300), LABELS, known(300, 3), GROUPS)
    held = known(300, 2)

    assert distance(held * [100, 100, 100, 100, 1, 1]) == pytest.approx(distance(held))


def test_a_label_has_several_places() -> None:
    """Two kinds of one label, far apart, leave what lies between them unknown."""
    rng = np.random.default_rng(3)
    kinds = np.concatenate([rng.normal(each, 0.02, (300, 4)) for each in ((3, 1, 3, 1), (1, 3, 3, 1))])
    rows = np.hstack([kinds, rng.normal((5, 0), 0.3, (600, 2))])
    distance = fit_distance(rows, ["scratches"] * 600, rows, GROUPS)

    assert np.median(distance(rows)) < 1 < distance(np.array([[2, 2, 3, 1, 5, 0]]))[0]


def test_each_space_is_measured_in_what_known_tiles_reach() -> None:
    """A unit is what 99 % of held-out tiles stay below in texture, and 99.5 % in certainty, whatever their scale."""
    fit, held = known(300, 2), known(300)
    distance = fit_distance(fit, LABELS, held, GROUPS)
    scaled = np.array([1, 1, 1, 1, 100.0, 100])

    assert [np.quantile(space(held), share) for space, share in zip(distance.spaces, (0.99, 0.995), strict=True)] == (
        pytest.approx([1, 1])
    )
    assert fit_distance(fit * scaled, LABELS, held * scaled, GROUPS)(held * scaled) == pytest.approx(
        distance(held), rel=0.05
    )


def test_few_tiles_of_a_label_are_enough() -> None:
    """A folder of one's own may hold a handful of a label: it has one place then."""
    distance = fit_distance(known(3), ["a"] * 3 + ["b"] * 3, known(30, 2), GROUPS)

    assert [len(space.means) for space in distance.spaces] == [2, 2]


def test_many_labels_share_the_places() -> None:
    """A folder of thirty labels has no more places than the daemon can compare with on one thread."""
    labels = [f"label {number}" for number in range(30) for _ in range(400)]
    distance = fit_distance(known(6000), labels, known(300, 2), GROUPS)

    assert [len(space.means) for space in distance.spaces] == [240, 30]


def test_what_is_written_is_what_the_daemon_reads(tmp_path: Path) -> None:
    """Arrays and rule of the card give the same distance."""
    path = tmp_path / "unknown.npz"
    distance = fit_distance(known(300), LABELS, held := known(300, 2), GROUPS)
    np.savez(path, **arrays_of(distance))
    rule = UnknownRule.model_validate(rule_for(distance, 1.25, 0.02).model_dump())

    assert (rule.threshold, rule.false_unknown_rate) == (1.25, 0.02)
    assert np.array_equal(read_distance(path, rule)(held), distance(held))


def test_the_halves_that_vary_most_are_chosen_of_each_map() -> None:
    """As many of each map; the reach is that of the chosen ones."""
    rng = np.random.default_rng(3)
    rows = np.stack([rng.uniform(0, 0.1, 500), rng.uniform(0, 1, 500), rng.uniform(4, 4.01, 500)], axis=1)
    head = fit_feature_head([rows, rows[:, ::-1] * 2], 4)

    assert [each.tolist() for each in head.channels] == [[0, 1], [1, 2]]
    assert head.reach == pytest.approx((1, 2), abs=0.01)
    assert head.groups == ((0, 2), (2, 4))


def test_what_a_rough_line_shows_becomes_known_and_nothing_unknown() -> None:
    """A texture that was far is near once spoilt pictures show it; no tile is farther than before."""
    distance = fit_distance(known(300), LABELS, known(300, 3), GROUPS)
    rng = np.random.default_rng(4)
    rough = np.hstack([rng.normal((1, 1, 3, 2), 0.02, (60, 4)), rng.normal((5, 0), 0.3, (60, 2))])
    wider = with_spoilt_places(distance, rough, ["scratches"] * 60)
    rows = np.concatenate([known(300, 2), rough])

    assert len(wider.spaces[0].means) == len(distance.spaces[0].means) + 3
    assert (wider(rows) <= distance(rows) + 1e-9).all()
    assert np.median(wider(rough)) < 1 < distance(rough).min()
    assert wider(np.array([[2, 1, 3, 1, 2.5, 2.5]])) == distance(np.array([[2, 1, 3, 1, 2.5, 2.5]])), (
        "doubt stays doubt"
    )
