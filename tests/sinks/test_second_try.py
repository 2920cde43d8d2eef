"""`inspector.sinks.mqtt.second_try`: when what a broker did not take is tried again, and what is reported of it."""

from __future__ import annotations

from typing import Any

import pytest
from brokers import MemoryAside, MemoryNotes
from fakes import LABELS, FakeClock
from prometheus_client import CollectorRegistry

from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.second_try import AGAIN_S, LOOK_S, MOST_DROPS, SecondTry
from inspector.store.entries import OutboxRow
from inspector.telemetry.metrics import Metrics


class Bench:
    """A list that outlives processes, each a `SecondTry`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.aside = MemoryAside()
        self.notes = MemoryNotes()
        self.reports: list[tuple[int, int, int, str]] = []
        self.metrics = Metrics(CollectorRegistry(), LABELS[:1], {LABELS[0]: "minor"})

    def process(self, **changes: Any) -> SecondTry:
        options = MqttOptions(root="root", client_id="id", **changes)
        report = lambda *one: self.reports.append(one)  # noqa: E731
        return SecondTry(options, self.aside, self.notes, self.clock, self.metrics, report)

    def shown(self) -> float | None:
        return self.metrics.registry.get_sample_value("inspector_mqtt_set_aside_messages")


def row(seq: int, topic: str = "defect") -> OutboxRow:
    return OutboxRow(seq, topic, b"{}", 0)


def tried(second: SecondTry, taken: bool) -> list[int]:
    """Try all that there is to try; returns which."""
    found = []
    while (one := second.following()) is not None:
        found.append(one.seq)
        second.sent(one.seq, one)
        assert second.following() is None
        assert second.ack(one.seq, taken)
    return found


@pytest.mark.parametrize(
    ("after_s", "changes", "again"),
    [
        pytest.param(60, {}, [], id="the next connection"),
        pytest.param(60, {"window": 5}, [3, 7], id="a change of the configuration"),
        pytest.param(AGAIN_S, {}, [3, 7], id="a day later"),
    ],
)
def test_it_is_tried_once_a_day_and_after_a_change(after_s: float, changes: dict[str, Any], again: list[int]) -> None:
    """A broker that took it after all gets it once; the list is then empty."""
    bench = Bench()
    first = bench.process()
    first.open()
    for seq in (3, 7):
        first.put(row(seq), "too long")
    nothing = tried(first, taken=False)
    bench.clock.advance(after_s)
    second = bench.process(**changes)
    second.open()

    assert nothing == []
    assert tried(second, taken=True) == again
    assert bench.shown() == 2 - len(again)


def test_a_connection_that_lasts_is_no_reason_to_wait() -> None:
    """After a day it is tried on the same connection."""
    bench = Bench()
    second = bench.process()
    second.open()
    second.put(row(3), "too long")
    bench.clock.advance(AGAIN_S - LOOK_S - 1)
    early = second.look()
    bench.clock.advance(LOOK_S + 1)

    assert (early, second.look()) == (False, True)
    assert tried(second, taken=False) == [3]
    assert bench.shown() == 1


def test_messages_over_which_the_connection_ends_do_not_hold_up_the_others() -> None:
    """Each costs a connection, the next one goes on behind it; after some of them the rest waits for the next round."""
    bench = Bench()
    for seq in range(1, 20):
        bench.aside.add(row(seq), "too long")
    second = bench.process()
    found = []
    for _ in range(10):
        second.open()
        if (one := second.following()) is not None:
            found.append(one.seq)
            second.sent(1, one)

    assert found == list(range(1, MOST_DROPS + 1))


def test_it_is_reported_by_count_and_not_too_often() -> None:
    """The first at once, what follows in one report, ever more rarely; what is left at the end."""
    bench = Bench()
    second = bench.process()
    second.open()
    second.look()
    bench.clock.advance(100)
    second.put(row(3), "too long")
    second.look()
    for seq in (4, 5, 6):
        second.put(row(seq), "too long")
        bench.clock.advance(1)
        second.look()
    between = list(bench.reports)
    bench.clock.advance(10)
    second.look()
    second.put(row(9, "coverage"), "too long")
    second.put(row(10), "refused")
    second.look(last=True)

    assert between == [(3, 3, 1, "too long")]
    assert bench.reports[1:] == [(4, 6, 3, "too long"), (10, 10, 1, "refused")]


def test_an_answer_to_something_else_is_not_taken() -> None:
    """Packets of the outbox are not its business."""
    assert not Bench().process().ack(5, taken=True)
