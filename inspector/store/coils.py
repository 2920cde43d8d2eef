"""Which coils ran, from when until when: the start of a report about a coil."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog

from inspector.clock import from_timestamp_ms, to_timestamp_ms
from inspector.items import CoilFacts
from inspector.store.database import Database, put_meta
from inspector.strip.record import CoilRecord, from_json, to_json

_NAMED = "coil"
"""Name in `meta` for the coil that the plant named last, and when, as the first program wrote it."""


_log = structlog.get_logger("store")


class CoilRun(NamedTuple):
    """One run of a coil past the camera.

    Attributes:
        id: Names the run: a coil may come twice.
        record: What is known of it.
    """

    id: int
    record: CoilRecord


@dataclass(frozen=True, slots=True)
class Coil:
    """A coil that runs or ran.

    Attributes:
        coil_id: As the plant calls it.
        began_ms: When the plant named it, ms since 1970.
        ended_ms: When the plant named the next one, or none; None while it runs.
        facts: What else is known about it, as JSON.
    """

    coil_id: str
    began_ms: int
    ended_ms: int | None
    facts: Mapping[str, Any]


class Coils:
    """The coils of a station, the newest last.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def named(self) -> tuple[str | None, int]:
        """Return the coil that the plant named last, or None, and when (ms since 1970; 0: none was ever named)."""
        coil_id, since_ms = json.loads(self._database.meta(_NAMED) or "[null, 0]")
        return coil_id, int(since_ms)

    def current(self) -> tuple[str | None, int]:
        """Return the coil that passes the camera, or None, and its start (ms since 1970; 0: none ever passed)."""
        row = self._database.one("SELECT coil_id, began_ms FROM coils WHERE ended_ms IS NULL ORDER BY id DESC LIMIT 1")
        if row is not None:
            return str(row[0]), int(row[1])
        ended = self._database.one("SELECT max(ended_ms) FROM coils")
        return (None, int(ended[0])) if ended is not None and ended[0] is not None else self.named()

    def facts(self) -> CoilFacts:
        """Return what the plant said about the coil that passes the camera."""
        row = self._database.one(
            "SELECT record ->> 'facts' FROM coils WHERE ended_ms IS NULL AND json_valid(record)"
            " ORDER BY id DESC LIMIT 1"
        )
        return CoilFacts(**json.loads(row[0])) if row is not None and row[0] else CoilFacts()

    def change(self, coil_id: str | None, at_ms: int, facts: Mapping[str, Any] | None = None) -> None:
        """Begin a coil, or none, and end the running one, as a program without records does; `put` goes on with it.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            self._end(db, at_ms)
            put_meta(db, _NAMED, json.dumps([coil_id, at_ms]))
            if coil_id is not None:
                row = (coil_id, at_ms, json.dumps(facts or {}, sort_keys=True))
                db.execute("INSERT INTO coils (coil_id, began_ms, facts) VALUES (?, ?, ?)", row)

    def put(self, db: sqlite3.Connection, record: CoilRecord) -> None:
        """Keep the record of a coil as far as it is, inside the transaction of the coil's messages.

        A run of a coil is named by its coil and its beginning: it has one row, however often it is put.
        """
        began_ms = to_timestamp_ms(record.began_at)
        ended_ms = None if record.ended_at is None else to_timestamp_ms(record.ended_at)
        row = db.execute(
            "SELECT id FROM coils WHERE coil_id = ? AND began_ms = ? ORDER BY id DESC LIMIT 1",
            (record.coil_id, began_ms),
        ).fetchone()
        if row is None:  # what a previous program did not end, ends here
            db.execute("UPDATE coils SET ended_ms = max(began_ms, ?) WHERE ended_ms IS NULL", (began_ms,))
            db.execute(
                "INSERT INTO coils (coil_id, began_ms, ended_ms, record) VALUES (?, ?, ?, ?)",
                (record.coil_id, began_ms, ended_ms, to_json(record)),
            )
        else:
            db.execute(
                "UPDATE coils SET ended_ms = coalesce(?, ended_ms), record = ? WHERE id = ?",
                (ended_ms, to_json(record), row[0]),
            )

    def note(self, began_ms: int, facts: Mapping[str, Any]) -> None:
        """Add to what is known of the coil that began then, running or ended; of the same name the newer counts.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            row = db.execute("SELECT id, facts FROM coils WHERE began_ms = ? ORDER BY id DESC", (began_ms,)).fetchone()
            if row is not None:
                known = json.dumps({**json.loads(row[1]), **facts}, sort_keys=True)
                db.execute("UPDATE coils SET facts = ? WHERE id = ?", (known, row[0]))

    def _end(self, db: sqlite3.Connection, at_ms: int) -> None:
        """End the running coil, even if a previous program began it, which kept no list of coils."""
        coil_id, since_ms = current = self.named()
        listed = db.execute("SELECT coil_id, began_ms FROM coils WHERE ended_ms IS NULL").fetchone()
        if listed not in (current, None):
            db.execute("UPDATE coils SET ended_ms = ? WHERE ended_ms IS NULL", (since_ms,))
        if coil_id is not None and listed != current:
            db.execute("INSERT INTO coils (coil_id, began_ms) VALUES (?, ?)", current)
        db.execute("UPDATE coils SET ended_ms = ? WHERE ended_ms IS NULL", (at_ms,))

    def recent(self, limit: int) -> list[Coil]:
        """Return the newest coils, the newest first."""
        rows = self._database.all(
            "SELECT coil_id, began_ms, ended_ms, facts FROM coils ORDER BY began_ms DESC, id DESC LIMIT ?", (limit,)
        )
        return [Coil(coil_id, began_ms, ended_ms, json.loads(facts)) for coil_id, began_ms, ended_ms, facts in rows]


def read_run(row: Sequence[Any]) -> CoilRun:
    """Return a row: id, coil_id, began_ms, ended_ms, facts, record."""
    number, coil_id, began_ms, ended_ms, facts, text = row
    bare = CoilRecord(
        coil_id,
        from_timestamp_ms(began_ms),
        None if ended_ms is None else from_timestamp_ms(ended_ms),
        not_assessed="no record of its metres was kept",
    )
    try:
        record = bare if text is None else from_json(text)
    except ValueError as exc:
        _log.error("record_damaged", coil=number, reason=str(exc))
        record = bare
    if ended_ms is not None and record.ended_at is None:
        record = replace(record, ended_at=from_timestamp_ms(ended_ms))
    known = json.loads(facts)
    shown, found = known.get("probes_shown"), known.get("probes_found")
    return CoilRun(number, record if shown is None else replace(record, probes_shown=shown, probes_found=found))


def note_named(db: sqlite3.Connection, coil_id: str | None, at_ms: int) -> None:
    """Note which coil the plant named, inside the transaction that keeps the command."""
    put_meta(db, _NAMED, json.dumps([coil_id, at_ms]))
