"""The next model from your own pictures: start from a bundle or a run, fine-tune, and compare before anyone switches.

A bundle holds no float weights and needs none: the int8 file's kernels, scaled back, are the float kernels to within
half a step, with BatchNorm folded in. New labels are allowed; rows of the head for labels that stay are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter
from scipy.stats import binomtest  # type: ignore[import-untyped]

from inspector.bundle import CLEAN, find_bundle, load_bundle
from inspector.classifier import Classifier
from training import signoff
from training.dataset import Store
from training.errors import WeightsError
from training.files import write_json
from training.intervals import share
from training.network import build_network
from training.prepare import Manifest, check_labels
from training.quantize import Int8Network
from training.recipe import Recipe
from training.train import Course, course_of, load_run, train

SURE = 0.05

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where fine-tuning begins: the network before it, and its labels."""

    recipe: Recipe
    labels: tuple[str, ...]
    network: Any
    int8: bytes


def open_start(source: Path) -> Start:
    """Return the network of a run folder or a bundle.

    Raises:
        WeightsError: Neither is there.
    """
    if (source / "run.json").is_file():
        recipe, labels, network = load_run(source)
        return Start(recipe, labels, network, (source / "model.tflite").read_bytes())
    root = find_bundle(str(source))
    if not (root / "card.json").is_file():
        raise WeightsError(f"init: neither a bundle nor a run: {source}")
    loaded = load_bundle(root)
    Classifier(loaded)
    recipe = Recipe.of_another_version(loaded.card.training["recipe"])
    raw = loaded.model_path().read_bytes()
    network = network_from_int8(recipe, loaded.card.labels, raw)
    return Start(recipe, loaded.card.labels, network, raw)


def network_from_int8(recipe: Recipe, labels: Sequence[str], raw: bytes) -> Any:
    """Return the float network whose kernels are those of an int8 file that `quantize` made.

    Raises:
        WeightsError: The file's operators are not those of this network.
    """
    network = build_network(recipe, labels, None)
    kernels = [
        layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    ]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    convolutions, heads = _int8_weights(raw)
    # The convolution after the backbone's last is the class activation map: the head's kernel once more.
    if len(convolutions) != len(kernels) + 1 or len(norms) != len(kernels):
        raise WeightsError(f"init: {len(convolutions)} convolutions in the file, {len(kernels) + 1} are wanted")
    for layer, norm, (kernel, bias) in zip(kernels, norms, convolutions[:-1], strict=True):
        shape = layer.get_weights()[0].shape
        turned = kernel.transpose(1, 2, 3, 0)
        if turned.shape != shape:
            raise WeightsError(f"init: {layer.name} is {shape}, the file has {turned.shape}")
        layer.set_weights([turned])
        norm.set_weights([np.full_like(bias, np.sqrt(1 + norm.epsilon)), bias, np.zeros_like(bias), np.ones_like(bias)])
    kernel, bias = next(
        (k, b) for k, b in heads if len(b) == len(labels) and k.shape[1] == convolutions[-1][0].shape[3]
    )
    network.get_layer("logits").set_weights([kernel.T, bias])
    return network


def _int8_weights(raw: bytes) -> tuple[list[tuple[_Floats, _Floats]], list[tuple[_Floats, _Floats]]]:
    interpreter = Interpreter(model_content=raw)
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}

    def value(index: int) -> _Floats:
        parameters = tensors[index]["quantization_parameters"]
        scales, axis = parameters["scales"], parameters["quantized_dimension"]
        integers = interpreter.get_tensor(index).astype(np.float64)
        return np.asarray(integers * scales.reshape([-1 if i == axis else 1 for i in range(integers.ndim)]), np.float64)

    convolutions, heads = [], []
    for operator in interpreter._get_ops_details():
        name, inputs = operator["op_name"], operator["inputs"]
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            convolutions.append((value(int(inputs[1])), value(int(inputs[2]))))
        elif name == "FULLY_CONNECTED":
            kernel = value(int(inputs[1]))
            heads.append((kernel, value(int(inputs[2])) if inputs[2] >= 0 else np.zeros(len(kernel))))
    return convolutions, heads


def carry_over(start: Start, recipe: Recipe, labels: Sequence[str]) -> Any:
    """Return a network for `labels` that begins as `start`: the head's columns of labels that stay are kept."""
    network = build_network(recipe, labels, None)
    for layer in network.layers:
        if layer.name != "logits" and layer.get_weights():
            layer.set_weights(start.network.get_layer(layer.name).get_weights())
    kernel, bias = network.get_layer("logits").get_weights()
    old_kernel, old_bias = start.network.get_layer("logits").get_weights()
    for index, label in enumerate(labels):
        if label in start.labels:
            kernel[:, index] = old_kernel[:, start.labels.index(label)]
            bias[index] = old_bias[start.labels.index(label)]
    network.get_layer("logits").set_weights([kernel, bias])
    return network


def fine_tune(recipe: Recipe, source: Path, store: Store, manifest: Manifest, run: Path) -> str:
    """Fine-tune, sign off, compare with the model in service on the held-out tiles, and say which is better.

    The comparison is written to `comparison.json` in the run.
    """
    check_labels(manifest.pictures)
    start = open_start(source)
    labels_known = {picture.label for picture in manifest.pictures}
    own = recipe.changed(
        width=start.recipe.width, input_px=start.recipe.input_px, tile_px=start.recipe.tile_px, auxiliary=None,
        clean=CLEAN in labels_known or bool(recipe.tiles.clean_textures or recipe.tiles.generated_clean),
    )  # fmt: skip
    course = course_of(own, store, manifest)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "init.weights.h5").is_file():
        carry_over(start, own, course.labels).save_weights(run / "partial-init.weights.h5")
        (run / "partial-init.weights.h5").replace(run / "init.weights.h5")
    network = train(own, course, run, None, {"data": manifest.sha256, "init": str(source)})
    signed = signoff.sign_off(network, course, own, run, gate=False)
    signoff.save(run, signed)
    row = compare(start, Int8Network(signed.model), course)
    write_json(run / "comparison.json", row)
    return str(row["verdict"])


def compare(start: Start, new: Int8Network, course: Course) -> dict[str, Any]:
    """Score both int8 networks on the same held-out tiles; a difference counts when an exact McNemar test says so."""
    held = course.validation
    old_logits, new_logits = Int8Network(start.int8)(held.pixels)["logits"], new(held.pixels)["logits"]
    old = np.array([start.labels[int(i)] for i in old_logits.argmax(axis=1)]) == np.array(held.labels)
    fresh = np.array([course.labels[int(i)] for i in new_logits.argmax(axis=1)]) == np.array(held.labels)
    gained, lost = int((fresh & ~old).sum()), int((old & ~fresh).sum())
    chance = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    if chance >= SURE:
        verdict = "no difference is shown: keep the model in service"
    else:
        verdict = "the new model is better" if gained > lost else "the model in service is better"
    in_service, trained = share(int(old.sum()), len(old)), share(int(fresh.sum()), len(fresh))
    told = f"in service {in_service['k']} of {in_service['n']}, new {trained['k']} (p = {chance:.3g}): {verdict}"
    return {"in_service": in_service, "new": trained, "gained": gained, "lost": lost, "p": chance, "verdict": told}
