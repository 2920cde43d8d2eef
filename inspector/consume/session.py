"""A durable session at a broker that only reads: what arrives stays there until it is acknowledged here.

The broker keeps the session while the consumer is away. A new client for each connection: an acknowledgement of an
earlier one never reaches the next.
"""

from __future__ import annotations

import queue
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from inspector.errors import BrokerError
from inspector.sinks.mqtt.bounded_client import BoundedClient
from inspector.sinks.mqtt.options import MqttOptions, read_secret, tls_context

SESSION_S = 7 * 86400
"""How long the broker keeps the session of a consumer that is away."""
MAX_PACKET_BYTES = 4 << 20
"""Longest packet that is read; a station's messages have some KB."""
RECEIVE_MAXIMUM = 200
"""Messages that may come before the first of them is acknowledged."""
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Come:
    """A message that came, to be acknowledged on the connection that brought it."""

    topic: str
    payload: bytes
    packet_id: int
    qos: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection ended, and why."""

    reason: str


Event = Come | Ended


class Session:
    """An open connection of the session; made by `open_session`.

    Attributes:
        events: What comes.
    """

    def __init__(self, client: paho.Client, options: MqttOptions) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client = client
        self._options = options
        # paho calls these while it holds its own locks, so they only hand over.
        client.on_message = lambda _c, _u, m: self.events.put(Come(m.topic, bytes(m.payload), m.mid, m.qos))
        client.on_connect = lambda _c, _u, _f, code, _p: self._answers.put(("connack", [code]))
        client.on_subscribe = lambda _c, _u, _mid, codes, _p: self._answers.put(("suback", codes))
        client.on_disconnect = lambda _c, _u, _f, code, _p: self._end(code)

    def _end(self, code: Any) -> None:
        self.events.put(Ended(f"broker {self._options.address} closed the connection: {code}"))
        self._answers.put(("end", [code]))

    def take(self, come: Come) -> None:
        """Acknowledge a message; it does not come again."""
        self._client.ack(come.packet_id, come.qos)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish something, QoS 1."""
        self._client.publish(topic, payload, qos=1)

    def expect(self, kind: str) -> None:
        """Wait for an answer.

        Raises:
            BrokerError: It does not come, or refuses.
        """
        try:
            got, codes = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise BrokerError(f"broker {self._options.address} does not answer") from None
        if got != kind or any(code.is_failure for code in codes):
            raise BrokerError(f"broker {self._options.address} refuses: {codes[0]}")


@contextmanager
def open_session(options: MqttOptions, filters: Sequence[str], states: Sequence[str] = ()) -> Iterator[Session]:
    """Connect, subscribe, and disconnect at the end; the broker keeps the session.

    Args:
        options: The broker; `client_id` names the session.
        filters: Topics to subscribe.
        states: Topics whose retained payload is asked for, too, at each connection.

    Raises:
        BrokerError: The broker is not there, refuses, or a file for it cannot be read.
    """
    old = options.protocol == "3.1.1"
    client = BoundedClient(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=MQTTProtocolVersion.MQTTv311 if old else MQTTProtocolVersion.MQTTv5,
        clean_session=False if old else None,
        reconnect_on_failure=False,
        manual_ack=True,
        limit_bytes=MAX_PACKET_BYTES,
    )
    client.connect_timeout = 5.0
    if options.username is not None:
        client.username_pw_set(options.username, read_secret(options.password_file, "--password-file"))
    if options.tls:
        client.tls_set_context(tls_context(options))
    session = Session(client, options)
    try:
        _dial(client, options, old)
        client.loop_start()
        session.expect("connack")
        once = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        every = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
        named = [*((name, once) for name in filters), *((name, every) for name in states)]
        asked = client.subscribe([(name, 1) for name, _ in named] if old else named)
        if asked[0] is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerError(f"broker {options.address}: cannot subscribe: {asked[0].name}")
        session.expect("suback")
        yield session
    finally:
        client.disconnect()
        client.loop_stop()


def _dial(client: paho.Client, options: MqttOptions, old: bool) -> None:
    try:
        if old:
            client.connect(options.host, options.port, options.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect(options.host, options.port, options.keepalive_s, clean_start=False, properties=properties)
    except (OSError, ValueError, ssl.SSLError) as exc:
        raise BrokerError(f"no broker at {options.address}: {exc}") from exc
