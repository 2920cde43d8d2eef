"""What the main thread does every few seconds besides watching: make room, count what was lost, and say it.

Also what has to be remembered over a stop or a death: the heartbeat, so that the next start can report the time in
which the surface was not watched.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from inspector.clock import Clock
from inspector.errors import StoreBusyError
from inspector.frame import Cause, Gap
from inspector.items import Lost
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.sinks.mqtt.publisher import SINK
from inspector.sources.reader import Reader
from inspector.station.inbox import Inbox
from inspector.station.pipeline import Pipeline
from inspector.store.evidence import EvidenceFolder
from inspector.store.notes import StationNotes
from inspector.store.outbox import StoredOutbox
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

HOUSEKEEPING_S = 5.0
MOVING_S = 0.3
"""Longest time given at once to the records of a previous program: health and watchdog are looked after in between."""
BROKER_GRACE_S = 5.0
"""Shorter broker outages are not reported."""


_log = structlog.get_logger("daemon")


class BrokerOutage:
    """Since when the broker is away."""

    def __init__(self) -> None:
        self._since_mono_s: float | None = None

    def reason(self, broker: BrokerStatus | None, now_mono_s: float) -> str | None:
        """Return why there is no broker, or what is wrong with the one there is; None: all is well, or there is none.

        Args:
            broker: What is known of it; None where delivery is switched off.
            now_mono_s: Monotonic time.
        """
        if broker is None or broker.connected:
            self._since_mono_s = None
        elif self._since_mono_s is None:
            self._since_mono_s = now_mono_s
        if broker is None:
            return None
        if self._since_mono_s is not None and now_mono_s - self._since_mono_s > BROKER_GRACE_S:
            return broker.trouble or broker.reason or "not connected"
        return broker.trouble


class Losses:
    """Reports messages that will not be delivered, in the stream of messages itself."""

    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self._inbox = inbox
        self._clock = clock

    def report(self, first_seq: int, last_seq: int, count: int, reason: str) -> None:
        """Have a coverage message say that `count` messages from `first_seq` to `last_seq` are lost."""
        self._inbox.put(Lost(self._clock.now(), SINK, first_seq, last_seq, count, reason))


class OutboxCare:
    """Prunes what was delivered, reports what had to go before, and measures what is left.

    Args:
        outbox: What waits for delivery.
        losses: Where deleted messages are reported.
        metrics: Where fill and losses are shown.
        limit_bytes: Size of a full outbox.
        horizon_s: How long delivered messages are kept, for a broker that loses them.

    Attributes:
        share: Fill, 0 to 1, as of the last `refresh`.
    """

    def __init__(
        self,
        outbox: StoredOutbox,
        losses: Losses,
        metrics: Metrics,
        *,
        limit_bytes: int,
        horizon_s: float,
    ) -> None:
        self._outbox = outbox
        self._losses = losses
        self._metrics = metrics
        self._limit_bytes = limit_bytes
        self._horizon_s = horizon_s
        self.share = 0.0

    def prune(self) -> None:
        """Delete what is no longer needed, and what no longer fits.

        Raises:
            StoreBusyError: The store refuses.
        """
        for loss in self._outbox.prune(self._horizon_s):
            count, first, last = loss.messages, loss.first_seq, loss.last_seq
            self._metrics.outbox_lost.labels("outbox_full").inc(count)
            _log.error("messages_lost", count=count, first_seq=first, last_seq=last, reason="outbox full")
            self._losses.report(first, last, count, "the outbox was full")

    def refresh(self) -> None:
        """Set share and metrics as of now."""
        state = self._outbox.outbox_state(SINK)
        self.share = state.bytes / self._limit_bytes
        self._metrics.outbox_messages.set(state.messages)
        self._metrics.outbox_bytes.set(state.bytes)
        self._metrics.outbox_oldest.set((state.oldest_ms or 0) / 1000)


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
            reported: Whether all that was missed until then is committed; else the next start reports it.
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
    """Return whether a source's frames wait for a station that does not run: files do, a line does not."""
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
    """All of it, in its order.

    Attributes:
        outbox: What waits for delivery.
        drops: What was dropped.
    """

    def __init__(
        self,
        evidence: EvidenceFolder | None,
        heartbeat: Heartbeat,
        store: Store,
        clock: Clock,
        outbox: OutboxCare,
        drops: Drops,
    ) -> None:
        self._evidence = evidence
        self._heartbeat = heartbeat
        self._candidates, self._migration = store.candidates, store.migration
        self._clock = clock
        self.outbox = outbox
        self.drops = drops

    def tidy(self) -> None:
        """Make room on the disk, and refresh what health and metrics know of the outbox."""
        self.drops.count()
        if self._evidence is not None:  # first: it makes room where the rest finds none
            try:
                self._evidence.tidy()
            except OSError as exc:
                _log.warning("housekeeping_failed", reason=str(exc))
        try:
            self._heartbeat.beat()
            self._candidates.trim()
            self.outbox.prune()
            self._move_records()
        except StoreBusyError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))
            return
        self.outbox.refresh()

    def _move_records(self) -> None:
        """Go on with what a previous program left, for a short time."""
        began = self._clock.monotonic()
        while self._migration.step() and self._clock.monotonic() - began < MOVING_S:
            pass
