"""Sets a broken store aside under a dated name and begins a new one with everything that can be read of it.

The new file is complete before the old one is touched: `FILE.partial` becomes `FILE.ready`, on the disk, and only then
are the old file and its log renamed, and the new one takes their place. A process that dies anywhere in between starts
over, or finishes the renaming.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from inspector.errors import StoreBusyError
from inspector.store import schema
from inspector.store.damage import translated
from inspector.store.last_seq import LastSeq, Numbers
from inspector.store.salvage import Saved, salvage

KEPT_ASIDE = 5
"""Files set aside that are kept, so that a disk that breaks every store does not fill up."""
ASIDE_VALUE = "aside"
"""Name of the single value that says what was set aside."""
_SPARE_BYTES = 64 << 20
_PARTS = ("", "-wal", "-shm", "-journal")
_MAX_SUSPICION = 4096

_log = structlog.get_logger("store")


@dataclass(frozen=True, slots=True)
class Aside:
    """What was set aside, and what could be saved of it.

    Attributes:
        at_ms: When, ms since 1970.
        file: The name it has now, in the store's folder.
        reason: How it is broken.
        store_id: Of the old store; None: unknown.
        waiting: Messages that were saved and are delivered first, under their old numbers.
        lost: Messages that waited, or may have, and are gone.
        first_lost, last_lost: The first and last of them in the old store's numbers; None: none, or unknown.
        records, files: How many records and finished files were saved.
    """

    at_ms: int
    file: str
    reason: str
    store_id: str | None
    waiting: int
    lost: int
    first_lost: int | None
    last_lost: int | None
    records: int
    files: int

    @property
    def text(self) -> str:
        """One sentence for a person."""
        return (
            f"{self.reason}; it is {self.file} now; saved: {self.waiting} waiting messages, {self.records} records,"
            f" {self.files} finished files; lost: {self.lost} messages"
        )

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def aside_from_text(text: object) -> Aside | None:
    """Return what `Aside.to_text` wrote; None if it is not that."""
    try:
        return Aside(**json.loads(str(text)))
    except (ValueError, TypeError):
        return None


def set_aside(path: Path, reason: str, now: datetime) -> None:
    """Begin a new store in the place of the broken file at `path`, with what can be read of it.

    Raises:
        StoreBusyError: The disk refuses; the broken file is where it was.
    """
    name = _free_name(path, now)
    _log.error("store_broken", file=str(path), reason=reason)
    beside = LastSeq(path.parent).found
    try:
        with translated():
            _write_new(path, Aside(int(now.timestamp() * 1000), name, reason, None, 0, 0, None, None, 0, 0), beside)
        finish_setting_aside(path)
    except (OSError, ValueError) as exc:
        raise StoreBusyError(f"{path}: is broken ({reason}), and no new one can be written: {exc}") from exc
    _drop_oldest(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        row = db.execute("SELECT value FROM meta WHERE key = ?", (ASIDE_VALUE,)).fetchone()
    if (done := aside_from_text(row[0])) is not None:
        _log.error("store_set_aside", **asdict(done))


def finish_setting_aside(path: Path) -> None:
    """Complete a renaming that was begun, if any.

    Raises:
        OSError: The disk refuses.
    """
    partial, ready = (path.with_name(path.name + end) for end in (".partial", ".ready"))
    if ready.is_file():
        with contextlib.closing(sqlite3.connect(ready, isolation_level=None)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (ASIDE_VALUE,)).fetchone()
        aside = aside_from_text(row[0])
        assert aside is not None  # noqa: S101 - this program has just written it
        for part in reversed(_PARTS):  # the file last: as long as it is there, its name says that this is not finished
            old = path.with_name(path.name + part)
            if os.path.lexists(old):
                old.rename(path.with_name(aside.file + part))
        ready.rename(path)
        forget_suspicion(path)
        _sync_folder(path.parent)
    for left in (partial, ready):
        for part in _PARTS:
            left.with_name(left.name + part).unlink(missing_ok=True)


def suspicion(path: Path) -> str | None:
    """Return why a running station found the file at `path` broken, or None."""
    with contextlib.suppress(OSError):
        return _suspicion_file(path).read_text("utf-8", errors="replace")[:_MAX_SUSPICION].strip() or None
    return None


def suspect(path: Path, reason: str) -> None:
    """Note for the next start that the file at `path` is broken."""
    with contextlib.suppress(OSError):
        _suspicion_file(path).write_text(reason[:_MAX_SUSPICION], "utf-8")


def forget_suspicion(path: Path) -> None:
    """Forget what `suspect` noted."""
    with contextlib.suppress(OSError):
        _suspicion_file(path).unlink(missing_ok=True)


def _suspicion_file(path: Path) -> Path:
    return path.with_name(path.name + ".broken")


def _free_name(path: Path, now: datetime) -> str:
    stem = f"{path.name}.aside-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    return next(name for name in names if not os.path.lexists(path.with_name(name)))


def _write_new(path: Path, aside: Aside, beside: Numbers | None) -> None:
    """Write `FILE.ready`: a store with all that can be read of the file at `path`."""
    partial = path.with_name(path.name + ".partial")
    for part in _PARTS:
        partial.with_name(partial.name + part).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        schema.create(db)
        db.execute("BEGIN")
        saved = salvage(path, db, beside, _has_room(path))
        _write_values(db, aside, saved)
        db.execute("COMMIT")
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.rename(path.with_name(path.name + ".ready"))
    _sync_folder(path.parent)


def _write_values(db: sqlite3.Connection, aside: Aside, saved: Saved) -> None:
    rows = saved.rows
    told = Aside(
        aside.at_ms, aside.file, aside.reason, saved.store_id, saved.waiting, saved.lost, saved.first_lost,
        saved.last_lost, rows.get("records", 0), rows.get("ledger", 0),
    )  # fmt: skip
    kept = {key: value for key, value in saved.values.items() if key not in ("store_id", "seq", "records_copied")}
    new = {"store_id": str(uuid.uuid4()), "seq": 0, "min_reader": 1, ASIDE_VALUE: told.to_text()}
    db.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", list((kept | new).items()))


def _has_room(path: Path) -> bool:
    size = sum(part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.is_file())
    return shutil.disk_usage(path.parent).free > 2 * size + _SPARE_BYTES


def _drop_oldest(path: Path) -> None:
    """Delete the oldest of what was set aside, beyond `KEPT_ASIDE`."""
    kept = sorted(one for one in path.parent.glob(f"{path.name}.aside-*") if not one.name.endswith(_PARTS[1:]))
    for one in kept[:-KEPT_ASIDE]:
        _log.warning("store_aside_deleted", file=str(one))
        with contextlib.suppress(OSError):
            for part in _PARTS:
                one.with_name(one.name + part).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
