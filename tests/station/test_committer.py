"""`inspector.station.committer`: everything is committed once and in order, counted, and then done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import (
    LABELS,
    NOON,
    FakeClock,
    ScriptedSource,
    inspected,
    make_defect,
    make_frame,
    make_gap,
    still,
    track_rules,
)
from prometheus_client import CollectorRegistry

from inspector.box import Box
from inspector.clock import to_timestamp_ms
from inspector.command_table import COMMANDS, Origin
from inspector.drafts import EvidencePicture
from inspector.errors import StoreBusyError, WorkerError
from inspector.frame import Cause, FileStamp, Frame, Gap
from inspector.inspection.decision import Verdict
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange, Command, Lost
from inspector.messages import Body, CoverageMessage, DefectMessage, Evidence, FrameMessage
from inspector.station.committer import MAX_ENTRIES, Committer, CommitterOptions
from inspector.station.dispatcher import Result
from inspector.station.inbox import Inbox
from inspector.store.entries import Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules

pytestmark = pytest.mark.timeout(60)

SEVERITY: Any = {"crack": "critical", "hole": "major", "rust": "minor"}

Step = Sequence[Inspection | Gap] | Callable[[], Sequence[Inspection | Gap]]
"""What one look of the committer finds ready; a function is called on its thread, and may look or act itself."""


class ScriptedResults:
    """Gives the steps one after the other, then nothing for ever."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = deque(steps)
        self.limits: set[int] = set()

    @property
    def finished(self) -> bool:
        return not self._steps

    @property
    def idle(self) -> bool:
        return not self._steps

    def take(self, limit: int, timeout_s: float) -> list[Result]:
        self.limits.add(limit)
        step = self._steps.popleft() if self._steps else ()
        return [result_of(outcome) for outcome in (step() if callable(step) else step)]


def result_of(outcome: Inspection | Gap) -> Result:
    if isinstance(outcome, Gap):
        return Result(outcome, outcome)
    future: Future[Inspection] = Future()
    future.set_result(outcome)
    return Result(outcome.frame, future)


class WatchedStore(Store):
    """Notes what it is given; refuses, as a full disk does, as often as it is asked to.

    Attributes:
        refusals: How many commits to refuse.
        refused: Called at each.
    """

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        super().__init__(folder, clock)
        self.entries: list[Entry] = []
        self.refusals = 0
        self.refused: Callable[[], object] = lambda: None

    def commit(self, entries: Sequence[Entry], state: str | None = None) -> list[Body]:
        if self.refusals:
            self.refusals -= 1
            self.refused()
            raise StoreBusyError("database or disk is full")
        self.entries += entries
        return super().commit(entries, state)


class TellingSource(ScriptedSource):
    """Notes among other events when an item is done."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(())
        self._events = events

    def done(self, item: Frame | Gap) -> None:
        super().done(item)
        self._events.append("done")


class Bench:
    """A committer with a store of its own, and all that it told others.

    Attributes:
        bodies: Committed messages.
        events: What happened outside, in order: `commit` and `done`.
    """

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.store = WatchedStore(folder, clock)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, LABELS[:3], SEVERITY)
        self.events: list[str] = []
        self.source = TellingSource(self.events)
        self.inbox = Inbox(clock)
        self.bodies: list[Body] = []

    def build(
        self,
        *steps: Step,
        rules: TrackRules | None = None,
        evidence: EvidenceFolder | None = None,
        mm_per_px: float | None = None,
        retry_s: float = 0.0,
    ) -> Committer:
        self.results = ScriptedResults(steps)
        self.committer = Committer(
            self.results,
            self.source,
            self.store,
            inbox=self.inbox,
            evidence=evidence,
            rules=rules or track_rules(),
            options=CommitterOptions(mm_per_px, "fake@1.0"),
            clock=self.clock,
            metrics=self.metrics,
            committed=self.note,
            retry_s=retry_s,
        )
        return self.committer

    def note(self, bodies: Sequence[Body]) -> None:
        self.bodies += bodies
        self.events.append("commit")

    def run(self, *steps: Step, **options: Any) -> Committer:
        """Commit the steps to the end; whatever else happens, no part fails."""
        committer = self.build(*steps, **options)
        committer.start()
        assert committer.join(30)
        assert committer.failure is None
        return committer

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"inspector_{name}", labels)


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(tmp_path / "store", clock)
    yield bench
    bench.store.close()


@pytest.fixture
def evidence(tmp_path: Path, clock: FakeClock) -> FillingFolder:
    return FillingFolder(tmp_path / "evidence", clock)


class FillingFolder(EvidenceFolder):
    """Keeps pictures until there is no room for more.

    Attributes:
        room: How many pictures it still takes.
    """

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        super().__init__(folder, clock, 1 << 20, max_age_s=3600, free_floor_bytes=0, longest_px=64)
        self.room = 99

    def keep(self, defect_id: str, picture: EvidencePicture) -> Evidence | None:
        if not self.room:
            raise OSError("no space left on device")
        self.room -= 1
        return super().keep(defect_id, picture)


def camera(number: int, *scores: float, cause: Cause | None = None) -> Inspection:
    """Frame `number` of a camera, with one crack a score, all at the same place."""
    return inspected(make_frame(number), *[make_defect(score=score) for score in scores], cause=cause)


# --- Order --------------------------------------------------------------------------------------------------------


def test_what_is_ready_is_one_commit_and_then_done(bench: Bench) -> None:
    """Messages are numbered in the order of their frames; no item is done before its commit, each is once after it."""
    stills = [still(number, "crack") for number in range(3)]
    bench.run(stills[:2], stills[2:])

    frames = [body.frame.source_key for body in bench.bodies if isinstance(body, FrameMessage)]
    assert frames == ["0.jpg", "1.jpg", "2.jpg"]
    assert [body.seq for body in bench.bodies] == list(range(1, len(bench.bodies) + 1))
    assert bench.events == ["commit", "done", "done", "commit", "done", "commit"]  # the last: that no alarm is counted
    assert bench.source.finished == [one.frame for one in stills]
    assert bench.results.limits == {MAX_ENTRIES}


def test_a_file_and_its_messages_are_one_entry(bench: Bench) -> None:
    """What the ledger notes of a file is committed with its messages: its verdict, or why it is refused."""
    stills = [still(0, "crack"), still(1), replace(still(2), cause=Cause.BLANK)]
    gap = make_gap(Cause.UNREADABLE, source_key="3.jpg", file_stamp=still(3).frame.file_stamp, identity="3")
    bench.run([*stills, gap])

    marks = [entry.done for entry in bench.store.entries]
    assert [(mark.source_key, mark.outcome) for mark in marks if mark] == [
        ("0.jpg", "crack"), ("1.jpg", "clean"), ("2.jpg", "blank"), ("3.jpg", "unreadable"),
    ]  # fmt: skip
    assert all(entry.drafts for entry in bench.store.entries if entry.done)


@pytest.mark.parametrize(
    ("cause", "refused"),
    [
        pytest.param(None, False, id="inspected"),
        pytest.param(Cause.BLANK, False, id="a picture of nothing"),
        pytest.param(Cause.UNSUPPORTED, True, id="never to be inspected"),
    ],
)
def test_the_source_hears_which_file_was_refused(bench: Bench, cause: Cause | None, refused: bool) -> None:
    """A picture that cannot be inspected is done as a gap of its file, so that it is put away as refused."""
    one = replace(still(0), cause=cause, detail="1x1")
    bench.run([one])

    (item,) = bench.source.finished
    assert isinstance(item, Gap) == refused
    assert item.source_key == "0.jpg"
    assert not isinstance(item, Gap) or (item.cause, item.detail, item.frames) == (cause, "1x1", 1)


def test_time_alone_commits_nothing(bench: Bench) -> None:
    """While nothing happens nothing is written."""
    bench.run([], [], [])

    assert (bench.store.entries, bench.events) == ([], [])


def test_the_end_closes_what_is_open(bench: Bench) -> None:
    """After the last result open defects are closed and gaps told."""
    bench.run([camera(0, 0.9)], [make_gap(until_s=0.5, frames=2)])

    kinds = [body.phase if isinstance(body, DefectMessage) else type(body).__name__ for body in bench.bodies]
    assert kinds == ["opened", "AlarmMessage", "closed", "CoverageMessage"]


# --- Evidence -----------------------------------------------------------------------------------------------------


def test_every_phase_names_the_picture_of_the_first(bench: Bench, evidence: FillingFolder) -> None:
    """A defect's picture is kept when it opens, and named from then on until it is closed."""
    bench.run([camera(0, 0.8)], [camera(1, 0.95)], evidence=evidence)

    phases = [(body.phase, body.evidence) for body in bench.bodies if isinstance(body, DefectMessage)]
    assert [phase for phase, _ in phases] == ["opened", "updated", "closed"]
    assert len({shown.sha256 for _, shown in phases}) == 1
    assert phases[0][1].sha256 is not None


def test_a_closed_defect_has_no_picture_any_more(bench: Bench, evidence: FillingFolder) -> None:
    """What is closed is forgotten: the same defect once more, with no room on the disk, names no old picture."""

    def fill() -> Sequence[Inspection]:
        evidence.room = 0
        return [still(0, "crack")]

    bench.run([still(0, "crack")], fill, evidence=evidence)

    assert [len(entry.evidence) for entry in bench.store.entries if entry.drafts] == [1, 0]


def test_no_room_for_a_picture_stops_no_message(bench: Bench, evidence: FillingFolder) -> None:
    """A disk that takes no picture costs the picture, and nothing else."""
    evidence.room = 0
    bench.run([still(0, "crack")], evidence=evidence)

    (defect,) = (body for body in bench.bodies if isinstance(body, DefectMessage))
    assert (defect.evidence.sha256, defect.evidence.url) == (None, None)


# --- The plant, and what no source tells --------------------------------------------------------------------------


def test_messages_name_the_coil_that_runs(bench: Bench) -> None:
    """The coil of the last run holds on; a change holds from the next result on, and the last of several counts."""
    bench.store.coils.change("A", to_timestamp_ms(bench.clock.now()))

    def change() -> Sequence[Inspection]:
        bench.inbox.put(CoilChange(NOON, "B"), CoilChange(NOON, "C"))
        return [still(1)]

    bench.run([still(0)], change, [still(2)])

    assert [body.coil_id for body in bench.bodies] == ["A", "C", "C"]


def test_a_gap_that_no_source_delivers_is_published_at_once(bench: Bench) -> None:
    """Lost messages and the time before the start are told while results keep coming, with the coil that runs."""
    bench.store.coils.change("A", to_timestamp_ms(bench.clock.now()))
    told: list[int] = []

    def report() -> Sequence[Inspection]:
        bench.inbox.put(make_gap(Cause.PROCESS_DOWN, 0, 60), Lost(NOON, "mqtt", 7, 10, 4, "the outbox was full"))
        return [still(0)]

    def look() -> Sequence[Inspection]:
        told.append(sum(isinstance(body, CoverageMessage) for body in bench.bodies))
        return [still(1)]

    bench.run(report, look)

    gaps = [body for body in bench.bodies if isinstance(body, CoverageMessage)]
    assert told == [2]
    assert [(gap.cause, gap.coil_id, gap.first_seq, gap.last_seq, gap.detail) for gap in gaps] == [
        ("messages_lost", "A", 7, 10, "the outbox was full"), ("process_down", "A", None, None, None),
    ]  # fmt: skip


def test_frames_of_a_pause_count_as_paused_from_the_next_frame_on(bench: Bench) -> None:
    """A pause holds from the next frame on, whether it was inspected or not, and its end from the next; each counts."""

    def ask(**values: bool) -> Sequence[Inspection]:
        payload = COMMANDS["pause"].model.model_validate(values).model_dump_json()
        command = Command(bench.clock.now(), "pause", payload)
        bench.inbox.put(bench.store.commands.accept(command, payload, Origin()))
        return [still(len(bench.source.finished))]

    bench.run([still(0)], ask, [still(2)], lambda: ask(off=True), [still(4)])

    frames = [body.reason for body in bench.bodies if isinstance(body, FrameMessage)]
    assert frames == [None, "paused", "paused", None, None]
    assert bench.count("frames_total", outcome="paused") == 2
    assert bench.store.commands.waiting() == []


# --- A store that refuses -----------------------------------------------------------------------------------------


def test_a_store_that_refuses_loses_nothing(bench: Bench, clock: FakeClock) -> None:
    """What cannot be committed is tried again until it can: nothing overtakes it, no file is done, no part is stuck."""
    seen: list[tuple[str | None, int, float]] = []

    def refused() -> None:
        committer = bench.committer
        waited_s = clock.monotonic() - committer.progress_mono_s
        seen.append((committer.store_reason, len(bench.source.finished), waited_s))
        clock.advance(60)

    bench.store.refusals, bench.store.refused = 3, refused
    committer = bench.run([still(0)], [still(1)])

    full = "database or disk is full"
    assert seen == [(None, 0, 0), (full, 0, 0), (full, 0, 0)]
    assert committer.store_reason is None
    assert [body.frame.source_key for body in bench.bodies if isinstance(body, FrameMessage)] == ["0.jpg", "1.jpg"]
    assert len(bench.source.finished) == 2


def test_a_stop_does_not_wait_for_a_store_that_refuses(bench: Bench) -> None:
    """The pause between two tries ends with the stop; no file counts as done, so the next start takes it again."""
    bench.store.refusals = 1 << 30
    committer = bench.build([still(0)], retry_s=3600)
    committer.start()

    assert committer.join(0) or committer.join(30)  # a busy machine may need longer to run the thread, not the pause
    assert isinstance(committer.failure, StoreBusyError)
    assert (bench.bodies, bench.source.finished) == ([], [])


def test_a_dead_worker_ends_the_committer(bench: Bench) -> None:
    """An inspection that failed is nothing to commit: the daemon ends, and the frame is inspected again after it."""
    future: Future[Inspection] = Future()
    future.set_exception(WorkerError("an inspection worker has died"))
    committer = bench.build()
    bench.results.take = lambda limit, timeout_s: [Result(make_frame(), future)]  # type: ignore[method-assign]
    committer.start()

    assert committer.join(30)
    assert isinstance(committer.failure, WorkerError)
    assert bench.source.finished == []


# --- An item at fault ---------------------------------------------------------------------------------------------


def bad_number() -> Inspection:
    """A file whose size no column holds."""
    whole = still(1)
    return replace(whole, frame=replace(whole.frame, file_stamp=FileStamp(1 << 70, 1)))


def bad_name() -> Inspection:
    """A file whose name is no text."""
    whole = still(1, "crack")
    return replace(whole, frame=replace(whole.frame, source_key="\udcff.jpg"))


@pytest.mark.parametrize("bad", [bad_number, bad_name])
@pytest.mark.parametrize("together", [True, False])
def test_an_item_at_fault_costs_itself_alone(bench: Bench, bad: Callable[[], Inspection], together: bool) -> None:
    """Its neighbours are committed in order, it becomes a gap with its reason, and the source hears of all."""
    items = [still(0, "crack"), bad(), still(2, "crack")]
    bench.run(items) if together else bench.run(*([item] for item in items))

    frames = [body for body in bench.bodies if isinstance(body, FrameMessage)]
    assert [body.frame.source_key for body in frames if body.reason is None] == ["0.jpg", "2.jpg"]
    assert [bench.count("frames_total", outcome=outcome) for outcome in ("inspected", "unreadable")] == [2, 1]
    assert len([body for body in bench.bodies if isinstance(body, DefectMessage)]) == 2
    (reason,) = (
        body.detail for body in bench.bodies if isinstance(body, FrameMessage | CoverageMessage) and body.detail
    )
    assert "could not be inspected or stored" in reason
    assert [type(item) for item in bench.source.finished if item.source_key] == [Frame, Gap, Frame]
    assert [body.seq for body in bench.bodies] == list(range(1, len(bench.bodies) + 1))


def test_an_inspection_that_fails_over_its_frame_is_a_gap(bench: Bench) -> None:
    """An error that is no worker's death is the frame's: the next one is inspected."""
    future: Future[Inspection] = Future()
    future.set_exception(ValueError("a picture of an unheard-of kind"))
    committer = bench.build()
    results = deque([[Result(still(0).frame, future), result_of(still(1))]])
    bench.results.take = lambda limit, timeout_s: results.popleft() if results else []  # type: ignore[method-assign]
    committer.start()

    assert committer.join(30)
    assert committer.failure is None
    assert [bench.count("frames_total", outcome=outcome) for outcome in ("inspected", "unreadable")] == [1, 1]


def test_a_command_at_fault_has_no_effect(bench: Bench) -> None:
    """A coil whose name cannot be stored changes nothing; the picture behind it is committed."""

    def name() -> Sequence[Inspection]:
        bench.inbox.put(CoilChange(NOON, "\udcff"))
        return [still(0)]

    bench.run(name, [still(1)])

    frames = [body for body in bench.bodies if isinstance(body, FrameMessage)]
    assert [(body.frame.source_key, body.coil_id) for body in frames] == [("0.jpg", None), ("1.jpg", None)]


# --- What is counted ----------------------------------------------------------------------------------------------


def test_frames_are_counted_by_what_became_of_them(bench: Bench, clock: FakeClock) -> None:
    """Each frame counts once by its outcome, a gap by its frames; only an inspected one has tiles."""
    verdicts = (Verdict("crack", 0.9, "crack", "clean", 0.1), Verdict("unknown", 0.6, "hole", "clean", 0.4))
    clock.advance(2)
    bench.run([replace(camera(0), verdicts=verdicts), camera(1, cause=Cause.BLANK), make_gap(frames=7)])

    outcomes = ("inspected", "blank", "dropped", "unreadable")
    assert [bench.count("frames_total", outcome=outcome) for outcome in outcomes] == [1, 1, 7, 0]
    assert [bench.count("tiles_total", verdict=label) for label in ("crack", "unknown", "clean")] == [1, 1, 0]
    assert [bench.count("tile_score_count", label=label) for label in ("crack", "hole")] == [1, 1]
    assert list(bench.committer.tally.recent_unknown) == [False, True]
    assert bench.count("frame_age_seconds_count") == 2
    assert bench.count("frame_age_seconds_sum") == pytest.approx(2 + 1.9)
    assert bench.count("last_inference_timestamp_seconds") == clock.now().timestamp()


def test_what_the_reference_decides_is_counted(bench: Bench) -> None:
    """An overruled tile counts as that and not as clean; unclassified tiles make a surface foreign, as unknown do."""
    verdicts = (
        Verdict("clean", 0.9, "crack", "hole", 0.1, overruled=True),
        Verdict("clean", 0.9, "clean", "hole", 0.1),
        Verdict("unclassified", 0.9, "crack", "hole", 0.1),
    )
    bench.run([replace(camera(0), verdicts=verdicts)])

    words = ("overruled", "clean", "unclassified", "unknown", "crack")
    assert [bench.count("tiles_total", verdict=word) for word in words] == [1, 1, 1, 0, 0]
    assert list(bench.committer.tally.recent_unknown) == [False, False, True]


def test_what_is_not_published_of_the_unclassified_is_counted(bench: Bench) -> None:
    """Of three strange stills one may leave in this hour: it is a minor defect, and two count as held back."""
    strange = make_defect("unclassified", distance=9.0)
    items = [replace(still(number), defects=(strange,)) for number in range(3)]
    bench.run(items[:2], items[2:], rules=track_rules(reference="0123456789ab", unclassified_limit=1))

    assert bench.count("defects_total", label="unclassified", severity="minor") == 1
    assert bench.count("unclassified_held_back_total") == 2
    assert bench.count("alarms_total", label="unclassified", severity="minor") == 0


def test_a_defect_counts_once(bench: Bench) -> None:
    """However often a defect is told, it is one; what was stored before counts no second time."""
    stills = [still(0, "rust"), still(0, "rust")]
    bench.run([camera(0, 0.8)], [camera(1, 0.95)], [camera(2, 0.96)], stills)

    assert bench.count("defects_total", label="crack", severity="critical") == 1
    assert bench.count("defects_total", label="rust", severity="minor") == 1
    assert bench.count("alarms_total", label="crack", severity="critical") == 1


def test_an_alarm_that_is_held_back_counts_by_its_rule(bench: Bench) -> None:
    """A defect without an alarm says by which rule."""
    bench.run([still(0, "rust")], rules=track_rules(alarm_min_severity="critical"))

    assert bench.count("alarms_suppressed_total", reason="severity") == 1
    assert bench.count("alarms_total", label="rust", severity="minor") == 0


@pytest.mark.parametrize(
    ("items", "missed", "cause"),
    [
        pytest.param([camera(0)], 0, None, id="inspected"),
        pytest.param([camera(0, cause=Cause.BLANK)], 1, "blank", id="one missed"),
        pytest.param([camera(0, cause=Cause.BLANK), make_gap(Cause.FROZEN)], 2, "frozen", id="the last cause counts"),
        pytest.param([camera(0, cause=Cause.BLANK), make_gap(frames=9)], 1, "blank", id="dropped: nobody looked"),
        pytest.param([camera(0, cause=Cause.BLANK), camera(1)], 0, None, id="an inspected one ends it"),
        pytest.param([camera(0, cause=Cause.BLANK), camera(1), camera(2, cause=Cause.BLANK)], 1, "blank", id="anew"),
    ],
)
def test_frames_in_a_row_that_could_not_be_inspected(
    bench: Bench, items: list[Inspection | Gap], missed: int, cause: str | None
) -> None:
    """Pictures that were no good are counted until one is inspected: health calls the station blind by them."""
    committer = bench.run(items)

    assert (committer.tally.missed_frames, committer.tally.missed_cause) == (missed, cause)


@pytest.mark.parametrize("mm_per_px", [0.5, None])
def test_metres_of_strip(bench: Bench, mm_per_px: float | None) -> None:
    """A strip's metres count once, without what the frame before showed, if the scale is known."""
    lines: list[Inspection | Gap] = [
        replace(camera(0), frame=make_frame(0, np.full((1000, 8), 90, np.uint8), first_line=0)),
        replace(camera(1), frame=make_frame(1, np.full((1000, 8), 90, np.uint8), first_line=900, overlap_lines=100)),
        replace(camera(2, cause=Cause.BLANK), frame=make_frame(2, np.full((1000, 8), 90, np.uint8), first_line=1900)),
        camera(3),
    ]
    bench.run(lines, mm_per_px=mm_per_px)

    metres = [bench.count("strip_meters_total", outcome=outcome) for outcome in ("inspected", "missed")]
    assert metres == ([0.95, 0.5] if mm_per_px else [0, 0])


def test_findings_under_their_threshold_are_kept(bench: Bench) -> None:
    """A candidate is no message; it is kept with where it was and which bundle said so."""
    candidate = make_defect("hole", Box(1, 2, 30, 40), 0.4, candidate=True)
    bench.run([inspected(make_frame(5), candidate, make_defect("crack"))])

    (kept,) = bench.store.entries[0].candidates
    assert (kept.label, kept.score, kept.frame_id, kept.bundle) == ("hole", 0.4, 5, "fake@1.0")
    assert (kept.x, kept.y, kept.width, kept.height) == (1, 2, 30, 40)
    assert kept.captured_ms == to_timestamp_ms(NOON) + 500
    assert {body.label for body in bench.bodies if isinstance(body, DefectMessage)} == {"crack"}
