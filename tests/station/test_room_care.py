"""`inspector.station.room_care`: what had to go is reported once an hour, and a log that grows degrades health."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes import FakeClock, entry
from prometheus_client import CollectorRegistry

from inspector.items import RECORDS_PRUNED, Lost
from inspector.settings.store import StoreOptions
from inspector.station.inbox import Inbox
from inspector.station.room_care import RoomCare
from inspector.store.retention import Retention, Room
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

ROOMY = Room(file_bytes=1 << 20, spare_bytes=0, log_bytes=0, free_bytes=1 << 40)


class Measured(Retention):
    """A retention whose disk a test makes up."""

    room_is = ROOMY

    def room(self) -> Room:
        return self.room_is


@pytest.fixture
def inbox(clock: FakeClock) -> Inbox:
    return Inbox(clock)


@pytest.fixture
def measured(store: Store, clock: FakeClock) -> Iterator[Measured]:
    return_value = Measured(store.database, StoreOptions(), clock)
    yield return_value
    Measured.room_is = ROOMY


@pytest.fixture
def care(store: Store, measured: Measured, inbox: Inbox, clock: FakeClock, metrics: Metrics) -> RoomCare:
    return RoomCare(measured, store.outbox, StoreOptions(), inbox, clock, metrics)


def reports(inbox: Inbox) -> list[tuple[str, int, int | None, int | None]]:
    words = inbox.take(float("inf"))
    return [(word.cause, word.count, word.first_seq, word.last_seq) for word in words if isinstance(word, Lost)]


def test_deleted_records_are_reported_once_an_hour(
    store: Store, care: RoomCare, inbox: Inbox, clock: FakeClock, registry: CollectorRegistry
) -> None:
    """At once for the first time, then together; the metric counts each."""
    store.outbox.enable([])
    found = []
    for number in range(3):
        store.commit([entry(number, "crack")])
        Measured.room_is = replace(ROOMY, file_bytes=1 << 40)
        care.tidy(0)
        found.append(reports(inbox))
    clock.advance(3601)
    care.tidy(0)

    assert found == [[(RECORDS_PRUNED, 3, 1, 3)], [], []]
    assert reports(inbox) == [(RECORDS_PRUNED, 6, 4, 9)]
    assert registry.get_sample_value("inspector_records_pruned_total") == 9


def test_a_log_that_grows_is_said(care: RoomCare, registry: CollectorRegistry) -> None:
    """While another process reads without end, health is degraded; then no more."""
    Measured.room_is = replace(ROOMY, log_bytes=300 << 20)
    care.tidy(0)
    grown = care.notice
    Measured.room_is = ROOMY
    care.tidy(0)

    assert grown == "store_log_grows: 300 MB of log, because another process reads the store without end"
    assert care.notice is None
    assert registry.get_sample_value("inspector_store_bytes", {"part": "file"}) == 1 << 20


def test_a_disk_without_room_gives_messages_up(store: Store, care: RoomCare) -> None:
    """Only when there is no record left that could go: the outbox is told, and health says so."""
    store.outbox.enable(["mqtt"])
    store.commit([entry(0, "crack")])
    Measured.room_is = replace(ROOMY, free_bytes=5 << 20)
    care.tidy(1000)

    assert store.outbox.tight
    assert care.notice == "disk_full: 5 MB are free; messages that wait are given up"
