"""`inspector.pipeline`: frames side by side, back in order, and what is measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fakes import LABELS, FakeClock, decision_rules, make_frame
from prometheus_client import CollectorRegistry

from inspector.classifier import Predictions
from inspector.frame import Pixels
from inspector.inspection import InspectRules
from inspector.metrics import Metrics
from inspector.pipeline import Dispatcher
from inspector.queues import FrameQueue
from inspector.tiling import TilingRules

SEVERITY: Any = {"crack": "critical", "hole": "major", "rust": "minor"}


def test_a_frame_that_is_looked_at_twice_is_measured_once(clock: FakeClock) -> None:
    """The stage `classify` has one observation a frame, the time of all its looks; a blank frame has none."""
    looks: list[int] = []

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        looks.append(len(tiles))
        clock.advance(0.25)
        logits = np.zeros((len(tiles), len(LABELS)))
        logits[:, LABELS.index("crack")] = 6.0
        return Predictions(logits)

    registry, items = CollectorRegistry(), FrameQueue(10)
    metrics = Metrics(registry, LABELS[:3], SEVERITY)
    rules = InspectRules(TilingRules(64), decision_rules(looks=4))
    dispatcher = Dispatcher(items, classify, rules, 1, clock, metrics)
    frames = [make_frame(0), make_frame(1, np.full((64, 64), 128, np.uint8)), make_frame(2)]
    for frame in frames:
        items.put(frame)
    dispatcher.drain()
    dispatcher.start()
    results = []
    while len(results) < len(frames):
        results += dispatcher.take(10, 30)

    def sample(suffix: str) -> float | None:
        return registry.get_sample_value(f"inspector_stage_duration_seconds_{suffix}", {"stage": "classify"})

    inspections = [result.outcome.result() for result in results]
    assert [inspection.decision for inspection in inspections] == ["crack", "clean", "crack"]
    assert looks == [1, 3, 1, 3]
    assert (sample("count"), sample("sum")) == (2, 1.0)
    assert dispatcher.progress_mono_s >= 1001.0


def test_every_look_at_a_frame_is_progress(clock: FakeClock) -> None:
    """A frame that takes longer than the watchdog waits is no stuck one, as long as its tiles come back."""
    seen: list[float] = []

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        seen.append(dispatcher.progress_mono_s)
        clock.advance(60.0)
        logits = np.zeros((len(tiles), len(LABELS)))
        logits[:, LABELS.index("crack")] = 6.0
        return Predictions(logits)

    items = FrameQueue(1)
    rules = InspectRules(TilingRules(64), decision_rules(looks=4))
    metrics = Metrics(CollectorRegistry(), LABELS[:3], SEVERITY)
    dispatcher = Dispatcher(items, classify, rules, 1, clock, metrics)
    items.put(make_frame(0))
    dispatcher.drain()
    begun = clock.monotonic()
    dispatcher.start()
    while not dispatcher.take(1, 30):
        pass

    assert seen == [begun, begun + 60.0]
