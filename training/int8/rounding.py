"""Rounding as the int8 file rounds, and a network that learns to give the same answers in spite of it.

Kernels are rounded per output channel and activations per tensor, each to 256 steps, with gradients passed straight
through (Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018). Rounding a kernel before BatchNorm equals rounding the folded kernel: both have one scale a channel.
The ranges come from representative tiles, leave the rarest values out, and go into the file as they are.

`follow` trains the rounded network towards the float one's own answers, without labels: it makes the difference between
the two small (after Hinton et al., "Distilling the knowledge in a neural network", 2015).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.errors import RecipeError
from training.files import write_json
from training.network.checkpoint import Progress, Rate, save_state
from training.network.feed import steps_per_epoch, training_batches
from training.network.network import build_network, fold_batch_norm, set_trainable, with_map
from training.recipe import Recipe
from training.tiles.tile_set import TileSet

Ranges = dict[str, tuple[float, float]]
"""Layer name to the smallest and largest output that the int8 file can hold."""
OUTERMOST = 1e-4
"""Share of a layer's values beyond each end of its range: steps get finer by more than what is cut off costs."""
CALIBRATION_TILES = 256
MAP_WEIGHT = 0.1
RELU_CEILING = 6.0


def calibrate(network: Any, inputs: npt.NDArray[np.float32], seed: int = 0) -> Ranges:
    """Return the range of every layer whose output the int8 file stores; all of them hold 0, as int8 ones must.

    Args:
        network: The float network.
        inputs: (N, S, S, C) representative tiles as float input; at most `CALIBRATION_TILES` of them are used.
        seed: Of the choice.
    """
    stored = [layer for layer in network.layers if _is_stored(layer)]
    chosen = inputs[np.random.default_rng(seed).permutation(len(inputs))[:CALIBRATION_TILES]]
    bounded = {layer.name: (0.0, RELU_CEILING) for layer in stored if isinstance(layer, keras.layers.ReLU)}
    free = [layer for layer in stored if layer.name not in bounded]
    model = keras.Model(network.input, [layer.output for layer in free])
    batches = [model.predict_on_batch(part) for part in np.array_split(chosen, -(-len(chosen) // 32))]
    ranges: Ranges = {}
    for layer, parts in zip(free, zip(*batches, strict=True), strict=True):
        low, high = np.quantile(np.concatenate(parts), [OUTERMOST, 1 - OUTERMOST])
        ranges[layer.name] = (min(0.0, float(low)), max(1e-3, float(high)))
    return bounded | ranges


def simulate_int8(network: Any, ranges: Ranges) -> None:
    """Make a network of `build_network` round as its int8 file will, from now on and for good.

    Args:
        network: Whose layers are changed in place; rebuild it to get the float network back.
        ranges: See `calibrate`.
    """
    for layer in network.layers:
        call: Callable[..., Any] = layer.call
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            call = _depthwise(layer)
        elif isinstance(layer, keras.layers.Conv2D):
            call = _convolution(layer)
        elif layer.name == "logits":
            call = _dense(layer)
        if layer.name in ranges:
            call = _then_rounded(call, *ranges[layer.name])
        layer.call = call


def follow(network: Any, tiles: TileSet, labels: Sequence[str], recipe: Recipe, ranges: Ranges, folder: Path) -> Any:
    """Return a network that, rounded, answers as `network` does unrounded; continues after an interruption.

    Args:
        network: The float network.
        tiles: To show, changed as in training.
        labels: In the order of the logits.
        recipe: How long and how fast (`rounding`).
        ranges: See `calibrate`.
        folder: Keeps the state.

    Raises:
        RecipeError: `folder` follows another network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bare = recipe.changed(dropout=0.0, l2=0.0, freeze_batch_norm=True)
    student = build_network(bare, labels, None)
    student.set_weights(network.get_weights())
    _claim(folder, recipe, student)
    progress = Progress.load(folder)
    if progress.epoch:
        student.load_weights(folder / "state.weights.h5")
    course = recipe.rounding
    if progress.epoch >= course.epochs:
        return student
    set_trainable(student, bare, "")
    simulate_int8(student, ranges)
    quick = build_network(bare, labels, None)
    quick.set_weights(network.get_weights())
    fold_batch_norm(quick)
    teacher, learner, steps = with_map(quick), with_map(student), steps_per_epoch(tiles, recipe)
    learner.compile(
        optimizer=keras.optimizers.Adam(course.learning_rate),
        loss={"logits": "mse", "cam": "mse"},
        loss_weights={"logits": 1.0, "cam": MAP_WEIGHT},
        jit_compile=False,
    )
    print(f"rounding: {len(tiles):,} tiles, epochs {progress.epoch + 1} to {course.epochs}", flush=True)

    def answered(batch: Any, _: Any) -> Any:
        return batch, teacher(batch, training=False)

    trained, left = sum(stage.epochs for stage in recipe.stages), course.epochs - progress.epoch
    batches = training_batches(
        tiles, labels, recipe, input_px=recipe.input_px, first_epoch=trained + progress.epoch, epochs=left
    ).map(answered)
    callbacks = [
        Rate(course.learning_rate, "cosine", steps, course.epochs, progress.epoch * steps),
        _FollowKeeper(student, folder, progress),
    ]
    learner.fit(
        batches, initial_epoch=progress.epoch, epochs=course.epochs, steps_per_epoch=steps, callbacks=callbacks,
        verbose=0, shuffle=False,
    )  # fmt: skip
    finished = build_network(bare, labels, None)
    finished.set_weights(student.get_weights())
    return finished


class _FollowKeeper(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, student: Any, folder: Path, progress: Progress) -> None:
        super().__init__()
        self._student, self._folder, self._progress = student, folder, progress

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._progress.epoch = epoch + 1
        save_state(self._student, self._folder, self._progress)
        error = float((logs or {}).get("logits_loss", float("nan"))) ** 0.5
        print(f"  epoch {epoch + 1}  root mean square of the logits' difference {error:.4f}", flush=True)


def _claim(folder: Path, recipe: Recipe, network: Any) -> None:
    """Refuse a folder whose state follows other weights."""
    weights = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in network.get_weights())).hexdigest()
    identity, path = {"recipe": recipe.digest, "weights": weights}, folder / "follows.json"
    if path.is_file() and json.loads(path.read_text()) != identity:
        raise RecipeError(f"{folder}: holds the rounding of another network; remove it to begin anew")
    write_json(path, identity)


def _is_stored(layer: Any) -> bool:
    """Whether the int8 file holds this layer's output as a tensor of its own: what follows it is not fused into it."""
    # The head's own output stays as it is: the same layer gives the map, whose range is wider than the logits'.
    kinds = (keras.layers.ReLU, keras.layers.Add, keras.layers.GlobalAveragePooling2D)
    return isinstance(layer, kinds) or layer.name.endswith("project_BN")


def _then_rounded(call: Callable[..., Any], low: float, high: float) -> Callable[..., Any]:
    return lambda *args, **kwargs: tf.quantization.fake_quant_with_min_max_args(call(*args, **kwargs), low, high)


def round_kernel(kernel: Any) -> Any:
    """Round (..., C) symmetrically, each last-axis channel with its own scale."""
    reach = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), axis=list(range(len(kernel.shape) - 1)))) + 1e-9
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -reach, reach, narrow_range=True)


def _convolution(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any) -> Any:
        kernel = round_kernel(tf.convert_to_tensor(layer.kernel))
        return keras.ops.conv(inputs, kernel, strides=layer.strides, padding=layer.padding)

    return call


def _depthwise(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any) -> Any:
        kernel = round_kernel(tf.transpose(tf.convert_to_tensor(layer.kernel), [0, 1, 3, 2]))
        kernel = tf.transpose(kernel, [0, 1, 3, 2])
        return keras.ops.depthwise_conv(inputs, kernel, strides=layer.strides, padding=layer.padding)

    return call


def _dense(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any, training: Any = None) -> Any:
        return keras.ops.matmul(inputs, round_kernel(tf.convert_to_tensor(layer.kernel))) + layer.bias

    return call
