"""`inspector.consume` at a real mosquitto: every message once, over deaths of consumer and broker."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from peers import Broker, wait_for

from inspector.clock import SystemClock
from inspector.consume.consumer import Account, Consumer
from inspector.consume.intake import Arrival
from inspector.consume.kept import Kept, open_kept
from inspector.consume.run import consumer_options, require_roots, session_name
from inspector.errors import ConfigError, SourceError

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]


class Watched:
    """A file whose new messages are counted; it may fail for a while."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.number = 0
        self.fails = False
        self.has, self.stretches, self.losses, self.close = kept.has, kept.stretches, kept.losses, kept.close

    def add(self, arrivals: Sequence[Arrival]) -> None:
        if self.fails:
            raise SourceError("the disk is full")
        self._kept.add(arrivals)
        self.number += len(arrivals)


class Plant:
    """A broker, somebody who publishes as a station does, and a consumer."""

    def __init__(self, folder: Path) -> None:
        self.broker = Broker(folder / "broker")
        self.broker.start()
        self.path = folder / "kept.sqlite3"
        self.asked: list[Any] = []
        self.kept: Watched | None = None
        self.result: list[Any] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def publish(self, *seqs: int) -> int:
        """Publish messages; returns how many rows there are."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="station")
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        for seq in seqs:
            body = {"id": f"id-{seq}", "store_id": "s", "seq": seq}
            client.publish("a/b/c/defect", json.dumps(body), qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
        return self.rows()

    def watch_requests(self) -> paho.Client:
        """Answer `cmd/resend` with message 2."""

        def asked(_client: Any, _userdata: Any, message: Any) -> None:
            self.asked.append(json.loads(message.payload))

        subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="requests")
        client.on_message = asked
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect("127.0.0.1", self.broker.port)
        client.subscribe("a/b/c/cmd/resend", qos=1)
        client.loop_start()
        assert subscribed.wait(10)
        return client

    def consume(self, fails: bool = False) -> None:
        """Begin to consume, as a new process would."""
        self.kept = Watched(open_kept(self.path))
        self.kept.fails = fails
        options = consumer_options(f"127.0.0.1:{self.broker.port}", "consumer")
        consumer = Consumer(options, ["a/+/c"], self.kept, SystemClock())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(consumer, self.kept), daemon=True)
        self._thread.start()
        wait_for(lambda: consumer.connected or self.result, "the subscription")

    def _run(self, consumer: Consumer, kept: Watched) -> None:
        try:
            self.result.append(consumer.run(self._stopping))
        except SourceError as exc:
            self.result.append(exc)
        finally:
            kept.close()

    def rows(self) -> int:
        return 0 if self.kept is None else self.kept.number

    def stop(self) -> Account:
        self._stopping.set()
        assert self._thread is not None
        self._thread.join(20)
        found = self.result.pop()
        assert isinstance(found, Account)
        return found

    def seqs(self) -> list[int]:
        with sqlite3.connect(self.path) as db:
            found = [seq for (seq,) in db.execute("SELECT seq FROM messages ORDER BY rowid")]
        db.close()
        return found


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path)
    yield plant
    plant._stopping.set()
    plant.broker.kill()


def test_what_comes_while_the_consumer_is_away_is_kept_once(plant: Plant) -> None:
    """The broker keeps the session; what is published twice is a row once, in the order of arrival."""
    plant.consume()
    plant.publish(1, 2)
    wait_for(lambda: plant.rows() == 2, "the first messages")
    first = plant.stop()
    plant.publish(2, 3, 4)
    plant.consume()
    wait_for(lambda: plant.rows() == 2, "the others")
    second = plant.stop()

    assert plant.seqs() == [1, 2, 3, 4]
    assert (first.kept, first.missing) == (2, 0)
    assert (second.kept, second.repeats, second.missing) == (2, 1, 0)


def test_what_cannot_be_kept_is_not_acknowledged(plant: Plant) -> None:
    """With a full disk the consumer ends, and the broker delivers the same messages to the next one."""
    plant.consume()
    plant.publish(1)
    wait_for(lambda: plant.rows() == 1, "the first message")
    plant.stop()
    plant.publish(2, 3)
    plant.consume(fails=True)
    wait_for(lambda: plant.result, "the end")
    failed = plant.result.pop()
    plant.consume()
    wait_for(lambda: plant.rows() == 2, "the same messages")
    plant.stop()

    assert str(failed) == "the disk is full"
    assert plant.seqs() == [1, 2, 3]


def test_what_is_missing_is_asked_for_and_counted(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole is asked for over `cmd/resend`, from its first number on; what stays missing is counted at the end."""
    monkeypatch.setattr("inspector.consume.asking.SETTLE_S", 0.0)
    client = plant.watch_requests()
    plant.consume()
    plant.publish(1, 3, 6)
    wait_for(lambda: plant.asked, "the request")
    plant.publish(2)
    wait_for(lambda: plant.rows() == 4, "what was missing")
    account = plant.stop()
    client.disconnect()
    client.loop_stop()

    assert plant.asked[0] == {"from_seq": 2}
    assert (plant.seqs(), account.missing) == ([1, 3, 6, 2], 2)


def test_a_broker_that_dies_is_waited_for(plant: Plant) -> None:
    """The consumer comes back by itself and subscribes anew."""
    plant.consume()
    plant.publish(1)
    wait_for(lambda: plant.rows() == 1, "the first message")
    plant.broker.kill()
    plant.broker.start()
    wait_for(lambda: plant.publish(2) > 1, "the second message")
    plant.stop()

    assert plant.seqs() == [1, 2]


@pytest.mark.parametrize(
    ("broker", "given", "named"),
    [
        ("nowhere", {}, "--broker"),
        ("host:x", {}, "--broker"),
        ("broker.plant:8883", {}, "tls"),
        ("127.0.0.1:99999", {}, "--port"),
        ("127.0.0.1:1883", {"password_file": Path("/nowhere")}, "username"),
        ("127.0.0.1:1883", {"username": "u", "password_file": Path("/nowhere")}, "password_file: no such file"),
    ],
)
def test_a_wrong_option_is_refused_by_name(broker: str, given: dict[str, Any], named: str) -> None:
    """The rules are those of the station's own connection."""
    with pytest.raises(ConfigError, match=named):
        consumer_options(broker, "id", **given)


@pytest.mark.parametrize("root", ["", "/", "a/#", "a/b+/c"])
def test_a_root_that_is_none_is_refused(root: str) -> None:
    """One level may be any; more than that would take other stations' state for messages."""
    with pytest.raises(ConfigError, match="--root"):
        require_roots([root])


def test_the_session_belongs_to_roots_and_file(tmp_path: Path) -> None:
    """The same command finds its session again; another file gets everything by itself."""
    names = {session_name(["a", "b"], tmp_path / "x"), session_name(["b", "a"], tmp_path / "x")}

    assert len(names) == 1
    assert session_name(["a", "b"], tmp_path / "y") not in names
