"""An accelerated soak: line streams through source, queue, workers, tracker and store of one process.

The classifier believes grey values; there is no network. Each point is a stream of 10,000 frames with a pipeline of its
own, as after a reload. Broker, real pictures and real time are other rows' matter.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from fakes import LABELS, PaintedClassifier, decision_rules, track_rules, write_bundle
from prometheus_client import CollectorRegistry

from inspector.clock import SystemClock
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import load_bundle
from inspector.model.golden import GoldenResult
from inspector.model.pool import WorkerPool
from inspector.settings.source import LinesOptions
from inspector.station.pipeline import Pipeline
from inspector.station.wiring import OpenModel
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from tests.faults.checker import unaccounted_frames, unaccounted_metres
from tests.faults.row import Plan, Point, Row

FRAMES, SIDE_PX = 10_000, 32
MM_PER_PX = 1.0
MB_PER_100_000 = 1.0
SETTLED = 10
"""Points before memory is compared: caches fill, and the store's page cache."""
WITHIN_S = 600.0


def _write_stream(path: Path, number: int, plan: Plan) -> None:
    """Write the lines of a stream: frames of clean strip, one in 500 with a defect's grey value in its middle."""
    rng = np.random.default_rng([plan.seed, number])
    lines = rng.integers(0, 2, (FRAMES * SIDE_PX, SIDE_PX), np.uint8) * 8 + 3 * len(LABELS) - 1
    clean = LABELS.index("clean")
    for frame in range(FRAMES):
        label = clean if frame % 500 else frame // 500 % len(LABELS)
        lines[frame * SIDE_PX + SIDE_PX // 2, SIDE_PX // 2] = 120 // len(LABELS) * len(LABELS) + label
    path.write_bytes(lines.tobytes())


def _used() -> tuple[float, int, int]:
    """Return memory in MB, open descriptors and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208


def _sum(registry: CollectorRegistry, name: str) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def _stream(path: Path, store: Store, model: OpenModel, planted: bool) -> list[str]:
    """Run one stream through a pipeline; returns what is not accounted for."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, [label for label in LABELS if label != "clean"], dict.fromkeys(LABELS, "minor"))
    options = LinesOptions(path=str(path), width_px=SIDE_PX, frame_lines=SIDE_PX, overlap_lines=0, mm_per_px=MM_PER_PX)
    pipeline = Pipeline(
        options, model, track_rules(mm_per_px=MM_PER_PX), store=store, evidence=None,
        clock=SystemClock(), metrics=metrics, committed=lambda _: None,
    )  # fmt: skip
    pipeline.start()
    pause, until_s = threading.Event(), time.monotonic() + WITHIN_S
    fed = FRAMES + planted  # planted: a frame that never was in the stream
    while time.monotonic() < until_s and sum(_sum(registry, "inspector_frames_total").values()) < FRAMES:
        pause.wait(0.05)
    pipeline.stop()
    frames = _sum(registry, "inspector_frames_total")
    metres = sum(_sum(registry, "inspector_strip_meters_total").values())
    inspected = int(frames.pop("inspected", 0))
    misses = []
    if left := unaccounted_frames(fed, inspected, int(sum(frames.values()))):
        misses.append(f"{left} frames are not accounted for: {inspected} inspected, {frames}")
    fed_m = fed * SIDE_PX * MM_PER_PX / 1000
    if (bare := unaccounted_metres((0.0, fed_m), [(0.0, metres)], [])) > 0.0005:
        misses.append(f"{bare:.3f} m are not accounted for of {fed_m:g}")
    return misses


def _run(plan: Plan) -> Iterator[Point]:
    bundle = load_bundle(write_bundle(plan.folder / "bundle"))
    pool = WorkerPool([PaintedClassifier()])
    model = OpenModel(
        bundle, pool, GoldenResult("exact", 0, 3), InspectRules(TilingRules(SIDE_PX), decision_rules()), "none"
    )
    first: tuple[float, int, int] | None = None
    store = Store(plan.folder / "state", SystemClock())
    path = plan.folder / "stream.gray"
    try:
        for at, number in enumerate(plan.points):
            _write_stream(path, number, plan)
            misses = _stream(path, store, model, plan.planted)
            used = _used()
            facts = {"frames": float(FRAMES), "max_mb": used[0], "max_descriptors": used[1], "max_threads": used[2]}
            if at == SETTLED:
                first = used
            if first is not None and number == plan.points[-1] and at > SETTLED:
                facts["max_mb_per_100_000_frames"] = (used[0] - first[0]) / (at - SETTLED) * 100_000 / FRAMES
                if facts["max_mb_per_100_000_frames"] > MB_PER_100_000:
                    misses.append(f"{facts['max_mb_per_100_000_frames']:.2f} MB more memory each 100,000 frames")
                if used[1] > first[1] or used[2] > first[2]:
                    misses.append(f"descriptors, threads: {first[1:]} at first, {used[1:]} at last")
            yield Point(number, tuple(misses), facts)
    finally:
        store.close()
        pool.close()


ROW = Row(
    fault=f"accelerated soak: n streams of {FRAMES:,} frames, a new pipeline each, one process, a stub classifier",
    figure="exact accounting of frames and metres; descriptors and threads flat; at most 1 MB per 100,000 frames",
    n=500,
    core=1,
    judges=("inspection", "track", "sources", "station", "store", "telemetry"),
    run=_run,
    raised=(f"memory is compared after the first {SETTLED} streams", "no broker; flaps and reloads are in other rows"),
)
