"""The counts of every commit: frames, tiles, defects and alarms, metres of strip, and missed frames in a row."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import structlog

from inspector.clock import Clock
from inspector.frame import Frame, Gap
from inspector.inspection.one_frame import Inspection
from inspector.labels import OVERRULED, UNCLASSIFIED, UNKNOWN
from inspector.messages import AlarmMessage, Body, CoverageMessage, DefectMessage, PeriodicMessage
from inspector.station.dispatcher import Result
from inspector.telemetry.metrics import Metrics

RECENT_TILES = 500

_log = structlog.get_logger("commit")


class CommitTally:
    """Counts on the committer's thread; health reads it from another.

    Args:
        metrics: Where everything is counted.
        clock: Time.
        mm_per_px: Scale for the metres of strip, or None.
        held_back: Unclassified defects that earlier processes did not publish.

    Attributes:
        missed_frames: Frames in a row that could not be inspected; `missed_cause` says why the last could not.
        width_px: Of the last frame; None: there was none.
        recent_unknown: 1 for each unknown or unclassified tile among the last `RECENT_TILES`.
    """

    def __init__(self, metrics: Metrics, clock: Clock, mm_per_px: float | None, held_back: int = 0) -> None:
        self._metrics = metrics
        self._clock = clock
        self._mm_per_px = mm_per_px
        self.missed_frames = 0
        self.missed_cause: str | None = None
        self.width_px: int | None = None
        self._held_back = held_back
        self.recent_unknown: deque[bool] = deque(maxlen=RECENT_TILES)

    def count(self, bodies: Sequence[Body], firsts: set[str], results: Sequence[Result]) -> None:
        """Count what was committed.

        Args:
            bodies: The messages.
            firsts: Ids of those that show a defect for the first time.
            results: Their results.
        """
        metrics = self._metrics
        for body in bodies:
            if isinstance(body, DefectMessage) and body.id in firsts:
                metrics.defects.labels(body.label, body.severity).inc()
                if not body.alarm:
                    metrics.alarms_suppressed.labels(body.why.rule).inc()
            elif isinstance(body, AlarmMessage) and body.kind == "defect":
                metrics.alarms.labels(body.label, body.severity).inc()
            elif isinstance(body, PeriodicMessage):
                if body.phase == "opened":
                    metrics.periodic.labels(body.label).inc()
                _log.info("periodic", phase=body.phase, label=body.label, pitch_mm=body.pitch_mm, count=body.count,
                          roll=body.roll)  # fmt: skip
            elif isinstance(body, CoverageMessage):
                _log.info("gap", cause=body.cause, frames=body.frames, detail=body.detail)
        now_mono_s, now = self._clock.monotonic(), self._clock.now()
        for result in results:
            outcome = result.wait()
            if isinstance(result.item, Frame):
                self.width_px = result.item.width_px
            if isinstance(outcome, Gap):
                metrics.frames.labels(outcome.cause.value).inc(outcome.frames)
                if outcome.cause.looked:
                    self._note_missed(outcome.cause.value)
                continue
            self._count_frame(outcome)
            metrics.frame_age.observe(max(0.0, now_mono_s - outcome.frame.captured_mono_s))
            metrics.last_inference.set(now.timestamp())

    def note_held_back(self, held_back: int) -> None:
        """Count the unclassified defects that were not published; `held_back`: of all time, as `track` remembers."""
        self._metrics.unclassified_held_back.inc(max(0, held_back - self._held_back))
        self._held_back = held_back

    def _count_frame(self, inspection: Inspection) -> None:
        metrics, frame = self._metrics, inspection.frame
        outcome = "inspected" if inspection.cause is None else inspection.cause.value
        metrics.frames.labels(outcome).inc()
        if frame.first_line is not None and self._mm_per_px is not None:
            metres = (frame.height_px - frame.overlap_lines) * self._mm_per_px / 1000
            metrics.strip_meters.labels("inspected" if inspection.cause is None else "missed").inc(metres)
        if inspection.cause is not None:
            self._note_missed(inspection.cause.value)
            return
        self.missed_frames, self.missed_cause = 0, None
        shown = Counter(OVERRULED if verdict.overruled else verdict.label for verdict in inspection.verdicts)
        for word, count in shown.items():
            metrics.tiles.labels(word).inc(count)
        for verdict in inspection.verdicts:
            metrics.tile_score.labels(verdict.top).observe(verdict.score)
            self.recent_unknown.append(verdict.label in (UNKNOWN, UNCLASSIFIED))

    def _note_missed(self, cause: str) -> None:
        self.missed_frames += 1
        self.missed_cause = cause
