"""Whether the file in the store's place is a whole store that this program can work with.

Read only: what is proven broken or foreign is set aside as it is. A disk that refuses proves nothing.
"""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from inspector.errors import StoreDamagedError
from inspector.store.damage import translated
from inspector.store.last_seq import Numbers
from inspector.store.rows import LIFE_VALUE, is_whole_value
from inspector.store.schema import APPLICATION_ID, COPY, NEEDED_COLUMNS, SCHEMA_VERSION, VIEW

CHECKED_AT_ONCE_BYTES = 256 << 20
"""A larger file is checked while the station runs: reading it all would keep the line waiting."""
_TIMEOUT_S = 10.0
_READ_AT_START = frozenset({"store_id", "seq", "epoch", "alive_ms", "coil", "records_copied"})
"""Single values that a start cannot do without, if they are there."""


def require_whole(path: Path, numbers: Numbers | None) -> None:
    """Raise if the file at `path` is no whole store; no file is fine.

    Args:
        path: Of the file.
        numbers: The last numbers that are known to have been given.

    Raises:
        StoreDamagedError: It is proven broken or foreign; the text says how.
        StoreBusyError: The disk refuses, or another program holds the file.
    """
    log, given_seq = path.with_name(path.name + "-wal"), numbers.seq if numbers else 0
    for one in (path, log, path.with_name(path.name + "-shm"), path.with_name(path.name + "-journal")):
        _require_file(one)
    if not path.exists():
        if given_seq:
            raise StoreDamagedError(f"the file is gone, with {given_seq} messages")
        return
    size = path.stat().st_size
    if size == 0 and (given_seq or (log.exists() and log.stat().st_size)):
        raise StoreDamagedError("the file is empty")  # before SQLite, which would delete its log
    if size:
        _require_header(path)
        with translated():
            uri = f"{path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_TIMEOUT_S)) as db:
                _require_ours(db, given_seq)
                if size <= CHECKED_AT_ONCE_BYTES:
                    require_whole_pages(db)
                _require_values(db, numbers)


def require_whole_pages(db: sqlite3.Connection) -> None:
    """Raise if a page is not what SQLite wrote.

    Raises:
        StoreDamagedError: So it is.
        sqlite3.Error: It cannot be read.
    """
    [(found,)] = db.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        raise StoreDamagedError(" ".join(str(found).split()))


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no file"
        raise StoreDamagedError(f"{path.name} is {what}")


def _require_header(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise StoreDamagedError("file is not a database")
    if not {head[18], head[19]} <= {1, 2}:
        raise StoreDamagedError(f"the header asks for format {head[18]}, {head[19]}")


def _require_ours(db: sqlite3.Connection, given_seq: int) -> None:
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    if not tables:
        if given_seq:
            raise StoreDamagedError(f"the file holds nothing; {given_seq} messages were stored")
        return
    application, version, encoding = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version", "encoding")
    )
    if application != APPLICATION_ID:
        raise StoreDamagedError(f"not a store of inspector (application id {application:#x})")
    if encoding != "UTF-8":
        raise StoreDamagedError(f"text is {encoding}")
    if version > SCHEMA_VERSION:
        reader = db.execute("SELECT value FROM meta WHERE key = 'min_reader'").fetchone()
        if reader is None or not isinstance(reader[0], int) or reader[0] > SCHEMA_VERSION:
            raise StoreDamagedError(f"written by a newer inspector, schema {version} (this one knows {SCHEMA_VERSION})")
    for table, columns in NEEDED_COLUMNS.items():
        found = {row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        if missing := sorted(set(columns) - found):
            raise StoreDamagedError(f"the table {table} lacks {', '.join(missing)}")
    for name in {VIEW, COPY} & tables:
        db.execute(f"SELECT * FROM {name} LIMIT 1")  # noqa: S608 - a name of ours


def _require_values(db: sqlite3.Connection, numbers: Numbers | None) -> None:
    """Check the single values: each is read at the start, and one that is not what it must be would end it."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return
    values = {}
    for key, value in db.execute("SELECT CAST(key AS BLOB), value FROM meta"):
        name = key.decode(errors="replace")
        values[name] = value
        read = name in _READ_AT_START or name.endswith(LIFE_VALUE)
        if read and not is_whole_value((name, value)):
            raise StoreDamagedError(f"the value of {name} is damaged")
    last = values.get("seq", 0)
    if numbers is not None and numbers.store_id == values.get("store_id") and numbers.seq > last:
        raise StoreDamagedError(f"the store went back: {numbers.seq} messages were stored, it knows of {last}")
    found = db.execute("SELECT max(seq) FROM outbox").fetchone()[0]
    if isinstance(found, int) and found > last:
        raise StoreDamagedError(f"the outbox holds message {found}, the last number is {last}")
