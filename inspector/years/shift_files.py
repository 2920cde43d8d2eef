"""Writes the report of each shift into `shifts/` beside the store, once it has ended: also those of a day's stop."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from inspector.clock import Clock, to_timestamp_ms
from inspector.settings.plant import Plant
from inspector.store.database import DATABASE
from inspector.store.years import PeriodReader
from inspector.years.shift_report import as_html, as_json, shift_report
from inspector.years.shifts import Shift, Shifts

FOLDER = "shifts"
SETTLE = timedelta(seconds=60)
"""What was captured at the end of a shift is stored by then."""
OWED = 21
"""Reports written at once after a stop, at most: a week's."""
KEPT = 6 * 366
"""Files kept: a year of three shifts, HTML and JSON."""


class ShiftReports:
    """The reports of a station.

    Args:
        folder: Of the store.
        plant: With the shifts.
        station: site/line/name
        clock: Time.
    """

    def __init__(self, folder: Path, plant: Plant, station: str, clock: Clock) -> None:
        self._store, self._folder = folder, folder / FOLDER
        self._shifts = Shifts(plant)
        self._station = station
        self._clock = clock
        self._written: Shift | None = None

    def write(self) -> list[Path]:
        """Write the reports that are owed, and return their pages, the oldest first.

        Raises:
            StoreBusyError: The store cannot be read.
            OSError: A file cannot be written; it is tried again.
        """
        ended = self._shifts.ended(self._clock.now() - SETTLE, OWED)
        if not ended or ended[0] == self._written:
            return []
        done = []
        with closing(PeriodReader(self._store / DATABASE)) as reader:
            first_ms, last_ms = reader.span()
            for shift in reversed(ended):
                page = self._folder / f"{shift.key}.html"
                if last_ms < first_ms or to_timestamp_ms(shift.ends_at) <= first_ms or page.is_file():
                    continue
                report = shift_report(reader, shift, self._shifts, self._station)
                self._folder.mkdir(exist_ok=True)
                _put(page.with_suffix(".json"), as_json(report))
                _put(page, as_html(report, self._shifts))  # last: what is there is whole
                done.append(page)
        self._written = ended[0]
        for old in sorted(self._folder.glob("*-*.*"))[:-KEPT]:
            old.unlink()
        return done


def _put(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
