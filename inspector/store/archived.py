"""Takes out of the store what lies in an archive: of each coil only what a receipt says was written there.

A receipt is a file beside the archive's tables, written after them. Whoever has the store open deletes by it, in
slices, so the station itself never needs to read Parquet; then the receipt is renamed to `.done`. A process that dies
in between leaves the receipt, and the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from inspector.store.database import Database
from inspector.store.schema import RECORDS, MigrationStage, stage_of

ARCHIVE = "archive"
"""Folder beside the store's file, unless `store.archive_path` names another."""
RECEIPTS = "receipts"
SLICE_ROWS = 1000
"""Rows deleted at once, so that no commit waits long for them."""
_DELETE = (
    f"DELETE FROM {RECORDS} WHERE rowid IN (SELECT rowid FROM {RECORDS} WHERE coil_id = ? AND captured_ms >= ?"  # noqa: S608
    " AND captured_ms < ? AND seq <= ? LIMIT ?)"
)
_COUNT = f"SELECT count(*) FROM {RECORDS} WHERE coil_id = ? AND captured_ms >= ? AND captured_ms < ?"  # noqa: S608

_log = structlog.get_logger("store")


@dataclass(frozen=True, slots=True)
class MovedCoil:
    """A run of a coil that lies in the archive.

    Attributes:
        run: Its number in the store.
        coil_id: Its name.
        began_ms, ended_ms: Between which its records were captured, UTC, ms since 1970; the end is not in it.
        records: How many records were written.
    """

    run: int
    coil_id: str
    began_ms: int
    ended_ms: int
    records: int


def receipts(folder: Path, store_id: str, done: bool = False) -> Iterator[tuple[Path, list[MovedCoil]]]:
    """Yield the receipts of a store in an archive, the oldest first: those that wait, or those that are done."""
    for path in sorted((folder / RECEIPTS).glob("*.json.done" if done else "*.json")):
        found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        if found["store_id"] == store_id:
            yield path, [MovedCoil(**row) for row in found["coils"]]


def waiting(folder: Path, store_id: str) -> dict[str, list[tuple[int, int]]]:
    """Return which runs are still in the store although they are archived: start and end by coil, ms since 1970."""
    found: dict[str, list[tuple[int, int]]] = {}
    for _, coils in receipts(folder, store_id):
        for coil in coils:
            found.setdefault(coil.coil_id, []).append((coil.began_ms, coil.ended_ms))
    return found


def delete_archived(database: Database, folder: Path, delivered_seq: int, most_slices: int = 1 << 30) -> int:
    """Delete what receipts name, and return how many records went.

    Args:
        database: The store's.
        folder: The archive.
        delivered_seq: What comes after it waits for a sink, and stays.
        most_slices: End after so many.

    Raises:
        StoreBusyError: The store refuses; what was deleted is deleted.
        OSError: The archive cannot be read.
    """
    if stage_of(database.connection) is not MigrationStage.HERE:
        return 0
    gone = slices = 0
    for path, coils in receipts(folder, database.store_id):
        whole = True
        for coil in coils:
            place = (coil.coil_id, coil.began_ms, coil.ended_ms)
            left = int(database.all(_COUNT, place)[0][0])
            if left > coil.records:
                _log.error("archive_incomplete", coil_id=coil.coil_id, stored=left, archived=coil.records)
                whole = False
                continue
            while left and slices < most_slices:
                with database.transaction() as db:
                    now = db.execute(_DELETE, (*place, delivered_seq, SLICE_ROWS)).rowcount
                    if now == left:  # the coil goes with its last record: a coil that is listed has all it had
                        db.execute("DELETE FROM coils WHERE id = ? AND coil_id = ?", (coil.run, coil.coil_id))
                gone, left, slices = gone + now, left - now, slices + 1
                if not now:
                    break
            if left:
                whole = False
            else:
                with database.transaction() as db:
                    db.execute("DELETE FROM coils WHERE id = ? AND coil_id = ?", (coil.run, coil.coil_id))
        if whole:
            path.rename(path.with_name(path.name + ".done"))
        if slices >= most_slices:
            break
    return gone
