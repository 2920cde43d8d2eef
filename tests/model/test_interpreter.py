"""`inspector.model.interpreter`: one file on one interpreter, with or without a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inspector.errors import BundleError
from inspector.model.bundle import SHIPPED, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.interpreter import Int8Network

BUNDLES = sorted(path.parent.name for path in SHIPPED.glob("*/card.json"))


@pytest.mark.parametrize("name", BUNDLES)
def test_a_file_gives_the_same_before_it_has_a_card(name: str) -> None:
    """The bytes of a shipped model give what its bundle's classifier gives, bit for bit, outputs by name."""
    bundle = load_bundle(SHIPPED / name)
    tiles = list(bundle.golden.tiles)
    network, served = Int8Network(bundle.model_path().read_bytes()), Classifier(bundle)
    values, raw, predictions = network(tiles), network.raw_outputs(tiles), served(tiles)

    assert set(values) == {"logits", "features", "cam", "map", "map_deep"}
    assert np.array_equal(values["logits"], predictions.logits)
    assert predictions.features is not None
    assert predictions.cam is not None
    assert np.array_equal(values["features"], predictions.features)
    assert np.array_equal(raw["cam"], predictions.cam)
    assert {role: rows.tolist() for role, rows in served.raw_outputs(tiles).items()} == {
        name: rows.tolist() for name, rows in raw.items()
    }


@pytest.mark.parametrize("name", BUNDLES)
def test_a_file_says_what_it_takes_and_what_its_integers_stand_for(name: str) -> None:
    """Scale and zero point are the card's; a shipped file is int8 throughout."""
    bundle = load_bundle(SHIPPED / name)
    network = Int8Network(bundle.model_path())
    side = bundle.card.input_px

    assert [(each.shape, each.dtype) for each in network.inputs] == [((1, side, side, 1), "uint8")]
    assert network.float_tensors == []
    for output, tensor in network.outputs.items():
        told = bundle.card.quantization[output]
        assert (tensor.dtype, tensor.scale, tensor.zero_point) == ("int8", told["scale"], told["zero_point"])


@pytest.mark.parametrize("as_bytes", [False, True])
def test_what_is_no_model_is_refused(tmp_path: Path, as_bytes: bool) -> None:
    """A file is named; of bytes there is no name."""
    path = tmp_path / "some.tflite"
    path.write_bytes(b"none")
    with pytest.raises(BundleError, match=f"^{'model' if as_bytes else path}: ai_edge_litert cannot run this model"):
        Int8Network(b"none" if as_bytes else path)
