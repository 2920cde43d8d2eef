"""A copy of a store that runs, and a store that begins anew from a copy."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inspector.errors import StoreError
from inspector.store import schema
from inspector.store.damage import translated
from inspector.store.database import DATABASE, put_meta
from inspector.store.last_seq import FILE as LAST_SEQ
from inspector.store.rows import LIFE_VALUE, SHIFT, cursor_crc32, row_crc32

LEFT_OUT = ("lock", "in-work", LAST_SEQ)
"""Files of the store's folder that mean nothing on another machine."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds.

    Attributes:
        store_id: Of the store.
        seq: Its last message.
        epoch: Its last start of a source.
    """

    store_id: str
    seq: int
    epoch: int


def copy_store(folder: Path, target: Path) -> Copied:
    """Write a complete copy of the store in `folder` to the file `target`, while its station runs or not.

    It is read as its owner: files that another user makes beside a store would keep the station from opening it.

    Raises:
        StoreError: There is no store.
        StoreBusyError: The disk refuses.
        StoreDamagedError: The file is broken: start the station first, which sets it aside.
    """
    source = folder / DATABASE
    if not source.is_file():
        raise StoreError(f"nothing was ever stored in {folder}: $STATE_DIRECTORY or store.path says where the store is")
    with _as_owner(source), translated():
        if _is_free(folder):  # no station: its log is read from a copy, so that nothing is left beside the original
            for part in ("", "-wal"):
                if (one := folder / (DATABASE + part)).is_file():
                    shutil.copyfile(one, target.with_name(f"{target.name}.raw{part}"))
            source = target.with_name(f"{target.name}.raw")
        uri = f"{source.absolute().as_uri()}?mode=ro"
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
        for part in ("", "-wal", "-shm"):
            target.with_name(f"{target.name}.raw{part}").unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(target)) as new:
            new.execute("PRAGMA journal_mode = DELETE")
            values = dict(new.execute("SELECT key, value FROM meta WHERE key IN ('store_id', 'seq', 'epoch')"))
    return Copied(str(values.get("store_id")), int(values.get("seq") or 0), int(values.get("epoch") or 0))


def begin_anew(path: Path) -> str:
    """Make the copy at `path` a store of its own, and return its `store_id`.

    Its messages count from 1 under another `store_id`, so no number is given twice. What waited keeps its bytes, and is
    delivered first; consumers drop what they have by its id.

    Raises:
        StoreBusyError: The disk refuses.
        StoreDamagedError: The file is broken.
    """
    store_id = str(uuid.uuid4())
    with translated(), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        if db.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
            raise StoreError(f"{path}: not a store of inspector")
        schema.bring_up_to_date(db)
        db.create_function("row_crc32", 3, row_crc32, deterministic=True)
        db.create_function("cursor_crc32", 2, cursor_crc32, deterministic=True)
        db.execute("BEGIN IMMEDIATE")
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        db.execute("UPDATE outbox SET seq = seq - ?1, crc32 = CASE WHEN crc32 IS NOT NULL THEN"
                   " row_crc32(seq - ?1, topic, payload) END", (SHIFT,))  # fmt: skip
        db.execute("UPDATE cursors SET seq = seq - ?1, crc32 = cursor_crc32(sink, seq - ?1)", (SHIFT,))
        db.execute("DELETE FROM meta WHERE key LIKE '%' || ?", (LIFE_VALUE,))  # it counts in the old numbers
        for table in {schema.RECORDS, schema.COPY, schema.OLD, "set_aside"} & names:
            db.execute(f"UPDATE {table} SET seq = seq - ?", (SHIFT,))  # noqa: S608 - a name of ours
        epoch = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        for key, value in {"store_id": store_id, "seq": 0, "epoch": int(epoch[0] if epoch else 0) + 1}.items():
            put_meta(db, key, value)
        db.execute("COMMIT")
    return store_id


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the lock of a store's folder, so that no station opens it.

    Raises:
        StoreError: A station has it.
    """
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise StoreError(f"store.path: {folder} is in use: stop its station first") from exc
    finally:
        os.close(fd)


def _is_free(folder: Path) -> bool:
    """Say whether no station has the store."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


@contextlib.contextmanager
def _as_owner(path: Path) -> Iterator[None]:
    """Act as the owner of a file, where root may."""
    owner = path.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
