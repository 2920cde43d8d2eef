"""`training.int8.rounding`: what is simulated is what the file computes, and the network learns to follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from small_run import drawn_course

from inspector.drawn.spec import KINDS
from inspector.model.interpreter import Int8Network
from training.errors import RecipeError
from training.int8 import rounding
from training.int8.quantize import convert
from training.int8.rounding import calibrate, follow, simulate_int8
from training.int8.unknown import LOGIT_GAIN, fit_feature_head, halves
from training.network.checkpoint import save_state
from training.network.network import build_network, with_map
from training.own import open_start
from training.recipe import Recipe
from training.tiles.tile_set import TileSet


def fine_network() -> tuple[Recipe, tuple[str, ...], Any]:
    """The shipped network with kernels that do not lie on the steps of int8, as after a training."""
    start = open_start(Path("neu-fast"))
    rng = np.random.default_rng(0)
    for layer in start.network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            kernel = layer.get_weights()[0]
            layer.set_weights([(kernel * rng.normal(1, 0.02, kernel.shape)).astype(np.float32)])
    return start.recipe, start.labels, start.network


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
    assert set(ints) == {"logits", "cam", "features", "map", "map_deep"}
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
    recipe, names, fine = fine_network()
    recipe = recipe.changed(rounding={"epochs": 2, "learning_rate": 3e-4}, batch=7, input_px=64, augment={})
    network = build_network(recipe, names, None)  # at half the side, a quarter of the cost
    network.set_weights(fine.get_weights())
    tiles, inputs = drawn_course(recipe)
    labels = [label for label in (*KINDS, "clean") for _ in range(6)]
    course = TileSet.of(tiles, labels, "generated", [""] * len(tiles))
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
