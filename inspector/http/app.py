"""The application: metrics, health, the status page, evidence, defects, and a picture to classify.

It reads and shows; what changes something is a command and goes through the one port for commands. These run off the
event loop: reading the store, commands, and classifying, one picture at a time. Health and metrics touch no disk and
run on it, so that no thread that waits can keep them waiting.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import structlog
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from inspector.clock import Clock
from inspector.errors import StoreBusyError
from inspector.http.answers import (
    JSONResponse,
    answer_gone,
    answer_http_error,
    answer_invalid_query,
    answer_store_error,
)
from inspector.http.coils import CoilPages, ReportDesk
from inspector.http.commands import CommandPort, Execute
from inspector.http.description import new_app, render_description
from inspector.http.guard import SECURITY_HEADERS, Guard
from inspector.http.options import HttpOptions
from inspector.http.pace import PaceMeter
from inspector.http.page import SHOWN_DEFECTS, PageFacts, PageView, latest_phases, render_defect, render_page
from inspector.http.query import (
    QueryError,
    answer_query_error,
    earliest_of,
    next_link,
    read_cursor,
    read_moment,
    read_place,
)
from inspector.http.upload import MakeRow, UploadClassifier
from inspector.ids import messages_of
from inspector.labels import Severity
from inspector.pages.language import choose_code
from inspector.store.defect_query import DefectQuery
from inspector.store.evidence import EvidenceFolder
from inspector.store.read_only import CoilQuery, StoreReader
from inspector.telemetry.counts import Counts
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import Metrics

_log = structlog.get_logger("http")

MAX_PAGES = 2
"""Pages, lists of defects and pictures that are made at once: more would keep the event loop from its turn."""
MAX_SCRAPES = 20
"""Metrics are collected this often within a second; who asks more often gets the last ones."""
MAX_DEFECTS = 1000
MAX_COILS = 1000
Run = Annotated[int | None, Query(ge=1, lt=1 << 53, description="Of a coil that ran several times; else the last.")]
MAX_SAME_MOMENT = 10_000
"""Defects of one millisecond that are answered together: copies of an archive may all have one time."""


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the listener shows of a station; it owns none of it.

    Attributes:
        metrics: What `/metrics` and the page count.
        records: Where defects are read.
        evidence: Pictures of defects; None if they are not kept.
        health: What `/healthz` answers.
        facts: What runs here, for the status page.
        classify: Makes the row of an uploaded picture.
        execute: Carries out a command.
        clock: The station's.
        reports: Where reports of coils come from; None: there are none.
    """

    metrics: Metrics
    records: StoreReader
    evidence: EvidenceFolder | None
    health: HealthBoard
    facts: Callable[[], PageFacts]
    classify: MakeRow
    execute: Execute
    clock: Clock
    reports: ReportDesk | None = None


def make_app(options: HttpOptions, shown: Shown) -> FastAPI:
    """Return the application."""
    app = described_app()
    # FastAPI remembers every endpoint for good, in caches of the process: methods would keep each station that ended.
    app.state.pages = _Pages(options, shown)
    app.state.classifier = UploadClassifier(options, shown.classify)
    app.state.commands = CommandPort(shown.execute, options.token is not None)
    app.add_exception_handler(StarletteHTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, answer_invalid_query)
    app.add_exception_handler(QueryError, answer_query_error)
    app.add_exception_handler(StoreBusyError, answer_store_error)
    app.add_exception_handler(ClientDisconnect, answer_gone)
    app.add_exception_handler(Exception, _answer_fault)
    app.add_middleware(Guard, token=options.token, address=options.address)
    return app


def described_app() -> FastAPI:
    """Return the application with its routes and their description alone: it answers what it is, and nothing else."""
    app = new_app(
        {
            "/": ("GET", _page),
            "/metrics": ("GET", _metrics),
            "/healthz": ("GET", _healthz),
            "/api/defects": ("GET", _defects),
            "/api/coils": ("GET", _coils),
            "/api/coils/{coil_id:path}/report": ("GET", _report),
            "/api/coils/{coil_id:path}/report.{kind}": ("GET", _report_as),
            "/api/coils/{coil_id:path}": ("GET", _coil),
            "/defects/{defect_id}": ("GET", _defect),
            "/evidence/{name}": ("GET", _picture),
            "/api/classify": ("POST", _classify),
            "/api/commands/{name}": ("POST", _command),
        }
    )
    for path, endpoint in (("/favicon.ico", _no_icon), ("/api", _description), ("/openapi.json", _openapi)):
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], response_model=None, include_in_schema=False)
    return app


async def _page(request: Request, refresh: Annotated[int | None, Query(ge=0, le=3600)] = None) -> Response:
    return await _pages_of(request).page(request, refresh)


async def _metrics(request: Request) -> Response:
    return _pages_of(request).metrics(request)


async def _healthz(request: Request) -> Response:
    return _pages_of(request).healthz()


async def _defects(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_DEFECTS, description="How many at most.")] = 100,
    before_ms: Annotated[int | None, Query(ge=0, lt=1 << 53, description="Captured before, ms since 1970.")] = None,
    coil_id: Annotated[str | None, Query(max_length=64, description="Of this coil.")] = None,
    label: Annotated[str | None, Query(max_length=64, description="Of this label.")] = None,
    severity: Annotated[Severity | None, Query(description="Of this severity.")] = None,
    since: Annotated[
        str | None, Query(alias="from", max_length=64, description="Captured at or after, ISO 8601.")
    ] = None,
    to: Annotated[str | None, Query(max_length=64, description="Captured before, ISO 8601.")] = None,
    position_m: Annotated[
        str | None,
        Query(
            max_length=64, description="Metres from the coil's head: `400..420`, or `412`: within 0.5 m + 0.1 % of it."
        ),
    ] = None,
    reviewed: Annotated[bool | None, Query(description="Whether a person has judged it.")] = None,
    cursor: Annotated[str | None, Query(max_length=64, description="Where to go on, as `Link` says.")] = None,
) -> Response:
    query = DefectQuery(
        limit,
        earliest_of(before_ms, read_moment("to", to)),
        read_moment("from", since),
        label,
        coil_id,
        severity,
        read_place("position_m", position_m),
        reviewed,
        read_cursor(cursor),
    )
    return await _pages_of(request).defects(query, request)


async def _coils(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_COILS, description="How many at most.")] = 100,
    coil_id: Annotated[str | None, Query(max_length=64, description="Of this name.")] = None,
    since: Annotated[
        str | None, Query(alias="from", max_length=64, description="That ran then or later, ISO 8601.")
    ] = None,
    to: Annotated[str | None, Query(max_length=64, description="That ran before, ISO 8601.")] = None,
    cursor: Annotated[int | None, Query(ge=0, lt=1 << 53, description="Where to go on, as `Link` says.")] = None,
) -> Response:
    query = CoilQuery(limit, coil_id, read_moment("from", since), read_moment("to", to), cursor)
    return await _pages_of(request).coils(lambda pages: pages.all(query, request))


async def _coil(coil_id: str, request: Request, run: Run = None) -> Response:
    return await _pages_of(request).coils(lambda pages: pages.one(coil_id, run))


async def _report(coil_id: str, request: Request, run: Run = None) -> Response:
    return await _pages_of(request).coils(lambda pages: pages.report(coil_id, run, None, request))


async def _report_as(coil_id: str, kind: Literal["html", "json", "csv"], request: Request, run: Run = None) -> Response:
    return await _pages_of(request).coils(lambda pages: pages.report(coil_id, run, kind, request))


async def _defect(defect_id: str, request: Request) -> Response:
    return await _pages_of(request).defect(defect_id, request)


async def _picture(name: str, request: Request, v: str | None = None) -> Response:
    return await _pages_of(request).picture(name, request, v)


async def _classify(request: Request) -> Response:
    classifier: UploadClassifier = request.app.state.classifier
    return await classifier.answer(request)


async def _command(name: str, request: Request) -> Response:
    commands: CommandPort = request.app.state.commands
    return await commands.answer(name, request)


def _pages_of(request: Request) -> _Pages:
    pages: _Pages = request.app.state.pages
    return pages


async def _description(request: Request) -> Response:
    app: FastAPI = request.app
    return HTMLResponse(render_description(app.openapi()))


async def _openapi(request: Request) -> Response:
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


async def _no_icon() -> Response:
    """Answer what every browser asks for: there is none, and the log need not say so."""
    return Response(status_code=204, headers={"Cache-Control": "max-age=86400"})


class _Pages:
    """What can be read. What the disk may block runs off the event loop, a few at a time."""

    def __init__(self, options: HttpOptions, shown: Shown) -> None:
        self._options = options
        self._shown = shown
        self._pace = PaceMeter()
        self._turns = CapacityLimiter(MAX_PAGES)
        self._scrapes: tuple[int, int, dict[str, bytes]] = (0, 0, {})
        self._coils = CoilPages(shown.records, shown.reports)

    def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        second = int(time.monotonic())
        if self._scrapes[0] != second:
            self._scrapes = (second, 0, {})
        _, count, kept = self._scrapes
        if count < MAX_SCRAPES or content_type not in kept:
            health = self._shown.health.message()  # the thread that usually shows it may hang
            self._shown.metrics.show_health(health.state, health.reason)
            kept[content_type] = encode(self._shown.metrics.registry)
            self._scrapes = (second, count + 1, kept)
        return Response(kept[content_type], headers={"Content-Type": content_type})

    def healthz(self) -> Response:
        message = self._shown.health.message()
        status = 503 if message.state == "blind" else 200
        return JSONResponse(message.model_dump(mode="json", by_alias=True), status)

    async def page(self, request: Request, refresh: int | None) -> Response:
        return await run_sync(self._page, request, refresh, limiter=self._turns)

    def _page(self, request: Request, refresh: int | None) -> Response:
        shown, code = self._shown, choose_code(request.headers.get("Accept-Language", ""))
        try:
            defects: list[dict[str, Any]] | None = shown.records.recent_defects(10 * SHOWN_DEFECTS)
        except StoreBusyError as exc:
            _log.warning("store_unreadable", reason=str(exc))
            defects = None
        counts = Counts.of(shown.metrics)
        view = PageView(
            health=shown.health.message(),
            now=shown.clock.now(),
            defects=defects,
            counts=counts,
            facts=shown.facts(),
            pace=self._pace.note(shown.clock.monotonic(), counts.inspected, counts.all_tiles),
            refresh_s=self._options.refresh_s if refresh is None else refresh,
            names=self._options.names(code),
        )
        headers = {"Content-Language": code, "Vary": "Accept-Language"}
        return HTMLResponse(render_page(view, code).encode(errors="replace"), headers=headers)

    async def defects(self, query: DefectQuery, request: Request) -> Response:
        return await run_sync(self._defects, query, request, limiter=self._turns)

    def _defects(self, query: DefectQuery, request: Request) -> Response:
        rows = self._shown.records.defects(replace(query, limit=query.limit + 1))
        if len(rows) <= query.limit:
            return JSONResponse(rows)
        rows.pop()
        last_ms = rows[-1]["timestamp_ms"]
        if query.after is None:  # who goes on with before_ms must miss nothing of the last moment
            moment = replace(query, limit=MAX_SAME_MOMENT, before_ms=last_ms + 1, from_ms=last_ms)
            rows = [row for row in rows if row["timestamp_ms"] != last_ms] + self._shown.records.defects(moment)
        last = rows[-1]
        return JSONResponse(rows, headers=next_link(request, f"{last['timestamp_ms']}-{last['seq']}"))

    async def coils(self, ask: Callable[[CoilPages], Response]) -> Response:
        return await run_sync(ask, self._coils, limiter=self._turns)

    async def defect(self, defect_id: str, request: Request) -> Response:
        return await run_sync(self._defect, defect_id, request, limiter=self._turns)

    def _defect(self, defect_id: str, request: Request) -> Response:
        found: list[dict[str, Any]] = []
        if _UUID.fullmatch(defect_id):
            found = self._shown.records.messages(messages_of(defect_id, self._options.root))
        if not found:
            raise HTTPException(404, "no such defect")
        code = choose_code(request.headers.get("Accept-Language", ""))
        page = render_defect(
            latest_phases(found)[0],
            self._shown.clock.now(),
            self._options.names(code),
            self._shown.facts().config,
            code,
        )
        headers = {"Content-Language": code, "Vary": "Accept-Language"}
        return HTMLResponse(page.encode(errors="replace"), headers=headers)

    async def picture(self, name: str, request: Request, v: str | None) -> Response:
        return await run_sync(self._picture, name, request, v, limiter=self._turns)

    def _picture(self, name: str, request: Request, v: str | None) -> Response:
        defect_id = name.removesuffix(".jpg")
        data = None
        if self._shown.evidence is not None and name.endswith(".jpg") and _UUID.fullmatch(defect_id):
            data = self._shown.evidence.read(defect_id)
        if data is None:
            raise HTTPException(404, "no such picture")
        digest = hashlib.sha256(data).hexdigest()
        lasting = "max-age=31536000, immutable" if v == digest else "no-cache"
        headers = {"ETag": f'"{digest}"', "Cache-Control": f"private, {lasting}"}
        if f'"{digest}"' in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, media_type="image/jpeg", headers=headers)


async def _answer_fault(_: Request, exc: Exception) -> Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}  # answered outside the guard
    return JSONResponse({"error": "a fault in inspector, see its log", "reason": "fault"}, 500, headers)
