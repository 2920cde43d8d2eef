"""`training.judge.mills`: teaching is judged on groups that did not teach, silence beside recall."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.predictions import Predictions
from inspector.labels import CLEAN
from inspector.model.bundle import SHIPPED, load_bundle
from training.errors import DataError
from training.int8.places import PLACES
from training.judge.mills import halve, measure_mill, measure_mills, rank
from training.tiles.mills import Mill

RULES = DecisionRules(("crack", CLEAN), 1.0, {"crack": 0.5}, {"crack": "major"}, 1.0)


def confused(tiles: Sequence[Pixels]) -> Predictions:
    """A `Classify` that calls every tile a crack; its places are the tile's grey value, with grain."""
    grey = np.array([float(tile.mean()) for tile in tiles])
    grain = np.stack([tile[:8, :8, None].astype(np.int16) - int(tile.mean()) for tile in tiles])
    maps = (grey[:, None, None, None] / 2 + np.concatenate([grain, -grain], axis=3)).clip(-128, 127).astype(np.int8)
    return Predictions(np.tile([4.0, 0.0], (len(tiles), 1)), maps={"map": maps})


def surface(marked_grey: int) -> Mill:
    """120 clean and 40 marked tiles of 20 groups, which differ in grey."""
    rng = np.random.default_rng(0)
    labels = ([CLEAN] * 3 + ["rust"]) * 40
    tiles = [
        rng.integers(-3, 4, (16, 16)).astype(np.int16) + (60 if label == CLEAN else marked_grey) for label in labels
    ]
    groups = [f"g{number // 8}" for number in range(len(labels))]
    return Mill("some", "as drawn", [tile.astype(np.uint8) for tile in tiles], labels, groups, list(range(len(labels))))


def test_what_is_like_the_lesson_is_silent_and_what_is_not_alarms() -> None:
    """The bundle alarms everywhere; taught it does on marked tiles alone, in groups that it was not taught on."""
    row = measure_mill(surface(marked_grey=160), confused, RULES, 16, 1, lambda text: None)

    assert row["untaught"]["clean_tiles"]["alarm"]["share"] == 1
    assert row["taught"]["clean_tiles"]["alarm"]["share"] < 0.05
    assert row["taught"]["marked_tiles"]["alarm"]["share"] == 1
    assert row["auroc"]["taught"]["value"] == 1
    assert row["overruled"]["k"] >= 114
    assert [half["tiles"] for half in row["taught_on"]] == [60, 60]


def test_a_mark_that_looks_like_the_lesson_is_lost_and_that_is_shown() -> None:
    """Silence beside recall: marked tiles like the good ones alarm as rarely as these."""
    row = measure_mill(surface(marked_grey=60), confused, RULES, 16, 1, lambda text: None)

    assert row["taught"]["marked_tiles"]["called"]["share"] < 0.1
    assert row["by_label"]["rust"]["alarm_untaught"] == row["by_label"]["rust"]["n"] == 40
    assert 0.3 < row["auroc"]["taught"]["value"] < 0.7


def test_groups_stay_whole_and_halves_are_of_a_size() -> None:
    """No group teaches and is judged; both halves have about as many clean tiles; a seed gives the same halves."""
    mill = surface(160)
    clean = np.array([label == CLEAN for label in mill.labels])
    halves = halve(mill, clean, 5)

    assert all(len({half for half, its in zip(halves, mill.groups, strict=True) if its == g}) == 1 for g in mill.groups)
    assert clean[halves == 0].sum() == clean[halves == 1].sum() == 60
    assert halves.tolist() == halve(mill, clean, 5).tolist() != halve(mill, clean, 6).tolist()


def test_the_area_under_the_curve_has_an_interval_over_groups() -> None:
    """One half right and one wrong: 0.5 in all, and anything by which groups are drawn."""
    scores, marked = np.array([0.0, 1.0, 1.0, 0.0] * 5), np.array([False, True] * 10)
    found = rank(scores, marked, ["right", "right", "wrong", "wrong"] * 5)

    assert (found["low"], found["value"], found["high"]) == (0.0, 0.5, 1.0)


def test_what_is_measured_already_is_kept(tmp_path: Path) -> None:
    """A run that was interrupted goes on where it was; figures of another seed are replaced."""
    bundle, output = load_bundle(SHIPPED / "neu-fast"), tmp_path / "mills.json"
    begun = measure_mills(bundle, tmp_path, [], output, 1, lambda text: None)
    output.write_text(json.dumps({**begun, "mills": {"cr7": {"there": True}}}))
    said: list[str] = []

    assert measure_mills(bundle, tmp_path, ["cr7"], output, 1, said.append)["mills"] == {"cr7": {"there": True}}
    assert said == [f"cr7: measured already, in {output}"]
    with pytest.raises(DataError, match=r"mills: cr7: .*groups\.csv: No such file"):
        measure_mills(bundle, tmp_path, ["cr7"], output, 2, said.append)


def test_a_bundle_without_places_is_told_what_to_do(tmp_path: Path) -> None:
    """It cannot be taught; one command gives it the outputs."""
    bundle = load_bundle(SHIPPED / "neu-fast")
    outputs = {role: name for role, name in bundle.card.main.outputs.items() if role not in PLACES}
    card = bundle.card.model_copy(update={"models": (bundle.card.main.model_copy(update={"outputs": outputs}),)})
    with pytest.raises(DataError, match="gives no places: python -m training places BUNDLE adds them"):
        measure_mills(replace(bundle, card=card), tmp_path, [], tmp_path / "mills.json", 1, lambda text: None)
