"""`inspector.strip.periodic`: marks of rolls among others, and nothing where there is chance alone."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.strip.periodic import (
    MAX_FINDINGS,
    MAX_MARKS,
    Finding,
    Mark,
    PeriodicRules,
    PeriodicState,
    Roll,
    Suspect,
    pitch_of,
    suspect_of,
    take_mark,
)

RULES = PeriodicRules()
F4 = Roll("F4", "top", "W12", pitch_of(500.0, 1.0))


def row(pitch_mm: float, count: int, first_mm: float = 40_000.0, across_mm: float = 300.0) -> list[Mark]:
    """Marks of a roll, each some millimetres off its place."""
    rng = np.random.default_rng(4)
    return [
        Mark("roll", first_mm + n * pitch_mm + rng.normal(0, 3), across_mm + rng.normal(0, 4), f"{first_mm}-{n}")
        for n in range(count)
    ]


def clutter(per_m: float, metres: float, seed: int = 2) -> list[Mark]:
    """Defects of four classes anywhere on a strip of 1.5 m."""
    rng = np.random.default_rng(seed)
    labels = ("roll", "crack", "rust", "scale")
    return [
        Mark(labels[rng.integers(4)], along, rng.uniform(0, 1500), f"c{n}")
        for n, along in enumerate(rng.uniform(0, metres * 1000, rng.poisson(per_m * metres)))
    ]


def take_all(
    marks: list[Mark], state: PeriodicState | None = None, rolls: tuple[Roll, ...] = ()
) -> tuple[PeriodicState, list[tuple[Mark, Finding]]]:
    """Take marks in their order; returns the last state, and which of them belong to what."""
    state, found = state or PeriodicState(), []
    for mark in sorted(marks, key=lambda one: one.along_mm):
        state, finding = take_mark(state, mark, RULES, rolls)
        found += [] if finding is None else [(mark, finding)]
    return state, found


@pytest.mark.parametrize("per_m", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("pitch_mm", [314.0, 1571.0, 7000.0])
def test_a_roll_is_found_after_four_repeats_in_clutter(pitch_mm: float, per_m: float) -> None:
    """At the latest the fifth mark says so, with its pitch to 1 %; every later one belongs to the same finding."""
    marks = row(pitch_mm, 12)
    state, found = take_all([*marks, *clutter(per_m, 130.0)])

    first = found[0][0].defect_id
    assert first in {mark.defect_id for mark in marks[:5]}
    assert len({finding.finding_id for _, finding in found}) == 1
    assert found[0][1].pitch_mm == pytest.approx(pitch_mm, rel=0.01)
    assert {mark.defect_id for mark in marks[4:]} <= {mark.defect_id for mark, _ in found}
    [finding] = state.findings
    assert finding.pitch_mm == pytest.approx(pitch_mm, rel=0.002)
    assert finding.first_mm == pytest.approx(40_000, abs=10)


def test_the_phase_counts_from_the_head() -> None:
    """It is where in a pitch its marks lie."""
    state, _ = take_all(row(1500.0, 8, first_mm=3100.0))

    assert state.findings[0].phase_mm == pytest.approx(100, abs=12)


def test_chance_alone_is_no_roll() -> None:
    """5 km with a random defect each metre: no finding. The 100 km are in docs/roll-marks.md."""
    assert take_all(clutter(1.0, 5000.0))[1] == []


def test_another_class_or_place_is_no_mark_of_a_roll() -> None:
    """What returns at the pitch elsewhere across, or as something else, does not belong to it."""
    marks = row(1500.0, 6)
    state, _ = take_all(marks)
    _, elsewhere = take_mark(state, Mark("roll", 49_000.0, 900.0, "x"), RULES)
    _, otherwise = take_mark(state, Mark("crack", 49_000.0, 300.0, "y"), RULES)
    _, next_one = take_mark(state, Mark("roll", 49_000.0, 300.0, "z"), RULES)

    assert (elsewhere, otherwise) == (None, None)
    assert next_one is not None


def test_a_missed_mark_and_a_pause_make_no_second_finding() -> None:
    """After a turn, or fifty, without a mark it goes on under its name; pieces of a mark are not counted twice."""
    gone = [mark for n, mark in enumerate(row(1500.0, 80)) if n not in (7, *range(12, 70))]
    pieces = [Mark("roll", mark.along_mm + 50, 330.0, f"{mark.defect_id}+") for mark in gone]
    state, _ = take_all([*gone, *pieces])

    [finding] = state.findings
    assert finding.count == pytest.approx(len(gone), abs=4)
    assert finding.pitch_mm == pytest.approx(1500, rel=0.005)


def test_strip_that_slips_makes_no_second_finding() -> None:
    """Marks that come 67 mm early from some place on are found again, and counted under the same name."""
    state, found = take_all([*row(1500.0, 10), *row(1500.0, 10, 40_000 + 15_000 - 67.0)])

    [finding] = state.findings
    assert finding.count >= 18
    assert len({one.finding_id for _, one in found}) == 1


@pytest.mark.parametrize(
    ("pitch_mm", "suspect"),
    [
        (F4.pitch_mm, Suspect("F4 top W12", "1")),
        (F4.pitch_mm * 1.01, Suspect("F4 top W12", "1")),
        (F4.pitch_mm / 2, Suspect("F4 top W12", "1/2")),
        (F4.pitch_mm * 2, Suspect("F4 top W12", "2")),
        (F4.pitch_mm * 1.2, None),
    ],
)
def test_the_suspect_is_named_with_its_harmonic(pitch_mm: float, suspect: Suspect | None) -> None:
    """A pitch names the roll of this pitch before one of which it is a part."""
    half = Roll("F1", "bottom", None, F4.pitch_mm / 4)

    assert suspect_of(pitch_mm, [F4]) == suspect
    assert suspect_of(F4.pitch_mm, [half, F4]) == Suspect("F4 top W12", "1")


def test_what_is_remembered_is_bounded() -> None:
    """Ten thousand marks on a metre, or a hundred rolls, leave no more than the limits; each costs little."""
    rng = np.random.default_rng(1)
    state, _ = take_all([Mark("roll", n * 0.1, rng.uniform(0, 1500), str(n)) for n in range(3_000)])
    many, _ = take_all([mark for n in range(70) for mark in row(1000 + 40 * n, 8, 40_000.0 * n, 400.0 * n)])

    assert len(state.marks) <= MAX_MARKS
    assert len(many.findings) == MAX_FINDINGS


def test_a_row_does_not_reach_over_the_head_of_a_coil() -> None:
    """Marks before the head count as clutter, and no more."""
    before, after = row(1500.0, 3, 58_000.0), row(1500.0, 1, 2_500.0)
    state, found = take_all(after, take_all(before)[0].at_head(60_000.0))

    assert (len(state.marks), found) == (4, [])
