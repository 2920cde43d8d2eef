"""From a lesson to a reference: what is like the lesson is near, what is not is far, as seldom as was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inspector.errors import LessonError
from inspector.settings.sections import Settings
from inspector.teach.aim import LARGEST_SHARE, Aim, aim_for
from inspector.teach.fit import FOLDS, Lesson, assign_folds, fit_reference, fit_tail, poisson_bound

SHAPES = {"map": (8, 8, 12), "map_deep": (4, 4, 16)}
STILLS = Aim(4.0, "1000 pictures", 1000.0, 1.0)


def maps_of(count: int, seed: int, far: float = 0.0) -> dict[str, np.ndarray]:
    """Maps of good surface; with `far` one place of each tile lies so many deviations away."""
    rng = np.random.default_rng(seed)
    maps = {}
    for role, shape in SHAPES.items():
        values = rng.normal(0, 12, (count, *shape)) + np.linspace(-20, 20, shape[-1])
        values[:, 1, 2] += far * 12 / np.sqrt(shape[-1]) * np.sign(rng.normal(size=(count, shape[-1])))
        maps[role] = np.clip(np.rint(values), -128, 127).astype(np.int8)
    return maps


def lesson_of(count: int, *, coils: int = 8, spoilt: int = 0, defects: float = 0.01, known: bool = True) -> Lesson:
    good, bad = maps_of(count - spoilt, 1), maps_of(spoilt, 2, far=14)
    maps = {role: np.concatenate([good[role], bad[role]]) for role in SHAPES}
    rng = np.random.default_rng(3)
    groups = rng.permutation(np.arange(count) % coils).astype(np.int32)
    tiles = np.zeros((count, 4, 4), np.uint8)
    return Lesson(maps, groups, np.arange(count, dtype=np.int32), tiles, rng.random(count) < defects, known)


@pytest.mark.parametrize("spoilt", [0, 4, 12])
def test_defects_in_a_lesson_do_not_hide_defects(spoilt: int) -> None:
    """Of other coils' tiles almost none is far and almost every defect is, with up to 3 % of defects in the lesson."""
    reference = fit_reference(lesson_of(400, spoilt=spoilt, defects=0.5), STILLS).reference

    good = reference.distance(maps_of(400, 10)) > reference.defect_threshold
    bad = reference.distance(maps_of(200, 11, far=14)) > reference.unclassified_threshold
    assert good.mean() <= 0.02
    assert bad.mean() >= 0.9


def test_the_same_lesson_gives_the_same_reference() -> None:
    """Teaching is deterministic: the same tiles give the same hash."""
    assert (
        fit_reference(lesson_of(120), STILLS).reference.sha256 == fit_reference(lesson_of(120), STILLS).reference.sha256
    )


def test_a_stricter_aim_is_a_larger_distance() -> None:
    """Fewer false calls are paid for with a larger distance, never a smaller one."""
    lesson = lesson_of(200)
    strict, loose = (fit_reference(lesson, Aim(calls, "1000 pictures", 1000.0, 1.0)) for calls in (0.5, 10.0))

    assert strict.reference.defect_threshold > loose.reference.defect_threshold


def test_a_bundle_that_alarms_seldom_may_be_heard_sooner() -> None:
    """A defect needs both, far and the bundle's word: where that is rare on good tiles, the threshold is lower."""
    rare, often = (fit_reference(lesson_of(200, defects=share), STILLS).reference for share in (0.02, 0.9))

    assert rare.defect_threshold < often.defect_threshold


@pytest.mark.parametrize(
    ("lesson", "said"),
    [
        pytest.param(lesson_of(60), "60 tiles are few", id="few tiles"),
        pytest.param(lesson_of(320, coils=1), "1 coil", id="one coil"),
        pytest.param(lesson_of(320, known=False), "coils are unknown", id="unknown coils"),
        pytest.param(lesson_of(320, coils=1, defects=0.1), "of these tiles defects: look", id="many defects"),
    ],
)
def test_a_narrow_lesson_is_taken_with_a_warning(lesson: Lesson, said: str) -> None:
    """Few tiles, few coils or unknown ones are taught from, and said; what is promised of other coils is less."""
    fitted = fit_reference(lesson, STILLS)

    assert any(said in warning for warning in fitted.warnings)
    assert fitted.basis["at_most_false_calls"] > 2 * fitted.basis["expected_false_calls"]


def test_a_wide_lesson_has_no_warning() -> None:
    """300 tiles of 6 coils and more are what is advised."""
    assert fit_reference(lesson_of(320), STILLS).warnings == ()


def test_too_few_tiles_are_refused() -> None:
    """From 49 tiles nothing is taught, and the number is named."""
    with pytest.raises(LessonError, match=r"at least 50 tiles .*: 49"):
        fit_reference(lesson_of(49), STILLS)


def test_equal_tiles_still_give_a_reference() -> None:
    """A lesson without any variation gives finite numbers: nothing divides by zero."""
    lesson = lesson_of(60)
    maps = {role: np.zeros_like(values) for role, values in lesson.maps.items()}
    reference = fit_reference(
        Lesson(maps, lesson.groups, lesson.frames, lesson.tiles, lesson.defects, True), STILLS
    ).reference

    assert np.isfinite(reference.defect_threshold)


@pytest.mark.parametrize("coils", [2, 3, 7, 40])
def test_folds_hold_coils_whole(coils: int) -> None:
    """No coil is in two folds, and no fold is empty: a tile is never judged by its own coil."""
    lesson = lesson_of(120, coils=coils)
    folds = assign_folds(lesson, FOLDS)

    assert len(np.unique(folds)) == min(coils, FOLDS)
    assert all(len(np.unique(folds[lesson.groups == coil])) == 1 for coil in range(coils))


def test_of_one_coil_frames_are_held_whole() -> None:
    """Where there is one coil, its frames stand in for coils."""
    assert len(np.unique(assign_folds(lesson_of(120, coils=1), FOLDS))) == FOLDS


def test_a_tail_is_that_of_its_distribution() -> None:
    """Of exponential distances the tail gives back the quantiles, whatever its strangest 3 % are replaced with."""
    distances = np.random.default_rng(5).exponential(0.2, 20_000) + 1
    spoilt = np.where(distances > np.quantile(distances, 0.97), 50.0, distances)

    for values in (distances, spoilt):
        assert fit_tail(values).distance_at(1e-3) == pytest.approx(1 + 0.2 * np.log(1e3), rel=0.03)


@pytest.mark.parametrize(("seen", "bound"), [(0, 3.0), (1, 4.74), (4, 9.15), (10, 16.96)])
def test_what_is_proven(seen: int, bound: float) -> None:
    """None seen proves no more than three (the rule of three); others as the Poisson table at 95 %."""
    assert poisson_bound(seen) == pytest.approx(bound, rel=0.02)


def settings_of(**sections: Any) -> Settings:
    station = {"site": "a", "line": "b", "name": "c"}
    source = {"kind": "camera", "path": "0"} | sections.pop("source", {})
    return Settings.model_validate({"station": station, "source": source, **sections})


AIMS = [
    pytest.param({"source": {"mm_per_px": 0.5}}, 0.5, 114_285.7, 4.375e-6, False, id="the reference line"),
    pytest.param({}, 0.5, 114_285.7, 4.375e-6, True, id="unknown scale"),
    pytest.param({"source": {"mm_per_px": 0.25}}, 0.5, 228_571.4, 2.1875e-6, False, id="finer"),
    pytest.param(
        {"source": {"mm_per_px": 0.5}, "tiling": {"overlap_px": 100}}, 0.5, 200_000, 2.5e-6, False, id="overlap"
    ),
    pytest.param({"source": {"kind": "folder", "path": "/x"}}, 4.0, 10_000, 4e-4, False, id="stills"),
]


@pytest.mark.parametrize(("sections", "calls", "tiles", "share", "assumed"), AIMS)
def test_the_aim_counts_tiles(
    sections: dict[str, Any], calls: float, tiles: float, share: float, assumed: bool
) -> None:
    """Per km, tiles follow from step, width and scale (assumed: 0.5 mm a pixel, said so); of stills, by the picture."""
    aim = aim_for(settings_of(**sections), None, tile_px=200, card_mm_per_px=None, tiles_across=10, tiles_per_frame=10)

    assert (aim.false_calls, aim.assumed_scale) == (calls, assumed)
    assert aim.tiles == pytest.approx(tiles)
    assert aim.tile_share == pytest.approx(share, rel=0.01)
    assert aim.calls_at(aim.tile_share) == pytest.approx(calls, rel=0.01)
    assert ("assumed" in aim.text) == assumed
    assert aim.unclassified_share == pytest.approx(min(0.01, 100 * share), rel=0.01)


def test_two_of_three_allows_more() -> None:
    """Where two of three frames must agree, single tiles may be called far more often."""
    events = {"alarm_hits": 2, "alarm_window": 3}
    given = {"tile_px": 200, "card_mm_per_px": None, "tiles_across": 10, "tiles_per_frame": 10.0}
    single = aim_for(settings_of(), None, **given)  # type: ignore[arg-type]
    double = aim_for(settings_of(events=events), None, **given)  # type: ignore[arg-type]

    assert 30 * single.tile_share < double.tile_share <= LARGEST_SHARE
    assert double.calls_at(double.tile_share) == pytest.approx(0.5, rel=0.01)
