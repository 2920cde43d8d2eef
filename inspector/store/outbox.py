"""The messages in their order, kept until they have arrived; `sinks.base.Outbox`.

Each sink has a cursor of its own, and what the slowest has not delivered is kept. What all have delivered stays for a
while, so that it can be sent again. An undelivered message is lost only if more waits for a sink than the limit, and
the loss is reported.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.messages import AlarmMessage, Body, DefectMessage, FrameMessage, PeriodicMessage
from inspector.store.ages import Ages
from inspector.store.database import Database
from inspector.store.entries import Loss, OutboxRow, OutboxState
from inspector.store.rows import RANKS, SHIFT, cursor_crc32, row_crc32

PRUNE_ROWS = 2000
"""Delivered rows removed at once, so that tidying never holds up a commit for long ..."""
PRUNE_TIMES = 5
"""... and how often in one call: called every 5 s, it keeps up with 2,000 messages a second."""

TIGHT_BYTES = 4 << 20
"""Messages of this size are given up at once when the disk has no more room, whatever the limit."""
_MAX_LISTED = 400
"""Characters of a list of lost numbers; a longer one is not given."""
_BY_RANK = (
    "rank = 0", "rank IS NULL AND class = 'frame'", "rank = 1", "rank IS NULL AND class <> 'frame'", "rank = 2",
    "rank = 3", "rank > 3",
)  # fmt: skip
"""What is given up, in this order; a previous program's messages have no rank."""

NO_END = (1 << 63) - 1
"""Beyond every `seq`."""

_INSERT = "INSERT INTO outbox (seq, topic, payload, class, stored_ms, crc32, rank) VALUES (?, ?, ?, ?, ?, ?, ?)"
_MOVE_CURSOR = (
    "INSERT INTO cursors (sink, seq, crc32) VALUES (?, ?, ?)"
    " ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq, crc32 = excluded.crc32"
)

_log = structlog.get_logger("store")


@dataclass(slots=True)
class _Waiting:
    """What waits for one sink: kept up to date, because a scan reads up to the outbox limit from disk."""

    cursor: int
    messages: int
    bytes: int


def own_number(seq: int) -> int:
    """Return the number that a message carries: one of a broken store has a lower one here."""
    return seq + SHIFT if seq < 0 else seq


def _loss(sink: str, seqs: list[int]) -> Loss:
    numbers = sorted(own_number(seq) for seq in seqs)
    return Loss(sink, len(numbers), numbers[0], numbers[-1], list_numbers(numbers))


def list_numbers(numbers: Sequence[int]) -> str | None:
    """Return ascending numbers as `4-9 12`, or None if that is too long."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
        if len(parts) > _MAX_LISTED:
            return None
    text = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return text if len(text) <= _MAX_LISTED else None


class StoredOutbox:
    """The outbox in the store's file.

    Messages that were saved from a broken store have numbers below 0 here, and their own in their payload.

    Args:
        database: Holds it.
        clock: Time.
        limit_bytes: Payload bytes that may wait for one sink; beyond it messages are lost.

    Attributes:
        tight: There is no room on the disk: `prune` gives some messages up, whatever the limit.
    """

    def __init__(self, database: Database, clock: Clock, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.tight = False
        self._database = database
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._enabled: tuple[str, ...] | None = None
        self._damaged: list[int] = []
        self._record = f"SELECT kind, payload, payload_crc32 FROM {database.records_name} WHERE seq = ?"  # noqa: S608
        first_kept = self.first_kept_seq()
        self._floor = 0 if first_kept is None else min(0, first_kept - 1)
        self._holding: set[str] = set()
        self._ages = Ages(clock)

    @property
    def store_id(self) -> str:
        """Of the store that numbers the messages."""
        return self._database.store_id

    def enable(self, sinks: Iterable[str]) -> None:
        """Set which sinks deliver from now on; the others hold nothing back, and nothing waits for them.

        A sink that is new, or was disabled for a while, begins at the oldest kept message that it does not have. Until
        this is called, every sink that ever delivered anything counts.
        """
        with self._database.guard:
            first_kept = self.first_kept_seq()
            self._floor = self._last_seq() if first_kept is None else first_kept - 1
            self._enabled = tuple(sinks)
            self._waiting = {}

    def hold(self, sink: str, holds: bool) -> None:
        """Keep what is delivered, whatever its age, while a sink may have to send it again; or no longer."""
        with self._database.guard:
            (self._holding.add if holds else self._holding.discard)(sink)

    def delivered_seq(self) -> int:
        """Return up to which `seq` nothing waits for any sink; far beyond the last where no sink is enabled."""
        return min((self.cursor(sink) for sink in self._sinks()), default=0 if self._enabled is None else NO_END)

    def _sinks(self) -> tuple[str, ...]:
        if self._enabled is not None:
            return self._enabled
        return tuple(row[0] for row in self._database.all("SELECT sink FROM cursors"))

    def cursor(self, sink: str) -> int:
        """Return the last `seq` up to which `sink` has delivered everything that it ever will, 0 at first."""
        row = self._database.one("SELECT seq, crc32 FROM cursors WHERE sink = ?", (sink,))
        if row is None:
            return self._floor
        if row[1] is not None and row[1] != cursor_crc32(sink, row[0]):
            _log.error("cursor_damaged", sink=sink, seq=row[0])
            return self._floor  # sent again, rather than not at all
        return max(self._floor, int(row[0]))

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the next messages after `after_seq`, at most `limit`, in order.

        A message whose bytes are not those that were stored is taken from its record; if that is damaged, too, it is
        never delivered: it is deleted, and `take_damaged` reports it.
        """
        while True:
            rows = self._database.all(
                "SELECT seq, CAST(topic AS BLOB), CAST(payload AS BLOB), stored_ms, crc32 FROM outbox WHERE seq > ?"
                " ORDER BY seq LIMIT ?",
                (after_seq, limit),
            )
            bad = [row for row in rows if row[4] is not None and row[4] != row_crc32(*row[:3])]
            if not bad:
                return [OutboxRow(row[0], row[1].decode(), *row[2:4]) for row in rows]
            self._repair([(row[0], row[3]) for row in bad])

    def _repair(self, damaged: Sequence[tuple[int, int]]) -> None:
        """Take damaged messages, each a seq and when it was stored, from their records; delete those that have none."""
        with self._database.guard:
            with self._database.transaction() as db:
                for seq, stored_ms in damaged:
                    db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
                    record = db.execute(self._record, (seq,)).fetchone()
                    if record and record[1] is not None and record[2] == zlib.crc32(record[1]):
                        row = (seq, record[0], record[1], "event", stored_ms, row_crc32(seq, *record[:2]), None)
                        db.execute(_INSERT, row)
                    else:
                        self._damaged.append(seq)
            self._waiting.clear()  # counted again: sizes of damaged rows are not to be trusted
        _log.error("messages_damaged", seqs=[seq for seq, _ in damaged], gone=len(self._damaged))

    def take_damaged(self) -> list[int]:
        """Return the numbers of the messages that were deleted because they were damaged, since the last call."""
        with self._database.guard:
            taken, self._damaged = self._damaged, []
        return [own_number(seq) for seq in taken]

    def insert(self, db: sqlite3.Connection, body: Body, topic: str, payload: bytes, now_ms: int) -> None:
        """Keep a numbered message for delivery, inside the transaction that stores it."""
        kind = "frame" if isinstance(body, FrameMessage) else "event"
        rank = RANKS[body.severity if isinstance(body, DefectMessage | AlarmMessage | PeriodicMessage) else topic]
        db.execute(_INSERT, (body.seq, topic, payload, kind, now_ms, row_crc32(body.seq, topic, payload), rank))

    def note_stored(self, first_seq: int, messages: int, size: int) -> None:
        """Count what a commit has stored: how many messages from `first_seq` on, with `size` payload bytes."""
        with self._database.guard:
            for sink, waiting in list(self._waiting.items()):
                if first_seq <= waiting.cursor:
                    del self._waiting[sink]  # a cursor ahead of the messages: counted on request
                waiting.messages += messages
                waiting.bytes += size

    def acknowledge(self, sink: str, seq: int) -> None:
        """Move the sink's cursor to `seq`: everything up to it has arrived."""
        with self._database.guard:
            waiting = self._waiting.pop(sink, None)
            arrived = None
            with self._database.transaction() as db:
                db.execute(_MOVE_CURSOR, (sink, seq, cursor_crc32(sink, seq)))
                if waiting is not None and seq >= waiting.cursor:
                    count, size = db.execute(
                        "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox WHERE seq > ? AND seq <= ?",
                        (waiting.cursor, seq),
                    ).fetchone()
                    arrived = _Waiting(seq, waiting.messages - count, waiting.bytes - size)
            if arrived is not None:  # else not asked yet, or the cursor went back: counted on request
                self._waiting[sink] = arrived
            if (delivered := self.delivered_seq()) != NO_END:
                self._database.note_numbers(delivered=max(0, delivered))

    def outbox_state(self, sink: str) -> OutboxState:
        """Return how much waits for `sink`: nothing where it is not enabled. Cheap, whatever waits."""
        with self._database.guard:
            if self._enabled is not None and sink not in self._enabled:
                return OutboxState(0, 0, None, self._last_seq())
            waiting = self._waiting_for(sink)
            oldest = self._database.one(
                "SELECT stored_ms FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1", (waiting.cursor,)
            )
            return OutboxState(waiting.messages, waiting.bytes, oldest[0] if oldest else None, self._last_seq())

    def _last_seq(self) -> int:
        return int(self._database.meta("seq") or 0)

    def _waiting_for(self, sink: str) -> _Waiting:
        if sink not in self._waiting:
            cursor = self.cursor(sink)
            [(count, size)] = self._database.all(
                "SELECT count(*), coalesce(sum(length(payload)), 0) FROM outbox WHERE seq > ?", (cursor,)
            )
            self._waiting[sink] = _Waiting(cursor, int(count), int(size))
        return self._waiting[sink]

    def first_kept_seq(self) -> int | None:
        """Return the oldest message that can still be sent again."""
        [(seq,)] = self._database.all("SELECT min(seq) FROM outbox")
        return seq if seq is None else int(seq)

    def prune(self, horizon_s: float) -> list[Loss]:
        """Delete what every sink delivered longer than `horizon_s` ago, and what exceeds the limit for one sink.

        Messages that only slow sinks wait for are deleted first, so that no sink loses a message because of a slower
        one; among them by their rank, the oldest first. All of it goes in slices, so that commits need not wait; what
        is much is left to the next call.

        Returns:
            Undelivered messages that were deleted, for each sink that lost any.
        """
        for _ in range(PRUNE_TIMES if self._ages.can_tell(horizon_s) and not self._holding else 0):
            if self._prune_delivered(int(horizon_s * 1000)) < PRUNE_ROWS:
                break
        lost: dict[str, list[int]] = {}
        for _ in range(PRUNE_TIMES):
            count = self._lose_slice(lost)
            if count < PRUNE_ROWS:
                break
        return [_loss(sink, seqs) for sink, seqs in lost.items()]

    def _lose_slice(self, lost: dict[str, list[int]]) -> int:
        """Delete at most `PRUNE_ROWS` messages over the limit; add them to what each sink lost, return how many."""
        with self._database.guard:
            waiting = {sink: self._waiting_for(sink) for sink in self._sinks()}
            gone: list[tuple[int, int]] = []
            with self._database.transaction() as db:
                end = NO_END
                for one in sorted(waiting.values(), key=lambda one: one.cursor, reverse=True):
                    limit = max(0, one.bytes - TIGHT_BYTES) if self.tight else self.limit_bytes
                    excess = one.bytes - sum(size for _, size in gone) - min(limit, self.limit_bytes)
                    gone += self._oldest(db, one.cursor, end, excess, PRUNE_ROWS - len(gone))
                    end = one.cursor
                db.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq, _ in gone])
            for sink, one in waiting.items():
                if mine := self._take_off(one, gone):
                    lost.setdefault(sink, []).extend(mine)
        self.tight = False
        return len(gone)

    def _oldest(
        self, db: sqlite3.Connection, after_seq: int, end_seq: int, excess: int, most: int
    ) -> list[tuple[int, int]]:
        """Return `seq` and size of at most `most` messages in (after_seq, end_seq] that go for `excess` bytes."""
        chosen: list[tuple[int, int]] = []
        for ranked in _BY_RANK:
            if excess <= 0:
                break  # not even the first row is looked for
            rows = db.execute(
                f"SELECT seq, length(payload) FROM outbox WHERE {ranked} AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",  # noqa: S608
                (after_seq, end_seq, most - len(chosen)),
            )
            while excess > 0 and (row := rows.fetchone()) is not None:
                chosen.append(row)
                excess -= row[1]
            rows.close()
        return chosen

    def _take_off(self, waiting: _Waiting, gone: list[tuple[int, int]]) -> list[int]:
        """Count what was deleted as no longer waiting for a sink, and return what it had not delivered."""
        mine = [(seq, size) for seq, size in gone if seq > waiting.cursor]
        waiting.messages -= len(mine)
        waiting.bytes -= sum(size for _, size in mine)
        return [seq for seq, _ in mine]

    def _prune_delivered(self, horizon_ms: int) -> int:
        """Delete the oldest delivered rows up to the first that is young enough, and return how many."""
        now_ms = to_timestamp_ms(self._clock.now())
        last, count = 0, 0
        with self._database.transaction() as db:
            rows = db.execute(
                "SELECT seq, stored_ms FROM outbox WHERE seq <= ? ORDER BY seq LIMIT ?",
                (self.delivered_seq(), PRUNE_ROWS),
            )
            for seq, stored_ms in rows:
                if abs(now_ms - stored_ms) <= horizon_ms:  # either way: a clock set back must not keep all that follow
                    break
                last, count = seq, count + 1
            rows.close()
            if count:
                db.execute("DELETE FROM outbox WHERE seq <= ?", (last,))
        return count
