"""An int8 file on LiteRT (tflite-runtime where that is what is installed): tiles in, outputs by name.

Any such file opens, with or without a card: training runs its files before they have one, through the same code as the
daemon. `classifier` checks a file against its card; `inspection.decision` knows what its numbers mean.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_input

_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


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
    """Keep the runtime's "INFO: Created ... delegate" off standard error; everything else still comes out.

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


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a file.

    Attributes:
        index: Where the runtime keeps it.
        shape: With the batch, which is 1.
        dtype: `uint8` or `int8`, in a file for the daemon.
        scale: What a step stands for; 0 where the tensor is not quantized.
        zero_point: The integer that stands for 0.
    """

    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @staticmethod
    def of(detail: dict[str, Any]) -> Tensor:
        """Return the runtime's description of a tensor."""
        scale, zero_point = detail["quantization"]
        shape, dtype = tuple(int(side) for side in detail["shape"]), np.dtype(detail["dtype"]).name
        return Tensor(int(detail["index"]), shape, dtype, float(scale), int(zero_point))

    def dequantize(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return what integers stand for."""
        return (raw.astype(np.float64) - self.zero_point) * self.scale


class Int8Network:
    """One file on one interpreter, for one thread at a time.

    Args:
        model: The file, or its bytes.
        runtime: As `load_runtime`.

    Attributes:
        runtime: The runtime's name.
        inputs: What it takes; a file for the daemon takes one square of grey.
        outputs: What it gives, by the names in the file.

    Raises:
        BundleError: No runtime, or it cannot run this file.
    """

    def __init__(self, model: Path | bytes, runtime: str | None = None) -> None:
        self.runtime, interpreter_class = load_runtime(runtime)
        given = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        try:
            with _without_greeting():
                interpreter = interpreter_class(**given, num_threads=1)
                interpreter.allocate_tensors()
            outputs = interpreter.get_signature_runner().get_output_details()
        except Exception as exc:  # runtimes raise ValueError, RuntimeError and others
            name = "model" if isinstance(model, bytes) else model
            raise BundleError(f"{name}: {self.runtime} cannot run this model: {exc}") from exc
        self._interpreter = interpreter
        self.inputs = tuple(Tensor.of(detail) for detail in interpreter.get_input_details())
        self.outputs = {name: Tensor.of(detail) for name, detail in outputs.items()}

    @property
    def float_tensors(self) -> list[str]:
        """Return the names of the tensors that are not integers: none in a file that is int8 throughout."""
        details = self._interpreter.get_tensor_details()
        return [detail["name"] for detail in details if np.issubdtype(detail["dtype"], np.floating)]

    def invoke(self, prepared: Pixels) -> None:
        """Run one prepared input, (S, S) or what reshapes to the file's input."""
        tensor = self.inputs[0]
        self._interpreter.set_tensor(tensor.index, prepared.reshape(tensor.shape))
        self._interpreter.invoke()

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return one output of the last run as the file gives it, its batch of 1 in front."""
        value: npt.NDArray[Any] = self._interpreter.get_tensor(self.outputs[name].index)
        return value

    def raw_outputs(self, tiles: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
        """Return outputs as integers by name, one row per tile.

        Args:
            tiles: Any size; each is prepared as `preprocess.to_input` says.
            names: Which outputs; empty gives all.
        """
        rows: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names or self.outputs}
        side = self.inputs[0].shape[1]
        for tile in tiles:
            self.invoke(to_input(tile, side))
            for name, values in rows.items():
                values.append(self.read(name))
        return {name: np.concatenate(values) for name, values in rows.items()}

    def __call__(self, tiles: Sequence[Pixels], names: Sequence[str] = ()) -> dict[str, npt.NDArray[np.float64]]:
        """Return what outputs stand for, by name, one row per tile; without names those of all outputs."""
        return {name: self.outputs[name].dequantize(values) for name, values in self.raw_outputs(tiles, names).items()}
