"""`training.judge.clean_strip` and its grounds: what is quilted does not teach, and few metres prove little."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import training
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import SHIPPED, load_bundle
from inspector.settings.sections import Tiling
from training.int8.places import measured_sha256
from training.judge import clean_strip, detection
from training.judge.clean_strip import poisson
from training.tiles.clean_ground import CleanPicture, _cut, halves
from training.tiles.marked import MarkedFrame

RESULTS = Path(training.__file__).parent / "results"


def test_no_call_in_thirty_kilometres_proves_one_in_ten() -> None:
    """Without a call the one-sided bound is 3 over the length; with calls the interval holds what was seen."""
    assert poisson(0, 30_000)["upper_95"] == pytest.approx(0.999, abs=2e-3)
    assert poisson(0, 30_000)["per_10_km"] == 0
    seen = poisson(4, 10_000)
    assert [seen[key] for key in ("low", "per_10_km", "high")] == [1.09, 4.0, 10.242]


def test_what_is_quilted_does_not_teach() -> None:
    """The halves share no group, and hold all pictures."""
    pictures = [CleanPicture(np.zeros((128, 128), np.uint8), f"coil {number % 7}") for number in range(30)]
    quilted, teaching = halves(pictures)

    assert {each.group for each in quilted}.isdisjoint(each.group for each in teaching)
    assert len(quilted) + len(teaching) == 30


def test_stretches_keep_away_from_marks_and_black() -> None:
    """Of a frame with a mark and a black margin, only what is clear of both by some pixels is cut."""
    pixels, marks = np.full((128, 900), 90, np.uint8), np.zeros((128, 900), np.int32)
    marks[60:70, 400:420] = 1
    pixels[:, 800:] = 0
    cut = list(_cut(iter([MarkedFrame(pixels, "g", marks, ("dent",))])))

    assert [each.pixels.shape for each in cut] == [(128, 392), (128, 372)]
    assert all(each.pixels.min() == 90 for each in cut)


@pytest.mark.parametrize("name", ["clean-strip", "detection"])
def test_committed_figures_are_of_this_protocol(name: str) -> None:
    """What is committed was measured as the code measures today, of the shipped network, at the shipped default."""
    row = json.loads((RESULTS / f"{name}-neu-fast.json").read_text("utf-8"))
    bundle = load_bundle(SHIPPED / "neu-fast")
    protocol = {"clean-strip": clean_strip.PROTOCOL, "detection": detection.PROTOCOL}[name]

    assert row["protocol"] == protocol
    assert row["model_sha256"] == measured_sha256(bundle.model_path().read_bytes())
    assert row["overlap_px"] == TilingRules(bundle.card.tile_px, Tiling().overlap_px).overlap_of(still=False)
    assert row["command"].startswith(f"python -m training {name} ")
