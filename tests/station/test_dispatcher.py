"""`inspector.station.dispatcher` and `committer`: frames side by side, back in order, and what is measured of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fakes import (
    LABELS,
    STAMP,
    FakeClock,
    PaintedClassifier,
    ScriptedSource,
    decision_rules,
    make_frame,
    track_rules,
)
from prometheus_client import CollectorRegistry

from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.inspection.one_frame import Inspection, InspectRules
from inspector.inspection.predictions import Predictions
from inspector.inspection.tiling import TilingRules
from inspector.sources.queues import FrameQueue
from inspector.station.committer import Committer, CommitterOptions
from inspector.station.dispatcher import HURRY_S, Dispatcher, Result
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.inbox import Inbox
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

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
    dispatcher = Dispatcher(items, classify, RulesInForce(Rules(rules, track_rules())), 1, clock, metrics)
    frames = [make_frame(0), make_frame(1, np.full((64, 64), 128, np.uint8)), make_frame(2)]
    for frame in frames:
        items.put(frame)
    dispatcher.drain()
    dispatcher.start()
    results: list[Result] = []
    while len(results) < len(frames):
        results += dispatcher.take(10, 30)

    def sample(suffix: str) -> float | None:
        return registry.get_sample_value(f"inspector_stage_duration_seconds_{suffix}", {"stage": "classify"})

    inspections = [result.outcome.result() for result in results if not isinstance(result.outcome, Gap)]
    assert [inspection.decision for inspection in inspections] == ["crack", "clean", "crack"]
    assert looks == [1, 3, 1, 3]
    assert (sample("count"), sample("sum")) == (2, 1.0)
    assert dispatcher.progress_mono_s >= 1001.0


def test_a_live_source_that_loses_frames_is_inspected_in_a_hurry(clock: FakeClock) -> None:
    """For five seconds after a dropped frame, looks are bounded, and counted; then all are taken again."""

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        logits = np.zeros((len(tiles), len(LABELS)))
        logits[:, LABELS.index("crack")] = 6.0
        return Predictions(logits)

    registry, items = CollectorRegistry(), FrameQueue(10)
    rules = InspectRules(TilingRules(64), decision_rules(looks=4))
    metrics = Metrics(registry, LABELS[:3], SEVERITY)
    dispatcher = Dispatcher(items, classify, RulesInForce(Rules(rules, track_rules())), 1, clock, metrics)
    left_out: list[int] = []

    def inspect(*given: Frame | Gap) -> None:
        for item in given:
            items.put(item)
        results: list[Result] = []
        while len(results) < len(given):
            results += dispatcher.take(10, 30)
        for result in results:
            if not isinstance(result.outcome, Gap):
                left_out.append(result.outcome.result().looks_left_out)

    dispatcher.start()
    inspect(make_frame(0))
    inspect(Gap(Cause.DROPPED, clock.now(), clock.now(), 1, frames=1), make_frame(2))
    clock.advance(HURRY_S + 0.1)
    inspect(make_frame(3))
    dispatcher.drain()

    assert left_out == [0, 1, 0]
    assert registry.get_sample_value("inspector_looks_left_out_total") == 1


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
    dispatcher = Dispatcher(items, classify, RulesInForce(Rules(rules, track_rules())), 1, clock, metrics)
    items.put(make_frame(0))
    dispatcher.drain()
    begun = clock.monotonic()
    dispatcher.start()
    while not dispatcher.take(1, 30):
        pass

    assert seen == [begun, begun + 60.0]


def test_a_picture_outside_the_region_ends_nothing(tmp_path: Path, clock: FakeClock) -> None:
    """A picture that the polygon does not fit is refused with its size, and the next one is inspected."""
    items, registry = FrameQueue(10), CollectorRegistry()
    metrics = Metrics(registry, LABELS[:3], SEVERITY)
    rules = InspectRules(TilingRules(64, 0, ((100, 100), (190, 100), (190, 190))), decision_rules())
    sizes = (64, 200, 64)
    source = ScriptedSource(())
    for number, side in enumerate(sizes):
        pixels = np.random.default_rng(number).integers(60, 190, (side, side)).astype(np.uint8)
        items.put(make_frame(number, pixels, independent=True, source_key=f"{number}.jpg", file_stamp=STAMP))
    dispatcher = Dispatcher(items, PaintedClassifier(), RulesInForce(Rules(rules, track_rules())), 1, clock, metrics)
    with closing(Store(tmp_path, clock)) as store:
        committer = Committer(
            dispatcher, source, store, Inbox(clock), None, track_rules(), CommitterOptions(None, "b"), clock, metrics,
            lambda _: None,
        )  # fmt: skip
        dispatcher.drain()
        dispatcher.start()
        committer.start()
        assert committer.join(30)
        told = [json.loads(row.payload) for row in store.outbox.pending(0, 99) if row.topic == "frame"]
        refused = [(found := store.ledger.find(f"{number}.jpg")) and found.refused for number in range(3)]

    assert committer.failure is None
    assert [row["verdict"] == "not_inspected" for row in told] == refused == [True, False, True]
    assert (told[0]["reason"], told[0]["width_px"]) == ("unsupported", 64)
    assert told[0]["detail"].startswith("tiling.roi_xy has no pixel in the frame of 64x64: ")
    assert [isinstance(item, Gap) for item in source.finished] == refused
    assert registry.get_sample_value("inspector_frames_total", {"outcome": "unsupported"}) == 2


def test_a_frame_keeps_the_rules_that_it_was_taken_under(clock: FakeClock, metrics: Metrics) -> None:
    """Rules that are exchanged while a frame is inspected count from the next one on, in both pure functions."""
    items, rules = FrameQueue(10), InspectRules(TilingRules(64), decision_rules())
    strict = replace(rules, decision=replace(rules.decision, thresholds=dict.fromkeys(LABELS[:3], 1.0)))
    in_force = RulesInForce(Rules(rules, track_rules(reference="old")))
    begun, exchanged = threading.Event(), threading.Event()

    def classify(tiles: Sequence[Pixels]) -> Predictions:
        begun.set()
        assert exchanged.wait(30)
        return PaintedClassifier()(tiles)

    dispatcher = Dispatcher(items, classify, in_force, 1, clock, metrics)
    rust = np.random.default_rng(1).integers(100, 200, (64, 64)).astype(np.uint8) // 4 * 4 + LABELS.index("rust")
    items.put(make_frame(0, rust))
    dispatcher.start()
    assert begun.wait(30)
    in_force.now = Rules(strict, track_rules(reference="new"))
    exchanged.set()
    items.put(make_frame(1, rust))
    dispatcher.drain()
    results: list[Result] = []
    while len(results) < 2:
        results += dispatcher.take(1, 30.0)

    assert [result.track and result.track.reference for result in results] == ["old", "new"]
    outcomes = [result.wait() for result in results]
    assert [one.decision for one in outcomes if isinstance(one, Inspection)] == ["rust", "unknown"]
