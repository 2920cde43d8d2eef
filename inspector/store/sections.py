"""Codes that are printed on the strip, by coil, as the plant said where they stand."""

from __future__ import annotations

from inspector.errors import CommandError
from inspector.store.database import Database

MAX_OF_COIL = 10_000
"""Codes of one run of a coil."""
MAX_ROWS = 1_000_000
"""Kept of all coils; the oldest are forgotten."""


class Sections:
    """The codes of a station's coils.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, coil_id: str, began_ms: int, at_ms: int, code: str, at_m: float) -> None:
        """Keep a code; said again at the same place, the last one counts.

        Args:
            coil_id: Of the coil ...
            began_ms: ... that began then, ms since 1970.
            at_ms: When it was said.
            code: As it is printed.
            at_m: From the coil's head.

        Raises:
            CommandError: The coil has too many.
            StoreBusyError: The disk is full or broken; nothing is kept.
        """
        run = (coil_id, began_ms)
        with self._database.transaction() as db:
            db.execute("DELETE FROM sections WHERE coil_id = ? AND at_ms >= ? AND at_m = ?", (*run, at_m))
            counted = db.execute("SELECT count(*) FROM sections WHERE coil_id = ? AND at_ms >= ?", run).fetchone()
            if counted[0] >= MAX_OF_COIL:
                raise CommandError(f"the coil has {MAX_OF_COIL} codes already: {coil_id}", "too_many")
            row = (coil_id, at_ms, code, at_m)
            number = db.execute("INSERT INTO sections (coil_id, at_ms, code, at_m) VALUES (?, ?, ?, ?)", row).lastrowid
            db.execute("DELETE FROM sections WHERE id <= ?", ((number or 0) - MAX_ROWS,))
