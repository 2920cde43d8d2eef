"""From the float network to the int8 file the daemon runs: outputs by name, exact input scale, and a parity gate.

The exported graph has three outputs: `logits`, `cam` (the head's kernel at every place of the last feature map, whose
mean is the logits) and `features` (see `unknown`). Input: uint8 grey tiles, scale 1/128, zero point 128, so the daemon
hands pixels in untouched. All-black and all-white tiles are in the representative set: they pin that scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from inspector.frame import Pixels
from training.errors import GateError
from training.feed import stacked_input
from training.network import FINAL_MAP, float_input
from training.recipe import Recipe
from training.tiles import TileSet
from training.unknown import FeatureHead

REPRESENTATIVE_PER_LABEL = 100
MIN_AGREEMENT = 0.999
MAX_P99_SHIFT = 0.03
LISTED_SHIFT = 0.03
RELU_CEILING = 6.0


def export_outputs(network: Any, feature_head: FeatureHead) -> tuple[Callable[[Any], dict[str, Any]], Any]:
    """Return the function of one tile to `logits`, `cam` and `features`, and the model whose weights it uses."""
    taps = [network.get_layer(name).output for name in feature_head.taps]
    inner = keras.Model(network.input, [network.get_layer(FINAL_MAP).output, *taps])
    kernel, bias = network.get_layer("logits").get_weights()
    # As a matrix product with ReLU6 behind it, choosing and cutting off is one int8 operator.
    selection = np.zeros((feature_head.size, len(feature_head.channels)), np.float32)
    selection[feature_head.channels, np.arange(len(feature_head.channels))] = RELU_CEILING / feature_head.ceiling
    choose = tf.constant(selection)

    def serve(tile: Any) -> dict[str, Any]:
        final, *maps = inner(tile, training=False)
        pooled = tf.reduce_mean(final, axis=[1, 2])
        logits = tf.nn.bias_add(tf.matmul(pooled, kernel), bias)
        cam = tf.nn.bias_add(tf.nn.conv2d(final, kernel[None, None], 1, "VALID"), bias)
        tapped = tf.concat([tf.reduce_mean(each, axis=[1, 2]) for each in maps], axis=1)
        features = tf.nn.relu6(tf.matmul(tapped, choose))
        return {"logits": logits, "cam": cam, "features": features}

    return serve, inner


def convert(
    network: Any, feature_head: FeatureHead, recipe: Recipe, representative: Sequence[Pixels], folder: Path
) -> bytes:
    """Return the int8 file; the input's scale and zero point are asserted.

    Args:
        network: The float network.
        feature_head: What `features` is.
        recipe: Whose `input_px` and scaling the tiles get.
        representative: Whole tiles, any size; black and white ones are added.
        folder: Where the intermediate graph may be written.
    """
    serve, inner = export_outputs(network, feature_head)
    saved = folder / "graph"
    archive = keras.export.ExportArchive()
    archive.track(inner)
    shape = (1, *network.input.shape[1:])
    archive.add_endpoint("serving_default", serve, [tf.TensorSpec(shape, tf.float32, name="tile")])
    archive.write_out(str(saved), verbose=False)
    side = recipe.input_px
    extremes = [np.zeros((side, side), np.uint8), np.full((side, side), 255, np.uint8)]
    inputs = float_input(stacked_input([*extremes, *representative], side), recipe)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"tile": each[None]} for each in inputs)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8
    raw = bytes(converter.convert())
    tflite = Int8Network(raw)
    if recipe.scaling == "centred" and tflite.input_quantization != (1 / 128, 128):
        raise GateError(f"quantize: the input is not (1/128, 128) but {tflite.input_quantization}")
    return raw


def representative_tiles(tiles: TileSet, seed: int, per_label: int = REPRESENTATIVE_PER_LABEL) -> list[Pixels]:
    """Return a stratified choice of training tiles: `per_label` of each label."""
    rng = np.random.default_rng(seed)
    chosen: list[Pixels] = []
    for label in sorted(set(tiles.labels)):
        members = [i for i, its in enumerate(tiles.labels) if its == label]
        chosen += [tiles.pixels[int(i)] for i in rng.permutation(members)[:per_label]]
    return chosen


class Int8Network:
    """An int8 file on LiteRT, as the daemon runs it, before there is a bundle around it."""

    def __init__(self, raw: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=raw, num_threads=1)
        self._interpreter.allocate_tensors()
        self.outputs = self._interpreter.get_signature_runner().get_output_details()
        self.input = self._interpreter.get_input_details()[0]
        scale, zero = self.input["quantization"]
        self.input_quantization: tuple[float, int] = (float(scale), int(zero))

    def __call__(self, tiles: Sequence[Pixels]) -> dict[str, npt.NDArray[np.float64]]:
        """Return the dequantized outputs by name, one row a tile."""
        side = int(self.input["shape"][1])
        rows: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in self.outputs}
        for tile in stacked_input(tiles, side):
            self._interpreter.set_tensor(self.input["index"], tile[None, :, :, None])
            self._interpreter.invoke()
            for name, detail in self.outputs.items():
                scale, zero = detail["quantization"]
                value = self._interpreter.get_tensor(detail["index"])[0].astype(np.float64)
                rows[name].append((value - zero) * scale)
        return {name: np.stack(values) for name, values in rows.items()}


@dataclass(frozen=True, slots=True)
class Parity:
    """How far int8 is from float over some tiles."""

    tiles: int
    agreement: float
    float_accuracy: float
    int8_accuracy: float
    p99_shift: float
    per_label: dict[str, dict[str, float]]
    larger: tuple[dict[str, Any], ...]

    @property
    def refusal(self) -> str:
        """Why the gate stays shut, or nothing."""
        # Of fewer than 1,000 tiles one may differ: 99.9 % cannot be told from all of them otherwise.
        allowed = max(1, int(self.tiles * (1 - MIN_AGREEMENT)))
        differing = round(self.tiles * (1 - self.agreement))
        if differing > allowed:
            return f"{differing} of {self.tiles} tiles are decided differently (at most {allowed})"
        if self.p99_shift > MAX_P99_SHIFT:
            return f"the 99th percentile of the score shift is {self.p99_shift:.4f} (at most {MAX_P99_SHIFT})"
        return ""


def softmax(logits: npt.NDArray[np.float64], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return scores in float64, as `inspector.decision` computes them."""
    shifted = (logits - logits.max(axis=1, keepdims=True)) / temperature
    grown = np.exp(shifted)
    return np.asarray(grown / grown.sum(axis=1, keepdims=True), np.float64)


def parity(
    float_logits: npt.NDArray[np.float64],
    int8_logits: npt.NDArray[np.float64],
    wanted: Sequence[str],
    names: Sequence[str],
    labels: Sequence[str],
    temperature: float = 1.0,
) -> Parity:
    """Compare the two networks on the same tiles."""
    target = np.array([labels.index(label) for label in wanted])
    one, other = softmax(float_logits, temperature), softmax(int8_logits, temperature)
    shift = np.abs(one - other).max(axis=1)
    same = one.argmax(axis=1) == other.argmax(axis=1)
    per_label = {}
    for index, label in enumerate(labels):
        mine = target == index
        if mine.any():
            per_label[label] = {
                "tiles": int(mine.sum()),
                "agreement": float(same[mine].mean()),
                "p99_shift": float(np.quantile(shift[mine], 0.99)),
            }
    larger = tuple(
        {
            "tile": names[i], "label": wanted[i], "shift": round(float(shift[i]), 4),
            "float": labels[int(one[i].argmax())], "int8": labels[int(other[i].argmax())],
        }
        for i in np.argsort(-shift) if shift[i] > LISTED_SHIFT or not same[i]
    )  # fmt: skip
    return Parity(
        len(wanted), float(same.mean()), float((one.argmax(axis=1) == target).mean()),
        float((other.argmax(axis=1) == target).mean()), float(np.quantile(shift, 0.99)), per_label, larger,
    )  # fmt: skip
