"""Where the thresholds lie between clean tiles and a label's own."""

from __future__ import annotations

import numpy as np
import pytest

from training.int8.operating import choose_temperature, choose_thresholds

LABELS = ("scratches", "clean")


def thresholds(clean: list[float], own: list[float]) -> float:
    scores = np.array([[score, 1 - score] for score in clean + own])
    wanted = ["clean"] * len(clean) + ["scratches"] * len(own)
    return choose_thresholds(scores, wanted, LABELS)["scratches"]


def test_a_threshold_keeps_its_distance_from_the_highest_clean_score() -> None:
    # log odds of 0.6 and 0.9 are 0.405 and 2.197: a quarter of the way is 0.853
    assert thresholds([0.1] * 50 + [0.6], [0.9] * 20) == pytest.approx(0.701, abs=1e-3)


def test_clean_tiles_that_name_no_defect_leave_one_half_as_the_lower_end() -> None:
    assert thresholds([0.1] * 50, [0.9] * 20) == pytest.approx(0.634, abs=1e-3)


def test_a_clean_tile_among_a_thousand_may_alarm() -> None:
    assert thresholds([0.1] * 999 + [0.8], [0.9] * 20) == pytest.approx(0.634, abs=1e-3)


def test_where_clean_and_defect_overlap_the_clean_score_is_no_bound() -> None:
    # log odds of 0.5 and 0.7 are 0 and 0.847: a quarter of the way is 0.212
    own = [0.6] * 1 + [0.7] * 99
    assert thresholds([0.1] * 50 + [0.95], own) == pytest.approx(0.553, abs=1e-3)
    assert np.mean(np.array(own) >= thresholds([0.1] * 50 + [0.95], own)) >= 0.99


def test_without_a_tile_of_its_own_a_label_stays_at_what_clean_tiles_ask_for() -> None:
    assert thresholds([0.1] * 50 + [0.7], []) == pytest.approx(0.7, abs=1e-3)


def test_temperature_is_the_one_the_scores_were_made_with() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 2))
    chance = 1 / (1 + np.exp(-(logits[:, 0] - logits[:, 1]) / 2.0))
    wanted = [LABELS[0] if draw < p else LABELS[1] for draw, p in zip(rng.random(4000), chance, strict=True)]
    assert choose_temperature(logits, wanted, LABELS) == pytest.approx(2.0, rel=0.15)
