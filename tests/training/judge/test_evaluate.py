"""`training.judge.evaluate`: every figure, and what is not measured."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_run import Trained

from inspector.model.bundle import load_bundle
from training.data.learned import picture_id, read_learned
from training.data.manifest import Manifest
from training.errors import DataError
from training.judge import evaluate as measured
from training.judge.evaluate import evaluate
from training.judge.gallery import Gallery, Room
from training.judge.report import write_report


def test_every_figure_is_measured_and_reported(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results hold the keys that others read, and a page to look at is written."""
    monkeypatch.setattr(measured, "CLEAN_STRIPS", 20)  # two are quilted and inspected, beside those with defects
    monkeypatch.setattr(measured, "CLEAN_TILES", 200)
    gallery = Gallery()
    found = evaluate(load_bundle(trained.bundle), trained.manifest, trained.data_set, None, gallery=gallery, quick=True)
    page = write_report(tmp_path / "report", "small", found, gallery)

    assert found["official"]["correct"]["n"] == 24
    assert found["official"]["apart"]["n"] <= 24
    assert {"recall", "right_label", "ece"} <= set(found["line"])
    assert {"mean", "worst"} <= set(found["corruption"])
    assert "false_alarms_per_10000" in found["clean"]
    assert len(gallery.rooms[Room("Test pictures that hurt most")]) == len(found["offenders"])
    assert all(html.escape(room.text) in page.read_text() for room in gallery.rooms)
    assert "<script" not in page.read_text()
    assert json.loads((tmp_path / "report" / "results.json").read_text())["model_sha256"] == found["model_sha256"]


def test_a_label_that_the_bundle_does_not_know_is_named_before_anything_is_measured(trained: Trained) -> None:
    """Own pictures with a new label cannot be measured on the shipped bundle."""
    pictures = tuple(replace(p, label="dent" if p.label == "patches" else p.label) for p in trained.manifest.pictures)
    told: list[str] = []
    with pytest.raises(DataError, match="does not know the label 'dent'"):
        evaluate(load_bundle(trained.bundle), Manifest(pictures, ()), trained.data_set, None, say=told.append)
    assert not told


def test_a_bundle_is_not_measured_on_what_it_has_learned(trained: Trained) -> None:
    """Two training pictures moved into the test split, and nothing is measured."""
    moved = [p.path for p in trained.manifest.pictures if picture_id(p) in read_learned(trained.bundle)][:2]
    pictures = tuple(replace(p, split="validation") if p.path in moved else p for p in trained.manifest.pictures)
    with pytest.raises(DataError, match=f"has learned from 2 of 26 test pictures, such as {moved[0]}"):
        evaluate(load_bundle(trained.bundle), Manifest(pictures, ()), trained.data_set, None)


def test_pictures_without_boxes_are_measured_but_for_the_line(trained: Trained) -> None:
    """A user's data set has no boxes: no strip can be composed, which is said, and the rest is measured."""
    bare = Manifest(tuple(replace(picture, boxes=()) for picture in trained.manifest.pictures), ())
    told: list[str] = []
    found = evaluate(load_bundle(trained.bundle), bare, trained.data_set, None, quick=True, say=told.append)

    assert found["official"]["correct"]["n"] == 24
    assert "line" not in found
    assert any("line benchmark left out" in text for text in told)
