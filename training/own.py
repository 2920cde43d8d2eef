"""The next model from your own pictures: start from a bundle or a run, fine-tune, and compare before you switch.

A bundle holds no float weights and needs none: the int8 file's kernels, scaled back, are the float kernels to within
half a step, with BatchNorm folded in. New labels are allowed; rows of the head for labels that stay are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest  # type: ignore[import-untyped]

from inspector.labels import CLEAN
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.interpreter import Int8Network, load_runtime
from training.bundle.provenance import data_sets, learned_from
from training.data.dataset import DataSet
from training.data.learned import LEARNED_BEFORE, known_groups, read_learned, write_learned
from training.data.manifest import Manifest
from training.data.prepare import check_labels
from training.errors import WeightsError
from training.files import write_json
from training.int8 import signoff
from training.judge.intervals import share
from training.network.checkpoint import replace_weights
from training.network.course import Course, course_of
from training.network.network import build_network
from training.network.train import claim, load_run, train
from training.recipe import Recipe

SURE = 0.05
ENOUGH_GROUPS = 20
"""Held-out surfaces, from which on no difference shown is a finding; of fewer there are too few to tell."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where fine-tuning begins: the previous network, its labels, and what its weights have seen.

    Attributes:
        sets: As `data.sets` of a card.
        learned_from: Folders of another mill.
        learned: Marks of its pictures (see `learned`).
    """

    recipe: Recipe
    labels: tuple[str, ...]
    network: Any
    int8: bytes
    sets: list[dict[str, str]]
    learned_from: tuple[str, ...]
    learned: frozenset[str]


def open_start(source: Path) -> Start:
    """Return the network of a run folder or a bundle.

    Raises:
        DataError: The run is not quantized.
        WeightsError: Neither is there.
    """
    if (source / "run.json").is_file():
        recipe, labels, network = load_run(source)
        identity = json.loads((source / "run.json").read_text())
        model, sets = signoff.load(source).model, data_sets(identity)
        return Start(recipe, labels, network, model, sets, learned_from(identity), read_learned(source))
    root = find_bundle(str(source))
    if not (root / "card.json").is_file():
        raise WeightsError(f"init: neither a bundle nor a run: {source}")
    loaded = load_bundle(root)
    Classifier(loaded)
    recipe = Recipe.of_another_version(loaded.card.training["recipe"])
    raw = loaded.model_path().read_bytes()
    network = network_from_int8(recipe, loaded.card.labels, raw)
    sets = list(loaded.card.data.get("sets", []))
    return Start(recipe, loaded.card.labels, network, raw, sets, learned_from(loaded.card.training), read_learned(root))


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
    if len(convolutions) != len(kernels) or len(norms) != len(kernels) or len(heads) != 1:
        raise WeightsError(f"init: {len(convolutions)} convolutions lead to the logits, {len(kernels)} are wanted")
    for layer, norm, (kernel, bias) in zip(kernels, norms, convolutions, strict=True):
        shape = layer.get_weights()[0].shape
        turned = kernel.transpose(1, 2, 3, 0)
        if turned.shape != shape:
            raise WeightsError(f"init: {layer.name} is {shape}, the file has {turned.shape}")
        layer.set_weights([turned])
        norm.set_weights([np.full_like(bias, np.sqrt(1 + norm.epsilon)), bias, np.zeros_like(bias), np.ones_like(bias)])
    kernel, bias = heads[0]
    network.get_layer("logits").set_weights([kernel.T, bias])
    return network


def _int8_weights(raw: bytes) -> tuple[list[tuple[_Floats, _Floats]], list[tuple[_Floats, _Floats]]]:
    """Return kernels and biases of the convolutions, and of the matrix products, that lead to the logits."""
    interpreter = load_runtime()[1](model_content=raw)
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}

    def value(index: int) -> _Floats:
        parameters = tensors[index]["quantization_parameters"]
        scales, axis = parameters["scales"], parameters["quantized_dimension"]
        integers = interpreter.get_tensor(index).astype(np.float64)
        return np.asarray(integers * scales.reshape([-1 if i == axis else 1 for i in range(integers.ndim)]), np.float64)

    convolutions, heads = [], []
    needed = {int(interpreter.get_signature_runner().get_output_details()["logits"]["index"])}
    for operator in reversed(interpreter._get_ops_details()):  # they stand in the order in which they run
        name, inputs = operator["op_name"], [int(index) for index in operator["inputs"]]
        if not needed & {int(index) for index in operator["outputs"]}:
            continue
        needed |= set(inputs)
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            convolutions.append((value(inputs[1]), value(inputs[2])))
        elif name == "FULLY_CONNECTED":
            kernel = value(inputs[1])
            heads.append((kernel, value(inputs[2]) if inputs[2] >= 0 else np.zeros(len(kernel))))
    return convolutions[::-1], heads


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


def fine_tune(recipe: Recipe, source: Path, data_set: DataSet, manifest: Manifest, run: Path) -> str:
    """Fine-tune, sign off, compare with the model in service on held-out pictures, and say which is better.

    Pictures that the one in service has not learned from are held out first, and only they decide.

    The comparison is written to `comparison.json` in the run.
    """
    check_labels(manifest.pictures)
    start = open_start(source)
    labels_known = {picture.label for picture in manifest.pictures}
    own = recipe.changed(
        width=start.recipe.width, input_px=start.recipe.input_px, tile_px=start.recipe.tile_px, auxiliary=None,
        colour=start.recipe.colour, scaling=start.recipe.scaling,
        clean=CLEAN in labels_known or bool(recipe.tiles.clean_textures or recipe.tiles.generated_clean),
    )  # fmt: skip
    course = course_of(own, data_set, manifest, learned=start.learned)
    begun = {
        "data": manifest.sha256,
        "pictures": manifest.pictures_sha256,
        "init": str(source),
        "init_sha256": hashlib.sha256(start.int8).hexdigest(),
        "init_sets": start.sets,
        "init_learned_from": list(start.learned_from),
        "init_learned_sha256": hashlib.sha256("".join(sorted(start.learned)).encode()).hexdigest(),
    }
    claim(own, course, run, begun)
    write_learned(run / LEARNED_BEFORE, start.learned)
    if not (run / "init.weights.h5").is_file():
        replace_weights(carry_over(start, own, course.labels), run / "init.weights.h5")
    network = train(own, course, run, None, begun)
    signed = signoff.sign_off(network, course, own, run)
    signoff.save(run, signed)
    row = compare(start, Int8Network(signed.model), course, known_groups(manifest.pictures, start.learned))
    write_json(run / "comparison.json", row)
    return str(row["verdict"])


VERDICTS = {
    "nothing_shared": "no held-out picture has a label that both can name, so the two cannot be compared",
    "nothing_new": "no held-out picture is new to the model in service: keep it, and add pictures",
    "too_few": "too few pictures to tell: {more} more",
    "no_difference": "no difference is shown: keep the model in service",
    "better": "the new model is better",
    "worse": "the model in service is better",
}


def _groups_wanted(gained: int, lost: int, groups: int) -> int:
    """Return how many more surfaces would settle it: at the same shares, or because none then is a finding."""
    for total in range(groups + 1, ENOUGH_GROUPS):
        better, worse = (round(count * total / groups) for count in (gained, lost))
        if better + worse and binomtest(better, better + worse, 0.5).pvalue < SURE:
            return total - groups
    return ENOUGH_GROUPS - groups


def compare(start: Start, new: Int8Network, course: Course, known: frozenset[str]) -> dict[str, Any]:
    """Score both int8 networks on the same held-out pictures, one look at each, and say which is better.

    Composed and generated tiles do not count: the new network has learned from such tiles. Pictures of a label that the
    one in service cannot name do not count either; how many of them the new one names is reported beside. Nor do groups
    that the one in service has learned from (`known`). Views of one surface are one vote: an exact sign test over the
    groups of which one network has more right than the other.
    """
    held = course.validation
    old_logits, new_logits = (each(held.pixels, ("logits",))["logits"] for each in (Int8Network(start.int8), new))
    old = np.array([start.labels[int(i)] for i in old_logits.argmax(axis=1)]) == np.array(held.labels)
    fresh = np.array([course.labels[int(i)] for i in new_logits.argmax(axis=1)]) == np.array(held.labels)
    taken = np.array([origin == "picture" for origin in held.origins])
    named = np.array([label in start.labels for label in held.labels])
    news = np.array([group not in known for group in held.groups])
    judged = taken & named & news
    votes: dict[str, int] = defaultdict(int)
    for i in np.flatnonzero(judged):
        votes[held.groups[i]] += int(fresh[i]) - int(old[i])
    gained, lost = sum(vote > 0 for vote in votes.values()), sum(vote < 0 for vote in votes.values())
    chance = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    more = 0
    if not (taken & named).any():
        outcome = "nothing_shared"
    elif not judged.any():
        outcome = "nothing_new"
    elif chance < SURE:
        outcome = "better" if gained > lost else "worse"
    elif len(votes) < ENOUGH_GROUPS:
        outcome = "too_few"
        pictures = len(course.learned) + int(taken.sum())
        more = math.ceil(_groups_wanted(gained, lost, len(votes)) * pictures / len(set(np.array(held.groups)[taken])))
    else:
        outcome = "no_difference"
    verdict = VERDICTS[outcome].format(more=more)
    row: dict[str, Any] = {
        "outcome": outcome, "more": more, "held_groups": sorted({held.groups[i] for i in np.flatnonzero(taken)}),
        "in_service": share(int(old[judged].sum()), int(judged.sum())),
        "new": share(int(fresh[judged].sum()), int(judged.sum())),
        "gained": gained, "lost": lost, "p": chance, "left_out": int((taken & named & ~news).sum()),
        "new_labels": sorted(set(course.labels) - set(start.labels)),
        "of_new_labels": share(int(fresh[taken & ~named].sum()), int((taken & ~named).sum())),
        "lost_labels": sorted(set(start.labels) - set(course.labels)),
        "other_tiles": {
            "in_service": share(int(old[~taken & named].sum()), int((~taken & named).sum())),
            "new": share(int(fresh[~taken & named].sum()), int((~taken & named).sum())),
        },
    }  # fmt: skip
    told = f"in service {row['in_service']['k']} of {row['in_service']['n']} held-out pictures, new {row['new']['k']}"
    told = f"{told} (p = {chance:.3g}): {verdict}"
    if row["left_out"]:
        told += f"; {row['left_out']} more do not count: the model in service has learned from their surfaces"
    if not start.learned:
        told += "; what the model in service has learned from is not listed, so all of them count"
    if row["new_labels"]:
        count = row["of_new_labels"]
        told += f"; newly named: {', '.join(row['new_labels'])}, {count['k']} of {count['n']}"
    if row["lost_labels"]:
        told += f"; NO LONGER NAMED, for want of pictures of them: {', '.join(row['lost_labels'])}"
    return {**row, "verdict": told}
