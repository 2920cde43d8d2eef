"""Runs a source on a thread of its own: reads, hands over, waits after failures, and reports what was missed."""

from __future__ import annotations

import random
import threading
from datetime import datetime

import structlog

from inspector.clock import Clock
from inspector.errors import SourceError
from inspector.frame import Cause, Frame, Gap
from inspector.sources.base import EndOfSource, FrameSource
from inspector.sources.queues import ItemQueue
from inspector.telemetry.metrics import Metrics

BACKOFF_S = (0.25, 5.0)
"""First and longest wait between two tries to reach a source; jittered, doubled each time."""


_log = structlog.get_logger("reader")


class Reader:
    """Feeds a queue from a source.

    Attributes:
        reason: Why the source is down, or None.
        ended: The source has delivered everything.
        started: A first read has returned.
        progress_mono_s: When the source last answered, with an item or with nothing to do.
        item_mono_s: When the last item came.
        failure: The error that ended the thread.
    """

    def __init__(
        self,
        source: FrameSource,
        items: ItemQueue,
        clock: Clock,
        metrics: Metrics,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self._source = source
        self._items = items
        self._clock = clock
        self._metrics = metrics
        self._backoff_s = backoff_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._down_since: datetime | None = None
        self._epoch = 0
        self.reason: str | None = None
        self.ended = False
        self.started = False
        self.waiting_to_put = False
        self._waited: tuple[float, float | None] = (0.0, None)  # until now, and since when again: set together
        self.progress_mono_s = self.item_mono_s = clock.monotonic()
        self.dropped = self.captured = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End the thread and close the source; what was handed over stays in the queue.

        Returns:
            Whether the thread has ended: an outage that lasted until now is then in the queue, too.
        """
        self._stopping.set()
        self._source.close()
        self._items.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def waited_s(self) -> float:
        """Seconds that the source has waited for the inspection, those of a wait that still lasts included."""
        now = self._clock.monotonic()
        waited_s, since_mono_s = self._waited
        return waited_s if since_mono_s is None else waited_s + max(0.0, now - since_mono_s)

    def _run(self) -> None:
        tries = 0
        try:
            while not self._stopping.is_set():
                item: Frame | Gap | None = None  # the previous one holds pixels
                try:
                    item = self._source.read()
                except SourceError as exc:
                    if self._stopping.is_set():
                        break  # closing a source may break its read off: no outage
                    tries = self._note_down(exc, tries)
                    continue
                except EndOfSource:
                    self._note_up()
                    self.started = self.ended = True
                    _log.info("source_ended", source=self._source.description)
                    while not self._stopping.wait(0.5):
                        self.progress_mono_s = self._clock.monotonic()
                    return
                tries = 0
                self._note_up()
                self.started = True
                self.progress_mono_s = self._clock.monotonic()
                if item is not None:
                    self._hand_over(item)
            if self._down_since is not None:
                self._put(self._gap())
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("reader_failed", source=self._source.description)

    def _hand_over(self, item: Frame | Gap) -> None:
        self.item_mono_s = self._clock.monotonic()
        self._epoch = item.epoch
        if isinstance(item, Frame):
            self.captured += 1
            self._metrics.frames_captured.inc()
            self._metrics.last_frame.set(item.captured_at.timestamp())
        elif item.frame_id is not None:
            self._metrics.frames_captured.inc()
        self._put(item)

    def _put(self, item: Frame | Gap) -> None:
        self.waiting_to_put = True
        waited_s, since_mono_s = self._waited[0], self._clock.monotonic()
        self._waited = (waited_s, since_mono_s)
        self.dropped += self._items.put(item)
        self.progress_mono_s = self._clock.monotonic()  # the wait was for the inspection: the source was not asked
        self._waited = (waited_s + self.progress_mono_s - since_mono_s, None)
        self.waiting_to_put = False

    def _note_down(self, exc: SourceError, tries: int) -> int:
        if self._down_since is None:
            self._down_since = self._clock.now()
        if str(exc) != self.reason:
            _log.warning("source_down", source=self._source.description, reason=str(exc))
        self.reason = str(exc)
        self.progress_mono_s = self._clock.monotonic()
        low, high = self._backoff_s
        self._stopping.wait(random.uniform(0.5, 1) * min(high, low * 2**tries))  # noqa: S311 - jitter
        return min(tries + 1, 16)

    def _note_up(self) -> None:
        if self._down_since is not None:
            gap = self._gap()
            _log.info("source_back", source=self._source.description, away_s=(gap.until - gap.since).total_seconds())
            self._down_since, self.reason = None, None
            self._put(gap)

    def _gap(self) -> Gap:
        since = self._down_since or self._clock.now()
        return Gap(Cause.SOURCE_DOWN, since, max(since, self._clock.now()), self._epoch, detail=self.reason or "")
