"""Brokers that hang: a stop ends in time, and health says so before it would be too late."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Changes, MemoryAside, MemoryNotes, ScriptedOutbox, rows
from fakes import LABELS
from peers import Broker, wait_for
from prometheus_client import CollectorRegistry

from inspector.clock import SystemClock
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.outgoing import LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.telemetry.metrics import Metrics

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

STOP_S = 4.5
"""A stop of the publisher takes less than this, so that one of the station takes less than 5 s."""


class Line:
    """A publisher with messages, towards a port."""

    def __init__(self, port: int) -> None:
        self.outbox = ScriptedOutbox(Changes(), waiting=rows(1, 3000))
        self.metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})
        self.publisher = MqttPublisher(
            MqttOptions(port=port, root="root", client_id="id"),
            self.outbox,
            MemoryNotes(),
            MemoryAside(),
            SystemClock(),
            self.metrics,
            lambda: {"health": b"{}"},
            LossReports(lambda *_: None, lambda *_: None),
        )
        self.publisher.start()

    def stop(self) -> tuple[float, bool]:
        """Stop, and return how long it took and whether the thread has ended."""
        begun_s = time.monotonic()
        self.publisher.stop(2.0)
        return time.monotonic() - begun_s, not self.publisher._thread.is_alive()

    def connected(self) -> float | None:
        return self.metrics.registry.get_sample_value("inspector_mqtt_connected")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path / "broker")
    made.start()
    yield made
    freeze(made, signal.SIGCONT)
    made.kill()


def freeze(broker: Broker, number: int = signal.SIGSTOP) -> None:
    assert broker._process is not None
    os.kill(broker._process.pid, number)


def test_a_stop_does_not_wait_for_a_broker_that_hangs(broker: Broker) -> None:
    """With messages under way that are never acknowledged, the thread ends all the same."""
    line = Line(broker.port)
    wait_for(lambda: line.outbox.delivered, "the first messages")
    freeze(broker)
    took_s, ended = line.stop()

    assert ended
    assert took_s < STOP_S


def test_a_stop_does_not_wait_for_a_handshake() -> None:
    """A port that takes connections and never says a word: the stop ends the wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        line = Line(mute.getsockname()[1])
        peer, _ = mute.accept()
        took_s, ended = line.stop()
        peer.close()

    assert ended
    assert took_s < STOP_S


def test_a_stop_does_not_wait_for_a_slow_broker(broker: Broker) -> None:
    """A way to the broker that passes 1 KB a second: what does not fit into the stop stays in the outbox."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    ended = threading.Event()

    def pass_on(source: socket.socket, target: socket.socket, pause_s: float) -> None:
        with contextlib.suppress(OSError), source, target:
            while (piece := source.recv(100)) and not ended.wait(pause_s):
                target.sendall(piece)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                target = socket.create_connection(("127.0.0.1", broker.port))
                threading.Thread(target=pass_on, args=(client, target, 0.1), daemon=True).start()
                threading.Thread(target=pass_on, args=(target, client, 0.0), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    line = Line(server.getsockname()[1])
    wait_for(lambda: line.outbox.delivered, "the first messages")
    took_s, gone = line.stop()
    ended.set()
    server.close()

    assert gone
    assert took_s < STOP_S


def test_a_connection_that_is_half_open_is_told_in_time(broker: Broker) -> None:
    """With the default keepalive, health and metric say so within 15 s, though nothing was being sent but health."""
    line = Line(broker.port)
    wait_for(lambda: line.outbox.delivered == 3000, "all messages")
    freeze(broker)
    begun_s = time.monotonic()
    wait_for(lambda: line.publisher.status.trouble, "the trouble")
    wait_for(lambda: line.connected() == 0, "the metric")
    told_s = time.monotonic() - begun_s
    freeze(broker, signal.SIGCONT)
    wait_for(lambda: line.connected() and line.publisher.status.trouble is None, "the recovery")
    line.stop()

    assert told_s < 15
