"""The int8 network on LiteRT (tflite-runtime where that is what is installed), one interpreter per worker.

`open_model` proves a bundle on this machine before anything relies on it. `Classifier` scores tiles one after another
on one interpreter; `WorkerPool` shares the tiles of a frame among several, because `invoke()` releases the GIL.
Softmax, thresholds and verdicts are `decision`'s business: what leaves here are logits as the network gave them.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from inspector.bundle import Bundle
from inspector.errors import BundleError, WorkerError
from inspector.frame import Pixels
from inspector.preprocess import to_input

MAX_LOGIT_STEPS = 8
"""Golden logits may differ by this many int8 steps on kernels other than XNNPACK on x86 (measured: at most 5)."""

_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What the network says of N tiles.

    Attributes:
        logits: (N, C) float64, dequantized, before temperature and softmax.
        features: (N, D) float64, dequantized, or None where the model has no such output.
        cam: (N, h, w, C) int8 class activation maps in steps of their quantization: only places are compared. Or None.
    """

    logits: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64] | None = None
    cam: npt.NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        if self.logits.ndim != 2:
            raise ValueError(f"logits must be (N, C): {self.logits.shape}")


class Classify(Protocol):
    """Scores tiles; a worker pool, one classifier, or a stub in tests."""

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Return one row per tile, in order. Tiles are (H, W) or (H, W, 3) uint8 of any size."""
        ...


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


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How this machine scores the golden tiles: `exact`, or within `MAX_LOGIT_STEPS` with equal decisions."""

    agreement: Literal["exact", "tolerated"]
    max_steps: int
    tiles: int


def check_golden(classifier: Classifier) -> GoldenResult:
    """Score the bundle's golden tiles and compare.

    Raises:
        BundleError: Preprocessing gives other bytes, a logit is more than `MAX_LOGIT_STEPS` off, or a decision differs.
    """
    bundle = classifier.bundle
    golden, path = bundle.golden, bundle.root / bundle.card.golden
    for number, (tile, expected) in enumerate(zip(golden.tiles, golden.input_sha256, strict=True)):
        actual = hashlib.sha256(to_input(tile, bundle.card.input_px).tobytes()).hexdigest()
        if actual != str(expected):
            raise BundleError(f"{path}: tile {number} is preprocessed to other bytes on this machine: {actual}")
    logits = classifier.raw_outputs(list(golden.tiles))["logits"].astype(np.int16)
    steps = np.abs(logits - golden.logits)
    worst = int(steps.max())
    if worst > MAX_LOGIT_STEPS:
        raise BundleError(f"{path}: golden scores do not hold on this machine, {worst} steps off in tile "
                          f"{int(steps.max(axis=1).argmax())} (at most {MAX_LOGIT_STEPS})")  # fmt: skip
    if (logits.argmax(axis=1) != golden.logits.argmax(axis=1)).any():
        raise BundleError(f"{path}: golden tiles are decided differently on this machine")
    return GoldenResult("exact" if worst == 0 else "tolerated", worst, len(golden.tiles))


def open_model(bundle: Bundle, workers: int, runtime: str | None = None) -> tuple[WorkerPool, GoldenResult]:
    """Build the interpreters and prove the bundle on this machine; the caller closes the pool.

    Raises:
        BundleError: As `Classifier` and `check_golden` say.
    """
    classifiers = [Classifier(bundle, runtime, maps=bundle.card.box_from == "cam") for _ in range(workers)]
    result = check_golden(classifiers[0])
    return WorkerPool(classifiers), result


class WorkerPool:
    """Shares the tiles of a frame among worker threads and puts the rows back in order.

    May be called from several threads at once: chunks of frames queue up first come, first served. `busy_s` tells how
    long each worker has been scoring, seconds.
    """

    def __init__(self, classifiers: Sequence[Classify]) -> None:
        self._jobs: queue.SimpleQueue[tuple[Sequence[Pixels], Future[Predictions]] | None] = queue.SimpleQueue()
        self.busy_s = [0.0] * len(classifiers)
        self._failed: BaseException | None = None
        self._closed = False
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(number, classify), name=f"inspect-{number}", daemon=True)
            for number, classify in enumerate(classifiers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def workers(self) -> int:
        """How many interpreters work."""
        return len(self._threads)

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        """Score tiles on all workers; see `Classify`.

        Raises:
            WorkerError: A worker has died, or the pool is closed.
        """
        if self._failed is not None:
            raise WorkerError(f"an inspection worker has died: {self._failed!r}") from self._failed
        parts = min(len(self._threads), len(tiles))
        bounds = [len(tiles) * part // parts for part in range(parts + 1)]
        futures: list[Future[Predictions]] = []
        with self._guard:
            if self._closed:
                raise WorkerError("the inspection workers have been closed")
            for start, end in pairwise(bounds):
                future: Future[Predictions] = Future()
                futures.append(future)
                self._jobs.put((tiles[start:end], future))
        try:
            return _joined([future.result() for future in futures])
        except BaseException as exc:
            if self._failed is None:
                raise
            raise WorkerError(f"an inspection worker has died: {exc!r}") from exc

    def close(self) -> None:
        """Let the workers finish what is queued, and end them."""
        with self._guard:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    def _work(self, number: int, classify: Classify) -> None:
        while (job := self._jobs.get()) is not None:
            tiles, future = job
            started = time.perf_counter()
            try:
                future.set_result(classify(tiles))
            except BaseException as exc:  # noqa: BLE001 - a worker's outermost function: the caller gets it
                self._failed = exc
                future.set_exception(exc)
            self.busy_s[number] += time.perf_counter() - started


def _joined(parts: Sequence[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]

    def join(name: str) -> npt.NDArray[Any] | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Predictions(np.concatenate([part.logits for part in parts]), join("features"), join("cam"))
