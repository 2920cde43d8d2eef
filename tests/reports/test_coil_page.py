"""The page of a coil and its map: whole in one file, readable with thousands of defects, and never too good."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from coil_reports import found_at, report_of

from inspector.command_table import VerifyCommand
from inspector.frame import Cause
from inspector.pages.language import CODES
from inspector.reports.page import CAUSE_TEXT, VERDICT_TEXT, pictures_in, render_coil
from inspector.reports.places import MAX_MARKS
from inspector.strip.record import Stretch
from inspector.track.coils import BETWEEN

NEVER = ("no reportable defect", "kein meldepflichtiger Fehler", "without defects")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"assessed": False, "not_assessed": "no reference"}, ("Not assessed", "Nicht bewertet"), id="not"),
        pytest.param({"ended_at": None}, ("THIS COIL STILL RUNS", "DIESES COIL LÄUFT NOCH"), id="runs"),
    ],
)
def test_a_coil_that_is_not_assessed_is_never_said_to_be_good(
    code: str, changes: dict[str, Any], says: tuple[str, str]
) -> None:
    """Large words say so, and none that could be taken for a clean coil stand anywhere."""
    page = render_coil(report_of(**{"assessed": False, **changes}), {}, code=code)

    assert f"<strong>{says[CODES.index(code)]}" in page
    assert not [text for text in NEVER if text.lower() in page.lower()]


def test_a_good_coil_is_said_to_be_one() -> None:
    """The other way round: it is assessed, and nothing was found."""
    assert "Assessed: no reportable defect" in render_coil(report_of(), {})


def test_the_page_is_one_file() -> None:
    """Pictures are in it, as they were; nothing comes from elsewhere, and no script runs."""
    report = report_of(found_at(1), found_at(2))
    pictures = {one.file: b"\xff\xd8 picture " + one.file.encode() for one in report.pictures[:1]}

    page = render_coil(report, pictures)

    assert pictures_in(page) == pictures
    assert page.count("the picture is no longer kept") == 1
    assert not re.search(r"<script|<link|url\((?!#)|(?:src|href)=\"(?!data:)", page)
    assert " style=" not in page  # the listener's policy allows none


@pytest.mark.parametrize("count", [0, 1, MAX_MARKS, MAX_MARKS + 1, 5000])
def test_the_map_stays_readable(count: int) -> None:
    """However many defects there are: at most so many marks, which stand for all of them, and the page says it."""
    defects = [
        found_at(number, ("crack", "hole", "rust")[number % 3], position_m=number * 997.0 / max(1, count),
                 across_mm=float(number * 37 % 1200))
        for number in range(count)
    ]  # fmt: skip
    report = report_of(*defects)
    page = render_coil(report, {})

    assert sum(mark.count for mark in report.defect_map.marks) == count
    assert len(report.defect_map.marks) <= max(MAX_MARKS, 120 * 24)
    assert ("are too many to draw each" in page) == (count > MAX_MARKS)


def test_severity_and_class_are_more_than_a_colour() -> None:
    """Each severity has its shape, each class its letter and its lane."""
    page = render_coil(report_of(found_at(1), found_at(500, "hole"), found_at(900, "rust")), {})
    drawing = page[page.index('<svg class="map"') : page.index("</svg>")]

    assert re.search(r'<g class="critical"><path ', drawing)
    assert re.search(r'<g class="major"><rect ', drawing)
    assert re.search(r'<g class="minor"><circle ', drawing)
    assert re.findall(r'<text class="letter"[^>]*>(\w)</text>', drawing).count("B") == 2
    assert drawing.count('<path class="bar"') == 3


def test_what_was_not_seen_is_on_the_map() -> None:
    """A gap is hatched where it lies; one without metres is in the list, as frames only."""
    page = render_coil(report_of(gaps=(Stretch(10.0, 20.0, "paused", 5), Stretch(None, None, "process_down", 9))), {})

    assert page.count('<rect class="missed"') == 1
    assert "frames only" in page
    assert "inspector was not running" in page


def test_without_metres_the_map_is_by_time() -> None:
    """Stills have no place along: minutes from the start."""
    report = report_of(found_at(600, position_m=None), length_m=None, inspected_m=None)

    assert (report.defect_map.along_unit, [mark.along for mark in report.defect_map.marks]) == ("min", [1.0])
    assert "minutes from the start" in render_coil(report, {})


def test_the_page_has_words_for_every_cause_and_verdict() -> None:
    """No gap and no judgement is shown by its code name."""
    assert set(CAUSE_TEXT) == {*(cause.value for cause in Cause), BETWEEN}
    assert set(VERDICT_TEXT) == set(get_args(VerifyCommand.model_fields["verdict"].annotation))


def test_names_are_text() -> None:
    """A coil, a person or a class with markup in its name shows as it is written."""
    evil = "<img src=x onerror=alert(1)>"
    action = {
        "command": "pause",
        "at": "2026-03-01T12:01:00.000Z",
        "until": None,
        "asked": {"person": evil, "reason": evil},
    }
    page = render_coil(report_of(found_at(1, name=evil), coil_id=evil, actions=[action]), {}, {"crack": evil})

    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") > 5
