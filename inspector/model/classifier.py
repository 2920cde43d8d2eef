"""The int8 network of a bundle, one interpreter per worker, held to what its card says.

`Classifier` scores tiles one after another on one interpreter. It returns logits as the network gave them; softmax,
thresholds and verdicts belong to `decision`. `golden` proves that a bundle scores here as it scored in training; `pool`
shares the tiles of a frame among several classifiers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.predictions import Predictions
from inspector.model.bundle import Bundle
from inspector.model.interpreter import Int8Network

PLACES = ("map", "map_deep")
"""Roles of the outputs that say what places look like."""


class Classifier:
    """One interpreter, one thread at a time.

    Args:
        bundle: Files that hold their card.
        runtime: As `interpreter.load_runtime`.
        maps: Read class activation maps, too, which boxes may be read from; deciding does not need them.
        places: Read what places look like, too, where the bundle says it: what a reference is made of, and judges.

    Raises:
        BundleError: This runtime cannot run the file, or its input or outputs are not what the card says.
    """

    def __init__(self, bundle: Bundle, runtime: str | None = None, maps: bool = True, places: bool = False) -> None:
        self.bundle = bundle
        self._network = Int8Network(bundle.model_path(), runtime)
        self._names = {str(role): name for role, name in bundle.card.main.outputs.items()}
        check_file(bundle, self._network)
        self.runtime = self._network.runtime
        read = ("logits", "features", *(("cam",) if maps else ()), *(PLACES if places else ()))
        self._decisive = tuple(role for role in read if role in self._names)

    @property
    def network(self) -> Int8Network:
        """Its interpreter, for what is measured."""
        return self._network

    @property
    def decisive(self) -> dict[str, str]:
        """Names in the file of the outputs that a tile's verdict and box are read from, by role."""
        return {role: self._names[role] for role in self._decisive}

    def raw_outputs(self, tiles: Sequence[Pixels], roles: Sequence[str] = ()) -> dict[str, npt.NDArray[np.int8]]:
        """Return the int8 outputs by role, one row per tile.

        Args:
            tiles: Any size; each is prepared as `preprocess.to_input` says.
            roles: Which outputs; empty gives all that the model has.
        """
        names = {role: self._names[role] for role in roles or self._names}
        raw = self._network.raw_outputs(tiles, tuple(names.values()))
        return {role: raw[name] for role, name in names.items()}

    def invoke_only(self, inputs: Sequence[Pixels]) -> Predictions:
        """Score prepared inputs and read the logits only: the yardstick of `bench`."""
        logits = []
        for tensor in inputs:
            self._network.invoke(tensor)
            logits.append(self._network.read(self._names["logits"])[0])
        return Predictions(np.stack(logits).astype(np.float64))

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Score tiles one after another; see `Classify`."""
        raw = self.raw_outputs(tiles, self._decisive)
        cam, maps = raw.pop("cam", None), {role: raw.pop(role) for role in PLACES if role in raw}
        outputs = self._network.outputs
        values = {role: outputs[self._names[role]].dequantize(steps) for role, steps in raw.items()}
        return Predictions(values["logits"], values.get("features"), cam, maps)


def check_file(bundle: Bundle, network: Int8Network) -> None:
    """Refuse a file that is not what the card says.

    Raises:
        BundleError: An input or output is missing, or of another shape, type or scale.
    """
    card, path, outputs = bundle.card, bundle.model_path(), network.outputs
    expected = (1, card.input_px, card.input_px, 1)
    if [(tensor.shape, tensor.dtype) for tensor in network.inputs] != [(expected, "uint8")]:
        raise BundleError(
            f"{path}: one uint8 input {expected} is wanted:"
            f" {[(tensor.shape, tensor.dtype) for tensor in network.inputs]}"
        )
    if (scale := (network.inputs[0].scale, network.inputs[0].zero_point)) != (1 / 128, 128):
        raise BundleError(f"{path}: input scale 1/128 and zero point 128 are wanted: {scale}")
    for role, name in card.main.outputs.items():
        if name not in outputs:
            raise BundleError(f"{path}: no output named {name!r} for {role}: {sorted(outputs)}")
        if outputs[name].dtype != "int8" or not outputs[name].scale:
            raise BundleError(f"{path}: output {name!r} must be int8 with a scale: {outputs[name].dtype}")
    for name, tensor in {**outputs, "input": network.inputs[0]}.items():
        stated = card.quantization.get(name)
        held = {"dtype": tensor.dtype, "scale": tensor.scale, "zero_point": tensor.zero_point}
        if stated is not None and stated != held:
            raise BundleError(f"{path}: quantization of {name!r} is {held}, the card says {stated}")
    shape = outputs[card.main.outputs["logits"]].shape
    if shape != (1, len(card.labels)):
        raise BundleError(f"{path}: logits of shape (1, {len(card.labels)}) are wanted, one per label: {shape}")
    if bundle.distance is not None:
        shape, width = outputs[card.main.outputs["features"]].shape, bundle.distance.width
        if shape != (1, width):
            raise BundleError(f"{path}: features of shape (1, {width}) are wanted by the unknown rule: {shape}")
