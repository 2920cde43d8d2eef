"""The delivery window: what is under way, what an answer of the broker means, and how far all has arrived.

A state machine without socket, store or clock: time is an argument. Its owner reads the `Answer`, and sends, stores or
reports. It outlives connections: `open` begins one, and what earlier ones showed (who listens, topics that are refused,
how often a message was refused) stays.

Messages are read in order and sent in order. Those of a topic that waits for its subscribers (`audience`) are passed
by, and fetched when they are back; those of other topics go on meanwhile. Within a topic the order stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from inspector.sinks.mqtt.audience import Audience, Heard, Turn
from inspector.store.entries import OutboxRow

MAX_REFUSALS = 5
"""A payload refused this often is set aside and reported as a loss."""
REFUSED_PAUSE_S = 5.0
"""Pause between two tries if the broker refuses everything, or for now."""
NO_SUBSCRIBERS = 0x10
FAILURE = 0x80
"""The lowest code that refuses."""
QUOTA_EXCEEDED = 0x97


class Fate(Enum):
    """What becomes of a message after the broker's answer."""

    ARRIVED = "arrived"
    UNHEARD = "accepted, and nobody subscribes to it"
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


class Window:
    """Book-keeping of what is sent and not acknowledged.

    Args:
        size: How many messages may be under way.
        audience: Who listens.

    Attributes:
        position: The last `seq` that was read.
        acknowledged: The last `seq` up to which everything has arrived, without a hole.
    """

    def __init__(self, size: int, audience: Audience) -> None:
        self._size = size
        self._audience = audience
        self._refusals: dict[int, int] = {}
        self._denied: set[str] = set()
        self.open(0)

    def open(self, after_seq: int) -> None:
        """Begin a connection: nothing is under way, and everything up to `after_seq` has arrived."""
        self._hold_until_s = 0.0
        self._accepted = False
        self._begin(after_seq)

    def _begin(self, after_seq: int) -> None:
        self.position = self.acknowledged = after_seq
        self._sent_from = after_seq
        self._sent: dict[str, int] = {}
        self._waiting: dict[str, OutboxRow] = {}
        self._in_flight: dict[int, OutboxRow] = {}
        self._seq_of: dict[int, int] = {}

    @property
    def in_flight(self) -> int:
        """How many messages are under way."""
        return len(self._in_flight)

    @property
    def accepted(self) -> bool:
        """Whether the broker has acknowledged anything on this connection."""
        return self._accepted

    @property
    def passes(self) -> bool:
        """Whether many messages may have to be passed by: a topic waits, or is fetched after it waited."""
        return bool(self._waiting) or self.position < max(self._sent.values(), default=self.position)

    @property
    def waiting(self) -> dict[str, int]:
        """The topics that wait for their subscribers, each with the first `seq` that waits."""
        return {topic: row.seq for topic, row in self._waiting.items()}

    def under_way(self) -> list[OutboxRow]:
        """Return the messages that are under way, in order."""
        return [self._in_flight[seq] for seq in sorted(self._in_flight)]

    def room(self, now_s: float) -> int:
        """Return how many messages may be sent now."""
        return 0 if now_s < self._hold_until_s else max(0, self._size - len(self._in_flight))

    # --- Sending --------------------------------------------------------------------------------------------------

    def due(self, now_s: float) -> list[OutboxRow]:
        """Return the messages that wait for their subscribers and are to be tried once more."""
        rows = sorted(self._waiting.values(), key=lambda row: row.seq)
        return [row for place, row in enumerate(rows) if self._audience.may_ask(row.topic, now_s, first=place == 0)]

    def turn(self, row: OutboxRow) -> Turn:
        """Return what to do with `row`, the next message after `position`."""
        if row.seq <= self._sent.get(row.topic, self._sent_from):
            return Turn.PASS  # it has arrived, or is under way
        if row.topic in self._waiting:
            return Turn.PAUSE if self._audience.is_asked(row.topic) else Turn.PASS
        return self._audience.turn(row.topic)

    def pass_by(self, row: OutboxRow) -> None:
        """Go on behind `row` without sending it."""
        self.position = max(self.position, row.seq)

    def skip(self, row: OutboxRow) -> None:
        """Set `row` aside without sending it."""
        self._sent[row.topic] = max(row.seq, self._sent.get(row.topic, row.seq))
        if row.topic in self._waiting and row.seq == self._waiting[row.topic].seq:
            self._resume(row)
        self.pass_by(row)

    def send(self, packet_id: int, row: OutboxRow) -> None:
        """Note that `row` is under way as packet `packet_id`."""
        waits = row.topic in self._waiting
        if waits or self._audience.turn(row.topic) is Turn.ASK:
            self._audience.ask(row.topic)
        self._seq_of[packet_id] = row.seq
        self._in_flight[row.seq] = row
        self._sent[row.topic] = max(row.seq, self._sent.get(row.topic, row.seq))
        if not waits:  # the position is behind it already, or before what must be sent again
            self.pass_by(row)

    # --- Answers --------------------------------------------------------------------------------------------------

    def hear(self, code: int) -> bool:
        """Note that the broker answered something; returns whether it accepts for the first time."""
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
        heard = self._audience.answer(row.topic, code != NO_SUBSCRIBERS, now_s)
        self._denied.discard(row.topic)
        if heard is Heard.WAITS:
            self._wait(row)
            return Answer(row, Fate.UNMATCHED)
        self._settle(row)
        return Answer(row, Fate.ARRIVED if heard is Heard.HEARD else Fate.UNHEARD)

    def _wait(self, row: OutboxRow) -> None:
        """Let a topic wait, from the first of its messages that is under way."""
        behind = [seq for seq, other in self._in_flight.items() if other.topic == row.topic]
        self._waiting[row.topic] = self._in_flight[min(behind)]
        for seq in behind:
            del self._in_flight[seq]
        self._forget_packets()
        self._sent[row.topic] = min(behind) - 1

    def _refuse(self, row: OutboxRow, code: int, now_s: float) -> Answer:
        if code == QUOTA_EXCEEDED or not self._accepted:
            self.rewind(now_s + REFUSED_PAUSE_S)
            return Answer(row, Fate.HELD)
        tries = self._refusals[row.seq] = self._refusals.get(row.seq, 0) + 1
        if tries < MAX_REFUSALS and row.topic not in self._denied:
            self.rewind(now_s + 0.2 * 2**tries)
            return Answer(row, Fate.REFUSED, tries)
        self._denied.add(row.topic)  # what follows on this topic is tried once: alarms must not wait behind it
        self._audience.unask(row.topic)
        self._settle(row)
        return Answer(row, Fate.SET_ASIDE, tries)

    def _settle(self, row: OutboxRow) -> None:
        self._refusals.pop(row.seq, None)
        del self._in_flight[row.seq]
        if row.topic in self._waiting:
            self._resume(row)

    def _resume(self, row: OutboxRow) -> None:
        """Go back to the messages of a topic that were passed by."""
        del self._waiting[row.topic]
        self._sent[row.topic] = row.seq
        self.position = min(self.position, row.seq)

    def rewind(self, hold_until_s: float) -> None:
        """Send everything that is not acknowledged again, in order, from `hold_until_s` on."""
        self.advance()  # what has arrived without a hole is not sent again
        for seq, row in self._in_flight.items():
            self._audience.unask(row.topic)
            if row.topic not in self._waiting:
                self._sent[row.topic] = min(seq - 1, self._sent.get(row.topic, seq))
                self.position = min(self.position, seq - 1)
        self._in_flight.clear()
        self._seq_of.clear()
        self._hold_until_s = hold_until_s

    def begin_again(self, from_seq: int) -> None:
        """Send everything from `from_seq` on again, also what has arrived."""
        self.rewind(self._hold_until_s)
        self._audience.doubt()
        self._begin(min(self.acknowledged, from_seq - 1))

    def _forget_packets(self) -> None:
        self._seq_of = {packet: seq for packet, seq in self._seq_of.items() if seq in self._in_flight}

    def advance(self) -> bool:
        """Move `acknowledged` over everything that has arrived without a hole; returns whether it moved."""
        holes = [*self._in_flight, *(row.seq for row in self._waiting.values())]
        reached = min(self.position, min(holes, default=self.position + 1) - 1)
        if reached <= self.acknowledged:
            return False
        self.acknowledged = reached
        return True
