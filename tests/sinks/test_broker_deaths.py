"""Broker and station die together, at a real mosquitto: consumers lose nothing, whenever they come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from fakes import LABELS, FakeClock, entry
from paho.mqtt.enums import CallbackAPIVersion
from peers import Broker, wait_for
from prometheus_client import CollectorRegistry

from inspector.clock import SystemClock
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.outgoing import LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.store.broker_notes import BrokerNotes
from inspector.store.set_aside import SetAside
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


class Consumer:
    """Subscribes with a session that outlives it, as long as the broker has it."""

    def __init__(self, port: int, filters: tuple[str, ...]) -> None:
        self._port = port
        self._filters = filters
        self.seqs: list[int] = []
        self.by_topic: dict[str, list[int]] = {}
        self.come()

    def come(self) -> None:
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="consumer", clean_session=False)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", self._port)
        self._client.subscribe([(f"root/{name}", 1) for name in self._filters])
        self._client.loop_start()
        assert subscribed.wait(20)

    def _take(self, _client: Any, _userdata: Any, message: Any) -> None:
        seq = json.loads(message.payload)["seq"]
        self.seqs.append(seq)
        self.by_topic.setdefault(message.topic, []).append(seq)

    def go(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def has(self, last: int) -> bool:
        return set(self.seqs) >= set(range(1, last + 1))


class Plant:
    """A broker, a store whose station comes and goes, and a consumer."""

    def __init__(self, folder: Path, extra: str) -> None:
        self._folder = folder
        self._number = 0
        self.unheard: list[tuple[int, int, int]] = []
        self.broker = Broker(folder / "broker", f"allow_anonymous true\n{extra}")
        self.broker.start()

    def start(self, grace_s: float) -> None:
        self.store = Store(self._folder / "store", FakeClock())
        self.store.outbox.enable(["mqtt"])
        self.metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})
        self.publisher = MqttPublisher(
            MqttOptions(port=self.broker.port, root="root", client_id="station", subscriber_grace_s=grace_s),
            self.store.outbox,
            BrokerNotes(self.store.database, self.store.topics, "mqtt"),
            SetAside(self.store.database, SystemClock(), "mqtt"),
            SystemClock(),
            self.metrics,
            lambda: {"health": b"{}"},
            LossReports(lambda *_: None, lambda *report: self.unheard.append(report)),
        )
        self.publisher.start()

    def commit(self, frames: int) -> int:
        """Store three messages a frame, and return the last number."""
        self.store.commit([entry(self._number + number, "crack") for number in range(frames)])
        self._number += frames
        self.publisher.wake()
        return self._number * 3

    def die(self) -> None:
        """Broker first: nothing of what the station says at its end arrives."""
        self.broker.kill()
        self.publisher.stop(0.0)
        self.store.close(clean=False)

    def cursor(self) -> int:
        return self.store.outbox.cursor("mqtt")

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"inspector_{name}", labels) or 0.0


@pytest.fixture(params=["persistence on", "persistence off", "sessions saved"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    extra = {"persistence off": "persistence false\n", "sessions saved": "autosave_interval 1\n"}
    made = Plant(tmp_path, extra.get(request.param, ""))
    yield made
    made.broker.kill()


def test_a_consumer_that_comes_back_late_misses_nothing(plant: Plant) -> None:
    """What the broker had acknowledged before it died, and what was made since, waits for the consumer's return."""
    consumer = Consumer(plant.broker.port, ("defect", "frame", "alarm"))
    plant.start(grace_s=300)
    last = plant.commit(20)
    wait_for(lambda: consumer.has(last), "the first messages")
    for _ in range(3):
        consumer.go()
        plant.die()
        plant.broker.start()
        plant.start(grace_s=300)
        last = plant.commit(5)
        wait_for(lambda: plant.count("mqtt_connects_total"), "the station's return")
        consumer.come()
        wait_for(partial(consumer.has, last), "everything")
    consumer.go()
    plant.publisher.stop(1.0)
    plant.store.close()

    for seqs in consumer.by_topic.values():
        assert list(dict.fromkeys(seqs)) == sorted(set(seqs)), "the order of a topic"
    assert plant.unheard == []


def test_other_topics_do_not_wait(tmp_path: Path) -> None:
    """Alarms have a consumer that is away: frames, which never had one, go on; the cursor waits."""
    plant = Plant(tmp_path, "persistence false\n")
    try:
        consumer = Consumer(plant.broker.port, ("alarm",))
        plant.start(grace_s=300)
        plant.commit(3)
        wait_for(lambda: plant.cursor() == 9, "the delivery")
        known = plant.store.topics.of("mqtt")
        consumer.go()
        plant.die()
        plant.broker.start()
        plant.start(grace_s=300)
        plant.commit(4)
        wait_for(lambda: plant.count("mqtt_unheard_total", topic="frame") == 7, "all frames")
        waiting = plant.cursor()
        consumer.come()
        wait_for(lambda: plant.cursor() == 21, "the alarms")
        consumer.go()
        plant.publisher.stop(1.0)
        plant.store.close()
    finally:
        plant.broker.kill()

    assert known["alarm"] is None
    assert known["frame"] == 0
    assert waiting == 9
    assert plant.unheard == []


def test_what_nobody_came_back_for_is_counted_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace delivery goes on: first and last number and the count are reported, by topic in the metric."""
    monkeypatch.setattr("inspector.sinks.mqtt.unheard.REPORT_S", (0.5, 1.0))
    plant = Plant(tmp_path, "persistence false\n")
    try:
        consumer = Consumer(plant.broker.port, ("alarm", "defect"))
        plant.start(grace_s=1)
        plant.commit(3)
        wait_for(lambda: plant.cursor() == 9, "the delivery")
        consumer.go()
        plant.die()
        plant.broker.start()
        plant.start(grace_s=1)
        plant.commit(1)
        wait_for(lambda: plant.cursor() == 12, "the end of the grace")
        wait_for(lambda: sum(count for _, _, count in plant.unheard) == 8, "the report")
        counts = {topic: plant.count("mqtt_unheard_total", topic=topic) for topic in ("frame", "defect", "alarm")}
        plant.publisher.stop(1.0)
        plant.store.close()
    finally:
        plant.broker.kill()

    assert counts == {"frame": 4, "defect": 4, "alarm": 4}
    numbers: list[Any] = [number for first, last, _ in plant.unheard for number in (first, last)]
    assert 1 <= min(numbers) < max(numbers) <= 12


def test_what_is_delivered_is_kept_while_the_broker_is_away(tmp_path: Path) -> None:
    """Whatever its age: it may be needed when the broker comes back without its memory."""
    plant = Plant(tmp_path, "")
    try:
        plant.start(grace_s=1)
        plant.commit(2)
        wait_for(lambda: plant.cursor() == 6, "the delivery")
        plant.store.outbox.prune(-1.0)
        gone = plant.store.outbox.first_kept_seq()
        plant.commit(2)
        wait_for(lambda: plant.cursor() == 12, "the delivery")
        plant.broker.kill()
        wait_for(lambda: plant.publisher.status.reason, "the outage")
        plant.store.outbox.prune(-1.0)
        kept = plant.store.outbox.first_kept_seq()
        plant.publisher.stop(0.0)
        plant.store.close()
    finally:
        plant.broker.kill()

    assert (gone, kept) == (None, 7)
