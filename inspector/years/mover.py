"""`inspector archive`: finished coils leave the store for Parquet files, day by day, so that the store stays small.

A day is moved when each coil that began on it ended long enough ago. Its files are written first, then its receipt, by
which the store's owner deletes (`store.archived`). Files without a receipt are what a process that died has left: they
are written again under the same names or deleted, so nothing is in the archive twice.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from inspector.clock import Clock, to_timestamp_ms
from inspector.errors import ConfigError, StoreBusyError, StoreError
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.store.archived import RECEIPTS, MovedCoil, delete_archived, receipts
from inspector.store.store import Store
from inspector.store.years import CoilRun, PeriodReader
from inspector.years.export import archive_folder, open_period_reader
from inspector.years.files import import_arrow, place_of, require_our_version, write_rows
from inspector.years.gather import DAY_MS, Gatherer, Row, day_of
from inspector.years.shifts import Shifts
from inspector.years.tables import TABLES

WAITING = "the station runs: it deletes them itself"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved.

    Attributes:
        folder: The archive.
        coils: How many were written now.
        records: Theirs.
        deleted: Records that left the store now, those of earlier calls included.
        waiting: Why some are still in the store, or None.
    """

    folder: Path
    coils: int
    records: int
    deleted: int
    waiting: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it by name."""
        return {**asdict(self), "folder": str(self.folder)}


def move_coils(settings: Settings, config: Path | None, clock: Clock, dry_run: bool = False) -> Moved:
    """Write what is old enough to the archive, and delete it from the store unless the station runs.

    Raises:
        ConfigError: No rule is configured, or the extra is missing.
        StoreError: The station has stored nothing yet.
        StoreBusyError: The store cannot be read, or the archive not written.
    """
    if settings.store.archive_after_days is None:
        raise ConfigError("store.archive_after_days is not set: nothing is moved")
    import_arrow()
    folder = archive_folder(settings, config)
    before = to_timestamp_ms(clock.now()) - int(settings.store.archive_after_days * DAY_MS)
    coils = records = 0
    with closing(open_period_reader(settings, config)) as reader:
        known = {
            coil.run for done in (False, True) for _, rows in receipts(folder, reader.store_id, done) for coil in rows
        }
        mover = _Mover(reader, Shifts(settings.plant), folder, settings.station.text)
        for day, runs in _days(reader.coils(0, 1 << 53), before, known):
            counted = [] if dry_run else mover.move(day, runs)
            coils, records = coils + len(runs), records + sum(one.records for one in counted)
    if dry_run:
        return Moved(folder, coils, records, 0, "--dry-run: nothing was written or deleted")
    return Moved(folder, coils, records, *_delete(settings, config, clock, folder))


def _days(runs: list[CoilRun], before_ms: int, known: set[int]) -> list[tuple[date, list[CoilRun]]]:
    """Return the days that can be moved, each with those of its coils that are not moved yet."""
    found = []
    for day, group in groupby(sorted(runs, key=lambda run: run.began_ms), lambda run: day_of(run.began_ms)):
        rows = list(group)
        ended = all(run.ended_ms is not None and run.ended_ms < before_ms for run in rows)
        left = [run for run in rows if run.run not in known]
        if ended and left:
            found.append((day, left))
    return found


def _delete(settings: Settings, config: Path | None, clock: Clock, folder: Path) -> tuple[int, str | None]:
    try:
        store = Store(state_folder(settings, unit_file=config), clock, settings.store.outbox_limit_bytes)
    except StoreError:
        return 0, WAITING
    try:
        store.outbox.enable(settings.sinks)
        gone = delete_archived(store.database, folder, store.outbox.delivered_seq())
    finally:
        store.close()
    left = next(receipts(folder, store.store_id), None)
    return gone, None if left is None else "some were not delivered yet, or came later: they stay"


class _Mover:
    """Writes days to an archive."""

    def __init__(self, reader: PeriodReader, shifts: Shifts, folder: Path, station: str) -> None:
        self._reader = reader
        self._gatherer = Gatherer(reader, shifts)
        self._folder = folder
        self._station = station
        self._store = reader.store_id[:8]

    def move(self, day: date, runs: list[CoilRun]) -> list[MovedCoil]:
        tables: dict[str, list[Row]] = {name: [] for name in TABLES}
        moved = [self._coil(run, tables) for run in runs]
        self._tidy(day)
        name = f"{self._store}-{runs[0].run}-{runs[-1].run}"
        for table in TABLES:  # a day with no frames has an empty file: whoever reads it sees its columns
            path = place_of(self._folder, table, self._station, day) / f"{name}.parquet"
            write_rows(path, table, sorted(tables[table], key=lambda row: row["coil_id"] or ""))
        self._receipt(f"{day.isoformat()}-{name}.json", moved)
        return moved

    def _coil(self, run: CoilRun, tables: dict[str, list[Row]]) -> MovedCoil:
        records = list(self._reader.coil_records(run))
        for one in records:
            base = {"id": one.id, "store_id": self._reader.store_id, "seq": one.seq, "captured_at": one.captured_ms,
                    "coil_id": one.coil_id}  # fmt: skip
            if one.kind == "frame":
                tables["frames"].append(self._gatherer.frame(one))
            else:
                tables["messages"].append({**base, "kind": one.kind, "message": one.text})
        defects = self._gatherer.last_phases((one for one in records if one.kind == "defect"), (), 1 << 53)
        tables["defects"] += defects
        row = self._gatherer.coil(run, len(defects))
        tables["coils"].append({**row, "record": json.dumps(run.record) if run.record else None})
        times = [run.began_ms, run.ended_ms or run.began_ms, *(one.captured_ms for one in records)]
        return MovedCoil(run.run, run.coil_id, min(times), max(times) + 1, len(records))

    def _tidy(self, day: date) -> None:
        """Delete what a process has left that died before its receipt; refuse a folder of another version."""
        said = {path.name.split("-", 3)[3].partition(".")[0]
                for path in (self._folder / RECEIPTS).glob(f"{day.isoformat()}-*.json*")}  # fmt: skip
        for table in TABLES:
            for path in place_of(self._folder, table, self._station, day).glob("*.parquet"):
                if path.stem in said or not path.name.startswith(self._store):
                    require_our_version(path)
                else:
                    path.unlink()

    def _receipt(self, name: str, moved: list[MovedCoil]) -> None:
        path = self._folder / RECEIPTS / name
        part = path.with_name(f".{name}.part")
        text = json.dumps({"store_id": self._reader.store_id, "coils": [asdict(one) for one in moved]})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as exc:
            raise StoreBusyError(f"{path}: cannot be written: {exc.strerror}") from exc
