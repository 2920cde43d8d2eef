"""The count of known defects that were shown and found: what is expected, and when it is too little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inspector.telemetry.proofs import FIRST_EACH, Kind, Proofs

LABELS = ("patches", "scratches")
SIZES = (16, 64)
Finds = Callable[[Kind], float]


def show(proofs: Proofs, count: int, finds: Finds, alone: Finds | None = None, seed: int = 1) -> None:
    """Lay `count` defects; each kind is found with its chance, with the reference and by the bundle alone."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        kind, chance = proofs.next_kind(), float(random.random())
        proofs.add(kind, chance < finds(kind), chance < (alone or finds)(kind))


def learned(finds: Finds) -> Proofs:
    proofs = Proofs(LABELS, SIZES)
    show(proofs, FIRST_EACH * len(proofs.kinds), finds)
    return proofs


def most(kind: Kind) -> float:
    return 0.9


def only_large(kind: Kind) -> float:
    return 0.9 if kind.size_px == 64 else 0.05


@pytest.mark.parametrize(
    ("first", "then", "reason"),
    [
        pytest.param(most, most, None, id="as at first"),
        pytest.param(most, lambda kind: 0.3, "(all)", id="all fall"),
        pytest.param(most, only_large, "(all)", id="the small ones fall, and carry all with them"),
        pytest.param(only_large, only_large, None, id="what was never found is no alarm"),
        pytest.param(only_large, lambda kind: 0.0, "(all)", id="never found, and now the others neither"),
        pytest.param(
            most, lambda kind: 0.9 - 0.7 * (kind == Kind("scratches", 16)), "known defects found (", id="one kind falls"
        ),
        pytest.param(lambda kind: 0.2, most, "by the bundle alone", id="a bundle that does not see"),
    ],
)
def test_too_little_is_judged_against_what_was_found_at_first(first: Finds, then: Finds, reason: str | None) -> None:
    """A reason names what is not found any more, how many of it, and how many were expected."""
    proofs = learned(first)
    show(proofs, 240, then, seed=2)
    given = proofs.reason(0.75, 20)

    assert (given is None) if reason is None else (given is not None and given.startswith("insensitive: "))
    assert reason is None or reason in str(given)


def test_nothing_is_judged_before_it_is_known_what_to_expect() -> None:
    """Nor on a handful of probes after that."""
    proofs = Proofs(LABELS, SIZES)
    show(proofs, FIRST_EACH * 4 - 1, lambda kind: 0.0)
    early, proofs = (proofs.learning, proofs.reason(0.75, 10)), learned(most)
    proofs.begin(None)
    show(proofs, 3, lambda kind: 0.0)

    assert early == (True, None)
    assert proofs.reason(0.75, 40) is None


def test_a_reference_that_calls_everything_good_is_seen() -> None:
    """What is expected is what the bundle alone finds: a wrong teach-in cannot lower its own bar."""
    proofs = Proofs(LABELS, SIZES)
    show(proofs, 120, lambda kind: 0.0, alone=most)

    assert "0 of 60 known defects found (all)" in str(proofs.reason(0.75, 40))


def test_a_new_acceptance_begins_anew_and_no_other_event_does() -> None:
    """What an engineer accepted is what to expect from then on; without a reference the first ones stay."""
    proofs = learned(most)
    proofs.begin(None)
    kept = proofs.learning
    proofs.begin("one")
    begun = proofs.learning
    show(proofs, FIRST_EACH * 4, most)
    proofs.begin("one")

    assert (kept, begun, proofs.learning) == (False, True, False)


def test_counts_of_a_coil_begin_with_it() -> None:
    """The record of a coil says how many defects were shown on it, and how many of them were found."""
    proofs = Proofs(LABELS, SIZES)
    proofs.begin_coil("A")
    show(proofs, 9, lambda kind: 1.0)
    proofs.begin_coil("A")
    first = proofs.shown, proofs.found
    proofs.begin_coil("B")
    show(proofs, 2, lambda kind: 0.0)

    assert first == (9, 9)
    assert (proofs.shown, proofs.found) == (2, 0)


def test_everything_is_there_after_a_restart() -> None:
    """Ratios, what to expect, whose turn it is, and the coil's counts; another bundle's labels begin for themselves."""
    proofs = learned(most)
    proofs.begin_coil("A")
    show(proofs, 50, only_large)
    again, other = Proofs(LABELS, SIZES), Proofs(("scratches", "crazing"), SIZES)
    again.read(proofs.text())
    other.read(proofs.text())

    assert again.text() == proofs.text()
    assert [again.ratio(kind) for kind in again.kinds] == [proofs.ratio(kind) for kind in proofs.kinds]
    assert again.reason(0.75, 20) == proofs.reason(0.75, 20) != None  # noqa: E711 - it is the one of before, and one
    assert other.ratio(Kind("scratches", 64)) == proofs.ratio(Kind("scratches", 64))
    assert other.ratio(Kind("crazing", 64)) is None
    assert other.learning


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "coil": 3}'])
def test_a_record_that_is_none_is_refused(text: str) -> None:
    """The station begins anew and says so; it is not ended by its own notes."""
    with pytest.raises(ValueError, match=r"."):
        Proofs(LABELS).read(text)
