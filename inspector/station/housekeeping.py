"""What a thread of its own does every few seconds: make room, and count what is lost without it.

Also what must be remembered over a stop or a crash: the heartbeat, so that the next start can report the time in
which the surface was not watched. All of it may wait for the disk, which is why the main thread does none of it.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import structlog

from inspector.clock import Clock
from inspector.errors import StoreBusyError
from inspector.frame import Cause, Gap
from inspector.sources.reader import Reader
from inspector.station.delivery import OutboxCare
from inspector.station.disk_watch import DiskWatch
from inspector.station.pipeline import Pipeline
from inspector.station.room_care import RoomCare
from inspector.store.evidence import EvidenceFolder
from inspector.store.notes import StationNotes
from inspector.store.store import Store
from inspector.years.shift_files import ShiftReports

HOUSEKEEPING_S = 5.0
MOVING_S = 0.3
"""Longest time given at once to the records of a previous program: others use the store in between."""


_log = structlog.get_logger("daemon")


class Heartbeat:
    """The last time at which the source was watched, in the store."""

    def __init__(self, notes: StationNotes, pipeline: Pipeline, clock: Clock) -> None:
        self._notes = notes
        self._reader, self._committer, self._inbox = pipeline.reader, pipeline.committer, pipeline.inbox
        self._clock = clock

    def begin(self, frames_wait: bool) -> None:
        """Store the first heartbeat of this store, or report the time since the last one as a gap.

        Args:
            frames_wait: Frames of this source were not missed meanwhile: nothing is reported.
        """
        alive_ms = self._notes.last_alive_ms()
        try:
            if alive_ms is None:
                self._notes.heartbeat()  # the source should be watched from here on, whether or not it is there
        except StoreBusyError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))
        if alive_ms is not None and not frames_wait:
            now = self._clock.now()
            since = min(now, datetime.fromtimestamp(alive_ms / 1000, tz=now.tzinfo))
            if now - since > timedelta(seconds=1):
                self._inbox.put(Gap(Cause.PROCESS_DOWN, since, now, 0))

    def beat(self) -> None:
        """Store a heartbeat while the source is being watched.

        During an outage none is stored, so that the next start reports the whole blind time.

        Raises:
            StoreBusyError: The store refuses.
        """
        if self._reader.reason is None and not self._frozen:
            self._notes.heartbeat()

    def end(self, closed_at: datetime, reported: bool) -> None:
        """Store the last heartbeat of an orderly stop.

        Args:
            closed_at: When the source was no longer watched.
            reported: Whether everything missed until then is committed; otherwise the next start reports it.
        """
        try:
            if reported and not self._frozen:
                self._notes.heartbeat(closed_at)
        except StoreBusyError as exc:
            _log.warning("last_heartbeat_not_stored", reason=str(exc))

    @property
    def _frozen(self) -> bool:
        return self._committer.tally.missed_cause == Cause.FROZEN


def frames_wait(kind: str, live: bool) -> bool:
    """Return whether a source's frames wait while the station does not run: files do, a line does not."""
    return kind in ("folder", "demo") or (kind == "camera" and not live)


class Drops:
    """The share of frames that a live source dropped for lack of time.

    Attributes:
        share: Between the last two calls of `count`, 0 to 1.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._captured = self._dropped = 0
        self.share = 0.0

    def count(self) -> None:
        """Take the share since the last call."""
        captured, dropped = self._reader.captured, self._reader.dropped
        new, gone = captured - self._captured, dropped - self._dropped
        self._captured, self._dropped = captured, dropped
        self.share = gone / new if new else 0.0


class Housekeeping:
    """All of the housekeeping, in its order, on a thread of its own once started.

    Attributes:
        outbox: What waits for delivery.
        room: The bounds of the store.
        drops: The share of dropped frames.
        disk: How long the thread has been waiting for the store to take a heartbeat, its smallest write.
        busy: Whether a round is in progress; between rounds the thread rests.
        progress_mono_s: When the last round began.
        failure: The error that ended the thread.
    """

    def __init__(
        self,
        evidence: EvidenceFolder | None,
        heartbeat: Heartbeat,
        store: Store,
        clock: Clock,
        outbox: OutboxCare,
        drops: Drops,
        room: RoomCare,
        shifts: ShiftReports | None = None,
    ) -> None:
        self._shifts = shifts
        self._evidence = evidence
        self._heartbeat = heartbeat
        self._candidates, self._migration = store.candidates, store.migration
        self._clock = clock
        self.outbox = outbox
        self.room = room
        self.drops = drops
        self.disk = DiskWatch(clock)
        self.busy = False
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin to tidy, first after `HOUSEKEEPING_S`."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` and return whether the thread has ended; no heartbeat is stored after that."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._show_outbox()  # what the previous process left waiting is known at once
            while not self._ended.wait(HOUSEKEEPING_S):
                self.progress_mono_s = self._clock.monotonic()
                self.busy = True
                self.tidy()
                self.busy = False
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("housekeeping_died")

    def _show_outbox(self) -> None:
        try:
            self.outbox.refresh()
        except StoreBusyError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))

    def tidy(self) -> None:
        """Make room on the disk, and refresh what health and metrics know about the outbox."""
        self.drops.count()
        if self._evidence is not None:  # first: it makes the room that the rest needs
            try:
                self._evidence.tidy()
            except OSError as exc:
                _log.warning("housekeeping_failed", reason=str(exc))
        try:
            with self.disk.waiting_for("the store"):
                self._heartbeat.beat()
            self._candidates.trim()
            self.room.tidy(self.outbox.waiting_bytes)
            self.outbox.prune()
            self._move_records()
        except StoreBusyError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))
            return
        self.outbox.refresh()
        self._report_shifts()

    def _report_shifts(self) -> None:
        """Write the report of each shift that has ended."""
        try:
            for page in self._shifts.write() if self._shifts is not None else ():
                _log.info("shift_reported", file=str(page))
        except (StoreBusyError, OSError, ValueError) as exc:
            _log.warning("housekeeping_failed", reason=f"shift report: {exc}")

    def _move_records(self) -> None:
        """Continue the migration of a previous program's records, for a short time."""
        began = self._clock.monotonic()
        while self._migration.step() and self._clock.monotonic() - began < MOVING_S:
            pass
