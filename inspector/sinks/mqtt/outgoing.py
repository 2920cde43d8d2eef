"""The outbox on its way to a broker, over one connection after the other: what is sent, and what an answer does.

`window` decides what an answer means, `limits` what a broker can take; here it is counted, stored and reported. The
publisher owns the connection, commands and retained state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.errors import BrokerError, StoreBusyError
from inspector.faults import crash_point
from inspector.sinks.base import Outbox
from inspector.sinks.mqtt.audience import Turn
from inspector.sinks.mqtt.connection import Connection
from inspector.sinks.mqtt.limits import SizeLesson, packet_bytes
from inspector.sinks.mqtt.memory import BrokerMemory, Notes
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.retained import RetainedState
from inspector.sinks.mqtt.second_try import Aside, SecondTry
from inspector.sinks.mqtt.silence import Owed, longest_silence_s
from inspector.sinks.mqtt.trouble import TroubleReport
from inspector.sinks.mqtt.unheard import Unheard
from inspector.sinks.mqtt.window import FAILURE, Answer, Fate, Window
from inspector.store.entries import OutboxRow
from inspector.telemetry.metrics import Metrics

SINK = "mqtt"
HISTORICAL_AFTER_S = 60.0
"""A message older than this carries the user property `historical=1`."""

READ_ROWS = 500
"""Messages that are read at once behind those that wait for their subscribers ..."""
READ_TIMES = 8
"""... and how often, before answers are taken."""

_log = structlog.get_logger("mqtt")


@dataclass(frozen=True, slots=True)
class LossReports:
    """Whom a publisher tells about messages that did not reach anybody.

    Attributes:
        lost: Called with first `seq`, last `seq`, count and reason of messages that the broker does not take.
        unheard: Called with first `seq`, last `seq` and count of messages whose subscribers stayed away.
    """

    lost: Callable[[int, int, int, str], object]
    unheard: Callable[[int, int, int], object]


class Outgoing:
    """What is under way to a broker, and what is known about it; it outlives connections.

    Args:
        options: The broker.
        outbox: What waits.
        notes: What is remembered of the broker.
        aside: Where messages are kept that it does not take.
        clock: Time.
        metrics: Where answers are counted.
        losses: Whom to tell about messages that did not arrive.
        report: Where troubles are reported.

    Attributes:
        window: What is under way.
        stored_seq: Up to where the outbox knows that everything arrived.
    """

    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        notes: Notes,
        aside: Aside,
        clock: Clock,
        metrics: Metrics,
        losses: LossReports,
        report: TroubleReport,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._second = SecondTry(options, aside, notes, clock, metrics, losses.lost)
        self._unheard = Unheard(losses.unheard)
        self._told: set[str] = set()
        self._report = report
        self._lesson = SizeLesson()
        self._set_aside_seq = 0
        self._memory = BrokerMemory(options, outbox, notes, clock, SINK)
        self.window = Window(options.window, self._memory.audience)
        self.stored_seq = 0

    def open(self, connection: Connection) -> None:
        """Begin a connection: find out where to continue, and whether to try again what was set aside."""
        if self._second.open():
            self._lesson.forget()
        self.stored_seq = self._memory.open(connection)
        self.window.open(self.stored_seq)

    def close(self) -> None:
        """End a connection."""
        self._unheard.flush()
        self._second.look(last=True)
        self._memory.close()

    @property
    def lost(self) -> bool:
        """Whether this connection found that the broker has lost its memory, and with it the mark."""
        return self._memory.lost

    def is_empty(self) -> bool:
        """Say whether nothing is under way and nothing waits, but for subscribers."""
        return not (self.window.in_flight or self._outbox.pending(self.window.position, 1))

    def send_next(self, connection: Connection, now: float) -> None:
        """Fill the window; send messages one at a time while the cause of closed connections is sought."""
        window = self.window
        if (from_seq := self._memory.take_again_from(to_timestamp_ms(self._clock.now()))) is not None:
            window.begin_again(from_seq)
        if self._room(now):
            for row in window.due(now)[: self._room(now)]:
                self._send(connection, row)
        for _ in range(READ_TIMES):
            room = self._room(now)
            rows = self._outbox.pending(window.position, READ_ROWS if window.passes else room) if room else []
            if not self._send_some(connection, rows, now):
                break
        if room and not rows and not window.in_flight and (again := self._second.following()) is not None:
            self._try_again(connection, again)

    def _try_again(self, connection: Connection, row: OutboxRow) -> None:
        size = packet_bytes(self._options.root, row.topic, row.payload)
        if not self._lesson.is_too_long(size, connection.limits):
            self._second.sent(connection.send(row.topic, row.payload, historical=True), row)

    def _room(self, now: float) -> int:
        window = self.window
        if not self._lesson.alone:
            return window.room(now)
        return 0 if window.in_flight or not window.accepted else min(1, window.room(now))

    def _send_some(self, connection: Connection, rows: Sequence[OutboxRow], now: float) -> bool:
        """Send what has its turn; returns whether there may be more."""
        for row in rows:
            turn = self.window.turn(row)
            if turn is Turn.PAUSE or not self._room(now):
                return False
            if turn is Turn.PASS:
                self.window.pass_by(row)
            else:
                self._send(connection, row)
        return bool(rows)

    def _send(self, connection: Connection, row: OutboxRow) -> None:
        if self._is_set_aside(connection, row):
            return
        historical = to_timestamp_ms(self._clock.now()) - row.stored_ms > HISTORICAL_AFTER_S * 1000
        packet_id = connection.send(row.topic, row.payload, historical)
        crash_point("publish.sent")
        self.window.send(packet_id, row)

    def _is_set_aside(self, connection: Connection, row: OutboxRow) -> bool:
        """Set a message aside if this broker does not take it; return whether it was."""
        size = packet_bytes(self._options.root, row.topic, row.payload)
        if row.seq != self._set_aside_seq and not self._lesson.is_too_long(size, connection.limits):
            return False
        self.window.skip(row)
        why = f"the broker takes no packet of {size} bytes"
        if row.seq == self._set_aside_seq:
            why = f"the broker closes the connection over this message of {size} bytes"
        self._report.too_long(row.topic, size)
        self._metrics.outbox_lost.labels(SINK, "rejected").inc()
        self._second.put(row, why)
        return True

    def learn(self, code: int) -> None:
        """Learn from a connection that the broker closed."""
        self._store_progress()
        rows = self.window.under_way()
        sizes = [(row.seq, packet_bytes(self._options.root, row.topic, row.payload)) for row in rows]
        if self._lesson.dropped(code, sizes, self.window.accepted):
            self._set_aside_seq = rows[0].seq

    def require_answer(self, owed: Owed, now: float) -> None:
        """Disconnect from a broker that owes answers and says nothing: only a new connection can help.

        Raises:
            BrokerError: The broker owes an answer for too long.
        """
        since = owed.silent_since()
        if since is not None and now - since > longest_silence_s(self._options.keepalive_s):
            raise BrokerError(self._report.mute(since, now, len(owed)))

    def silenced(self, owed: Owed, now: float) -> BrokerError:
        """Return the error that a broker is which did not even answer a ping within the keepalive."""
        since = owed.silent_since()
        return BrokerError(
            self._report.mute(now - self._options.keepalive_s if since is None else since, now, len(owed))
        )

    def take_puback(self, state: RetainedState, packet_id: int, code: Any) -> None:
        """Take the broker's answer to a packet."""
        now = self._clock.monotonic()
        self._report.answered(first_accepted=self.window.hear(code.value))
        if state.ack(packet_id) or self._second.ack(packet_id, code.value < FAILURE):
            return
        if (answer := self.window.ack(packet_id, code.value, now)) is None:
            return
        if code.value >= FAILURE:
            self._metrics.mqtt_rejected.labels("publish").inc()
        row = answer.row
        self._tell_waiting(row, answer.fate)
        if answer.fate is Fate.REFUSED:
            _log.warning("message_refused", seq=row.seq, topic=row.topic, reason=str(code), tries=answer.tries)
        elif answer.fate is Fate.HELD:
            self._report.held(code)
        elif answer.fate is Fate.SET_ASIDE:
            self._set_aside(answer, code)
        elif answer.fate in (Fate.ARRIVED, Fate.UNHEARD):
            self._count_unheard(row, answer.fate is Fate.ARRIVED, now)
            self._report.arrived(row.topic)
            self._lesson.arrived(row.seq, packet_bytes(self._options.root, row.topic, row.payload))
        if answer.fate in (Fate.ARRIVED, Fate.UNHEARD, Fate.SET_ASIDE):
            wall_ms = to_timestamp_ms(self._clock.now())
            self._metrics.last_puback.set(wall_ms / 1000)
            self._metrics.delivery_seconds.observe(max(0, wall_ms - row.stored_ms) / 1000)

    def _tell_waiting(self, row: OutboxRow, fate: Fate) -> None:
        """Log once that a topic waits for its subscribers, and what came of it."""
        if fate is Fate.UNMATCHED and row.topic not in self._told:
            self._told.add(row.topic)
            _log.warning("waiting_for_subscribers", topic=row.topic, from_seq=row.seq,
                         at_most_s=self._options.subscriber_grace_s)  # fmt: skip
        elif fate in (Fate.ARRIVED, Fate.UNHEARD) and row.topic in self._told:
            self._told.discard(row.topic)
            _log.info("subscribers_back" if fate is Fate.ARRIVED else "subscribers_stayed_away", topic=row.topic)

    def _count_unheard(self, row: OutboxRow, heard: bool, now: float) -> None:
        if heard:
            self._unheard.heard()
            return
        self._metrics.mqtt_unheard.labels(row.topic).inc()
        if row.topic != "coverage" and self._memory.audience.had_subscribers(row.topic):
            self._unheard.add(row.seq, now)  # an unheard report is not reported again, without end

    def _set_aside(self, answer: Answer, code: Any) -> None:
        self._report.denied(answer.row.topic, code)
        self._metrics.outbox_lost.labels(SINK, "rejected").inc()
        self._second.put(answer.row, f"refused by the broker: {code}")

    def advance(self, state: RetainedState, last: bool = False) -> None:
        """Store how far everything has arrived without a hole, and publish the mark."""
        self._store_progress()
        self._memory.advance(self.window.acknowledged)
        self._unheard.look(self._clock.monotonic())
        if self._second.look():
            self._lesson.forget()
        state.leave_mark(self.stored_seq, last)

    def _store_progress(self) -> None:
        self.window.advance()
        reached = self.window.acknowledged
        if reached > self.stored_seq:
            self.stored_seq = reached
            if reached > self._outbox.cursor(SINK):
                crash_point("cursor.before")
                try:
                    self._outbox.acknowledge(SINK, reached)
                except StoreBusyError as exc:  # the disk is full: sent again after a restart, at worst
                    _log.warning("cursor_not_stored", seq=reached, reason=str(exc))
