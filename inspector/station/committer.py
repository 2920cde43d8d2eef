"""The owner of the tracker: takes results in order, makes messages, and commits them. After the commit, `done`.

One transaction holds all results that are ready at that moment, up to `MAX_ENTRIES`: while the disk flushes one,
the next gathers. What cannot be committed is tried again until it can; nothing overtakes it, nothing is dropped.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from inspector.clock import Clock, from_timestamp_ms, to_timestamp_ms
from inspector.drafts import Draft
from inspector.errors import StoreBusyError
from inspector.faults import crash_point
from inspector.frame import Frame, Gap
from inspector.inspection.one_frame import Inspection
from inspector.items import CoilChange, Command, Tick
from inspector.labels import UNKNOWN
from inspector.messages import AlarmMessage, Body, CoverageMessage, DefectMessage, Evidence
from inspector.sources.base import FrameSource
from inspector.station.dispatcher import Result
from inspector.station.inbox import Inbox, Word
from inspector.store.entries import REFUSED_OUTCOMES, Candidate, DoneMark, Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.track.memory import from_text, to_text
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

MAX_ENTRIES = 32
TICK_S = 0.5
RETRY_S = 1.0
RECENT_TILES = 500
STATE_S = 1.0
"""How old the stored state may be in what only places the next frame."""


_log = structlog.get_logger("commit")


Listener = Callable[[Sequence[Body]], None]


@dataclass(frozen=True, slots=True)
class CommitterOptions:
    """What is counted and kept besides messages.

    Attributes:
        mm_per_px: Scale for the metres of strip, or None.
        bundle: `Bundle.short`, kept with candidates.
    """

    mm_per_px: float | None
    bundle: str


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
        source: Told of every item that is done.
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
        missed_frames: Frames in a row that could not be inspected; `missed_cause` says why the last could not.
        recent_unknown: 1 for each unknown tile among the last `RECENT_TILES`.
        progress_mono_s: When the thread last went round.
        failure: What ended the thread against its will.
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
        self._evidence = evidence
        self._rules = rules
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._committed = committed
        self._retry_s = retry_s
        self._inbox = inbox
        self._state = self._stored_state = restore_state(store, inbox)
        self._stored_mono_s = clock.monotonic()
        self._open_evidence: dict[str, Evidence] = {}
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self.store_reason: str | None = None
        self.missed_frames = 0
        self.missed_cause: str | None = None
        self.recent_unknown: deque[bool] = deque(maxlen=RECENT_TILES)
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after the dispatcher has drained; a store that refuses is not waited for longer."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
            self._abandon.set()
            self._thread.join(RETRY_S * 2)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                self.progress_mono_s = self._clock.monotonic()
                results = self._results.take(MAX_ENTRIES, TICK_S)
                if results:
                    self.take(results)
                elif self._results.idle:
                    final = self._results.finished
                    words = self._inbox.take(math.inf)
                    self._commit([*map(self._enter_word, words), self._tick(final)], [])
                    if final:
                        return
                else:
                    self._commit([self._tick()], [])
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("committer_failed")

    # --- One result -----------------------------------------------------------------------------------------------

    def take(self, results: Sequence[Result]) -> None:
        """Commit these results in one transaction, each with what stands before it."""
        self._commit([entry for result in results for entry in self._in_place(result)], results)

    def _in_place(self, result: Result) -> Iterator[Entry]:
        """Yield what stands before the result, and the result."""
        item = result.item
        place_s = item.placed_mono_s if isinstance(item, Frame) else self._clock.monotonic()
        yield from map(self._enter_word, self._inbox.take(place_s))
        yield self._enter(result)

    def _enter_word(self, word: Word) -> Entry:
        self._state, drafts = track(self._state, word, self._rules)
        return Entry(drafts, self._keep_evidence(drafts), commands=(word,) if isinstance(word, Command) else ())

    def _enter(self, result: Result) -> Entry:
        item, outcome = result.item, result.wait()
        with self._metrics.stage_seconds.labels("track").time():
            self._state, drafts = track(self._state, outcome, self._rules)
        done = None
        if item.source_key is not None and item.file_stamp is not None:
            done = DoneMark(item.source_key, item.file_stamp, _word(outcome))
        candidates = self._candidates(outcome) if isinstance(outcome, Inspection) else ()
        return Entry(drafts, self._keep_evidence(drafts), done, candidates)

    def _tick(self, final: bool = False) -> Entry:
        self._state, drafts = track(self._state, Tick(self._clock.now(), final), self._rules)
        return Entry(drafts, self._keep_evidence(drafts))

    def _keep_evidence(self, drafts: Sequence[Draft]) -> dict[str, Evidence]:
        kept: dict[str, Evidence] = {}
        for draft in drafts:
            body = draft.body
            if not isinstance(body, DefectMessage):
                continue
            if draft.picture is not None and self._evidence is not None:
                try:
                    with self._metrics.stage_seconds.labels("evidence").time():
                        evidence = self._evidence.keep(body.defect_id, draft.picture)
                except OSError as exc:
                    _log.warning("evidence_not_kept", defect_id=body.defect_id, reason=str(exc))
                    evidence = None
                crash_point("evidence.written")
                if evidence is not None:
                    self._open_evidence[body.defect_id] = evidence
            if body.defect_id in self._open_evidence:
                kept[body.id] = self._open_evidence[body.defect_id]
            if body.phase == "closed":
                self._open_evidence.pop(body.defect_id, None)
        return kept

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

    def _commit(self, entries: Sequence[Entry], results: Sequence[Result]) -> None:
        writes = any(entry.drafts or entry.done or entry.candidates or entry.commands for entry in entries)
        state = self._state_to_store(writes)
        if not writes and not results and state is None:
            return
        while True:
            try:
                crash_point("commit.before")
                with self._metrics.stage_seconds.labels("commit").time():
                    bodies = self._store.commit(entries, None if state is None else to_text(state))
                break
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
            self._stored_state, self._stored_mono_s = state, self._clock.monotonic()
        crash_point("commit.after")
        firsts = {draft.body.id for entry in entries for draft in entry.drafts if draft.picture is not None}
        self._count(bodies, firsts, results)
        self._committed(bodies)
        for result in results:
            crash_point("done.before")
            self._source.done(_to_put_away(result))
            crash_point("done.after")

    def _state_to_store(self, writes: bool) -> TrackState | None:
        """Return the state if it must be stored now.

        It goes with whatever is written anyway. By itself it is stored at once when a defect, a gap, a coil or a limit
        changed, and else once in `STATE_S`: a clean line must not flush the disk for each frame.
        """
        state, stored = self._state, self._stored_state
        if state is stored:
            return None
        late = self._clock.monotonic() - self._stored_mono_s >= STATE_S
        return state if writes or late or what_matters(state) != what_matters(stored) else None

    def _count(self, bodies: Sequence[Body], firsts: set[str], results: Sequence[Result]) -> None:
        metrics = self._metrics
        for body in bodies:
            if isinstance(body, DefectMessage) and body.id in firsts:
                metrics.defects.labels(body.label, body.severity).inc()
                if not body.alarm:
                    metrics.alarms_suppressed.labels(body.why.rule).inc()
            elif isinstance(body, AlarmMessage) and body.kind == "defect":
                metrics.alarms.labels(body.label, body.severity).inc()
            elif isinstance(body, CoverageMessage):
                _log.info("gap", cause=body.cause, frames=body.frames, detail=body.detail)
        now_mono_s, now = self._clock.monotonic(), self._clock.now()
        for result in results:
            outcome = result.wait()
            if isinstance(outcome, Gap):
                metrics.frames.labels(outcome.cause.value).inc(outcome.frames)
                if outcome.cause.looked:
                    self._note_missed(outcome.cause.value)
                continue
            self._count_frame(outcome)
            metrics.frame_age.observe(max(0.0, now_mono_s - outcome.frame.captured_mono_s))
            metrics.last_inference.set(now.timestamp())

    def _count_frame(self, inspection: Inspection) -> None:
        metrics, frame = self._metrics, inspection.frame
        outcome = "inspected" if inspection.cause is None else inspection.cause.value
        metrics.frames.labels(outcome).inc()
        if frame.first_line is not None and self._options.mm_per_px is not None:
            metres = (frame.height_px - frame.overlap_lines) * self._options.mm_per_px / 1000
            metrics.strip_meters.labels("inspected" if inspection.cause is None else "missed").inc(metres)
        if inspection.cause is not None:
            self._note_missed(inspection.cause.value)
            return
        self.missed_frames, self.missed_cause = 0, None
        for label, count in inspection.verdict_counts().items():
            metrics.tiles.labels(label).inc(count)
        for verdict in inspection.verdicts:
            metrics.tile_score.labels(verdict.top).observe(verdict.score)
            self.recent_unknown.append(verdict.label == UNKNOWN)

    def _note_missed(self, cause: str) -> None:
        self.missed_frames += 1
        self.missed_cause = cause


def restore_state(store: Store, inbox: Inbox) -> TrackState:
    """Return the state that the last process stored with its last commit, or an empty one.

    A coil that was named after that commit takes its place before the first frame.
    """
    state = TrackState()
    if (text := store.notes.track_state()) is not None:
        try:
            state = from_text(text)
        except ValueError as exc:
            _log.warning("state_not_restored", folder=str(store.folder), reason=str(exc))
    coil_id, since_ms = store.notes.coil()
    if coil_id != state.coil_id:
        inbox.put(CoilChange(from_timestamp_ms(since_ms), coil_id))
    return state


def what_matters(state: TrackState) -> tuple[object, ...]:
    """Return what of a state must not be older than a moment after a crash."""
    limits = {label: (limit.since, limit.sent, limit.suppressed) for label, limit in state.limits.items()}
    place = state.place
    return state.open, state.gaps, limits, state.coil_id, place and (place.epoch, place.head_line)


def _to_put_away(result: Result) -> Frame | Gap:
    """Return the item for the source's `done`: a gap is a refused file, and so is a picture of unsupported size."""
    item = result.item
    outcome = result.wait()
    if isinstance(item, Frame) and isinstance(outcome, Inspection) and outcome.cause in REFUSED_OUTCOMES:
        return Gap(outcome.cause, item.captured_at, item.captured_at, item.epoch, 1, item.frame_id, item.identity,
                   item.source_key, item.file_stamp, outcome.detail)  # fmt: skip
    return item


def _word(outcome: Inspection | Gap) -> str:
    if isinstance(outcome, Gap):
        return outcome.cause.value
    return outcome.cause.value if outcome.cause is not None else outcome.decision
