"""`inspector.station.teaching`: another reference is put in force between two frames, a teach-in collects and fits."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import LABELS, FakeClock, decision_rules, inspected, make_frame, still, track_rules
from prometheus_client import CollectorRegistry
from references import fake_bundle, leave_candidate

from inspector.box import Box
from inspector.command_table import TeachCommand
from inspector.errors import LessonError
from inspector.inspection.one_frame import Inspection, InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.settings.sections import Teach
from inspector.station.dispatcher import Result
from inspector.station.in_force import Rules, RulesInForce
from inspector.station.overruled import OverruledSample
from inspector.station.proving import Proof, Proving, poisson_upper
from inspector.station.teach_fit import FitResult, read_answer
from inspector.station.teach_in_run import CREDIT_S, MAX_FITS, MOST_SHARE, SLICES, TeachInRun
from inspector.station.teaching import Teaching
from inspector.station.wiring import untaught_reason
from inspector.store.store import Store
from inspector.teach.accepted import Accepted, read_accepted
from inspector.teach.card import Signature
from inspector.teach.files import accept, undo
from inspector.teach.teach_in import TILES_FILE, TeachIn, read_teach_in
from inspector.telemetry.health import HealthBoard, State
from inspector.telemetry.metrics import Metrics
from inspector.track.state import TrackState
from inspector.track.track import track

WHO = Signature(by="somebody", at="2026-03-01T12:00:00.000Z")


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
            Proving(self.store.notes, self.clock, metrics, 0.5),
            OverruledSample(self.store.folder / "overruled", self.clock),
            clock=self.clock, metrics=metrics, changed=lambda: self.published.append(self.rules.now.taught.short),
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


@pytest.fixture
def make_bench(tmp_path: Path, clock: FakeClock) -> Iterator[MakeBench]:
    """Build the teaching of a station; another one of the same folder is the next process."""
    with closing(Store(tmp_path / "state", clock)) as store:
        yield lambda **changes: Bench(tmp_path / "state" / "reference", clock, store, CollectorRegistry(), **changes)


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    return make_bench()


# --- The reference in force -----------------------------------------------------------------------------------------


def test_an_accepted_reference_decides_without_a_restart(bench: Bench) -> None:
    """A candidate changes nothing; once accepted it decides, and rules, health, metrics and messages name it."""
    leave_candidate(bench.folder)
    bench.teaching.look()
    before = bench.rules.now.taught.short, bench.teaching.untaught
    stored = accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    now = bench.rules.now

    assert before == (None, "it observes and raises no alarm until it is taught its good surface: inspector teach")
    assert now.inspect.decision.reference is not None
    assert now.taught.short == now.track.reference == stored.reference.short == now.inspect.decision.reference.short
    assert bench.teaching.untaught is None
    assert bench.published == [stored.reference.short]
    assert bench.metric("info", reference=stored.reference.short) == 1
    assert bench.metric("accepted_timestamp_seconds") == 1772366400


def test_the_one_before_counts_again(bench: Bench) -> None:
    """`--undo` of the second brings the first back, `--undo` of the only one leaves the station untaught."""
    seen = []
    for threshold in (1.0, 1.5):
        leave_candidate(bench.folder, threshold)
        accept(bench.folder, fake_bundle(), WHO)
        bench.teaching.look()
        seen.append(bench.rules.now.taught.short)
    undo(bench.folder)
    bench.teaching.look()

    assert len(set(seen)) == 2
    assert bench.rules.now.taught.short == seen[0]


def test_a_damaged_reference_leaves_the_present_one_in_force(bench: Bench) -> None:
    """While it runs, a file that was cut exchanges nothing: the one in memory decides on, and health names the file."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    in_force = bench.rules.now.taught.short
    (bench.folder / "accepted" / "reference.json").write_bytes(b"{")
    bench.teaching.look()

    assert bench.rules.now.taught.short == in_force
    assert "reference.json" in str(bench.rules.now.taught.trouble)
    assert "stays in force" in str(bench.teaching.untaught)


@pytest.mark.parametrize("spoilt", ["reference.npz", "reference.json"])
def test_a_station_starts_untaught_on_a_damaged_reference(make_bench: MakeBench, spoilt: str) -> None:
    """Nothing keeps a station down: it runs untaught, and says which file is wrong."""
    first = make_bench()
    leave_candidate(first.folder)
    accept(first.folder, fake_bundle(), WHO)
    path = first.folder / "accepted" / spoilt
    path.write_bytes(path.read_bytes()[:-7])
    second = make_bench()

    assert second.rules.now.taught.reference is None
    assert spoilt in str(second.teaching.untaught)


def test_a_reference_of_another_bundle_is_refused_by_name(bench: Bench) -> None:
    """It decides nothing, and what would make it usable is known: a refit."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    accepted = read_accepted(bench.folder, fake_bundle("c" * 64))

    assert accepted.reference is None
    assert accepted.foreign
    assert "another bundle" in str(accepted.trouble)


# --- A teach-in -----------------------------------------------------------------------------------------------------


def test_a_teach_in_collects_fits_and_leaves_a_candidate(bench: Bench) -> None:
    """Frames of the minutes asked for are sampled, coil by coil; then one child fits, and its answer is kept."""
    said = bench.ask(action="start", minutes=10, false_calls_per_km=0.2, person="Ada")
    for number, coil in enumerate(("A", "B", "C")):
        bench.show(12, coil, first=100 * number)
        bench.clock.advance(10)
        bench.teaching.look()
    during = bench.teaching.progress
    bench.clock.advance(600)
    for _ in range(3):
        bench.teaching.look()
    fitting = bench.teaching.progress
    bench.fits[0].answer = FitResult("abc", "1 warning")
    bench.teaching.look()
    ended = read_teach_in(bench.folder)

    assert "until 2026-03-01T12:10:00.000Z" in said
    assert during is not None
    assert "108 tiles of 3 coils so far" in during
    assert fitting == "a teach-in fits 108 tiles of 3 coils"
    assert ended is not None
    assert (ended.state, ended.reference, ended.by, ended.false_calls_per_km) == ("candidate", "abc", "Ada", 0.2)
    assert len(bench.fits) == 1
    assert not (bench.folder / TILES_FILE).exists()


def test_health_says_how_far_a_teach_in_is(bench: Bench) -> None:
    """An untaught station says that it is being taught."""
    bench.ask(minutes=10)

    assert "a teach-in collects until 2026-03-01T12:10:00.000Z" in str(bench.teaching.untaught)


@pytest.mark.parametrize("state", ["blind", "paused"])
def test_a_station_that_does_not_see_teaches_nothing(bench: Bench, state: State) -> None:
    """Blind or paused it refuses by name, and no file is left."""
    bench.health.update(state, "why")
    with pytest.raises(LessonError, match=state):
        bench.ask()

    assert read_teach_in(bench.folder) is None


def test_two_teach_ins_at_once_are_refused(bench: Bench) -> None:
    """The second names the first, which goes on."""
    bench.ask(minutes=10)
    with pytest.raises(LessonError, match=r"collects until .*cancel it first"):
        bench.ask(minutes=99)

    assert bench.teaching.progress is not None


def test_a_disk_that_refuses_is_named(bench: Bench, tmp_path: Path) -> None:
    """A teach-in that cannot be written down does not begin."""
    bench.folder.parent.mkdir(parents=True, exist_ok=True)
    bench.folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(LessonError, match="reference"):
        bench.ask()

    assert bench.teaching.progress is None


def test_a_full_disk_is_named_before_it_begins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles and candidate need room; without it the teach-in is refused with both figures."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(LessonError, match=r"the disk is full: 0 MB are free, 0 MB are needed: /"):
        bench.ask()

    assert bench.teaching.progress is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"id": "x", "state": "collecting"}', b"\xff" * 70_000])
def test_a_spoilt_file_of_a_teach_in_is_none(make_bench: MakeBench, text: bytes) -> None:
    """Whatever lies there, the station starts, and another teach-in begins."""
    folder = make_bench().folder
    folder.mkdir(parents=True)
    (folder / "teach-in.json").write_bytes(text)
    bench = make_bench()
    bench.teaching.look()

    assert bench.teaching.progress is None
    assert "collects" in bench.ask(minutes=5)


def test_a_disk_that_fills_meanwhile_is_reported_and_the_teach_in_goes_on(bench: Bench) -> None:
    """Tiles that cannot be written are not kept, the file says why, and nothing is raised to the frames."""
    bench.ask(minutes=10)
    (bench.folder / TILES_FILE).mkdir()
    bench.show(3, "A")
    bench.teaching.look()
    trouble = bench.teaching.run.present and bench.teaching.run.present.trouble
    (bench.folder / TILES_FILE).rmdir()
    bench.show(3, "A", first=10)
    bench.clock.advance(6)
    bench.teaching.look()
    present = bench.teaching.run.present

    assert "directory" in str(trouble).lower()
    assert present is not None
    assert (present.trouble, present.tiles) == (None, 9)


def test_a_cancelled_teach_in_leaves_nothing(bench: Bench) -> None:
    """Its tiles are gone, its end is written down, and another may begin."""
    bench.ask(minutes=10)
    bench.show(3, "A")
    bench.teaching.look()
    bench.ask(action="cancel")
    bench.teaching.look()

    assert not (bench.folder / TILES_FILE).exists()
    assert "collects" in bench.ask(minutes=5)


@pytest.mark.parametrize("orderly", [True, False])
def test_a_teach_in_outlives_the_process(make_bench: MakeBench, orderly: bool) -> None:
    """After a stop or a kill the next process goes on with the tiles that there were, until the same moment."""
    first = make_bench()
    first.ask(minutes=10)
    first.show(12, "A")
    first.teaching.look()
    if orderly:
        first.teaching.run.stop()
    second = make_bench()
    second.show(12, "B", first=50)
    second.clock.advance(700)
    second.teaching.look()
    second.teaching.look()
    present = second.teaching.run.present

    assert present is not None
    assert (present.state, present.tiles, present.coils) == ("fitting", 72, 2)


def test_a_fit_that_ends_the_station_is_given_up(make_bench: MakeBench) -> None:
    """A station that the system ends for memory while it fits does not do so for ever."""
    first = make_bench()
    first.ask(minutes=1)
    first.clock.advance(61)
    first.teaching.look()
    for _ in range(MAX_FITS):
        bench = make_bench()
        bench.teaching.look()
        assert len(bench.fits) == 1
    last = make_bench()
    last.teaching.look()
    present = last.teaching.run.present

    assert last.fits == []
    assert present is not None
    assert present.state == "refused"
    assert "has ended 3 times" in str(present.text)


@pytest.mark.parametrize("independent", [pytest.param(True, id="stills"), pytest.param(False, id="a stream")])
def test_what_stands_for_a_coil_that_nobody_named(bench: Bench, independent: bool) -> None:
    """Pieces of time stand for coils, and it is known that they are none."""
    bench.ask(minutes=10)
    for number in range(12):
        bench.show(1, None, independent, first=number)
        bench.teaching.look()
        bench.clock.advance(50)
    bench.teaching.look()
    present = bench.teaching.run.present

    assert present is not None
    assert (present.coils, present.coils_known) == (SLICES, False)


def test_sampling_takes_its_share_of_the_time_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast frames come, sampling takes a hundredth of the time beyond its first credit; the rest passes."""
    bench.ask(minutes=10)
    bench.show(1, "A")
    bench.teaching.look()
    collector = bench.teaching.run._collector
    assert collector is not None
    take, taken = collector.take, [0]

    def slow(*values: object) -> None:
        taken[0] += 1
        bench.clock.advance(0.1)
        take(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(collector, "take", slow)
    for number in range(1, 60):
        bench.show(4, "A", first=10 * number)
        bench.teaching.look()
        bench.clock.advance(1.0)

    assert 0.1 * taken[0] <= CREDIT_S + 0.1 + MOST_SHARE * 66
    assert taken[0] > 3


def test_a_refused_lesson_keeps_its_reason(bench: Bench) -> None:
    """What the child refuses is written down; the station observes on."""
    bench.ask(minutes=1)
    bench.clock.advance(61)
    bench.teaching.look()
    bench.teaching.look()
    bench.fits[0].answer = FitResult(None, "at least 50 tiles of good surface are needed: 0")
    bench.teaching.look()
    present = bench.teaching.run.present

    assert present is not None
    assert present.summary == "the last teach-in: refused: at least 50 tiles of good surface are needed: 0"


def test_a_command_accepts_and_undoes(bench: Bench) -> None:
    """`cmd/teach` lets the candidate count under the name of who asked, and takes it back."""
    with pytest.raises(LessonError, match="no candidate"):
        bench.ask(action="accept")
    stored = leave_candidate(bench.folder)
    said = [bench.ask(action="accept", person="Ada")]
    bench.teaching.look()
    card = bench.rules.now.taught.card
    said.append(bench.ask(action="undo"))
    bench.teaching.look()

    assert card is not None
    assert card.accepted is not None
    assert card.accepted.by == "Ada"
    assert said == [f"reference {stored.reference.short} counts", "untaught again"]
    assert bench.rules.now.taught.reference is None


@pytest.mark.parametrize(
    ("answer", "code", "reference", "text"),
    [
        (b'{"reference": "abc", "text": "good"}\n', 0, "abc", "good"),
        (b'{"reference": null, "text": "too few"}\n', 0, None, "too few"),
        (b"", -9, None, "signal 9"),
        (b"Traceback\n", 1, None, "exit code 1"),
    ],
)
def test_what_a_child_leaves_is_read(answer: bytes, code: int, reference: str | None, text: str) -> None:
    """A child that dies has an answer, too: how it died."""
    result = read_answer(answer, code)

    assert result.reference == reference
    assert text in result.text


# --- Proving on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "limit"), [(0, 2.9957), (1, 4.7439), (10, 16.9622), (1000, 1053.6031)])
def test_the_bound_is_that_of_a_poisson_count(seen: int, limit: float) -> None:
    """Zero calls leave three possible (the rule of three), more leave the upper 95 % limit."""
    assert poisson_upper(seen) == pytest.approx(limit, rel=1e-4)


@pytest.mark.parametrize(
    ("proof", "text"),
    [
        (Proof("r", "t"), "nothing was inspected under it yet"),
        (Proof("r", "t", pictures=3000), "0 calls in 3000 pictures: at most 0.999 in 1,000 (95 %)"),
        (Proof("r", "t", 10_000.0, 50), "0 calls on 10.000 km: at most 0.3 a km (95 %)"),
    ],
)
def test_what_is_proven_is_said(proof: Proof, text: str) -> None:
    """By the km where the scale is known, else by the picture."""
    assert proof.text == text


def test_it_goes_on_proving_over_a_restart(make_bench: MakeBench) -> None:
    """Frames under the reference count from its acceptance on, in the store's notes; others do not."""
    first = make_bench()
    first.show(5)
    leave_candidate(first.folder)
    accept(first.folder, fake_bundle(), WHO)
    first.teaching.look()
    first.show(7)
    first.clock.advance(11)
    first.teaching.look()
    second = make_bench()
    second.show(3)
    second.clock.advance(11)
    second.teaching.look()

    assert second.teaching.proof_text == "0 calls in 10 pictures: at most 300 in 1,000 (95 %)"
    assert second.metric("inspected_pictures") == 10
    assert second.metric("calls_bound", unit="1000_pictures") == pytest.approx(299.57, rel=1e-3)
    assert math.isnan(second.metric("calls_bound", unit="km") or 0.0)
    assert json.loads(second.store.notes.reference_proof() or "")["pictures"] == 10


def test_a_new_reference_begins_to_prove_anew(bench: Bench) -> None:
    """What another one has proven is not its own."""
    for threshold in (1.0, 1.5):
        leave_candidate(bench.folder, threshold)
        accept(bench.folder, fake_bundle(), WHO)
        bench.teaching.look()
        bench.show(4)
    shutil.rmtree(bench.folder / "accepted")
    proof = bench.teaching.proving.proof
    bench.teaching.look()

    assert proof is not None
    assert proof.pictures == 4
    assert bench.teaching.proving.proof is None


def test_calls_are_alarms_and_what_only_the_limiter_held_back(bench: Bench) -> None:
    """A defect below the least severity, or short of N of M, is none."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    counted = []
    for changes in ({}, {"mode": "observe"}, {"alarm_limit": 0}, {"alarm_min_severity": "critical"}):
        rules = replace(bench.rules.now.track, **changes)
        _, drafts = track(TrackState(), still(1, "rust"), rules)
        bodies = [draft.body for draft in drafts]
        firsts = {draft.body.id for draft in drafts if draft.picture is not None}
        before = bench.teaching.proving.proof
        bench.teaching.see(bodies, firsts, [])
        after = bench.teaching.proving.proof
        assert before is not None
        assert after is not None
        counted.append(after.calls - before.calls)

    assert counted == [1, 1, 1, 0]
