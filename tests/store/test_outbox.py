"""`inspector.store.outbox`: messages in order for every sink, and nothing lost that was not told."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, FakeClock, entry, track_rules
from hypothesis import given, settings
from hypothesis import strategies as st
from pace import cost_ratio
from stores import reopened

from inspector.items import Lost
from inspector.store import outbox
from inspector.store.entries import Entry, Loss, OutboxState
from inspector.store.store import Store
from inspector.track.bodies import lost_body
from inspector.track.state import TrackState

SINK, OTHER = "mqtt", "jsonl"


@pytest.fixture
def store(store: Store) -> Store:
    store.outbox.enable([SINK])
    return store


def scanned(store: Store, sink: str = SINK) -> OutboxState:
    """The state of the outbox, counted the slow way."""
    rows = [row for row in store.outbox.pending(0, 1_000_000) if row.seq > store.outbox.cursor(sink)]
    return OutboxState(
        len(rows), sum(len(row.payload) for row in rows), rows[0].stored_ms if rows else None,
        store.outbox.outbox_state(sink).last_seq,
    )  # fmt: skip


def test_the_cursor_moves_over_what_has_arrived(store: Store) -> None:
    """Each sink has its own cursor; messages after it wait, those before it do not, over a restart."""
    store.commit([entry(number) for number in range(5)])
    store.outbox.acknowledge(SINK, 3)
    again = reopened(store, clean=False)
    again.outbox.enable([SINK, OTHER])
    cursors = again.outbox.cursor(SINK), again.outbox.cursor(OTHER)
    waiting = again.outbox.outbox_state(SINK).messages, again.outbox.outbox_state(OTHER).messages
    again.close()

    assert (cursors, waiting) == ((3, 0), (2, 5))


def test_pending_gives_the_next_ones_in_order(store: Store) -> None:
    """`pending` is a window: after a number, at most so many, in order."""
    store.commit([entry(number) for number in range(9)])

    assert [row.seq for row in store.outbox.pending(3, 3)] == [4, 5, 6]
    assert [row.seq for row in store.outbox.pending(8, 3)] == [9]


def test_prune_forgets_what_was_delivered_long_ago(store: Store, clock: FakeClock) -> None:
    """Delivered messages older than the horizon go, however many; younger and undelivered ones stay."""
    store.commit([entry(number) for number in range(outbox.PRUNE_ROWS + 50)])
    delivered = store.outbox.outbox_state(SINK).last_seq
    clock.advance(100)
    store.commit([entry(5000)])
    clock.advance(100)
    store.commit([entry(5001)])
    store.outbox.acknowledge(SINK, delivered + 1)
    early = store.outbox.prune(1000.0), store.outbox.first_kept_seq()
    late = store.outbox.prune(150.0), store.outbox.first_kept_seq()
    all_delivered = store.outbox.prune(0.0), store.outbox.first_kept_seq()

    assert (([], 1), ([], delivered + 1), ([], delivered + 2)) == (early, late, all_delivered)


def test_prune_leaves_much_to_later_calls(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of messages that grow old at once goes in bounded parts, each call the next, until all have gone."""
    monkeypatch.setattr(outbox, "PRUNE_ROWS", 2)
    store.commit([entry(number) for number in range(outbox.PRUNE_TIMES * 4 + 1)])
    store.outbox.acknowledge(SINK, store.outbox.outbox_state(SINK).last_seq)
    clock.advance(100)
    kept = []
    for _ in range(4):
        store.outbox.prune(50.0)
        kept.append(len(store.outbox.pending(0, 99)))

    assert kept == [11, 1, 0, 0]


@pytest.mark.parametrize(
    ("offset_s", "seqs"),
    [
        pytest.param(30, [1, 2], id="within the horizon"),
        pytest.param(86400, [], id="beyond it"),
    ],
)
def test_a_clock_set_back_does_not_stop_pruning(
    store: Store, clock: FakeClock, offset_s: float, seqs: list[int]
) -> None:
    """What was stored under a clock that ran ahead by more than the horizon goes, with all that came after it."""
    now = clock.present
    clock.present = now + timedelta(seconds=offset_s)
    store.commit([entry(0)])
    clock.present = now
    store.commit([entry(1)])
    store.outbox.acknowledge(SINK, 2)
    clock.advance(60)
    store.outbox.prune(50.0)

    assert seqs == [row.seq for row in store.outbox.pending(0, 9)]


def test_a_clock_that_is_set_ahead_makes_nothing_old(store: Store, clock: FakeClock) -> None:
    """What was delivered a moment ago stays for the horizon, however often the clock is set; then it goes."""
    store.commit([entry(0)])
    store.outbox.acknowledge(SINK, 1)
    kept = []
    for _ in range(3):
        clock.present += timedelta(seconds=8000)
        store.outbox.prune(3600.0)
        kept.append(len(store.outbox.pending(0, 9)))
        clock.advance(1500)
    clock.present += timedelta(seconds=8000)
    store.outbox.prune(3600.0)
    kept.append(len(store.outbox.pending(0, 9)))

    assert kept == [1, 1, 1, 0]


@pytest.mark.parametrize("delivered", [pytest.param(0, id="waiting"), pytest.param(4000, id="kept")])
def test_pruning_nothing_costs_little_however_much_is_there(store: Store, delivered: int) -> None:
    """Housekeeping runs every 5 s: with 4,000 messages waiting or kept, none of them old, it does not read them all."""
    store.commit([entry(number) for number in range(4000)])
    store.outbox.acknowledge(SINK, delivered)
    store.outbox.prune(3600.0)
    steps: list[None] = []
    # One call per instruction of SQLite's machine.
    store.database.connection.set_progress_handler(lambda: steps.append(None), 1)
    store.outbox.prune(3600.0)

    assert len(steps) < 400


def test_an_outbox_over_its_limit_loses_frame_messages_first(tmp_path: Path, clock: FakeClock) -> None:
    """Over the limit the oldest frame messages go, then the oldest events, and `prune` tells which; records stay."""
    store = Store(tmp_path, clock, outbox_limit_bytes=1 << 30)
    store.commit([entry(number, "crack") for number in range(10)])
    sizes = {row.seq: len(row.payload) for row in store.outbox.pending(0, 99)}
    frames = [row.seq for row in store.outbox.pending(0, 99) if row.topic == "frame"]
    events = [seq for seq in sizes if seq not in frames]
    store.close()

    def shrunk(limit: int) -> tuple[Any, list[int]]:
        store = Store(tmp_path, clock, outbox_limit_bytes=limit)
        store.outbox.enable([SINK])
        lost = store.outbox.prune(3600)
        kept = [row.seq for row in store.outbox.pending(0, 99)]
        assert scanned(store) == store.outbox.outbox_state(SINK)
        store.close()
        return lost, kept

    total = sum(sizes.values())
    nothing = shrunk(total)
    some_frames = shrunk(total - sizes[frames[0]] - 1)
    all_frames = shrunk(sum(sizes[seq] for seq in events))
    events_too = shrunk(sum(sizes[seq] for seq in events[2:]))

    assert ([], list(sizes)) == nothing
    assert ([Loss(SINK, 2, frames[0], frames[1])], sorted(set(sizes) - set(frames[:2]))) == some_frames
    assert ([Loss(SINK, 8, frames[2], frames[9])], events) == all_frames
    assert ([Loss(SINK, 2, events[0], events[1])], events[2:]) == events_too
    assert reopened_counts(tmp_path) == {"defect": 10, "alarm": 10, "frame": 10}


def test_the_least_severe_go_first(tmp_path: Path, clock: FakeClock) -> None:
    """Frame messages, then minor, major and critical defects with their alarms, each kind the oldest first."""
    store = Store(tmp_path, clock, outbox_limit_bytes=1 << 30)
    store.outbox.enable([SINK])
    store.commit([entry(number, "crack", "hole", "rust") for number in range(3)])
    kinds = {
        row.seq: "frame" if row.topic == "frame" else json.loads(row.payload)["severity"]
        for row in store.outbox.pending(0, 99)
    }
    order, seen = list[int](), set(kinds)
    while store.outbox.outbox_state(SINK).messages:
        store.outbox.limit_bytes = store.outbox.outbox_state(SINK).bytes - 1
        store.outbox.prune(3600)
        kept = {row.seq for row in store.outbox.pending(0, 99)}
        order += sorted(seen - kept)
        seen = kept
    store.close()

    ranks = ["frame", "minor", "major", "critical"]
    assert order == sorted(kinds, key=lambda seq: (ranks.index(kinds[seq]), seq))


def test_much_is_lost_in_slices(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call deletes at most some slices, each a transaction, and reports all of them together, exactly."""
    monkeypatch.setattr(outbox, "PRUNE_ROWS", 4)
    store = Store(tmp_path, clock, outbox_limit_bytes=1)
    store.outbox.enable([SINK])
    store.commit([entry(number) for number in range(50)])
    begun: list[str] = []
    store.database.connection.set_trace_callback(lambda text: begun.append(text) if "BEGIN" in text else None)
    first, second, third = (store.outbox.prune(3600) for _ in range(3))
    store.close()

    assert (first, first[0].seqs) == ([Loss(SINK, 20, 1, 20)], "1-20")
    assert second == [Loss(SINK, 20, 21, 40)]
    assert third == [Loss(SINK, 10, 41, 50)]
    assert len(begun) == 16  # five slices, five, three; and a look at what was delivered each time


def test_without_room_some_go_whatever_the_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time it is asked for, and then no more."""
    monkeypatch.setattr(outbox, "TIGHT_BYTES", 1)
    store.outbox.enable([SINK])
    store.commit([entry(0, "crack")])
    store.outbox.tight = True
    first, second = store.outbox.prune(3600), store.outbox.prune(3600)

    assert (first, second) == ([Loss(SINK, 1, 3, 3)], [])


def reopened_counts(folder: Path) -> dict[str, int]:
    store = Store(folder, FakeClock())
    counts = store.reader.counts()
    store.close()
    return counts


def test_what_was_delivered_is_never_lost(tmp_path: Path, clock: FakeClock) -> None:
    """Only messages that wait count towards the limit: with everything delivered, nothing is lost."""
    store = Store(tmp_path, clock, outbox_limit_bytes=1)
    store.commit([entry(number, "crack") for number in range(3)])
    store.outbox.enable([SINK])
    store.outbox.acknowledge(SINK, 9)
    lost = store.outbox.prune(3600)
    kept = len(store.outbox.pending(0, 99))
    store.close()

    assert (lost, kept) == ([], 9)


operations = st.one_of(
    st.tuples(st.just("commit"), st.integers(0, 12)),
    st.tuples(st.just("acknowledge"), st.integers(0, 12)),
    st.tuples(st.just("prune"), st.integers(0, 20)),
    st.tuples(st.just("limit"), st.integers(0, 12000)),
    st.tuples(st.just("fail"), st.just(0)),
)


@settings(max_examples=25)
@given(script=st.lists(operations, max_size=15))
def test_the_counters_are_what_a_scan_finds(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, int]]
) -> None:
    """After any commits, failures, acknowledgements (backwards, too), prunes and losses, for either of two sinks."""
    clock = FakeClock()
    with closing(Store(tmp_path_factory.mktemp("store"), clock)) as store:
        store.outbox.enable([SINK, OTHER])
        for step, number in script:
            clock.advance(1)
            if step == "commit":
                store.commit([entry(number, "crack")])
            elif step == "acknowledge":
                store.outbox.acknowledge(SINK if number % 3 else OTHER, number)
            elif step == "prune":
                store.outbox.prune(float(number))
            elif step == "limit":
                store.outbox.limit_bytes = number
                store.outbox.prune(1000.0)
            else:
                with pytest.raises(AttributeError):
                    store.commit([entry(99, "crack"), Entry([None], {})])  # type: ignore[list-item]
            assert [scanned(store, sink) for sink in (SINK, OTHER)] == [
                store.outbox.outbox_state(sink) for sink in (SINK, OTHER)
            ]


def test_what_the_slowest_sink_has_not_delivered_is_kept(store: Store, clock: FakeClock) -> None:
    """One sink delivers everything, the other nothing: all of it is kept for the other, however old it grows."""
    store.outbox.enable([SINK, OTHER])
    store.commit([entry(number) for number in range(30)])
    store.outbox.acknowledge(SINK, 30)
    clock.advance(1e6)
    before = store.outbox.prune(60.0), len(store.outbox.pending(0, 99))
    store.outbox.acknowledge(OTHER, 29)
    after = store.outbox.prune(60.0), len(store.outbox.pending(0, 99))

    assert (before, after) == (([], 30), ([], 1))


@pytest.mark.parametrize("order", [(SINK, OTHER), (OTHER, SINK)], ids=" ".join)
def test_a_slow_sink_loses_its_own_messages_only(store: Store, order: tuple[str, str]) -> None:
    """Over the limit for one sink: what the other still waits for is kept, and the loss names the sink."""
    store.outbox.enable(order)
    store.commit([entry(number, "crack") for number in range(10)])
    rows = store.outbox.pending(0, 99)
    store.outbox.acknowledge(SINK, 24)
    store.outbox.limit_bytes = sum(len(row.payload) for row in rows if row.seq > 24)
    lost = store.outbox.prune(1e6)
    kept = [row.seq for row in store.outbox.pending(0, 99)]

    assert lost == [Loss(OTHER, 24, 1, 24)]
    assert kept == list(range(25, 31))
    assert [scanned(store, sink) for sink in order] == [store.outbox.outbox_state(sink) for sink in order]


def test_what_all_sinks_lose_is_reported_for_each(store: Store) -> None:
    """Over the limit for both: each is told what it will not deliver, which is more for the slower one."""
    store.outbox.enable([SINK, OTHER])
    store.commit([entry(number) for number in range(10)])
    store.outbox.acknowledge(SINK, 4)
    store.outbox.limit_bytes = 0

    assert store.outbox.prune(1e6) == [Loss(SINK, 6, 5, 10), Loss(OTHER, 10, 1, 10)]


def test_a_sink_that_is_switched_off_holds_nothing_back(store: Store, clock: FakeClock) -> None:
    """Nothing waits for it: it has no loss and no fill, and what the others have delivered goes."""
    store.outbox.enable([SINK, OTHER])
    store.commit([entry(number) for number in range(5)])
    store.outbox.acknowledge(OTHER, 1)
    again = reopened(store)
    again.outbox.enable([SINK])
    again.outbox.acknowledge(SINK, 4)
    waiting = again.outbox.outbox_state(OTHER)
    lost = again.outbox.prune(-1.0)
    kept = [row.seq for row in again.outbox.pending(0, 9)]
    again.close()

    assert (waiting.messages, waiting.bytes, waiting.oldest_ms, waiting.last_seq) == (0, 0, None, 5)
    assert (lost, kept) == ([], [5])


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [
        pytest.param(None, 3, id="new: at the oldest that is kept"),
        pytest.param(1, 3, id="switched on again: the oldest that is kept"),
        pytest.param(5, 5, id="switched on again: after what it delivered"),
    ],
)
def test_where_a_sink_begins(store: Store, delivered: int | None, expected: int) -> None:
    """A new sink, and one that was switched off, begins at the oldest kept message that it does not have."""
    store.commit([entry(number) for number in range(3)])
    store.outbox.acknowledge(SINK, 3)
    store.outbox.prune(-1.0)
    store.commit([entry(number) for number in range(3, 6)])
    if delivered is not None:
        store.outbox.acknowledge(OTHER, delivered)
    store.outbox.enable([SINK, OTHER])

    assert store.outbox.cursor(OTHER) == expected
    assert scanned(store, OTHER) == store.outbox.outbox_state(OTHER)
    assert store.outbox.outbox_state(OTHER).messages == 6 - expected


def test_without_a_sink_messages_go_when_they_are_old(store: Store, clock: FakeClock) -> None:
    """A station that delivers nowhere keeps its outbox as long as one that delivers at once, and loses nothing."""
    store.outbox.limit_bytes = 1
    store.outbox.enable([])
    store.commit([entry(0)])
    clock.advance(100)
    store.commit([entry(1)])

    assert (store.outbox.prune(60.0), [row.seq for row in store.outbox.pending(0, 9)]) == ([], [2])


steps = st.one_of(
    st.tuples(st.just("commit"), st.integers(0, 40)),
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.just("limit"), st.integers(0, 9000)),
)


@settings(max_examples=40)
@given(script=st.lists(steps, max_size=20))
def test_no_sink_loses_anything_unreported(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, int]]
) -> None:
    """After any commits, deliveries and prunes: what is gone and was not delivered was reported, for each sink."""
    clock = FakeClock()
    reported = {SINK: 0, OTHER: 0}
    with closing(Store(tmp_path_factory.mktemp("store"), clock)) as store:
        outbox = store.outbox
        outbox.enable(reported)
        for step, number in script:
            clock.advance(1)
            if step == "commit":
                store.commit([entry(number, "crack")])
            elif step == "deliver":
                sink = SINK if number % 2 else OTHER
                for row in outbox.pending(outbox.cursor(sink), number):
                    outbox.acknowledge(sink, row.seq)
            else:
                outbox.limit_bytes = number
                for loss in outbox.prune(0.0):
                    reported[loss.sink] += loss.messages
        kept = {row.seq for row in outbox.pending(0, 999)}
        last = outbox.outbox_state(SINK).last_seq
        for sink, count in reported.items():
            assert len(set(range(outbox.cursor(sink) + 1, last + 1)) - kept) <= count


def test_counting_costs_the_same_however_much_waits(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    """The outbox's state is read on every scrape: 4,000 waiting messages are counted as fast as four."""
    store.commit([entry(number) for number in range(4000)])
    with closing(Store(tmp_path / "few", clock)) as few:
        few.commit([entry(number) for number in range(4)])
        states = [one.outbox.outbox_state(SINK).messages for one in (store, few)]
        ratio = cost_ratio(lambda: store.outbox.outbox_state(SINK), lambda: few.outbox.outbox_state(SINK), 50)

    assert states == [4000, 4]
    assert ratio < 3


def test_several_threads_share_a_store(store: Store) -> None:
    """Commits, acknowledgements and prunes of several threads leave numbers without gaps and true counters."""
    failures: list[Exception] = []

    def commit(first: int) -> None:
        try:
            for number in range(first, first + 20):
                store.commit([entry(number, "crack")])
                store.ledger.starting(f"{number}.jpg")
        except Exception as exc:  # noqa: BLE001 - a thread's outermost function
            failures.append(exc)

    def deliver() -> None:
        try:
            for _ in range(20):
                store.outbox.outbox_state(SINK)
                rows = store.outbox.pending(store.outbox.cursor(SINK), 7)
                if rows:
                    store.outbox.acknowledge(SINK, rows[-1].seq)
                store.outbox.prune(3600.0)
        except Exception as exc:  # noqa: BLE001 - a thread's outermost function
            failures.append(exc)

    threads = [threading.Thread(target=commit, args=(first,)) for first in (0, 100)] + [
        threading.Thread(target=deliver)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert list(range(1, 121)) == [row.seq for row in store.outbox.pending(0, 999)]
    assert scanned(store) == store.outbox.outbox_state(SINK)


def test_losses_fit_the_message_that_tells_them(store: Store) -> None:
    """What `prune` returns goes into a coverage message as its first and last number."""
    body = lost_body(Lost(NOON, "mqtt", 3, 9, 5, "full"), TrackState(), track_rules())

    assert (body.cause, body.first_seq, body.last_seq, body.lost) == ("messages_lost", 3, 9, 5)
