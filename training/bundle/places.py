"""Gives a bundle the outputs `map` and `map_deep`, of which a station learns its own good surface.

Nothing is trained: the file computes them already (see `training.int8.places`). All else that the bundle gives stays
the same, bit for bit, so its figures hold. Card and golden tiles are written anew and proven, as `inspector card` does.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from inspector.drawn.golden import choose_golden
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.card import Card
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.interpreter import Int8Network
from inspector.model.seal import replacing, write_proof
from training.errors import DataError
from training.files import write_bytes
from training.int8.places import PLACES, with_places


def add_places(bundle: str, version: str, output: Path | None = None) -> Card:
    """Write the bundle with both outputs and return its card.

    Args:
        bundle: A folder, or the name of a shipped bundle.
        version: Of the bundle that is written.
        output: Its folder; None replaces the one that is there.

    Raises:
        BundleError: The bundle does not hold on this machine.
        DataError: It has the outputs, its network has none, or something else than a bundle is at `output`.
    """
    loaded = load_bundle(find_bundle(bundle))
    check_golden(Classifier(loaded))
    card, model = loaded.card, loaded.card.main
    if set(PLACES) <= set(model.outputs):
        raise DataError(f"places: {loaded.root} names the outputs {' and '.join(PLACES)} already")
    root = output or loaded.root
    if root != loaded.root and root.exists() and not (root / "card.json").is_file():
        raise DataError(f"places: {root} holds something else than a bundle and is not replaced")
    raw = with_places(loaded.model_path().read_bytes())
    tensors = Int8Network(raw).outputs
    fields = card.model_dump(mode="json", by_alias=True) | {
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "models": [
            each.model_dump(mode="json")
            | ({"outputs": {**model.outputs, **{name: name for name in PLACES}}} if each is model else {})
            for each in card.models
        ],
        "quantization": {
            **card.quantization,
            **{
                name: {"dtype": "int8", "scale": tensors[name].scale, "zero_point": tensors[name].zero_point}
                for name in PLACES
            },
        },
    }
    with replacing(root) as folder:
        for path in sorted(loaded.root.iterdir()):
            if path.name in card.files and path.name not in (model.file, card.golden):
                shutil.copyfile(path, folder / path.name)
        write_bytes(folder / model.file, raw)
        return write_proof(folder, fields, choose_golden)
