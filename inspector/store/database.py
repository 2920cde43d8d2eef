"""One SQLite file, opened, locked to this process, and written in whole transactions.

`schema` has its tables; the parts beside it, each built on a `Database`, own their contents. WAL and
`synchronous=FULL`: what a transaction has written survives the machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from inspector.clock import Clock
from inspector.errors import StoreBusyError, StoreDamagedError, StoreError
from inspector.store.aside import (
    ASIDE_VALUE,
    Aside,
    aside_from_text,
    finish_setting_aside,
    set_aside,
    suspect,
    suspicion,
)
from inspector.store.damage import translated
from inspector.store.last_seq import LastSeq, Numbers
from inspector.store.proof import require_whole
from inspector.store.schema import bring_up_to_date, create, records_name

DATABASE = "inspector.sqlite3"
_NO_PLACE = (errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
"""Errors of a path that waiting does not change; a disk that is full, read-only or away may come back."""
_LOG_KEPT_BYTES = 64 << 20
"""The log shrinks to this once no reader holds it any more."""
_PUT_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Database:
    """Opens, or creates, the file in `folder`; safe to use from several threads.

    A file that is proven broken or foreign is set aside first, and a new one is begun with what can be read of it.

    Attributes:
        folder: Where it lies, with its lock.
        store_id: Names this store, from its creation on.
        aside: What was set aside when this store began; None: nothing.
        damage: How the file was found broken while it was open; None: it was not.
        records_name: Table or view that has all columns of the records.
        guard: Makes several statements one step for the other threads; reentrant.
        connection: For statements outside a transaction, with `guard` held.

    Args:
        folder: Made if it is not there.
        clock: Time, for the name of a file that is set aside.

    Raises:
        StoreError: Another process has it, or the folder cannot be one.
        StoreBusyError: The disk is full or broken.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.guard = threading.RLock()
        self.damage: str | None = None
        self._path = folder / DATABASE
        self._lock_fd = _lock(folder)
        try:
            self.connection = self._open_whole(clock)
            self.records_name = records_name(self.connection)
            self.store_id = str(self.meta("store_id") or self.set_meta("store_id", str(uuid.uuid4())))
            self.aside: Aside | None = aside_from_text(self.meta(ASIDE_VALUE))
            self._last_seq = LastSeq(folder)
            self._numbers = self._known_numbers()
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _open_whole(self, clock: Clock) -> sqlite3.Connection:
        """Open the file; set it aside first if it is broken."""
        try:
            with translated():
                finish_setting_aside(self._path)
            if reason := suspicion(self._path):
                raise StoreDamagedError(reason)
            require_whole(self._path, LastSeq(self.folder).found)
            with translated():
                return _open(self._path)
        except StoreDamagedError as exc:
            set_aside(self._path, str(exc), clock.now())
        with translated():
            return _open(self._path)

    def _known_numbers(self) -> Numbers:
        found = self._last_seq.found
        delivered = found.delivered if found is not None and found.store_id == self.store_id else 0
        return Numbers(self.store_id, int(self.meta("seq") or 0), int(self.meta("epoch") or 0), delivered)

    def note_numbers(self, **changes: Any) -> None:
        """Write the last numbers beside the file, after they were committed; the names are those of `Numbers`."""
        with self.guard:
            self._numbers = replace(self._numbers, **changes)
            self._last_seq.note(self._numbers)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate errors of SQLite, and note damage for the station and for the next start."""
        try:
            with translated():
                yield
        except StoreDamagedError as exc:
            self.note_damage(str(exc))
            raise

    def note_damage(self, reason: str) -> None:
        """Note, for the station and for the next start, that the file is broken."""
        if self.damage is None:
            self.damage = reason
            suspect(self._path, reason)

    def close(self) -> None:
        """Close the file and leave it to the next process; call it once."""
        with self.guard:
            self.connection.close()
            self._last_seq.close()
            os.close(self._lock_fd)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything that the block writes, or nothing.

        Raises:
            StoreBusyError: The disk is full or broken; nothing is written.
            StoreDamagedError: The file is broken.
            ValueError: A value cannot be stored.
        """
        with self.guard, self._translated():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def one(self, statement: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        with self.guard, self._translated():
            row: tuple[Any, ...] | None = self.connection.execute(statement, values).fetchone()
        return row

    def all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows, each a tuple."""
        with self.guard, self._translated():
            return self.connection.execute(statement, values).fetchall()

    def meta(self, key: str) -> Any:
        """Return one of the single values that the file keeps by name, or None."""
        row = self.one("SELECT value FROM meta WHERE key = ?", (key,))
        return row[0] if row else None

    def set_meta(self, key: str, value: Any) -> Any:
        """Keep a single value in a transaction of its own, and return it."""
        with self.transaction() as db:
            put_meta(db, key, value)
        return value

    def alter(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Change the tables by a function of `schema`, as one step for the other threads."""
        with self.guard, self._translated():
            change(self.connection)

    def shrink(self) -> None:
        """Rewrite the file without what was deleted: nothing of it stays readable on the disk."""
        with self.guard, self._translated():
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def put_meta(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep a single value, inside a transaction."""
    db.execute(_PUT_META, (key, value))


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    try:
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
        (bring_up_to_date if tables else create)(db)
    except BaseException:
        db.close()
        raise
    return db


def _lock(folder: Path) -> int:
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            path.rename(path.with_name(f"lock.aside-{path.stat().st_mtime_ns}"))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        if exc.errno in _NO_PLACE:
            raise StoreError(f"store.path: {folder} cannot be used: {exc.strerror}") from exc
        raise StoreBusyError(f"store.path: {folder} cannot be used now: {exc.strerror}") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise StoreError(f"store.path: {folder} is in use by another inspector, process {holder}") from exc
    except OSError as exc:
        os.close(fd)
        raise StoreBusyError(f"store.path: {folder} cannot be locked: {exc.strerror}") from exc
    with contextlib.suppress(OSError):  # a full disk: only the holder's number is missing
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd
