"""The site's reference while the station runs: taught, put in force when it is accepted, and proven on.

A thread of its own does what may wait for a disk. What fits a candidate is a process of its own, so that neither memory
nor cores of the inspection are touched. Another reference is put in force between two frames: whoever accepted it,
whether over a command or with `inspector teach`, the folder says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from inspector.clock import Clock, to_rfc3339
from inspector.command_table import TeachCommand
from inspector.errors import InspectorError, LessonError
from inspector.ids import Ids
from inspector.inspection.one_frame import Inspection
from inspector.messages import Body
from inspector.model.bundle import Bundle
from inspector.settings.sections import Settings
from inspector.station.dispatcher import Result
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.label_watch import LabelWatch
from inspector.station.overruled import FOLDER, OverruledSample
from inspector.station.proving import Proving
from inspector.station.teach_fit import ChildFit, fit_order
from inspector.station.teach_in_run import TeachInRun
from inspector.station.verified import VerifiedCalls
from inspector.station.wiring import OpenModel, label_folder, reference_folder, rules_in_force, untaught_reason
from inspector.store.store import Store
from inspector.teach.accepted import Accepted, read_accepted, state_of
from inspector.teach.card import Signature
from inspector.teach.files import CANDIDATE, accept, read_stored, undo
from inspector.teach.teach_in import TeachIn
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import Metrics

PERIOD_S = 0.5
"""How often the folder of the references, and the process that fits, are asked after."""

_log = structlog.get_logger("teach")


class Teaching:
    """The thread.

    Args:
        folder: Of the references.
        bundle: The one that runs.
        rules: Where another reference is put in force.
        make_rules: Returns the rules that go with it.
        run: The teach-ins.
        proving: What has been seen under the reference since it was accepted.
        overruled: The sample of what it overrules.
        clock: Time.
        metrics: Where the reference is shown.
        changed: Called when `about` and health should be published again.
        labels: The site's own labels.
        untaught: Returns why no reference is in force although one is expected, or None.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        rules: RulesInForce,
        make_rules: Callable[[Accepted], Rules],
        run: TeachInRun,
        proving: Proving,
        overruled: OverruledSample,
        *,
        clock: Clock,
        metrics: Metrics,
        changed: Callable[[], None],
        labels: LabelWatch,
        untaught: Callable[[Accepted], str | None],
    ) -> None:
        self._folder = folder
        self._bundle = bundle
        self._rules = rules
        self._make_rules = make_rules
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._labels = labels
        self._untaught = untaught
        self._state = state_of(folder)
        self._acting = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="teach", daemon=True)
        self.run = run
        self.proving = proving
        self._overruled = overruled
        self._said: str | None = None
        self.show(rules.now.taught)

    # --- From other threads -----------------------------------------------------------------------------------------

    def execute(self, asked: TeachCommand) -> str:
        """Carry out a command; returns a sentence for the reply.

        Raises:
            LessonError: It is refused, and why.
        """
        with self._acting:
            if asked.action == "start":
                said = self.run.begin(asked)
            elif asked.action == "cancel":
                said = self.run.cancel()
            else:
                said = self._exchange(asked.action, asked.person or "a command")
        self._wake.set()
        return said

    def _exchange(self, action: str, person: str) -> str:
        try:
            if action == "undo":
                stored = undo(self._folder)
                if stored is None:
                    return "untaught again"
                trouble = read_accepted(self._folder, self._bundle).trouble
                warning = "" if trouble is None else f", and decides nothing: {trouble}"
                return f"reference {stored.reference.short} counts again{warning}"
            accepted = self._accept(person, why_refused(self._folder))
            self.run.note_accepted()
            return f"reference {accepted} counts"
        except OSError as exc:
            raise LessonError(f"{exc.filename or self._folder}: {exc.strerror}: what counted counts on") from exc

    def _accept(self, person: str, override: str | None) -> str:
        signature = Signature(by=person, at=to_rfc3339(self._clock.now()), override=override)
        return accept(self._folder, self._bundle, signature).reference.short

    def see(self, bodies: Sequence[Body], firsts: set[str], results: Sequence[tuple[Result, str | None]]) -> None:
        """Take what was committed, on the committer's thread; arguments as of `CommitterOptions.seen`."""
        self.proving.count(bodies, firsts, results)
        collects = self.run.collects
        for result, coil_id in results:
            if isinstance(outcome := result.wait(), Inspection):
                self._overruled.offer(outcome)
                if collects:
                    self.run.see(outcome, coil_id)
        if collects:
            self._wake.set()

    @property
    def untaught(self) -> str | None:
        """Why no reference is in force although one is expected, with what is under way, or None."""
        why = self._untaught(self._rules.now.taught)
        return why if why is None or self.progress is None else f"{why}; {self.progress}"

    @property
    def proof_text(self) -> str | None:
        """What was seen under the reference so far, in one line, or None."""
        return None if self.proving.proof is None else self.proving.proof.text

    @property
    def progress(self) -> str | None:
        """What is under way, in one line, or None."""
        present = self.run.present
        return None if present is None or not present.under_way else present.summary

    # --- The thread -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch the folder, and continue a teach-in that was under way."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End; a teach-in that is under way continues at the next start."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._ended:
            self._wake.wait(PERIOD_S)
            self._wake.clear()
            try:
                self.look()
                self._said = None
            except Exception as exc:  # noqa: BLE001 - the thread's outermost function: the station inspects on
                if self._said != repr(exc):
                    _log.exception("teaching_failed")
                self._said = repr(exc)
        try:
            self.run.stop()
            self.proving.keep()
        except Exception as exc:  # noqa: BLE001 - as above; the store may be closed, and its folder gone, by now
            _log.warning("teaching_failed", reason=repr(exc))

    def look(self) -> None:
        """Do what is due."""
        ended = self.run.step()
        if ended is not None and ended.state == "candidate" and ended.accept:
            self._accept_at_once(ended.by)
        if (state := state_of(self._folder)) != self._state:
            self._state = state
            self._take(read_accepted(self._folder, self._bundle))
        self._labels.look()
        self.proving.show()
        self._overruled.keep()

    def _accept_at_once(self, person: str) -> None:
        try:
            if (why := why_refused(self._folder)) is not None:
                _log.warning("candidate_not_accepted", reason=why)
                return
            with self._acting:
                self._accept(person, None)
                self.run.note_accepted()
        except (InspectorError, OSError) as exc:
            _log.warning("candidate_not_accepted", reason=str(exc))

    def _take(self, taught: Accepted) -> None:
        """Put another reference in force, or keep the present one if the new one cannot be used."""
        present = self._rules.now.taught
        if taught.trouble is not None and present.reference is not None:
            _log.error("reference_refused", reason=taught.trouble, still=present.short)
            self._rules.now = self._make_rules(
                Accepted(present.reference, present.card, f"{taught.trouble}; {present.short} stays in force")
            )
            return
        if taught.trouble is not None:
            _log.error("reference_refused", reason=taught.trouble, still=None)
        else:
            _log.info("reference_in_force", reference=taught.short, before=present.short)
        self._rules.now = self._make_rules(taught)
        self.show(taught)
        self._changed()

    def show(self, taught: Accepted) -> None:
        """Set the metrics of the reference in force, and begin to count anew if it is another one."""
        self._metrics.reference.info({"reference": taught.short or "none"})
        self._metrics.reference_accepted.set(taught.accepted_s)
        self.proving.begin(taught.short)


def open_teaching(
    settings: Settings,
    model: OpenModel,
    rules: RulesInForce,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    health: HealthBoard,
    changed: Callable[[], None],
    reload: Callable[[], None],
) -> Teaching:
    """Return the teaching of a station, not started; `reload` asks for one, other arguments as of `Teaching`."""
    folder, card = reference_folder(settings), model.bundle.card

    def fit(teach_in: TeachIn) -> ChildFit:
        return ChildFit(fit_order(settings, model.bundle, folder, teach_in))

    return Teaching(
        folder,
        model.bundle,
        rules,
        lambda taught: rules_in_force(settings, model, taught),
        TeachInRun(folder, settings.teach, card.tile_px, clock, health, fit),
        Proving(
            store.notes,
            clock,
            metrics,
            settings.strip.mm_per_line or settings.mm_per_px or card.mm_per_px,
            VerifiedCalls(store.reviews, store.records, Ids(settings.root)),
        ),
        OverruledSample(store.folder / FOLDER, clock),
        clock=clock,
        metrics=metrics,
        changed=changed,
        labels=LabelWatch(label_folder(settings), model.label_state, reload),
        untaught=lambda taught: untaught_reason(settings.decision.mode, taught),
    )


def why_refused(folder: Path) -> str | None:
    """Return why the candidate was refused when it was judged, or None.

    Raises:
        SiteReferenceError: It is damaged.
    """
    stored = read_stored(folder, CANDIDATE)
    judgement = None if stored is None else stored.card.judgement
    refused = None if judgement is None else judgement.get("refused")
    return str(refused) if refused else None
