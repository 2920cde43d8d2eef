"""A recipe small enough to train in a test, what comes of it, and tiles to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_input
from training.bundle import provenance
from training.bundle.bundle import bundle_run
from training.data.dataset import DataSet
from training.data.manifest import Manifest
from training.data.prepare import build_manifest
from training.int8 import signoff
from training.network import train as training_run
from training.network.course import Course, course_of
from training.network.feed import stacked_input
from training.network.network import float_input
from training.recipe import Recipe

SMALL = Recipe.model_validate(
    {
        "name": "small",
        "width": 0.35,
        "input_px": 64,
        "tiles": {
            "clean_quilted": 8, "clean_textures": 8, "cut": 8, "generated_defects": 8, "generated_clean": 8,
        },
        "stages": [
            {"epochs": 1, "learning_rate": 0.001, "input_px": 32},
            {"epochs": 1, "learning_rate": 0.001},
            {"epochs": 1, "learning_rate": 0.001, "train_from": "head"},
        ],
        "rounding": {"epochs": 0},
        "batch": 64,  # a step without a graph costs what its operations cost, however many tiles it has
        "pointing": 0.3,
    }
)  # fmt: skip


class Trained(NamedTuple):
    """A finished run of `SMALL` and its bundle, with the data behind them."""

    run: Path
    bundle: Path
    data_set: DataSet
    manifest: Manifest
    course: Course


def drawn_course(recipe: Recipe) -> tuple[list[Pixels], np.ndarray]:
    """Generated tiles, and as float input of a recipe."""
    tiles = [draw_tile(label, seed, 200) for label in (*KINDS, "clean") for seed in range(20, 26)]
    return tiles, float_input(stacked_input(tiles, recipe.input_px), recipe)


def random_weights(folder: Path) -> Path:
    """Random weights whose BatchNorm knows its activations: without that, a deep random network gives all zeros."""
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV2(input_shape=(64, 64, 3), include_top=False, alpha=0.35, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    tiles = np.stack([to_input(draw_tile(label, seed, 200), 64) for label in (*KINDS, "clean") for seed in range(4)])
    network(np.repeat((tiles[..., None].astype(np.float32) - 128) / 128, 3, axis=-1), training=True)
    path = folder / "random.weights.h5"
    network.save_weights(path)
    return path


def train_small(data: Path, weights: Path, folder: Path) -> Trained:
    """The whole way from pictures to a bundle, as if these pictures were NEU's."""
    data_set = DataSet(data)
    manifest = build_manifest(data_set)
    course = course_of(SMALL, data_set, manifest)
    names = {"data": manifest.sha256, "pictures": manifest.pictures_sha256}
    network = training_run.train(SMALL, course, folder / "run", weights, names)
    signoff.save(folder / "run", signoff.sign_off(network, course, SMALL, folder / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "NEU_PICTURES", manifest.pictures_sha256)
        bundle_run(folder / "run", folder / "bundle", manifest, "9.9.9", None, gate=False)
    return Trained(folder / "run", folder / "bundle", data_set, manifest, course)
