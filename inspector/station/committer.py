"""The owner of the tracker: takes results in order, makes messages, and commits them. After the commit, `done`.

One transaction holds all results that are ready at that moment, up to `MAX_ENTRIES`: while the disk flushes one,
the next gathers. What the store refuses is retried until the store takes it; nothing overtakes it, nothing is dropped.
If the results themselves are at fault, they are tried one by one, and the faulty one becomes a gap with the reason.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Protocol

import structlog

from inspector.clock import Clock, to_timestamp_ms
from inspector.drafts import Draft
from inspector.errors import StoreBusyError, StoreDamagedError, WorkerError
from inspector.faults import crash_point
from inspector.frame import Frame, Gap
from inspector.inspection.one_frame import Inspection
from inspector.items import Command, Tick
from inspector.messages import Body, Evidence
from inspector.sources.base import FrameSource
from inspector.station.disk_watch import DiskWatch
from inspector.station.dispatcher import Result
from inspector.station.inbox import Inbox, Word
from inspector.station.paused import PauseMark
from inspector.station.pictures_kept import PicturesKept
from inspector.station.substitutes import put_away_as, reason_of, substitutes
from inspector.station.tally import CommitTally
from inspector.station.tracker import CoilSeen, Tracker
from inspector.store.entries import Candidate, DoneMark, Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.track.operators import OperatorState
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState

MAX_ENTRIES = 32
TICK_S = 0.5
RETRY_S = 1.0


_log = structlog.get_logger("commit")


_NO_FAULT_OF_THE_ITEM = (StoreBusyError, WorkerError, CancelledError)

Place = Word | Result | Tick
"""What takes its place in the order of commits."""
Listener = Callable[[Sequence[Body]], None]
Observer = Callable[[Sequence[Body], set[str], Sequence[tuple[Result, str | None]]], None]


@dataclass(frozen=True, slots=True)
class CommitterOptions:
    """What is counted and kept besides messages.

    Attributes:
        mm_per_px: Scale for the metres of strip, or None.
        bundle: `Bundle.short`, kept with candidates.
        seen: Given what was committed: the messages, the ids of those that show a defect for the first time, and the
            results, each with its coil.
        mark: Told from when on a pause spares the inspection.
        coil_seen: Told which coil runs, and when on the monotonic clock, whenever that changes.
    """

    mm_per_px: float | None
    bundle: str
    seen: Observer = lambda bodies, firsts, results: None
    mark: PauseMark | None = None
    coil_seen: CoilSeen | None = None


class Results(Protocol):
    """Finished results in the order in which their frames came; the dispatcher has them."""

    @property
    def finished(self) -> bool:
        """Whether no more results will come than those that wait."""
        ...

    @property
    def idle(self) -> bool:
        """Whether none waits."""
        ...

    def take(self, limit: int, timeout_s: float) -> list[Result]:
        """Return at most `limit` results, waiting up to `timeout_s` for the first."""
        ...


class Committer:
    """Tracks and commits on a thread of its own.

    Args:
        results: What to commit.
        source: Its `done` is called for every committed item.
        store: Where messages are committed.
        evidence: Where pictures of defects are kept, or None.
        rules: How inspections become messages.
        options: What is counted and kept besides.
        clock: Time.
        metrics: Where everything is counted.
        committed: Given every committed message, on this thread.
        retry_s: Pause between two tries at a store that refuses.

    Attributes:
        store_reason: Why nothing can be committed now, or None.
        tally: What was counted.
        disk: How long the thread has been waiting for a disk.
        progress_mono_s: When the thread last made progress.
        failure: The error that ended the thread.
    """

    def __init__(
        self,
        results: Results,
        source: FrameSource,
        store: Store,
        inbox: Inbox,
        evidence: EvidenceFolder | None,
        rules: TrackRules,
        options: CommitterOptions,
        clock: Clock,
        metrics: Metrics,
        committed: Listener,
        retry_s: float = RETRY_S,
    ) -> None:
        self._results = results
        self._source = source
        self._store = store
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._committed = committed
        self._retry_s = retry_s
        self._inbox = inbox
        self._tracker = Tracker(rules, store, inbox, clock, options.mark, options.coil_seen)
        self._pictures = PicturesKept(evidence, metrics)
        self.tally = CommitTally(metrics, clock, options.mm_per_px, self._tracker.state.held_back)
        self.disk = DiskWatch(clock)
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self.store_reason: str | None = None
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None

    @property
    def operators(self) -> OperatorState:
        """What people have asked for, and is in force."""
        return self._tracker.state.operators

    @property
    def tracked(self) -> TrackState:
        """What `track` remembers as of the last item."""
        return self._tracker.state

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after the dispatcher has drained; do not wait longer for a store that refuses."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
            self._abandon.set()
            self._thread.join(RETRY_S * 2)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                self.progress_mono_s = self._clock.monotonic()
                results: list[Result] = []  # the previous ones hold pixels
                results = self._results.take(MAX_ENTRIES, TICK_S)
                if results:
                    self.take(results)
                elif self._results.idle:
                    final = self._results.finished
                    words = self._inbox.take(math.inf)
                    self._commit([*words, Tick(self._clock.now(), final)])
                    if final:
                        return
                else:
                    self._commit([Tick(self._clock.now())])
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("committer_failed")

    # --- One result -----------------------------------------------------------------------------------------------

    def take(self, results: Sequence[Result]) -> None:
        """Commit these results in one transaction, each with what stands before it."""
        places = [place for result in results for place in self._in_place(result)]
        self._commit([*self._tracker.overdue(), *places])

    def _in_place(self, result: Result) -> Iterator[Place]:
        """Yield what stands before the result, and the result."""
        item = result.item
        place_s = item.placed_mono_s if isinstance(item, Frame) else self._clock.monotonic()
        yield from self._inbox.take(place_s)
        yield result

    def _enter(self, place: Place) -> Entry:
        if isinstance(place, Result):
            return self._enter_result(place)
        drafts = self._tracker.take(place)
        return Entry(drafts, self._keep(drafts), commands=(place,) if isinstance(place, Command) else ())

    def _enter_result(self, result: Result) -> Entry:
        item, outcome = result.item, result.wait()
        with self._metrics.stage_seconds.labels("track").time():
            drafts = self._tracker.take(outcome, result.track)
        done = None
        if item.source_key is not None and item.file_stamp is not None:
            done = DoneMark(item.source_key, item.file_stamp, _word(outcome), item.file_digest)
        candidates = self._candidates(outcome) if isinstance(outcome, Inspection) else ()
        return Entry(drafts, self._keep(drafts), done, candidates)

    def _keep(self, drafts: Sequence[Draft]) -> dict[str, Evidence]:
        with self.disk.waiting_for("the folder of pictures"):
            return self._pictures.keep(drafts)

    def _candidates(self, inspection: Inspection) -> tuple[Candidate, ...]:
        frame = inspection.frame
        return tuple(
            Candidate(
                to_timestamp_ms(frame.captured_at), frame.epoch, frame.frame_id, frame.source_key, defect.label,
                defect.score, defect.box.x, defect.box.y, defect.box.width, defect.box.height, self._options.bundle,
            )
            for defect in inspection.defects
            if defect.candidate
        )  # fmt: skip

    # --- Commit, count, done --------------------------------------------------------------------------------------

    def _commit(self, places: Sequence[Place]) -> None:
        """Commit all in one transaction, or if that fails each in its own."""
        if (fault := self._try(places)) is None:
            return
        for place in places:
            if len(places) > 1:
                fault = self._try([place])
            if fault is not None:
                self._give_up(place, fault)

    def _try(self, places: Sequence[Place]) -> Exception | None:
        """Commit all and call `done` on the source, or commit nothing and return what is wrong with one of them."""
        before = self._tracker.state
        try:
            entries: list[Entry] = []
            results: list[Result] = []
            coils: list[str | None] = []
            for place in places:
                if isinstance(place, Result):
                    place = self._tracker.unless_paused(place)
                entries.append(self._enter(place))
                if isinstance(place, Result):
                    results.append(place)
                    coils.append(self._tracker.state.coil_id)
            bodies = self._write(entries, bool(results))
        except _NO_FAULT_OF_THE_ITEM:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with one item, the others are committed
            self._tracker.rewind(before)
            return exc
        if bodies is not None:
            self._tell(entries, bodies, results)
            self._options.seen(bodies, firsts_of(entries), list(zip(results, coils, strict=True)))
        return None

    def _give_up(self, place: Place, fault: Exception) -> None:
        """Commit a gap in place of a faulty result; an item that is not a frame has no effect then."""
        _log.error("item_not_committed", item=type(place).__name__, reason=reason_of(fault))
        if not isinstance(place, Result):
            return
        named, bare = substitutes(place.item, fault, self._clock.now())
        if self._try([Result(named, named)]) is not None:
            self._try([Result(bare, bare)])
            self._source.done(named)

    def _write(self, entries: Sequence[Entry], any_results: bool) -> list[Body] | None:
        """Commit as soon as the store takes it; None if there is nothing to commit."""
        writes = any(entry.drafts or entry.done or entry.candidates or entry.commands for entry in entries)
        state = self._tracker.to_store(writes)
        coils = () if state is None else (Entry((), {}, coils=self._tracker.coils()),)
        if not writes and not any_results and state is None:
            return None
        while True:
            try:
                crash_point("commit.before")
                with self._metrics.stage_seconds.labels("commit").time(), self.disk.waiting_for("the store"):
                    bodies = self._store.commit([*entries, *coils], state)
                break
            except StoreDamagedError:
                raise  # waiting does not help; the station begins again, with a new file
            except StoreBusyError as exc:
                if self.store_reason is None:
                    _log.error("store_refuses", folder=str(self._store.folder), reason=str(exc))
                self.store_reason = str(exc)
                self.progress_mono_s = self._clock.monotonic()
                if self._abandon.wait(self._retry_s):
                    raise
        if self.store_reason is not None:
            _log.info("store_back", folder=str(self._store.folder))
            self.store_reason = None
        if state is not None:
            self._tracker.note_stored()
        return bodies

    def _tell(self, entries: Sequence[Entry], bodies: Sequence[Body], results: Sequence[Result]) -> None:
        crash_point("commit.after")
        self.tally.count(bodies, firsts_of(entries), results)
        self.tally.note_held_back(self._tracker.state.held_back)
        self._committed(bodies)
        for result in results:
            crash_point("done.before")
            with self.disk.waiting_for("the folder of the source"):
                self._source.done(put_away_as(result))
            crash_point("done.after")


def firsts_of(entries: Sequence[Entry]) -> set[str]:
    """Return the ids of the messages that show a defect for the first time."""
    return {draft.body.id for entry in entries for draft in entry.drafts if draft.picture is not None}


def _word(outcome: Inspection | Gap) -> str:
    if isinstance(outcome, Gap):
        return outcome.cause.value
    return outcome.cause.value if outcome.cause is not None else outcome.decision
