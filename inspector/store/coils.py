"""Which coils ran, from when until when: the start of a report about a coil."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inspector.store.database import Database, put_meta

_CURRENT = "coil"
"""Name in `meta` for the running coil and its start, as the first program wrote it."""


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

    def current(self) -> tuple[str | None, int]:
        """Return the running coil, or None, and its start (ms since 1970; 0: none was ever named)."""
        coil_id, since_ms = json.loads(self._database.meta(_CURRENT) or "[null, 0]")
        return coil_id, int(since_ms)

    def change(self, coil_id: str | None, at_ms: int, facts: Mapping[str, Any] | None = None) -> None:
        """Begin a coil, or none, and end the running one.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            self._end(db, at_ms)
            put_meta(db, _CURRENT, json.dumps([coil_id, at_ms]))
            if coil_id is not None:
                row = (coil_id, at_ms, json.dumps(facts or {}, sort_keys=True))
                db.execute("INSERT INTO coils (coil_id, began_ms, facts) VALUES (?, ?, ?)", row)

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
        coil_id, since_ms = current = self.current()
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
