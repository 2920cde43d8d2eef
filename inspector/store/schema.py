"""The tables of the store, and how a file of a previous program gets what it lacks of them without a pause.

`SCHEMA_VERSION` says which programs can work with the file. A release may add tables, columns and indexes without
changing it; it grows only when the previous release already knows the new number, so that going back by one version
always opens the store. Every statement therefore names its columns: the next version may have added some.

Records of a previous program are in a table WITHOUT ROWID and lack columns. `migration` copies them to a new table, in
slices; meanwhile triggers keep both equal, whichever program writes. Then the two swap names, and the previous one is
emptied, in slices. So at every moment `records` is one table with all records, as the previous program expects it.
Until the names are swapped, this program reads and writes through the view `messages`, which has all columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from enum import Enum

APPLICATION_ID = 0x1A5BEC70
SCHEMA_VERSION = 1

RECORDS, VIEW = "records", "messages"
COPY, OLD = "records_2", "records_1"
"""While rows are copied, the future `records`; afterwards the former one, until it is empty."""
COPIED = "records_copied"
"""Name in `meta` for the last record that was copied: its kind, time and id."""

FIRST_COLUMNS = (
    "id", "seq", "kind", "captured_ms", "defect_id", "label", "severity", "score", "phase", "alarm", "payload",
)  # fmt: skip
"""Columns of a record, as the first program wrote it."""
ADDED_COLUMNS = {"payload_crc32": "INTEGER", "coil_id": "TEXT", "line": "INTEGER", "position_mm": "REAL"}
"""Columns of a record that were added since; NULL in a row that a previous program wrote."""
COLUMNS = (*FIRST_COLUMNS, *ADDED_COLUMNS)
LEDGER_COLUMNS = {"inode": "INTEGER", "changed_ns": "INTEGER", "digest": "TEXT"}
"""Columns of a finished file that were added since; NULL in a row that a previous program wrote."""
COMMAND_COLUMNS = {"pending": "INTEGER", "packet": "INTEGER", "request_id": "TEXT", "digest": "TEXT"}
"""Columns of a command that were added since; NULL in a row that a previous program wrote: it has taken its place."""
COIL_COLUMNS = {"record": "TEXT"}
"""Columns of a coil that were added since; NULL in a row that a previous program wrote."""
NEEDED_COLUMNS = {
    "meta": ("key", "value"),
    "outbox": ("seq", "topic", "payload", "class", "stored_ms"),
    "cursors": ("sink", "seq"),
    "ledger": ("source_key", "size_bytes", "mtime_ns", "outcome", "done_ms"),
    "deaths": ("source_key", "times"),
    "candidates": ("captured_ms", "bundle"),
    "configurations": ("fingerprint", "kind", "first_ms", "text"),
    RECORDS: FIRST_COLUMNS,
}
"""Tables and columns that every store has; without one of them a file is broken."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, class TEXT NOT NULL, stored_ms INTEGER NOT NULL
);
CREATE INDEX outbox_frames ON outbox (seq) WHERE class = 'frame';
CREATE TABLE cursors (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ledger (
  source_key TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, outcome TEXT NOT NULL,
  done_ms INTEGER NOT NULL, inode INTEGER, changed_ns INTEGER, digest TEXT
) WITHOUT ROWID;
CREATE TABLE deaths (source_key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE candidates (
  captured_ms INTEGER NOT NULL, epoch INTEGER NOT NULL, frame_id INTEGER NOT NULL, source_key TEXT, label TEXT NOT NULL,
  score REAL NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  bundle TEXT NOT NULL
);
CREATE TABLE configurations (
  fingerprint TEXT PRIMARY KEY, kind TEXT NOT NULL, first_ms INTEGER NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID;
"""
_ADDED_TO = (("outbox", "crc32"), ("outbox", "rank"), ("cursors", "crc32"))
"""Columns that the first program did not have, all INTEGER; NULL in a row that it wrote."""
_RECORDS = """
CREATE TABLE {table} (
  id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, kind TEXT NOT NULL, captured_ms INTEGER NOT NULL, defect_id BLOB,
  label TEXT, severity TEXT, score REAL, phase TEXT, alarm INTEGER, payload BLOB,
  payload_crc32 INTEGER, coil_id TEXT, line INTEGER, position_mm REAL
);
CREATE INDEX records_by_seq ON {table} (seq);
CREATE INDEX records_by_kind ON {table} (kind, captured_ms);
CREATE INDEX records_by_label ON {table} (label, captured_ms) WHERE kind = 'defect';
CREATE INDEX records_by_severity ON {table} (severity, captured_ms) WHERE kind = 'defect';
CREATE INDEX records_by_coil ON {table} (coil_id, kind, captured_ms) WHERE coil_id IS NOT NULL;
CREATE INDEX records_by_position ON {table} (coil_id, position_mm) WHERE position_mm IS NOT NULL;
CREATE INDEX records_by_line ON {table} (line) WHERE line IS NOT NULL;
CREATE INDEX records_to_complete ON {table} (seq) WHERE payload IS NOT NULL AND payload_crc32 IS NULL;
"""
_ALL, _FIRST = ", ".join(COLUMNS), ", ".join(FIRST_COLUMNS)
_NEW_ALL, _NEW_FIRST = (", ".join(f"NEW.{name}" for name in names) for names in (COLUMNS, FIRST_COLUMNS))
_MESSAGE = "(CASE WHEN json_valid(CAST(payload AS TEXT)) THEN CAST(payload AS TEXT) END)"
_METRES = f"coalesce({_MESSAGE} ->> 'position_m', {_MESSAGE} ->> 'from_m')"
_READ = f"NULL, {_MESSAGE} ->> 'coil_id', {_MESSAGE} ->> 'line', round({_METRES} * 1000, 3)"
"""The added columns of a row that lacks them, as `records.added_columns` reads them from its payload."""
_PREVIOUS_VIEW = f"""
CREATE VIEW {VIEW} ({_ALL}) AS SELECT {_FIRST}, {_READ} FROM {RECORDS};
CREATE TRIGGER {VIEW}_insert INSTEAD OF INSERT ON {VIEW} BEGIN
  INSERT INTO {RECORDS} ({_FIRST}) VALUES ({_NEW_FIRST});
END;
"""  # noqa: S608
_BEGIN_COPY = f"""
{_RECORDS.format(table=COPY)}
CREATE TRIGGER {COPY}_insert AFTER INSERT ON {RECORDS} BEGIN
  INSERT OR IGNORE INTO {COPY} ({_FIRST}) VALUES ({_NEW_FIRST});
END;
CREATE TRIGGER {COPY}_delete AFTER DELETE ON {RECORDS} BEGIN DELETE FROM {COPY} WHERE id = OLD.id; END;
DROP TRIGGER {VIEW}_insert;
CREATE TRIGGER {VIEW}_insert INSTEAD OF INSERT ON {VIEW} BEGIN
  INSERT INTO {COPY} ({_ALL}) VALUES ({_NEW_ALL});
  INSERT INTO {RECORDS} ({_FIRST}) VALUES ({_NEW_FIRST});
END;
"""  # noqa: S608
_END_COPY = f"""
DELETE FROM meta WHERE key = '{COPIED}';
DROP VIEW {VIEW};
DROP TRIGGER {COPY}_insert;
DROP TRIGGER {COPY}_delete;
ALTER TABLE {RECORDS} RENAME TO {OLD};
ALTER TABLE {COPY} RENAME TO {RECORDS};
CREATE TRIGGER {OLD}_delete AFTER DELETE ON {RECORDS} BEGIN DELETE FROM {OLD} WHERE id = OLD.id; END;
CREATE VIEW {VIEW} AS SELECT {_ALL} FROM {RECORDS};
CREATE TRIGGER {VIEW}_insert INSTEAD OF INSERT ON {VIEW} BEGIN
  INSERT INTO {RECORDS} ({_ALL}) VALUES ({_NEW_ALL});
END;
"""  # noqa: S608
_END_DRAINING = f"DROP TRIGGER {OLD}_delete; DROP TABLE {OLD};"
_ADDED_TABLES = """
CREATE TABLE IF NOT EXISTS topics (
  sink TEXT NOT NULL, topic TEXT NOT NULL, grace_until_ms INTEGER, PRIMARY KEY (sink, topic)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_aside (
  sink TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, stored_ms INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, tried_ms INTEGER NOT NULL, reason TEXT NOT NULL, reported INTEGER NOT NULL,
  PRIMARY KEY (sink, seq)
);
CREATE TABLE IF NOT EXISTS commands (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, payload TEXT NOT NULL,
  until_ms INTEGER, ended_ms INTEGER, pending INTEGER, packet INTEGER, request_id TEXT, digest TEXT
);
CREATE INDEX IF NOT EXISTS commands_by_time ON commands (at_ms);
CREATE INDEX IF NOT EXISTS commands_by_request ON commands (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS commands_pending ON commands (id) WHERE pending = 1;
CREATE INDEX IF NOT EXISTS commands_in_force ON commands (name, subject) WHERE ended_ms IS NULL;
CREATE TABLE IF NOT EXISTS coils (
  id INTEGER PRIMARY KEY, coil_id TEXT NOT NULL, began_ms INTEGER NOT NULL, ended_ms INTEGER,
  facts TEXT NOT NULL DEFAULT '{}', record TEXT
);
CREATE INDEX IF NOT EXISTS coils_by_id ON coils (coil_id);
CREATE INDEX IF NOT EXISTS coils_by_time ON coils (began_ms);
CREATE TABLE IF NOT EXISTS sections (
  id INTEGER PRIMARY KEY, coil_id TEXT NOT NULL, at_ms INTEGER NOT NULL, code TEXT NOT NULL, at_m REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS sections_by_coil ON sections (coil_id, at_ms);
CREATE TABLE IF NOT EXISTS reviews (
  id INTEGER PRIMARY KEY, defect_id BLOB NOT NULL, reviewed_ms INTEGER NOT NULL, verdict TEXT NOT NULL, label TEXT,
  person TEXT, note TEXT, request_id TEXT
);
CREATE INDEX IF NOT EXISTS reviews_by_defect ON reviews (defect_id);
CREATE INDEX IF NOT EXISTS outbox_by_rank ON outbox (rank, seq);
CREATE INDEX IF NOT EXISTS ledger_by_time ON ledger (done_ms);
CREATE TRIGGER IF NOT EXISTS cursors_of_the_first_program AFTER UPDATE ON cursors
WHEN NEW.seq <> OLD.seq AND NEW.crc32 IS OLD.crc32 BEGIN
  UPDATE cursors SET crc32 = NULL WHERE sink = NEW.sink;
END;
INSERT OR IGNORE INTO meta (key, value) VALUES ('min_reader', 1);
"""
"""Tables that the first program did not have; it does not touch them. It knows no checksum of a cursor, so its own
cursor has none. `min_reader` is the lowest `SCHEMA_VERSION` that can work with the file."""


class MigrationStage(Enum):
    """How far the migration of a store's records is."""

    PREVIOUS = "as the previous program left them"
    COPYING = "being copied"
    DRAINING = "copied, and the previous table is being emptied"
    HERE = "in one table of this program"


def create(db: sqlite3.Connection) -> None:
    """Make all tables in an empty file."""
    _run(
        db,
        _TABLES + _add_columns(_ADDED_TO) + _RECORDS.format(table=RECORDS) + _ADDED_TABLES,
        f"PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {SCHEMA_VERSION};",
    )


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Add what the file of a previous program lacks, in an instant; its records are copied later."""
    if stage_of(db) in (MigrationStage.PREVIOUS, MigrationStage.COPYING):
        view = "" if _exists(db, VIEW) else _PREVIOUS_VIEW
    else:
        view = f"DROP VIEW IF EXISTS {VIEW};"
    added = {"ledger": LEDGER_COLUMNS, "commands": COMMAND_COLUMNS, "coils": COIL_COLUMNS}
    widened = "".join(_widened(db, table, columns) for table, columns in added.items())
    lacking = [
        (table, name)
        for table, name in _ADDED_TO
        if not db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, name)).fetchone()
    ]
    _run(db, view, widened, _add_columns(lacking), _ADDED_TABLES)


def _widened(db: sqlite3.Connection, table: str, columns: Mapping[str, str]) -> str:
    """Return what adds to a table, if it is there, the columns that it lacks."""
    present = {row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    missing = [name for name in columns if present and name not in present]
    return "".join(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]};" for name in missing)


def _add_columns(columns: Sequence[tuple[str, str]]) -> str:
    return "".join(f"ALTER TABLE {table} ADD COLUMN {name} INTEGER;" for table, name in columns)


def records_name(db: sqlite3.Connection) -> str:
    """Return the table, or the view of it, that has all columns of a record while the file is open."""
    return VIEW if _exists(db, VIEW) else RECORDS


def stage_of(db: sqlite3.Connection) -> MigrationStage:
    """Return how far the records are."""
    columns = {row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (RECORDS,))}
    if columns >= set(ADDED_COLUMNS):
        return MigrationStage.DRAINING if _exists(db, OLD) else MigrationStage.HERE
    return MigrationStage.COPYING if _exists(db, COPY) else MigrationStage.PREVIOUS


def begin_copy(db: sqlite3.Connection) -> None:
    """Make the new table; from here on triggers repeat on it what either program adds to or deletes from `records`."""
    _run(db, _BEGIN_COPY)


def end_copy(db: sqlite3.Connection) -> None:
    """Give the new table, which has all rows, the name `records`."""
    _run(db, _END_COPY)


def end_draining(db: sqlite3.Connection) -> None:
    """Drop the previous table, which is empty."""
    _run(db, _END_DRAINING)


def _exists(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def _run(db: sqlite3.Connection, *scripts: str) -> None:
    """Run scripts as one transaction."""
    try:
        db.executescript(f"BEGIN IMMEDIATE;{''.join(scripts)}COMMIT;")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
