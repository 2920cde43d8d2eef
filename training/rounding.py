"""Quantization-aware training: while it learns, the float network rounds where the int8 file will.

Kernels are rounded per output channel and activations per tensor, each to 256 steps, with gradients passed straight
through (Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018). Rounding a kernel before BatchNorm equals rounding the folded kernel: both have one scale a channel.
The ranges of activations come from the same representative tiles that the converter sees, and stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


def simulate_int8(network: Any, inputs: npt.NDArray[np.float32]) -> None:
    """Make a network of `build_network` round as its int8 file will, from now on and for good.

    Args:
        network: Whose layers are changed in place; rebuild it to get the float network back.
        inputs: (N, S, S, C) representative tiles as float input.
    """
    rounded = [layer for layer in network.layers if _is_stored(layer)]
    ranges = activation_ranges(network, rounded, inputs)
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


def _is_stored(layer: Any) -> bool:
    """Whether the int8 file holds this layer's output as a tensor of its own: what follows it is not fused into it."""
    # The head's own output stays as it is: the same layer gives the map, whose range is wider than the logits'.
    kinds = (keras.layers.ReLU, keras.layers.Add, keras.layers.GlobalAveragePooling2D)
    return isinstance(layer, kinds) or layer.name.endswith("project_BN")


def activation_ranges(
    network: Any, layers: list[Any], inputs: npt.NDArray[np.float32]
) -> dict[str, tuple[float, float]]:
    """Return layer name to smallest and largest output over the inputs; both ranges hold 0, as int8 ones must."""
    extremes = keras.Model(network.input, [keras.ops.stack(_extremes(layer.output)) for layer in layers])
    rows = np.stack([np.stack(extremes.predict_on_batch(inputs[i : i + 64])) for i in range(0, len(inputs), 64)])
    lowest, highest = rows[:, :, 0].min(axis=0), rows[:, :, 1].max(axis=0)
    return {
        layer.name: (min(0.0, float(low)), max(1e-3, float(high)))
        for layer, low, high in zip(layers, lowest, highest, strict=True)
    }


def _extremes(output: Any) -> tuple[Any, Any]:
    return keras.ops.min(output), keras.ops.max(output)


def _then_rounded(call: Callable[..., Any], low: float, high: float) -> Callable[..., Any]:
    return lambda *args, **kwargs: tf.quantization.fake_quant_with_min_max_args(call(*args, **kwargs), low, high)


def _round_kernel(kernel: Any) -> Any:
    """Round (..., C) symmetrically, each last-axis channel with its own scale."""
    reach = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), axis=list(range(len(kernel.shape) - 1)))) + 1e-9
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -reach, reach, narrow_range=True)


def _convolution(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any) -> Any:
        kernel = _round_kernel(tf.convert_to_tensor(layer.kernel))
        return keras.ops.conv(inputs, kernel, strides=layer.strides, padding=layer.padding)

    return call


def _depthwise(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any) -> Any:
        kernel = _round_kernel(tf.transpose(tf.convert_to_tensor(layer.kernel), [0, 1, 3, 2]))
        kernel = tf.transpose(kernel, [0, 1, 3, 2])
        return keras.ops.depthwise_conv(inputs, kernel, strides=layer.strides, padding=layer.padding)

    return call


def _dense(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any, training: Any = None) -> Any:
        return keras.ops.matmul(inputs, _round_kernel(tf.convert_to_tensor(layer.kernel))) + layer.bias

    return call
