"""What is committed under `training/results` and `inspector/bundles` says what others read from it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import training
from inspector.drawn.golden import choose_golden
from inspector.model.bundle import SHIPPED, load_bundle
from inspector.model.pool import open_model
from inspector.model.rules import decision_rules
from training.bundle.provenance import NEU_PICTURES
from training.configs import X_SDD
from training.data.dataset import NEU_LABELS, DataSet, find_pictures, load_pixels
from training.data.folds import held_out
from training.data.learned import picture_id, read_learned
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.int8.places import measured_sha256
from training.int8.quantize import MAX_P99_SHIFT
from training.judge.gallery import Gallery
from training.judge.measures import MeasuredModel, official
from training.judge.report import write_report
from training.tiles.mills import SURFACES

RESULTS = Path(training.__file__).parent / "results"
BUNDLES = sorted(path.parent.name for path in SHIPPED.glob("*/card.json"))
OPEN = {"open-fast": 236}
"""Bundles of pictures that anybody may use, and the pictures of X-SDD that they are tested on."""
X_SDD_LABELS = (
    "finishing roll printing", "iron sheet ash", "oxide scale of plate system", "oxide scale of temperature system",
    "red iron", "slag inclusion", "surface scratch",
)  # fmt: skip


@pytest.mark.parametrize("name", BUNDLES)
def test_a_shipped_bundle_is_small_whole_and_says_where_it_is_from(name: str) -> None:
    """Under 4 MB, labels in order, citation and licence stated, golden tiles from the generator alone."""
    loaded = load_bundle(SHIPPED / name)
    card = loaded.card

    assert sum(path.stat().st_size for path in (SHIPPED / name).iterdir()) < 4 * 2**20
    assert card.labels == (*(X_SDD_LABELS if name in OPEN else NEU_LABELS), "clean")
    assert ("no picture without a licence" if name in OPEN else "ask to be cited") in card.description
    assert card.data["manifest_sha256"]
    sets = {row["name"] for row in card.data["sets"]}
    assert sets <= {"generated strip of this product", X_SDD["source"]} | (set() if name in OPEN else {"NEU-DET"})
    assert all(row["licence"] == "Apache-2.0" for row in card.data["sets"] if name in OPEN)
    assert 20 <= len(loaded.golden.tiles) <= 24
    assert loaded.golden.tiles.shape[1:] == (card.tile_px, card.tile_px)
    pool, _ = open_model(loaded, workers=1)
    try:
        drawn = choose_golden(pool, decision_rules(loaded, {}, {}, 1.0), card.tile_px)
    finally:
        pool.close()
    assert np.array_equal(np.stack(drawn.tiles), loaded.golden.tiles)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("evaluate-*.json")), ids=lambda path: path.stem)
def test_results_hold_what_others_read(path: Path) -> None:
    """Each figure stands under its name, with command, commit, data and date."""
    row, name = json.loads(path.read_text()), path.stem.removeprefix("evaluate-")

    assert row["official"]["correct"]["n"] == OPEN.get(name, 360)
    if name not in OPEN:  # X-SDD marks no place, and has no clean picture
        assert row["clean"]["false_alarms_per_10000"] >= 0
        assert 0 <= row["line"]["recall"] <= 1
        assert 0 <= row["line"]["right_label"] <= 1
        assert 0 <= row["cam"]["pointing"] <= 1
        assert row["ece"] >= 0
    assert row["official"]["ece"] >= 0
    assert row["foreign"]
    assert 0 <= row["corruption"]["worst"] <= row["corruption"]["mean"] <= 1
    assert row["command"].startswith("python -m training evaluate")
    assert {"commit", "date", "data_manifest"} <= set(row["provenance"])


@pytest.mark.parametrize("name", BUNDLES)
def test_a_report_can_be_written_of_committed_results(name: str, tmp_path: Path) -> None:
    """Figures that were added later may be missing; how many published defects were real is there in any case."""
    results = json.loads((RESULTS / f"evaluate-{name}.json").read_text())
    page = write_report(tmp_path, name, results, Gallery()).read_text()

    if name in OPEN:
        correct = results["official"]["correct"]
        assert f"{correct['k']} of {correct['n']}" in page
        return
    precision = results["line"]["precision"]
    assert f"<td>line: published defects that lie at a drawn one</td><td>{precision['k']} of " in page


@pytest.mark.parametrize("path", sorted(RESULTS.glob("evaluate-*.json")), ids=lambda path: path.stem)
def test_results_are_of_the_model_that_ships(path: Path) -> None:
    """The figures are those of the committed network, not of one before it; it may hand out places since (`places`)."""
    name = path.stem.removeprefix("evaluate-")
    if name not in BUNDLES:
        pytest.skip(f"{name} is measured for comparison and does not ship")
    model = load_bundle(SHIPPED / name).model_path().read_bytes()

    assert json.loads(path.read_text())["model_sha256"] == measured_sha256(model)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("mills-*.json")), ids=lambda path: path.stem)
def test_what_teaching_is_worth_is_told_of_the_model_that_ships(path: Path) -> None:
    """Silence stands beside recall for each surface, with the command, and bounds that hold the share."""
    found = json.loads(path.read_text())
    model = load_bundle(SHIPPED / path.stem.removeprefix("mills-")).model_path().read_bytes()

    assert found["model_sha256"] == measured_sha256(model)
    assert found["command"].startswith("python -m training mills --data DATA")
    assert set(found["mills"]) <= set(SURFACES)
    for row in found["mills"].values():
        before, after = row["untaught"]["clean_tiles"], row["taught"]["clean_tiles"]
        assert after["alarm"]["k"] <= before["alarm"]["k"]
        assert {"alarm", "unknown", "unclassified", "called"} == set(row["taught"]["marked_tiles"])
        assert after["called"]["low"] <= after["called"]["share"] <= after["called"]["high"]
        assert row["tiles"]["clean_tiles"] == after["alarm"]["n"]


def test_the_pages_know_the_limit_of_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What README, docs and decision 0006 call over the limit is what `quantize` refuses."""
    scripts = RESULTS.parents[1] / "scripts"
    monkeypatch.syspath_prepend(scripts)
    names = runpy.run_path(str(scripts / "write_figures.py"))

    assert names["MAX_SHIFT"] == MAX_P99_SHIFT


def test_cross_validation_says_how_it_was_done() -> None:
    """Grouped folds, their number, both networks, and a bound."""
    path = RESULTS / "crossval.json"
    if not path.is_file():
        pytest.skip("no fold has been run yet: python -m training crossval neu-fast --output training/results")
    for row in json.loads(path.read_text()).values():
        assert row["grouped"] is True
        assert {"folds", "seeds", "folds_done", "command", "data_manifest", "recipe"} <= set(row)
        assert {"mean", "sd", "worst_fold", "worst_recall", "wilson95"} <= set(row["int8"])


@pytest.mark.data
@pytest.mark.parametrize("name", sorted({*BUNDLES} - {*OPEN}))
def test_a_shipped_bundle_scores_what_its_results_say(name: str, data_folder: Path) -> None:
    """The 360 official test pictures: at least 98 % by arg-max on this machine, as committed."""
    loaded = load_bundle(SHIPPED / name)
    data_set = DataSet(data_folder / "neu-det")
    everything = Manifest(tuple(find_pictures(data_set)), ())
    pictures = everything.split("validation")
    pool, _ = open_model(loaded, workers=2)
    try:
        found = dict(
            official(
                MeasuredModel(pool, decision_rules(loaded, {}, {}, 0.2)), pictures, load_pixels(data_set, pictures)
            )
        )
    finally:
        pool.close()

    assert everything.pictures_sha256 == NEU_PICTURES
    assert found["correct"]["n"] == 360
    assert found["accuracy"] >= 0.98
    learned = read_learned(SHIPPED / name)
    assert len(learned) == 1249  # of 1,440 an eighth was held out, and two are one file
    assert not learned & {picture_id(picture) for picture in pictures}


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(OPEN))
def test_an_open_bundle_scores_what_its_results_say(name: str, data_folder: Path) -> None:
    """The held-out surfaces of X-SDD, as committed, within a picture; it learned from none of them."""
    loaded = load_bundle(SHIPPED / name)
    data_set = DataSet(data_folder / "x-sdd" / "images")
    pictures = held_out(build_manifest(data_set), 4).split("validation")
    pool, _ = open_model(loaded, workers=2)
    try:
        found = dict(
            official(
                MeasuredModel(pool, decision_rules(loaded, {}, {}, 0.2)), pictures, load_pixels(data_set, pictures)
            )
        )
    finally:
        pool.close()
    told = json.loads((RESULTS / f"evaluate-{name}.json").read_text())["official"]["correct"]

    assert found["correct"]["n"] == told["n"] == OPEN[name]
    assert abs(found["correct"]["k"] - told["k"]) <= 1
    assert not read_learned(SHIPPED / name) & {picture_id(picture) for picture in pictures}
