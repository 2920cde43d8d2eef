"""A station's teaching without its thread, with children that end when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from fakes import LABELS, FakeClock, decision_rules, inspected, make_frame, track_rules
from prometheus_client import CollectorRegistry
from references import fake_bundle

from inspector.box import Box
from inspector.command_table import TeachCommand
from inspector.inspection.one_frame import Inspection, InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.settings.sections import Teach
from inspector.station.dispatcher import Result
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.label_watch import LabelWatch
from inspector.station.overruled import OverruledSample
from inspector.station.proving import Proving
from inspector.station.teach_fit import FitResult
from inspector.station.teach_in_run import TeachInRun
from inspector.station.teaching import Teaching
from inspector.station.verified import VerifiedCalls
from inspector.station.wiring import untaught_reason
from inspector.store.store import Store
from inspector.teach.accepted import Accepted, read_accepted
from inspector.teach.card import Signature
from inspector.teach.teach_in import TeachIn
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import Metrics

WHO = Signature(by="somebody", at="2026-03-01T12:00:00.000Z")
"""Who accepts in tests."""


class FakeFit:
    """A child that ends when the test says so."""

    def __init__(self) -> None:
        self.answer: FitResult | None = None
        self.stopped = False

    def result(self) -> FitResult | None:
        return self.answer

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Bench:
    """A station's teaching without its thread: a test looks when it wants to."""

    folder: Path
    clock: FakeClock
    store: Store
    registry: CollectorRegistry
    teach: Teach = field(default_factory=Teach)
    fits: list[FakeFit] = field(default_factory=list)
    published: list[str | None] = field(default_factory=list)
    reloads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        metrics = Metrics(self.registry, LABELS[:3], {"crack": "critical", "hole": "major", "rust": "minor"})
        self.health = HealthBoard("s/l/n", self.clock)
        self.health.update("ok", None)
        base = InspectRules(TilingRules(64), decision_rules())

        def make(accepted: Accepted) -> Rules:
            inspect = replace(base, decision=replace(base.decision, reference=accepted.reference))
            return Rules(inspect, track_rules(reference=accepted.short), accepted)

        def fit(_: TeachIn) -> FakeFit:
            self.fits.append(FakeFit())
            return self.fits[-1]

        self.rules = RulesInForce(make(read_accepted(self.folder, fake_bundle())))
        self.teaching = Teaching(
            self.folder, fake_bundle(), self.rules, make,
            TeachInRun(self.folder, self.teach, 8, self.clock, self.health, fit),
            Proving(self.store.notes, self.clock, metrics, 0.5,
                    VerifiedCalls(self.store.reviews, self.store.records, track_rules().ids)),
            OverruledSample(self.store.folder / "overruled", self.clock),
            clock=self.clock, metrics=metrics,
            labels=LabelWatch(self.folder.parent / "labels", (), lambda: self.reloads.append("reload")),
            changed=lambda: self.published.append(self.rules.now.taught.short),
            untaught=lambda accepted: untaught_reason("auto", accepted),
        )  # fmt: skip

    def show(self, count: int, coil: str | None = None, independent: bool = False, first: int = 0) -> None:
        """Commit so many frames of three tiles each."""
        results = []
        for number in range(first, first + count):
            pixels = np.random.default_rng(number).integers(60, 190, (8, 24)).astype(np.uint8)
            frame = make_frame(number, pixels, independent=independent, captured_at=self.clock.now())
            boxes = (Box(0, 0, 8, 8), Box(8, 0, 8, 8), Box(16, 0, 8, 8))
            outcome = replace(inspected(frame), boxes=boxes)
            results.append((result_of(outcome, self.rules.now), coil))
        self.teaching.see([], set(), results)

    def ask(self, **values: object) -> str:
        return self.teaching.execute(TeachCommand.model_validate(values))

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"inspector_reference_{name}", labels)


def result_of(outcome: Inspection, rules: Rules) -> Result:
    """A result that waits for nothing."""
    future: Future[Inspection] = Future()
    future.set_result(outcome)
    return Result(outcome.frame, future, rules.track)


MakeBench = Callable[..., Bench]
