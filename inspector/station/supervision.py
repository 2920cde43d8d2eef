"""Whether the station still works: a dead or stuck part, its health as of now, and the hourly proof of its model.

The parts are in a table, one row each; a new part is a new row. Nothing is stopped or repaired here: if a part has
died, its error is raised; if a part is stuck, systemd's watchdog is not fed any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from inspector.clock import Clock
from inspector.errors import BundleError, InspectorError, WorkerError
from inspector.http.server import HttpServer
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.pool import WorkerPool
from inspector.settings.source import AnySource
from inspector.sinks.base import Sink
from inspector.sources.reader import Reader
from inspector.station.housekeeping import Housekeeping
from inspector.station.pipeline import Pipeline
from inspector.telemetry.health import Facts, HealthBoard, HealthLimits, judge_health
from inspector.telemetry.kernel_clock import read_kernel_clock
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.notify import Notifier
from inspector.telemetry.pulse import Pulse

SELFTEST_S = 3600.0
STUCK_AFTER_S = 30.0
"""A part with something to do and without progress for this long is stuck: the watchdog is not fed any more."""
LOOKUP_S = 60.0
"""Added if a host name must be resolved first: silent name servers are not a stuck part."""
RENEW_S = 10.0
"""Health that has not changed is shown again after this time."""


_log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What the main thread reads of one part.

    Attributes:
        name: Its name in logs and errors.
        failure: Returns the error that ended its thread, or None.
        progress_mono_s: Returns when it last made progress; None: it only waits for others and cannot be stuck.
        busy: Returns whether it has something to do.
        patience_s: A busy part without progress for longer is stuck.
    """

    name: str
    failure: Callable[[], BaseException | None]
    progress_mono_s: Callable[[], float] | None = None
    busy: Callable[[], bool] = lambda: True
    patience_s: float = STUCK_AFTER_S


def list_parts(
    source: AnySource,
    pipeline: Pipeline,
    housekeeping: Housekeeping,
    sinks: Sequence[Sink],
    http: HttpServer | None,
) -> tuple[Part, ...]:
    """Return the table of the parts that run.

    Args:
        source: How long the source may take to open and to read.
        pipeline: A reader that waits for room in the queue is not stuck, nor a dispatcher that waits for the committer;
            the committer always makes progress.
        housekeeping: It rests between its rounds.
        sinks: The enabled ones.
        http: None without a listener.
    """
    reader, dispatcher, committer = pipeline.reader, pipeline.dispatcher, pipeline.committer
    reading_s = STUCK_AFTER_S + source.patience_s + (LOOKUP_S if source.remote else 0)
    parts = [
        Part("source", lambda: reader.failure, lambda: reader.progress_mono_s,
             lambda: not (reader.waiting_to_put or reader.ended), reading_s),
        Part("inspection", lambda: dispatcher.failure, lambda: dispatcher.progress_mono_s,
             lambda: dispatcher.has_unfinished_head),
        Part("committer", lambda: committer.failure, lambda: committer.progress_mono_s),
        Part("housekeeping", lambda: housekeeping.failure, lambda: housekeeping.progress_mono_s,
             lambda: housekeeping.busy),
    ]  # fmt: skip
    parts += [part_of(sink) for sink in sinks]
    if http is not None:
        parts.append(Part("HTTP listener", lambda: http.failure))
    return tuple(parts)


def part_of(sink: Sink) -> Part:
    """Return the row of one sink."""
    return Part(f"sink {sink.name}", lambda: sink.failure, lambda: sink.progress_mono_s,
                patience_s=STUCK_AFTER_S + LOOKUP_S)  # fmt: skip


def raise_failures(parts: Sequence[Part]) -> None:
    """Raise what ended a part.

    Raises:
        InspectorError: As the part raised it.
        WorkerError: Anything else ended a part.
    """
    for part in parts:
        failure = part.failure()
        if isinstance(failure, InspectorError):
            raise failure
        if failure is not None:
            raise WorkerError(f"the {part.name} has died: {failure!r}") from failure


def find_stuck(parts: Sequence[Part], now_mono_s: float) -> list[str]:
    """Return the names of the parts that have something to do and made no progress for too long."""
    return [
        part.name
        for part in parts
        if part.progress_mono_s is not None and part.busy() and now_mono_s - part.progress_mono_s() > part.patience_s
    ]


def health_facts(
    pipeline: Pipeline,
    housekeeping: Housekeeping,
    now_mono_s: float,
    *,
    delivery_reason: str | None,
    store_notice: str | None = None,
    untaught: str | None = None,
    insensitive: str | None = None,
) -> Facts:
    """Return the present facts for the judgement of health; a store that hangs counts as one that refuses."""
    reader, committer = pipeline.reader, pipeline.committer
    recent = list(committer.tally.recent_unknown)
    busy = not pipeline.dispatcher.idle
    return Facts(
        started=reader.started,
        source_reason=reader.reason,
        source_report=pipeline.source_report,
        source_ended=reader.ended and not busy,
        idle_s=0.0 if busy else now_mono_s - reader.item_mono_s,
        missed_frames=committer.tally.missed_frames,
        missed_cause=committer.tally.missed_cause,
        store_reason=committer.store_reason
        or committer.disk.reason(now_mono_s)
        or housekeeping.disk.reason(now_mono_s),
        store_notice=store_notice,
        delivery_reason=delivery_reason,
        outbox_share=housekeeping.outbox.share,
        unknown_share=sum(recent) / len(recent) if recent else 0.0,
        recent_tiles=len(recent),
        dropped_share=housekeeping.drops.share,
        untaught=untaught,
        no_recipe=None if pipeline.recipes is None else pipeline.recipes.lacking,
        live=pipeline.live,
        insensitive=insensitive,
        clock_reason=read_kernel_clock().reason,
        operators=committer.operators,
    )


class Supervision:
    """Checks all parts, a few times a second, on the main thread.

    Args:
        parts: The table.
        facts: Returns the facts for the judgement of health; its argument is the monotonic time.
        limits: From which value on a fact makes the station degraded or blind.
        board: Where the state is kept.
        clock: Time.
        metrics: Where the state is shown.
        notifier: systemd: the watchdog, and a line of status.
        pulse: Told that all parts were judged and none is stuck.
        changed: Called when the state should be published again.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        facts: Callable[[float], Facts],
        limits: HealthLimits,
        board: HealthBoard,
        *,
        clock: Clock,
        metrics: Metrics,
        notifier: Notifier,
        pulse: Pulse,
        changed: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._facts = facts
        self._limits = limits
        self._board = board
        self._clock = clock
        self._metrics = metrics
        self._notifier = notifier
        self._pulse = pulse
        self._changed = changed
        self._shown_mono_s: float | None = None
        self._said: tuple[str, str, str | None] | None = None

    def begin(self) -> None:
        """Show health at the next check, whether or not it has changed."""
        self._shown_mono_s = None

    def look(self) -> None:
        """Raise the error of a dead part, show health, and feed the watchdog unless a part is stuck.

        Raises:
            InspectorError: A part has died.
        """
        raise_failures(self._parts)
        now = self._clock.monotonic()
        self._show_health(now)
        if stuck := find_stuck(self._parts, now):
            _log.error("stuck", parts=", ".join(stuck))
        else:
            self._notifier.alive()
            self._pulse.judged()

    def _show_health(self, now: float) -> None:
        changed = self._board.update(*judge_health(self._facts(now), self._limits))
        first = self._shown_mono_s is None
        due = self._shown_mono_s is None or now - self._shown_mono_s > RENEW_S
        if not changed and not due:
            return
        message = self._board.message()
        said = message.state, (message.reason or "").partition(":")[0], message.reference
        if first or said != self._said:  # not for each shelf, or each speed of the line
            _log.info("health", state=message.state, reason=message.reason)
        self._said = said
        self._shown_mono_s = now
        self._metrics.show_health(message.state, message.reason)
        self._notifier.status(f"{message.state}{': ' + message.reason if message.reason else ''}")
        self._changed()


class WorkMeter:
    """Counts how long the workers were busy, and how long the source waited for them."""

    def __init__(self, pool: WorkerPool, reader: Reader, metrics: Metrics) -> None:
        self._pool = pool
        self._reader = reader
        self._metrics = metrics
        self._busy_s = self._waited_s = 0.0

    def count(self) -> None:
        """Add the growth since the last call.

        Sums of seconds are rounded: the wait that has just ended may be shorter, in its last bit, than it was while it
        lasted, and a counter that is to fall raises.
        """
        busy_s = max(self._busy_s, sum(self._pool.busy_s))
        waited_s = max(self._waited_s, self._reader.waited_s)
        self._metrics.worker_busy.inc(busy_s - self._busy_s)
        self._metrics.source_wait.inc(waited_s - self._waited_s)
        self._busy_s, self._waited_s = busy_s, waited_s


def prove_model(bundle: Bundle, runtime: str | None) -> None:
    """Score the golden tiles on an interpreter of its own.

    Raises:
        WorkerError: They score differently than in training: memory or processor cannot be trusted.
    """
    try:
        check_golden(Classifier(bundle, runtime))
    except BundleError as exc:
        raise WorkerError(f"the self-test fails: {exc}") from exc
