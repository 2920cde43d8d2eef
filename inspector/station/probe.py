"""The proof, all day, that the station still sees: a known defect on a live clean tile, judged as every tile is.

A shadow path: the tile is a copy, what is judged is neither published, counted as a tile, nor kept. The same workers,
rules and reference judge it, so one mechanism sees an ageing lamp, dust, a lost focus, a wrong teach-in, an exchanged
camera and a bad bundle (docs/sensitivity.md). It takes at most `MOST_SHARE` of the time, by its own measurement: when
the workers are busy, probes come less often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import structlog

from inspector.box import Box
from inspector.clock import Clock
from inspector.drawn.laid import laid_labels, lay_defect
from inspector.errors import StoreBusyError, WorkerError
from inspector.frame import Frame, Pixels
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.one_frame import Inspection, InspectRules, inspect_frame
from inspector.inspection.predictions import Classify
from inspector.inspection.preprocess import to_grey
from inspector.inspection.tiling import TilingRules
from inspector.labels import CLEAN, UNKNOWN
from inspector.model.pool import WorkerPool
from inspector.settings.sections import Teach
from inspector.station.in_force import RulesInForce
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.proofs import Kind, Proofs

MOST_SHARE = 0.01
"""Of the time, that laying and judging may take."""
LEARNING_S = 0.5
"""Pause between two probes, at least, while it is not known what to expect."""
KEEP_S = 60.0
"""Time between two notes in the store."""

_log = structlog.get_logger("daemon")


class Prober:
    """Lays and judges on a thread of its own; frames are offered on the threads that inspect them.

    Args:
        options: How often, and from where on it is too little.
        classify: The workers.
        rules: Returns the rules in force.
        accepted: Names the acceptance of the reference in force, or None.
        store: Keeps the counts over a restart, and those of each coil.
        clock: Time.
        metrics: Where ratios and counts are shown.

    Attributes:
        reason: Why the station cannot be trusted to see, as the reason of health, or None.
        proofs: What was counted.
    """

    def __init__(
        self,
        options: Teach,
        classify: Classify,
        rules: Callable[[], DecisionRules],
        *,
        accepted: Callable[[], str | None],
        store: Store,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._options = options
        self._classify = classify
        self._rules = rules
        self._accepted = accepted
        self._notes, self._coils = store.notes, store.coils
        self._clock = clock
        self._metrics = metrics
        self._coil: tuple[str | None, int] = (None, 0)
        self._kept_mono_s = clock.monotonic()
        self._random = np.random.default_rng(0)
        self._tiles: list[tuple[Pixels, bool]] = []
        self._offered = threading.Event()
        self._ended = threading.Event()
        self._wanted = False
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self.proofs = Proofs(laid_labels(rules().labels))
        self.reason: str | None = None

    def start(self) -> None:
        """Continue the counts of the previous process, and begin, unless it is switched off."""
        if self._options.probe_interval_s:
            self._continue()
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End, and note the counts; waits for a probe in progress, not longer than `timeout_s`."""
        self._ended.set()
        self._offered.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def of_coil(self) -> tuple[int, int] | None:
        """Return how many defects were laid onto the running coil, and how many were found; None: probes are off."""
        return (self.proofs.shown, self.proofs.found) if self._options.probe_interval_s else None

    def offer(self, inspection: Inspection) -> None:
        """Take a copy of one clean tile of an inspected frame, if a probe is due; else return at once."""
        if not self._wanted:
            return
        good = [number for number, verdict in enumerate(inspection.verdicts) if is_bare(verdict)]
        if not good:
            return
        self._wanted = False  # another frame's thread may have been here, too: then the later tile is taken
        number = good[inspection.frame.frame_id % len(good)]
        tile = to_grey(_under(inspection.frame.pixels, inspection.boxes[number])).copy()
        self._tiles = [(tile, inspection.verdicts[number].label == CLEAN)]
        self._offered.set()

    # --- On its own thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            pause_s = self.pause_s(0.0)
            while not self._ended.wait(pause_s):
                self._offered.clear()
                self._wanted = True
                self._offered.wait()
                if self._ended.is_set():
                    break
                began = self._clock.monotonic()
                for tile, is_clean in self._tiles:
                    self.probe(tile, is_clean)
                spent_s = self._clock.monotonic() - began
                self._metrics.sensitivity_seconds.inc(spent_s)
                pause_s = self.pause_s(spent_s)
                if self._clock.monotonic() - self._kept_mono_s >= KEEP_S:
                    self._keep()
            self._keep()
        except WorkerError:
            _log.info("probe_ended", reason="the workers are gone")  # whose own end the station reports
        except Exception as exc:  # noqa: BLE001 - the thread's outermost function: health reports it
            self.reason = f"insensitive: the proof has failed: {exc!r}"
            _log.exception("probe_failed", still="the station inspects on")
        finally:
            self._wanted = False

    def pause_s(self, spent_s: float) -> float:
        """Return how long to rest after a probe that took `spent_s`."""
        least_s = (
            min(LEARNING_S, self._options.probe_interval_s) if self.proofs.learning else self._options.probe_interval_s
        )
        return max(least_s, spent_s * (1 / MOST_SHARE - 1))

    def probe(self, tile: Pixels, is_clean: bool) -> None:
        """Lay the next defect onto a tile, judge it, and count.

        Args:
            tile: (H, W) uint8, in which the station sees no defect.
            is_clean: It was judged clean, and so counts for how the picture is at first.

        Raises:
            WorkerError: The workers are gone.
        """
        proofs, rules = self.proofs, self._rules()
        proofs.begin(self._accepted())
        self._follow_coil()
        if is_clean:
            proofs.note_tile(tile)
        kind = proofs.next_kind()
        laid = lay_defect(tile, kind.label, kind.size_px, self._random, proofs.passage)
        found = self._finds(laid, rules)
        alone = found
        if proofs.learning and rules.reference is not None:
            alone = self._finds(laid, replace(rules, reference=None))
        proofs.add(kind, found, alone)
        self._show(kind, found)

    def _finds(self, tile: Pixels, rules: DecisionRules) -> bool:
        """Inspect a tile as a frame of its own, the one way from pixels to a verdict."""
        frame = Frame(tile, epoch=0, frame_id=0, captured_at=self._clock.now(), captured_mono_s=self._clock.monotonic(),
                      identity="probe", independent=True)  # fmt: skip
        inspection = inspect_frame(frame, self._classify, InspectRules(TilingRules(max(tile.shape)), rules))
        return any(is_found(verdict) for verdict in inspection.verdicts)

    def _show(self, kind: Kind, found: bool) -> None:
        metrics, (label, size) = self._metrics, (kind.label, str(kind.size_px))
        metrics.sensitivity_shown.labels(label, size).inc()
        metrics.sensitivity_found.labels(label, size).inc(found)
        if (ratio := self.proofs.ratio(kind)) is not None:
            metrics.sensitivity_ratio.labels(label, size).set(ratio)
        self.reason = self.proofs.reason(self._options.sensitivity_limit, self._options.sensitivity_probes)

    # --- Over a restart -------------------------------------------------------------------------------------------

    def _continue(self) -> None:
        text = self._notes.proofs()
        try:
            if text is not None:
                self.proofs.read(text)
        except ValueError as exc:
            _log.warning("probes_forgotten", reason=str(exc))
        for kind in self.proofs.kinds:
            if (ratio := self.proofs.ratio(kind)) is not None:
                self._metrics.sensitivity_ratio.labels(kind.label, str(kind.size_px)).set(ratio)
        self.reason = self.proofs.reason(self._options.sensitivity_limit, self._options.sensitivity_probes)

    def _follow_coil(self) -> None:
        """Count for the running coil; the figures of the one that ended are noted first."""
        coil = self._coils.current()
        if coil != self._coil:
            if self._coil[0] is not None:
                self._keep()
            self._coil = coil
            self.proofs.begin_coil(None if coil[0] is None else f"{coil[0]}@{coil[1]}")

    def _keep(self) -> None:
        self._kept_mono_s = self._clock.monotonic()
        coil_id, began_ms = self._coil
        try:
            self._notes.keep_proofs(self.proofs.text())
            if coil_id is not None:
                self._coils.note(began_ms, {"probes_shown": self.proofs.shown, "probes_found": self.proofs.found})
        except StoreBusyError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))


def open_prober(
    options: Teach, pool: WorkerPool, rules: RulesInForce, store: Store, clock: Clock, metrics: Metrics
) -> Prober:
    """Return what proves that a station with these workers and rules sees."""
    return Prober(
        options,
        pool,
        lambda: rules.now.inspect.decision,
        accepted=lambda: rules.now.taught.by_person,  # an upgrade that sees less must not lower its own bar
        store=store,
        clock=clock,
        metrics=metrics,
    )


def is_bare(verdict: Verdict) -> bool:
    """Whether a defect can be laid onto a tile of this verdict: nothing was found in it, not even a candidate."""
    return verdict.label in (CLEAN, UNKNOWN) and not verdict.candidate


def is_found(verdict: Verdict) -> bool:
    """Whether an operator would hear of it: a defect of any class, or something unlike the good surface.

    `unknown` is not enough: on a surface that the network does not know, every tile is.
    """
    return verdict.label not in (CLEAN, UNKNOWN)


def _under(pixels: Pixels, box: Box) -> Pixels:
    return pixels[box.y : box.bottom, box.x : box.right]
