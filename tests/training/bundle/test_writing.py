"""`training.bundle.bundle`: what is packed, what is refused, and what is never replaced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_run import Trained

from inspector.drawn.tiles import draw_tile
from inspector.errors import BundleError
from inspector.model.bundle import load_bundle
from inspector.model.classifier import Classifier
from inspector.model.interpreter import Int8Network
from inspector.model.pool import open_model
from training.bundle.bundle import bundle_run
from training.data.manifest import Manifest
from training.errors import DataError, GateError, RecipeError
from training.network import train as training_run


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
    row["parity"] |= {"tiles": 400, "agreement": 1.0, "p99_shift": 0.5}
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


def test_a_damaged_bundle_is_refused(trained: Trained, tmp_path: Path) -> None:
    """One flipped bit in the network, and the daemon says which file."""
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    raw = bytearray((tmp_path / "bundle" / "model.tflite").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "bundle" / "model.tflite").write_bytes(raw)
    with pytest.raises(BundleError, match=r"model\.tflite"):
        load_bundle(tmp_path / "bundle")


def test_the_bundle_opens_as_the_daemon_opens_it(trained: Trained) -> None:
    """Hashes, shapes, quantization and golden scores hold; the input takes pixels untouched."""
    loaded = load_bundle(trained.bundle)
    pool, golden = open_model(loaded, workers=1)
    pool.close()

    assert golden.agreement == "exact"
    assert loaded.card.labels[-1] == "clean"
    assert loaded.card.quantization["input"] == {"dtype": "uint8", "scale": 1 / 128, "zero_point": 128}
    assert set(loaded.card.main.outputs) == {"logits", "cam", "features", "map", "map_deep"}
    assert {"map", "map_deep"} <= set(loaded.card.quantization)
    assert loaded.distance is not None
    assert loaded.card.unknown is not None
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
