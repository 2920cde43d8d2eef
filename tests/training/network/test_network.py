"""`training.network.network`: weights, frozen norms, and the loss that asks the map to point."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_run import SMALL

from training.errors import WeightsError
from training.network.network import build_network, fold_batch_norm, load_backbone, pointing_loss, set_trainable


def test_the_pointing_loss_falls_as_the_map_peaks_inside_the_box() -> None:
    """A peak inside costs nothing, one outside much, and a tile whose places nobody knows nothing at all."""
    shown = np.zeros((3, 4, 4, 2), np.float32)
    shown[:2, 1, 2, 0] = 1
    cam = np.zeros((3, 4, 4, 2), np.float32)
    cam[0, 1, 2, 0] = cam[1, 3, 0, 0] = cam[2, 0, 0, 1] = 12
    inside, outside, unknown = np.asarray(pointing_loss(shown, cam))

    assert inside < 0.01 < 5 < outside
    assert unknown == 0


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
