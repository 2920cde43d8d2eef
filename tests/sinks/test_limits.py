"""`inspector.sinks.mqtt.limits`: what a broker can take is read from it, or learned from the connections it closes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from brokers import (
    CONNECT,
    PUBLISH,
    Changes,
    MemoryAside,
    MemoryNotes,
    ScriptedBroker,
    ScriptedOutbox,
    packet,
    puback,
    rows,
)
from fakes import LABELS
from prometheus_client import CollectorRegistry

from inspector.clock import SystemClock
from inspector.sinks.mqtt.limits import MAX_DROPS, OVERHEAD_BYTES, PeerLimits, SizeLesson
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.outgoing import LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.store.entries import OutboxRow
from inspector.telemetry.metrics import Metrics

TOO_LARGE, TAKEN_OVER = 0x95, 0x8E


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, PeerLimits()),
        (SimpleNamespace(), PeerLimits(65535, None, 2, True)),
        (SimpleNamespace(ReceiveMaximum=10, MaximumPacketSize=1090), PeerLimits(10, 1090)),
        (SimpleNamespace(MaximumQoS=0, RetainAvailable=0), PeerLimits(qos=0, retains=False)),
    ],
)
def test_what_the_broker_says_is_read(said: Any, expected: PeerLimits) -> None:
    """Each limit of a CONNACK counts; where it has none, the standard's default does."""
    assert PeerLimits.of(said) == expected


Drop = tuple[int, list[tuple[int, int]], bool]


@pytest.mark.parametrize(
    ("drops", "guilty"),
    [
        pytest.param([(TOO_LARGE, [(7, 900)], False)], True, id="the broker says it"),
        pytest.param([(TOO_LARGE, [(7, 900), (8, 50)], True)], False, id="it says it of one of two"),
        pytest.param([(0, [(7, 900)], True)] * (MAX_DROPS - 1), False, id="it may be chance"),
        pytest.param([(0, [(7, 900)], True)] * MAX_DROPS, True, id="again and again over one message"),
        pytest.param([(0, [(7, 900)], False)] * 99, False, id="a line that never lasts"),
        pytest.param([(0, [(7, 9)], True), (0, [(8, 9)], True)] * 9, False, id="over another message each time"),
        pytest.param([(TAKEN_OVER, [(7, 900)], True)] * 99, False, id="another client with this id"),
        pytest.param([(0, [], True)] * 99, False, id="with nothing under way"),
    ],
)
def test_a_message_is_guilty_only_when_nothing_else_can_be(drops: list[Drop], guilty: bool) -> None:
    """It is set aside when it was alone under way, after an answer, in connection after connection; or by its name."""
    lesson = SizeLesson()

    assert [lesson.dropped(*drop) for drop in drops][-1] is guilty


def test_what_is_as_large_is_not_tried_and_what_fits_goes_on() -> None:
    """One message teaches the size for all; a larger one that arrives, or a new day, ends the lesson."""
    lesson = SizeLesson()
    lesson.arrived(1, 500)
    lesson.dropped(TOO_LARGE, [(7, 900)], True)

    assert [lesson.is_too_long(size, PeerLimits()) for size in (500, 899, 900, 5000)] == [False, False, True, True]
    assert lesson.is_too_long(300, PeerLimits(packet_bytes=299))
    lesson.arrived(8, 1000)
    assert not lesson.is_too_long(5000, PeerLimits())
    lesson.dropped(TOO_LARGE, [(9, 2000)], True)
    lesson.forget()
    assert not lesson.is_too_long(5000, PeerLimits())


def test_a_forbidden_topic_teaches_no_size() -> None:
    """A message that is no longer than others that arrived was refused for something else: only it is set aside."""
    lesson = SizeLesson()
    lesson.arrived(1, 2000)

    assert [lesson.dropped(0, [(7, 900)], True) for _ in range(MAX_DROPS)][-1]
    assert not lesson.is_too_long(900, PeerLimits())


class StrictBroker(ScriptedBroker):
    """Closes the connection when its limits are passed: so many unacknowledged publications, packets so long.

    Attributes:
        most: How many publications were unacknowledged at once.
        connects: How often somebody connected.
    """

    def __init__(self, changes: Changes, in_flight: int = 0, packet_bytes: int = 0, said: bool = True) -> None:
        self._in_flight, self._packet_bytes, self._said = in_flight, packet_bytes, said
        self._owed: list[bytes] = []
        self.most = self.connects = 0
        super().__init__(changes, None, None)

    def _answer(self, connection: socket.socket, head: int, body: bytes) -> None:
        if head >> 4 == CONNECT:
            self.connects += 1
            self._owed.clear()
            properties = b""
            if self._said and self._in_flight:
                properties += b"\x21" + struct.pack(">H", self._in_flight)
            if self._said and self._packet_bytes:
                properties += b"\x27" + struct.pack(">I", self._packet_bytes)
            connection.sendall(packet(0x20, b"\x00\x00" + bytes([len(properties)]) + properties))
            return
        if head >> 4 == PUBLISH and self._packet_bytes and len(body) + 3 > self._packet_bytes:
            self._close(connection, TOO_LARGE)
        if head >> 4 != PUBLISH or not head & 6 or not self._in_flight:
            super()._answer(connection, head, body)
            return
        end = 2 + int.from_bytes(body[:2], "big")
        self._owed.append(body[end : end + 2])
        self.most = max(self.most, len(self._owed))
        if len(self._owed) > self._in_flight:
            self._close(connection, 0x93)
        if len(self._owed) == self._in_flight:  # it answers only when nothing more may come
            late, self._owed = self._owed, []
            self._published = lambda _topic, _packet_id: b"".join(puback(packet_id) for packet_id in late)
            super()._answer(connection, head, body)

    def _close(self, connection: socket.socket, code: int) -> None:
        if self._said:
            connection.sendall(packet(0xE0, bytes([code, 0])))
        raise OSError("closed")


class Run:
    """A publisher at a strict broker, with messages of these sizes."""

    def __init__(self, broker: Callable[[Changes], StrictBroker], sizes: list[int]) -> None:
        self.changes = Changes()
        self.broker = broker(self.changes)
        self.lost: list[tuple[int, int, int, str]] = []
        self.aside = MemoryAside()
        self.outbox = ScriptedOutbox(
            self.changes,
            waiting=[
                OutboxRow(row.seq, "defect", b"x" * sizes[row.seq - 1], row.stored_ms) for row in rows(1, len(sizes))
            ],
        )
        self.publisher = MqttPublisher(
            MqttOptions(port=self.broker.port, root="root", client_id="id", protocol="5"),
            self.outbox,
            MemoryNotes(),
            self.aside,
            SystemClock(),
            Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"}),
            lambda: {"health": b"{}"},
            LossReports(lambda *report: self.lost.append(report), lambda *_: None),
        )

    def deliver(self, last: int) -> None:
        self.publisher.start()
        try:
            self.changes.wait_for(lambda: self.outbox.delivered >= last, f"message {last} is dealt with")
        finally:
            self.publisher.stop(0.0)
            self.broker.close()


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_is_under_way_than_the_broker_allows(limit: int) -> None:
    """Messages, retained state and replies together: a broker with a small Receive Maximum is never exceeded."""
    run = Run(lambda changes: StrictBroker(changes, in_flight=limit), [10] * (limit * 12))
    run.deliver(limit * 8)

    assert run.broker.most == limit
    assert run.broker.connects <= 2  # the first one tells the limit
    assert run.lost == []


@pytest.mark.parametrize("said", [True, False])
def test_what_the_broker_cannot_take_blocks_nothing(said: bool) -> None:
    """Too long for the broker, by its word or by its deed: set aside and reported, and all others arrive in order."""
    sizes = [20, 30, 4000, 25, 5000, 40]
    run = Run(lambda changes: StrictBroker(changes, packet_bytes=1000 + OVERHEAD_BYTES, said=said), sizes)
    run.deliver(len(sizes))

    arrived = [len(taken.payload) for taken in run.broker.on("defect")]
    assert list(dict.fromkeys(arrived)) == [20, 30, 25, 40]
    assert sum(count for _, _, count, _ in run.lost) == 2
    assert (run.lost[0][0], run.lost[-1][1]) == (3, 5)
    assert sorted(run.aside.rows) == [3, 5]
    assert run.broker.connects <= (2 if said else 2 + MAX_DROPS)
