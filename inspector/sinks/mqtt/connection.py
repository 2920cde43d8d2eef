"""One connection to a broker: connect, fall back to MQTT 3.1.1, publish, subscribe. It knows no outbox and no window.

Each connection is a new client. The broker keeps a session for it, in which commands wait for a station that
restarts; what the station sends is kept in the outbox and not in a session. paho calls back on a thread of its own and
reports events into a queue that the owner reads.
"""

from __future__ import annotations

import queue
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from inspector.clock import Clock, SystemClock
from inspector.command_table import Origin
from inspector.errors import BrokerError
from inspector.sinks.mqtt.bounded_client import MAX_PACKET_BYTES, BoundedClient
from inspector.sinks.mqtt.limits import PeerLimits
from inspector.sinks.mqtt.options import MqttOptions, read_secret, tls_context
from inspector.sinks.mqtt.protocol import ProtocolChoice
from inspector.sinks.mqtt.silence import Owed

HANDSHAKE_TIMEOUT_S = 10.0
SESSION_EXPIRY_S = 86400
"""How long the broker keeps commands for a disconnected station."""
FAREWELL_S = 0.5
"""How long the end of a connection may take; a broker that hangs is left without it."""
RETAINED_TIMEOUT_S = 1.0
"""A retained message comes within this time after the subscription is granted, or does not exist."""
_LOGIN_CODES = {4, 5, 0x86, 0x87, 0x8A, 0x8C}
_PROTOCOL_CODES = {1, 0x84}

Event = tuple[str, Any, Any]
"""What happened: `connack` (code, properties), `disconnect` (code, by the broker), `puback` (packet id, code),
`suback` (packet id, codes), `message` (topic, `Arrived`), `wake`, `stop`, `idle`."""
Events = queue.SimpleQueue[Event]

_log = structlog.get_logger("mqtt")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message from the broker.

    Attributes:
        payload: As it arrived.
        retained: The broker had kept it.
        packet_id, qos: For the answer by `Connection.take`.
        again: The broker sends it again.
    """

    payload: bytes
    retained: bool
    packet_id: int
    qos: int
    again: bool = False

    @property
    def origin(self) -> Origin:
        """How a command came, if it is one."""
        return Origin(self.retained, self.packet_id if self.qos else None, self.again)

    @classmethod
    def of(cls, message: paho.MQTTMessage) -> Arrived:
        """Return a message of paho's."""
        return cls(bytes(message.payload), message.retain, message.mid, message.qos, message.dup)


class Connection:
    """A client, and what it reports; made by `Connector`.

    Attributes:
        version: The version it speaks.
        events: Where its events go.
        limits: What the broker can take.
        early: Messages that came before events were read: a session delivers them at once.
        owed: Answers that the broker owes.
    """

    def __init__(
        self, client: paho.Client, version: MQTTProtocolVersion, options: MqttOptions, events: Events, clock: Clock
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self.version = version
        self.events = events
        self.early: list[Event] = []
        self.limits = PeerLimits()
        self.owed = Owed()
        self._beat: int | None = None
        # paho calls these while it holds its own locks, so they only hand over.
        client.on_connect = lambda _c, _u, _f, code, said: events.put(("connack", code, said))
        client.on_disconnect = lambda _c, _u, flags, code, _p: events.put(
            ("disconnect", code, flags.is_disconnect_packet_from_server)
        )
        client.on_publish = lambda _c, _u, mid, code, _p: events.put(("puback", mid, code))
        client.on_subscribe = lambda _c, _u, mid, codes, _p: events.put(("suback", mid, codes))
        client.on_message = lambda _c, _u, message: events.put(("message", message.topic, Arrived.of(message)))

    @property
    def protocol(self) -> str:
        """5 or 3.1.1."""
        return "5" if self.version is MQTTProtocolVersion.MQTTv5 else "3.1.1"

    def closed(self, code: Any) -> BrokerError:
        """Return the error that a `disconnect` is."""
        return BrokerError(f"broker {self._options.address} closed the connection: {code}")

    def wait_for(self, kinds: set[str], timeout_s: float) -> tuple[str | None, Any, Any]:
        """Wait for the first event of these kinds; keep commands that come before, and drop others.

        Returns:
            The event, or nothing after `timeout_s`.

        Raises:
            BrokerError: The broker closed the connection meanwhile.
        """
        end = self._clock.monotonic() + timeout_s
        while (left := end - self._clock.monotonic()) > 0:
            try:
                event = self.events.get(timeout=left)
            except queue.Empty:
                break
            if event[0] in kinds:
                return event
            if event[0] == "disconnect":
                raise self.closed(event[1])
            if event[0] == "stop":
                raise BrokerError(f"broker {self._options.address} has not answered before the stop")
            if event[0] == "message":
                self.early.append(event)
        return None, None, None

    def send(self, topic: str, payload: bytes, historical: bool) -> int:
        """Publish a message below the root, QoS 1, and return its packet id.

        A connection that has just ended raises nothing: the message may be the reason, and `disconnect` follows.

        Args:
            topic: Below the root.
            payload: JSON.
            historical: It is old: on MQTT 5 it carries the user property `historical=1`.

        Raises:
            BrokerError: It cannot be sent.
        """
        properties = None
        if self.version is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
            if historical:
                properties.UserProperty = ("historical", "1")
        info = self._client.publish(f"{self._options.root}/{topic}", payload, qos=1, properties=properties)
        if info.rc not in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN}:
            raise BrokerError(f"broker {self._options.address}: cannot send: {info.rc.name}")
        self.owed.add(info.mid, self._clock.monotonic())
        return info.mid

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> paho.MQTTMessageInfo:
        """Publish something that is not from the outbox, below the root, QoS 1."""
        kept = retain and self.limits.retains
        info = self._client.publish(f"{self._options.root}/{topic}", payload, qos=1, retain=kept)
        self.owed.add(info.mid, self._clock.monotonic())
        return info

    def publish_full(self, topic: str, payload: bytes) -> int:
        """Publish on a topic outside the root, QoS 1, retained, and return its packet id."""
        info = self._client.publish(topic, payload, qos=1, retain=self.limits.retains)
        self.owed.add(info.mid, self._clock.monotonic())
        return info.mid

    def subscribe_full(self, topic: str) -> int | None:
        """Ask for topics outside the root, with what is kept on them, and return the packet id.

        QoS 0: nothing of it waits in the session of a station that is away.
        """
        return self._client.subscribe(topic, qos=0)[1]

    def beat(self, payload: bytes) -> None:
        """Publish a heartbeat, QoS 0, unless the previous one still waits for the network: a late one says nothing."""
        if self._beat is None:
            self._beat = self._client.publish(f"{self._options.root}/heartbeat", payload, qos=0).mid

    def is_own_beat(self, packet_id: int) -> bool:
        """Say whether this packet is the heartbeat that has just left: nothing that the broker said."""
        if packet_id != self._beat:
            return False
        self._beat = None
        return True

    def take(self, arrived: Arrived) -> None:
        """Acknowledge a message to the broker; otherwise the next connection gets it again."""
        self._client.ack(arrived.packet_id, arrived.qos)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics below the root; the answer comes as `suback`.

        What the broker keeps on them comes once for each session (MQTT 5), or with each connection (3.1.1).
        """
        names = [f"{self._options.root}/{topic}" for topic in topics]
        if self.version is MQTTProtocolVersion.MQTTv5:
            once = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            self._client.subscribe([(name, once) for name in names])
        else:
            self._client.subscribe([(name, 1) for name in names])

    def read_retained(self, topic: str) -> bytes | None:
        """Return the retained message of a topic below the root; empty: none; None: it may not be read."""
        full = f"{self._options.root}/{topic}"
        result, _ = self._client.subscribe(full, qos=1)
        payload: bytes | None = None
        codes: Any = None
        while codes is None or payload is None:  # MQTT lets the message come before the answer
            limit_s = HANDSHAKE_TIMEOUT_S if codes is None else RETAINED_TIMEOUT_S
            kind, name, content = self.wait_for({"suback", "message"}, limit_s)
            if kind == "message":
                if name != full:
                    self.early.append((kind, name, content))
                    continue
                payload = content.payload
                self.take(content)
            elif kind == "suback":
                codes = content
            else:
                break
        if result is not MQTTErrorCode.MQTT_ERR_SUCCESS or codes is None or any(code.is_failure for code in codes):
            return None
        self._client.unsubscribe(full)
        return payload or b""


class Connector:
    """Makes connections to one broker, one at a time.

    Args:
        options: The broker.
        clock: Time.
        rejected: Called with the reason of each refusal, a label of the metric `mqtt_rejected_total`.
    """

    def __init__(self, options: MqttOptions, clock: Clock, rejected: Callable[[str], object]) -> None:
        self._options = options
        self._clock = clock
        self._rejected = rejected
        self._in_flight = options.window + 10
        self.choice = ProtocolChoice(options)

    @contextmanager
    def connect(self, events: Events, will: bool = True) -> Iterator[Connection]:
        """Connect, and disconnect at the end.

        Args:
            events: Where the connection reports; a new queue for each.
            will: Have the broker publish `status` = offline if the connection breaks.

        Raises:
            BrokerError: The broker is not there, refuses this client, or a file for it cannot be read.
        """
        with self._dial_once(events, will) as connection:
            if connection.limits.in_flight >= self._in_flight:
                yield connection
                return
            self._in_flight = connection.limits.in_flight  # a client keeps what is set before it connects
        while not events.empty():  # what the first one reported, its end above all
            events.get()
        with self._dial_once(events, will) as connection:
            yield connection

    @contextmanager
    def _dial_once(self, events: Events, will: bool) -> Iterator[Connection]:
        version = self.choice.version()
        client = self._make_client(version, will)
        try:
            connection = Connection(client, version, self._options, events, self._clock)
            self._shake_hands(client, connection, keep=will)
            yield connection
        finally:
            _end(client, events)

    def _make_client(self, version: MQTTProtocolVersion, will: bool) -> paho.Client:
        options = self._options
        old = version is MQTTProtocolVersion.MQTTv311
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=version,
            clean_session=(not will) if old else None,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = 5.0
        client.max_inflight_messages_set(self._in_flight)
        if will:
            client.will_set(f"{options.root}/status", b"offline", qos=1, retain=True)
        if options.username is not None:
            client.username_pw_set(options.username, read_secret(options.password_file, "mqtt.password_file"))
        if options.tls:
            client.tls_set_context(tls_context(options))
        return client

    def _shake_hands(self, client: paho.Client, connection: Connection, keep: bool) -> None:
        self._dial(client, connection.version, keep)
        client.loop_start()
        kind, code, said = connection.wait_for({"connack", "disconnect"}, HANDSHAKE_TIMEOUT_S)
        if kind == "connack" and not code.is_failure:
            connection.limits = PeerLimits.of(said)
            if connection.limits.qos < 1:
                self._rejected("refused")
                raise BrokerError(f"broker {self._options.address} takes QoS 0 only: it acknowledges no message")
            return
        if kind == "connack":
            reason = (
                "login" if code.value in _LOGIN_CODES else "protocol" if code.value in _PROTOCOL_CODES else "refused"
            )
            self._rejected(reason)
            why = f"refuses this client: {code}"
            if reason == "protocol":
                self.choice.refused(connection.version, why, by_name=True)
            raise BrokerError(f"broker {self._options.address} {why}")
        self._rejected("refused" if kind else "unreachable")
        why = "closes the connection before it answers" if kind else "does not answer"
        if kind:
            why += "" if self._options.tls else " (a TLS port? mqtt.tls = true)"
            self.choice.refused(connection.version, why, by_name=False)
        raise BrokerError(f"broker {self._options.address} {why}")

    def _dial(self, client: paho.Client, version: MQTTProtocolVersion, keep: bool) -> None:
        options = self._options
        try:
            if version is MQTTProtocolVersion.MQTTv5:
                session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                session.SessionExpiryInterval = SESSION_EXPIRY_S if keep else 0
                session.MaximumPacketSize = MAX_PACKET_BYTES
                client.connect(
                    options.host, options.port, options.keepalive_s, clean_start=not keep, properties=session
                )
            else:
                client.connect(options.host, options.port, options.keepalive_s)
        except ssl.SSLError as exc:
            self._rejected("certificate")
            raise BrokerError(f"TLS with {options.address} failed: {exc}") from exc
        except (OSError, ValueError) as exc:
            self._rejected("unreachable")
            raise BrokerError(f"no broker at {options.address}: {exc}") from exc


def _end(client: paho.Client, events: Events) -> None:
    """Disconnect; a broker that does not take what is left is not waited for."""
    if client.disconnect() is MQTTErrorCode.MQTT_ERR_SUCCESS:
        with suppress(queue.Empty):
            while events.get(timeout=FAREWELL_S)[0] != "disconnect":
                pass
    if (left := client.socket()) is not None:  # paho's thread ends with its socket, or when all is sent
        with suppress(OSError):
            cast(socket.socket, left).shutdown(socket.SHUT_RDWR)
    client.loop_stop()


def probe_broker(options: MqttOptions) -> str:
    """Connect once, without publishing anything or disturbing a running station, and return the protocol version.

    Raises:
        BrokerError: It is not there or refuses; with the text that the daemon would log.
    """
    quiet = options.model_copy(update={"client_id": f"{options.client_id}-check"})
    connector = Connector(quiet, SystemClock(), rejected=lambda _reason: None)
    first = connector.choice.version()
    try:
        return _probe_once(connector)
    except BrokerError:
        if connector.choice.version() is first:
            raise
    return _probe_once(connector)


def _probe_once(connector: Connector) -> str:
    with connector.connect(queue.SimpleQueue(), will=False) as connection:
        return connection.protocol
