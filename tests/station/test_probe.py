"""The proof that a station sees, with the shipped network: what takes its sight away is reported, and nothing else is.

What is spoilt is the live tile, as light, lens or camera would; what is laid onto it follows by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeClock, PaintedClassifier, decision_rules, make_frame
from prometheus_client import CollectorRegistry
from references import small_card, small_reference

from inspector.drawn.laid import SIZES_PX
from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.predictions import Classify, Predictions
from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.rules import decision_rules as bundle_rules
from inspector.settings.sections import Teach
from inspector.station.probe import MOST_SHARE, Prober, is_bare, is_found
from inspector.store.store import Store
from inspector.teach.accepted import Accepted
from inspector.teach.card import REFIT_AT_START, Signature
from inspector.telemetry.health import Facts, HealthLimits, judge_health
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.proofs import FIRST_EACH, PRESENT_SIGHTS

SURFACE = [draw_tile("clean", seed) for seed in range(500, 512)]
SEVERITY: Any = dict.fromkeys(
    ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"), "minor"
)
MAKE_ANYTHING_GOOD = SiteReference("0" * 64, (PlaceSpace("map", np.zeros(1), np.eye(1), 1.0),), 1e9, 1e9)


@pytest.fixture(scope="module")
def score() -> Classify:
    network = Classifier(load_bundle(find_bundle("neu-fast")))

    def scored(tiles: Sequence[Pixels]) -> Predictions:
        return replace(network(tiles), maps={"map": np.zeros((len(tiles), 1, 1, 1), np.int8)})

    return scored


@pytest.fixture(scope="module")
def rules() -> DecisionRules:
    return bundle_rules(load_bundle(find_bundle("neu-fast")), {}, {}, 0.2)


@pytest.fixture
def shipped_metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, list(SEVERITY), SEVERITY)


@pytest.fixture(scope="module")
def taught(score: Classify, rules: DecisionRules, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a station has noted once it knows what to expect."""
    store = Store(tmp_path_factory.mktemp("taught"), FakeClock())
    prober = prober_of(store, score, rules, Metrics(CollectorRegistry(), list(SEVERITY), SEVERITY))
    probe(prober, FIRST_EACH * len(prober.proofs.kinds))
    store.close()
    assert not prober.proofs.learning
    return prober.proofs.text()


def prober_of(store: Store, score: Classify, rules: DecisionRules, metrics: Metrics) -> Prober:
    return Prober(Teach(), score, lambda: rules, accepted=lambda: None, store=store, clock=FakeClock(), metrics=metrics)


def probe(prober: Prober, count: int, spoil: Callable[[Pixels], Pixels] = lambda tile: tile) -> None:
    tiles = [spoil(tile) for tile in SURFACE]
    for number in range(count):
        prober.probe(tiles[number % len(tiles)], is_clean=True)


def seen_dimly(tile: Pixels) -> Pixels:
    return np.asarray(np.rint(tile * 0.2), np.uint8)


def out_of_focus(tile: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(tile, (0, 0), 4), np.uint8)


def through_dust(tile: Pixels) -> Pixels:
    return np.asarray(np.rint(cv2.GaussianBlur(tile, (0, 0), 2.5) * 0.35 + 45), np.uint8)


def by_another_camera(tile: Pixels) -> Pixels:
    """An eighth of the resolution, and less light."""
    small = cv2.resize(tile, (25, 25), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(cv2.resize(small, tile.shape[::-1], interpolation=cv2.INTER_LINEAR) * 0.4), np.uint8)


def as_it_was(tile: Pixels) -> Pixels:
    return tile


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("as it was", True),
        ("an aged lamp", False),
        ("no focus", False),
        ("dust", False),
        ("another camera", False),
        ("a wrong teach-in", False),
        ("a bad bundle", False),
    ],
)
def test_what_takes_the_sight_away_is_reported(
    name: str, sees: bool, score: Classify, rules: DecisionRules, taught: str, store: Store, shipped_metrics: Metrics
) -> None:
    """The ratio falls, and health is degraded with the reason; a station that sees as before stays ok."""
    spoil = {"an aged lamp": seen_dimly, "no focus": out_of_focus, "dust": through_dust,
             "another camera": by_another_camera}.get(name, as_it_was)  # fmt: skip
    bad = {"a wrong teach-in": replace(rules, reference=MAKE_ANYTHING_GOOD)}.get(name, rules)

    def blind(tiles: Sequence[Pixels]) -> Predictions:
        given = score(tiles)
        logits = given.logits.copy()
        logits[:, rules.labels.index("clean")] += 5
        return replace(given, logits=logits)

    prober = prober_of(store, blind if name == "a bad bundle" else score, bad, shipped_metrics)
    prober.proofs.read(taught)
    before = found_share(prober)
    probe(prober, PRESENT_SIGHTS + 110, spoil)
    state, reason = judge_health(Facts(started=True, insensitive=prober.reason), HealthLimits())

    assert (state == "ok") is sees
    assert reason is None if sees else str(reason).startswith("insensitive: ")
    assert (found_share(prober) > before - 0.1) is sees


def found_share(prober: Prober) -> float:
    ratios = [prober.proofs.ratio(kind) or 0.0 for kind in prober.proofs.kinds]
    return sum(ratios) / len(ratios)


def test_metrics_show_each_label_and_size(
    score: Classify, rules: DecisionRules, store: Store, shipped_metrics: Metrics, registry: CollectorRegistry
) -> None:
    """Every series is there from the start; a ratio is NaN until a defect of its kind was laid."""
    prober = prober_of(store, score, rules, shipped_metrics)
    name, kind = "inspector_sensitivity_ratio", {"class": "scratches", "size": "128"}
    before = registry.get_sample_value(name, kind)
    probe(prober, len(prober.proofs.kinds))
    shown = [
        registry.get_sample_value("inspector_sensitivity_shown_total", {"class": label, "size": str(size)})
        for label in SEVERITY
        for size in SIZES_PX
    ]
    found = registry.get_sample_value("inspector_sensitivity_found_total", kind)

    assert isnan(before or 0)
    assert shown == [1.0] * len(prober.proofs.kinds)
    assert registry.get_sample_value(name, kind) == found


def test_a_coils_record_says_how_many_were_shown_and_found(
    score: Classify, rules: DecisionRules, store: Store, shipped_metrics: Metrics
) -> None:
    """Its figures are with it in the store once the next one runs, and a restart in between keeps them."""
    store.coils.change("A", 1000)
    prober = prober_of(store, score, rules, shipped_metrics)
    prober.start()
    probe(prober, 4)
    prober.stop(5)
    again = prober_of(store, score, rules, shipped_metrics)
    again.start()
    probe(again, 3)
    running = again.of_coil()
    store.coils.change("B", 2000)
    probe(again, 1)
    again.stop(5)
    newer, older = store.coils.recent(2)

    assert running is not None
    assert running[0] == 7
    assert older.facts["probes_shown"] == 7
    assert 0 <= older.facts["probes_found"] <= 7
    assert newer.facts["probes_shown"] == 1


@pytest.fixture
def painted(store: Store, shipped_metrics: Metrics) -> Iterator[Prober]:
    """A prober on its thread, that judges by grey values and probes at once."""
    options = Teach(probe_interval_s=0.01)
    prober = Prober(
        options, PaintedClassifier(), decision_rules, accepted=lambda: None, store=store, clock=FakeClock(),
        metrics=shipped_metrics,
    )  # fmt: skip
    prober.start()
    yield prober
    prober.stop(5)


def test_a_probe_is_a_shadow(painted: Prober, shipped_metrics: Metrics, registry: CollectorRegistry) -> None:
    """The frame's pixels stay as they are, and no tile, frame or defect is counted."""
    pixels = np.random.default_rng(0).integers(60, 190, (64, 128)).astype(np.uint8)
    pixels[32, 32::64] = 123  # clean, as the classifier reads it
    frame = make_frame(pixels=pixels)
    before, done = frame.pixels.copy(), threading.Event()
    add = painted.proofs.add
    painted.proofs.add = lambda *given: (add(*given), done.set())  # type: ignore[method-assign, assignment, func-returns-value]
    inspection = inspect_frame(frame, PaintedClassifier(), InspectRules(TilingRules(64), decision_rules()))
    for _ in range(500):
        painted.offer(inspection)
        if done.wait(0.01):
            break

    assert done.is_set()
    assert np.array_equal(before, frame.pixels)
    for label in (*SEVERITY, "clean", "unknown"):
        assert registry.get_sample_value("inspector_tiles_total", {"verdict": label}) == 0
    assert registry.get_sample_value("inspector_defects_total", {"label": "patches", "severity": "minor"}) == 0


def test_probes_take_a_hundredth_of_the_time(
    score: Classify, rules: DecisionRules, taught: str, store: Store, shipped_metrics: Metrics
) -> None:
    """However slow the workers are, the rest between two probes is as long as that needs."""
    prober = prober_of(store, score, rules, shipped_metrics)
    learning = prober.pause_s(0.001)
    prober.proofs.read(taught)

    for spent_s in (0.001, 0.02, 0.2, 3.0):
        assert spent_s / (spent_s + prober.pause_s(spent_s)) <= MOST_SHARE * 1.0001
    assert learning < prober.pause_s(0.001) == Teach().probe_interval_s


@pytest.mark.parametrize(
    ("label", "candidate", "bare", "found"),
    [
        ("clean", False, True, False),
        ("unknown", False, True, False),
        ("unknown", True, False, False),
        ("patches", False, False, True),
        ("unclassified", False, False, True),
    ],
)
def test_what_counts(label: str, candidate: bool, bare: bool, found: bool) -> None:
    """A defect is laid where nothing was found, and is found if an operator would hear of it."""
    verdict = Verdict(label, 0.6, "patches", "clean", 0.1, candidate)

    assert (is_bare(verdict), is_found(verdict)) == (bare, found)


def test_probes_can_be_switched_off(
    score: Classify, rules: DecisionRules, store: Store, shipped_metrics: Metrics
) -> None:
    """With an interval of 0 no thread runs, no tile is taken, and a coil has no figures."""
    prober = Prober(
        Teach(probe_interval_s=0), score, lambda: rules, accepted=lambda: None, store=store, clock=FakeClock(),
        metrics=shipped_metrics,
    )  # fmt: skip
    prober.start()
    prober.stop(1)

    assert prober.of_coil() is None
    assert "probe" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(("by", "begins_anew"), [("somebody", True), (REFIT_AT_START, False)])
def test_only_a_person_lowers_what_is_expected(by: str, begins_anew: bool) -> None:
    """A reference that is fitted anew by itself, for a new bundle, is no acceptance: the bundle must see as well."""
    card = small_card(accepted=Signature(by=by, at="2026-11-30T12:00:00.000Z"))
    taught = Accepted(small_reference(), card)

    assert (taught.by_person == taught.name) is begins_anew
    assert (taught.by_person is None) is not begins_anew
    assert Accepted().by_person is None
