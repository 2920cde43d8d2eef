"""From a station's store to the report of one run of a coil, as its configuration asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import inspector
from inspector.clock import Clock, to_rfc3339
from inspector.pages.language import ENGLISH
from inspector.reports.build import build_report
from inspector.reports.page import pictures_in, render_coil
from inspector.reports.report import CoilReport
from inspector.reports.rules import ClassRule, ReportRules
from inspector.settings.plant import zone_named
from inspector.settings.report import Report
from inspector.settings.sections import Settings
from inspector.settings.store import StoreOptions
from inspector.store.coil_material import kept_pictures, read_material
from inspector.store.coils import CoilRun
from inspector.store.kept_reports import FOLDER, KeptReport, KeptReports, report_name
from inspector.store.read_only import StoreReader

PAGE_BYTES = 100_000
"""Of page and JSON without pictures, for a coil with a hundred defects."""
PICTURE_SHARE = 0.09
"""Bytes of a picture in a page, for each pixel of a square of `store.evidence_px`: 27 kB at 640, a third as text."""
PICTURE_BYTES = 1 << 20
"""A larger evidence picture is not put into a page."""


def report_rules(options: Report) -> ReportRules:
    """Return what the section `[report]` decides."""
    return ReportRules(
        tuple(
            ClassRule(row.name, row.max_per_100m, row.max_count, row.max_periodic, row.disposition)
            for row in options.surface_class
        ),
        options.not_assessed,
        options.none_fits,
        options.section_gap_m,
        options.pictures,
    )


def open_kept(folder: Path, options: StoreOptions) -> KeptReports:
    """Return the reports that are kept beside a store."""
    return KeptReports(
        folder / FOLDER, options.report_keep_years, options.report_limit_bytes, options.report_keep_coils
    )


def report_cost(settings: Settings) -> str:
    """Return what the reports of coils cost, in one sentence."""
    options, kept = settings.report, settings.store
    if not options.write:
        return "none is written at the end of a coil: report.write"
    one = PAGE_BYTES + round(options.pictures * PICTURE_SHARE * kept.evidence_px**2)
    coils = kept.report_limit_bytes // one
    return (
        f"about {one / 1e6:.1f} MB a coil with {options.pictures} pictures: {coils} coils in store.report_limit_bytes"
        f" ({kept.report_limit_bytes / 1e9:.1f} GB) and {kept.report_keep_years:g} years;"
        f" people may keep {kept.report_keep_coils} for good, {kept.report_keep_coils * one / 1e9:.1f} GB"
    )


def plant_names(settings: Settings, code: str) -> dict[str, str]:
    """Return what the plant calls labels in a language, with its code."""
    return {
        label: " ".join(filter(None, (words.name_in(code) or label, words.code and f"({words.code})")))
        for label, words in settings.labels.words.items()
    }


def name_of(run: CoilRun) -> str:
    """Return under which name the report of a run is kept."""
    return report_name(run.record.coil_id, run.record.began_at, run.id)


def make_report(settings: Settings, folder: Path, reader: StoreReader, run: CoilRun, clock: Clock) -> CoilReport:
    """Return the report of a run, from what the store holds now.

    Raises:
        StoreBusyError: The store cannot be read now.
    """
    material = read_material(
        reader, run, station=settings.station.text, program=inspector.__version__, made_at=to_rfc3339(clock.now()),
        pictures=kept_pictures(folder / "evidence"),
    )  # fmt: skip
    return build_report(material, report_rules(settings.report))


def read_pictures(report: CoilReport, folder: Path, kept: KeptReport | None = None) -> dict[str, bytes]:
    """Return the pictures of a report by their names: of its kept page, else the evidence that is still there."""
    found = {} if kept is None else pictures_in(kept.page)
    for one in report.pictures:
        if one.file not in found:
            try:
                data = (folder / "evidence" / one.file).read_bytes()
            except OSError:  # deleted meanwhile: the page says so
                continue
            if len(data) <= PICTURE_BYTES:
                found[one.file] = data
    return found


def make_page(settings: Settings, report: CoilReport, pictures: Mapping[str, bytes], code: str | None = None) -> str:
    """Return the page of a report, in the language of this code or that of the configuration."""
    code = code or settings.report.language or ENGLISH
    return render_coil(report, pictures, plant_names(settings, code), code, zone_named(settings.plant.timezone))


def forget_in_reports(settings: Settings, kept: KeptReports, person: str, dry_run: bool = False) -> int:
    """Remove a person's name from the reports that are kept; returns in how many it stood.

    Raises:
        OSError: The disk refuses.
    """
    found = 0
    for name in kept.names():
        one = kept.read(name)
        if one is None or all(action.person != person for action in one.report.operator):
            continue
        found += 1
        if not dry_run:
            actions = tuple(
                action.model_copy(update={"person": None}) if action.person == person else action
                for action in one.report.operator
            )
            report = one.report.model_copy(update={"operator": actions})
            kept.write(name, report, make_page(settings, report, pictures_in(one.page)))
    return found


def write_report(settings: Settings, folder: Path, reader: StoreReader, run: CoilRun, clock: Clock) -> int:
    """Make the report of a run and keep it; returns its bytes.

    Raises:
        StoreBusyError: The store cannot be read now.
        OSError: The disk refuses; it is written later.
    """
    report = make_report(settings, folder, reader, run, clock)
    page = make_page(settings, report, read_pictures(report, folder))
    return open_kept(folder, settings.store).write(name_of(run), report, page)
