"""What every sink keeps to: all messages, in order, and a cursor that moves only over what has arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from brokers import AnnouncedLog, Changes, MemoryAside, MemoryNotes, ScriptedBroker, retained_mark, suback
from fakes import LABELS, FakeClock, entry
from prometheus_client import CollectorRegistry

from inspector.clock import SystemClock
from inspector.errors import StoreBusyError
from inspector.sinks.base import Outbox, Sink
from inspector.sinks.jsonl import JsonlOptions, JsonlSink
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.outgoing import LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.store.entries import OutboxRow, OutboxState
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

pytestmark = pytest.mark.timeout(60)

Arrived = list[tuple[str, bytes]]
"""Topics and payloads."""


class End(Protocol):
    """The other end of a sink."""

    def sink(self, outbox: Outbox) -> Sink:
        """Return a sink that delivers to this end."""
        ...

    def arrived(self) -> Arrived:
        """Return what has arrived, repeats included."""
        ...

    def go_away(self) -> None: ...

    def come_back(self) -> None: ...

    def close(self) -> None: ...


class BrokerEnd:
    """A broker that keeps the mark."""

    def __init__(self, folder: Path, changes: Changes) -> None:
        self._broker = ScriptedBroker(changes, self._subscribed, None)
        self._notes = MemoryNotes()

    def _subscribed(self, packet_id: int, _: bytes) -> bytes:
        marks = self._broker.on("mark")
        kept = json.loads(marks[-1].payload) if marks else None
        return suback(packet_id) + (retained_mark(kept["store_id"], kept["seq"]) if kept else b"")

    def sink(self, outbox: Outbox) -> Sink:
        metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})
        options = MqttOptions(host="127.0.0.1", port=self._broker.port, root="root", client_id="id", protocol="5")
        return MqttPublisher(
            options,
            outbox,
            self._notes,
            MemoryAside(),
            SystemClock(),
            metrics,
            lambda: {"health": b"{}"},
            LossReports(lambda *_: None, lambda *_: None),
        )

    def arrived(self) -> Arrived:
        states = {"status", "health", "mark"}
        found = [(taken.topic.removeprefix("root/"), taken.payload) for taken in self._broker.taken]
        return [one for one in found if one[0] not in states]

    def go_away(self) -> None:
        self._broker.close()

    def come_back(self) -> None:
        self._broker.open()

    def close(self) -> None:
        self._broker.close()


class FilesEnd:
    """A folder, rotated often."""

    def __init__(self, folder: Path, changes: Changes) -> None:
        self._folder = folder / "messages"
        self._elsewhere = folder / "elsewhere"

    def sink(self, outbox: Outbox) -> Sink:
        return JsonlSink(JsonlOptions(path=self._folder, rotate_bytes=2000, keep_files=1000), outbox, SystemClock())

    def arrived(self) -> Arrived:
        lines = [line for path in sorted(self._folder.glob("*")) for line in path.read_bytes().splitlines(True)]
        assert all(line.endswith(b"}\n") for line in lines)
        begin, middle = b'{"topic": "', b'", "payload": '
        found = [line.removeprefix(begin).removesuffix(b"}\n").partition(middle) for line in lines]
        return [(topic.decode(), payload) for topic, _, payload in found]

    def go_away(self) -> None:
        if self._folder.exists():
            self._folder.rename(self._elsewhere)
        self._folder.write_text("no folder")

    def come_back(self) -> None:
        self._folder.unlink()
        if self._elsewhere.exists():
            self._elsewhere.rename(self._folder)

    def close(self) -> None:
        pass


class WatchedOutbox:
    """The store's outbox; what a sink asks of it is announced, and the test may have it refuse."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._outbox = store.outbox
        self._changes = changes
        self.refuses_cursor = False
        self.pending_raises: BaseException | None = None
        self.rounds = 0

    @property
    def store_id(self) -> str:
        return self._outbox.store_id

    def cursor(self, sink: str) -> int:
        return self._outbox.cursor(sink)

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        self.rounds += 1
        self._changes.announce()
        if self.pending_raises is not None:
            raise self.pending_raises
        return self._outbox.pending(after_seq, limit)

    def acknowledge(self, sink: str, seq: int) -> None:
        if self.refuses_cursor:
            self._changes.announce()
            raise StoreBusyError("the disk is full")
        self._outbox.acknowledge(sink, seq)
        self._changes.announce()

    def hold(self, sink: str, holds: bool) -> None:
        self._outbox.hold(sink, holds)

    def outbox_state(self, sink: str) -> OutboxState:
        return self._outbox.outbox_state(sink)

    def first_kept_seq(self) -> int | None:
        return self._outbox.first_kept_seq()


class Bench:
    """A store with messages, a sink of one kind, and its other end."""

    def __init__(self, kind: Callable[..., End], folder: Path) -> None:
        self.changes = Changes()
        self.log = AnnouncedLog(self.changes)
        self.store = Store(folder / "store", FakeClock())
        self.outbox = WatchedOutbox(self.store, self.changes)
        self.end = kind(folder, self.changes)
        self._number = 0
        self._sinks: list[Sink] = []

    def commit(self, frames: int) -> None:
        """Store the messages of some frames more: three each."""
        self.store.commit([entry(self._number + number, "crack") for number in range(frames)])
        self._number += frames

    def sink(self, enable: bool = True) -> Sink:
        """Return a new sink, as the next process would make it."""
        sink = self.end.sink(self.outbox)
        if enable:
            self.store.outbox.enable([sink.name])
        self._sinks.append(sink)
        return sink

    def last_seq(self) -> int:
        return self.store.outbox.outbox_state("none").last_seq

    def cursor(self) -> int:
        return self.store.outbox.cursor(self._sinks[-1].name)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        self.changes.wait_for(condition, what)

    def wait_until_delivered(self) -> None:
        self.wait_for(lambda: self.cursor() == self.last_seq(), "the delivery of everything")

    def stored(self) -> Arrived:
        return [(row.topic, row.payload) for row in self.store.outbox.pending(0, 10_000)]

    def close(self) -> None:
        for sink in self._sinks:
            sink.stop(0.0)
        self.end.close()
        self.store.close()


@pytest.fixture(params=[pytest.param(BrokerEnd, id="mqtt"), pytest.param(FilesEnd, id="jsonl")])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(request.param, tmp_path)
    before: list[Any] = structlog.get_config()["processors"]
    kept = before.copy()
    before[:] = [bench.log]
    structlog.configure(processors=before)
    yield bench
    bench.close()
    before[:] = kept
    structlog.configure(processors=before)


def without_repeats(arrived: Arrived) -> Arrived:
    return list(dict.fromkeys(arrived))


def test_everything_arrives_in_order_with_its_bytes(bench: Bench) -> None:
    """What waits at the start arrives first, then what comes; each message once, as it is stored."""
    bench.commit(30)
    sink = bench.sink()
    sink.start()
    bench.wait_until_delivered()
    bench.commit(5)
    sink.wake()
    bench.wait_until_delivered()

    assert bench.end.arrived() == bench.stored()
    assert (sink.status.connected, sink.status.reason, sink.failure) == (True, None, None)


def test_the_cursor_of_another_sink_stays(bench: Bench) -> None:
    """A sink moves its own cursor."""
    bench.commit(4)
    sink = bench.sink()
    bench.store.outbox.acknowledge("other", 2)
    sink.start()
    bench.wait_until_delivered()

    assert bench.store.outbox.cursor("other") == 2


def test_a_new_sink_begins_at_the_oldest_kept_message(bench: Bench) -> None:
    """What is kept for others arrives, too; what is gone is not waited for."""
    bench.commit(6)
    bench.store.outbox.acknowledge("other", 7)
    bench.store.outbox.enable(["other"])
    bench.store.outbox.prune(-1.0)
    bench.sink().start()
    bench.wait_until_delivered()

    assert bench.stored()[0] == bench.end.arrived()[0]
    assert len(bench.end.arrived()) == 18 - 7


def test_a_sink_goes_on_where_the_one_before_it_ended(bench: Bench) -> None:
    """After an orderly stop the next process repeats nothing and misses nothing."""
    bench.commit(5)
    first = bench.sink()
    first.start()
    bench.wait_until_delivered()
    first.stop(5.0)
    bench.commit(5)
    bench.sink().start()
    bench.wait_until_delivered()

    assert bench.end.arrived() == bench.stored()


def test_a_stop_delivers_what_waits(bench: Bench) -> None:
    """What was committed just before the stop leaves with it, as far as there is time; then the thread is gone."""
    sink = bench.sink()
    sink.start()
    bench.wait_for(lambda: sink.status.connected, "the connection")
    bench.commit(40)
    sink.stop(10.0)
    rounds = bench.outbox.rounds
    bench.commit(1)
    sink.wake()

    assert bench.end.arrived() == bench.stored()[:-3]
    assert (bench.cursor(), bench.outbox.rounds, sink.failure) == (bench.last_seq() - 3, rounds, None)


@pytest.mark.parametrize("started", [False, True])
def test_a_stop_may_come_at_any_time_and_twice(bench: Bench, started: bool) -> None:
    """Before the start, right after it, and again: it ends."""
    bench.commit(1)
    sink = bench.sink()
    if started:
        sink.start()
    sink.stop(0.0)
    sink.stop(0.0)

    assert sink.failure is None


def test_an_end_that_is_away_is_waited_for(bench: Bench) -> None:
    """Nothing is lost meanwhile, the status says why, and the delivery goes on where it was."""
    bench.commit(2)
    sink = bench.sink()
    sink.start()
    bench.wait_until_delivered()
    bench.end.go_away()
    bench.commit(3)
    sink.wake()
    bench.wait_for(lambda: sink.status.reason, "the outage")
    before = sink.progress_mono_s
    away = sink.status.connected, bench.cursor()
    bench.commit(3)
    bench.end.come_back()
    sink.wake()
    bench.wait_until_delivered()

    assert away == (False, 6)
    assert without_repeats(bench.end.arrived()) == bench.stored()
    assert (sink.status.connected, sink.status.reason, sink.failure) == (True, None, None)
    assert sink.progress_mono_s > before


def test_an_end_that_is_away_from_the_start_is_known(bench: Bench) -> None:
    """Without a message to deliver, the status says that none could be; a stop ends it all the same."""
    bench.end.go_away()
    sink = bench.sink()
    sink.start()
    bench.wait_for(lambda: sink.status.reason, "the outage")
    sink.stop(0.0)

    assert (sink.status.connected, sink.failure) == (False, None)
    bench.end.come_back()


def test_what_arrived_without_its_cursor_is_delivered_again(bench: Bench) -> None:
    """A process that dies between delivery and cursor repeats messages with the same bytes, and misses none."""
    bench.commit(10)
    bench.outbox.refuses_cursor = True
    first = bench.sink()
    first.start()
    bench.wait_for(lambda: len(bench.end.arrived()) >= 30, "the delivery")
    first.stop(0.0)
    died_at = bench.cursor()
    bench.outbox.refuses_cursor = False
    bench.sink().start()
    bench.wait_until_delivered()

    assert died_at == 0
    assert without_repeats(bench.end.arrived()) == bench.stored()


def test_a_store_that_refuses_the_cursor_stops_nothing(bench: Bench) -> None:
    """With a full disk messages go on leaving; the cursor follows once there is room."""
    bench.commit(3)
    bench.outbox.refuses_cursor = True
    sink = bench.sink()
    sink.start()
    bench.wait_for(lambda: len(bench.end.arrived()) == 9, "the delivery")
    bench.wait_for(lambda: bench.log.named("cursor_not_stored"), "the log")
    bench.outbox.refuses_cursor = False
    bench.commit(1)
    sink.wake()
    bench.wait_until_delivered()

    assert bench.end.arrived() == bench.stored()
    assert sink.failure is None


def test_a_store_that_cannot_be_read_for_a_moment_is_waited_for(bench: Bench) -> None:
    """A busy disk ends no sink: the status says so, and the delivery goes on."""
    bench.commit(2)
    bench.outbox.pending_raises = StoreBusyError("disk I/O error")
    sink = bench.sink()
    sink.start()
    bench.wait_for(lambda: sink.status.reason, "the outage")
    reason = sink.status.reason
    bench.outbox.pending_raises = None
    sink.wake()
    bench.wait_until_delivered()

    assert reason == "cannot read the store: disk I/O error"
    assert without_repeats(bench.end.arrived()) == bench.stored()
    assert sink.failure is None


def test_what_it_cannot_do_without_ends_it_with_a_reason(bench: Bench) -> None:
    """An error that is nobody's weather ends the thread, and the station reads it."""
    bench.outbox.pending_raises = RuntimeError("a bug")
    sink = bench.sink()
    sink.start()
    bench.wait_for(lambda: sink.failure, "the failure")

    assert sink.failure is bench.outbox.pending_raises
