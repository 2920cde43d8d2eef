"""The int8 network on LiteRT (tflite-runtime where that is what is installed), one interpreter per worker.

`open_model` proves a bundle on this machine before anything relies on it. `Classifier` scores tiles one after another
on one interpreter; `WorkerPool` shares the tiles of a frame among several, because `invoke()` releases the GIL.
Softmax, thresholds and verdicts are `decision`'s business: what leaves here are logits as the network gave them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.predictions import Predictions
from inspector.inspection.preprocess import to_input
from inspector.model.bundle import Bundle

_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


@dataclass(frozen=True, slots=True)
class _Output:
    index: int
    scale: float
    zero_point: int

    def dequantize(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return (raw.astype(np.float64) - self.zero_point) * self.scale


def load_runtime(name: str | None = None) -> tuple[str, Callable[..., Any]]:
    """Return name and `Interpreter` class of the inference runtime.

    Args:
        name: `ai_edge_litert` or `tflite_runtime`; None takes the first that is installed.

    Raises:
        BundleError: None is installed.
    """
    for module in _RUNTIMES:
        package = module.partition(".")[0]
        if name in (None, package):
            try:
                return package, importlib.import_module(module).Interpreter
            except ImportError:
                continue
    raise BundleError(f"no inference runtime: install ai-edge-litert (or tflite-runtime): {name or 'none found'}")


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep the runtime's "INFO: Created ... delegate" off standard error; everything else written meanwhile comes out.

    LiteRT writes it past every log level (`TFLITE_LOG_PROD_ONCE` in its XNNPACK delegate provider).
    """
    sys.stderr.flush()
    kept, held = os.dup(2), os.memfd_create("stderr")
    os.dup2(held, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        with os.fdopen(held, "r+b") as file:
            file.seek(0)
            os.write(2, b"".join(line for line in file if not line.startswith(b"INFO: Created TensorFlow Lite")))
        os.close(kept)


class Classifier:
    """One interpreter, one thread at a time.

    Args:
        bundle: Files that hold their card.
        runtime: As `load_runtime`.
        maps: Read class activation maps, too, which boxes may be read from; deciding does not need them.

    Raises:
        BundleError: The file is no model this runtime can run, or its input or outputs are not what the card says.
    """

    def __init__(self, bundle: Bundle, runtime: str | None = None, maps: bool = True) -> None:
        self.bundle = bundle
        card = bundle.card
        path = bundle.model_path()
        self.runtime, interpreter_class = load_runtime(runtime)
        try:
            with _without_greeting():
                interpreter = interpreter_class(model_path=str(path), num_threads=1)
                interpreter.allocate_tensors()
            details = interpreter.get_signature_runner().get_output_details()
        except Exception as exc:  # runtimes raise ValueError, RuntimeError and others
            raise BundleError(f"{path}: {self.runtime} cannot run this model: {exc}") from exc
        inputs = interpreter.get_input_details()
        expected = (1, card.input_px, card.input_px, 1)
        if len(inputs) != 1 or tuple(inputs[0]["shape"]) != expected or inputs[0]["dtype"] is not np.uint8:
            raise BundleError(
                f"{path}: one uint8 input {expected} is wanted:"
                f" {[(tuple(i['shape'].tolist()), np.dtype(i['dtype']).name) for i in inputs]}"
            )
        if inputs[0]["quantization"] != (1 / 128, 128):
            raise BundleError(f"{path}: input scale 1/128 and zero point 128 are wanted: {inputs[0]['quantization']}")
        self._input_index: int = inputs[0]["index"]
        self._outputs: dict[str, _Output] = {}
        for role, name in card.main.outputs.items():
            if name not in details:
                raise BundleError(f"{path}: no output named {name!r} for {role}: {sorted(details)}")
            scale, zero_point = details[name]["quantization"]
            if details[name]["dtype"] is not np.int8 or not scale:
                raise BundleError(f"{path}: output {name!r} must be int8 with a scale: {details[name]['dtype']}")
            self._outputs[role] = _Output(details[name]["index"], float(scale), int(zero_point))
        shape = tuple(details[card.main.outputs["logits"]]["shape"])
        if shape != (1, len(card.labels)):
            raise BundleError(f"{path}: logits of shape (1, {len(card.labels)}) are wanted, one per label: {shape}")
        if bundle.distance is not None:
            shape, width = tuple(details[card.main.outputs["features"]]["shape"]), bundle.distance.width
            if shape != (1, width):
                raise BundleError(f"{path}: features of shape (1, {width}) are wanted by the unknown rule: {shape}")
        self._interpreter = interpreter
        self._decisive = tuple(role for role in self._outputs if maps or role != "cam")

    def raw_outputs(self, tiles: Sequence[Pixels], roles: Sequence[str] = ()) -> dict[str, npt.NDArray[np.int8]]:
        """Return the int8 outputs by role, one row per tile.

        Args:
            tiles: Any size; each is prepared as `preprocess.to_input` says.
            roles: Which outputs; empty gives all that the model has.
        """
        wanted = {role: self._outputs[role].index for role in roles or self._outputs}
        rows: dict[str, list[npt.NDArray[np.int8]]] = {role: [] for role in wanted}
        side, interpreter = self.bundle.card.input_px, self._interpreter
        for tile in tiles:
            interpreter.set_tensor(self._input_index, to_input(tile, side).reshape(1, side, side, 1))
            interpreter.invoke()
            for role, index in wanted.items():
                rows[role].append(interpreter.get_tensor(index))
        return {role: np.concatenate(values) for role, values in rows.items()}

    def invoke_only(self, inputs: Sequence[Pixels]) -> Predictions:
        """Score inputs that are prepared already, reading nothing but the logits: the bench's yardstick."""
        logits = []
        index = self._outputs["logits"].index
        for tensor in inputs:
            self._interpreter.set_tensor(self._input_index, tensor[np.newaxis, :, :, np.newaxis])
            self._interpreter.invoke()
            logits.append(self._interpreter.get_tensor(index)[0])
        return Predictions(np.stack(logits).astype(np.float64))

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Score tiles one after another; see `Classify`."""
        raw = self.raw_outputs(tiles, self._decisive)
        cam = raw.pop("cam", None)
        return Predictions(**{role: self._outputs[role].dequantize(values) for role, values in raw.items()}, cam=cam)
