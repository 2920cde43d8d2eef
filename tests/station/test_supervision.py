"""`inspector.station.supervision`: what is dead, what is stuck, and what the station says of its health."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeClock
from prometheus_client import CollectorRegistry

from inspector.errors import InspectorError, SourceError, WorkerError
from inspector.model.bundle import find_bundle, load_bundle
from inspector.settings.source import AnySource, CameraOptions, DemoOptions
from inspector.station.disk_watch import DiskWatch
from inspector.station.pipeline import Pipeline
from inspector.station.supervision import (
    LOOKUP_S,
    RENEW_S,
    STUCK_AFTER_S,
    Part,
    Supervision,
    WorkMeter,
    find_stuck,
    health_facts,
    list_parts,
    prove_model,
    raise_failures,
)
from inspector.station.wiring import OpenModel
from inspector.telemetry.health import Facts, HealthBoard, HealthLimits, judge_health
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.notify import Notifier
from inspector.telemetry.pulse import Pulse

MakePipeline = Callable[..., Pipeline]


def part(name: str = "part", failure: BaseException | None = None, **values: Any) -> Part:
    return Part(name, lambda: failure, **values)


# --- Dead parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        pytest.param(SourceError("cam0: absent"), SourceError, "cam0: absent", id="an error of ours is passed on"),
        pytest.param(KeyError("x"), WorkerError, "the reader has died: KeyError('x')", id="any other names the part"),
    ],
)
def test_a_dead_part_ends_the_station(failure: BaseException, kind: type[InspectorError], text: str) -> None:
    """What ended a part's thread is raised; the first in the table speaks."""
    parts = (part("http"), part("reader", failure), part("last", WorkerError("later")))

    with pytest.raises(InspectorError) as raised:
        raise_failures(parts)
    assert (type(raised.value), str(raised.value)) == (kind, text)
    assert raised.value is failure or raised.value.__cause__ is failure


def test_parts_that_work_raise_nothing() -> None:
    """A table of healthy parts passes, an empty one too."""
    raise_failures((part(), part()))
    raise_failures(())


# --- Stuck parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(part(progress_mono_s=lambda: 970.0), [], id="within its patience"),
        pytest.param(part(progress_mono_s=lambda: 969.9), ["part"], id="beyond it"),
        pytest.param(part(progress_mono_s=lambda: 0.0, busy=lambda: False), [], id="with nothing to do"),
        pytest.param(part(progress_mono_s=lambda: 969.9, patience_s=90.0), [], id="more patience"),
        pytest.param(part(progress_mono_s=lambda: 909.9, patience_s=90.0), ["part"], id="and its end"),
        pytest.param(part(), [], id="it only waits for others"),
    ],
)
def test_stuck_is_busy_and_without_progress(one: Part, expected: list[str]) -> None:
    """A part is stuck when it has something to do and has not gone round for longer than its patience."""
    assert STUCK_AFTER_S == 30.0
    assert find_stuck([one], 1000.0) == expected


class Standing:
    """A sink, a listener or a housekeeping that stands as it is put."""

    def __init__(self, progress_mono_s: float = 1000.0) -> None:
        self.name = "mqtt"
        self.progress_mono_s = progress_mono_s
        self.failure: BaseException | None = None
        self.busy = True
        self.disk = DiskWatch(FakeClock())
        self.outbox, self.drops = SimpleNamespace(share=0.2), SimpleNamespace(share=0.1)


def stuck_after(
    pipeline: Pipeline, seconds: float, source: AnySource | None = None, sinks: Any = (), keeping: Any = None
) -> list[str]:
    """Names of the parts that are stuck when nothing has moved for so long; housekeeping moves where none is given."""
    keeping = keeping or Standing(1000.0 + seconds)
    parts = list_parts(source or DemoOptions(), pipeline, keeping, sinks, None)
    return find_stuck(parts, 1000.0 + seconds)


def test_the_committer_always_goes_round(make_pipeline: MakePipeline) -> None:
    """It looks around twice a second, so its silence alone is a fault; the dispatcher may have nothing to do."""
    pipeline = make_pipeline()
    pipeline.reader.ended = True

    assert stuck_after(pipeline, 30.0) == []
    assert stuck_after(pipeline, 30.1) == ["committer"]


def test_housekeeping_that_hangs_is_stuck(make_pipeline: MakePipeline) -> None:
    """A disk that does not let it finish its round is no longer hidden from systemd; between rounds it rests."""
    pipeline, keeping = make_pipeline(), Standing()

    assert "housekeeping" not in stuck_after(pipeline, 30.0, keeping=keeping)
    assert "housekeeping" in stuck_after(pipeline, 30.1, keeping=keeping)
    keeping.busy = False
    assert "housekeeping" not in stuck_after(pipeline, 30.1, keeping=keeping)


@pytest.mark.parametrize("state", ["ended", "waiting_to_put"])
def test_a_reader_with_nothing_to_do_is_not_stuck(make_pipeline: MakePipeline, state: str) -> None:
    """At the end of its source, or while the queue is full, nobody waits for the reader."""
    pipeline = make_pipeline()
    reading = stuck_after(pipeline, 500.0)
    setattr(pipeline.reader, state, True)

    assert (reading, stuck_after(pipeline, 500.0)) == (["source", "committer"], ["committer"])


@pytest.mark.parametrize(
    ("path", "patience_s"),
    [
        pytest.param("/dev/video0", STUCK_AFTER_S + 7 + 3, id="a device opens and reads"),
        pytest.param("rtsp://camera/1", STUCK_AFTER_S + 7 + 3 + LOOKUP_S, id="a name is looked up first"),
        pytest.param("http://camera/1", STUCK_AFTER_S + 7 + 3 + 1 + LOOKUP_S, id="a single picture has its interval"),
    ],
)
def test_a_source_has_the_time_that_it_was_given(make_pipeline: MakePipeline, path: str, patience_s: float) -> None:
    """A reader is stuck only beyond its own timeouts: the configured ones for opening and reading come on top."""
    source = CameraOptions(path=path, open_timeout_s=7, read_timeout_s=3)
    pipeline = make_pipeline()

    assert "source" not in stuck_after(pipeline, patience_s, source)
    assert "source" in stuck_after(pipeline, patience_s + 0.1, source)


def test_a_sink_may_look_up_a_name(make_pipeline: MakePipeline) -> None:
    """Name servers that do not answer are no stuck sink; without a sink there is none."""
    pipeline = make_pipeline()

    assert stuck_after(pipeline, 90.0, sinks=[Standing()]) == ["source", "committer"]
    assert stuck_after(pipeline, 90.1, sinks=[Standing()]) == ["source", "committer", "sink mqtt"]
    assert stuck_after(pipeline, 999.0) == ["source", "committer"]


def test_every_part_that_runs_can_fail(make_pipeline: MakePipeline) -> None:
    """Each thread with an owner of its own stands in the table once, under the name that the error has."""
    pipeline, keeping, sink, http = make_pipeline(), Standing(), Standing(), Standing()
    failing: dict[str, Any] = {
        "source": pipeline.reader,
        "inspection": pipeline.dispatcher,
        "committer": pipeline.committer,
        "housekeeping": keeping,
        "sink mqtt": sink,
        "HTTP listener": http,
    }
    unusual: Any = (keeping, [sink], http)
    parts = list_parts(DemoOptions(), pipeline, *unusual)
    said = []
    for owner in failing.values():
        owner.failure = RuntimeError()
        with pytest.raises(WorkerError) as raised:
            raise_failures(parts)
        said.append(str(raised.value))
        owner.failure = None

    assert said == [f"the {name} has died: RuntimeError()" for name in failing]


# --- Health -------------------------------------------------------------------------------------------------------


def facts_of(pipeline: Pipeline, now: float = 1000.0, keeping: Any = None) -> Facts:
    standing: Any = keeping or Standing()
    return health_facts(pipeline, standing, now, delivery_reason="broker: away")


def test_a_disk_that_hangs_blinds_within_two_seconds(make_pipeline: MakePipeline) -> None:
    """What hangs raises nothing: whoever waits for the disk for too long is believed, committer or housekeeping."""
    pipeline, keeping = make_pipeline(), Standing()
    found = [facts_of(pipeline, 1002.0, keeping).store_reason]
    for disk in (pipeline.committer.disk, keeping.disk):
        with disk.waiting_for("the store"):
            found += [facts_of(pipeline, now, keeping).store_reason for now in (1001.5, 1001.75, 1060.0)]
    found.append(facts_of(pipeline, 1060.0, keeping).store_reason)
    hung = [None, "the store has not answered for 2 s", "the store has not answered for 60 s"]

    assert found == [None, *hung, *hung, None]
    assert judge_health(Facts(True, store_reason=hung[1]), HealthLimits())[0] == "blind"


def test_facts_are_what_the_parts_know(make_pipeline: MakePipeline) -> None:
    """Reader and committer are asked as they stand; what the rest knows is handed through."""
    pipeline = make_pipeline("camera", "/dev/video9")
    reader, committer = pipeline.reader, pipeline.committer
    reader.started, reader.reason = True, "gone"
    committer.store_reason, tally = "full", committer.tally
    tally.missed_frames, tally.missed_cause = 3, "blank"
    tally.recent_unknown.extend([True, False, False, True, False])

    assert facts_of(pipeline, 1012.5) == Facts(
        started=True, source_reason="gone", source_ended=False, idle_s=12.5, missed_frames=3, missed_cause="blank",
        store_reason="full", delivery_reason="broker: away", outbox_share=0.2, unknown_share=0.4, recent_tiles=5,
        dropped_share=0.1, live=True,
    )  # fmt: skip


def test_work_that_is_left_is_no_idleness(make_pipeline: MakePipeline) -> None:
    """A source has not ended, and the station is not idle, while frames of it wait to be inspected."""
    pipeline = make_pipeline()
    pipeline.reader.ended = True
    rested = facts_of(pipeline, 1500.0)
    pipeline.dispatcher._results.append(object())  # type: ignore[arg-type]
    busy = facts_of(pipeline, 1500.0)

    assert (rested.source_ended, rested.idle_s) == (True, 500.0)
    assert (busy.source_ended, busy.idle_s) == (False, 0.0)


class Told(Notifier):
    """Notes what systemd hears."""

    def __init__(self) -> None:
        super().__init__({})
        self.fed = 0
        self.texts: list[str] = []

    def alive(self) -> None:
        self.fed += 1

    def status(self, text: str) -> None:
        self.texts.append(text)


class Watch:
    """A supervision with facts and parts that a test sets.

    Attributes:
        published: How often the retained health was to be published again.
    """

    def __init__(self, clock: FakeClock, metrics: Metrics) -> None:
        self.facts, self.progress_mono_s, self.failure = Facts(started=True), clock.mono_s, None
        self.notifier, self.published = Told(), 0
        parts = [Part("part", self._failure, lambda: self.progress_mono_s)]
        board = HealthBoard("s/l/n", clock)
        self.pulse = Pulse(board, clock)
        self.supervision = Supervision(
            parts,
            lambda _: self.facts,
            HealthLimits(),
            board,
            clock=clock,
            metrics=metrics,
            notifier=self.notifier,
            pulse=self.pulse,
            changed=self._publish,
        )

    failure: BaseException | None

    def _failure(self) -> BaseException | None:
        return self.failure

    def _publish(self) -> None:
        self.published += 1


@pytest.fixture
def watch(clock: FakeClock, metrics: Metrics) -> Watch:
    return Watch(clock, metrics)


def test_the_watchdog_is_fed_unless_a_part_is_stuck(watch: Watch, clock: FakeClock) -> None:
    """A stuck part is no longer hidden from systemd, and ends the heartbeat; one that moves again is forgiven."""
    watch.supervision.look()
    clock.advance(31)
    watch.supervision.look()
    stuck, silent = watch.notifier.fed, watch.pulse.beat()
    watch.progress_mono_s = clock.mono_s
    watch.supervision.look()

    assert (stuck, watch.notifier.fed) == (1, 2)
    assert silent is None
    assert watch.pulse.beat() is not None


def test_a_look_raises_what_has_died(watch: Watch) -> None:
    """A dead part ends the look before the watchdog is fed."""
    watch.failure = SourceError("gone for good")

    with pytest.raises(SourceError, match="gone for good"):
        watch.supervision.look()
    assert watch.notifier.fed == 0


def test_health_is_shown_when_it_changes_and_renewed(
    watch: Watch, clock: FakeClock, registry: CollectorRegistry
) -> None:
    """A change is shown at once, in all places; without one health is renewed before it loses its worth."""

    def looks(*steps: float) -> int:
        before = watch.published
        for step in steps:
            clock.advance(step)
            watch.progress_mono_s = clock.mono_s
            watch.supervision.look()
        return watch.published - before

    first = looks(0, 5, 5)
    renewed = looks(0.1, 5)
    watch.facts = replace(watch.facts, source_reason="gone")
    changed = looks(0.1, 5, 5)

    assert (first, renewed, changed) == (1, 1, 1)
    assert watch.notifier.texts == ["ok", "ok", "blind: source_down: gone"]
    assert registry.get_sample_value("inspector_health_state", {"state": "blind"}) == 1
    assert RENEW_S == 10.0


def test_health_is_shown_anew_after_a_reload_that_was_refused(watch: Watch, clock: FakeClock) -> None:
    """The status line of the refusal does not stay."""
    watch.supervision.look()
    watch.supervision.begin()
    watch.supervision.look()

    assert watch.notifier.texts == ["ok", "ok"]


# --- Work, and the proof ------------------------------------------------------------------------------------------


def test_work_is_counted_as_it_grows(
    make_pipeline: MakePipeline, model: OpenModel, metrics: Metrics, registry: CollectorRegistry, clock: FakeClock
) -> None:
    """Counters get what has come since the last look, of all workers; a wait that still lasts is in it."""
    meter = WorkMeter(model.pool, (pipeline := make_pipeline()).reader, metrics)

    def counted() -> tuple[float | None, ...]:
        meter.count()
        names = ("worker_busy_seconds_total", "source_wait_seconds_total")
        return tuple(registry.get_sample_value(f"inspector_{name}") for name in names)

    seen = [counted()]
    model.pool.busy_s[:] = [2.0]
    seen.append(counted())
    model.pool.busy_s[:] = [3.5]
    pipeline.reader._waited = (1.0, clock.mono_s)
    clock.advance(0.5)
    seen.append(counted())
    clock.advance(0.25)
    seen.append(counted())
    pipeline.reader._waited = (math.nextafter(1.75, 0), None)  # its end, rounded otherwise than while it lasted
    seen.append(counted())

    assert seen == [(0, 0), (2.0, 0), (3.5, 1.5), (3.5, 1.75), (3.5, 1.75)]


@pytest.mark.parametrize("broken", [False, True])
def test_the_model_is_proven_again(broken: bool) -> None:
    """Golden tiles that score otherwise than in training end the daemon: memory or processor cannot be trusted."""
    bundle = load_bundle(find_bundle("neu-fast"))
    if broken:
        bundle = replace(bundle, golden=replace(bundle.golden, logits=bundle.golden.logits[::-1].copy()))

    with pytest.raises(WorkerError, match="the self-test fails: ") if broken else nullcontext():
        prove_model(bundle, None)
