"""A frame in a hurry: at most twice the tiles of a clean one are scored, those whose verdict is close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from inspector.bench.inspecting import GRID, bench_frames
from inspector.frame import Frame, Pixels
from inspector.inspection.one_frame import HURRIED_PART, InspectRules, inspect_frame
from inspector.inspection.predictions import Predictions
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.settings.sections import Decision, Tiling
from inspector.station.wiring import inspect_rules

TILES = GRID[0] * GRID[1]


class Counting:
    """A classifier that counts the tiles it scores."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.scored = classifier, 0

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        self.scored += len(tiles)
        return self.classifier(tiles)


@pytest.fixture(scope="module")
def bench() -> tuple[Frame, Frame, Counting, InspectRules]:
    bundle = load_bundle(find_bundle("neu-fast"))
    classifier = Classifier(bundle)
    clean, worst = bench_frames(bundle, classifier)
    return clean, worst, Counting(classifier), inspect_rules(Tiling(), Decision(), bundle)


def test_a_frame_of_defects_takes_no_more_than_two_clean_ones(
    bench: tuple[Frame, Frame, Counting, InspectRules],
) -> None:
    """And what was left out is counted."""
    _, worst, classify, rules = bench
    classify.scored = 0
    inspection = inspect_frame(worst, classify, replace(rules, hurried=True))

    assert classify.scored <= 2 * TILES
    assert inspection.looks_left_out >= TILES // 2
    assert len(inspection.published) > 0


def test_a_frame_that_shows_nothing_is_the_same_in_a_hurry(bench: tuple[Frame, Frame, Counting, InspectRules]) -> None:
    """Nothing is left out where nothing is in doubt, and nothing is left out without a hurry."""
    clean, worst, classify, rules = bench
    hurried, usual = (inspect_frame(clean, classify, one) for one in (replace(rules, hurried=True), rules))

    assert hurried.verdicts == usual.verdicts
    assert hurried.looks_left_out == usual.looks_left_out == inspect_frame(worst, classify, rules).looks_left_out == 0


def test_the_closest_verdicts_are_looked_at(bench: tuple[Frame, Frame, Counting, InspectRules]) -> None:
    """A tile whose verdict changes in a hurry is as close as those that were looked at again, or nothing changes."""
    _, worst, classify, rules = bench
    first = inspect_frame(worst, classify, replace(rules, decision=replace(rules.decision, looks=1)))
    usual = inspect_frame(worst, classify, rules)
    hurried = inspect_frame(worst, classify, replace(rules, hurried=True))
    again = [n for n in range(TILES) if hurried.verdicts[n] == usual.verdicts[n] != first.verdicts[n]]
    rest = [n for n in range(TILES) if hurried.verdicts[n] == first.verdicts[n]]

    assert 0 < len(again) <= TILES // HURRIED_PART
    assert len(again) + len(rest) == TILES
