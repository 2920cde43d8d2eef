"""`inspector.station.refitting`: an upgrade leaves no station untaught, and never keeps one down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from references import fake_bundle, leave_candidate, small_card, small_reference, small_tiles

from inspector.model.golden import kernels_of
from inspector.settings.sections import Settings
from inspector.station import refitting
from inspector.station.refitting import needs_refit, open_taught
from inspector.station.teach_fit import FitResult
from inspector.station.wiring import OpenModel, with_reference
from inspector.teach.accepted import Accepted, read_accepted
from inspector.teach.card import Signature
from inspector.teach.files import accept, write_candidate

WHO = Signature(by="somebody", at="2026-03-01T12:00:00.000Z")


class FakeChild:
    """Does what the test says when it is asked for its result the second time."""

    def __init__(self, answer: Callable[[], FitResult | None]) -> None:
        self._answer = answer
        self._asked = 0
        self.stopped = False

    def result(self) -> FitResult | None:
        self._asked += 1
        return self._answer() if self._asked > 1 else None

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "station": {"site": "s", "line": "l", "name": "n"},
            "source": {"kind": "demo"},
            "store": {"path": str(tmp_path / "state")},
        }
    )


def foreign(tmp_path: Path, model: OpenModel) -> OpenModel:
    """A model whose station was taught with another bundle."""
    folder = tmp_path / "state" / "reference"
    leave_candidate(folder)
    accept(folder, fake_bundle(), WHO)
    taught = read_accepted(folder, model.bundle)
    return replace(model, taught=taught, rules=with_reference(model.rules, taught))


def opened(
    settings: Settings, model: OpenModel, clock: FakeClock, monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[], FitResult | None],
) -> tuple[OpenModel, list[FakeChild], int]:  # fmt: skip
    children, pings = list[FakeChild](), list[None]()

    def child(_: Any) -> FakeChild:
        children.append(FakeChild(answer))
        return children[-1]

    def alive() -> None:
        pings.append(None)
        clock.advance(1.0)

    monkeypatch.setattr(refitting, "open_bundle", lambda _: model)
    monkeypatch.setattr(refitting, "ChildFit", child)
    monkeypatch.setattr(refitting, "STEP_S", 0.001)
    return open_taught(settings, clock, alive), children, len(pings)


def test_a_reference_of_another_bundle_is_refitted_before_the_first_frame(
    tmp_path: Path, settings: Settings, model: OpenModel, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the child lets count decides from the first frame on; the watchdog is fed meanwhile."""
    before = foreign(tmp_path, model)

    def refit() -> FitResult:
        folder = tmp_path / "state" / "reference"
        card = small_card(bundle_sha256=model.bundle.fingerprint, kernels=kernels_of("none"))
        write_candidate(folder, card, small_reference(), small_tiles())
        stored = accept(folder, model.bundle, WHO)
        return FitResult(stored.reference.short, "as good as before", counts=True)

    after, children, pings = opened(settings, before, clock, monkeypatch, refit)

    assert before.taught.foreign
    assert after.taught.reference is not None
    assert after.rules.decision.reference is after.taught.reference
    assert (len(children), pings > 0) == (1, True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(FitResult(None, "the new one is worse"), "the new one is worse", id="worse"),
        pytest.param(None, "goes on beside the station", id="too slow"),
    ],
)
def test_a_refit_that_fails_keeps_no_station_down(
    tmp_path: Path, settings: Settings, model: OpenModel, clock: FakeClock, monkeypatch: pytest.MonkeyPatch,
    answer: FitResult | None, said: str,
) -> None:  # fmt: skip
    """It starts untaught, and health names both: the file, and what came of the refit."""
    after, children, _ = opened(settings, foreign(tmp_path, model), clock, monkeypatch, lambda: answer)

    assert after.taught.reference is None
    assert "another bundle" in str(after.taught.trouble)
    assert said in str(after.taught.trouble)
    assert not children[0].stopped


def test_what_fits_is_not_refitted(model: OpenModel) -> None:
    """Untaught, or taught with this bundle on this kind of machine: nothing to do; with other kernels there is."""
    mine, other = small_card(kernels=kernels_of(model.runtime)), small_card(kernels="another machine")
    cards = (Accepted(), Accepted(small_reference(), mine), Accepted(small_reference(), other))

    assert [needs_refit(replace(model, taught=taught)) for taught in cards] == [False, False, True]
