"""Published defects of a strip that a late finding can still join: a row each, so that a commit writes what changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

from inspector.store.database import Database

_TABLE = "CREATE TABLE IF NOT EXISTS joined (id TEXT PRIMARY KEY, place INTEGER NOT NULL, text TEXT NOT NULL)"
_PUT = (
    "INSERT INTO joined (id, place, text) VALUES (?, (SELECT coalesce(max(place), 0) + 1 FROM joined), ?)"
    " ON CONFLICT (id) DO UPDATE SET text = excluded.text, place = excluded.place"
)


class JoinedDefects:
    """The rows, in the order in which they were published last.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as db:
            db.execute(_TABLE)

    def all(self) -> list[str]:
        """Return what is kept of each, the oldest first."""
        return [row[0] for row in self._database.all("SELECT text FROM joined ORDER BY place")]

    def change(self, db: sqlite3.Connection, changed: Mapping[str, str], gone: Collection[str]) -> None:
        """Write what changed, inside the transaction of the messages that it led to."""
        db.executemany("DELETE FROM joined WHERE id = ?", [(one,) for one in gone])
        db.executemany(_PUT, changed.items())
