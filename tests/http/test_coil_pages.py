"""`/api/coils`: which coils ran, what each was, and its report in the form that is asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bench import Bench, ask
from coil_reports import BEGAN, record_of, report_of
from coil_rows import placed, placed_defect

from inspector.http import coils
from inspector.http.app import make_app
from inspector.http.coils import ReportDesk
from inspector.reports.report import CoilReport
from inspector.store.coils import CoilRun
from inspector.store.entries import Entry
from inspector.store.kept_reports import KeptReport

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "de"}


class Desk:
    """Reports that say where they come from."""

    def __init__(self) -> None:
        self.kept: dict[int, KeptReport] = {}
        self.old: dict[str, KeptReport] = {}
        self.made: list[int] = []

    def make(self, run: CoilRun) -> CoilReport:
        self.made.append(run.id)
        return report_of(coil_id=run.record.coil_id, ended_at=run.record.ended_at)

    def render(self, report: CoilReport, kept: KeptReport | None, code: str) -> str:
        return f"{code}: {report.coil_id}, kept: {kept is not None}"


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def app(bench: Bench, desk: Desk) -> Any:
    """Four coils, an hour apart; A/1 came twice, and the last one runs."""
    for number, name in enumerate(("A/1", "7731", "A/1", "7732")):
        began = BEGAN + timedelta(hours=number)
        record = record_of(coil_id=name, began_at=began, ended_at=None if number == 3 else began + timedelta(minutes=9))
        bench.store.commit([Entry([], {}, coils=[record])])
    reports = ReportDesk(lambda run: desk.kept.get(run.id), desk.old.get, desk.make, desk.render)
    return make_app(bench.options, bench.shown(reports=reports))


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        pytest.param("", [4, 3, 2, 1], id="all"),
        pytest.param("?coil_id=A/1", [3, 1], id="by name"),
        pytest.param("?from=2026-03-01T13:05Z&to=2026-03-01T14:05Z", [3, 2], id="by time, in part"),
        pytest.param("?limit=3", [4, 3, 2], id="a page"),
        pytest.param("?cursor=3", [2, 1], id="the next page"),
    ],
)
def test_coils_are_listed(app: Any, query: str, runs: list[int]) -> None:
    """The newest first, each with its length and what of it was inspected."""
    rows = ask(app, f"/api/coils{query}").json()

    assert [row["run"] for row in rows] == runs
    assert {(row["length_m"], row["inspected_m"], row["coverage"]) for row in rows} == {(1000.0, 950.0, 0.95)}


def test_link_leads_to_the_next_page(app: Any) -> None:
    """And from the last one nowhere."""
    answer = ask(app, "/api/coils?limit=3")

    assert ask(app, answer.links["next"]["url"]).json()[0]["run"] == 1
    assert "link" not in ask(app, "/api/coils?limit=4").headers


def test_a_coil_has_its_record_and_its_runs(app: Any) -> None:
    """Its name may have a slash; of several runs the last is meant, or the one that is named."""
    last, first = (ask(app, f"/api/coils/A%2F1{query}").json() for query in ("", "?run=1"))

    assert (last["run"], first["run"], last["runs"]) == (3, 1, [3, 1])
    assert last["gaps"] == [{"from_m": 100.0, "to_m": 150.0, "cause": "paused", "frames": 50}]
    assert ask(app, last["report"]).json()["coil_id"] == "A/1"


@pytest.mark.parametrize(
    ("path", "headers", "kind", "begins"),
    [
        pytest.param("report", {}, "application/json", '{"schema":"inspector/coil-report/1"', id="a program"),
        pytest.param("report", HTML, "text/html; charset=utf-8", "de: 7731, kept: False", id="a browser"),
        pytest.param("report", {"Accept": "text/csv"}, "text/csv; charset=utf-8", "coil_id,", id="a spreadsheet"),
        pytest.param("report.json", HTML, "application/json", '{"schema"', id="by name, JSON"),
        pytest.param("report.html", {}, "text/html; charset=utf-8", "en: 7731", id="by name, page"),
        pytest.param("report.csv", {}, "text/csv; charset=utf-8", "coil_id,", id="by name, CSV"),
    ],
)
def test_a_report_comes_in_the_form_that_is_asked_for(
    app: Any, path: str, headers: dict[str, str], kind: str, begins: str
) -> None:
    """By `Accept`, or by its name."""
    answer = ask(app, f"/api/coils/7731/{path}", headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.text.startswith(begins)


def test_the_report_that_was_written_is_answered(app: Any, desk: Desk) -> None:
    """Nothing is made on request where one is kept; of a coil that runs it is so far."""
    desk.kept[2] = KeptReport(report_of(coil_id="7731", inspected_m=1.0), "page")

    assert ask(app, "/api/coils/7731/report").json()["inspected_m"] == 1.0
    assert desk.made == []
    assert ask(app, "/api/coils/7732/report").json()["so_far"] is True


def test_a_report_outlives_its_coil(app: Any, desk: Desk) -> None:
    """Years later the rows have moved away, and the report is still answered."""
    desk.old["6001"] = KeptReport(report_of(coil_id="6001"), "page")

    assert ask(app, "/api/coils/6001/report").json()["coil_id"] == "6001"
    assert ask(app, "/api/coils/6001").status_code == 404


def test_a_coil_with_too_many_defects_is_not_made_on_request(
    app: Any, bench: Bench, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station's own work would wait: the answer says what to do instead."""
    monkeypatch.setattr(coils, "MAX_MESSAGES", 2)
    bench.store.commit([placed(*(placed_defect(number, coil_id="7732") for number in range(3)))])

    answer = ask(app, "/api/coils/7732/report")

    assert (answer.status_code, answer.json()["reason"]) == (503, "large")
    assert "inspector report 7732" in answer.json()["error"]
    assert desk.made == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        pytest.param("7713", "no such coil is kept; did you mean 773", id="a slip"),
        pytest.param("7713/report", "no such coil is kept; did you mean 773", id="its report"),
        pytest.param("7731?run=9", "coil 7731 has no such run (2): 9", id="no such run"),
        pytest.param("x" * 999, "no such coil is kept: 'xxx", id="no name at all"),
    ],
)
def test_a_coil_that_is_not_known_is_404(app: Any, path: str, says: str) -> None:
    """With the one that was probably meant."""
    answer = ask(app, f"/api/coils/{path}")

    assert answer.status_code == 404
    assert answer.json()["error"].startswith(says)


def test_a_form_that_does_not_exist_is_refused(app: Any) -> None:
    """There are three."""
    assert ask(app, "/api/coils/7731/report.pdf").status_code == 422


def test_a_station_without_reports_says_so(bench: Bench, app: Any) -> None:
    """Its coils are listed all the same."""
    bare = make_app(bench.options, bench.shown())

    assert ask(bare, "/api/coils/7731/report").status_code == 404
    assert ask(bare, "/api/coils/7731").status_code == 200
