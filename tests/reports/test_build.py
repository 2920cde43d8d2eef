"""From what was stored of a coil to its report: counts, grading, class, and what is said where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest
from coil_reports import found_at, report_of

from inspector.reports.report import CoilReport
from inspector.reports.rules import ClassRule, ReportRules
from inspector.strip.record import Rest, Stretch

KEYS = {
    "coil_id", "started_at", "ended_at", "length_m", "inspected_m", "gaps", "coverage", "assessed", "surface_class",
    "defects", "periodic", "sensitivity", "operator", "fingerprints",
}  # fmt: skip


def test_the_json_has_the_keys_that_others_rely_on() -> None:
    """And those of its parts; what a reader writes back is the same report."""
    mark = {"label": "crack", "pitch_mm": 1571.0, "across_mm": 300.0, "count": 9, "roll": "S4", "first_m": 1.0}
    pause = {
        "command": "pause",
        "at": "2026-03-01T12:01:00.000Z",
        "until": None,
        "asked": {"hours": 1, "person": "amara"},
    }
    report = report_of(found_at(1), periodic=[mark], actions=[pause])

    said = report.as_json()

    assert set(said) >= KEYS
    assert said["gaps"][0] == {"from_m": 100.0, "to_m": 150.0, "cause": "paused", "frames": 50}
    assert {key: said["defects"][0][key] for key in ("label", "severity", "count", "per_100_m")} == {
        "label": "crack", "severity": "critical", "count": 1, "per_100_m": 0.1053,
    }  # fmt: skip
    assert {key: said["periodic"][0][key] for key in ("label", "pitch_mm", "across_mm", "count", "roll")} == {
        key: mark[key] for key in ("label", "pitch_mm", "across_mm", "count", "roll")
    }
    assert (said["sensitivity"], said["coverage"]) == ({"shown": 40, "found": 38, "share": 0.95}, 0.95)
    assert said["operator"][0]["person"] == "amara"
    assert said["fingerprints"] == {
        "program": "1.2.3", "bundle": "neu@1+ab", "config": "c0ffee", "reference": "5afe", "recipe": None,
    }  # fmt: skip
    assert CoilReport.model_validate(said) == report


def test_a_periodic_defect_lies_where_its_marks_do() -> None:
    """From the operator side as every defect of the report, though its message counts from the frame's left."""
    marks = [found_at(number, across_mm=40.0 + number, from_operator=True) for number in (1, 2, 3)]
    message = {"label": "crack", "pitch_mm": 1000.0, "across_mm": 300.0, "count": 3}
    names = " ".join(one.defect_id for one in marks)

    report = report_of(*marks, periodic=[{**message, "defect_ids": names}, {**message, "defect_ids": "gone"}])

    assert [one.across_mm for one in report.periodic] == [47.0, 300.0]


def test_what_is_counted_is_by_inspected_metres() -> None:
    """The rate is over what was inspected, 950 m, not over what passed; the worst class comes first."""
    report = report_of(*(found_at(number, "rust") for number in range(19)), found_at(500))

    assert [(one.label, one.count, one.per_100_m) for one in report.defects] == [
        ("crack", 1, 0.1053),
        ("rust", 19, 2.0),
    ]


def test_what_lies_at_a_weld_is_counted_and_not_graded() -> None:
    """A weld is an event, and no defect of the coil."""
    [row] = report_of(found_at(5), found_at(6, at_weld=True)).defects

    assert (row.count, row.graded) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "graded"),
    [
        pytest.param({}, 3, id="all"),
        pytest.param({"head_m": 10.0}, 2, id="the head is not"),
        pytest.param({"head_m": 5.01}, 3, id="what reaches out of the head is"),
        pytest.param({"tail_m": 10.0}, 2, id="nor the tail"),
        pytest.param({"tail_m": 10.0, "ended_at": None}, 3, id="a coil that runs has no tail yet"),
        pytest.param({"length_m": None, "inspected_m": None, "tail_m": 10.0}, 3, id="nor one without a length"),
    ],
)
def test_head_and_tail_are_counted_and_not_graded(changes: dict[str, Any], graded: int) -> None:
    """What lies there is in the counts, and not in what the class is made of."""
    [row] = report_of(found_at(5), found_at(500), found_at(995), **changes).defects

    assert (row.count, row.graded) == (3, graded)


def test_a_false_call_is_counted_and_not_graded() -> None:
    """What a person called a false call is no reason to hold the coil, and no picture of the worst."""
    report = report_of(found_at(1, verdict="false_call"), found_at(2, verdict="confirmed"))

    assert [(one.count, one.graded, one.false_calls) for one in report.defects] == [(2, 1, 1)]
    assert report.false_calls == 1
    assert [one.verdict for one in report.pictures] == ["confirmed"]


RULES = ReportRules(
    (
        ClassRule("A", {"critical": 0, "major": 0.2}, {}, 0, "release"),
        ClassRule("B", {"critical": 0.2}, {"hole": 5}, None, "repair"),
    ),
    "hold", "scrap",
)  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "changes", "verdict"),
    [
        pytest.param([], {}, ("A", "release"), id="nothing found"),
        pytest.param(["hole"], {}, ("A", "release"), id="within the first"),
        pytest.param(["crack"], {}, ("B", "repair"), id="beyond the first"),
        pytest.param(["hole"] * 6, {}, (None, "scrap"), id="too many on the coil"),
        pytest.param(["crack"] * 2, {}, (None, "scrap"), id="beyond all"),
        pytest.param(["crack"] * 9, {"head_m": 20.0}, ("A", "release"), id="all in the head"),
        pytest.param([], {"assessed": False, "not_assessed": "no reference"}, (None, "hold"), id="not assessed"),
        pytest.param([], {"length_m": None, "inspected_m": None}, (None, "scrap"), id="no metres"),
        pytest.param([], {"ended_at": None}, (None, None), id="it runs"),
    ],
)
def test_the_class_is_the_first_whose_limits_hold(
    labels: list[str], changes: dict[str, Any], verdict: tuple[str | None, str | None]
) -> None:
    """A coil that is not assessed, or runs, or cannot be judged by its metres has none, and the report says why."""
    report = report_of(*(found_at(number, label) for number, label in enumerate(labels)), rules=RULES, **changes)

    assert (report.surface_class, report.disposition) == verdict
    assert report.class_reason


def test_a_periodic_defect_can_decide() -> None:
    """The first class takes none."""
    mark = {"label": "crack", "pitch_mm": 1571.0, "count": 9}

    assert report_of(rules=RULES, periodic=[mark]).surface_class == "B"


def test_without_rules_there_is_no_class() -> None:
    """And no disposition: nothing is decided that nobody has asked for."""
    report = report_of(assessed=False)

    assert (report.surface_class, report.disposition) == (None, None)


def test_places_are_to_the_millimetre() -> None:
    """What the arithmetic leaves behind the third digit is no strip."""
    [gap] = report_of(gaps=(Stretch(23.92470807996716, 35.32470807996706, "paused"),)).gaps

    assert (gap.from_m, gap.to_m) == (23.925, 35.325)


def test_gaps_beyond_the_list_are_in_the_sums() -> None:
    """Of the rest the causes, metres and frames are kept."""
    report = report_of(gaps=(Stretch(None, None, "process_down", 7),), rest=(Rest("dropped", 12, 3.5, 40),))

    assert report.gaps[0].from_m is None
    assert [(one.cause, one.gaps, one.metres, one.frames) for one in report.gaps_rest] == [("dropped", 12, 3.5, 40)]


def test_pictures_are_of_the_worst_and_of_several_classes() -> None:
    """The most severe come first; beyond three of a label others have their turn."""
    defects = [found_at(number, "crack") for number in range(9)] + [found_at(number, "rust") for number in range(9, 12)]
    report = report_of(*defects, rules=ReportRules(pictures=5))

    assert [one.label for one in report.pictures] == ["crack", "crack", "crack", "rust", "rust"]
