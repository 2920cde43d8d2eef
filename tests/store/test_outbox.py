"""`inspector.store.outbox`: messages in order for every sink, and nothing lost that was not told."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, entry, make_gap, track_rules
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import reopened

from inspector.messages import CoverageMessage
from inspector.store import outbox
from inspector.store.entries import Entry, OutboxState
from inspector.store.store import Store
from inspector.track.bodies import coverage_body

SINK = "mqtt"


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
    cursors = again.outbox.cursor(SINK), again.outbox.cursor("other")
    waiting = again.outbox.outbox_state(SINK).messages, again.outbox.outbox_state("other").messages
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
    early = store.outbox.prune(SINK, 1000.0), store.outbox.first_kept_seq()
    late = store.outbox.prune(SINK, 150.0), store.outbox.first_kept_seq()
    all_delivered = store.outbox.prune(SINK, 0.0), store.outbox.first_kept_seq()

    assert ((None, 1), (None, delivered + 1), (None, delivered + 2)) == (early, late, all_delivered)


def test_prune_leaves_much_to_later_calls(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of messages that grow old at once goes in bounded parts, each call the next, until all have gone."""
    monkeypatch.setattr(outbox, "PRUNE_ROWS", 2)
    store.commit([entry(number) for number in range(outbox.PRUNE_TIMES * 4 + 1)])
    store.outbox.acknowledge(SINK, store.outbox.outbox_state(SINK).last_seq)
    clock.advance(100)
    kept = []
    for _ in range(4):
        store.outbox.prune(SINK, 50.0)
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
    store.outbox.prune(SINK, 50.0)

    assert seqs == [row.seq for row in store.outbox.pending(0, 9)]


@pytest.mark.parametrize("delivered", [pytest.param(0, id="waiting"), pytest.param(4000, id="kept")])
def test_pruning_nothing_costs_little_however_much_is_there(store: Store, delivered: int) -> None:
    """Housekeeping runs every 5 s: with 4,000 messages waiting or kept, none of them old, it does not read them all."""
    store.commit([entry(number) for number in range(4000)])
    store.outbox.acknowledge(SINK, delivered)
    store.outbox.prune(SINK, 3600.0)
    steps: list[None] = []
    store.database.connection.set_progress_handler(
        lambda: steps.append(None), 1
    )  # one call per instruction of SQLite's machine
    store.outbox.prune(SINK, 3600.0)

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
        lost = store.outbox.prune(SINK, 3600)
        kept = [row.seq for row in store.outbox.pending(0, 99)]
        assert scanned(store) == store.outbox.outbox_state(SINK)
        store.close()
        return lost, kept

    total = sum(sizes.values())
    nothing = shrunk(total)
    some_frames = shrunk(total - sizes[frames[0]] - 1)
    all_frames = shrunk(sum(sizes[seq] for seq in events))
    events_too = shrunk(sum(sizes[seq] for seq in events[2:]))

    assert (None, list(sizes)) == nothing
    assert ((2, frames[0], frames[1]), sorted(set(sizes) - set(frames[:2]))) == some_frames
    assert ((8, frames[2], frames[9]), events) == all_frames
    assert ((2, events[0], events[1]), events[2:]) == events_too
    assert reopened_counts(tmp_path) == {"defect": 10, "alarm": 10, "frame": 10}


def reopened_counts(folder: Path) -> dict[str, int]:
    store = Store(folder, FakeClock())
    counts = store.reader.counts()
    store.close()
    return counts


def test_what_was_delivered_is_never_lost(tmp_path: Path, clock: FakeClock) -> None:
    """Only messages that wait count towards the limit: with everything delivered, nothing is lost."""
    store = Store(tmp_path, clock, outbox_limit_bytes=1)
    store.commit([entry(number, "crack") for number in range(3)])
    store.outbox.acknowledge(SINK, 9)
    lost = store.outbox.prune(SINK, 3600)
    kept = len(store.outbox.pending(0, 99))
    store.close()

    assert (lost, kept) == (None, 9)


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
        for step, number in script:
            clock.advance(1)
            if step == "commit":
                store.commit([entry(number, "crack")])
            elif step == "acknowledge":
                store.outbox.acknowledge(SINK, number)
            elif step == "prune":
                store.outbox.prune(SINK, float(number))
            elif step == "limit":
                store.outbox.limit_bytes = number
                store.outbox.prune(SINK, 1000.0)
            else:
                with pytest.raises(AttributeError):
                    store.commit([entry(99, "crack"), Entry([None], {})])  # type: ignore[list-item]
            assert [scanned(store, sink) for sink in (SINK, "other")] == [
                store.outbox.outbox_state(sink) for sink in (SINK, "other")
            ]


def test_counting_costs_little_however_much_waits(store: Store) -> None:
    """The outbox's state is read on every scrape: with 4,000 messages waiting it costs under 0.5 ms."""
    store.commit([entry(number) for number in range(4000)])
    store.outbox.outbox_state(SINK)
    spent_s = []
    for _ in range(20):
        started = time.process_time()
        store.outbox.outbox_state(SINK)
        spent_s.append(time.process_time() - started)

    assert min(spent_s) < 0.0005


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
                store.outbox.prune(SINK, 3600.0)
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
    body = coverage_body(make_gap(), None, track_rules(), (3, 9), "messages_lost")

    assert isinstance(body, CoverageMessage)
    assert (body.cause, body.first_seq, body.last_seq) == ("messages_lost", 3, 9)
