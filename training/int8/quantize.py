"""From the float network to the int8 file the daemon runs: outputs by name, exact input scale, and a parity gate.

The exported graph has three outputs, to which `places` adds two: `logits`, `cam` (the head's kernel at every place of
the last feature map, made finer by `locate` where there are boxes; its mean is the logits) and `features` (see
`unknown`). Input: uint8 grey tiles, scale 1/128, zero point 128, so the daemon hands pixels in untouched. Ranges are
those of `rounding`, carried into the graph: the file is what was simulated.
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
from inspector.inspection.decision import to_scores
from inspector.model.interpreter import Int8Network
from training.errors import GateError
from training.int8.places import with_places
from training.int8.rounding import RELU_CEILING, Ranges, round_kernel, simulate_int8
from training.int8.unknown import LOGIT_GAIN, TAPS, FeatureHead
from training.network.feed import stacked_input
from training.network.network import FINAL_MAP, FINE_MAP, float_input, grow_map, scale_input
from training.recipe import Recipe
from training.tiles.tile_set import TileSet

REPRESENTATIVE_PER_LABEL = 100
MIN_AGREEMENT = 0.999
MAX_P99_SHIFT = 0.03
FEW_TILES = 100
"""Of fewer tiles the 99th percentile is the least certain one: it says nothing, and all must be decided alike."""
LISTED_SHIFT = 0.03


def export_outputs(
    network: Any,
    ranges: Ranges,
    feature_head: FeatureHead,
    recipe: Recipe,
    inputs: npt.NDArray[np.float32],
    fine_head: npt.NDArray[np.float32] | None = None,
) -> tuple[Callable[[Any], dict[str, Any]], Any]:
    """Return the function of one tile to `logits`, `cam` and `features`, and the model whose weights it uses.

    Every tensor in it that the file stores is rounded, so the converter takes its range from there.

    Args:
        network: Whose weights are taken; it is not changed.
        ranges: See `rounding.calibrate`.
        feature_head: What `features` is.
        recipe: Whose scaling the input has.
        inputs: (N, S, S, C) representative float input, for the ranges of the outputs.
        fine_head: What makes `cam` finer (see `locate`).
    """
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    simulate_int8(twin, ranges)
    inner = keras.Model(twin.input, [twin.get_layer(name).output for name in (FINAL_MAP, "pool", FINE_MAP, *TAPS)])
    kernel, bias = twin.get_layer("logits").get_weights()
    kernel = round_kernel(tf.constant(kernel)).numpy()
    fine_kernel = None if fine_head is None else round_kernel(tf.constant(fine_head)).numpy()
    halving = [
        halving_kernel(twin.get_layer(name).output.shape[-1], channels, RELU_CEILING / reach)
        for name, channels, reach in zip(TAPS, feature_head.channels, feature_head.reach, strict=True)
    ]
    rounded = tf.quantization.fake_quant_with_min_max_args
    black, white = (float(scale_input(grey, recipe.scaling)) for grey in (0, 255))

    def outputs(tile: Any, stored: Callable[[str, Any], Any]) -> dict[str, Any]:
        final, pooled, middle, *tapped = inner(rounded(tile, black, white), training=False)
        logits = stored("logits", tf.nn.bias_add(tf.matmul(pooled, kernel), bias))
        parts = []
        for name, texture, halves in zip(TAPS, tapped, halving, strict=True):
            above = stored(f"halves {name}", tf.nn.relu(tf.nn.conv2d(texture, halves, 1, "VALID")))
            parts.append(stored("features", tf.reduce_mean(above, (1, 2))))
        means = tf.concat(parts, axis=-1)
        cam = tf.nn.conv2d(final, kernel[None, None], 1, "VALID")
        if fine_kernel is None:
            return {"logits": logits, "features": means, "cam": stored("cam", tf.nn.bias_add(cam, bias))}
        fine = stored("fine", tf.nn.conv2d(middle, fine_kernel[None, None], 1, "VALID"))
        places = stored("places", stored("coarse", grow_map(stored("coarse", cam), middle.shape[1])) + fine)
        lift = stored("lift", logits - stored("places", tf.reduce_mean(places, (1, 2))))
        return {"logits": logits, "features": means, "cam": stored("cam", places + lift[:, None, None])}

    def all_features(means: Any, logits: Any) -> Any:
        """The means and the logits, both from 0 to the same ceiling: one scale serves both."""
        bent = rounded(tf.nn.relu6(logits * (RELU_CEILING * LOGIT_GAIN)), 0.0, RELU_CEILING)
        return tf.concat([means, bent], axis=-1)

    reach: dict[str, tuple[float, float]] = {}

    def seen(name: str, value: Any) -> Any:
        low, high = reach.get(name, (0.0, 0.0))
        reach[name] = (min(low, float(tf.reduce_min(value))), max(high, float(tf.reduce_max(value)), 1e-3))
        return value

    for part in np.array_split(inputs, -(-len(inputs) // 64)):
        outputs(tf.constant(part), seen)
    reach["features"] = (0.0, RELU_CEILING)

    def serve(tile: Any) -> dict[str, Any]:
        values = outputs(tile, lambda name, value: rounded(value, *reach[name]))
        return values | {"features": all_features(values["features"], values["logits"])}

    return serve, inner


def halving_kernel(channels: int, chosen: npt.NDArray[np.intp], gain: float) -> npt.NDArray[np.float32]:
    """Return the (1, 1, C, n) kernel behind which a ReLU leaves what chosen channels have above zero, or below it.

    Args:
        channels: C.
        chosen: (n,) places among 2 C: the channels as they are, then turned round.
        gain: By which they grow.
    """
    both = np.hstack([np.eye(channels), -np.eye(channels)]).astype(np.float32)
    return np.asarray(gain * both[None, None, :, chosen], np.float32)


def convert(
    network: Any,
    ranges: Ranges,
    feature_head: FeatureHead,
    recipe: Recipe,
    representative: Sequence[Pixels],
    folder: Path,
    fine_head: npt.NDArray[np.float32] | None = None,
) -> bytes:
    """Return the int8 file.

    Args:
        network: The network whose weights go into it.
        ranges: What each stored tensor can hold.
        feature_head: What `features` is.
        recipe: Whose `input_px` and scaling the tiles get.
        representative: Whole tiles, any size.
        folder: Where the intermediate graph may be written.
        fine_head: What makes `cam` finer (see `locate`); None: it stays as the last feature map gives it.

    Raises:
        GateError: The file is not int8 throughout, or its input does not take pixels untouched.
    """
    inputs = float_input(stacked_input(representative, recipe.input_px), recipe)
    serve, inner = export_outputs(network, ranges, feature_head, recipe, inputs, fine_head)
    saved = folder / "graph"
    archive = keras.export.ExportArchive()
    archive.track(inner)
    shape = (1, *network.input.shape[1:])
    archive.add_endpoint("serving_default", serve, [tf.TensorSpec(shape, tf.float32, name="tile")])
    archive.write_out(str(saved), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8
    raw = with_places(bytes(converter.convert()))
    tflite = Int8Network(raw)
    if tflite.float_tensors:
        raise GateError(f"quantize: not int8 throughout: {', '.join(tflite.float_tensors)}")
    scale = tflite.inputs[0].scale, tflite.inputs[0].zero_point
    if recipe.scaling == "centred" and scale != (1 / 128, 128):
        raise GateError(f"quantize: the input is not (1/128, 128) but {scale}")
    return raw


def representative_tiles(tiles: TileSet, seed: int, per_label: int = REPRESENTATIVE_PER_LABEL) -> list[Pixels]:
    """Return a stratified choice of training tiles: `per_label` of each label."""
    rng = np.random.default_rng(seed)
    chosen: list[Pixels] = []
    for label in sorted(set(tiles.labels)):
        members = [i for i, its in enumerate(tiles.labels) if its == label]
        chosen += [tiles.pixels[int(i)] for i in rng.permutation(members)[:per_label]]
    return chosen


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
        """Why the gate refuses, or nothing."""
        differing = round(self.tiles * (1 - self.agreement))
        if self.tiles < FEW_TILES:
            alike = f"{differing} of {self.tiles} tiles are decided differently (all of so few must be decided alike)"
            return alike if differing else ""
        # Of fewer than 1,000 tiles one may differ: otherwise 99.9 % would mean all of them.
        allowed = max(1, int(self.tiles * (1 - MIN_AGREEMENT)))
        if differing > allowed:
            return f"{differing} of {self.tiles} tiles are decided differently (at most {allowed})"
        if self.p99_shift > MAX_P99_SHIFT:
            return f"the 99th percentile of the score shift is {self.p99_shift:.4f} (at most {MAX_P99_SHIFT})"
        return ""

    @property
    def account(self) -> str:
        """What a person weighs if the gate refuses: how often each is right, and the tiles that differ most."""
        right = [round(self.tiles * share) for share in (self.float_accuracy, self.int8_accuracy)]
        furthest = "; ".join(
            f"{row['tile']} ({row['label']}): float {row['float']}, int8 {row['int8']}, shift {row['shift']}"
            for row in self.larger[:3]
        )
        return f"of {self.tiles} float names {right[0]} rightly and int8 {right[1]}; furthest apart: {furthest}"


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
    one, other = to_scores(float_logits, temperature), to_scores(int8_logits, temperature)
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
