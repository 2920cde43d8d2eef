"""Saves what can be read of a broken store into a new one.

Each table is read through SQLite as far as that goes; where it ends early, the pages are read one by one. Waiting
messages keep their bytes, and with them the `store_id` and `seq` under which consumers may have them already. In the
new store they have numbers below 0, so that they are delivered first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspector.store.last_seq import Numbers
from inspector.store.pages import PageFile
from inspector.store.rows import LIFE_VALUE, RANKS, SHIFT, TABLES, Row, Table, cursor_crc32, row_crc32

_BATCH_ROWS = 2000
_CACHE_KIB = 16384


@dataclass(slots=True)
class Saved:
    """What was saved, in the numbers of the old store.

    Attributes:
        store_id: Of the old store; None: unknown.
        rows: Saved rows, by table.
        damaged: Rows that were found and are not what was stored.
        last_seq: The last number that the old store is known to have given.
        values: Single values that were saved.
        waiting: Saved messages that wait for a sink.
        lost: Messages that waited for a sink, or may have, and are gone.
        first_lost, last_lost: The first and the last of them; None: none, or unknown.
    """

    store_id: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    damaged: int = 0
    last_seq: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    waiting: int = 0
    lost: int = 0
    first_lost: int | None = None
    last_lost: int | None = None


def salvage(old: Path, new: sqlite3.Connection, numbers: Numbers | None, with_records: bool) -> Saved:
    """Copy all readable rows of `old` and its log into the empty tables of `new`, inside its transaction.

    Args:
        old: The broken file, if it is one, with its log beside it.
        new: A store without rows.
        numbers: What is known beside the store about the last numbers.
        with_records: False: there is no room for them.

    Raises:
        sqlite3.Error: `new` cannot be written.
    """
    saved = Saved()
    tables = [table for table in TABLES if with_records or table.name != "records"]
    by_sql = _SqlRows(old)
    incomplete = []
    for table in tables:
        _keep(new, table, by_sql.rows(table), saved)
        if not by_sql.complete:
            incomplete.append(table)
    by_sql.close()
    if incomplete or (numbers is not None and numbers.seq > saved.values.get("seq", 0)):
        _keep_from_pages(new, old, tables, saved)
    _settle_numbers(new, numbers, saved)
    return saved


class _SqlRows:
    """The rows that SQLite reads of a broken file.

    Attributes:
        complete: Whether the last table was read to its end.
    """

    def __init__(self, path: Path) -> None:
        self.complete = False
        self._db: sqlite3.Connection | None = None
        if not path.is_file() or not path.stat().st_size:
            return  # SQLite would delete the log
        try:
            uri = f"{path.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1)
            self._db.text_factory = lambda data: data.decode(errors="replace")
            self._db.execute("PRAGMA writable_schema = ON")  # read although the file is shorter than its header says
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield rows with the table's columns, until SQLite refuses."""
        self.complete = False
        if self._db is None:
            return
        try:
            found = self._db.execute(f"SELECT * FROM {table.name}")  # noqa: S608 - a name of ours
            names = [column[0] for column in found.description]
            places = [names.index(name) if name in names else None for name in table.columns]
            for row in found:
                yield tuple(None if place is None else row[place] for place in places)
        except (sqlite3.Error, UnicodeDecodeError):
            return
        self.complete = True


def _keep_from_pages(new: sqlite3.Connection, old: Path, tables: list[Table], saved: Saved) -> None:
    try:
        file = PageFile(old)
    except OSError:
        return
    try:
        for table, rows in _batches(file, tables):
            _keep(new, table, iter(rows), saved)
    finally:
        file.close()


def _batches(file: PageFile, tables: list[Table]) -> Iterator[tuple[Table, list[Row]]]:
    """Yield what the pages hold, sorted into tables by the shape of the rows; damaged rows have none."""
    waiting: dict[str, list[Row]] = {table.name: [] for table in tables}
    for found in file.rows():
        for table in tables:
            values = found.values
            if (found.rowid is not None) != table.rowid or len(values) < table.needed:
                continue
            if table.numbered:
                values = (found.rowid, *values[1:])
            row = (values + (None,) * len(table.columns))[: len(table.columns)]
            if table.is_whole(row):
                waiting[table.name].append(row)
                break
        else:
            continue
        if len(waiting[table.name]) >= _BATCH_ROWS:
            yield table, waiting[table.name]
            waiting[table.name] = []
    for table in tables:
        yield table, waiting[table.name]


def _keep(new: sqlite3.Connection, table: Table, rows: Iterator[Row], saved: Saved) -> None:
    """Write the whole ones among the rows, each key once."""
    count = 0
    for row in rows:
        if not table.is_whole(row):
            saved.damaged += 1
        elif table.name == "meta":
            _keep_value(saved, *row)
        else:
            count += new.execute(_statement(table), _in_new_numbers(table, row)).rowcount
    saved.rows[table.name] = saved.rows.get(table.name, 0) + count


def _keep_value(saved: Saved, key: str, value: Any) -> None:
    if key.endswith(LIFE_VALUE):
        return  # it counts in the old numbers
    if key in ("seq", "epoch", "alive_ms"):  # pages may hold older ones
        value = max(value, saved.values.get(key, 0))
    saved.values.setdefault(key, value)
    if isinstance(value, int):
        saved.values[key] = value


def _statement(table: Table) -> str:
    columns, places = ", ".join(table.columns), ", ".join("?" * len(table.columns))
    end = ""
    if table.name == "ledger":  # pages may hold older ones
        changes = ", ".join(f"{name} = excluded.{name}" for name in table.columns[1:])
        end = f" ON CONFLICT (source_key) DO UPDATE SET {changes} WHERE excluded.done_ms > done_ms"
    elif table.name == "cursors":
        end = (" ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq, crc32 = excluded.crc32"
               " WHERE excluded.seq > seq")  # fmt: skip
    verb = "INSERT" if end else "INSERT OR IGNORE"
    return f"{verb} INTO {table.name} ({columns}) VALUES ({places}){end}"


def _in_new_numbers(table: Table, row: Row) -> Row:
    if table.name == "outbox":
        seq = row[0] - SHIFT
        return (seq, *row[1:5], row_crc32(seq, row[1], row[2]), row[6])
    if table.name == "cursors":
        seq = row[1] - SHIFT
        return (row[0], seq, cursor_crc32(row[0], seq))
    if table.name == "set_aside":
        return (row[0], row[1] - SHIFT, *row[2:])
    if table.name == "records":
        return (row[0], row[1] - SHIFT, *row[2:])
    return row


def _settle_numbers(new: sqlite3.Connection, numbers: Numbers | None, saved: Saved) -> None:
    """Find out what the old store's last number was, which messages wait, and which of them are gone."""
    old_id = saved.values.get("store_id")
    beside = numbers if numbers is not None and old_id in (None, numbers.store_id) else None
    saved.store_id = old_id or (beside.store_id if beside else None)
    found = [row[0] + SHIFT for table in ("outbox", "records")
             for row in new.execute(f"SELECT max(seq) FROM {table}") if row[0] is not None]  # fmt: skip  # noqa: S608
    saved.last_seq = max([0, saved.values.get("seq", 0), beside.seq if beside else 0, *found])
    if beside is not None:
        saved.values["epoch"] = max(saved.values.get("epoch", 0), beside.epoch)
    [(first_kept,)] = new.execute("SELECT min(seq) FROM outbox").fetchall()
    cursors = [row[0] for row in new.execute("SELECT seq FROM cursors")]
    if beside is not None and not cursors:
        cursors = [beside.delivered - SHIFT]
    after = min(cursors, default=first_kept - 1 if first_kept is not None else saved.last_seq - SHIFT)
    _fill_from_records(new, after)
    expected = after + 1
    for (seq,) in new.execute("SELECT seq FROM outbox WHERE seq > ? ORDER BY seq", (after,)):
        _count_lost(saved, expected, seq)
        saved.waiting += 1
        expected = seq + 1
    _count_lost(saved, expected, saved.last_seq - SHIFT + 1)


def _count_lost(saved: Saved, from_seq: int, to_seq: int) -> None:
    """Count the messages in [from_seq, to_seq), in numbers of the new store, as lost."""
    if to_seq > from_seq:
        saved.lost += to_seq - from_seq
        saved.first_lost = saved.first_lost or from_seq + SHIFT
        saved.last_lost = to_seq - 1 + SHIFT


def _fill_from_records(new: sqlite3.Connection, after: int) -> None:
    """Put messages that wait, and whose row of the outbox is gone, back from their records."""
    rows = new.execute(
        "SELECT seq, kind, payload, captured_ms, severity FROM records WHERE seq > ? AND payload IS NOT NULL"
        " AND seq NOT IN (SELECT seq FROM outbox WHERE seq > ?) ORDER BY seq",
        (after, after),
    ).fetchall()
    new.executemany(
        "INSERT OR IGNORE INTO outbox (seq, topic, payload, class, stored_ms, crc32, rank)"
        " VALUES (?, ?, ?, 'event', ?, ?, ?)",
        [
            (seq, kind, payload, captured_ms, row_crc32(seq, kind, payload), RANKS.get(severity or kind))
            for seq, kind, payload, captured_ms, severity in rows
        ],
    )
