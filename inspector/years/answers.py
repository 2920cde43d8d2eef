"""Questions that span the store and the archive of stations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from inspector.settings.loading import load_settings
from inspector.store.archived import waiting
from inspector.years.export import archive_folder, open_archive, open_period_reader
from inspector.years.gather import DAY_MS, Gatherer, Period, days_of
from inspector.years.pareto import BY, count_rows
from inspector.years.shifts import Shifts


def count_defects(configs: Sequence[Path], by: str, period: Period) -> list[tuple[Any, ...]]:
    """Return the defects of stations counted by one of `pareto.BY`: store and archive, nothing twice.

    Raises:
        ConfigError: A configuration is refused, or there is an archive and the extra that reads it is missing.
        StoreError: A station has stored nothing yet.
        StoreBusyError: A store or archive cannot be read.
    """
    counted: list[tuple[Any, ...]] = []
    folders = set()
    for config in configs:
        settings = load_settings(config).settings
        folder = archive_folder(settings, config)
        with closing(open_period_reader(settings, config)) as reader:
            gatherer = Gatherer(reader, Shifts(settings.plant), waiting(folder, reader.store_id))
            first, last = reader.span()
            kept = Period(max(period.from_ms, first // DAY_MS * DAY_MS), min(period.to_ms, last + 1), period.coil_id)
            for _, part in days_of(kept):
                counted += count_rows(gatherer.defects(part), by, settings.station.text)
        folders.add(folder.resolve())
    for folder in sorted(folders):  # stations may share one
        if (archive := open_archive(folder)) is not None:
            counted += archive.count(BY[by], period)
    return counted
