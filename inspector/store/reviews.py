"""What people said about defects. A review is never changed: a later one of the same defect is kept beside it."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass

from inspector.store.database import Database


@dataclass(frozen=True, slots=True)
class Review:
    """What one person said about one defect.

    Attributes:
        defect_id: Of the defect.
        reviewed_ms: When, ms since 1970.
        verdict: One word: whether it is right, or what it is instead.
        label: The right label, if the defect's is wrong; None: not given.
        person: Who; None: not given.
        note: A sentence; None: not given.
        request_id: Of the command; None: it had none.
    """

    defect_id: str
    reviewed_ms: int
    verdict: str
    label: str | None = None
    person: str | None = None
    note: str | None = None
    request_id: str | None = None


class Reviews:
    """The reviews of a station.

    Args:
        database: Holds them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, review: Review) -> None:
        """Keep a review.

        Raises:
            StoreBusyError: The disk is full or broken; the review is not kept.
        """
        with self._database.transaction() as db:
            insert_review(db, review)

    def of(self, defect_id: str) -> list[Review]:
        """Return the reviews of a defect, the oldest first: the last one is valid."""
        rows = self._database.all(
            "SELECT reviewed_ms, verdict, label, person, note, request_id FROM reviews WHERE defect_id = ? ORDER BY id",
            (uuid.UUID(defect_id).bytes,),
        )
        return [Review(defect_id, *row) for row in rows]

    def newest(self) -> int:
        """Return the number of the last review; 0: there is none."""
        row = self._database.one("SELECT coalesce(max(id), 0) FROM reviews")
        return 0 if row is None else int(row[0])

    def defects(self) -> list[str]:
        """Return the ids of what somebody went to see, and was a defect by the last word on it."""
        rows = self._database.all(
            "SELECT defect_id FROM reviews WHERE id IN (SELECT max(id) FROM reviews GROUP BY defect_id)"
            " AND verdict IN ('confirmed', 'reclassified')"
        )
        return [str(uuid.UUID(bytes=key)) for (key,) in rows]


def insert_review(db: sqlite3.Connection, review: Review) -> None:
    """Keep a review, inside a transaction."""
    db.execute(
        "INSERT INTO reviews (defect_id, reviewed_ms, verdict, label, person, note, request_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (uuid.UUID(review.defect_id).bytes, review.reviewed_ms, review.verdict, review.label, review.person,
         review.note, review.request_id),
    )  # fmt: skip
