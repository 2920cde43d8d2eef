"""Findings under their thresholds: kept, the newest of them, so that thresholds can be judged later."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from inspector.store.database import Database
from inspector.store.entries import Candidate

MAX_CANDIDATES = 1_000_000

_INSERT = (
    "INSERT INTO candidates (captured_ms, epoch, frame_id, source_key, label, score, x, y, width, height, bundle)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Candidates:
    """The newest findings that no message names.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, db: sqlite3.Connection, candidates: Sequence[Candidate]) -> None:
        """Keep these, inside the transaction that stores their frame."""
        db.executemany(
            _INSERT,
            [
                (c.captured_ms, c.epoch, c.frame_id, c.source_key, c.label, c.score, c.x, c.y, c.width, c.height,
                 c.bundle)
                for c in candidates
            ],
        )  # fmt: skip

    def trim(self) -> None:
        """Keep the newest `MAX_CANDIDATES`."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM candidates WHERE rowid <= (SELECT max(rowid) FROM candidates) - ?", (MAX_CANDIDATES,)
            )
