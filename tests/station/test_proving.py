"""`inspector.station.proving`: what stands behind a reference while it decides, and what is said of it."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import NOON, still
from references import fake_bundle, leave_candidate
from teaching_bench import WHO, Bench, MakeBench

from inspector.messages import DefectMessage
from inspector.station.proving import Proof, poisson_upper, read_proof
from inspector.store.entries import Entry
from inspector.store.reviews import Review
from inspector.teach.files import accept
from inspector.track.operators import OperatorState, Shelf
from inspector.track.state import TrackState
from inspector.track.track import track


@pytest.mark.parametrize(("seen", "limit"), [(0, 2.9957), (1, 4.7439), (10, 16.9622), (1000, 1053.6031)])
def test_the_bound_is_that_of_a_poisson_count(seen: int, limit: float) -> None:
    """Zero calls leave three possible (the rule of three), more leave the upper 95 % limit."""
    assert poisson_upper(seen) == pytest.approx(limit, rel=1e-4)


@pytest.mark.parametrize(
    ("proof", "text"),
    [
        (Proof("r", "t"), "nothing was inspected under it yet"),
        (Proof("r", "t", pictures=3000), "0 calls in 3000 pictures: at most 0.999 in 1,000 (95 %)"),
        (
            Proof("r", "t", 10_000.0, 50, 150, 3, 2),
            "3 calls, 2 of them defects, on 10.000 km: at most 0.474 a km (95 %)",
        ),
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


def test_calls_are_alarms_and_what_only_the_limiter_the_mode_or_a_shelf_held_back(bench: Bench) -> None:
    """A defect below the least severity, or short of N of M, is none."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    counted = []
    shelf = Shelf("id", "rust", None, None, "ann", None, NOON, NOON + timedelta(hours=1))
    nothing, shelved = TrackState(), TrackState(operators=OperatorState((shelf,)))
    for state, changes in (
        (nothing, {}), (nothing, {"mode": "observe"}), (nothing, {"alarm_limit": 0}), (shelved, {}),
        (nothing, {"alarm_min_severity": "critical"}),
    ):  # fmt: skip
        rules = replace(bench.rules.now.track, **changes)
        _, drafts = track(state, still(1, "rust"), rules)
        bodies = [draft.body for draft in drafts]
        firsts = {draft.body.id for draft in drafts if draft.picture is not None}
        before = bench.teaching.proving.proof
        bench.teaching.see(bodies, firsts, [])
        after = bench.teaching.proving.proof
        assert before is not None
        assert after is not None
        counted.append(after.calls - before.calls)

    assert counted == [1, 1, 1, 1, 0]


def test_a_call_that_a_person_found_to_be_a_defect_is_not_held_against_the_reference(bench: Bench) -> None:
    """By the last word on it; a false call, and what was called under another reference, change nothing."""
    leave_candidate(bench.folder)
    accept(bench.folder, fake_bundle(), WHO)
    bench.teaching.look()
    rules, other = bench.rules.now.track, replace(bench.rules.now.track, reference="0" * 12)
    found = []
    for number, under in ((1, rules), (2, rules), (3, rules), (4, other)):
        _, drafts = track(TrackState(), still(number, "rust"), under)
        bench.teaching.see([draft.body for draft in drafts], set(), [])
        bench.store.commit([Entry(drafts, {})], None)
        found.append(next(draft.body.defect_id for draft in drafts if isinstance(draft.body, DefectMessage)))
    said = []
    for defect_id, verdict in zip(
        (found[0], found[1], found[1], found[2], found[3]),
        ("confirmed", "false_call", "reclassified", "false_call", "confirmed"),
        strict=True,
    ):
        bench.store.reviews.add(Review(defect_id, 0, verdict))
        bench.teaching.look()
        proof = bench.teaching.proving.proof
        assert proof is not None
        said.append((proof.calls, proof.real, proof.false))

    assert said == [(3, 1, 2), (3, 1, 2), (3, 2, 1), (3, 2, 1), (3, 2, 1)]
    assert bench.metric("calls") == 1


def test_what_a_later_release_has_noted_is_no_reason_to_forget_the_rest() -> None:
    """A key that this one does not know is passed over; what is no proof is none."""
    assert read_proof('{"reference": "r", "since": "t", "calls": 2, "later": 1}') == Proof("r", "t", calls=2)
    assert [read_proof(text) for text in ("[]", "{}", "nothing")] == [None, None, None]
