"""The way of a frame through the station: source, queue, dispatcher, committer, each with a thread of its own.

Started from the end and stopped from the head, so that what was read is also committed. Delivery is not part of it:
a frame is done when its messages are in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inspector.clock import Clock
from inspector.errors import SourceError, StoreBusyError
from inspector.inspection.one_frame import Inspection
from inspector.messages import Body
from inspector.model.pool import frames_in_flight
from inspector.settings.source import AnySource
from inspector.sources.base import FrameSource, Policy, SourceContext
from inspector.sources.opening import open_source
from inspector.sources.queues import FrameQueue, ItemQueue, Mailbox
from inspector.sources.reader import Reader
from inspector.station.committer import Committer, CommitterOptions, Observer
from inspector.station.dispatcher import Dispatcher
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.inbox import Inbox
from inspector.station.paused import PauseMark
from inspector.station.recipes import Recipes
from inspector.station.wiring import OpenModel
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules

COMMIT_AT_STOP_S = 30.0
"""How long a stop waits for what was read to be inspected and committed."""


class Pipeline:
    """Frames in, committed messages out.

    Args:
        source: Which source, and how to read it.
        model: The proven bundle; its pool is not closed here.
        rules: How inspections become messages.
        store: Where they are committed.
        evidence: Where pictures of defects are kept, or None.
        clock: Time.
        metrics: Where everything is counted.
        committed: Given every committed message, on the committer's thread.
        inspected: Given every inspection, on the thread that made it; returns at once.
        seen: As of `CommitterOptions`.
        recipes: Of the configuration, or None.

    Attributes:
        recipes: Which recipe holds for which frame; None: there are none.
        rules: What decides now; another reference is put in force here.
        mark: Says which frames lie in a pause.
        inbox: Takes what is ordered and does not come from the source.
        live: Frames that are not taken in time are dropped.
        source_report: What is wrong although the source delivers, or None.
    """

    def __init__(
        self,
        source: AnySource,
        model: OpenModel,
        rules: TrackRules,
        *,
        store: Store,
        evidence: EvidenceFolder | None,
        clock: Clock,
        metrics: Metrics,
        committed: Callable[[Sequence[Body]], None],
        inspected: Callable[[Inspection], None] = lambda _: None,
        seen: Observer = lambda bodies, firsts, results: None,
        recipes: Recipes | None = None,
    ) -> None:
        self._store = store
        self.source_report: str | None = None
        depth = frames_in_flight(model.pool.workers)
        self.source: FrameSource = open_source(
            source, SourceContext(clock, self._next_epoch, store.store_id, self._note_source), store.ledger
        )
        self.live = self.source.policy is Policy.LIVE
        items: ItemQueue = Mailbox() if self.live else FrameQueue(2 * depth)
        self.reader = Reader(self.source, items, clock, metrics)
        self.mark = PauseMark()
        self.recipes = recipes
        self.rules = RulesInForce(Rules(model.rules, rules, model.taught), recipes)
        self.dispatcher = Dispatcher(items, model.pool, self.rules, depth=depth, clock=clock, metrics=metrics,
                                     inspected=inspected, mark=self.mark)  # fmt: skip
        self.inbox = Inbox(clock) if recipes is None else Inbox(clock, recipes.follow)
        self.committer = Committer(
            self.dispatcher,
            self.source,
            store,
            inbox=self.inbox,
            evidence=evidence,
            rules=rules,
            options=CommitterOptions(
                rules.mm_per_line, model.bundle.short, seen, self.mark, None if recipes is None else recipes.seen
            ),
            clock=clock,
            metrics=metrics,
            committed=committed,
        )
        if recipes is not None:
            tracked = self.committer.tracked
            recipes.begin(tracked.coil, tracked.coming[-1].change if tracked.coming else None)

    @property
    def recipe(self) -> str | None:
        """Name of the recipe that holds from now on, or None."""
        return None if self.recipes is None else self.recipes.present

    def _note_source(self, report: str | None) -> None:
        self.source_report = report

    def _next_epoch(self) -> int:
        try:
            return self._store.notes.next_epoch()
        except StoreBusyError as exc:
            raise SourceError(f"the store in {self._store.folder} refuses: {exc}") from exc

    def start(self) -> None:
        """Begin to read, inspect and commit."""
        self.committer.start()
        self.dispatcher.start()
        self.reader.start()

    def stop(self) -> tuple[bool, bool]:
        """Close the source and commit what was read.

        Returns:
            Whether the source has reported everything that it missed, and whether all is committed.
        """
        read = self.reader.stop()
        self.dispatcher.drain()
        return read, self.committer.join(COMMIT_AT_STOP_S)
