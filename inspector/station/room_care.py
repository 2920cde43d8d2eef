"""Keeps the store within its bounds, reports what had to go, and shows how much room there is."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from inspector.clock import Clock, from_timestamp_ms, to_rfc3339
from inspector.items import RECORDS_PRUNED, Lost
from inspector.settings.store import StoreOptions
from inspector.station.inbox import Inbox
from inspector.store.archived import ARCHIVE, delete_archived
from inspector.store.outbox import StoredOutbox
from inspector.store.retention import SLICE_ROWS, Retention, Room
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

SLICES = 5
"""Slices of one round: every 5 s they keep up with 1,000 messages a second."""
ARCHIVED_S = 60.0
"""How often receipts of `inspector archive` are looked for, once there are none."""
REPORT_S = 3600.0
"""Deleted records are reported together, this often."""

_log = structlog.get_logger("daemon")


def open_room_care(store: Store, options: StoreOptions, inbox: Inbox, clock: Clock, metrics: Metrics) -> RoomCare:
    """Return what keeps this store within these limits."""
    folder = options.archive_path or store.folder / ARCHIVE
    return RoomCare(
        Retention(store.database, options, clock), store.outbox, options, inbox, clock, metrics,
        lambda: delete_archived(store.database, folder, store.outbox.delivered_seq(), SLICES),
    )  # fmt: skip


class RoomCare:
    """The bounds of the store's file.

    Args:
        retention: Deletes.
        outbox: What waits; it gives messages up if nothing else is left.
        options: The limits.
        inbox: Takes the reports.
        clock: Time.
        metrics: Where sizes and counts are shown.
        archived: Deletes what was moved to the archive, some slices of it, and returns how many records went.

    Attributes:
        notice: What is wrong, as the reason of health, or None.
    """

    def __init__(
        self,
        retention: Retention,
        outbox: StoredOutbox,
        options: StoreOptions,
        inbox: Inbox,
        clock: Clock,
        metrics: Metrics,
        archived: Callable[[], int] = lambda: 0,
    ) -> None:
        self._archived = archived
        self._archived_mono_s = clock.monotonic() - ARCHIVED_S
        self._retention = retention
        self._outbox = outbox
        self._options = options
        self._inbox = inbox
        self._clock = clock
        self._metrics = metrics
        self._reported_mono_s = clock.monotonic() - REPORT_S
        self.notice: str | None = None

    def tidy(self, waiting_bytes: int) -> None:
        """Delete what is too much, in slices, and report it.

        Args:
            waiting_bytes: What waits for the slowest sink.

        Raises:
            StoreBusyError: The store refuses.
        """
        self._delete_archived()
        room = self._retention.room()
        for _ in range(SLICES):
            count = self._retention.prune_records(room, waiting_bytes, self._outbox.delivered_seq())
            self._metrics.records_pruned.inc(count)
            if count < SLICE_ROWS:
                break
            room = self._retention.room()
        self._outbox.tight = self._retention.is_tight(room)
        for _ in range(SLICES):
            forgotten = self._retention.forget_files()
            self._metrics.files_forgotten.inc(forgotten)
            if forgotten < SLICE_ROWS:
                break
        self._report()
        self._show(room)

    def _delete_archived(self) -> None:
        now_mono_s = self._clock.monotonic()
        if now_mono_s - self._archived_mono_s < ARCHIVED_S:
            return
        try:
            if not self._archived():
                self._archived_mono_s = now_mono_s
        except (OSError, ValueError) as exc:
            self._archived_mono_s = now_mono_s
            _log.warning("housekeeping_failed", reason=f"the archive's receipts: {exc}")

    def _report(self) -> None:
        now_mono_s = self._clock.monotonic()
        if now_mono_s - self._reported_mono_s < REPORT_S:
            return
        if (pruned := self._retention.take_pruned()) is None:
            return
        self._reported_mono_s = now_mono_s
        since, until = (to_rfc3339(from_timestamp_ms(ms)) for ms in (pruned.from_ms, pruned.to_ms))
        text = f"{pruned.count} records from {since} to {until} were deleted to make room; they had been delivered"
        _log.warning("records_pruned", count=pruned.count, first_seq=pruned.first_seq, last_seq=pruned.last_seq,
                     since=since, until=until)  # fmt: skip
        self._inbox.put(
            Lost(self._clock.now(), None, pruned.first_seq, pruned.last_seq, pruned.count, text, RECORDS_PRUNED)
        )

    def _show(self, room: Room) -> None:
        self._metrics.store_bytes.labels("file").set(room.file_bytes)
        self._metrics.store_bytes.labels("log").set(room.log_bytes)
        self._metrics.disk_free.set(room.free_bytes)
        notice = None
        if room.log_bytes > self._options.log_limit_bytes:
            size = f"{room.log_bytes / (1 << 20):.0f} MB"
            notice = f"store_log_grows: {size} of log, because another process reads the store without end"
        elif self._outbox.tight:
            notice = f"disk_full: {room.free_bytes / (1 << 20):.0f} MB are free; messages that wait are given up"
        if notice is not None and self.notice is None:
            _log.warning("store_room", reason=notice)
        self.notice = notice
