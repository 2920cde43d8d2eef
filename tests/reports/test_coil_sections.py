"""Stretches with defects, and their CSV."""

from __future__ import annotations

import csv
import io

import pytest
from coil_reports import found_at, report_of

from inspector.reports import sections as module
from inspector.reports.found import Section
from inspector.reports.rules import ReportRules
from inspector.reports.sections import COLUMNS, sections_csv


def test_neighbours_of_one_class_are_one_section() -> None:
    """What lies within the gap of what came before is joined; another class, or a place further on, is not."""
    defects = [
        found_at(1),
        found_at(2, position_m=1.9, across_mm=50.0),
        found_at(3, position_m=4.0),
        found_at(4, "hole"),
    ]
    report = report_of(*defects, rules=ReportRules(section_gap_m=1.0))

    rows = [(one.label, one.from_m, one.to_m, one.count, one.from_mm, one.to_mm) for one in report.sections]
    assert rows == [
        ("crack", 1.0, 1.92, 2, 50.0, 110.0), ("crack", 4.0, 4.02, 1, 100.0, 110.0),
        ("hole", 4.0, 4.02, 1, 100.0, 110.0),
    ]  # fmt: skip


def test_a_long_defect_joins_what_lies_behind_it() -> None:
    """The gap is from the end of what reaches furthest, not from the end of the last one."""
    long, short, after = found_at(1, length_mm=9000.0), found_at(2), found_at(3, position_m=10.5)

    assert [one.count for one in report_of(long, short, after).sections] == [3]


def test_codes_are_only_where_they_were_said() -> None:
    """A section lies so far behind the last code before it; before the first code there is none."""
    report = report_of(found_at(1), found_at(40), found_at(90), sections=[Section("S2", 80.0), Section("S1", 30.0)])

    assert [(one.section, one.section_offset_m) for one in report.sections] == [
        (None, None),
        ("S1", 10.0),
        ("S2", 10.0),
    ]


def test_more_sections_than_are_kept_are_joined_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list stays bounded, no defect is lost, and the report says how far apart it joined."""
    monkeypatch.setattr(module, "MAX_SECTIONS", 10)
    report = report_of(*(found_at(number, position_m=2.0 * number) for number in range(100)))

    assert len(report.sections) <= 10
    assert sum(one.count for one in report.sections) == 100
    assert report.section_gap_m > 1.0


@pytest.mark.parametrize(
    ("comma", "row"),
    [
        pytest.param(
            False, "7731,1.0,1.02,998.98,999.0,,,K17,crack of the mill,crack,critical,1,100.0,110.0", id="point"
        ),
        pytest.param(
            True, "7731;1,0;1,02;998,98;999,0;;;K17;crack of the mill;crack;critical;1;100,0;110,0", id="comma"
        ),
    ],
)
def test_the_csv_is_by_metre_from_head_and_tail(comma: bool, row: str) -> None:
    """With the plant's code and name, and numbers as the reader's spreadsheet expects them."""
    report = report_of(found_at(1, code="K17", name="crack of the mill"))

    lines = sections_csv(report, comma).split("\r\n")
    assert lines[1:] == [row, ""]
    assert lines[0].split(";" if comma else ",") == [*COLUMNS]


def test_a_name_is_never_a_formula() -> None:
    """A coil's name, a code or a class that a spreadsheet would compute is text; quotes and lines do not break rows."""
    report = report_of(
        found_at(1, code="=1+1", name='a "name", with\nlines'), coil_id="@coil", sections=[Section("+7", 0.0)]
    )

    [_, row] = csv.reader(io.StringIO(sections_csv(report)))
    assert (row[0], row[5], row[7], row[8]) == ("'@coil", "'+7", "'=1+1", 'a "name", with\nlines')
