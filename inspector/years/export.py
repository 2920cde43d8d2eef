"""`inspector export`: a period, or one coil, as files for other programs; what is archived is in it, too.

The same export again writes the same files. Two exports of one folder may not share a moment: nothing is in it twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspector.errors import ConfigError, StoreError
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.store.archived import ARCHIVE, waiting
from inspector.store.database import DATABASE
from inspector.store.years import PeriodReader
from inspector.years.asking import Archive
from inspector.years.files import Format, import_arrow, place_of, require_our_version, write_rows
from inspector.years.gather import DAY_MS, Gatherer, Period, days_of
from inspector.years.shifts import Shifts
from inspector.years.tables import EXPORTED

_NAME = re.compile(r"(\d+)-(\d+)(?:-(.+))?\.(?:parquet|csv)")


@dataclass(slots=True)
class Exported:
    """What was written.

    Attributes:
        rows: By table.
        files: How many.
        bytes: Of all of them.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EXPORTED, 0))
    files: int = 0
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it by name."""
        return {**self.rows, "files": self.files, "bytes": self.bytes}


def archive_folder(settings: Settings, config: Path | None) -> Path:
    """Return where finished coils are moved to."""
    return settings.store.archive_path or state_folder(settings, unit_file=config) / ARCHIVE


def open_period_reader(settings: Settings, config: Path | None) -> PeriodReader:
    """Return a reader of a station's store.

    Raises:
        StoreError: The station has stored nothing yet.
        StoreBusyError: The store cannot be read now.
    """
    file = state_folder(settings, unit_file=config) / DATABASE
    if not file.is_file():
        raise StoreError(f"there is no store yet, or this user may not see it: {file}")
    return PeriodReader(file)


def export(settings: Settings, config: Path | None, period: Period, kind: Format, output: Path) -> Exported:
    """Write what a station has of a period.

    Args:
        settings: Of the station.
        config: Its file.
        period: Which.
        kind: Of the files.
        output: Folder; made if it is not there.

    Raises:
        ConfigError: An empty period, the extra is missing, or the folder has another version or a share of the period.
        StoreError: The station has stored nothing yet.
        StoreBusyError: The store cannot be read, or the files not written.
    """
    if period.to_ms <= period.from_ms:
        raise ConfigError("--to must lie after --from")
    if kind == "parquet":
        import_arrow()
    folder = archive_folder(settings, config)
    archive = open_archive(folder)
    station, done = settings.station.text, Exported()
    with closing(open_period_reader(settings, config)) as reader:
        gatherer = Gatherer(reader, Shifts(settings.plant), waiting(folder, reader.store_id))
        spans = [reader.span(), *([archive.span()] if archive is not None else [])]
        known = [span for span in spans if span[1] >= span[0]]
        first, last = min((one[0] for one in known), default=0), max((one[1] for one in known), default=-1)
        whole = Period(  # whole days, so that a file has the same name however much has come since
            max(period.from_ms, first // DAY_MS * DAY_MS), min(period.to_ms, (last // DAY_MS + 1) * DAY_MS),
            period.coil_id,
        )  # fmt: skip
        for day, part in days_of(whole):
            for table in EXPORTED:
                rows = getattr(gatherer, table)(part)
                if archive is not None:
                    rows += archive.rows(table, part, station)
                if not rows:
                    continue
                path = place_of(output, table, station, day) / _file_name(part, kind)
                _require_free(path, part)
                done.bytes += write_rows(path, table, rows)
                done.rows[table] += len(rows)
                done.files += 1
    return done


def open_archive(folder: Path) -> Archive | None:
    """Return the archive in a folder; None: nothing was ever moved there.

    Raises:
        ConfigError: There is one, and the extra that reads it is missing.
    """
    if not folder.is_dir() or not any(folder.glob("*/station=*")):
        return None
    return Archive(folder)


def _file_name(period: Period, kind: Format) -> str:
    coil = "" if period.coil_id is None else "-" + re.sub(r"[^\w.-]", "_", period.coil_id)
    return f"{period.from_ms}-{period.to_ms}{coil}.{kind}"


def _files_of(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.glob("*.*") if not path.name.startswith("."))


def _require_free(path: Path, period: Period) -> None:
    """Check that a folder has no other file with a moment of the period.

    Raises:
        ConfigError: It has, or a file there is not of this program's version.
    """
    for other in _files_of(path.parent):
        if other.suffix == ".parquet":
            require_our_version(other)
        if other.name == path.name:
            continue
        found = _NAME.fullmatch(other.name)
        apart = found is not None and (int(found[2]) <= period.from_ms or int(found[1]) >= period.to_ms)
        if not apart and other.suffix == path.suffix:
            raise ConfigError(f"{other}: is of the same time: nothing may be twice in a folder; use another one")
