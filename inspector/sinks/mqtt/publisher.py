"""The broker session: one thread that owns it and drives connection, window and retained state.

The outbox is the queue; paho's own is never used, because it is in memory and refuses the newest message when full.
What the broker has not acknowledged is sent again from the outbox, under the same ids. After each acknowledged window
the retained `mark` records how far the broker got; read back on connect, it shows what a broker has lost, and
everything after it is sent again. `window` decides what an answer means; here it is counted, stored and reported.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.errors import BrokerError, StoreBusyError
from inspector.faults import crash_point
from inspector.messages import ReplyMessage, encode
from inspector.sinks.base import LastWord, Outbox
from inspector.sinks.mqtt.connection import HANDSHAKE_TIMEOUT_S, Arrived, Connection, Connector, Event, Events
from inspector.sinks.mqtt.options import BrokerStatus, MqttOptions
from inspector.sinks.mqtt.retained import RetainedState, seq_of_mark
from inspector.sinks.mqtt.trouble import TroubleReport
from inspector.sinks.mqtt.window import FAILURE, Answer, Fate, Window, first_position
from inspector.store.entries import OutboxRow
from inspector.telemetry.metrics import Metrics

SINK = "mqtt"
HISTORICAL_AFTER_S = 60.0
"""A message older than this carries the user property `historical=1`."""
MUTE_AFTER_S = 60.0
"""If a broker owes an answer for this long, the publisher disconnects and connects again."""
_BACKOFF_S = (0.2, 10.0)

_log = structlog.get_logger("mqtt")


class MqttPublisher:
    """Delivers the outbox to a broker.

    Args:
        options: The broker.
        outbox: The store.
        clock: Time.
        metrics: Where connects, refusals and acknowledgements are counted.
        retained: Gives the retained payloads (`about`, `health`) by topic below the root, as of now.
        on_lost: Called with `seq` and reason of a message that the broker refused for good.
        on_command: Called with the last level of a `cmd/...` topic, its payload and whether the broker had kept it;
            returns the reply, or None if none is due.
        commands: Which of those topics are subscribed.
    """

    name = SINK

    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
        retained: Callable[[], Mapping[str, bytes]],
        on_lost: Callable[[int, str], None],
        on_command: Callable[[str, bytes, bool], ReplyMessage | None] | None = None,
        commands: Sequence[str] = (),
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._retained = retained
        self._on_lost = on_lost
        self._on_command = on_command
        self._commands = commands
        self._connector = Connector(options, clock, lambda reason: metrics.mqtt_rejected.labels(reason).inc())
        self._window = Window(options.window, options.subscriber_grace_s)
        self._events: Events = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._stop_by_mono_s = 0.0
        self._goodbye = b"stopped"
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._opened_mono_s = 0.0
        self._stored_seq = 0
        self.status = BrokerStatus()
        self._report = TroubleReport(options, self.status)
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None

    # --- Life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect and deliver."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the outbox, or in the retained state."""
        self._events.put(("wake", None, None))

    def resend(self, from_seq: int) -> str:
        """Send kept messages again from this `seq` on, under the same ids; returns a sentence about it."""
        kept, last = self._outbox.first_kept_seq(), self._outbox.cursor(SINK)
        first = max(from_seq, kept or last + 1)
        if first > last:
            return f"nothing delivered is kept from {from_seq} on; the last one delivered is {last}"
        self._events.put(("resend", first, None))
        missing = f", {from_seq} to {first - 1} are not kept any more" if first > from_seq else ""
        return f"sends {first} to {last} again{missing}"

    def stop(self, timeout_s: float, status: LastWord = "stopped") -> None:
        """Deliver what is possible within `timeout_s` seconds, publish `status`, and end.

        Args:
            timeout_s: For what still waits in the outbox.
            status: `stopped` on request, `offline` when the station fails.
        """
        self._goodbye = status.encode()
        self._stop_by_mono_s = self._clock.monotonic() + timeout_s
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s + HANDSHAKE_TIMEOUT_S)

    def _run(self) -> None:
        tries = 0
        try:
            while not self._stopping.is_set():
                self.progress_mono_s = self._clock.monotonic()
                try:
                    self._serve()
                    tries = 0
                except BrokerError as exc:
                    self._report.failed(str(exc))
                finally:
                    was = self.status.connected
                    if was and not self._stopping.is_set():
                        self._report.lost(self._clock.monotonic())
                    self.status.connected = False
                    self._metrics.mqtt_connected.set(0)
                    tries = 0 if was else tries + 1
                low, high = _BACKOFF_S
                self._stopping.wait(random.uniform(0.5, 1) * min(high, low * 2**tries))  # noqa: S311 - jitter
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("publisher_failed")

    # --- One connection -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._events = queue.SimpleQueue()
        with self._connector.connect(self._events) as connection:
            if not self._connector.choice.accepts(connection.version):
                return
            self._stored_seq = self._find_start(connection)
            self._opened_mono_s = self._clock.monotonic()
            self._window.open(self._stored_seq, self._opened_mono_s)
            self._metrics.mqtt_connected.set(1)
            self._metrics.mqtt_connects.inc()
            self.status.connected, self.status.reason = True, None
            self.status.protocol = connection.protocol
            _log.info("broker_connected", broker=self._options.address, protocol=connection.protocol,
                      from_seq=self._window.position + 1)  # fmt: skip
            connection.publish("status", b"online", retain=True)
            state = RetainedState(
                lambda topic, payload: connection.publish(topic, payload, retain=True).mid,
                self._retained, self._outbox.store_id,
            )  # fmt: skip
            state.publish_all(self._clock.monotonic())
            if self._commands:
                connection.subscribe([f"cmd/{name}" for name in self._commands])
            for event in connection.early:
                self._take_event(connection, state, event)
            self._pump(connection, state)
            if self._stopping.is_set():
                self._say_goodbye(connection, state)

    def _find_start(self, connection: Connection) -> int:
        """Return the `seq` after which to send: the last one that the broker has, or still has."""
        cursor = self._outbox.cursor(SINK)
        if cursor == 0:
            return 0
        mark = seq_of_mark(connection.read_retained("mark"), self._outbox.store_id, f"{self._options.root}/mark")
        start = first_position(cursor, mark, self._outbox.first_kept_seq())
        if mark is not None and mark < cursor:
            _log.warning("broker_lost_messages", acknowledged=cursor, found=mark, resend_from=start + 1)
        return start

    def _pump(self, connection: Connection, state: RetainedState) -> None:
        window = self._window
        while True:
            now = self._clock.monotonic()
            self.progress_mono_s = now
            room = window.room(now)
            if room:
                for row in self._outbox.pending(window.position, room):
                    self._send(connection, row)
            if self._stopping.is_set() and (
                now >= self._stop_by_mono_s or not (window.in_flight or self._outbox.pending(window.position, 1))
            ):
                return
            try:
                event = self._events.get(timeout=0.5)
            except queue.Empty:
                event = ("idle", None, None)
            while True:
                self._take_event(connection, state, event)
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    break
            now = self._clock.monotonic()
            self._require_answer(now)
            self._advance(state)
            self._report.lasts(now - self._opened_mono_s)
            state.refresh(now)

    def _require_answer(self, now: float) -> None:
        """Disconnect from a broker that takes messages and acknowledges none: only a new connection can help.

        Raises:
            BrokerError: The broker owes an answer for too long.
        """
        since = self._window.unanswered_since()
        if since is not None and now - since > MUTE_AFTER_S:
            raise BrokerError(self._report.mute(since, now, self._window.in_flight))

    def _send(self, connection: Connection, row: OutboxRow) -> None:
        historical = to_timestamp_ms(self._clock.now()) - row.stored_ms > HISTORICAL_AFTER_S * 1000
        packet_id = connection.send(row.topic, row.payload, historical)
        crash_point("publish.sent")
        self._window.send(packet_id, row, self._clock.monotonic())

    def _take_event(self, connection: Connection, state: RetainedState, event: Event) -> None:
        kind, first, second = event
        if kind == "disconnect":
            raise connection.closed(first)
        if kind == "puback":
            self._take_puback(state, first, second)
        elif kind == "message":
            self._obey(connection, state, first, second)
        elif kind == "resend":
            self._window.begin_again(first)
        elif kind == "suback" and any(code.is_failure for code in second):
            mend = "allow this station to read it, or mqtt.commands = []"
            _log.warning("commands_not_readable", topic=f"{self._options.root}/cmd", mend=mend)

    def _obey(self, connection: Connection, state: RetainedState, topic: str, arrived: Arrived) -> None:
        name = topic.removeprefix(f"{self._options.root}/cmd/")
        if self._on_command is not None and name in self._commands:
            reply = self._on_command(name, arrived.payload, arrived.retained)
            crash_point("command.obeyed")
            if reply is not None:
                connection.publish("reply", encode(reply))
                if reply.accepted:
                    state.publish_all(self._clock.monotonic())
        connection.take(arrived)  # only now: a command that a crash interrupts comes again

    # --- Answers --------------------------------------------------------------------------------------------------

    def _take_puback(self, state: RetainedState, packet_id: int, code: Any) -> None:
        now = self._clock.monotonic()
        self._report.answered(first_accepted=self._window.hear(code.value, now))
        if state.ack(packet_id) or (answer := self._window.ack(packet_id, code.value, now)) is None:
            return
        if code.value >= FAILURE:
            self._metrics.mqtt_rejected.labels("publish").inc()
        row = answer.row
        if answer.fate is Fate.REFUSED:
            _log.warning("message_refused", seq=row.seq, topic=row.topic, reason=str(code), tries=answer.tries)
        elif answer.fate is Fate.HELD:
            self._report.held(code)
        elif answer.fate is Fate.SET_ASIDE:
            self._set_aside(answer, code)
        elif answer.fate is Fate.ARRIVED:
            self._report.arrived(row.topic)
        if answer.fate in (Fate.ARRIVED, Fate.SET_ASIDE):
            wall_ms = to_timestamp_ms(self._clock.now())
            self._metrics.last_puback.set(wall_ms / 1000)
            self._metrics.delivery_seconds.observe(max(0, wall_ms - row.stored_ms) / 1000)

    def _set_aside(self, answer: Answer, code: Any) -> None:
        seq, topic = answer.row.seq, answer.row.topic
        self._report.denied(topic, code)
        self._metrics.outbox_lost.labels(SINK, "rejected").inc()
        if topic != "coverage":  # a refused report of a loss is not reported again, without end
            self._on_lost(seq, f"refused by the broker: {code}")

    def _advance(self, state: RetainedState, last: bool = False) -> None:
        """Store how far everything has arrived without a hole, and publish the mark."""
        self._window.advance()
        reached = self._window.acknowledged
        if reached > self._stored_seq:
            self._stored_seq = reached
            if reached > self._outbox.cursor(SINK):
                crash_point("cursor.before")
                try:
                    self._outbox.acknowledge(SINK, reached)
                except StoreBusyError as exc:  # the disk is full: sent again after a restart, at worst
                    _log.warning("cursor_not_stored", seq=reached, reason=str(exc))
        state.leave_mark(reached, last)

    def _say_goodbye(self, connection: Connection, state: RetainedState) -> None:
        self._advance(state, last=True)  # whether or not the previous mark has arrived: the last one counts
        info = connection.publish("status", self._goodbye, retain=True)
        try:
            info.wait_for_publish(2.0)
        except (RuntimeError, ValueError) as exc:
            _log.warning("goodbye_not_sent", reason=str(exc))
