"""Deletes what was stored during a period, so that no file contains it any more. What waits for a sink stays."""

from __future__ import annotations

import uuid

from inspector.store.database import Database


def forget(
    database: Database, from_ms: int, to_ms: int, delivered_seq: int, dry_run: bool = False
) -> tuple[int, list[str]]:
    """Delete records, delivered messages, candidates, reviews of them, and commands of [from_ms, to_ms).

    Args:
        database: The store's.
        from_ms: Start of the period, ms since 1970.
        to_ms: Its end, not included.
        delivered_seq: `StoredOutbox.delivered_seq`: what comes after it waits for a sink and stays.
        dry_run: Only count.

    Returns:
        How many records were deleted, and the defects whose pictures must be deleted with them.
    """
    with database.transaction() as db:
        chosen = "captured_ms >= ? AND captured_ms < ? AND seq <= ?"
        span = (from_ms, to_ms, delivered_seq)
        defects = f"SELECT DISTINCT defect_id FROM records WHERE kind = 'defect' AND {chosen}"  # noqa: S608
        names = [str(uuid.UUID(bytes=row[0])) for row in db.execute(defects, span).fetchall()]
        if dry_run:
            [(count,)] = db.execute(f"SELECT count(*) FROM records WHERE {chosen}", span).fetchall()  # noqa: S608
            return count, names
        db.execute(f"DELETE FROM reviews WHERE defect_id IN ({defects})", span)  # noqa: S608
        db.execute(f"DELETE FROM outbox WHERE seq IN (SELECT seq FROM records WHERE {chosen})", span)  # noqa: S608
        db.execute(f"DELETE FROM set_aside WHERE seq IN (SELECT seq FROM records WHERE {chosen})", span)  # noqa: S608
        count = db.execute(f"DELETE FROM records WHERE {chosen}", span).rowcount  # noqa: S608
        db.execute("DELETE FROM candidates WHERE captured_ms >= ? AND captured_ms < ?", span[:2])
        db.execute("DELETE FROM sections WHERE at_ms >= ? AND at_ms < ?", span[:2])
        db.execute("DELETE FROM commands WHERE ended_ms IS NOT NULL AND at_ms >= ? AND at_ms < ?", span[:2])
    database.shrink()
    return count, names
