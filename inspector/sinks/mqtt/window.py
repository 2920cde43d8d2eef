"""The delivery window: what is under way, what an answer of the broker means, and how far all has arrived.

A state machine without socket, store or clock: time is an argument. Its owner reads the `Answer`, and sends, stores or
reports. It outlives connections: `open` begins one, and what earlier ones showed (topics that had subscribers, topics
that are refused, how often a message was refused) stays.

PUBACK below 0x80 is success. "No matching subscribers" is success too, except shortly after a reconnect for topics
that had subscribers before: then consumers get a grace time to come back (MQTT 5 only; 3.1.1 does not report it).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from inspector.store.entries import OutboxRow

MAX_REFUSALS = 5
"""A payload refused this often is set aside and reported as a loss."""
REFUSED_PAUSE_S = 5.0
"""Pause between two tries if the broker refuses everything, or for now."""
UNMATCHED_PAUSE_S = 0.5
"""Pause between two tries of a message that waits for its subscribers."""
NO_SUBSCRIBERS = 0x10
FAILURE = 0x80
"""The lowest code that refuses."""
QUOTA_EXCEEDED = 0x97


class Fate(Enum):
    """What becomes of a message after the broker's answer."""

    ARRIVED = "arrived"
    UNMATCHED = "unmatched"
    """Its subscribers are not back yet: it is sent again."""
    REFUSED = "refused"
    """It is sent again after a pause that grows."""
    SET_ASIDE = "set aside"
    """It was refused for the last time; the messages after it continue."""
    HELD = "held"
    """The broker refuses everything, or takes no more for now: all messages wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that the broker has answered.

    Attributes:
        row: The message.
        fate: What becomes of it.
        tries: How often it has been refused in a row, this time included.
    """

    row: OutboxRow
    fate: Fate
    tries: int = 0


def first_position(cursor: int, mark: int | None, first_kept_seq: int | None) -> int:
    """Return the `seq` after which a connection begins to send.

    Args:
        cursor: Up to where the broker acknowledged everything.
        mark: Up to where it still has everything, by the mark it kept; None: unknown.
        first_kept_seq: The oldest message that can be sent again; None: none can.
    """
    if mark is None or mark >= cursor:
        return cursor
    horizon = cursor if first_kept_seq is None else min(cursor, first_kept_seq - 1)
    return max(horizon, mark)


class Window:
    """Book-keeping of what is sent and not acknowledged.

    Args:
        size: How many messages may be under way.
        subscriber_grace_s: How long after a reconnect a topic may be without its subscribers.

    Attributes:
        position: The last `seq` that was sent.
        acknowledged: The last `seq` up to which everything has arrived, without a hole.
    """

    def __init__(self, size: int, subscriber_grace_s: float) -> None:
        self._size = size
        self._grace_s = subscriber_grace_s
        self._refusals: dict[int, int] = {}
        self._matched: set[str] = set()
        self._denied: set[str] = set()
        self.open(0, 0.0)

    def open(self, after_seq: int, now_s: float) -> None:
        """Begin a connection: nothing is under way, and everything up to `after_seq` has arrived."""
        self.position = self.acknowledged = after_seq
        self._opened_s = now_s
        self._hold_until_s = 0.0
        self._heard_s = 0.0
        self._accepted = False
        self._in_flight: dict[int, OutboxRow] = {}
        self._seq_of: dict[int, int] = {}
        self._arrived: set[int] = set()

    @property
    def in_flight(self) -> int:
        """How many messages are under way."""
        return len(self._in_flight)

    @property
    def accepted(self) -> bool:
        """Whether the broker has acknowledged anything on this connection."""
        return self._accepted

    def under_way(self) -> list[OutboxRow]:
        """Return the messages that are under way, in order."""
        return [self._in_flight[seq] for seq in sorted(self._in_flight)]

    def skip(self, row: OutboxRow) -> None:
        """Set `row`, the next message, aside without sending it."""
        self.position = row.seq
        self._arrived.add(row.seq)

    def room(self, now_s: float) -> int:
        """Return how many messages may be sent now."""
        return 0 if now_s < self._hold_until_s else max(0, self._size - len(self._in_flight))

    def unanswered_since(self) -> float | None:
        """Return since when the broker owes an answer; None: it owes none."""
        return self._heard_s if self._in_flight else None

    def send(self, packet_id: int, row: OutboxRow, now_s: float) -> None:
        """Note that `row`, the next message, is under way as packet `packet_id`."""
        if not self._in_flight:
            self._heard_s = now_s
        self._seq_of[packet_id] = row.seq
        self._in_flight[row.seq] = row
        self.position = row.seq

    def hear(self, code: int, now_s: float) -> bool:
        """Note that the broker answered something; returns whether it accepts for the first time."""
        self._heard_s = now_s
        first = code < FAILURE and not self._accepted
        self._accepted |= first
        return first

    def ack(self, packet_id: int, code: int, now_s: float) -> Answer | None:
        """Take the answer to a packet; None if no message is under way as this packet."""
        row = self._in_flight.get(self._seq_of.pop(packet_id, 0))
        if row is None:
            return None
        if code >= FAILURE:
            return self._refuse(row, code, now_s)
        if code == NO_SUBSCRIBERS and row.topic in self._matched:
            if now_s - self._opened_s < self._grace_s:
                self.rewind(now_s + UNMATCHED_PAUSE_S)
                return Answer(row, Fate.UNMATCHED)
            self._matched.discard(row.topic)
        elif code == 0:
            self._matched.add(row.topic)
        self._denied.discard(row.topic)
        self._settle(row)
        return Answer(row, Fate.ARRIVED)

    def _refuse(self, row: OutboxRow, code: int, now_s: float) -> Answer:
        if code == QUOTA_EXCEEDED or not self._accepted:
            self.rewind(now_s + REFUSED_PAUSE_S)
            return Answer(row, Fate.HELD)
        tries = self._refusals[row.seq] = self._refusals.get(row.seq, 0) + 1
        if tries < MAX_REFUSALS and row.topic not in self._denied:
            self.rewind(now_s + 0.2 * 2**tries)
            return Answer(row, Fate.REFUSED, tries)
        self._denied.add(row.topic)  # what follows on this topic is tried once: alarms must not wait behind it
        self._settle(row)
        return Answer(row, Fate.SET_ASIDE, tries)

    def _settle(self, row: OutboxRow) -> None:
        self._refusals.pop(row.seq, None)
        del self._in_flight[row.seq]
        self._arrived.add(row.seq)

    def rewind(self, hold_until_s: float) -> None:
        """Send everything that is not acknowledged again, in order, from `hold_until_s` on."""
        self.advance()  # what has arrived without a hole is not sent again
        self._seq_of.clear()
        self._in_flight.clear()
        self._arrived.clear()
        self.position = self.acknowledged
        self._hold_until_s = hold_until_s

    def begin_again(self, from_seq: int) -> None:
        """Send everything from `from_seq` on again, also what has arrived."""
        self.rewind(self._hold_until_s)
        self.position = self.acknowledged = min(self.acknowledged, from_seq - 1)
        self._arrived.clear()

    def advance(self) -> bool:
        """Move `acknowledged` over everything that has arrived without a hole; returns whether it moved."""
        waiting = min(self._in_flight, default=self.position + 1)
        reached = max((seq for seq in self._arrived if seq < waiting), default=self.acknowledged)
        if reached <= self.acknowledged:
            return False
        self.acknowledged = reached
        self._arrived = {seq for seq in self._arrived if seq > reached}
        return True
