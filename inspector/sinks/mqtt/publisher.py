"""The broker session: one thread that owns it, a window of unacknowledged messages, and the mark.

The outbox is the queue; paho's own is never used, for it lives in memory and refuses the newest when full. Each
connection is a new client with a clean start: what the broker has not acknowledged is sent again from the outbox,
under the same ids. After each acknowledged window the retained `mark` tells how far the broker got; read back on
connect, it shows what a broker has lost, and everything after it is sent again.

PUBACK below 0x80 is success. "No matching subscribers" is success too, except shortly after a reconnect for topics
that had subscribers before: then consumers get a grace time to come back (MQTT 5 only; 3.1.1 cannot tell).
"""

from __future__ import annotations

import json
import queue
import random
import sqlite3
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from prometheus_client import CollectorRegistry

from inspector.clock import Clock, SystemClock, to_timestamp_ms
from inspector.errors import BrokerError
from inspector.faults import crash_point
from inspector.messages import MarkMessage, ReplyMessage, encode
from inspector.sinks.base import Outbox
from inspector.sinks.mqtt.options import BrokerStatus, MqttOptions, read_secret, tls_context
from inspector.store.entries import OutboxRow, OutboxState
from inspector.telemetry.metrics import Metrics

SINK = "mqtt"
MAX_REFUSALS = 5
"""A payload refused this often is set aside and reported as a loss."""
STATE_PERIOD_S = 5.0
"""Health is published again after this time without a change."""
HISTORICAL_AFTER_S = 60.0
"""A message older than this carries the user property `historical=1`."""
HANDSHAKE_TIMEOUT_S = 10.0
MARK_TIMEOUT_S = 1.0
MANY_LOSSES = 4
LOSSES_WITHIN_S = 60.0
_BACKOFF_S = (0.2, 10.0)
REFUSED_PAUSE_S = 5.0
"""Between two tries where the broker refuses everything, or for now."""
MUTE_AFTER_S = 60.0
"""A broker that owes an answer and gave none for this long is left, and tried anew."""
_NO_SUBSCRIBERS = 0x10
_QUOTA_EXCEEDED = 0x97
_LOGIN_CODES = {4, 5, 0x86, 0x87, 0x8A, 0x8C}
_PROTOCOL_CODES = {1, 0x84}


_log = structlog.get_logger("mqtt")


@dataclass(slots=True)
class _Session:
    """Book-keeping of one connection."""

    client: paho.Client
    version: MQTTProtocolVersion
    started_mono_s: float
    position: int
    acknowledged: int
    accepted: bool = False
    in_flight: dict[int, OutboxRow] = field(default_factory=dict)
    arrived: set[int] = field(default_factory=set)
    mids: dict[int, int] = field(default_factory=dict)
    mark_mid: int | None = None
    marked: int = 0
    hold_until_mono_s: float = 0.0
    heard_mono_s: float = 0.0
    looked_mono_s: float = 0.0
    told_mono_s: float = 0.0
    told_health: bytes = b""


_Event = tuple[str, Any, Any]


class MqttPublisher:
    """Delivers the outbox to a broker.

    Args:
        options: The broker.
        outbox: The store.
        clock: Time.
        metrics: Where connects, refusals and acknowledgements are counted.
        retained: Gives the retained payloads (`about`, `health`) by topic below the root, as of now.
        on_lost: Told of a message that the broker refused for good: `seq` and reason.
        on_command: Given the last level of a `cmd/...` topic and its payload; returns the reply.
        commands: Which of those topics are subscribed.
    """

    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
        retained: Callable[[], Mapping[str, bytes]],
        on_lost: Callable[[int, str], None],
        on_command: Callable[[str, bytes], ReplyMessage] | None = None,
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
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._stop_by_mono_s = 0.0
        self._goodbye = b"stopped"
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._refusals: dict[int, int] = {}
        self._matched: set[str] = set()
        self._denied: dict[str, str] = {}
        self._held: str | None = None
        self._unstable: str | None = None
        self._mute: str | None = None
        self._mute_since_mono_s = 0.0
        self._lost_mono_s: deque[float] = deque(maxlen=MANY_LOSSES)
        self._fallback = self._fallback_proved = self._old_answered = False
        self.status = BrokerStatus()
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None

    # --- Life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect and deliver."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the outbox, or in the retained state."""
        self._events.put(("wake", None, None))

    def stop(self, timeout_s: float, status: Literal["stopped", "offline"] = "stopped") -> None:
        """Deliver what is possible within `timeout_s` seconds, leave `status` behind, and end.

        Args:
            timeout_s: For what still waits in the outbox.
            status: `stopped` when somebody asked for it, `offline` when the station fails.
        """
        self._goodbye = status.encode()
        self._stop_by_mono_s = self._clock.monotonic() + timeout_s
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s + HANDSHAKE_TIMEOUT_S)

    def probe(self) -> str:
        """Connect, disconnect, and return the protocol version that the broker speaks.

        Raises:
            BrokerError: It is not there or refuses.
        """
        for last in (False, True):
            version, fallback = self._version(), self._fallback
            client = self._make_client(version, will=False)
            self._events = queue.SimpleQueue()
            self._wire(client, self._events)
            try:
                self._connect(client, version)
                return "5" if version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
            except BrokerError:
                if last or self._fallback == fallback:
                    raise
            finally:
                client.disconnect()
                client.loop_stop()
        raise AssertionError("the second try returns or raises")

    def _run(self) -> None:
        tries = 0
        try:
            while not self._stopping.is_set():
                self.progress_mono_s = self._clock.monotonic()
                try:
                    self._deliver()
                    tries = 0
                except BrokerError as exc:
                    if str(exc) != self._mute:
                        self._mute = None
                        self._tell_trouble()
                        if str(exc) != self.status.reason:
                            _log.warning("broker_unavailable", broker=self._options.address, reason=str(exc))
                    self.status.reason = str(exc)
                finally:
                    was = self.status.connected
                    if was and not self._stopping.is_set():
                        self._note_loss()
                    self.status.connected = False
                    self._metrics.mqtt_connected.set(0)
                    tries = 0 if was else tries + 1
                low, high = _BACKOFF_S
                self._stopping.wait(random.uniform(0.5, 1) * min(high, low * 2**tries))  # noqa: S311 - jitter
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("publisher_failed")

    def _note_loss(self) -> None:
        """Notice a connection that does not last: most often another client that uses the same id."""
        now = self._clock.monotonic()
        self._lost_mono_s.append(now)
        if len(self._lost_mono_s) == MANY_LOSSES and now - self._lost_mono_s[0] < LOSSES_WITHIN_S:
            self._unstable = (
                f"the connection is lost again and again: does another station use the topics {self._options.root}"
                f" or the client id {self._options.client_id}?"
            )
            _log.warning("connection_unstable", losses=MANY_LOSSES, within_s=LOSSES_WITHIN_S, reason=self._unstable)
        else:
            self._unstable = None
        self._tell_trouble()

    def _tell_trouble(self) -> None:
        denied = next(iter(self._denied.values()), None)
        self.status.trouble = self._mute or self._held or denied or self._unstable

    # --- Connecting -----------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        version = self._version()
        client = self._make_client(version)
        self._events = queue.SimpleQueue()
        self._wire(client, self._events)
        try:
            self._connect(client, version)
            if not self._may_stay(version):
                return
            session = self._open_session(client, version)
            self._metrics.mqtt_connected.set(1)
            self._metrics.mqtt_connects.inc()
            self.status.connected, self.status.reason = True, None
            self.status.protocol = "5" if version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
            _log.info("broker_connected", broker=self._options.address, protocol=self.status.protocol,
                      from_seq=session.position + 1)  # fmt: skip
            self._publish_state(session, {"status": b"online"})
            if self._commands:
                client.subscribe([(f"{self._options.root}/cmd/{name}", 1) for name in self._commands])
            self._pump(session)
            if self._stopping.is_set():
                self._say_goodbye(session)
        finally:
            client.disconnect()
            client.loop_stop()

    def _version(self) -> MQTTProtocolVersion:
        wanted = self._options.protocol
        if wanted == "3.1.1" or (wanted == "auto" and self._fallback):
            return MQTTProtocolVersion.MQTTv311
        return MQTTProtocolVersion.MQTTv5

    def _may_stay(self, version: MQTTProtocolVersion) -> bool:
        """Say whether to go on with this version.

        3.1.1 says less, and a broker that starts behind a proxy closes connections of any version: unless it refused
        MQTT 5 by its name, that is tried once more.
        """
        if version is MQTTProtocolVersion.MQTTv5 or self._options.protocol == "3.1.1":
            self._old_answered = False
            return True
        if self._fallback_proved:
            return True
        self._fallback, self._old_answered = False, True
        return False

    def _make_client(self, version: MQTTProtocolVersion, will: bool = True) -> paho.Client:
        options = self._options
        old = version is MQTTProtocolVersion.MQTTv311
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=version,
            clean_session=True if old else None,
            reconnect_on_failure=False,
        )
        client.connect_timeout = 5.0
        client.max_inflight_messages_set(options.window + 10)
        if will:
            client.will_set(f"{options.root}/status", b"offline", qos=1, retain=True)
        if options.username is not None:
            client.username_pw_set(options.username, read_secret(options.password_file, "mqtt.password_file"))
        if options.tls:
            client.tls_set_context(tls_context(options))
        return client

    @staticmethod
    def _wire(client: paho.Client, events: queue.SimpleQueue[_Event]) -> None:
        # paho calls these while it holds its own locks, so they do nothing but hand over.
        client.on_connect = lambda _c, _u, _f, code, _p: events.put(("connack", code, None))
        client.on_disconnect = lambda _c, _u, _f, code, _p: events.put(("disconnect", code, None))
        client.on_publish = lambda _c, _u, mid, code, _p: events.put(("puback", mid, code))
        client.on_subscribe = lambda _c, _u, mid, codes, _p: events.put(("suback", mid, codes))
        client.on_message = lambda _c, _u, message: events.put(("message", message.topic, bytes(message.payload)))

    def _connect(self, client: paho.Client, version: MQTTProtocolVersion) -> None:
        options = self._options
        try:
            if version is MQTTProtocolVersion.MQTTv5:
                client.connect(options.host, options.port, options.keepalive_s, clean_start=True)
            else:
                client.connect(options.host, options.port, options.keepalive_s)
        except ssl.SSLError as exc:
            self._metrics.mqtt_rejected.labels("certificate").inc()
            raise BrokerError(f"TLS with {options.address} failed: {exc}") from exc
        except (OSError, ValueError) as exc:
            self._metrics.mqtt_rejected.labels("unreachable").inc()
            raise BrokerError(f"no broker at {options.address}: {exc}") from exc
        client.loop_start()
        kind, code, _ = self._wait_for({"connack", "disconnect"}, HANDSHAKE_TIMEOUT_S)
        if kind == "connack" and not code.is_failure:
            return
        if kind == "connack":
            reason = (
                "login" if code.value in _LOGIN_CODES else "protocol" if code.value in _PROTOCOL_CODES else "refused"
            )
            self._metrics.mqtt_rejected.labels(reason).inc()
            why = f"refuses this client: {code}"
            if reason == "protocol":
                self._fall_back(version, why, proved=True)
            raise BrokerError(f"broker {options.address} {why}")
        reason = "refused" if kind else "unreachable"
        self._metrics.mqtt_rejected.labels(reason).inc()
        why = "closes the connection before it answers" if kind else "does not answer"
        if kind:
            why += "" if options.tls else " (a TLS port? mqtt.tls = true)"
            self._fall_back(version, why, proved=self._old_answered)
        raise BrokerError(f"broker {options.address} {why}")

    def _fall_back(self, version: MQTTProtocolVersion, why: str, proved: bool) -> None:
        if self._options.protocol == "auto":
            self._fallback = version is MQTTProtocolVersion.MQTTv5
            self._fallback_proved = self._fallback and proved
            self._old_answered = self._old_answered and self._fallback
            if self._fallback_proved:
                _log.warning("trying_mqtt_3_1_1", broker=self._options.address, why=why)

    def _wait_for(self, kinds: set[str], timeout_s: float) -> tuple[str | None, Any, Any]:
        end = self._clock.monotonic() + timeout_s
        while (left := end - self._clock.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                break
            if event[0] in kinds:
                return event
            if event[0] == "disconnect":
                raise BrokerError(f"broker {self._options.address} closed the connection: {event[1]}")
        return None, None, None

    def _open_session(self, client: paho.Client, version: MQTTProtocolVersion) -> _Session:
        cursor = self._outbox.cursor(SINK)
        start = cursor
        if cursor > 0:
            mark = self._read_mark(client)
            kept = self._outbox.first_kept_seq()
            horizon = cursor if kept is None else min(cursor, kept - 1)
            if mark is not None and mark < cursor:
                start = max(horizon, mark)
                _log.warning("broker_lost_messages", acknowledged=cursor, found=mark, resend_from=start + 1)
        return _Session(client, version, self._clock.monotonic(), start, start)

    def _read_mark(self, client: paho.Client) -> int | None:
        """Return the broker's mark; 0 when it has none; None when it may not be read, or is another store's."""
        topic = f"{self._options.root}/mark"
        result, _ = client.subscribe(topic, qos=1)
        payload: bytes | None = None
        codes: Any = None
        while codes is None or payload is None:  # MQTT lets the message come before the answer
            kind, _, content = self._wait_for(
                {"suback", "message"}, HANDSHAKE_TIMEOUT_S if codes is None else MARK_TIMEOUT_S
            )
            if kind == "message":
                payload = content
            elif kind == "suback":
                codes = content
            else:
                break
        if result is not MQTTErrorCode.MQTT_ERR_SUCCESS or codes is None or any(code.is_failure for code in codes):
            _log.warning("mark_not_readable", topic=topic, mend="allow this station to read its own mark")
            return None
        client.unsubscribe(topic)
        if payload is None:
            return 0
        try:
            mark = MarkMessage.model_validate(json.loads(payload))
        except ValueError:
            _log.warning("mark_not_understood", topic=topic, payload=payload[:200])
            return 0
        if mark.store_id != self._outbox.store_id:
            _log.warning("mark_of_another_store", topic=topic, store_id=mark.store_id)
            return None  # somebody else publishes here, or did: what we sent is no less there for it
        return mark.seq

    # --- Delivering -----------------------------------------------------------------------------------------------

    def _pump(self, session: _Session) -> None:
        while True:
            now = self._clock.monotonic()
            self.progress_mono_s = now
            if now >= session.hold_until_mono_s:
                room = self._options.window - len(session.in_flight)
                if room > 0:
                    for row in self._outbox.pending(session.position, room):
                        self._send(session, row)
                        session.position = row.seq
            if self._stopping.is_set() and (
                now >= self._stop_by_mono_s or not (session.in_flight or self._outbox.pending(session.position, 1))
            ):
                return
            try:
                event = self._events.get(timeout=0.5)
            except queue.Empty:
                event = ("idle", None, None)
            while True:
                if event[0] == "disconnect":
                    raise BrokerError(f"broker {self._options.address} closed the connection: {event[1]}")
                if event[0] == "puback":
                    self._take_ack(session, event[1], event[2])
                elif event[0] == "message":
                    self._obey(session, event[1], event[2])
                elif event[0] == "suback" and any(code.is_failure for code in event[2]):
                    mend = "allow this station to read it, or mqtt.commands = []"
                    _log.warning("commands_not_readable", topic=f"{self._options.root}/cmd", mend=mend)
                try:
                    event = self._events.get_nowait()
                except queue.Empty:
                    break
            self._require_answer(session)
            self._advance(session)
            self._refresh_state(session)

    def _require_answer(self, session: _Session) -> None:
        """Leave a broker that takes messages and acknowledges none: a new connection is the one thing to try.

        Raises:
            BrokerError: It is so.
        """
        now = self._clock.monotonic()
        if not session.in_flight or now - session.heard_mono_s <= MUTE_AFTER_S:
            return
        first = self._mute is None
        if first:
            self._mute_since_mono_s = session.heard_mono_s
        self._mute = f"the broker is connected and acknowledges nothing for {now - self._mute_since_mono_s:.0f} s"
        if first:
            _log.warning("broker_mute", broker=self._options.address, in_flight=len(session.in_flight),
                         reason=self._mute)  # fmt: skip
        self._tell_trouble()
        raise BrokerError(self._mute)

    def _obey(self, session: _Session, topic: str, payload: bytes) -> None:
        if self._on_command is None or "/cmd/" not in topic:
            return
        reply = self._on_command(topic.rpartition("/")[2], payload)
        session.client.publish(f"{self._options.root}/reply", encode(reply), qos=1)
        if reply.accepted:
            self._publish_state(session, {})

    def _send(self, session: _Session, row: OutboxRow) -> None:
        properties = None
        if session.version is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
            if to_timestamp_ms(self._clock.now()) - row.stored_ms > HISTORICAL_AFTER_S * 1000:
                properties.UserProperty = ("historical", "1")
        info = session.client.publish(f"{self._options.root}/{row.topic}", row.payload, qos=1, properties=properties)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerError(f"broker {self._options.address}: cannot send: {info.rc.name}")
        crash_point("publish.sent")
        if not session.in_flight:
            session.heard_mono_s = self._clock.monotonic()
        session.mids[info.mid] = row.seq
        session.in_flight[row.seq] = row

    def _take_ack(self, session: _Session, mid: int, code: Any) -> None:
        session.heard_mono_s = self._clock.monotonic()
        if self._mute is not None:
            self._mute = None
            self._tell_trouble()
        if not (code.is_failure or session.accepted):
            session.accepted = True
            self._release()
        if mid == session.mark_mid:
            session.mark_mid = None
            return
        seq = session.mids.pop(mid, None)
        if seq is None or (row := session.in_flight.pop(seq, None)) is None:
            return
        now = self._clock.monotonic()
        if code.is_failure:
            self._metrics.mqtt_rejected.labels("publish").inc()
            if code.value == _QUOTA_EXCEEDED or not session.accepted:
                self._hold(session, row, now, code)
                return
            self._refusals[seq] = self._refusals.get(seq, 0) + 1
            if self._refusals[seq] < MAX_REFUSALS and row.topic not in self._denied:
                _log.warning("message_refused", seq=seq, topic=row.topic, reason=str(code), tries=self._refusals[seq])
                self._rewind(session, now + 0.2 * 2 ** self._refusals[seq])
                return
            del self._refusals[seq]
            # What follows on this topic is tried once: alarms must not wait behind it.
            self._denied[row.topic] = f"the broker refuses the topic {row.topic}: {code}"
            self._tell_trouble()
            self._metrics.outbox_lost.labels("rejected").inc()
            if row.topic != "coverage":  # a refused report of a loss is not reported again, without end
                self._on_lost(seq, f"refused by the broker: {code}")
        elif code.value == _NO_SUBSCRIBERS and row.topic in self._matched:
            if now - session.started_mono_s < self._options.subscriber_grace_s:
                self._rewind(session, now + 0.5)
                return
            self._matched.discard(row.topic)
        elif code.value == 0:
            self._matched.add(row.topic)
        if not code.is_failure:
            self._denied.pop(row.topic, None)
            self._release()
        session.arrived.add(seq)
        wall_ms = to_timestamp_ms(self._clock.now())
        self._metrics.last_puback.set(wall_ms / 1000)
        self._metrics.delivery_seconds.observe(max(0, wall_ms - row.stored_ms) / 1000)

    def _hold(self, session: _Session, row: OutboxRow, now: float, code: Any) -> None:
        """Keep everything and try again later: whoever refuses all, or for now, has a rule to mend, not a message."""
        session.in_flight[row.seq] = row
        self._advance(session)  # what came before it has arrived, and is not sent again
        if self._held is None:
            whole = code.value != _QUOTA_EXCEEDED
            self._held = (
                f"the broker refuses every topic below {self._options.root}: {code}"
                if whole
                else f"the broker takes no more messages for now: {code}"
            )
            _log.warning("everything_refused" if whole else "quota_exceeded", root=self._options.root,
                         username=self._options.username, reason=str(code))  # fmt: skip
        self._tell_trouble()
        self._rewind(session, now + REFUSED_PAUSE_S)

    def _release(self) -> None:
        self._held = None
        self._tell_trouble()

    @staticmethod
    def _rewind(session: _Session, hold_until_mono_s: float) -> None:
        """Send everything that is not acknowledged again, in order, after a pause."""
        session.mids.clear()
        session.in_flight.clear()
        session.arrived = {seq for seq in session.arrived if seq <= session.acknowledged}
        session.position = session.acknowledged
        session.hold_until_mono_s = hold_until_mono_s

    def _advance(self, session: _Session) -> None:
        """Move the cursor over everything that has arrived without a hole, and leave the mark."""
        waiting = min(session.in_flight, default=session.position + 1)
        reached = max((seq for seq in session.arrived if seq < waiting), default=session.acknowledged)
        if reached > session.acknowledged:
            session.acknowledged = reached
            session.arrived = {seq for seq in session.arrived if seq > reached}
            if reached > self._outbox.cursor(SINK):
                crash_point("cursor.before")
                try:
                    self._outbox.acknowledge(SINK, reached)
                except sqlite3.OperationalError as exc:  # the disk is full: sent again after a restart, at worst
                    _log.warning("cursor_not_stored", seq=reached, reason=str(exc))
        if session.mark_mid is None and session.acknowledged > session.marked:
            mark = MarkMessage(store_id=self._outbox.store_id, seq=session.acknowledged)
            info = session.client.publish(f"{self._options.root}/mark", encode(mark), qos=1, retain=True)
            crash_point("mark.sent")
            session.mark_mid, session.marked = info.mid, session.acknowledged

    # --- Retained state -------------------------------------------------------------------------------------------

    def _refresh_state(self, session: _Session) -> None:
        """Publish health when it changed, looked at five times a second, and every `STATE_PERIOD_S`."""
        now = self._clock.monotonic()
        if now - session.looked_mono_s < 0.2:
            return
        session.looked_mono_s = now
        if self._unstable and now - session.started_mono_s > LOSSES_WITHIN_S:
            self._unstable = None
            self._tell_trouble()
        health = self._retained().get("health", b"")
        if now - session.told_mono_s >= STATE_PERIOD_S or _without_expiry(health) != session.told_health:
            self._publish_retained(session, "health", health)

    def _publish_state(self, session: _Session, first: Mapping[str, bytes]) -> None:
        for topic, payload in {**first, **self._retained()}.items():
            self._publish_retained(session, topic, payload)

    def _publish_retained(self, session: _Session, topic: str, payload: bytes) -> None:
        if topic == "health":
            session.told_health, session.told_mono_s = _without_expiry(payload), self._clock.monotonic()
        session.client.publish(f"{self._options.root}/{topic}", payload, qos=1, retain=True)

    def _say_goodbye(self, session: _Session) -> None:
        session.mark_mid = None  # whether or not the one before has arrived: the last word counts
        self._advance(session)
        info = session.client.publish(f"{self._options.root}/status", self._goodbye, qos=1, retain=True)
        try:
            info.wait_for_publish(2.0)
        except (RuntimeError, ValueError) as exc:
            _log.warning("goodbye_not_sent", reason=str(exc))


def _without_expiry(health: bytes) -> bytes:
    if not health:
        return b""
    parsed = json.loads(health)
    parsed.pop("valid_until", None)
    return json.dumps(parsed, sort_keys=True).encode()


def probe_broker(options: MqttOptions) -> str:
    """Connect once, without publishing anything or disturbing a running station, and return the protocol version.

    Raises:
        BrokerError: As the daemon would say it.
    """
    quiet = replace(options, client_id=f"{options.client_id}-check")
    metrics = Metrics(CollectorRegistry(), (), {})
    publisher = MqttPublisher(quiet, _NoOutbox(), SystemClock(), metrics, dict, lambda _seq, _why: None)
    return publisher.probe()


class _NoOutbox:
    store_id = ""

    def cursor(self, sink: str) -> int:
        return 0

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        return []

    def acknowledge(self, sink: str, seq: int) -> None:
        pass

    def outbox_state(self, sink: str) -> OutboxState:
        return OutboxState(0, 0, None, 0)

    def first_kept_seq(self) -> int | None:
        return None
