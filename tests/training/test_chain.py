"""The whole chain on generated pictures: prepared, trained, interrupted, quantized, bundled, opened, measured."""

from __future__ import annotations

import errno
import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from fakes import killed
from pydantic import ValidationError

from inspector.box import Box
from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_input
from inspector.model.bundle import load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.interpreter import Int8Network
from inspector.model.pool import open_model
from training.bundle import provenance
from training.bundle.bundle import bundle_run
from training.data.dataset import Store
from training.data.folds import group_folds
from training.data.learned import picture_id, read_learned
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.errors import DataError, FoldError, GateError, RecipeError, WeightsError
from training.int8 import rounding, signoff
from training.int8.quantize import convert, parity
from training.int8.rounding import calibrate, follow, simulate_int8
from training.int8.unknown import LOGIT_GAIN, fit_feature_head, halves
from training.judge import crossval
from training.judge.crossval import cross_validate, fold_digest
from training.judge.evaluate import evaluate
from training.judge.explain import agreement, grad_cam
from training.judge.gallery import Gallery
from training.judge.report import write_report
from training.network import checkpoint
from training.network import train as training_run
from training.network.checkpoint import Rate, replace_weights, save_state
from training.network.course import Course, course_of
from training.network.feed import mask_of, preprocess_in_graph, shown_cells, stacked_input
from training.network.network import (
    build_network,
    float_input,
    fold_batch_norm,
    load_backbone,
    pointing_loss,
    set_trainable,
    with_map,
)
from training.network.predict import predict_tiles
from training.own import fine_tune, open_start
from training.recipe import CONFIGS, Recipe, load_recipe
from training.tiles.auxiliary import NOTHING
from training.tiles.tile_set import TileSet

SMALL = Recipe.model_validate(
    {
        "name": "small",
        "width": 0.35,
        "input_px": 64,
        "tiles": {
            "clean_quilted": 14, "clean_textures": 14, "cut": 14, "generated_defects": 14, "generated_clean": 14,
        },
        "stages": [
            {"epochs": 1, "learning_rate": 0.001, "input_px": 32},
            {"epochs": 1, "learning_rate": 0.001},
            {"epochs": 1, "learning_rate": 0.001, "train_from": "head"},
        ],
        "rounding": {"epochs": 0},
        "batch": 16,
        "pointing": 0.3,
    }
)  # fmt: skip


class Trained(NamedTuple):
    run: Path
    bundle: Path
    store: Store
    manifest: Manifest
    course: Course


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights whose BatchNorm knows its activations: without that, a deep random network gives all zeros."""
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV2(input_shape=(64, 64, 3), include_top=False, alpha=0.35, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    tiles = np.stack([to_input(draw_tile(label, seed, 200), 64) for label in (*KINDS, "clean") for seed in range(4)])
    network(np.repeat((tiles[..., None].astype(np.float32) - 128) / 128, 3, axis=-1), training=True)
    path = tmp_path_factory.mktemp("weights") / "random.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture(scope="session")
def trained(small_data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = Store(small_data)
    manifest = build_manifest(store)
    folder = tmp_path_factory.mktemp("runs")
    course = course_of(SMALL, store, manifest)
    names = {"data": manifest.sha256, "pictures": manifest.pictures_sha256}
    network = training_run.train(SMALL, course, folder / "run", weights, names)
    signoff.save(folder / "run", signoff.sign_off(network, course, SMALL, folder / "run"))
    with pytest.MonkeyPatch.context() as patch:  # as if these pictures were NEU's
        patch.setattr(provenance, "NEU_PICTURES", manifest.pictures_sha256)
        bundle_run(folder / "run", folder / "bundle", manifest, "9.9.9", None, gate=False)
    return Trained(folder / "run", folder / "bundle", store, manifest, course)


def test_the_bundle_opens_as_the_daemon_opens_it(trained: Trained) -> None:
    """Hashes, shapes, quantization and golden scores hold; the input takes pixels untouched."""
    loaded = load_bundle(trained.bundle)
    pool, golden = open_model(loaded, workers=1)
    pool.close()

    assert golden.agreement == "exact"
    assert loaded.card.labels[-1] == "clean"
    assert loaded.card.quantization["input"] == {"dtype": "uint8", "scale": 1 / 128, "zero_point": 128}
    assert set(loaded.card.main.outputs) == {"logits", "cam", "features"}
    assert loaded.distance is not None
    assert [space.name for space in loaded.card.unknown.spaces] == ["texture", "certainty"]
    assert "ask to be cited" in loaded.card.description


def test_the_class_activation_map_averages_to_the_logits(trained: Trained) -> None:
    """The int8 map's mean is the int8 logit to within the rounding of both, so the map explains the score."""
    tiles = [draw_tile(label, 7, 200) for label in ("scratches", "patches", "clean")]
    loaded = load_bundle(trained.bundle)
    outputs = Int8Network(loaded.model_path().read_bytes())(tiles)
    served = Classifier(loaded)(tiles).cam
    step = loaded.card.quantization["cam"]

    assert served is not None
    spread = float(np.abs(outputs["logits"]).max()) or 1.0
    assert np.abs(outputs["cam"].mean(axis=(1, 2)) - outputs["logits"]).max() < 0.15 * spread + 0.1
    assert np.allclose(outputs["cam"], (served.astype(float) - step["zero_point"]) * step["scale"])


def fine_network() -> tuple[Recipe, tuple[str, ...], Any]:
    """The shipped network with kernels that do not lie on the steps of int8, as after a training."""
    start = open_start(Path("neu-fast"))
    rng = np.random.default_rng(0)
    for layer in start.network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            kernel = layer.get_weights()[0]
            layer.set_weights([(kernel * rng.normal(1, 0.02, kernel.shape)).astype(np.float32)])
    return start.recipe, start.labels, start.network


def drawn_course(recipe: Recipe) -> tuple[list[Pixels], np.ndarray]:
    """Generated tiles, and as float input of a recipe."""
    tiles = [draw_tile(label, seed, 200) for label in (*KINDS, "clean") for seed in range(20, 26)]
    return tiles, float_input(stacked_input(tiles, recipe.input_px), recipe)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sqrt(((first - second) ** 2).mean()))


def test_simulated_int8_rounds_and_leaves_the_map_its_range() -> None:
    """Rounding changes what the network computes by a little, and clips no peak of the map to the logits' range."""
    recipe, _, network = fine_network()
    _, inputs = drawn_course(recipe)
    before = with_map(network).predict_on_batch(inputs)
    simulate_int8(network, calibrate(network, inputs))
    after = with_map(network).predict_on_batch(inputs)

    for name in ("logits", "cam"):
        spread = float(before[name].max() - before[name].min())
        assert 0 < difference(after[name], before[name]) < 0.03 * spread
        assert np.abs(after[name]).max() > 0.9 * np.abs(before[name]).max()
    widest = float(before["logits"].max() - before["logits"].min())
    assert np.abs(after["logits"] - before["logits"]).max() < 0.2 * widest
    assert np.abs(after["cam"]).max() > 1.2 * np.abs(after["logits"]).max()


def test_the_int8_file_computes_what_was_simulated(tmp_path: Path) -> None:
    """The file is nearer to the simulation than either is to the float network: ranges went into it as they are."""
    recipe, _, network = fine_network()
    tiles, inputs = drawn_course(recipe)
    floats, ranges = network.predict_on_batch(inputs), calibrate(network, inputs)
    head = fit_feature_head(halves(network, tiles, recipe), 249)
    file = Int8Network(convert(network, ranges, head, recipe, tiles, tmp_path))
    simulate_int8(network, ranges)
    simulated, ints = np.asarray(network(inputs, training=False)), file(tiles)
    simulated_halves = halves(network, tiles, recipe)

    assert not file.float_tensors
    assert set(ints) == {"logits", "cam", "features"}
    texture = [np.minimum(6 * each / reach, 6) for each, reach in zip(simulated_halves, head.reach, strict=True)]
    assert ints["features"].shape == (len(tiles), 64 + 112 + 7)
    assert np.abs(ints["features"][:, :-7] - np.hstack(texture)).max() < 0.2
    assert ints["features"].max() == pytest.approx(6, abs=1e-5)
    bent = np.clip(ints["logits"] * LOGIT_GAIN, 0, 1) * 6
    assert np.abs(ints["features"][:, -7:] - bent).max() < 6 / 255 + 1e-6
    assert difference(simulated, ints["logits"]) < 0.6 * difference(floats, ints["logits"])


def test_the_rounded_network_learns_to_follow_the_float_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few steps bring the rounded answers nearer, and an interrupted course goes on instead of beginning anew."""
    recipe, names, network = fine_network()
    recipe = recipe.changed(rounding={"epochs": 2, "learning_rate": 2e-4}, batch=6, augment={})
    tiles, inputs = drawn_course(recipe)
    labels = [label for label in (*KINDS, "clean") for _ in range(6)]
    course = TileSet.of(tiles * 2, labels * 2, "generated", [""] * 2 * len(tiles))
    floats = network.predict_on_batch(inputs)
    ranges = {name: (12 * low, 12 * high) for name, (low, high) in calibrate(network, inputs).items()}  # coarse steps

    def rounded(other: Any) -> float:
        twin = build_network(recipe, names, None)
        twin.set_weights(other.get_weights())
        simulate_int8(twin, ranges)
        return difference(floats, twin.predict_on_batch(inputs))

    before = rounded(network)
    followed = follow(network, course, names, recipe, ranges, tmp_path / "rounded")
    assert rounded(followed) < 0.9 * before

    def stopped(*state: Any) -> None:
        save_state(*state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rounding, "save_state", stopped)
        with pytest.raises(KeyboardInterrupt):
            follow(network, course, names, recipe, ranges, tmp_path / "stopped")
    capsys.readouterr()
    resumed = follow(network, course, names, recipe, ranges, tmp_path / "stopped")
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [["epoch", "2"]]
    assert rounded(resumed) < 0.9 * before

    state = json.loads((tmp_path / "rounded" / "progress.json").read_text())
    assert state["epoch"] == 2
    again = follow(network, course, names, recipe, ranges, tmp_path / "rounded")
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), followed.get_weights(), strict=True))
    with pytest.raises(RecipeError, match="holds the rounding of another network"):
        follow(followed, course, names, recipe, ranges, tmp_path / "rounded")


def test_a_recipe_of_another_version_is_read_without_what_this_one_does_not_have() -> None:
    """Fine-tuning starts from a bundle whose card names settings that are gone; a wrong value is still refused."""
    row = SMALL.model_dump() | {"forgotten": 1}
    row["stages"][0]["also_forgotten"] = True

    assert Recipe.of_another_version(row) == SMALL
    assert "forgotten" in row
    with pytest.raises(ValidationError, match="width"):
        Recipe.of_another_version(row | {"width": -1})


def test_the_pointing_loss_falls_as_the_map_peaks_inside_the_box() -> None:
    """A peak inside costs nothing, one outside much, and a tile whose places nobody knows nothing at all."""
    shown = np.zeros((3, 4, 4, 2), np.float32)
    shown[:2, 1, 2, 0] = 1
    cam = np.zeros((3, 4, 4, 2), np.float32)
    cam[0, 1, 2, 0] = cam[1, 3, 0, 0] = cam[2, 0, 0, 1] = 12
    inside, outside, unknown = np.asarray(pointing_loss(shown, cam))

    assert inside < 0.01 < 5 < outside
    assert unknown == 0


def test_marked_cells_are_shares_of_the_largest() -> None:
    """A box over one cell and half of the next gives 1 and 0.5; hardly a pixel gives nothing to learn from."""
    cells = shown_cells(mask_of([Box(50, 0, 75, 50)], (200, 200)), 4)

    assert cells[0].tolist() == [0, 1, pytest.approx(0.5, abs=0.02), 0]
    assert not cells[1:].any()
    assert not shown_cells(mask_of([Box(0, 0, 3, 3)], (200, 200)), 4).any()


def test_grad_cam_agrees_with_the_int8_map(tmp_path: Path) -> None:
    """On the shipped network, Grad-CAM of its float twin and the map of the int8 file show the same places.

    The map that Grad-CAM explains is the one of the last feature map; what `locate` adds in the shipped file tells
    places apart that Grad-CAM's cells do not, so that one agrees less when it is averaged over them.
    """
    start = open_start(Path("neu-fast"))
    tiles, inputs = drawn_course(start.recipe)
    head = fit_feature_head(halves(start.network, tiles, start.recipe), 249)
    plain = Int8Network(convert(start.network, calibrate(start.network, inputs), head, start.recipe, tiles, tmp_path))
    rows, finer_rows = [], []
    for label in ("scratches", "patches", "inclusion"):
        tile = draw_tile(label, 8, 200)
        index = start.labels.index(label)
        explained = grad_cam(start.network, start.recipe, tile, index)
        for network, agreed in ((plain, rows), (Int8Network(start.int8), finer_rows)):
            agreed.append(agreement(explained, network([tile])["cam"][0][:, :, index]))

    assert min(rows) > 0.9
    assert min(finer_rows) > 0.85


@pytest.mark.parametrize("side", [128, 200, 224])
@pytest.mark.parametrize("colour", [False, True])
def test_preprocessing_gives_the_same_bytes_everywhere(trained: Trained, side: int, colour: bool) -> None:
    """Alone, inside tf.data, and as the bundle's golden hashes were made in the daemon's path."""
    tile = draw_tile("patches", 3, 200)
    if colour:
        tile = np.ascontiguousarray(np.repeat(tile[:, :, None], 3, axis=2))

    assert to_input(tile, side).tobytes() == preprocess_in_graph(tile, side).tobytes()
    assert check_golden(Classifier(load_bundle(trained.bundle))).max_steps == 0


def test_the_rate_rises_again_where_a_stage_goes_on() -> None:
    """Adam begins anew there; as many steps later as at the beginning, the rate is what it would have been."""

    def rates(done: int) -> list[float]:
        rate, optimizer = Rate(1e-3, "cosine", 100, 4, done), SimpleNamespace(learning_rate=0.0)
        rate.set_model(SimpleNamespace(optimizer=optimizer))
        found = []
        for batch in range(400 - done):
            rate.on_train_batch_begin(batch)
            found.append(optimizer.learning_rate)
        return found

    whole, rest = rates(0), rates(200)

    assert whole[0] == pytest.approx(1e-3 / 50)
    assert rest[0] == pytest.approx(whole[200] / 50)
    assert rest[50:] == whole[250:]


def test_an_interrupted_run_goes_on_to_the_same_weights(trained: Trained, weights: Path, tmp_path: Path) -> None:
    """A run that was stopped after its second epoch ends with the history of one that was not."""
    shutil.copytree(trained.run, tmp_path / "run")
    first = SMALL.changed(stages=SMALL.stages[:2])
    training_run.train(first, trained.course, tmp_path / "short", weights, {"data": trained.manifest.sha256})
    rows = [json.loads(line) for line in (trained.run / "history.jsonl").read_text().splitlines()]

    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert not (trained.run / "best.weights.h5").exists()  # under a falling rate the last weights count
    for name in ("state.weights.h5", "progress.json"):
        shutil.copy(tmp_path / "short" / name, tmp_path / "run" / name)
    (tmp_path / "run" / "history.jsonl").unlink()
    training_run.train(SMALL, trained.course, tmp_path / "run", weights, {"data": trained.manifest.sha256})
    resumed = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in resumed] == [3]
    for name in (trained.run, tmp_path / "run"):
        network = build_network(SMALL, trained.course.labels, None)
        network.load_weights(name / "state.weights.h5")
        loaded = training_run.load_run(name)[2]
        assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), loaded.get_weights(), strict=True))


def test_a_run_of_another_configuration_is_refused(trained: Trained) -> None:
    """A checkpoint is never taken for another recipe's, or other data's."""
    with pytest.raises(RecipeError, match="another configuration, digest, recipe differ"):
        training_run.train(SMALL.changed(seed=2), trained.course, trained.run, None, {"data": trained.manifest.sha256})
    with pytest.raises(RecipeError, match="data differ"):
        training_run.train(SMALL, trained.course, trained.run, None, {"data": "other"})


def test_a_run_is_not_quantized_on_pictures_that_it_was_not_trained_on(trained: Trained) -> None:
    """Other data, or another mill's pictures where it had none, is an error that names the kind and both hashes."""
    training_run.refuse_other_data(trained.run, {"data": trained.manifest.sha256})
    with pytest.raises(RecipeError, match=f"other pictures: data {trained.manifest.sha256}, here other"):
        training_run.refuse_other_data(trained.run, {"data": "other"})
    with pytest.raises(RecipeError, match="other pictures: auxiliary None, here fba9"):
        training_run.refuse_other_data(trained.run, {"data": trained.manifest.sha256, "auxiliary": "fba9"})


def test_an_unfinished_run_cannot_be_bundled(trained: Trained, tmp_path: Path) -> None:
    """Quantizing a run that was interrupted says how far it came."""
    shutil.copytree(trained.run, tmp_path / "run")
    row = json.loads((tmp_path / "run" / "progress.json").read_text())
    (tmp_path / "run" / "progress.json").write_text(json.dumps(row | {"epoch": 1}))
    with pytest.raises(RecipeError, match="1 of 3 epochs"):
        training_run.load_run(tmp_path / "run")


def test_figures_of_another_model_never_get_into_a_card(trained: Trained, tmp_path: Path) -> None:
    """Results name the model they were measured on."""
    (tmp_path / "results.json").write_text(json.dumps({"model_sha256": "0" * 64, "bundle": "other"}))
    with pytest.raises(DataError, match="another model"):
        bundle_run(trained.run, tmp_path / "bundle", trained.manifest, "1", tmp_path / "results.json", gate=False)
    assert not (tmp_path / "bundle").exists()


def test_a_run_whose_int8_is_not_float_is_packed_only_when_asked(trained: Trained, tmp_path: Path) -> None:
    """The gate holds for `bundle` too; a card of a run packed all the same says why it was to be refused."""
    shutil.copytree(trained.run, tmp_path / "run")
    row = json.loads((tmp_path / "run" / "signoff.json").read_text())
    row["parity"] |= {"agreement": 1.0, "p99_shift": 0.5}
    (tmp_path / "run" / "signoff.json").write_text(json.dumps(row))

    with pytest.raises(GateError, match=r"99th percentile of the score shift is 0\.5"):
        bundle_run(tmp_path / "run", tmp_path / "bundle", trained.manifest, "1", None)
    assert not (tmp_path / "bundle").exists()
    card = bundle_run(tmp_path / "run", tmp_path / "bundle", trained.manifest, "1", None, gate=False)
    assert "99th percentile" in card.training["parity"]["refusal"]


def test_a_bundle_replaces_bundles_alone(trained: Trained, tmp_path: Path) -> None:
    """A folder of pictures, given by mistake, is left as it is; a bundle of before is replaced."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(b"a picture")
    with pytest.raises(DataError, match="pictures holds something else than a bundle"):
        bundle_run(trained.run, tmp_path / "pictures", trained.manifest, "1", None, gate=False)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["1.png"]

    for version in ("1", "2"):
        bundle_run(trained.run, tmp_path / "bundle", trained.manifest, version, None, gate=False)
    assert load_bundle(tmp_path / "bundle").card.version == "2"


def test_a_bundle_names_the_pictures_that_its_run_learned_from(trained: Trained, tmp_path: Path) -> None:
    """The manifest at hand may be another data set's: its hash never gets into the card."""
    other = Manifest(trained.manifest.pictures[1:], ())
    with pytest.raises(RecipeError, match="was trained on other pictures: data"):
        bundle_run(trained.run, tmp_path / "bundle", other, "1", None, gate=False)


def test_a_sign_off_that_was_cut_off_is_no_sign_off(trained: Trained, tmp_path: Path) -> None:
    """A new network beside the thresholds of the one before is refused by name."""
    shutil.copytree(trained.run, tmp_path / "run")
    (tmp_path / "run" / "model.tflite").write_bytes(b"a network that came after")
    with pytest.raises(DataError, match=r"model\.tflite: is not what signoff\.json was written for"):
        signoff.load(tmp_path / "run")
    (tmp_path / "run" / "signoff.json").unlink()
    with pytest.raises(DataError, match="not quantized"):
        signoff.load(tmp_path / "run")


def test_weights_are_not_begun_where_they_have_no_room(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 may end the process on a full disk, so the room is asked for first; what was there stays."""
    network = build_network(SMALL, trained.course.labels, None)
    replace_weights(network, tmp_path / "state.weights.h5")
    before = (tmp_path / "state.weights.h5").read_bytes()
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"no room for .* MB of weights") as raised:
        replace_weights(network, tmp_path / "state.weights.h5")

    assert raised.value.errno == errno.ENOSPC
    assert (tmp_path / "state.weights.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_bundle_is_refused(trained: Trained, tmp_path: Path) -> None:
    """One flipped bit in the network, and the daemon says which file."""
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    raw = bytearray((tmp_path / "bundle" / "model.tflite").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "bundle" / "model.tflite").write_bytes(raw)
    with pytest.raises(BundleError, match=r"model\.tflite"):
        load_bundle(tmp_path / "bundle")


def test_every_figure_is_measured_and_reported(trained: Trained, tmp_path: Path) -> None:
    """The results hold the keys that others read, and a page to look at is written."""
    gallery = Gallery()
    found = evaluate(load_bundle(trained.bundle), trained.manifest, trained.store, None, gallery=gallery, quick=True)
    page = write_report(tmp_path / "report", "small", found, gallery)

    assert found["official"]["correct"]["n"] == 24
    assert found["official"]["apart"]["n"] <= 24
    assert {"recall", "right_label", "ece"} <= set(found["line"])
    assert {"mean", "worst"} <= set(found["corruption"])
    assert "false_alarms_per_10000" in found["clean"]
    assert len(gallery.rooms["Test pictures that hurt most"]) == len(found["offenders"])
    assert all(html.escape(name) in page.read_text() for name in gallery.rooms)
    assert "<script" not in page.read_text()
    assert json.loads((tmp_path / "report" / "results.json").read_text())["model_sha256"] == found["model_sha256"]


def test_a_label_that_the_bundle_does_not_know_is_named_before_anything_is_measured(trained: Trained) -> None:
    """Own pictures with a new label cannot be measured on the shipped bundle."""
    pictures = tuple(replace(p, label="dent" if p.label == "patches" else p.label) for p in trained.manifest.pictures)
    told: list[str] = []
    with pytest.raises(DataError, match="does not know the label 'dent'"):
        evaluate(load_bundle(trained.bundle), Manifest(pictures, ()), trained.store, None, say=told.append)
    assert not told


def test_a_bundle_is_not_measured_on_what_it_has_learned(trained: Trained) -> None:
    """Two training pictures moved into the test split, and nothing is measured."""
    moved = [p.path for p in trained.manifest.pictures if picture_id(p) in read_learned(trained.bundle)][:2]
    pictures = tuple(replace(p, split="validation") if p.path in moved else p for p in trained.manifest.pictures)
    with pytest.raises(DataError, match=f"has learned from 2 of 26 test pictures, such as {moved[0]}"):
        evaluate(load_bundle(trained.bundle), Manifest(pictures, ()), trained.store, None)


def test_pictures_without_boxes_are_measured_but_for_the_line(trained: Trained) -> None:
    """A user's data set has no boxes: no strip can be composed, which is said, and the rest is measured."""
    bare = Manifest(tuple(replace(picture, boxes=()) for picture in trained.manifest.pictures), ())
    told: list[str] = []
    found = evaluate(load_bundle(trained.bundle), bare, trained.store, None, quick=True, say=told.append)

    assert found["official"]["correct"]["n"] == 24
    assert "line" not in found
    assert any("line benchmark left out" in text for text in told)


def test_a_bundle_gives_back_its_float_network() -> None:
    """The float network read from the shipped int8 file scores generated tiles as that file does."""
    start = open_start(Path("neu-fast"))
    tiles = [draw_tile(label, seed, 200) for label in start.labels for seed in range(4)]
    floats = predict_tiles(start.network, tiles, start.recipe)
    ints = Int8Network(start.int8)(tiles)["logits"]

    assert np.corrcoef(floats.ravel(), ints.ravel())[0, 1] > 0.98


def test_own_pictures_make_the_next_model(trained: Trained, tmp_path: Path) -> None:
    """A folder with a new label fine-tunes a bundle and is compared with it on the same held-out tiles."""
    for label, drawn in (("dent", "patches"), ("scratches", "scratches"), ("clean", "clean")):
        (tmp_path / "own" / label).mkdir(parents=True)
        for number in range(6):
            pixels = draw_tile(drawn, 500 + number, 200)
            cv2.imwrite(str(tmp_path / "own" / label / f"{label}_{number}.png"), pixels)
    store = Store(tmp_path / "own")
    tiles = {"generated_defects": 12, "clean_textures": 4, "cut": 4}  # of six labels, of which one is ours
    stages, rounding = [{"epochs": 2, "learning_rate": 0.001, "schedule": "constant"}], {"epochs": 1}
    recipe = SMALL.changed(name="own", tiles=tiles, stages=stages, rounding=rounding, batch=8)
    told = fine_tune(recipe, trained.bundle, store, build_manifest(store), tmp_path / "run")
    row = json.loads((tmp_path / "run" / "comparison.json").read_text())
    labels = json.loads((tmp_path / "run" / "run.json").read_text())["labels"]

    assert labels == ["dent", "scratches", "clean"]
    assert (tmp_path / "run" / "best.weights.h5").is_file()
    assert row["in_service"]["n"] == row["new"]["n"] == 2  # one picture each of clean and of scratches is held out
    assert (row["new_labels"], row["of_new_labels"]["n"]) == (["dent"], 1)
    assert row["lost_labels"] == sorted(set(KINDS) - {"scratches"})
    assert any(verdict in told for verdict in ("no difference is shown", "is better"))
    assert "newly named: dent" in told
    assert "NO LONGER NAMED, for want of pictures of them: crazing, inclusion" in told

    card = bundle_run(tmp_path / "run", tmp_path / "bundle", build_manifest(store), "1.0.0", None, gate=False)
    learned = read_learned(tmp_path / "bundle")
    assert len(learned) == len(read_learned(trained.bundle)) + len(build_manifest(store).pictures) - 3
    assert learned == read_learned(tmp_path / "run") > read_learned(trained.bundle) == read_learned(trained.run)
    assert "user's own pictures" in card.description
    assert "ask to be cited" in card.description
    roles = {row["name"]: row["role"] for row in card.data["sets"] if row["name"] != "generated strip of this product"}
    assert roles == {
        "the user's own pictures": "training",
        "NEU-DET": f"through {trained.bundle.name}, from which it was fine-tuned: training split",
    }


def test_pictures_of_one_surface_cannot_be_held_out(tmp_path: Path) -> None:
    """All views of a label overlap: the error says so before anything is trained."""
    for label, seed in (("a", 1), ("b", 2)):
        (tmp_path / label).mkdir()
        for number in range(3):
            pixels = draw_tile("crazing", seed if label == "a" else 10 * seed + number, 200)
            cv2.imwrite(str(tmp_path / label / f"{label}_{number}.png"), pixels)
    store = Store(tmp_path)
    with pytest.raises(DataError, match="all pictures of 'a' are views of one surface"):
        course_of(SMALL, store, build_manifest(store))


def test_the_grey_stem_is_the_colour_stem_on_grey(tmp_path: Path) -> None:
    """Summed over its channels, the stem gives on one channel what it gave on three equal ones."""
    colour = keras.applications.MobileNetV2(input_shape=(64, 64, 3), include_top=False, alpha=0.35, weights=None)
    grey = keras.applications.MobileNetV2(input_shape=(64, 64, 1), include_top=False, alpha=0.35, weights=None)
    colour.save_weights(tmp_path / "a.weights.h5")
    load_backbone(grey, 0.35, tmp_path / "a.weights.h5", grey=True)
    tile = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    wanted = np.asarray(colour(np.repeat(tile, 3, axis=-1), training=False))

    assert np.abs(np.asarray(grey(tile, training=False)) - wanted).max() < 1e-4


def test_batch_norm_statistics_stay_while_weights_learn() -> None:
    """Training moves kernels and leaves BatchNorm alone, whatever Keras is told about `training`."""
    network = build_network(SMALL, ("a", "b"), None)
    set_trainable(network, SMALL, "")
    network.compile(optimizer="adam", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    norm, kernel = network.get_layer("bn_Conv1"), network.get_layer("Conv1")
    before, kernels = [value.copy() for value in norm.get_weights()], kernel.get_weights()[0].copy()
    tiles = np.random.default_rng(0).uniform(-1, 1, (8, 64, 64, 1)).astype(np.float32)
    network.train_on_batch(tiles, np.eye(2, dtype=np.float32)[[0, 1] * 4])

    assert all(np.array_equal(a, b) for a, b in zip(before, norm.get_weights(), strict=True))
    assert not np.array_equal(kernels, kernel.get_weights()[0])


def test_folded_norms_change_neither_answers_nor_gradients(weights: Path) -> None:
    """Convolutions that do their norm's work answer and learn as before, to the last digits of float32."""
    network = build_network(SMALL, ("a", "b"), weights)
    set_trainable(network, SMALL, "")
    tiles = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 1)).astype(np.float32)

    def answers() -> tuple[np.ndarray, list[np.ndarray]]:
        with tf.GradientTape() as tape:
            logits = network(tiles, training=False)
            loss = tf.reduce_sum(logits**2)
        return logits.numpy(), [each.numpy() for each in tape.gradient(loss, network.trainable_variables)]

    logits, gradients = answers()
    fold_batch_norm(network)
    folded_logits, folded_gradients = answers()

    assert not any(isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in network.layers)
    assert np.abs(folded_logits - logits).max() < 1e-4 * np.abs(logits).max()
    assert len(gradients) == len(folded_gradients) == len(network.trainable_variables)
    for before, after in zip(gradients, folded_gradients, strict=True):
        assert np.abs(after - before).max() < 1e-3 * np.abs(before).max()


def test_wrong_weights_are_refused_by_name(tmp_path: Path) -> None:
    """A missing file, a file of something else, and another width are named."""
    with pytest.raises(WeightsError, match="no such file"):
        build_network(SMALL, ("a", "b"), tmp_path / "absent.weights.h5")
    (tmp_path / "text.weights.h5").write_text("text")
    with pytest.raises(WeightsError, match=r"text\.weights\.h5 is no MobileNetV2 of width 0\.35"):
        build_network(SMALL, ("a", "b"), tmp_path / "text.weights.h5")
    wide = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, alpha=0.5, weights=None)
    wide.save_weights(tmp_path / "wide.weights.h5")
    with pytest.raises(WeightsError, match=r"width 0\.35"):
        build_network(SMALL, ("a", "b"), tmp_path / "wide.weights.h5")


def test_the_parity_gate_counts_and_lists_what_differs() -> None:
    """One of 400 may differ, two may not; every larger shift is listed with its tile."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 0.1, (400, 2)) + np.eye(2)[rng.integers(0, 2, 400)] * 20
    wanted = ["ab"[i] for i in logits.argmax(axis=1)]
    names = [str(i) for i in range(400)]
    for flips, refused in ((0, False), (1, False), (2, True)):
        other = logits.copy()
        other[:flips] = other[:flips, ::-1]
        row = parity(logits, other, wanted, names, ("a", "b"))
        assert bool(row.refusal) is refused
        assert [entry["tile"] for entry in row.larger] == [str(i) for i in range(flips)]
        assert f"of 400 float names 400 rightly and int8 {400 - flips}; furthest apart: " in row.account
        assert row.account.count("int8 a, shift 1.0") + row.account.count("int8 b, shift 1.0") == flips


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_every_configuration_loads_and_states_its_command(path: Path) -> None:
    """A configuration says what it trains, what it costs, and how to run it."""
    recipe = load_recipe(path.stem.replace("_", "-"))
    text = path.read_text()

    assert recipe.name.replace("-", "_") == path.stem
    assert f"python -m training train {recipe.name} " in text
    assert "Cost:" in text
    assert "Claim:" in text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name = 'a'\nwidht = 1.0\n", "widht"),
        ("name = 'a'\nwidth = -1\ninput_px = 64\nstages = ({'epochs': 1, 'learning_rate': 1},)\n", "width"),
        ("name = \n", "not a configuration"),
        (
            "name = 'a'\nwidth = 1\ninput_px = 64\nstages = ({'epochs': 1, 'learning_rate': 1, 'input_px': 32},)\n",
            "the last one must run at input_px",
        ),
        ("import absent_module\n", "not a configuration"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    """The error names the file and the setting."""
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "a.py"))

    assert named in str(caught.value)
    assert "a.py" in str(caught.value)


def test_a_fold_is_trained_scored_and_kept(
    trained: Trained, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold for real: in its own process, every held-out picture scored, read and not run again the next time."""
    monkeypatch.chdir(tmp_path)  # runs go below the working directory
    options = {"folds": 3, "seeds": 1, "output": tmp_path, "only": (1,)}
    found = cross_validate(SMALL, trained.store, trained.manifest, weights, **options)
    row = json.loads((tmp_path / "crossval" / "small" / "seed-1-fold-1.json").read_text())
    held = [trained.manifest.pictures[i].name for i in list(group_folds(trained.manifest.pictures, 1, 3))[1][1]]
    monkeypatch.setattr(crossval, "run_fold", killed)

    assert row["pictures"] == held
    assert row["n"] == found["int8"]["n"] == len(held) == len(row["int8"])
    for kind in ("int8", "int8_four_looks"):
        assert row[f"{kind}_correct"] == sum(a == b for a, b in zip(row[kind], row["truth"], strict=True))
    assert cross_validate(SMALL, trained.store, trained.manifest, weights, **options)["int8"] == found["int8"]
    with pytest.raises(FoldError, match="finished folds are kept"):
        cross_validate(SMALL, trained.store, trained.manifest, weights, **{**options, "only": (0, 1)})
    assert [path.name for path in (tmp_path / "crossval" / "small").iterdir()] == ["seed-1-fold-1.json"]


def test_a_process_that_takes_one_fold_leaves_the_others_alone(trained: Trained, tmp_path: Path) -> None:
    """Folds that stand are summed up, those that are missing and somebody else's are neither run nor counted."""
    manifest = trained.manifest
    held = list(group_folds(manifest.pictures, 1, 3))[2][1]
    right = ["a"] * (len(held) - 1)
    tops = {"truth": [*right, "b"], "float": [*right, "b"], "int8": [*right, "a"]}
    row = {"labels": ["a", "b"], **tops, "pictures": [str(place) for place in held], "n": len(held), "seed": 1}
    row |= {"float_correct": len(held), "int8_correct": len(right), "disagreements": 1}
    row["digest"] = fold_digest(SMALL, manifest, NOTHING, 3, 1, 2)
    path = tmp_path / "crossval" / "small" / "seed-1-fold-2.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(row))
    found = cross_validate(SMALL, trained.store, manifest, None, folds=3, seeds=1, output=tmp_path, only=(2,))

    assert found["folds_done"] == 1
    assert found["int8"]["k"] == len(right)
    assert found["apart"]["int8"] == {"k": [len(right)], "n": [len(held)], "wilson95": found["int8"]["wilson95"]}
    assert json.loads((tmp_path / "crossval.json").read_text())["small"]["folds"] == 3
    assert [each.name for each in path.parent.iterdir()] == ["seed-1-fold-2.json"]

    fuller = {"small": {**found, "folds_done": 3}}
    (tmp_path / "crossval.json").write_text(json.dumps(fuller))
    cross_validate(SMALL, trained.store, manifest, None, folds=3, seeds=1, output=tmp_path, only=(2,))
    assert json.loads((tmp_path / "crossval.json").read_text())["small"]["folds_done"] == 3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"width": 4000}, "4000 x 200 px is more than one tile (250 px a side at most", id="frames"),
        pytest.param({"split": "validation"}, "none in a folder named train", id="nothing to train on"),
    ],
)
def test_pictures_that_nothing_can_be_learned_from_are_named(
    changes: dict[str, Any], named: str, trained: Trained
) -> None:
    """Whole frames would be squeezed into one tile, and held-out pictures are never learned from."""
    pictures = tuple(replace(picture, **changes) for picture in trained.manifest.pictures)
    with pytest.raises(DataError, match=re.escape(named)):
        course_of(SMALL, trained.store, Manifest(pictures, ()))
