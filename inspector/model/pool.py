"""Several interpreters that share the tiles of a frame, because `invoke()` releases the GIL."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.errors import WorkerError
from inspector.frame import Pixels
from inspector.inspection.predictions import Classify, Predictions
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import GoldenResult, check_golden


def open_model(
    bundle: Bundle, workers: int, runtime: str | None = None, *, places: bool = False
) -> tuple[WorkerPool, GoldenResult]:
    """Build the interpreters and prove the bundle on this machine; the caller closes the pool.

    Args:
        bundle: Files that hold their card.
        workers: Interpreters.
        runtime: As `interpreter.load_runtime`.
        places: As `Classifier`.

    Raises:
        BundleError: As `Classifier` and `check_golden` say.
    """
    maps = bundle.card.box_from == "cam"
    classifiers = [Classifier(bundle, runtime, maps=maps, places=places) for _ in range(workers)]
    result = check_golden(classifiers[0])
    return WorkerPool(classifiers), result


def frames_in_flight(workers: int) -> int:
    """Return how many frames are inspected at a time: one more than workers, so that none waits while one is cut."""
    return workers + 1


class WorkerPool:
    """Shares the tiles of a frame among worker threads and puts the rows back in order.

    May be called from several threads at once: chunks of frames queue up first come, first served. `busy_s` is how
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
            started = time.perf_counter()
            self._score(classify, *job)
            self.busy_s[number] += time.perf_counter() - started
            del job  # its tiles are views of a frame: it must not be kept until the next one comes

    def _score(self, classify: Classify, tiles: Sequence[Pixels], future: Future[Predictions]) -> None:
        try:
            future.set_result(classify(tiles))
        except BaseException as exc:  # noqa: BLE001 - a worker's outermost function: the caller gets it
            self._failed = exc
            future.set_exception(exc)


def _joined(parts: Sequence[Predictions]) -> Predictions:
    if len(parts) == 1:
        return parts[0]

    def join(name: str) -> npt.NDArray[Any] | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    maps = {role: np.concatenate([part.maps[role] for part in parts]) for role in parts[0].maps}
    return Predictions(np.concatenate([part.logits for part in parts]), join("features"), join("cam"), maps)
