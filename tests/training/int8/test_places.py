"""`training.int8.places`: a file hands out what its places look like, and stays the file that it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spoilt_bundles import TINY, copy_bundle, edit_bundle

from inspector.commands.card import prove_card
from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.model.bundle import SHIPPED, load_bundle
from inspector.model.classifier import PLACES as ROLES
from inspector.model.classifier import Classifier
from inspector.model.interpreter import Int8Network
from inspector.model.pool import open_model
from training.bundle.places import add_places
from training.errors import DataError
from training.int8.places import PLACES, measured_sha256, with_places, without_places

BUNDLES = sorted(path.parent.name for path in SHIPPED.glob("*/card.json"))
SHAPES = {
    "neu-fast": {"map": (8, 8, 32), "map_deep": (4, 4, 56)},
    "neu-224": {"map": (14, 14, 96), "map_deep": (7, 7, 160)},
    "open-fast": {"map": (8, 8, 32), "map_deep": (4, 4, 56)},
}


def shipped(name: str) -> bytes:
    return load_bundle(SHIPPED / name).model_path().read_bytes()


@pytest.mark.parametrize("name", BUNDLES)
def test_places_change_no_other_output(name: str) -> None:
    """Logits, features and cam are the same bits with the two outputs and without."""
    raw = shipped(name)
    tiles = [draw_tile(kind, seed, 200) for seed, kind in enumerate((*KINDS, "clean"))]
    before, after = (Int8Network(each).raw_outputs(tiles) for each in (without_places(raw), raw))

    assert set(after) - set(before) == set(PLACES) == set(ROLES)
    assert all(np.array_equal(values, after[output]) for output, values in before.items())


@pytest.mark.parametrize("name", BUNDLES)
def test_places_are_the_sums_of_their_blocks(name: str) -> None:
    """The file's own names say which tensors are handed out; they have a place's cells, and differ over a tile."""
    network = Int8Network(shipped(name))
    tensors = {each["index"]: each["name"] for each in network._interpreter.get_tensor_details()}
    raw = network.raw_outputs([draw_tile("scratches", 3, 200)])

    assert all(layer in tensors[network.outputs[output].index] for output, layer in PLACES.items())
    assert {output: raw[output].shape[1:] for output in PLACES} == SHAPES[name]
    assert all((np.ptp(raw[output], axis=(0, 1, 2)) > 0).mean() > 0.5 for output in PLACES)


@pytest.mark.parametrize("name", BUNDLES)
def test_the_file_of_before_is_in_it(name: str) -> None:
    """Giving and taking the outputs lead to the same bytes, and doing either twice to no others."""
    raw = shipped(name)
    before = without_places(raw)

    assert with_places(before) == with_places(raw) == raw
    assert without_places(before) == before
    assert len(raw) - len(before) < 256
    assert measured_sha256(raw) == measured_sha256(before)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param(b"", "not a file of TensorFlow Lite", id="nothing"),
        pytest.param(b"none" * 100, "not a file of TensorFlow Lite", id="text"),
        pytest.param((TINY / "model.tflite").read_bytes(), "no block_12_add, block_14_add to hand out", id="tiny"),
    ],
)
def test_what_has_no_places_is_refused(raw: bytes, text: str) -> None:
    """Another file, or another network: one line that says what is missing."""
    with pytest.raises(DataError, match=text):
        with_places(raw)


def test_a_bundle_of_before_gets_places(tmp_path: Path) -> None:
    """It is proven anew, and says of itself what it said, but for its version; it hands out places when asked."""
    root = copy_bundle(tmp_path / "bundle")
    (root / "model.tflite").write_bytes(without_places((root / "model.tflite").read_bytes()))
    edit_bundle(root, lambda card: [card["models"][0]["outputs"].pop(name) for name in PLACES])
    old = prove_card(str(root), accept=True).card
    card = add_places(str(root), "9.9", tmp_path / "new")
    pool, golden = open_model(load_bundle(tmp_path / "new"), 2, places=True)
    tiles = [draw_tile("clean", seed, 200) for seed in range(3)]
    found = pool(tiles)
    pool.close()

    assert (card.version, set(card.main.outputs) - set(old.main.outputs)) == ("9.9", set(PLACES))
    assert (card.metrics, card.thresholds, card.training) == (old.metrics, old.thresholds, old.training)
    assert golden.agreement == "exact"
    assert {role: values.shape[1:] for role, values in found.maps.items()} == SHAPES["neu-fast"]
    assert Classifier(load_bundle(tmp_path / "new"))(tiles).maps == {}
    with pytest.raises(DataError, match="names the outputs map and map_deep already"):
        add_places(str(tmp_path / "new"), "10")


def test_places_replace_bundles_alone(tmp_path: Path) -> None:
    """A folder that holds something else is named and left."""
    root = copy_bundle(tmp_path / "bundle", TINY)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="other holds something else than a bundle"):
        add_places(str(root), "2", tmp_path / "other")
