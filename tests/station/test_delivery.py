"""`inspector.station.delivery`: several sinks at once; none costs another a message, each is watched by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import LABELS, NOON, FakeClock, entry
from prometheus_client import CollectorRegistry

from inspector.items import Lost
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.sinks.base import LastWord, SinkStatus
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.station.delivery import SINK_GRACE_S, Delivery, Losses, OutboxCare, open_sinks
from inspector.station.inbox import Inbox
from inspector.station.supervision import part_of
from inspector.store.store import Store
from inspector.telemetry.metrics import SINKS, Metrics


class RecordingSink:
    """A `Sink` that only notes what was asked of it."""

    failure: BaseException | None = None
    progress_mono_s = 1000.0

    def __init__(self, name: str, calls: list[str], status: SinkStatus | None = None) -> None:
        self.name = name
        self.status = status or SinkStatus()
        self._calls = calls

    def start(self) -> None:
        self._calls.append(f"start {self.name}")

    def wake(self) -> None:
        self._calls.append(f"wake {self.name}")

    def stop(self, timeout_s: float, status: LastWord = "stopped") -> None:
        self._calls.append(f"stop {self.name} {timeout_s:g} {status}")


class SendingAgain(RecordingSink):
    def resend(self, from_seq: int) -> str:
        return f"sends from {from_seq}"


def settings(**changes: Any) -> Settings:
    given = {"station.site": "s", "station.line": "l", "station.name": "c", "source.kind": "demo", **changes}
    return load_settings(None, given, {}).settings


def make_metrics() -> Metrics:
    return Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})


def test_sinks_are_started_woken_and_stopped_together() -> None:
    """What is done to one is done to all, in their order."""
    calls = list[str]()
    delivery = Delivery([RecordingSink("a", calls), RecordingSink("b", calls)])
    delivery.start()
    delivery.wake()
    delivery.stop(3.0, "offline")

    assert calls == ["start a", "start b", "wake a", "wake b", "stop a 3 offline", "stop b 3 offline"]


@pytest.mark.parametrize(
    ("broker", "files", "after_s", "reason"),
    [
        pytest.param(SinkStatus(True), SinkStatus(True), 100, None, id="all is well"),
        pytest.param(SinkStatus(False, "refused"), SinkStatus(True), 0, None, id="away for a moment"),
        pytest.param(SinkStatus(False, "refused"), SinkStatus(True), SINK_GRACE_S, None, id="away for the grace"),
        pytest.param(SinkStatus(False, "refused"), SinkStatus(True), 5.1, "broker: refused", id="away for longer"),
        pytest.param(SinkStatus(), SinkStatus(True), 5.1, "broker: not connected", id="away without a reason"),
        pytest.param(SinkStatus(True, None, "mute"), SinkStatus(True), 0, "broker: mute", id="there and in trouble"),
        pytest.param(
            SinkStatus(False, "refused", "unstable"), SinkStatus(True), 9, "broker: unstable", id="trouble first"
        ),
        pytest.param(
            SinkStatus(True), SinkStatus(False, "cannot write /x: full"), 5.1, "jsonl: cannot write /x: full",
            id="files that cannot be written",
        ),
        pytest.param(
            SinkStatus(False, "refused"), SinkStatus(False, "full"), 5.1, "broker: refused", id="of two the first"
        ),
    ],
)  # fmt: skip
def test_a_sink_that_does_not_deliver_is_the_reason(
    broker: SinkStatus, files: SinkStatus, after_s: float, reason: str | None
) -> None:
    """A sink that is away for more than a moment, or in trouble, makes health degraded by its name."""
    delivery = Delivery([RecordingSink("mqtt", [], broker), RecordingSink("jsonl", [], files)])
    delivery.reason(1000.0)

    assert delivery.reason(1000.0 + after_s) == reason


def test_the_outage_of_each_sink_counts_by_itself() -> None:
    """One that comes back begins anew the next time; the other's outage goes on."""
    first, second = SinkStatus(False, "gone"), SinkStatus(False, "full")
    delivery = Delivery([RecordingSink("mqtt", [], first), RecordingSink("jsonl", [], second)])
    delivery.reason(1000.0)
    first.connected = True
    seen = [delivery.reason(1006.0)]
    first.connected = False
    seen += [delivery.reason(1007.0), delivery.reason(1013.0)]

    assert seen == ["jsonl: full", "jsonl: full", "broker: gone"]


def test_messages_are_sent_again_where_a_sink_can() -> None:
    """`resend` asks the sinks that know how, and says so where there is none."""
    calls = list[str]()
    with_broker = Delivery([RecordingSink("jsonl", calls), SendingAgain("mqtt", calls)])
    without = Delivery([RecordingSink("jsonl", calls)])

    assert (with_broker.resend(7), without.resend(7)) == ("sends from 7", "there is no broker: mqtt.enabled = false")


def test_a_sink_that_has_died_or_stands_still_is_known() -> None:
    """Each sink is a part of its own for the supervision."""
    sink = RecordingSink("jsonl", [])
    sink.failure = RuntimeError("dead")
    part = part_of(sink)

    assert (part.name, part.failure(), part.progress_mono_s and part.progress_mono_s()) == (
        "sink jsonl", sink.failure, 1000.0,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = Store(tmp_path, clock, outbox_limit_bytes=1 << 20)
    yield store
    store.close()


@pytest.mark.parametrize(
    ("mqtt", "jsonl"), [(True, False), (True, True), (False, True), (False, False)],
    ids=["broker", "both", "files", "none"],
)  # fmt: skip
def test_the_configuration_says_which_sinks_there_are(store: Store, clock: FakeClock, mqtt: bool, jsonl: bool) -> None:
    """What is switched on is opened, by the names that store, metrics and configuration share; nothing else waits."""
    chosen = settings(**{"mqtt.enabled": mqtt, "jsonl.enabled": jsonl})
    store.commit([entry(1, "crack")])
    sinks = open_sinks(
        chosen,
        store,
        clock,
        make_metrics(),
        retained=dict,
        losses=Losses(Inbox(clock), clock),
        on_command=lambda *_: None,
    )
    delivery = Delivery(sinks)

    names = [name for name, on in (("mqtt", mqtt), ("jsonl", jsonl)) if on]
    assert ([sink.name for sink in sinks], list(chosen.sinks)) == (names, names)
    assert {name: store.outbox.outbox_state(name).messages > 0 for name in SINKS} == {
        name: name in names for name in SINKS
    }
    assert (isinstance(delivery.broker, BrokerStatus), delivery.files is not None) == (mqtt, jsonl)


def test_a_loss_takes_its_place_among_the_messages(clock: FakeClock) -> None:
    """Lost messages become an item of now, with their sink, their numbers and the reason."""
    inbox = Inbox(clock)
    Losses(inbox, clock).report("jsonl", 3, 9, 5, "the outbox was full")
    Losses(inbox, clock).report_unheard("mqtt", 7, 8, 2)

    assert taken(inbox) == [
        Lost(NOON, "jsonl", 3, 9, 5, "the outbox was full"), Lost(
            NOON, "mqtt", 7, 8, 2,
            "the broker accepted them, and their subscribers were away for longer than mqtt.subscriber_grace_s",
            "messages_unheard",
        ),
    ]  # fmt: skip


def taken(inbox: Inbox) -> Sequence[object]:
    return inbox.take(float("inf"))


def test_fill_and_losses_are_those_of_each_sink(tmp_path: Path, clock: FakeClock) -> None:
    """Of a sink that is away too long the oldest messages go; it is counted and published for that sink alone."""
    store = Store(tmp_path / "store", clock, outbox_limit_bytes=1 << 30)
    store.commit([entry(number, "crack") for number in range(20)])
    sizes = [len(row.payload) for row in store.outbox.pending(0, 999)]
    store.outbox.limit_bytes = limit = sum(sizes[-30:])
    store.outbox.enable(SINKS)
    store.outbox.acknowledge("mqtt", 57)
    inbox, metrics = Inbox(clock), make_metrics()
    care = OutboxCare(store.outbox, Losses(inbox, clock), metrics, sinks=SINKS, limit_bytes=limit, horizon_s=3600.0)
    care.prune()
    care.refresh()
    lost = [item for item in taken(inbox) if isinstance(item, Lost)]
    waiting = [store.outbox.outbox_state(sink) for sink in SINKS]
    store.close()

    def shown(name: str, **labels: str) -> list[float | None]:
        return [metrics.registry.get_sample_value(f"inspector_{name}", {"sink": sink, **labels}) for sink in SINKS]

    assert [(item.sink, item.first_seq, item.reason) for item in lost] == [("jsonl", 1, "the outbox was full")]
    assert shown("outbox_lost_total", reason="outbox_full") == [0, lost[0].count]
    assert shown("outbox_messages") == [3, waiting[1].messages] == [state.messages for state in waiting]
    assert shown("outbox_bytes") == [state.bytes for state in waiting]
    assert shown("outbox_oldest_timestamp_seconds") == [NOON.timestamp()] * 2
    assert care.share == waiting[1].bytes / limit > 0.9


def test_a_station_without_a_sink_keeps_nothing_waiting(store: Store, clock: FakeClock) -> None:
    """With every sink switched off messages are records only: nothing fills, nothing is lost."""
    store.commit([entry(number, "crack") for number in range(20)])
    store.outbox.enable([])
    inbox = Inbox(clock)
    care = OutboxCare(store.outbox, Losses(inbox, clock), make_metrics(), sinks=[], limit_bytes=10, horizon_s=-1.0)
    care.prune()
    care.refresh()

    assert (care.share, store.outbox.pending(0, 9), list(taken(inbox))) == (0.0, [], [])


def test_every_sink_has_its_cursor_name_as_its_label() -> None:
    """The labels of the metrics are the names of the sinks, all of them."""
    everything = settings(**{"jsonl.enabled": True})

    assert everything.sinks == SINKS
    assert json.loads(everything.model_dump_json())["jsonl"]["path"] is None
