"""A pipeline without network and threads: its parts are there, and a test says how they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes import LABELS, FakeClock, PaintedClassifier, decision_rules, track_rules, write_bundle
from prometheus_client import CollectorRegistry
from teaching_bench import Bench, MakeBench

from inspector.inspection.one_frame import InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import load_bundle
from inspector.model.golden import GoldenResult
from inspector.model.pool import WorkerPool
from inspector.settings.source import SOURCE_KINDS, AnySource
from inspector.station.pipeline import Pipeline
from inspector.station.wiring import OpenModel
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics

SEVERITY: Any = {"crack": "critical", "hole": "major", "rust": "minor"}

MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, LABELS[:3], SEVERITY)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = Store(tmp_path / "state", clock)
    yield store
    store.close()


@pytest.fixture
def model(tmp_path: Path) -> Iterator[OpenModel]:
    """A bundle that no interpreter has loaded; its one worker believes the tiles' grey values."""
    pool = WorkerPool([PaintedClassifier()])
    rules = InspectRules(TilingRules(64), decision_rules())
    bundle = load_bundle(write_bundle(tmp_path / "bundle"))
    yield OpenModel(bundle, pool, GoldenResult("exact", 0, 3), rules, "none")
    pool.close()


@pytest.fixture
def make_pipeline(store: Store, model: OpenModel, clock: FakeClock, metrics: Metrics) -> MakePipeline:
    """Build the parts of a source that is away; none of them is started."""

    def make(kind: str = "lines", path: str = "unix:///nowhere/line.socket", **values: Any) -> Pipeline:
        changes = {"width_px": 200} if kind == "lines" else {}
        source: AnySource = SOURCE_KINDS[kind].model_validate({"kind": kind, "path": path, **changes, **values})
        return Pipeline(
            source,
            model,
            track_rules(),
            store=store,
            evidence=None,
            clock=clock,
            metrics=metrics,
            committed=lambda _: None,
        )

    return make


@pytest.fixture
def make_bench(tmp_path: Path, clock: FakeClock) -> Iterator[MakeBench]:
    """Build the teaching of a station; another one of the same folder is the next process."""
    with closing(Store(tmp_path / "state", clock)) as store:
        yield lambda **changes: Bench(tmp_path / "state" / "reference", clock, store, CollectorRegistry(), **changes)


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()
