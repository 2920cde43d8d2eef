"""Messages that a sink's other end does not take: kept beside the outbox, and tried again another time."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.clock import Clock, to_timestamp_ms
from inspector.store.database import Database
from inspector.store.entries import OutboxRow

LIMIT_BYTES = 64 << 20
"""Payload bytes that are kept; the oldest go first."""

_INSERT = (
    "INSERT INTO set_aside (sink, seq, topic, payload, stored_ms, at_ms, tried_ms, reason, reported)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (sink, seq) DO UPDATE SET tried_ms = excluded.tried_ms, reason = excluded.reason"
)
_TRIM = (
    "DELETE FROM set_aside WHERE sink = ? AND seq NOT IN (SELECT seq FROM ("
    "SELECT seq, sum(length(payload)) OVER (ORDER BY seq DESC) AS total FROM set_aside WHERE sink = ?)"
    " WHERE total <= ?)"
)


@dataclass(frozen=True, slots=True)
class AsideReport:
    """Messages that were set aside for one reason since the last report.

    Attributes:
        first_seq, last_seq: Of them; others between may have arrived.
        count: How many.
        reason: Of the last one, for a person.
    """

    first_seq: int
    last_seq: int
    count: int
    reason: str


class SetAside:
    """The messages that one sink has set aside.

    Args:
        database: Holds them.
        clock: Time.
        sink: Whose they are.
        limit_bytes: Payload bytes that are kept.
    """

    def __init__(self, database: Database, clock: Clock, sink: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self._database = database
        self._clock = clock
        self._sink = sink
        self._limit_bytes = limit_bytes

    def add(self, row: OutboxRow, reason: str, reported: bool = False) -> None:
        """Set a message aside; again, if it was.

        Args:
            row: The message.
            reason: For a person.
            reported: It needs no report.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        now_ms = to_timestamp_ms(self._clock.now())
        values = (self._sink, row.seq, row.topic, row.payload, row.stored_ms, now_ms, now_ms, reason, int(reported))
        with self._database.transaction() as db:
            db.execute(_INSERT, values)
            db.execute(_TRIM, (self._sink, self._sink, self._limit_bytes))

    def count(self) -> int:
        """Return how many there are."""
        [(count,)] = self._database.all("SELECT count(*) FROM set_aside WHERE sink = ?", (self._sink,))
        return int(count)

    def next_to_try(self, before_ms: int) -> OutboxRow | None:
        """Return the first message that was not tried since a time (ms since 1970), and note that it is tried now.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT seq, topic, payload, stored_ms FROM set_aside WHERE sink = ? AND tried_ms < ?"
                " ORDER BY seq LIMIT 1",
                (self._sink, before_ms),
            ).fetchone()
            if row is None:
                return None
            now_ms = max(before_ms, to_timestamp_ms(self._clock.now()))
            db.execute("UPDATE set_aside SET tried_ms = ? WHERE sink = ? AND seq = ?", (now_ms, self._sink, row[0]))
        return OutboxRow(*row)

    def remove(self, seq: int) -> None:
        """Note that a message has arrived after all.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            db.execute("DELETE FROM set_aside WHERE sink = ? AND seq = ?", (self._sink, seq))

    def take_report(self) -> AsideReport | None:
        """Return what is to be reported, and note that it is; None: nothing.

        Raises:
            StoreBusyError: The disk is full or broken; nothing has changed.
        """
        with self._database.transaction() as db:
            first, last, count = db.execute(
                "SELECT min(seq), max(seq), count(*) FROM set_aside WHERE sink = ? AND NOT reported", (self._sink,)
            ).fetchone()
            if not count:
                return None
            [reason] = db.execute(
                "SELECT reason FROM set_aside WHERE sink = ? AND seq = ?", (self._sink, last)
            ).fetchone()
            db.execute("UPDATE set_aside SET reported = 1 WHERE sink = ? AND NOT reported", (self._sink,))
        return AsideReport(first, last, count, reason)
