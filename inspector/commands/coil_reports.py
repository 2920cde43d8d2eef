"""Finds the report of a coil, kept or made of the records; writes it to files, and shows it on a terminal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from inspector.clock import SystemClock, to_timestamp_ms
from inspector.errors import ConfigError, StoreError
from inspector.reports.report import CoilReport
from inspector.settings.hints import nearest
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.station.coil_report import make_report, name_of, open_kept
from inspector.store.database import DATABASE
from inspector.store.kept_reports import KeptReport
from inspector.store.read_only import StoreReader
from inspector.store.restored import restore_coil
from inspector.store.schema import RECORDS, VIEW
from inspector.years.export import archive_folder, open_archive

KNOWN = 200
"""So many of the newest coils are compared with a name that is not known."""
_COLUMNS = ("class", "severity", "count", "per 100 m")


@dataclass(frozen=True, slots=True, eq=False)
class FoundReport:
    """A report, and where it comes from.

    Attributes:
        settings: The station's.
        folder: Its store.
        report: The report.
        kept: As it was written at the coil's end; None: it was made of the records now.
    """

    settings: Settings
    folder: Path
    report: CoilReport
    kept: KeptReport | None


def find_report(config: Path, coil_id: str, run: int | None = None, anew: bool = False) -> FoundReport:
    """Return the report of a coil's last run, or of a run: the one that is kept, else one made of the records.

    Raises:
        ConfigError: No such coil, or no such run of it; says which coil was probably meant.
        StoreError: The station has stored nothing yet, or an older program has stored it.
        StoreBusyError: The store cannot be read now.
    """
    settings = load_settings(config).settings
    folder = state_folder(settings, unit_file=config)
    kept = open_kept(folder, settings.store)
    file = folder / DATABASE
    if not file.is_file():
        if not anew and (old := kept.newest(coil_id, run)) is not None:
            return FoundReport(settings, folder, old.report, old)
        raise StoreError(f"there is no store yet, or this user may not see it: {file}")
    with closing(open_reader(file)) as reader:
        runs = [one for one in reader.coil_runs(coil_id) if run in (None, one.id)]
        if not runs:
            if not anew and (old := kept.newest(coil_id, run)) is not None:
                return FoundReport(settings, folder, old.report, old)
            if (archived := _from_archive(settings, config, folder, coil_id, run)) is not None:
                return FoundReport(settings, folder, archived, None)
            raise ConfigError(_unknown(reader, coil_id, run))
        if not anew and (written := kept.read(name_of(runs[0]))) is not None:
            return FoundReport(settings, folder, written.report, written)
        return FoundReport(settings, folder, make_report(settings, folder, reader, runs[0], SystemClock()), None)


def _from_archive(settings: Settings, config: Path, folder: Path, coil_id: str, run: int | None) -> CoilReport | None:
    """Return the report of a coil that has moved to the archive, made of its records there; None: it has not."""
    archive = open_archive(archive_folder(settings, config))
    runs = [] if archive is None else archive.coil_runs(coil_id, settings.station.text)
    for row in (one for one in runs if run in (None, one["run"])):
        assert archive is not None  # noqa: S101 - it has runs
        times = {name: to_timestamp_ms(row[name[:-2] + "at"]) for name in ("began_ms", "ended_ms")}
        with tempfile.TemporaryDirectory() as place:
            file = restore_coil(Path(place), {**row, **times}, archive.coil_messages(row))
            with closing(StoreReader(file, "records")) as reader:
                return make_report(settings, folder, reader, reader.coil_runs(coil_id)[0], SystemClock())
    return None


def open_reader(file: Path) -> StoreReader:
    """Return a reader of a store, whether or not a station has moved the records of a previous program yet.

    Raises:
        StoreError: No station of this program has opened the store: it lacks what is asked for.
        StoreBusyError: The store cannot be read now.
    """
    with closing(StoreReader(file, RECORDS)) as first:
        names = {name for (name,) in first.select("SELECT name FROM sqlite_master")}
        columns = {name for (name,) in first.select("SELECT name FROM pragma_table_info('coils')")}
    if not {"sections", "reviews", "commands"} <= names or "record" not in columns:
        raise StoreError(f"an older inspector wrote this store: start its station once with this one: {file}")
    return StoreReader(file, VIEW if VIEW in names else RECORDS)


def _unknown(reader: StoreReader, coil_id: str, run: int | None) -> str:
    numbers = [str(one.id) for one in reader.coil_runs(coil_id)]
    if numbers:
        return f"--run: this coil has no run {run}, only {', '.join(reversed(numbers))}"
    known = list(dict.fromkeys(one.record.coil_id for one in reader.coil_runs(limit=KNOWN)))
    if not known:
        return f"no coil was ever named to this station, by cmd/coil or otherwise: {coil_id!r}"
    meant = nearest(coil_id, known)
    hint = f"did you mean {meant}?" if meant else f"the last ones were {', '.join(known[:5])}"
    return f"no such coil is kept; {hint}: {coil_id!r}"


def write_whole(path: Path, text: str) -> None:
    """Write a file as a whole, or leave the one that is there.

    Raises:
        OSError: The disk is full, or the folder may not be written; names the file.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def table_lines(report: CoilReport) -> Iterator[str]:
    """Yield the lines that a terminal shows."""
    yield f"coil {report.coil_id}, {report.station}, {report.started_at} - {report.ended_at or 'runs'}"
    if report.so_far:
        yield "THIS COIL STILL RUNS: report so far"
    elif not report.assessed:
        yield f"NOT ASSESSED: {report.not_assessed or 'no reason is known'}"
    if report.surface_class or report.disposition:
        yield f"surface class {report.surface_class or '-'}, disposition {report.disposition or '-'}"
    coverage = "" if report.coverage is None else f", coverage {100 * report.coverage:.2f} %"
    frames = report.frames
    if report.length_m is None:
        yield f"{frames.fed} frames, {frames.inspected} inspected{coverage}; no metres are known"
    else:
        yield f"{report.length_m:.1f} m, {report.inspected_m or 0:.1f} m inspected{coverage}"
    for gap in report.gaps[:20]:
        where = "frames only" if gap.from_m is None or gap.to_m is None else f"{gap.from_m:.1f} - {gap.to_m:.1f} m"
        yield f"  not inspected: {where}, {gap.cause}"
    if len(report.gaps) > 20:
        yield f"  ... {len(report.gaps) - 20} more, see --json"
    if report.sensitivity.shown is not None:
        yield f"known defects shown {report.sensitivity.shown}, found {report.sensitivity.found}"
    if not report.defects:
        yield "no reportable defect" if report.assessed else "no defect was reported, which says nothing: not assessed"
        return
    yield f"{_COLUMNS[0]:24}  {_COLUMNS[1]:8}  {_COLUMNS[2]:>8}  {_COLUMNS[3]:>9}"
    for one in report.defects:
        rate = "" if one.per_100_m is None else f"{one.per_100_m:.2f}"
        yield f"{one.name or one.label:24}  {one.severity:8}  {one.count:>8}  {rate:>9}"
    for mark in report.periodic:
        yield f"periodic: {mark.label} every {mark.pitch_mm:.1f} mm, {mark.count} times, {mark.roll or 'no roll fits'}"
