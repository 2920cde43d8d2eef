"""Copies the records of a previous program to the table of this one, a slice at a time, while the station runs.

Each slice is a transaction, so a crash between two leaves every record where it was. A copy also gets what a previous
program did not store: the checksum of its payload, and the coil and place that the payload names. Rows that a previous
program wrote into the new table, after a downgrade and an upgrade, get the same.

The copy needs room beside the records. Without room they stay as they are, and everything works; only queries by coil
and place then read all payloads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

from inspector.store import schema
from inspector.store.database import DATABASE, Database, put_meta
from inspector.store.records import added_columns
from inspector.store.schema import MigrationStage

SLICE_ROWS = 200
"""Rows copied at once, so that no commit waits long for them."""
SPARE_BYTES = 256 << 20
"""With less free space than this nothing is copied."""
ROOM = 1.5
"""A copy of all records, with its indexes, is at most this much larger than the file."""

_COLUMNS = ", ".join(schema.COLUMNS)
_FIRST = ", ".join(schema.FIRST_COLUMNS)
_ID, _KIND, _TIME, _PAYLOAD = (schema.FIRST_COLUMNS.index(name) for name in ("id", "kind", "captured_ms", "payload"))
_NEXT = (
    f"SELECT {_FIRST} FROM {schema.RECORDS} WHERE (kind, captured_ms, id) > (?, ?, ?)"  # noqa: S608
    " ORDER BY kind, captured_ms, id LIMIT ?"
)
_INSERT = f"INSERT OR IGNORE INTO {schema.COPY} ({_COLUMNS}) VALUES ({', '.join('?' * len(schema.COLUMNS))})"  # noqa: S608
_DRAIN = f"DELETE FROM {schema.OLD} WHERE id IN (SELECT id FROM {schema.OLD} ORDER BY id LIMIT ?)"  # noqa: S608
_INCOMPLETE = (
    f"SELECT seq, payload FROM {schema.RECORDS} WHERE payload IS NOT NULL AND payload_crc32 IS NULL AND seq > ?"  # noqa: S608
    " ORDER BY seq LIMIT ?"
)
_COMPLETE = f"UPDATE {schema.RECORDS} SET {', '.join(f'{name} = ?' for name in schema.ADDED_COLUMNS)} WHERE seq = ?"  # noqa: S608

_log = structlog.get_logger("store")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class RecordsMigration:
    """The remaining work on a previous program's records.

    Args:
        database: Holds them.
        free_bytes: Returns how much room a folder's disk has.

    Attributes:
        stage: Where the records are.
    """

    def __init__(self, database: Database, free_bytes: Callable[[Path], int] = _free_bytes) -> None:
        self._database = database
        self._free_bytes = free_bytes
        self.stage = schema.stage_of(database.connection)
        self._completing = True
        self._completed_seq = 0
        self._waits_for_room = False

    def step(self) -> bool:
        """Do one slice; returns whether the next one can follow at once.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        if self.stage in (MigrationStage.PREVIOUS, MigrationStage.COPYING):
            return self._has_room() and self._copy()
        if self.stage is MigrationStage.DRAINING:
            return self._drain()
        if self._completing:
            self._completing = self._complete()
        return self._completing

    def _has_room(self) -> bool:
        needed = SPARE_BYTES
        if self.stage is MigrationStage.PREVIOUS:
            needed += int(ROOM * (self._database.folder / DATABASE).stat().st_size)
        free = self._free_bytes(self._database.folder)
        if free < needed and not self._waits_for_room:
            _log.warning("records_wait_for_room", free_bytes=free, needed_bytes=needed)
        self._waits_for_room = free < needed
        return not self._waits_for_room

    def _copy(self) -> bool:
        if self.stage is MigrationStage.PREVIOUS:
            self._database.alter(schema.begin_copy)
            self._enter(MigrationStage.COPYING)
            return True
        kind, captured_ms, key = json.loads(self._database.meta(schema.COPIED) or '["", 0, ""]')
        with self._database.transaction() as db:
            rows = db.execute(_NEXT, (kind, captured_ms, bytes.fromhex(key), SLICE_ROWS)).fetchall()
            db.executemany(_INSERT, [(*row, *added_columns(row[_PAYLOAD])) for row in rows])
            if rows:
                put_meta(db, schema.COPIED, json.dumps([rows[-1][_KIND], rows[-1][_TIME], rows[-1][_ID].hex()]))
        if not rows:
            self._database.alter(schema.end_copy)
            self._enter(MigrationStage.DRAINING)
        return True

    def _drain(self) -> bool:
        with self._database.transaction() as db:
            count = db.execute(_DRAIN, (SLICE_ROWS,)).rowcount
        if not count:
            self._database.alter(schema.end_draining)
            self._enter(MigrationStage.HERE)
        return True

    def _complete(self) -> bool:
        with self._database.transaction() as db:
            rows: list[tuple[int, bytes]] = db.execute(_INCOMPLETE, (self._completed_seq, SLICE_ROWS)).fetchall()
            db.executemany(_COMPLETE, [(*added_columns(payload), seq) for seq, payload in rows])
        self._completed_seq = rows[-1][0] if rows else self._completed_seq
        return bool(rows)

    def _enter(self, stage: MigrationStage) -> None:
        self.stage = stage
        _log.info("records_moving", stage=stage.value, folder=str(self._database.folder))
