"""`inspector.store`: one transaction per commit, numbers without gaps, and nothing lost that was not told."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import STAMP, FakeClock, entry, make_gap, track_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.drafts import Draft
from inspector.errors import StoreError
from inspector.faults import CRASH_POINTS
from inspector.messages import CoverageMessage, Evidence
from inspector.store import store as store_module
from inspector.store.entries import Candidate, DoneMark, Entry, OutboxState
from inspector.store.store import Store
from inspector.store.work_list import WorkList
from inspector.track.bodies import coverage_body

SINK = "mqtt"


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = Store(tmp_path / "store", clock)
    yield store
    store.close()


def reopened(store: Store, clean: bool = True, **changes: Any) -> Store:
    store.close(clean)
    return Store(store.folder, FakeClock(), **changes)


def scanned(store: Store, sink: str = SINK) -> OutboxState:
    """The state of the outbox, counted the slow way."""
    rows = [row for row in store.pending(0, 1_000_000) if row.seq > store.cursor(sink)]
    return OutboxState(
        len(rows), sum(len(row.payload) for row in rows), rows[0].stored_ms if rows else None,
        store.outbox_state(sink).last_seq,
    )  # fmt: skip


# --- Committing ---------------------------------------------------------------------------------------------------


def test_a_commit_leaves_messages_outbox_and_ledger(store: Store) -> None:
    """Messages come back numbered from 1, wait in the outbox as the same bytes, and their file is done."""
    bodies = store.commit([entry(0, "crack"), entry(1)])
    rows = store.pending(0, 10)

    assert [row.topic for row in rows] == ["defect", "alarm", "frame", "frame"]
    assert [1, 2, 3, 4] == [body.seq for body in bodies] == [row.seq for row in rows]
    assert {store.store_id} == {body.store_id for body in bodies}
    assert [json.loads(row.payload) for row in rows] == [body.model_dump(mode="json", by_alias=True) for body in bodies]
    assert store.is_done("0.jpg", *STAMP)
    assert store.counts() == {"defect": 1, "alarm": 1, "frame": 2}


def test_a_message_is_stored_once(store: Store) -> None:
    """A message whose id is known is left out, in the same commit and in a later one; numbers stay without gaps."""
    first = store.commit([entry(0, "crack"), entry(0, "crack")])
    again = store.commit([entry(0, "crack"), entry(1)])

    assert ([body.seq for body in first], [body.seq for body in again]) == ([1, 2, 3], [4])
    assert store.counts() == {"defect": 1, "alarm": 1, "frame": 2}


def test_evidence_is_written_into_the_message(store: Store) -> None:
    """A defect message carries the evidence that was kept under its id, and only that one."""
    one = entry(0, "crack", "hole")
    wanted = one.drafts[0].body.id
    bodies = store.commit([Entry(one.drafts, {wanted: Evidence(sha256="ab", url="/evidence/x.jpg")})])
    expected = {"sha256": "ab", "url": "/evidence/x.jpg"}

    assert [expected, {"sha256": None, "url": None}] == [
        json.loads(row.payload)["evidence"] for row in store.pending(0, 9) if row.topic == "defect"
    ]
    assert wanted == bodies[0].id


def test_a_fault_in_the_middle_leaves_nothing(store: Store) -> None:
    """When one message of a commit cannot be stored, none of it is: no message, no number, no done-mark."""
    good = entry(0, "crack")
    bad = Draft(entry(1).drafts[0].body.model_copy(update={"score": float("nan")}))
    state = store.outbox_state(SINK)
    with pytest.raises(ValueError, match="JSON compliant"):
        store.commit([good, Entry([bad], {}, DoneMark("1.jpg", STAMP, "clean"))])

    assert (store.pending(0, 9), store.counts(), store.is_done("0.jpg", *STAMP)) == ([], {}, False)
    assert state == store.outbox_state(SINK)
    assert [body.seq for body in store.commit([good])] == [1, 2, 3]


def test_a_full_disk_leaves_nothing_and_passes(store: Store) -> None:
    """A disk that is full refuses the whole commit with OperationalError; with room again, the same commit works."""
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    many = [entry(number, "crack", "hole", "rust") for number in range(40)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.commit(many)
    empty = (store.pending(0, 9), store.outbox_state(SINK).messages)
    store._db.execute("PRAGMA max_page_count = 100000")
    bodies = store.commit(many)

    assert empty == ([], 0)
    assert list(range(1, len(bodies) + 1)) == [body.seq for body in bodies]


def test_numbers_and_epochs_go_on_after_a_restart(store: Store) -> None:
    """One store numbers its messages without gaps and never gives an epoch twice, over any number of starts."""
    seqs, epochs, ids = list[int](), list[int](), set[str]()
    for number in range(4):
        epochs += [store.next_epoch(), store.next_epoch()]
        seqs += [body.seq for body in store.commit([entry(number, "crack")])]
        ids.add(store.store_id)
        store = reopened(store, clean=bool(number % 2))
    store.close()

    assert list(range(1, 13)) == seqs
    assert list(range(1, 9)) == epochs
    assert len(ids) == 1


def test_candidates_are_kept(store: Store) -> None:
    """Findings under their thresholds are stored, and are nobody's message."""
    store.commit([entry(0, candidates=[Candidate(1, 1, 0, "0.jpg", "crack", 0.4, 0, 0, 9, 9, "b")])])

    assert store._db.execute("SELECT label, score FROM candidates").fetchall() == [("crack", 0.4)]
    assert store.counts() == {"frame": 1}


def test_recent_defects_come_newest_first(store: Store) -> None:
    """The newest defect messages come first, as many as asked for, older than asked for."""
    store.commit([entry(number, "crack") for number in range(5)])
    moments = [row["timestamp_ms"] for row in store.recent_defects(3)]

    assert sorted(moments, reverse=True) == moments
    assert len(moments) == 3
    assert all(row["timestamp_ms"] < moments[-1] for row in store.recent_defects(9, before_ms=moments[-1]))


def test_configurations_are_remembered(store: Store) -> None:
    """What messages name by fingerprint stays readable; the first text of a fingerprint is kept."""
    store.remember("bundle", "abc", "card")
    store.remember("bundle", "abc", "other")

    assert store._db.execute("SELECT kind, text FROM configurations").fetchall() == [("bundle", "card")]


def test_heartbeat_survives(store: Store, clock: FakeClock) -> None:
    """The next start knows when the last process was alive; a new store knows nothing."""
    before = store.last_alive_ms()
    store.heartbeat()
    again = reopened(store, clean=False)
    alive = again.last_alive_ms()
    again.close()

    assert before is None
    assert round(clock.now().timestamp() * 1000) == alive


# --- Ledger and suspects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(("0.jpg", STAMP.size_bytes, STAMP.mtime_ns), True, id="the same file"),
        pytest.param(("0.jpg", STAMP.size_bytes + 1, STAMP.mtime_ns), False, id="another size"),
        pytest.param(("0.jpg", STAMP.size_bytes, STAMP.mtime_ns + 1), False, id="another time"),
        pytest.param(("1.jpg", STAMP.size_bytes, STAMP.mtime_ns), False, id="another file"),
    ],
)
def test_ledger(store: Store, asked: tuple[str, int, int], expected: bool) -> None:
    """A file is done at the size and time at which it was committed, over restarts, and not otherwise."""
    store.commit([entry(0)])
    again = reopened(store)
    done = again.is_done(*asked)
    again.close()

    assert expected is done


def test_files_in_work_at_a_death_are_suspects(store: Store, tmp_path: Path) -> None:
    """What was in work when the process died is counted per death; what was finished before is not."""
    for name in ("a", "b", "c"):
        store.starting(name)
    store.commit([Entry([], {}, DoneMark("a", STAMP, "clean"))])
    once = reopened(store, clean=False)
    after_one = once.suspects()
    once.starting("b")
    twice = reopened(once, clean=False)
    after_two = twice.suspects()
    twice.commit([Entry([], {}, DoneMark("b", STAMP, "deadly"))])
    clean = reopened(twice)
    finally_ = clean.suspects()
    clean.close()

    assert (after_one, after_two, finally_) == ({"b": 1, "c": 1}, {"b": 2, "c": 1}, {"c": 1})


def test_a_clean_end_blames_nobody(store: Store) -> None:
    """A process that ends on purpose leaves no suspects, whatever it had begun."""
    store.starting("a")
    again = reopened(store, clean=True)
    suspects = again.suspects()
    again.close()

    assert suspects == {}


def test_a_torn_list_of_files_in_work_is_read_as_far_as_it_goes(store: Store) -> None:
    """A half-written last line, as a death leaves it, hides no other file."""
    store.starting("a")
    store.close(clean=False)
    with (store.folder / "in-work").open("ab") as file:
        file.write(b'+["b", 17')
    again = Store(store.folder, FakeClock())
    suspects = again.suspects()
    again.close()

    assert suspects == {"a": 1}


@pytest.mark.parametrize(
    ("worked_on_later", "expected"),
    [
        pytest.param(False, {}, id="died before it was struck off"),
        pytest.param(True, {"0.jpg": 1}, id="came again later"),
    ],
)
def test_a_committed_file_is_not_blamed(
    store: Store, clock: FakeClock, worked_on_later: bool, expected: dict[str, int]
) -> None:
    """A death between the commit and the list of files in work blames nobody; a new file of that name is blamed."""
    path = store.folder / "in-work"
    store.starting("0.jpg")
    as_it_was = path.read_bytes()
    clock.advance(1)
    store.commit([entry(0)])
    if worked_on_later:
        clock.advance(1)
        store.starting("0.jpg")
        as_it_was = path.read_bytes()
    store.close(clean=False)
    path.write_bytes(as_it_was)
    again = Store(store.folder, clock)
    suspects = again.suspects()
    again.close()

    assert expected == suspects


def test_the_list_of_files_in_work_stays_small(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With always a file in work, as in a long backlog, the list does not grow, and a death finds that file alone."""
    monkeypatch.setattr(WorkList, "MAX_BYTES", 2000)
    largest = 0
    for number in range(300):
        store.starting(f"{number + 1}.jpg")
        store.commit([Entry([], {}, DoneMark(f"{number}.jpg", STAMP, "clean"))])
        largest = max(largest, (store.folder / "in-work").stat().st_size)
    again = reopened(store, clean=False)
    suspects = again.suspects()
    again.close()

    assert largest < 2200
    assert suspects == {"300.jpg": 1}


# --- Opening ------------------------------------------------------------------------------------------------------


def test_a_second_instance_is_refused(store: Store) -> None:
    """Two processes on one store are refused, naming the folder and the process that has it."""
    with pytest.raises(StoreError, match=f"{re.escape(str(store.folder))} is in use .* process {os.getpid()}$"):
        Store(store.folder, FakeClock())


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (name TEXT)")
    db.close()


def newer_store(path: Path) -> None:
    Store(path.parent, FakeClock()).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        pytest.param(foreign_database, "not a store of inspector", id="another program's database"),
        pytest.param(newer_store, r"written by a newer inspector, schema 99 \(this one knows 1\)", id="newer schema"),
        pytest.param(lambda path: path.write_bytes(b"no database " * 99), "cannot be opened", id="no database"),
        pytest.param(lambda path: path.mkdir(), "cannot be opened", id="a folder"),
    ],
)
def test_what_is_no_store_of_ours_is_refused(tmp_path: Path, prepare: Any, text: str) -> None:
    """Foreign, newer and damaged files are refused by name, stay as they were, and are not left locked."""
    path = tmp_path / "inspector.sqlite3"
    prepare(path)
    before = path.read_bytes() if path.is_file() else b""
    for _ in range(2):
        with pytest.raises(StoreError, match=f"{re.escape(str(path))}: .*{text}"):
            Store(tmp_path, FakeClock())

    assert before == (path.read_bytes() if path.is_file() else b"")


def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A store path that is a file is refused with the key."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"store\.path: .*file cannot be used"):
        Store(tmp_path / "file", FakeClock())


def test_closing_twice_is_closing_once(store: Store) -> None:
    """A second close touches nothing: its lock's number may belong to another file by then."""
    store.close()
    other = os.open(store.folder, os.O_RDONLY)
    store.close()
    os.close(other)


# --- Outbox -------------------------------------------------------------------------------------------------------


def test_the_cursor_moves_over_what_has_arrived(store: Store) -> None:
    """Each sink has its own cursor; messages after it wait, those before it do not, over a restart."""
    store.commit([entry(number) for number in range(5)])
    store.acknowledge(SINK, 3)
    again = reopened(store, clean=False)
    cursors = again.cursor(SINK), again.cursor("other")
    waiting = again.outbox_state(SINK).messages, again.outbox_state("other").messages
    again.close()

    assert (cursors, waiting) == ((3, 0), (2, 5))


def test_pending_gives_the_next_ones_in_order(store: Store) -> None:
    """`pending` is a window: after a number, at most so many, in order."""
    store.commit([entry(number) for number in range(9)])

    assert [row.seq for row in store.pending(3, 3)] == [4, 5, 6]
    assert [row.seq for row in store.pending(8, 3)] == [9]


def test_prune_forgets_what_was_delivered_long_ago(store: Store, clock: FakeClock) -> None:
    """Delivered messages older than the horizon go, however many; younger and undelivered ones stay."""
    store.commit([entry(number) for number in range(store_module.PRUNE_ROWS + 50)])
    delivered = store.outbox_state(SINK).last_seq
    clock.advance(100)
    store.commit([entry(5000)])
    clock.advance(100)
    store.commit([entry(5001)])
    store.acknowledge(SINK, delivered + 1)
    early = store.prune(SINK, 1000.0), store.first_kept_seq()
    late = store.prune(SINK, 150.0), store.first_kept_seq()
    all_delivered = store.prune(SINK, 0.0), store.first_kept_seq()

    assert ((None, 1), (None, delivered + 1), (None, delivered + 2)) == (early, late, all_delivered)


def test_prune_leaves_much_to_later_calls(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of messages that grow old at once goes in bounded parts, each call the next, until all have gone."""
    monkeypatch.setattr(store_module, "PRUNE_ROWS", 2)
    store.commit([entry(number) for number in range(store_module.PRUNE_TIMES * 4 + 1)])
    store.acknowledge(SINK, store.outbox_state(SINK).last_seq)
    clock.advance(100)
    kept = []
    for _ in range(4):
        store.prune(SINK, 50.0)
        kept.append(len(store.pending(0, 99)))

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
    store.acknowledge(SINK, 2)
    clock.advance(60)
    store.prune(SINK, 50.0)

    assert seqs == [row.seq for row in store.pending(0, 9)]


@pytest.mark.parametrize("delivered", [pytest.param(0, id="waiting"), pytest.param(4000, id="kept")])
def test_pruning_nothing_costs_little_however_much_is_there(store: Store, delivered: int) -> None:
    """Housekeeping runs every 5 s: with 4,000 messages waiting or kept, none of them old, it does not read them all."""
    store.commit([entry(number) for number in range(4000)])
    store.acknowledge(SINK, delivered)
    store.prune(SINK, 3600.0)
    steps: list[None] = []
    store._db.set_progress_handler(lambda: steps.append(None), 1)  # one call per instruction of SQLite's machine
    store.prune(SINK, 3600.0)

    assert len(steps) < 400


def test_an_outbox_over_its_limit_loses_frame_messages_first(tmp_path: Path, clock: FakeClock) -> None:
    """Over the limit the oldest frame messages go, then the oldest events, and `prune` tells which; records stay."""
    store = Store(tmp_path, clock, outbox_limit_bytes=1 << 30)
    store.commit([entry(number, "crack") for number in range(10)])
    sizes = {row.seq: len(row.payload) for row in store.pending(0, 99)}
    frames = [row.seq for row in store.pending(0, 99) if row.topic == "frame"]
    events = [seq for seq in sizes if seq not in frames]
    store.close()

    def shrunk(limit: int) -> tuple[Any, list[int]]:
        store = Store(tmp_path, clock, outbox_limit_bytes=limit)
        lost = store.prune(SINK, 3600)
        kept = [row.seq for row in store.pending(0, 99)]
        assert scanned(store) == store.outbox_state(SINK)
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
    counts = store.counts()
    store.close()
    return counts


def test_what_was_delivered_is_never_lost(tmp_path: Path, clock: FakeClock) -> None:
    """Only messages that wait count towards the limit: with everything delivered, nothing is lost."""
    store = Store(tmp_path, clock, outbox_limit_bytes=1)
    store.commit([entry(number, "crack") for number in range(3)])
    store.acknowledge(SINK, 9)
    lost = store.prune(SINK, 3600)
    kept = len(store.pending(0, 99))
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
                store.acknowledge(SINK, number)
            elif step == "prune":
                store.prune(SINK, float(number))
            elif step == "limit":
                store._limit_bytes = number
                store.prune(SINK, 1000.0)
            else:
                with pytest.raises(AttributeError):
                    store.commit([entry(99, "crack"), Entry([None], {})])  # type: ignore[list-item]
            assert [scanned(store, sink) for sink in (SINK, "other")] == [
                store.outbox_state(sink) for sink in (SINK, "other")
            ]


def test_counting_costs_little_however_much_waits(store: Store) -> None:
    """The outbox's state is read on every scrape: with 4,000 messages waiting it costs under 0.5 ms."""
    store.commit([entry(number) for number in range(4000)])
    store.outbox_state(SINK)
    spent_s = []
    for _ in range(20):
        started = time.process_time()
        store.outbox_state(SINK)
        spent_s.append(time.process_time() - started)

    assert min(spent_s) < 0.0005


def test_several_threads_share_a_store(store: Store) -> None:
    """Commits, acknowledgements and prunes of several threads leave numbers without gaps and true counters."""
    failures: list[Exception] = []

    def commit(first: int) -> None:
        try:
            for number in range(first, first + 20):
                store.commit([entry(number, "crack")])
                store.starting(f"{number}.jpg")
        except Exception as exc:  # noqa: BLE001 - a thread's outermost function
            failures.append(exc)

    def deliver() -> None:
        try:
            for _ in range(20):
                store.outbox_state(SINK)
                rows = store.pending(store.cursor(SINK), 7)
                if rows:
                    store.acknowledge(SINK, rows[-1].seq)
                store.prune(SINK, 3600.0)
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
    assert list(range(1, 121)) == [row.seq for row in store.pending(0, 999)]
    assert scanned(store) == store.outbox_state(SINK)


def test_the_runbook_can_say_what_was_lost(store: Store) -> None:
    """The runbook's command for lost messages names each of the range by kind, time, label and verdict."""
    store.commit([entry(0, "crack"), entry(1)])
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text("utf-8")
    [query] = re.findall(r'"(SELECT .* FROM records .*)"', runbook)
    with closing(sqlite3.connect(store.folder / "inspector.sqlite3")) as db:
        rows = db.execute(query.replace("BETWEEN 100 AND 200", "BETWEEN 2 AND 4")).fetchall()

    assert rows == [
        (2, "alarm", "2026-03-01 12:00:00", "crack", 0.9, "defect"),
        (3, "frame", "2026-03-01 12:00:00", "crack", 0.9, "fail"),
        (4, "frame", "2026-03-01 12:00:00", None, None, "pass"),
    ]


# --- Death --------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fakes import FakeClock, entry
from inspector.faults import crash_point
from inspector.store.store import Store
from inspector.store.work_list import WorkList
store = Store(Path(sys.argv[1]), FakeClock())
for number in range(10):
    if store.is_done(f"{number}.jpg", 1000, 1_700_000_000_000_000_000):
        continue
    store.starting(f"{number}.jpg")
    one = entry(number, "crack")
    crash_point("commit.before")
    store.commit([one])
    crash_point("commit.after")
    print(number, flush=True)
store.close()
"""


def run_child(folder: Path, crash_at: str | None) -> subprocess.CompletedProcess[str]:
    """Ten stills in a process of their own, which dies at a point, or does not."""
    environ = {name: value for name, value in os.environ.items() if name != "INSPECTOR_CRASH_AT"}
    if crash_at:
        environ["INSPECTOR_CRASH_AT"] = crash_at
    arguments = [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parents[1])]
    return subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=60, check=False)


def expected_messages() -> list[str]:
    return sorted(draft.body.id for number in range(10) for draft in entry(number, "crack").drafts)


@pytest.mark.parametrize(
    ("point", "blamed"),
    [
        pytest.param("commit.before", True, id="before the commit"),
        pytest.param("commit.inside", True, id="inside the transaction"),
        pytest.param("commit.after", False, id="after the commit"),
    ],
)
def test_a_kill_at_any_point_loses_and_repeats_nothing(tmp_path: Path, point: str, blamed: bool) -> None:
    """Killed at a commit and started again: every message once, numbers without gaps, and the file in work blamed."""
    died = run_child(tmp_path, f"{point}:3")
    store = Store(tmp_path, FakeClock())
    suspects = store.suspects()
    store.close()
    lived = run_child(tmp_path, None)
    store = Store(tmp_path, FakeClock())
    rows, after = store.pending(0, 99), store.suspects()
    store.close()

    assert (died.returncode, lived.returncode) == (-signal.SIGKILL, 0)
    assert ({"2.jpg": 1} if blamed else {}) == suspects
    assert expected_messages() == sorted(json.loads(row.payload)["id"] for row in rows)
    assert list(range(1, 31)) == [row.seq for row in rows]
    assert after == {}


def test_a_strange_crash_point_is_refused(tmp_path: Path) -> None:
    """A fault test that names a point that is not there fails at once instead of testing nothing."""
    done = run_child(tmp_path, "commit.somewhere")

    assert done.returncode == 1
    assert "INSPECTOR_CRASH_AT: unknown crash point: commit.somewhere" in done.stderr


def test_every_crash_point_is_somewhere() -> None:
    """The points that the code passes are exactly the ones that are declared, each at one place."""
    package = Path(store_module.__file__).parent.parent
    found = [
        name
        for path in sorted(package.rglob("*.py"))
        for name in re.findall(r'^ +crash_point\("([^"]+)"\)', path.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert sorted(CRASH_POINTS) == sorted(found)


def test_losses_fit_the_message_that_tells_them(store: Store) -> None:
    """What `prune` returns goes into a coverage message as its first and last number."""
    body = coverage_body(make_gap(), None, track_rules(), (3, 9), "messages_lost")

    assert isinstance(body, CoverageMessage)
    assert (body.cause, body.first_seq, body.last_seq) == ("messages_lost", 3, 9)
