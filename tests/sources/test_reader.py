"""`inspector.sources.reader`: from a scripted source into a queue, with what was missed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from fakes import LABELS, NOON, FakeClock, ScriptedSource, make_frame, make_gap
from prometheus_client import CollectorRegistry

from inspector.errors import SourceError
from inspector.frame import Cause, Frame, Gap
from inspector.sources.base import EndOfSource
from inspector.sources.queues import FrameQueue, ItemQueue, Mailbox
from inspector.sources.reader import Reader
from inspector.telemetry.metrics import Metrics

AT_ONCE = (0.0, 0.0)
SEVERITY: Any = {"crack": "critical", "hole": "major", "rust": "minor"}


def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), LABELS[:3], SEVERITY)


def read_all(script: Iterable[Any], clock: FakeClock, items: ItemQueue | None = None) -> tuple[Reader, list[Any]]:
    """Run a reader to the end of its script, stop it, and return it with what came out."""
    played = threading.Event()

    def end() -> None:
        played.set()
        raise EndOfSource

    items = FrameQueue(100) if items is None else items
    source = ScriptedSource([*script, end])
    reader = Reader(source, items, clock, metrics(), AT_ONCE)
    reader.start()
    assert played.wait(30)
    reader.stop()
    out = []
    while (item := items.get(0.0)) is not None:
        out.append(item)
    assert source.closed == 1
    return reader, out


def fails(clock: FakeClock, text: str, seconds: float) -> Callable[[], Frame | Gap | None]:
    def step() -> Frame | Gap | None:
        clock.advance(seconds)
        raise SourceError(text)

    return step


def test_everything_is_handed_over_in_order(clock: FakeClock) -> None:
    """Frames and gaps reach the queue as they came; idle reads leave nothing; at the end the reader says so."""
    frames = [make_frame(0), make_frame(1)]
    gap = make_gap(Cause.UNREADABLE)
    reader, out = read_all([frames[0], None, gap, frames[1]], clock)

    assert [frames[0], gap, frames[1]] == out
    assert (reader.started, reader.ended, reader.reason, reader.failure) == (True, True, None, None)
    assert (reader.captured, reader.dropped) == (2, 0)


def test_an_outage_gives_one_gap(clock: FakeClock) -> None:
    """However often a source fails in a row, one gap tells from when to when it was away, before the next frame."""
    frames = [make_frame(0, epoch=4), make_frame(1, epoch=5)]
    script = [frames[0], *[fails(clock, "cam: gone", 2.0) for _ in range(5)], frames[1]]
    reader, out = read_all(script, clock)
    expected = Gap(Cause.SOURCE_DOWN, NOON + timedelta(seconds=2), NOON + timedelta(seconds=10), 4, detail="cam: gone")

    assert [frames[0], expected, frames[1]] == out
    assert reader.reason is None


def test_two_outages_give_two_gaps(clock: FakeClock) -> None:
    """A source that answers in between, be it that nothing came, was back."""
    _, out = read_all([fails(clock, "a", 1), None, fails(clock, "b", 1), None], clock)

    assert [gap.detail for gap in out] == ["a", "b"]


def test_an_outage_at_the_end_is_not_forgotten(clock: FakeClock) -> None:
    """A source that is away when the reader stops leaves a gap up to that moment, though the queue is closed."""
    away = threading.Event()

    def last() -> None:
        away.set()
        raise SourceError("cam: gone")

    items = FrameQueue(10)
    reader = Reader(ScriptedSource([last]), items, clock, metrics(), (60.0, 60.0))
    reader.start()
    assert away.wait(30)
    while reader.reason is None:  # the event comes just before the exception
        pass
    clock.advance(7)
    reader.stop()
    gap = items.get(0.0)

    assert isinstance(gap, Gap)
    assert (gap.cause, (gap.until - gap.since).total_seconds()) == (Cause.SOURCE_DOWN, 7.0)
    assert reader.reason == "cam: gone"


def test_stopping_is_no_outage(clock: FakeClock) -> None:
    """A read that is broken off because the reader stops is no failure of the source."""
    reading, closed = threading.Event(), threading.Event()

    class Blocking(ScriptedSource):
        def close(self) -> None:
            super().close()
            closed.set()

    def blocks() -> None:
        reading.set()
        closed.wait(30)
        raise SourceError("the device was closed")

    items = FrameQueue(10)
    reader = Reader(Blocking([blocks]), items, clock, metrics(), AT_ONCE)
    reader.start()
    assert reading.wait(30)
    reader.stop()

    assert (items.get(0.0), reader.reason) == (None, None)


def test_what_a_source_gives_when_it_is_closed_is_handed_over(clock: FakeClock) -> None:
    """The last lines of a stream, which no file holds, are inspected before the process ends."""
    reading, closed = threading.Event(), threading.Event()
    last = make_frame(7)

    class Blocking(ScriptedSource):
        def close(self) -> None:
            super().close()
            closed.set()

    def blocks() -> Frame:
        reading.set()
        assert closed.wait(30)
        return last

    items = FrameQueue(1)
    reader = Reader(Blocking([make_frame(6), blocks]), items, clock, metrics(), AT_ONCE)
    reader.start()
    assert reading.wait(30)
    reader.stop()

    assert len(items) == 2
    assert items.get(0.0) is not last
    assert items.get(0.0) is last


def test_drops_of_a_live_source_are_counted(clock: FakeClock) -> None:
    """Frames that a mailbox replaces are counted, and come out as a gap."""
    reader, out = read_all([make_frame(number) for number in range(5)], clock, Mailbox())

    assert (reader.captured, reader.dropped) == (5, 4)
    assert [item.frames for item in out if isinstance(item, Gap)] == [4]
    assert [item.frame_id for item in out if isinstance(item, Frame)] == [4]


def test_progress_is_noted(clock: FakeClock) -> None:
    """An idle read is progress of the source, but no item: the watchdog and health look at different times."""

    def later() -> None:
        clock.advance(30)

    reader, _ = read_all([make_frame(0), later], clock)

    assert (reader.progress_mono_s, reader.item_mono_s) == (1030.0, 1000.0)


def test_a_wait_for_room_is_no_silence_of_the_source(clock: FakeClock) -> None:
    """After a long wait for the inspection the source's time begins anew: nobody takes its next read for hung."""

    class Full(FrameQueue):
        def put(self, item: Frame | Gap) -> int:
            clock.advance(40)
            return super().put(item)

    told: list[float] = []
    source = ScriptedSource([make_frame(0), lambda: told.append(reader.progress_mono_s)])
    reader = Reader(source, Full(10), clock, metrics(), AT_ONCE)
    reader.start()
    while not reader.ended:
        pass
    reader.stop()

    assert told == [1040.0]


def test_a_source_that_breaks_is_told(clock: FakeClock) -> None:
    """An error that no source may raise ends the thread and is there for the daemon to see."""
    reader = Reader(ScriptedSource([ValueError("a bug")]), FrameQueue(10), clock, metrics(), AT_ONCE)
    reader.start()
    reader._thread.join(30)

    assert isinstance(reader.failure, ValueError)
    assert not reader.ended


@pytest.mark.parametrize("capacity", [1, 3])
def test_back_pressure_shows(clock: FakeClock, capacity: int) -> None:
    """While the queue is full the reader says that it waits for room, so nobody takes it for hung."""
    items = FrameQueue(capacity)
    reader = Reader(ScriptedSource([make_frame(n) for n in range(9)]), items, clock, metrics(), AT_ONCE)
    reader.start()
    while not (reader.waiting_to_put and len(items) == capacity and reader.captured == capacity + 1):
        pass
    reader.stop()

    assert capacity + 1 == reader.captured


def test_the_wait_for_a_busy_inspection_is_counted_while_it_lasts(clock: FakeClock) -> None:
    """A source that has to wait says for how long, not only when it may go on; time in which it reads is not in it."""

    def slow() -> Frame:
        clock.advance(3)
        return make_frame(1)

    items = FrameQueue(1)
    reader = Reader(ScriptedSource([make_frame(0), slow]), items, clock, metrics(), AT_ONCE)
    reader.start()
    while not (reader.captured == 2 and reader.waiting_to_put):
        pass
    before = reader.waited_s
    clock.advance(7)
    during = reader.waited_s
    assert items.get(1.0) is not None
    while not reader.ended:
        pass
    clock.advance(5)
    after = reader.waited_s
    reader.stop()

    assert (before, during, after) == (0.0, 7.0, 7.0)
