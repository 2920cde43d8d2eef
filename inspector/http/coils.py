"""Coils and their reports: which ran, what each was, and its report as a page, as JSON or as a list of sections.

An ended coil has the report that was written at its end. Of one that runs, or whose report is not there (yet), it is
made of the records, unless they are so many that the station's own work would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from inspector.clock import to_rfc3339
from inspector.http.answers import JSONResponse
from inspector.http.query import next_link
from inspector.pages.language import choose_code
from inspector.reports.report import CoilReport
from inspector.reports.sections import sections_csv
from inspector.settings.hints import nearest
from inspector.store.coil_material import CoilRows
from inspector.store.coils import CoilRun
from inspector.store.kept_reports import KeptReport
from inspector.store.read_only import CoilQuery, StoreReader

MAX_MESSAGES = 20_000
"""Defect messages of a coil whose report is made on request: more would keep the station from its turn."""
KNOWN = 200
"""So many of the newest coils are compared with a name that is not known."""
KINDS = ("html", "json", "csv")


@dataclass(frozen=True, slots=True)
class ReportDesk:
    """Where the reports of a station come from.

    Attributes:
        kept: Returns the report that was written at the end of a run, or None.
        old: Returns the newest report of a coil whose rows are gone, or None.
        make: Makes one of the records.
        render: Makes the page of a report, in the language of a code.
        decimal_comma: How the CSV writes numbers.
    """

    kept: Callable[[CoilRun], KeptReport | None]
    old: Callable[[str], KeptReport | None]
    make: Callable[[CoilRun], CoilReport]
    render: Callable[[CoilReport, KeptReport | None, str], str]
    decimal_comma: bool = False


class CoilPages:
    """Answers about coils; each call reads the store and runs off the event loop.

    Args:
        records: The store.
        desk: Where reports come from; None: there are none.
    """

    def __init__(self, records: StoreReader, desk: ReportDesk | None) -> None:
        self._records = records
        self._desk = desk

    def all(self, query: CoilQuery, request: Request) -> Response:
        """Answer which coils ran, the newest first."""
        runs = self._records.coils(
            CoilQuery(query.limit + 1, query.coil_id, query.from_ms, query.to_ms, query.before_id)
        )
        shown = runs[: query.limit]
        headers = next_link(request, str(shown[-1].id)) if len(runs) > query.limit else {}
        return JSONResponse(self._rows(shown), headers=headers)

    def one(self, coil_id: str, run: int | None) -> Response:
        """Answer what a coil was: its record, and which runs of this name there are."""
        runs = self._runs(coil_id)
        found = self._run(coil_id, run, runs)
        [row] = self._rows([found])
        record = found.record
        more = {
            "runs": [one.id for one in runs],
            "gaps": [asdict(gap) for gap in record.gaps],
            "gaps_rest": [asdict(one) for one in record.rest],
            "events": [{"at_m": at_m, "kind": kind, "text": text} for at_m, kind, text in record.events],
            "fingerprints": asdict(record.fingerprints),
        }
        return JSONResponse({**row, **more})

    def report(self, coil_id: str, run: int | None, kind: str | None, request: Request) -> Response:
        """Answer the report of a coil, as what is asked for."""
        if self._desk is None:
            raise HTTPException(404, "this station writes no reports")
        if run is None and not self._records.coil_runs(coil_id, limit=1) and (old := self._desk.old(coil_id)):
            return self._answer(old.report, old, kind, request)
        found = self._run(coil_id, run, self._runs(coil_id))
        kept = self._desk.kept(found)
        if kept is None and CoilRows(self._records, found).count() > MAX_MESSAGES:
            when = "will be written at its end" if found.record.ended_at is None else "is being written"
            text = f"its report {when}; for one now: inspector report {coil_id}"
            return JSONResponse({"error": text, "reason": "large"}, 503, {"Retry-After": "60"})
        return self._answer(self._desk.make(found) if kept is None else kept.report, kept, kind, request)

    def _answer(self, report: CoilReport, kept: KeptReport | None, kind: str | None, request: Request) -> Response:
        assert self._desk is not None  # noqa: S101 - the report is of it
        kind = kind or _wished(request.headers.get("Accept", ""))
        if kind == "csv":
            name = quote(f"{report.coil_id}.csv", safe="")
            headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
            return Response(sections_csv(report, self._desk.decimal_comma), media_type="text/csv", headers=headers)
        if kind == "json":
            return JSONResponse(report.as_json(), headers={"Vary": "Accept"})
        code = choose_code(request.headers.get("Accept-Language", ""))
        page = self._desk.render(report, kept, code)
        headers = {"Content-Language": code, "Vary": "Accept, Accept-Language"}
        return HTMLResponse(page.encode(errors="replace"), headers=headers)

    def _runs(self, coil_id: str) -> Sequence[CoilRun]:
        runs = self._records.coil_runs(coil_id) if len(coil_id) <= 64 else []
        if runs:
            return runs
        known = {one.record.coil_id for one in self._records.coil_runs(limit=KNOWN)}
        meant = nearest(coil_id[:64], known)
        hint = f"; did you mean {meant}?" if meant else ""
        raise HTTPException(404, f"no such coil is kept{hint}: {coil_id[:64]!r}")

    def _run(self, coil_id: str, run: int | None, runs: Sequence[CoilRun]) -> CoilRun:
        found = next((one for one in runs if run in (None, one.id)), None)
        if found is None:
            numbers = ", ".join(str(one.id) for one in runs)
            raise HTTPException(404, f"coil {coil_id} has no such run ({numbers}): {run}")
        return found

    def _rows(self, runs: Sequence[CoilRun]) -> list[dict[str, Any]]:
        verdicts = self._records.coil_verdicts([one.id for one in runs])
        return [_row(one, *verdicts.get(one.id, (None, None))) for one in runs]


def _row(run: CoilRun, surface_class: str | None, disposition: str | None) -> dict[str, Any]:
    record = run.record
    facts = record.facts
    return {
        "coil_id": record.coil_id,
        "run": run.id,
        "started_at": to_rfc3339(record.began_at),
        "ended_at": None if record.ended_at is None else to_rfc3339(record.ended_at),
        "product": facts.product,
        "grade": facts.grade,
        "width_mm": facts.width_mm,
        "thickness_mm": facts.thickness_mm,
        "announced_m": facts.length_m,
        "length_m": _rounded(record.length_m),
        "inspected_m": _rounded(record.inspected_m),
        "coverage": _rounded(record.coverage, 6),
        "frames": {
            "fed": record.frames_fed, "inspected": record.frames_inspected, "missed": record.frames_missed,
        },
        "assessed": record.assessed,
        "not_assessed": record.not_assessed,
        "surface_class": surface_class,
        "disposition": disposition,
        "side": record.side,
        "position_source": record.position_source,
        "recipe": record.recipe,
        "mother": record.mother,
        "report": f"/api/coils/{quote(record.coil_id, safe='')}/report?run={run.id}",
    }  # fmt: skip


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _wished(accept: str) -> str:
    """Return what an `Accept` likes best: a browser gets the page, a program JSON."""
    wishes = {"text/html": "html", "application/json": "json", "text/csv": "csv"}
    found = []
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if name in wishes and weight > 0:
            found.append((-weight, place, wishes[name]))
    return min(found)[2] if found else "json"
