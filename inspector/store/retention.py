"""How much the file may hold: the oldest records, and the longest finished files, make room.

Bounded by size, age, and by the free space of the disk: below its floor the file does not grow any more, because what
comes takes the pages of what goes. A file of SQLite does not shrink by that. Nothing goes without a count.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.clock import Clock, to_timestamp_ms
from inspector.settings.store import StoreOptions
from inspector.store.database import DATABASE, Database, put_meta
from inspector.store.outbox import own_number
from inspector.store.schema import RECORDS, MigrationStage, stage_of

SLICE_ROWS = 1000
"""Rows deleted at once, so that no commit waits long for them."""
RESERVE_BYTES = 8 << 20
"""Free pages in the file that are kept while the disk is below its floor."""
COUNT_S = 600.0
"""How often finished files are counted: it reads an index."""
KEPT_COMMANDS = 100_000
"""Of so many of the last commands those that have ended are kept, too."""
PRUNED = "records_pruned"
"""Name of the single value that counts deleted records which are not reported yet."""
_DAY_MS = 86_400_000

_OLDEST = f"SELECT rowid, seq, captured_ms FROM {RECORDS} WHERE seq <= ? ORDER BY seq LIMIT ?"  # noqa: S608
_DELETE_COMMANDS = (
    "DELETE FROM commands WHERE ended_ms IS NOT NULL AND"
    " (at_ms < ? OR id < (SELECT coalesce(max(id), 0) FROM commands) - ?)"
)
_FORGET = "DELETE FROM ledger WHERE source_key IN (SELECT source_key FROM ledger ORDER BY done_ms LIMIT ?)"


@dataclass(frozen=True, slots=True)
class Room:
    """How much there is.

    Attributes:
        file_bytes: Of the file, its free pages included.
        spare_bytes: Of its free pages.
        log_bytes: Of the log beside it.
        free_bytes: On the disk.
    """

    file_bytes: int
    spare_bytes: int
    log_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """Records that were deleted.

    Attributes:
        count: How many.
        first_seq, last_seq: Their first and last number.
        from_ms, to_ms: The earliest and latest time of what they are about.
    """

    count: int
    first_seq: int
    last_seq: int
    from_ms: int
    to_ms: int


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Retention:
    """Deletes in slices.

    Args:
        database: The store's.
        options: The limits.
        clock: Time.
        free_bytes: Returns how much room a folder's disk has.
    """

    def __init__(
        self,
        database: Database,
        options: StoreOptions,
        clock: Clock,
        free_bytes: Callable[[Path], int] = _free_bytes,
    ) -> None:
        self._database = database
        self._options = options
        self._clock = clock
        self._free_bytes = free_bytes
        self._counted_mono_s: float | None = None

    def room(self) -> Room:
        """Measure."""
        with self._database.guard:
            size, pages, spare = (
                int(self._database.one(f"PRAGMA {name}")[0])  # type: ignore[index]
                for name in ("page_size", "page_count", "freelist_count")
            )
        folder = self._database.folder
        try:
            log_bytes = (folder / f"{DATABASE}-wal").stat().st_size
        except FileNotFoundError:
            log_bytes = 0
        return Room(size * pages, size * spare, log_bytes, self._free_bytes(folder))

    def is_tight(self, room: Room) -> bool:
        """Say whether the file may not grow, and has no free pages left."""
        return room.free_bytes < self._options.floor_bytes and room.spare_bytes < RESERVE_BYTES

    def prune_records(self, room: Room, waiting_bytes: int, delivered_seq: int) -> int:
        """Delete one slice of the oldest records that are too much or too old; returns how many.

        Args:
            room: As measured.
            waiting_bytes: What waits for a sink; it has a limit of its own.
            delivered_seq: Records of what comes after it stay: a damaged message is read back from them.

        Raises:
            StoreBusyError: The disk refuses; nothing is deleted.
        """
        if stage_of(self._database.connection) is not MigrationStage.HERE:
            return 0
        used = room.file_bytes - room.spare_bytes - waiting_bytes
        over = used > self._options.records_limit_bytes or self.is_tight(room)
        too_old_ms = to_timestamp_ms(self._clock.now()) - int(self._options.records_max_age_days * _DAY_MS)
        with self._database.transaction() as db:
            db.execute(_DELETE_COMMANDS, (too_old_ms, KEPT_COMMANDS))
            rows: list[tuple[int, int, int]] = db.execute(_OLDEST, (delivered_seq, SLICE_ROWS)).fetchall()
            if not over:
                young = next((at for at, row in enumerate(rows) if row[2] >= too_old_ms), len(rows))
                rows = rows[:young]
            if rows:
                db.executemany(f"DELETE FROM {RECORDS} WHERE rowid = ?", [row[:1] for row in rows])  # noqa: S608
                put_meta(db, PRUNED, json.dumps(_added(self._database.meta(PRUNED), rows)))
        return len(rows)

    def take_pruned(self) -> Pruned | None:
        """Return the deleted records that are not reported yet, and count from 0 again; None: there are none."""
        with self._database.guard:
            values = _read(self._database.meta(PRUNED))
            if values is None:
                return None
            self._database.set_meta(PRUNED, "null")
        return Pruned(*values)

    def forget_files(self) -> int:
        """Forget some of the longest finished files, if there are too many; returns how many.

        Raises:
            StoreBusyError: The disk refuses.
        """
        now = self._clock.monotonic()
        if self._counted_mono_s is not None and now - self._counted_mono_s < COUNT_S:
            return 0
        count = int(self._database.all("SELECT count(*) FROM ledger")[0][0])
        excess = count - self._options.ledger_limit_files
        if excess <= SLICE_ROWS:
            self._counted_mono_s = now
        if excess <= 0:
            return 0
        with self._database.transaction() as db:
            return db.execute(_FORGET, (min(excess, SLICE_ROWS),)).rowcount


def _read(text: Any) -> list[int] | None:
    try:
        values = json.loads(text or "null")
    except (ValueError, TypeError):
        return None
    whole = isinstance(values, list) and len(values) == 5 and all(isinstance(value, int) for value in values)
    return values if whole else None


def _added(text: Any, rows: list[tuple[int, int, int]]) -> list[int]:
    """Return the counts of deleted records with these ones."""
    seqs, times = [own_number(row[1]) for row in rows], [row[2] for row in rows]
    count, first, last, from_ms, to_ms = _read(text) or [0, seqs[0], seqs[-1], times[0], times[0]]
    return [count + len(rows), min(first, *seqs), max(last, *seqs), min(from_ms, *times), max(to_ms, *times)]
