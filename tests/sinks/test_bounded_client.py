"""`inspector.sinks.mqtt.bounded_client`: what somebody publishes on a topic that the station reads may be 256 MB."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import tracemalloc

import pytest
from brokers import packet
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from inspector.clock import SystemClock
from inspector.errors import BrokerError
from inspector.sinks.mqtt.bounded_client import MAX_PACKET_BYTES, BoundedClient
from inspector.sinks.mqtt.connection import Connector
from inspector.sinks.mqtt.options import MqttOptions

LENGTH = 20 << 20


class Generous:
    """A broker that accepts, and sends a message of 20 MB and a short one behind it.

    Attributes:
        connect: The CONNECT packet that came.
    """

    def __init__(self, new: bool) -> None:
        self._new = new
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.connect = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError), self._server:
            connection, _ = self._server.accept()
            with connection:
                self.connect = connection.recv(4096)
                connection.sendall(packet(0x20, b"\0\0\0" if self._new else b"\0\0"))
                head = b"\0\4long\0\7" + (b"\0" if self._new else b"")
                bits = [LENGTH >> shift & 127 for shift in (0, 7, 14, 21)]
                connection.sendall(bytes([0x32, *(byte | 128 for byte in bits[:3]), bits[3]]) + head)
                for at in range(len(head), LENGTH, 1 << 16):
                    connection.sendall(bytes(min(1 << 16, LENGTH - at)))
                connection.sendall(packet(0x30, b"\0\5short" + (b"\0" if self._new else b"") + b"hello"))
                connection.recv(4096)


@pytest.mark.parametrize(
    ("protocol", "header_bytes"),
    [pytest.param(MQTTProtocolVersion.MQTTv5, 9, id="5"), pytest.param(MQTTProtocolVersion.MQTTv311, 8, id="3.1.1")],
)
def test_of_a_long_message_the_head_is_kept(protocol: MQTTProtocolVersion, header_bytes: int) -> None:
    """It comes with topic and number, cut; memory does not grow with its length, and the next message is whole."""
    broker, arrived, both = Generous(protocol is MQTTProtocolVersion.MQTTv5), [], threading.Event()
    client = BoundedClient(CallbackAPIVersion.VERSION2, protocol=protocol, reconnect_on_failure=False)

    def take(_client: object, _data: object, message: object) -> None:
        arrived.append((message.topic, message.mid, len(message.payload)))  # type: ignore[attr-defined]
        if len(arrived) == 2:
            both.set()

    client.on_message = take
    tracemalloc.start()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    came = both.wait(10)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    client.disconnect()
    client.loop_stop()

    assert came
    assert arrived == [("long", 7, MAX_PACKET_BYTES - header_bytes), ("short", 0, 5)]
    assert peak_bytes < 4 << 20


def test_no_packet_waits_for_the_acknowledgement_of_the_one_before() -> None:
    """Nagle's algorithm would hold a message behind a heartbeat until the broker's kernel acknowledges: 40 ms."""
    broker = Generous(new=True)
    options = MqttOptions(port=broker.port, root="root", client_id="id", protocol="5")
    connector = Connector(options, SystemClock(), lambda _: None)
    opened: list[socket.socket] = []
    real = socket.create_connection

    def connect(*address: object, **more: object) -> socket.socket:
        opened.append(real(*address, **more))  # type: ignore[arg-type]
        return opened[-1].dup()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", connect)
        with contextlib.suppress(BrokerError), connector.connect(queue.SimpleQueue()):
            pass

    said = []
    for one in opened:
        with one:
            said.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert said == [1]


def test_a_broker_of_mqtt_5_is_told() -> None:
    """The CONNECT of a station carries the limit, so a broker passes a longer message over instead of sending it."""
    broker = Generous(new=True)
    options = MqttOptions(port=broker.port, root="root", client_id="id", protocol="5")
    connector = Connector(options, SystemClock(), lambda _: None)
    with contextlib.suppress(BrokerError), connector.connect(queue.SimpleQueue()):
        pass

    assert b"\x27" + struct.pack(">I", MAX_PACKET_BYTES) in broker.connect
