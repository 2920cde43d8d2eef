"""Writes a model bundle as `inspector.model.card.Card` describes it, and opens it as the daemon does before it counts.

The folder appears under its name only when everything in it holds: it is written under another name, opened and proven
as `inspector.model` does, and renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import inspector
from inspector.drawn.golden import choose_golden
from inspector.inspection.distance import FeatureDistance
from inspector.labels import CLEAN, BoxFrom, Severity
from inspector.model.card import Card, UnknownRule
from inspector.model.interpreter import Int8Network
from inspector.model.seal import replacing, write_proof
from training.bundle.provenance import NEU_PICTURES, X_SDD_PICTURES, data_sets, is_own, learned_from, notice
from training.data.learned import LEARNED, read_learned, write_learned
from training.data.manifest import Manifest
from training.errors import DataError, GateError
from training.files import write_bytes
from training.int8 import signoff
from training.int8.places import measured_sha256
from training.int8.unknown import UNKNOWN_FILE, arrays_of
from training.network.train import read_identity, refuse_other_data
from training.recipe import Recipe

SEVERITY: dict[str, Severity] = {
    "crazing": "major", "inclusion": "critical", "patches": "minor",
    "pitted_surface": "major", "rolled-in_scale": "major", "scratches": "major",
    "finishing roll printing": "minor", "iron sheet ash": "minor", "oxide scale of plate system": "major",
    "oxide scale of temperature system": "major", "red iron": "minor", "slag inclusion": "critical",
    "surface scratch": "major",
}  # fmt: skip
CORRUPTION_FIGURES = (
    "mean", "worst", "worst_cell", "published_mean", "published_worst", "published_worst_cell", "rough",
)  # fmt: skip
OFFICIAL_FIGURES = ("correct", "one_look", "apart", "decision", "macro", "ece")


@dataclass(frozen=True, slots=True, eq=False)
class BundleParts:
    """Everything that goes into a bundle beside its golden tiles."""

    recipe: Recipe
    labels: tuple[str, ...]
    model: bytes
    temperature: float
    thresholds: Mapping[str, float]
    severity: Mapping[str, Severity]
    distance: FeatureDistance | None
    unknown: UnknownRule | None
    """Of that distance."""
    looks: int
    box_from: BoxFrom
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]
    data: Mapping[str, Any]
    own: bool
    """Trained on a user's pictures, not on NEU-DET."""
    learned: frozenset[str]
    """Marks of the pictures behind the weights (see `learned`)."""


def bundle_run(
    run: Path, root: Path, manifest: Manifest, version: str, results: Path | None, *, gate: bool = True
) -> Card:
    """Write the bundle of a run that `quantize` has signed off.

    Args:
        run: Its folder.
        root: The bundle's folder.
        manifest: Of the data that the run was trained on.
        version: For the card.
        results: JSON of `evaluate`, for the card's figures.
        gate: Refuse an int8 network that differs from the float one; otherwise the card says why it should have been
            refused.

    Raises:
        DataError: The results are of another model, or `root` is not a bundle.
        GateError: The int8 network differs from the float network.
        RecipeError: The run was trained on other pictures, or is not a run.
    """
    refuse_other_data(run, {"data": manifest.sha256})
    identity = read_identity(run)
    signed, recipe, labels = signoff.load(run), Recipe.of_another_version(identity["recipe"]), tuple(identity["labels"])
    refusal = signed.parity.refusal
    if gate and refusal:
        raise GateError(
            f"bundle: int8 is not float: {refusal}; {signed.parity.account}."
            " --no-gate packs it and puts this into the card"
        )
    figures: dict[str, Any] = {}
    if results is not None:
        row = json.loads(results.read_text())
        if row["model_sha256"] != measured_sha256(signed.model):
            raise DataError(f"{results}: figures of another model: {row['bundle']}")
        figures = card_figures(row)
    start = identity.get("init")
    own = is_own(identity)
    parts = BundleParts(
        recipe, labels, signed.model, signed.temperature, signed.thresholds, severity_for(labels), signed.distance,
        signed.unknown, signed.looks, signed.box_from, figures,
        {
            "learned_from": learned_from(identity),
            "auxiliary_sha256": identity.get("auxiliary"),
            "init_sha256": identity.get("init_sha256"),
            "parity": {
                name: getattr(signed.parity, name)
                for name in ("tiles", "agreement", "float_accuracy", "int8_accuracy", "p99_shift")
            }
            | {"refusal": refusal or None},
            "command": (
                f"python -m training train {recipe.name} --data FOLDER --init {Path(start).name}"
                if start is not None
                else f"python -m training train {recipe.name} --data {folder_of(identity.get('pictures'))}"
                + (" --weights DATA/mobilenetv2/FILE" if recipe.start == "imagenet" else "")
                + (" --auxiliary FOLDER" if recipe.auxiliary else "")
            ),
        },
        {"sets": data_sets(identity), "manifest_sha256": manifest.sha256}, own,
        read_learned(run),
    )  # fmt: skip
    return write_bundle(root, parts, version)


def folder_of(pictures: str | None) -> str:
    """Return how a command names the pictures with this hash."""
    return {NEU_PICTURES: "DATA/neu-det", X_SDD_PICTURES: "DATA/x-sdd/images"}.get(pictures or "", "FOLDER")


def card_figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of an evaluation that a card carries, with protocol and command."""
    line = row.get("line", {})
    split = {
        NEU_PICTURES: "NEU-DET official test split, 60 pictures a class",
        X_SDD_PICTURES: "every fourth surface of each X-SDD label, held out from training",
    }.get(row["provenance"].get("data_pictures"), "the pictures' own split to be held out")
    return {
        "command": row["command"],
        "commit": row["provenance"]["commit"],
        "official": {
            "protocol": f"{split}, int8 by LiteRT, arg-max over the labels (`one_look`: of a single look at each)",
            **{key: each for key, each in row["official"].items() if key in OFFICIAL_FIGURES},
        },
        "corruption": {
            "protocol": "the same pictures under 7 corruptions at 3 severities; mean and worst by arg-max over the"
            " labels, published_… as decided, unknown included; rough: turned, uneven columns, dead and hot pixels",
            **{key: row["corruption"][key] for key in CORRUPTION_FIGURES if key in row["corruption"]},
        },
        "line": {
            key: line[key]
            for key in ("protocol", "found", "labelled_right", "clean_tiles", "false_alarms_per_10000", "ece")
            if key in line
        },
        "cam": row.get("cam", {}),
    }


def write_bundle(root: Path, parts: BundleParts, version: str) -> Card:
    """Write the bundle folder `root`, replacing one that is there, and return its card.

    Raises:
        BundleError: The bundle does not open on this machine as the daemon opens it; nothing is replaced.
        DataError: `root` is something else than a bundle.
    """
    if root.exists() and not (root / "card.json").is_file() and not (root.is_dir() and not any(root.iterdir())):
        raise DataError(f"bundle: {root} holds something else than a bundle and is not replaced")
    with replacing(root) as folder:
        return _fill(folder, parts, version)


def _fill(folder: Path, parts: BundleParts, version: str) -> Card:
    recipe = parts.recipe
    write_bytes(folder / "model.tflite", parts.model)
    network = Int8Network(parts.model)
    if parts.distance is not None:
        np.savez_compressed(folder / UNKNOWN_FILE, **arrays_of(parts.distance))
    if parts.learned:
        write_learned(folder / LEARNED, parts.learned)
    quantization = {
        "input": {"dtype": "uint8", "scale": 1 / 128, "zero_point": 128},
        **{
            name: {"dtype": "int8", "scale": output.scale, "zero_point": output.zero_point}
            for name, output in sorted(network.outputs.items())
        },
        "weights": "int8, per channel",
    }
    fields = {
        "name": recipe.name,
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": notice(recipe, parts.data["sets"], own=parts.own),
        "models": [
            {"role": "main", "file": "model.tflite", "outputs": {name: name for name in sorted(network.outputs)}}
        ],
        "labels": list(parts.labels),
        "tile_px": recipe.tile_px,
        "input_px": recipe.input_px,
        "quantization": quantization,
        "temperature": parts.temperature,
        "thresholds": dict(parts.thresholds),
        "severity": dict(parts.severity),
        "looks": parts.looks,
        "box_from": parts.box_from,
        "unknown": parts.unknown,
        "metrics": dict(parts.metrics),
        "training": {"recipe": recipe.model_dump(), "digest": recipe.digest, "inspector": inspector.__version__,
                     **parts.training},
        "data": dict(parts.data),
    }  # fmt: skip
    return write_proof(folder, fields, choose_golden)


def severity_for(labels: Sequence[str]) -> dict[str, Severity]:
    """Return the severity of each defect label; a label of the user's own is `major` until its card is edited."""
    return {label: SEVERITY.get(label, "major") for label in labels if label != CLEAN}
