"""`inspector.years.shift_files`: a report for each shift, written once, over stops and the change of summer time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes import FakeClock, inspected, make_defect, make_frame, make_gap, track_rules

from inspector.frame import Cause
from inspector.settings.plant import Plant
from inspector.store.entries import Entry
from inspector.store.store import Store
from inspector.track.coverage import flush_gaps
from inspector.track.state import TrackState
from inspector.track.track import track
from inspector.years.shift_files import ShiftReports

PLANT = Plant(
    timezone="Europe/Berlin",
    shifts={"early": ("06:00", "14:00"), "late": ("14:00", "22:00"), "night": ("22:00", "06:00")},
    crews=("A", "B", "C"),
)
EVENING = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)
"""21:00 in Berlin, before the night in which the clock goes forward."""


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.advance((EVENING - clock.now()).total_seconds())
    return clock


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """A still with a crack and a hole each hour from 21:00 on, a coil over the whole night, and a gap from 5 to 7."""
    store = Store(tmp_path, clock)
    store.coils.change("7731", 1000 * int(EVENING.timestamp()))
    rules, state = track_rules(), TrackState(coil_id="7731")
    for hour in range(10):
        frame = make_frame(
            hour, independent=True, source_key=f"{hour}.jpg", captured_at=EVENING + timedelta(hours=hour, minutes=1)
        )
        store.commit([Entry(track(state, inspected(frame, make_defect("crack"), make_defect("hole")), rules)[1], {})])
    since = datetime(2026, 3, 29, 3, 0, tzinfo=UTC)
    gap = replace(make_gap(Cause.SOURCE_DOWN, frames=7), since=since, until=since + timedelta(minutes=30))
    state, _ = track(state, gap, rules)
    store.commit([Entry(flush_gaps(state, gap.until, rules, final=True)[1], {})])
    yield store
    store.close()


def test_a_shift_reports_itself(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    """A minute after its end, once: the night of seven hours has seven stills, its coil and its gap."""
    reports = ShiftReports(tmp_path, PLANT, "site/line/cam", clock)
    clock.advance(8 * 3600 + 59)  # 04:00 UTC is 06:00 in Berlin by then
    before = [page.name for page in reports.write()]
    clock.advance(2)
    written = [page.name for page in reports.write()]
    report = json.loads((tmp_path / "shifts/2026-03-28-night.json").read_text())
    page = (tmp_path / "shifts/2026-03-28-night.html").read_text()

    assert (before, written, reports.write()) == (
        ["2026-03-28-late.html"], ["2026-03-28-night.html"], [],
    )  # fmt: skip
    assert (report["hours"], report["frames"], report["crew"]) == (7.0, {"fail": 7}, "C")
    assert report["defects"] == [
        {"label": "crack", "severity": "critical", "count": 7}, {"label": "hole", "severity": "major", "count": 7},
    ]  # fmt: skip
    assert [coil["coil_id"] for coil in report["coils"]] == ["7731"]
    assert report["gaps"] == [{"cause": "source_down", "count": 1, "minutes": 30.0, "frames": 7}]
    assert "28 Mar 22:00 CET – 29 Mar 06:00 CEST · 7 h" in page
    assert "http" not in page.replace("http-equiv", "")


def test_what_is_owed_is_written_after_a_stop(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    """Each shift since the store began has its report, those of the stop too; none from before it."""
    clock.advance(2 * 86400)
    written = [page.stem for page in ShiftReports(tmp_path, PLANT, "site/line/cam", clock).write()]
    again = ShiftReports(tmp_path, PLANT, "site/line/cam", clock).write()
    last = json.loads((tmp_path / "shifts/2026-03-30-early.json").read_text())

    assert written == [
        "2026-03-28-late", "2026-03-28-night", "2026-03-29-early", "2026-03-29-late", "2026-03-29-night",
        "2026-03-30-early",
    ]  # fmt: skip
    assert (again, last["frames"], last["coils"][0]["coil_id"]) == ([], {}, "7731")


def test_a_plant_without_shifts_has_no_report(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    clock.advance(86400)

    assert ShiftReports(tmp_path, Plant(), "site/line/cam", clock).write() == []
