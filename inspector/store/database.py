"""One SQLite file, opened, locked to this process, and written in whole transactions.

`schema` has its tables; the parts beside it, each built on a `Database`, own their contents. WAL and
`synchronous=FULL`: what a transaction has written survives the machine.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspector.errors import StoreBusyError, StoreError, WorkerError
from inspector.store.schema import APPLICATION_ID, SCHEMA_VERSION, bring_up_to_date, create, records_name

DATABASE = "inspector.sqlite3"
_PUT_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Database:
    """Opens, or creates, the file in `folder`; safe to use from several threads.

    Attributes:
        folder: Where it lies, with its lock.
        store_id: Names this store, from its creation on.
        records_name: Table or view that has all columns of the records.
        guard: Makes several statements one step for the other threads; reentrant.
        connection: For statements outside a transaction, with `guard` held.

    Raises:
        StoreError: Another process has it, it is not a store of ours, or a newer program wrote it.
        StoreBusyError: The disk is full or broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guard = threading.RLock()
        self._lock_fd = _lock(folder)
        try:
            with _translated():
                self.connection = _open(folder / DATABASE)
            self.records_name = records_name(self.connection)
            self.store_id = str(self.meta("store_id") or self.set_meta("store_id", str(uuid.uuid4())))
        except BaseException:
            os.close(self._lock_fd)
            raise

    def close(self) -> None:
        """Close the file and leave it to the next process; call it once."""
        with self.guard:
            self.connection.close()
            os.close(self._lock_fd)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything that the block writes, or nothing.

        Raises:
            StoreBusyError: The disk is full or broken; nothing is written.
            WorkerError: The file is damaged.
            ValueError: A value cannot be stored.
        """
        with self.guard, _translated():
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
        with self.guard, _translated():
            row: tuple[Any, ...] | None = self.connection.execute(statement, values).fetchone()
        return row

    def all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows, each a tuple."""
        with self.guard, _translated():
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
        with self.guard, _translated():
            change(self.connection)

    def shrink(self) -> None:
        """Rewrite the file without what was deleted: nothing of it stays readable on the disk."""
        with self.guard, _translated():
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _translated() -> Iterator[None]:
    """Translate errors of SQLite: a disk may be full for a while, a damaged file stays damaged."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise StoreBusyError(str(exc)) from exc
    except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as exc:
        raise ValueError(f"the store cannot hold this: {exc}") from exc
    except sqlite3.Error as exc:
        raise WorkerError(f"the store fails: {exc}") from exc


def put_meta(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Keep a single value, inside a transaction."""
    db.execute(_PUT_META, (key, value))


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    except sqlite3.DatabaseError as exc:
        raise StoreError(f"{path}: cannot be opened: {exc}") from exc
    try:
        application, version = (db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version"))
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise StoreError(f"{path}: not a store of inspector (application id {application:#x})")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path}: written by a newer inspector, schema {version} (this one knows {SCHEMA_VERSION})"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (bring_up_to_date if tables else create)(db)
    except BaseException as exc:
        db.close()
        if isinstance(exc, sqlite3.DatabaseError) and not isinstance(exc, sqlite3.OperationalError):
            raise StoreError(f"{path}: cannot be opened: {exc}") from exc
        raise
    return db


def _lock(folder: Path) -> int:
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise StoreError(f"store.path: {folder} cannot be used: {exc.strerror}") from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise StoreError(f"store.path: {folder} is in use by another inspector, process {holder}") from exc
    except OSError as exc:
        os.close(fd)
        raise StoreError(f"store.path: {folder} cannot be locked: {exc.strerror}") from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd
