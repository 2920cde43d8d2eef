"""Where the listener gets the reports of coils from: those that were written, and those that are made on request."""

from __future__ import annotations

from pathlib import Path

from inspector.clock import Clock
from inspector.http.coils import ReportDesk
from inspector.settings.sections import Settings
from inspector.station.coil_report import make_page, make_report, name_of, open_kept, read_pictures
from inspector.store.read_only import StoreReader


def report_desk(settings: Settings, folder: Path, reader: StoreReader, clock: Clock) -> ReportDesk:
    """Return the desk of a station whose store lies in `folder`."""
    kept = open_kept(folder, settings.store)
    return ReportDesk(
        kept=lambda run: kept.read(name_of(run)),
        old=kept.newest,
        make=lambda run: make_report(settings, folder, reader, run, clock),
        render=lambda report, written, code: make_page(settings, report, read_pictures(report, folder, written), code),
        decimal_comma=settings.report.decimal_comma,
    )
