"""The broker session: one thread that owns it and drives connection, window and retained state.

The outbox is the queue; paho's own is never used, because it is in memory and refuses the newest message when full.
What the broker has not acknowledged is sent again from the outbox, under the same ids. After each acknowledged window
the retained `mark` records how far the broker got; read back on connect, it shows what a broker has lost, and
everything after it is sent again. `outgoing` sends, and counts, stores and reports the answers.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from inspector.clock import Clock
from inspector.command_table import Origin
from inspector.errors import BrokerError, StoreBusyError
from inspector.faults import crash_point
from inspector.messages import ReplyMessage, encode
from inspector.sinks.base import LastWord, Outbox
from inspector.sinks.mqtt.area import AreaPort
from inspector.sinks.mqtt.backoff import Backoff
from inspector.sinks.mqtt.connection import Arrived, Connection, Connector, Event, Events
from inspector.sinks.mqtt.memory import Notes
from inspector.sinks.mqtt.options import BrokerStatus, MqttOptions
from inspector.sinks.mqtt.outgoing import SINK, LossReports, Outgoing
from inspector.sinks.mqtt.retained import RetainedState
from inspector.sinks.mqtt.second_try import Aside
from inspector.sinks.mqtt.trouble import TroubleReport
from inspector.telemetry.metrics import Metrics

GOODBYE_S = 1.0
"""How long the last word of a connection may take ..."""
KEEPALIVE_TIMEOUT = 0x8D
BEAT_S = 1.0
"""Between two heartbeats."""
LOOK_S = 0.5
"""The retained state is compared this often, at least."""
MAX_EVENTS = 20
"""How many events are taken before messages are sent again."""
ABANDON_S = 1.5
"""... and how long a stop waits for the end of the thread besides: it may hang where nothing can end it."""

_log = structlog.get_logger("mqtt")


class MqttPublisher:
    """Delivers the outbox to a broker.

    Args:
        options: The broker.
        outbox: The store.
        notes: What the store remembers of the broker.
        aside: Where the store keeps messages that it does not take.
        clock: Time.
        metrics: Where connects, refusals and acknowledgements are counted.
        retained: Gives the retained payloads (`about`, `health`) by topic below the root, as of now.
        losses: Whom to tell about messages that did not reach anybody.
        on_command: Called with the last level of a `cmd/...` topic, its payload and how it came; returns the reply,
            or None if none is due.
        commands: Which of those topics are subscribed.
        beat: Returns the next heartbeat, or None while the main loop hangs.
        area: What the stations of the operator's area tell each other; None: it has only this one.
    """

    name = SINK

    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        notes: Notes,
        aside: Aside,
        clock: Clock,
        metrics: Metrics,
        retained: Callable[[], Mapping[str, bytes]],
        losses: LossReports,
        on_command: Callable[[str, bytes, Origin], ReplyMessage | None] | None = None,
        commands: Sequence[str] = (),
        beat: Callable[[], bytes | None] = lambda: None,
        area: AreaPort | None = None,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._retained = retained
        self._on_command = on_command
        self._commands = commands
        self._beat = beat
        self._area = area
        self._beat_mono_s = 0.0
        self._connector = Connector(options, clock, lambda reason: metrics.mqtt_rejected.labels(reason).inc())
        self._events: Events = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._stop_by_mono_s = 0.0
        self._goodbye = b"stopped"
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._opened_mono_s = 0.0
        self.status = BrokerStatus()
        self._report = TroubleReport(options, self.status)
        self._outgoing = Outgoing(options, outbox, notes, aside, clock, metrics, losses, self._report)
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
        self._events.put(("stop", None, None))
        if self._thread.is_alive():
            self._thread.join((timeout_s + GOODBYE_S if self.status.connected else 0.0) + ABANDON_S)

    def _run(self) -> None:
        backoff = Backoff()
        try:
            while not self._stopping.is_set():
                self.progress_mono_s = self._clock.monotonic()
                backoff.begin(self.progress_mono_s)
                stored_seq, was = self._outgoing.stored_seq, False
                try:
                    self._serve()
                except BrokerError as exc:
                    was, self.status.connected = self.status.connected, False
                    self._report.failed(str(exc))
                except StoreBusyError as exc:  # tried again with a new connection; the broker has not lost this one
                    self.status.connected = False
                    self._report.failed(f"cannot read the store: {exc}")
                finally:
                    self._outgoing.close()
                    if self._area is not None:
                        self._area.close()
                    if was and not self._stopping.is_set():
                        self._report.lost(self._clock.monotonic())
                    self.status.connected = False
                    self._metrics.mqtt_connected.set(0)
                delivered = was and self._outgoing.stored_seq > stored_seq
                jitter = random.uniform(0.5, 1)  # noqa: S311 - no secret
                self._stopping.wait(backoff.pause_s(self._clock.monotonic(), delivered, jitter))
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("publisher_failed")

    # --- One connection -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._events = queue.SimpleQueue()
        if self._stopping.is_set():  # its event went to the queue before
            return
        with self._connector.connect(self._events) as connection:
            if self._stopping.is_set() or not self._connector.choice.accepts(connection.version):
                return
            self._outgoing.open(connection)
            self._opened_mono_s = self._clock.monotonic()
            self._metrics.mqtt_connected.set(1)
            self._metrics.mqtt_connects.inc()
            self.status.connected, self.status.reason = True, None
            self.status.protocol = connection.protocol
            _log.info("broker_connected", broker=self._options.address, protocol=connection.protocol,
                      from_seq=self._outgoing.window.position + 1)  # fmt: skip
            state = RetainedState(
                lambda topic, payload: connection.publish(topic, payload, retain=True).mid,
                self._retained, self._outbox.store_id, marked=-1 if self._outgoing.lost else 0,
            )  # fmt: skip
            self._outgoing.advance(state)  # a broker without a mark gets one before anything else: its life has begun
            if self._commands:  # before the state: who sees it may count on commands being kept from then on
                connection.subscribe([f"cmd/{name}" for name in self._commands])
            if self._area is not None:
                self._area.open(connection)
            state.publish_all(self._clock.monotonic())
            for event in connection.early:
                self._take_event(connection, state, event)
            self._pump(connection, state)
            if self._stopping.is_set():
                self._say_goodbye(connection, state)

    def _pump(self, connection: Connection, state: RetainedState) -> None:
        while True:
            now = self._clock.monotonic()
            self.progress_mono_s = now
            self._outgoing.send_next(connection, now)
            self._send_beat(connection, now)
            if self._stopping.is_set() and self._is_over(connection, now):
                return
            try:
                event = self._events.get(timeout=min(LOOK_S, max(0.0, self._beat_mono_s - now)))
            except queue.Empty:
                event = ("idle", None, None)
            self._take_event(connection, state, event)
            for _ in range(MAX_EVENTS - 1):  # a flood of commands must not keep what waits in the outbox
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    break
                self._take_event(connection, state, event)
            now = self._clock.monotonic()
            self._outgoing.require_answer(connection.owed, now)
            self._outgoing.advance(state)
            self._report.lasts(now - self._opened_mono_s)
            state.refresh(now)
            if self._area is not None:
                self._area.refresh(connection, now)

    def _send_beat(self, connection: Connection, now: float) -> None:
        if now < self._beat_mono_s:
            return
        on_time = now - self._beat_mono_s < BEAT_S
        self._beat_mono_s = (self._beat_mono_s if on_time else now) + BEAT_S
        if (payload := self._beat()) is not None:
            connection.beat(payload)

    def _is_over(self, connection: Connection, now: float) -> bool:
        """Say whether a stop needs not wait any longer: time is up, all has left, or the broker hangs."""
        silent = connection.owed.silent_since()
        hangs = silent is not None and now - silent > GOODBYE_S
        return now >= self._stop_by_mono_s or self._outgoing.is_empty() or hangs

    def _take_event(self, connection: Connection, state: RetainedState, event: Event) -> None:
        kind, first, second = event
        if kind == "puback" and connection.is_own_beat(first):
            return
        if kind not in ("wake", "stop", "idle", "resend"):
            connection.owed.hear(self._clock.monotonic(), first if kind == "puback" else None)
        if self._area is not None and self._area.take_answer(kind, first, second):
            return
        if kind == "disconnect":
            self._outgoing.learn(first.value)
            if first.value == KEEPALIVE_TIMEOUT and not second:
                raise self._outgoing.silenced(connection.owed, self._clock.monotonic())
            raise connection.closed(first)
        if kind == "puback":
            self._outgoing.take_puback(state, first, second)
        elif kind == "message":
            self._execute_command(connection, state, first, second)
        elif kind == "resend":
            self._outgoing.window.begin_again(first)
        elif kind == "suback" and any(code.is_failure for code in second):
            mend = "allow this station to read it, or mqtt.commands = []"
            _log.warning("commands_not_readable", topic=f"{self._options.root}/cmd", mend=mend)

    def _execute_command(self, connection: Connection, state: RetainedState, topic: str, arrived: Arrived) -> None:
        name = topic.removeprefix(f"{self._options.root}/cmd/")
        if self._area is not None and self._area.take_message(topic, arrived):
            name = ""
        if self._on_command is not None and name in self._commands:
            reply = self._on_command(name, arrived.payload, arrived.origin)
            crash_point("command.obeyed")
            if reply is not None:
                connection.publish("reply", encode(reply))
                if reply.accepted:
                    state.publish_all(self._clock.monotonic())
        connection.take(arrived)  # only now: a command that a crash interrupts comes again

    def _say_goodbye(self, connection: Connection, state: RetainedState) -> None:
        self._outgoing.advance(state, last=True)  # whether or not the previous mark has arrived: the last one counts
        info = connection.publish("status", self._goodbye, retain=True)
        try:
            info.wait_for_publish(GOODBYE_S)
        except (RuntimeError, ValueError) as exc:
            _log.warning("goodbye_not_sent", reason=str(exc))
