"""Puts the figures of an evaluation into the card of the bundle that was measured, and changes nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from inspector.drawn.golden import choose_golden
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.card import Card
from inspector.model.seal import replacing, write_proof
from training.bundle.bundle import card_figures
from training.errors import DataError
from training.int8.places import measured_sha256


def put_figures(bundle: str, results: Path) -> Card:
    """Write the bundle with what `evaluate` found, in place, and return its card.

    Args:
        bundle: A folder, or the name of a shipped bundle.
        results: JSON of `evaluate`.

    Raises:
        BundleError: The bundle does not hold on this machine.
        DataError: The figures are of another network, or of another version of the bundle.
    """
    loaded = load_bundle(find_bundle(bundle))
    row = json.loads(results.read_text("utf-8"))
    if row["model_sha256"] != measured_sha256(loaded.model_path().read_bytes()):
        raise DataError(f"{results}: figures of another model: {row['bundle']}")
    version = f"{loaded.card.name}@{loaded.card.version}+"
    if not row["bundle"].startswith(version):
        raise DataError(f"{results}: figures of {row['bundle']}, the bundle is {loaded.short}")
    fields = loaded.card.model_dump(mode="json", by_alias=True) | {"metrics": card_figures(row)}
    with replacing(loaded.root) as folder:
        for path in sorted(loaded.root.iterdir()):
            if path.name in loaded.card.files and path.name != loaded.card.golden:
                shutil.copyfile(path, folder / path.name)
        return write_proof(folder, fields, choose_golden)
