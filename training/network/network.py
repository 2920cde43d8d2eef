"""The Keras network: MobileNetV2 with a one-channel stem, frozen BatchNorm and a linear head whose CAM is exact.

The layers are not nested: Keras 3 hands the outer `training=True` into a nested backbone even when that was built with
`training=False`, and moving BatchNorm statistics then ruin a fine-tuned network (96 % training, 37-55 % validation).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.errors import WeightsError
from training.recipe import Recipe

FINAL_MAP = "out_relu"
"""The last feature map of MobileNetV2: pooled, it feeds the head; under the head's kernel, it is the CAM."""
YOUNG_MOMENTUM = 0.98
"""Of moving statistics in a network that begins at random: MobileNetV2's 0.999 lags behind what changes so fast."""
FINE_MAP = "block_13_expand_relu"
"""The last map before the last halving: about twice as many cells a side as `FINAL_MAP` (see `locate`)."""


def build_network(recipe: Recipe, labels: Sequence[str], weights: Path | None, input_px: int | None = None) -> Any:
    """Return an uncompiled network: uint8-valued float tiles (N, S, S, 1 or 3), already scaled, to logits.

    Args:
        recipe: Decides width, colour, dropout and whether BatchNorm stays frozen.
        labels: In the order of the logits.
        weights: A Keras 3 `.weights.h5` file of MobileNetV2 without its head, `None` for random weights.
        input_px: Another side than the recipe's: the weights do not depend on it.

    Raises:
        WeightsError: The file is missing or of another network.
    """
    side = input_px or recipe.input_px
    channels = 1 if recipe.colour == "grey" else 3
    backbone = keras.applications.MobileNetV2(
        input_shape=(side, side, channels), include_top=False, alpha=recipe.width, weights=None
    )
    if weights is not None:
        load_backbone(backbone, recipe.width, weights, grey=channels == 1)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not recipe.freeze_batch_norm
            if recipe.start == "random":
                layer.momentum = YOUNG_MOMENTUM
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
    dropped = keras.layers.Dropout(recipe.dropout, seed=recipe.seed, name="dropout")(pooled)
    logits = keras.layers.Dense(
        len(labels),
        name="logits",
        kernel_regularizer=keras.regularizers.L2(recipe.l2),
        kernel_initializer=keras.initializers.GlorotUniform(seed=recipe.seed),
    )(dropped)
    return keras.Model(backbone.input, logits, name=recipe.name.replace("-", "_").replace(".", "_"))


def with_map(network: Any) -> Any:
    """Return the network with two outputs, sharing its weights: `logits`, and `cam` (N, h, w, C) with that mean."""
    head, final = network.get_layer("logits"), network.get_layer(FINAL_MAP).output
    return keras.Model(network.input, {"logits": network.output, "cam": head(final)}, name=f"{network.name}_map")


def grow_map(cam: Any, side: int) -> Any:
    """Return a map (N, h, w, C) drawn to `side` cells a side, between cells along straight lines."""
    return keras.ops.image.resize(cam, (side, side), interpolation="bilinear", data_format="channels_last")


def pointing_loss(shown: Any, cam: Any) -> Any:
    """Return (N,) losses: how much of the softmax over a label's map lies outside the boxes, as -log of what is inside.

    Only places are compared with places, so the pooled logits stay free. After the energy-based pointing of Rao et al.,
    "Studying how to efficiently and effectively guide models with explanations", ICCV 2023.

    Args:
        shown: (N, h, w, C), share of each cell that boxes of the tile's label cover, 0 to 1; all zero: unknown.
        cam: (N, h, w, C).
    """
    count, labels = keras.ops.shape(cam)[0], cam.shape[-1]
    wanted = keras.ops.reshape(shown, (count, -1, labels))
    places = keras.ops.reshape(cam, (count, -1, labels))
    spread = keras.ops.exp(places - keras.ops.logsumexp(places, axis=1, keepdims=True))
    inside = keras.ops.sum(spread * wanted, axis=1)
    known = keras.ops.cast(keras.ops.max(wanted, axis=1) > 0, inside.dtype)
    return -keras.ops.sum(known * keras.ops.log(inside + 1e-4), axis=-1)


def load_backbone(backbone: Any, width: float, weights: Path, *, grey: bool) -> None:
    """Put ImageNet weights into `backbone`; a grey stem's kernel is the RGB kernel summed over its three channels.

    Raises:
        WeightsError: The file is missing or of another network.
    """
    if not weights.is_file():
        raise WeightsError(f"weights: no such file: {weights}")
    source = keras.applications.MobileNetV2(input_shape=(96, 96, 3), include_top=False, alpha=width, weights=None)
    try:
        with warnings.catch_warnings():  # Keras warns of every layer before it raises for all of them
            warnings.simplefilter("ignore")
            source.load_weights(weights)
    except (ValueError, OSError, KeyError) as exc:
        first = str(exc).strip().splitlines()[0]
        raise WeightsError(f"weights: {weights} is no MobileNetV2 of width {width} without its head: {first}") from exc
    for target, origin in zip(backbone.layers, source.layers, strict=True):
        values = origin.get_weights()
        if grey and values and target.name == "Conv1":
            values = [values[0].sum(axis=2, keepdims=True)]
        target.set_weights(values)


def imagenet_weights(width: float, folder: Path) -> Path:
    """Return Keras' own ImageNet weights of this width, downloaded into `folder` unless they are there already.

    Raises:
        WeightsError: There is no such width, or no internet.
    """
    target = folder / f"mobilenet_v2_{width}_no_top.weights.h5"
    if not target.is_file():
        try:
            source = keras.applications.MobileNetV2(
                input_shape=(224, 224, 3), include_top=False, alpha=width, weights="imagenet"
            )
        except Exception as exc:  # urllib, Keras and h5py each raise their own
            raise WeightsError(f"weights: ImageNet weights of width {width} could not be downloaded: {exc}") from exc
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial.weights.h5")
        source.save_weights(partial)
        partial.replace(target)
    return target


def set_trainable(network: Any, recipe: Recipe, train_from: str) -> int:
    """Let the layers from `train_from` on learn, and return how many weights that is.

    Raises:
        WeightsError: No layer has that name.
    """
    names = [layer.name for layer in network.layers]
    if train_from and train_from != "head" and train_from not in names:
        raise WeightsError(f"stages: the network has no layer {train_from!r}")
    start = names.index({"": names[0], "head": "pool"}.get(train_from, train_from))
    for place, layer in enumerate(network.layers):
        frozen_norm = recipe.freeze_batch_norm and isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = place >= start and not frozen_norm
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def fold_batch_norm(network: Any) -> None:
    """Let each convolution of a network with frozen BatchNorm do its norm's work too: same answers, a fifth faster.

    A frozen norm is a scale and an offset a channel; scaling the kernel instead of its output saves two passes over
    every map, forward and back. Weights stay where they are, so files fit either network.
    """
    for norm in network.layers:
        if isinstance(norm, keras.layers.BatchNormalization):
            convolution = norm.input._keras_history.operation
            convolution.call = _scaled_convolution(convolution, norm)
            norm.call = _offset_alone(norm)


def _scale_of(norm: Any) -> Any:
    return norm.gamma * keras.ops.rsqrt(norm.moving_variance + norm.epsilon)


def _scaled_convolution(layer: Any, norm: Any) -> Callable[..., Any]:
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)

    def call(inputs: Any) -> Any:
        scale = _scale_of(norm)
        if depthwise:  # its kernel is (h, w, C, 1)
            kernel = layer.kernel * scale[:, None]
            return keras.ops.depthwise_conv(inputs, kernel, strides=layer.strides, padding=layer.padding)
        return keras.ops.conv(inputs, layer.kernel * scale, strides=layer.strides, padding=layer.padding)

    return call


def _offset_alone(norm: Any) -> Callable[..., Any]:
    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return inputs + (norm.beta - norm.moving_mean * _scale_of(norm))

    return call


def scale_input(batch: Any, scaling: str) -> Any:
    """Return uint8 tiles as the floats the network takes; works on NumPy arrays and tensors alike."""
    return (batch - 128.0) / 128.0 if scaling == "centred" else batch / 255.0


def float_input(tiles: npt.NDArray[np.uint8], recipe: Recipe) -> npt.NDArray[np.float32]:
    """Return (N, S, S) uint8 tiles as the network's float input."""
    stacked = tiles[..., np.newaxis].astype(np.float32)
    if recipe.colour == "rgb":
        stacked = np.repeat(stacked, 3, axis=-1)
    return np.asarray(scale_input(stacked, recipe.scaling), np.float32)
