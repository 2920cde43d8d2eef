"""`inspector.station.housekeeping`: room on the disk, and the sign of life."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from fakes import NOON, FakeClock, entry

from inspector.clock import to_timestamp_ms
from inspector.errors import StoreBusyError, WorkerError
from inspector.frame import Cause, Gap
from inspector.settings.store import StoreOptions
from inspector.station import housekeeping
from inspector.station.delivery import Losses, OutboxCare
from inspector.station.housekeeping import Drops, Heartbeat, Housekeeping, frames_wait
from inspector.station.inbox import Inbox
from inspector.station.pipeline import Pipeline
from inspector.station.room_care import RoomCare
from inspector.store import migration
from inspector.store.evidence import EvidenceFolder
from inspector.store.retention import Retention
from inspector.store.schema import MigrationStage
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

PREVIOUS = Path(__file__).parents[1] / "compat" / "0.1.0" / "inspector.sqlite3"
MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def inbox(clock: FakeClock) -> Inbox:
    return Inbox(clock)


def make_care(store: Store, inbox: Inbox, clock: FakeClock, metrics: Metrics, limit_bytes: int) -> OutboxCare:
    losses = Losses(inbox, clock)
    return OutboxCare(store.outbox, losses, metrics, sinks=["mqtt"], limit_bytes=limit_bytes, horizon_s=60.0)


# --- The sign of life ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alive_s", "waits", "told_s"),
    [
        pytest.param(None, False, None, id="a new store"),
        pytest.param(-3600.0, False, 3600.0, id="nobody looked for an hour"),
        pytest.param(-1.1, False, 1.1, id="a little more than a second"),
        pytest.param(-1.0, False, None, id="a second is a restart"),
        pytest.param(-3600.0, True, None, id="files waited"),
        pytest.param(3600.0, False, None, id="the clock was set back"),
    ],
)
def test_the_time_without_a_process_is_told(
    store: Store, clock: FakeClock, make_pipeline: MakePipeline, alive_s: float | None, waits: bool,
    told_s: float | None,
) -> None:  # fmt: skip
    """The next start tells how long nobody watched, unless the frames waited; a new store begins to count."""
    if alive_s is not None:
        store.notes.heartbeat(NOON + timedelta(seconds=alive_s))
    pipeline = make_pipeline()
    Heartbeat(store.notes, pipeline, clock).begin(waits)

    since = NOON - timedelta(seconds=told_s or 0)
    expected = [] if told_s is None else [Gap(Cause.PROCESS_DOWN, since, NOON, 0)]
    assert pipeline.inbox.take(math.inf) == expected
    assert store.notes.last_alive_ms() == to_timestamp_ms(NOON + timedelta(seconds=alive_s or 0))


@pytest.mark.parametrize(
    ("reason", "missed", "beats"),
    [
        pytest.param(None, None, True, id="it looks"),
        pytest.param(None, "blank", True, id="at bad pictures, too"),
        pytest.param("gone", None, False, id="the source is away"),
        pytest.param(None, "frozen", False, id="the camera repeats itself"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_no_sign_of_life_while_nobody_looks(
    store: Store, clock: FakeClock, make_pipeline: MakePipeline, reason: str | None, missed: str | None, beats: bool,
    last: bool,
) -> None:  # fmt: skip
    """While the source is away, or a camera frozen, no heartbeat is stored: the next start tells the whole time.

    An outage of the source that a stop ends has been told by then; a frozen camera has not.
    """
    pipeline = make_pipeline()
    pipeline.reader.reason, pipeline.committer.tally.missed_cause = reason, missed
    heartbeat = Heartbeat(store.notes, pipeline, clock)
    if last:
        clock.advance(30)  # the rest of the stop took long: nobody looked in that time
        heartbeat.end(NOON, reported=True)
    else:
        heartbeat.beat()

    expected = beats or (last and reason is not None)
    assert store.notes.last_alive_ms() == (to_timestamp_ms(NOON) if expected else None)


def test_a_stop_that_could_not_report_leaves_no_sign(
    store: Store, clock: FakeClock, make_pipeline: MakePipeline
) -> None:
    """What was missed and not committed is told by the next start: from the last heartbeat before on."""
    Heartbeat(store.notes, make_pipeline(), clock).end(NOON, reported=False)

    assert store.notes.last_alive_ms() is None


def test_a_store_that_refuses_the_last_sign_ends_nothing(
    store: Store, clock: FakeClock, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start and stop go on with a full disk."""
    monkeypatch.setattr(store.notes, "heartbeat", refuse)
    pipeline = make_pipeline()
    heartbeat = Heartbeat(store.notes, pipeline, clock)
    heartbeat.begin(False)
    heartbeat.end(NOON, reported=True)

    assert len(pipeline.inbox) == 0


def refuse(*_: object) -> None:
    raise StoreBusyError("disk full")


@pytest.mark.parametrize(
    ("kind", "live", "expected"),
    [
        pytest.param("folder", False, True, id="pictures lie there"),
        pytest.param("demo", False, True, id="drawn when asked for"),
        pytest.param("camera", False, True, id="a video file"),
        pytest.param("camera", True, False, id="a camera"),
        pytest.param("lines", False, False, id="a line camera"),
    ],
)
def test_which_frames_wait(kind: str, live: bool, expected: bool) -> None:
    """Files are there after a restart; what a line moved past is not."""
    assert frames_wait(kind, live) == expected


# --- Tidying ------------------------------------------------------------------------------------------------------


def test_drops_are_a_share_of_what_came(make_pipeline: MakePipeline) -> None:
    """The share is of the time since the last count: an overload that is over is not held against the station."""
    reader = make_pipeline().reader
    drops, shares = Drops(reader), []
    for captured, dropped in ((0, 0), (10, 4), (30, 4), (30, 4), (34, 7)):
        reader.captured, reader.dropped = captured, dropped
        drops.count()
        shares.append(drops.share)

    assert shares == [0.0, 0.4, 0.0, 0.0, 0.75]


def make_room(store: Store, inbox: Inbox, clock: FakeClock, metrics: Metrics) -> RoomCare:
    options = StoreOptions()
    return RoomCare(Retention(store.database, options, clock), store.outbox, options, inbox, clock, metrics)


class NoDisk(EvidenceFolder):
    """Evidence on a disk that has gone."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        super().__init__(folder, clock, 1 << 20, max_age_s=60, free_floor_bytes=0, longest_px=64)

    def tidy(self) -> int:
        raise OSError("input/output error")


@pytest.mark.parametrize("full", [False, True])
def test_one_failure_does_not_keep_the_rest_from_its_work(
    tmp_path: Path, store: Store, inbox: Inbox, clock: FakeClock, metrics: Metrics, make_pipeline: MakePipeline,
    full: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Evidence that cannot be tidied, or a store that refuses, is a line in the log; the next round tries again."""
    store.outbox.enable(["mqtt"])
    store.commit([entry(0, "crack")])
    pipeline = make_pipeline()
    pipeline.reader.captured, pipeline.reader.dropped = 4, 1
    care = OutboxCare(store.outbox, Losses(inbox, clock), metrics, sinks=["mqtt"], limit_bytes=100_000, horizon_s=60.0)
    keeping = Housekeeping(
        NoDisk(tmp_path / "evidence", clock), Heartbeat(store.notes, pipeline, clock), store, clock, outbox=care,
        drops=Drops(pipeline.reader), room=make_room(store, inbox, clock, metrics),
    )  # fmt: skip
    trimmed: list[None] = []
    monkeypatch.setattr(store.candidates, "trim", lambda: trimmed.append(None))
    if full:
        monkeypatch.setattr(store.notes, "heartbeat", refuse)
    keeping.tidy()

    assert len(trimmed) == (not full)
    assert keeping.drops.share == 0.25
    assert (care.share > 0) == (not full)


def test_a_round_that_fails_ends_the_part_and_is_told(
    store: Store, inbox: Inbox, clock: FakeClock, metrics: Metrics, make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It works on a thread of its own; what the store says of its damage is passed on as it is."""
    monkeypatch.setattr(housekeeping, "HOUSEKEEPING_S", 0.001)
    pipeline, rounds = make_pipeline(), threading.Semaphore(0)
    keeping = Housekeeping(
        None, Heartbeat(store.notes, pipeline, clock), store, clock,
        outbox=make_care(store, inbox, clock, metrics, 1 << 30), drops=Drops(pipeline.reader),
        room=make_room(store, inbox, clock, metrics),
    )  # fmt: skip
    monkeypatch.setattr(store.candidates, "trim", rounds.release)
    keeping.start()
    assert all(rounds.acquire(timeout=10) for _ in range(3))
    damaged = WorkerError("the store fails: malformed")

    def fail() -> None:
        rounds.release(9)
        raise damaged

    monkeypatch.setattr(store.candidates, "trim", fail)
    assert all(rounds.acquire(timeout=10) for _ in range(9))
    keeping._thread.join(10)

    assert keeping.failure is damaged
    assert keeping.stop(1.0)


class TickingClock(FakeClock):
    """A tenth of a second passes between two looks at it."""

    def monotonic(self) -> float:
        self.mono_s += 0.1
        return self.mono_s


def test_records_are_moved_a_little_at_a_time(
    tmp_path: Path, inbox: Inbox, clock: FakeClock, metrics: Metrics, make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The records of the previous program are copied in turns of 0.3 s, and nothing is done afterwards."""
    monkeypatch.setattr(migration, "SLICE_ROWS", 4)
    (tmp_path / "previous").mkdir()
    shutil.copy(PREVIOUS, tmp_path / "previous" / "inspector.sqlite3")
    pipeline, steps, counts = make_pipeline(), list[MigrationStage](), [0]
    with closing(Store(tmp_path / "previous", clock)) as store:
        step = store.migration.step

        def note_step() -> bool:
            steps.append(store.migration.stage)
            return step()

        monkeypatch.setattr(store.migration, "step", note_step)
        keeping = Housekeeping(
            None, Heartbeat(store.notes, pipeline, clock), store, TickingClock(),
            outbox=make_care(store, inbox, clock, metrics, 1 << 30), drops=Drops(pipeline.reader),
            room=make_room(store, inbox, clock, metrics),
        )  # fmt: skip
        for _ in range(10):
            keeping.tidy()
            counts.append(len(steps))
        stage = store.migration.stage

    assert max(later - earlier for earlier, later in pairwise(counts)) <= 4
    assert stage is MigrationStage.HERE
    assert counts[-1] - counts[-2] == 1  # a look, and nothing to do


def test_what_waits_is_shown_at_once(
    store: Store, inbox: Inbox, clock: FakeClock, metrics: Metrics, make_pipeline: MakePipeline
) -> None:
    """A station that starts with messages waiting says so before its first round, not five seconds later."""
    store.outbox.enable(["mqtt"])
    store.commit([entry(number, "crack") for number in range(4)])
    care, shown, pipeline = make_care(store, inbox, clock, metrics, 1 << 30), threading.Event(), make_pipeline()
    refresh = care.refresh

    def note() -> None:
        refresh()
        shown.set()

    care.refresh = note  # type: ignore[method-assign]
    keeping = Housekeeping(
        None, Heartbeat(store.notes, pipeline, clock), store, clock, outbox=care, drops=Drops(pipeline.reader),
        room=make_room(store, inbox, clock, metrics),
    )  # fmt: skip
    keeping.start()
    assert shown.wait(housekeeping.HOUSEKEEPING_S / 2)
    waiting = metrics.registry.get_sample_value("inspector_outbox_messages", {"sink": "mqtt"})
    keeping.stop(10)

    assert waiting == 12
