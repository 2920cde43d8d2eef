"""Between the queue and the committer: frames are inspected in parallel and come out in order.

A dispatcher takes items from the source's queue and hands frames to a few threads that run `inspect_frame`; the
network itself runs in the worker pool, which shares the tiles of all frames in flight. So one frame of a hundred
tiles keeps every core busy, and so do a hundred frames of one tile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import structlog

from inspector.clock import Clock
from inspector.faults import crash_point
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.predictions import Classify, Predictions
from inspector.sources.queues import ItemQueue
from inspector.station.in_force import RulesInForce
from inspector.station.paused import PauseMark
from inspector.telemetry.metrics import Metrics
from inspector.track.operators import paused_gap
from inspector.track.rules import TrackRules

_log = structlog.get_logger("inspect")

HURRY_S = 5.0
"""How long frames are inspected in a hurry after one was dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """An item and what became of it: `outcome` is the gap itself, or the future inspection of the frame.

    Attributes:
        track: The rules that go with those it is inspected by; None: the present ones.
    """

    item: Frame | Gap
    outcome: Gap | Future[Inspection]
    track: TrackRules | None = None

    @property
    def ready(self) -> bool:
        """Whether taking it would not wait."""
        return isinstance(self.outcome, Gap) or self.outcome.done()

    def wait(self) -> Gap | Inspection:
        """Return what became of it; raises what the inspection raised."""
        return self.outcome if isinstance(self.outcome, Gap) else self.outcome.result()


class Dispatcher:
    """Keeps up to `depth` frames in flight and gives finished ones back in the order in which they came.

    Args:
        items: Frames and gaps in their order.
        classify: Scores tiles.
        rules: In force; a frame is inspected and tracked by those of the moment at which it was taken.
        depth: Frames in flight.
        clock: Time.
        metrics: Where stages are measured.
        inspected: Given every inspection, on the thread that made it; returns at once.
        mark: Says which frames lie in a pause.

    Attributes:
        idle: Nothing is being inspected and nothing waits.
        has_unfinished_head: The head of the queue is still being inspected.
        progress_mono_s: When an item was last taken, scored or finished.
        failure: The error that ended the dispatcher.
    """

    def __init__(
        self,
        items: ItemQueue,
        classify: Classify,
        rules: RulesInForce,
        depth: int,
        clock: Clock,
        metrics: Metrics,
        inspected: Callable[[Inspection], None] = lambda _: None,
        mark: PauseMark | None = None,
    ) -> None:
        self._mark = mark or PauseMark()
        self._items = items
        self._classify = classify
        self._rules = rules
        self._depth = depth
        self._clock = clock
        self._metrics = metrics
        self._inspected = inspected
        self._changed = threading.Condition()
        self._results: deque[Result] = deque()
        self._taken: list[Frame | Gap] = []
        self._draining = threading.Event()
        self._frames = ThreadPoolExecutor(max_workers=depth, thread_name_prefix="frame")
        self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)
        self._hurry_until_s = -1.0
        self.finished = False
        self.progress_mono_s = clock.monotonic()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to take items."""
        self._thread.start()

    def drain(self) -> None:
        """The queue is closed: inspect what is left in it, then finish."""
        self._draining.set()
        with self._changed:
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being inspected."""
        return not self._results and len(self._items) == 0

    @property
    def has_unfinished_head(self) -> bool:
        """Whether the oldest frame is not inspected yet; finished ones wait for the committer."""
        with self._changed:
            return not self._results[0].ready if self._results else len(self._items) > 0

    def take(self, limit: int, timeout_s: float) -> list[Result]:
        """Return finished results from the head, at most `limit`, waiting up to `timeout_s` for the first."""
        while self._taken:  # a caller that comes back has committed what it took before
            self._items.release(self._taken.pop())
        with self._changed:
            self._changed.wait_for(lambda: (self._results and self._results[0].ready) or self.finished, timeout_s)
            taken: list[Result] = []
            while len(taken) < limit and self._results and self._results[0].ready:
                taken.append(self._results.popleft())
            if taken:
                self.progress_mono_s = self._clock.monotonic()
                self._changed.notify_all()
            self._taken = [result.item for result in taken]
            return taken

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._results) < 2 * self._depth)
                item = self._items.get(0.2)
                if item is None:
                    if self._draining.is_set() and len(self._items) == 0:
                        break
                    continue
                self.progress_mono_s = self._clock.monotonic()
                placed_s = item.placed_mono_s if isinstance(item, Frame) else self._clock.monotonic()
                rules = self._rules.at(placed_s)
                outcome = self._outcome(item, self._in_time(item, rules.inspect))
                with self._changed:
                    self._results.append(Result(item, outcome, rules.track))
                    self._changed.notify_all()
                if isinstance(outcome, Future):
                    outcome.add_done_callback(self._wake)
                del item, outcome  # they hold pixels until the next ones come
            self._frames.shutdown(wait=True)
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("dispatcher_failed")
        finally:
            with self._changed:
                self.finished = True
                self._changed.notify_all()

    def _outcome(self, item: Frame | Gap, rules: InspectRules) -> Gap | Future[Inspection]:
        if isinstance(item, Gap):
            return item
        pause = self._mark.of(item.placed_mono_s, self._clock.now())
        return self._frames.submit(self._inspect, item, rules) if pause is None else paused_gap(pause, item)

    def _in_time(self, item: Frame | Gap, rules: InspectRules) -> InspectRules:
        """Return the rules; with a bound on looks while a live source loses frames for lack of time."""
        now_s = self._clock.monotonic()
        if isinstance(item, Gap) and item.cause is Cause.DROPPED:
            self._hurry_until_s = now_s + HURRY_S
        return replace(rules, hurried=True) if now_s < self._hurry_until_s else rules

    def _inspect(self, frame: Frame, rules: InspectRules) -> Inspection:
        scoring_s = 0.0

        def classify(tiles: Sequence[Pixels]) -> Predictions:
            nonlocal scoring_s
            begun_s = self._clock.monotonic()
            predictions = self._classify(tiles)
            ended_s = self._clock.monotonic()
            scoring_s += ended_s - begun_s
            self.progress_mono_s = ended_s
            return predictions

        with self._metrics.stage_seconds.labels("inspect").time():
            inspection = inspect_frame(frame, classify, rules)
        if inspection.cause is None:  # one observation a frame, however often its tiles were scored
            self._metrics.stage_seconds.labels("classify").observe(scoring_s)
        if inspection.looks_left_out:
            self._metrics.looks_left_out.inc(inspection.looks_left_out)
        self._inspected(inspection)
        crash_point("frame.inspected")
        return inspection

    def _wake(self, _: Future[Inspection]) -> None:
        with self._changed:
            self.progress_mono_s = self._clock.monotonic()
            self._changed.notify_all()
