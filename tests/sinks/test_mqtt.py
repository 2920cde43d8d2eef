"""`inspector.sinks.mqtt` with brokers that mosquitto is not: answers in another order, or refused."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from fakes import LABELS, FakeClock
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from inspector.clock import SystemClock, to_timestamp_ms
from inspector.messages import MarkMessage, encode
from inspector.sinks.mqtt import publisher as mqtt
from inspector.sinks.mqtt import window
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.store.entries import OutboxRow, OutboxState
from inspector.telemetry.metrics import Metrics

pytestmark = pytest.mark.timeout(30)

SUBSCRIBE, PUBLISH, CONNECT = 8, 3, 1
Answer = Callable[[int, bytes], bytes]


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet of less than 128 bytes, or of less than 16,384."""
    length = len(body)
    size = bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])
    return bytes([kind]) + size + body


class ScriptedBroker:
    """Speaks just enough MQTT 5: CONNACK, and for SUBSCRIBE and PUBLISH (unset: PUBACK) what the test gives it."""

    def __init__(self, subscribed: Answer, published: Callable[[bytes, bytes], bytes] | None = None) -> None:
        self._subscribed = subscribed
        self._published = published or (lambda _topic, packet_id: packet(0x40, packet_id))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, connection.makefile("rb") as stream:
                    while head := stream.read(1):
                        self._answer(connection, head[0], stream.read(self._length(stream.read)))

    @staticmethod
    def _length(read: Callable[[int], bytes]) -> int:
        length = shift = 0
        while True:
            byte = read(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return length

    def _answer(self, connection: socket.socket, head: int, body: bytes) -> None:
        if head >> 4 == CONNECT:
            connection.sendall(packet(0x20, b"\x00\x00\x00"))
        elif head >> 4 == PUBLISH and head & 6:
            end = 2 + int.from_bytes(body[:2], "big")
            connection.sendall(self._published(body[2:end], body[end : end + 2]))
        elif head >> 4 == SUBSCRIBE:
            connection.sendall(self._subscribed(int.from_bytes(body[:2], "big"), body))

    def close(self) -> None:
        self._server.close()


def suback(packet_id: int, code: int) -> bytes:
    return packet(0x90, packet_id.to_bytes(2, "big") + b"\x00" + bytes([code]))


class Outbox:
    """Has delivered everything up to a number, and something waits behind it."""

    store_id = "store"

    def __init__(self, delivered: int, waiting: int = 0) -> None:
        self.delivered = delivered
        self.last = delivered + waiting

    def cursor(self, sink: str) -> int:
        return self.delivered

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        now_ms = to_timestamp_ms(SystemClock().now())
        return [
            OutboxRow(seq, "defect", b"{}", now_ms)
            for seq in range(after_seq + 1, min(self.last, after_seq + limit) + 1)
        ]

    def acknowledge(self, sink: str, seq: int) -> None:
        self.delivered = seq

    def outbox_state(self, sink: str) -> OutboxState:
        return OutboxState(0, 0, None, self.last)

    def first_kept_seq(self) -> int | None:
        return 1


@pytest.fixture
def deliver() -> Iterator[Callable[[Answer, str], list[dict[str, object]]]]:
    """Run a publisher against a scripted broker until it has logged an event; returns the log."""
    brokers: list[ScriptedBroker] = []

    def run(subscribed: Answer, event: str) -> list[dict[str, object]]:
        brokers.append(ScriptedBroker(subscribed))
        metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})
        options = MqttOptions("127.0.0.1", brokers[-1].port, "root", "id", protocol="5")
        with capture_logs() as logs:
            publisher = MqttPublisher(
                options,
                Outbox(100),
                SystemClock(),
                metrics,
                lambda: {"health": b"{}"},
                lambda *_: None,
                None,
                ("coil",),
            )
            publisher.start()
            pause = threading.Event()
            while not any(log["event"] == event for log in logs):
                pause.wait(0.02)
            publisher.stop(1.0)
        return [dict(log) for log in logs]

    yield run
    for broker in brokers:
        broker.close()


def test_commands_that_the_broker_denies_are_told(deliver: Callable[..., list[dict[str, object]]]) -> None:
    """A station that may not read `cmd/` says so in its log, with what mends it."""
    logs = deliver(lambda packet_id, body: suback(packet_id, 0x87 if b"/cmd/" in body else 0), "commands_not_readable")

    assert [log["topic"] for log in logs if log["event"] == "commands_not_readable"] == ["root/cmd"]


def test_a_mark_that_comes_before_the_answer_counts(deliver: Callable[..., list[dict[str, object]]]) -> None:
    """A broker may send the retained mark first: nothing is taken for lost, and nothing is sent again."""
    mark = encode(MarkMessage(store_id="store", seq=100))
    retained = packet(0x31, b"\x00\x09root/mark\x00" + mark)

    def subscribed(packet_id: int, body: bytes) -> bytes:
        return (retained if b"/mark" in body else b"") + suback(packet_id, 0)

    logs = deliver(subscribed, "broker_connected")
    assert [log.get("from_seq") for log in logs if log["event"] == "broker_connected"] == [101]
    assert not [log for log in logs if log["event"] == "broker_lost_messages"]


def test_what_came_before_a_quota_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker takes 10 of 20 messages and has enough for now: the rest follows later, nothing is lost or repeated."""
    monkeypatch.setattr(window, "REFUSED_PAUSE_S", 0.05)
    answers: list[bytes] = []
    sent = 0

    def published(topic: bytes, packet_id: bytes) -> bytes:
        nonlocal sent
        if topic != b"root/defect":
            return packet(0x40, packet_id)
        sent += 1
        answers.append(packet(0x40, packet_id if sent <= 10 or sent > 20 else packet_id + b"\x97\x00"))
        if sent < 20:
            return b""  # all 20 answers come at once
        return b"".join(answers) if sent == 20 else answers[-1]

    broker, outbox, lost = ScriptedBroker(lambda packet_id, _: suback(packet_id, 0), published), Outbox(0, 20), []
    metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})
    options = MqttOptions("127.0.0.1", broker.port, "root", "id", protocol="5")
    with capture_logs() as logs:
        publisher = MqttPublisher(
            options, outbox, SystemClock(), metrics, lambda: {"health": b"{}"}, lambda seq, _: lost.append(seq)
        )
        publisher.start()
        pause = threading.Event()
        while outbox.delivered < 20:
            pause.wait(0.02)
        publisher.stop(1.0)
    broker.close()

    assert (sent, lost) == (30, [])
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["quota_exceeded"]
    assert publisher.status.trouble is None


def test_a_broker_that_acknowledges_nothing_is_told_and_left(clock: FakeClock) -> None:
    """After a minute without a PUBACK health says so, once in the log; a new connection sends the same messages."""
    sent: list[bytes] = []
    mute = True

    def published(topic: bytes, packet_id: bytes) -> bytes:
        if topic == b"root/defect":
            sent.append(packet_id)
        return b"" if mute else packet(0x40, packet_id)

    broker, outbox = ScriptedBroker(lambda packet_id, _: suback(packet_id, 0), published), Outbox(0, 3)
    metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})
    options = MqttOptions("127.0.0.1", broker.port, "root", "id", protocol="5")
    pause, troubles = threading.Event(), list[str | None]()
    with capture_logs() as logs:
        publisher = MqttPublisher(options, outbox, clock, metrics, lambda: {"health": b"{}"}, lambda *_: None)
        publisher.start()
        for tries in (1, 2):
            while len(sent) < 3 * tries:
                pause.wait(0.02)
            troubles.append(publisher.status.trouble)
            for seconds in (mqtt.MUTE_AFTER_S - 1, 0.5):  # nobody is left a moment too early
                clock.advance(seconds)
                while publisher.progress_mono_s < clock.monotonic():
                    pause.wait(0.02)
            assert len(sent) == 3 * tries
            clock.advance(1)
        mute = False
        while outbox.delivered < 3:
            pause.wait(0.02)
        publisher.stop(1.0)
    broker.close()

    told = "the broker is connected and acknowledges nothing for 60 s"
    assert troubles == [None, told]
    assert [log["reason"] for log in logs if log["log_level"] == "warning"] == [told]
    assert publisher.status.trouble is None
    assert outbox.delivered == 3
