"""What a run keeps, to stop at any moment and continue: weights and epochs done, each replaced in one step."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.files import write_json

ROOM = 2
"""How many times the weights' bytes must be free before they are written."""


@dataclass(slots=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: Epochs done.
        best_loss: Smallest validation loss so far.
        best_epoch: Its epoch; -1: none yet.
    """

    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = -1

    @staticmethod
    def load(folder: Path) -> Progress:
        """Return what `save_state` wrote into `folder`, or the state of a new run."""
        path = folder / "progress.json"
        if not (path.is_file() and (folder / "state.weights.h5").is_file()):
            return Progress()
        return Progress(**json.loads(path.read_text()))


def save_state(network: Any, folder: Path, progress: Progress) -> None:
    """Write the network's weights, then the progress: stopped between the two, an epoch is trained once more."""
    replace_weights(network, folder / "state.weights.h5")
    write_json(folder / "progress.json", {name: getattr(progress, name) for name in progress.__slots__})


def replace_weights(network: Any, path: Path) -> None:
    """Write weights under another name and rename: a half-written file is never mistaken for a complete one.

    Raises:
        OSError: Too little room; checked beforehand, because HDF5 may end the whole process on a full disk.
    """
    wanted = ROOM * sum(weight.nbytes for weight in network.get_weights())
    if shutil.disk_usage(path.parent).free < wanted:
        raise OSError(errno.ENOSPC, f"no room for {wanted / 1e6:.0f} MB of weights", str(path))
    partial = path.with_name(f"partial-{path.name}")
    network.save_weights(partial)
    partial.replace(path)


class Rate(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the learning rate before every batch, so that an interrupted stage continues with the right one.

    It rises over the first steps of a stage, and again after an interruption: Adam, whose means are not kept, moves
    every weight by the whole rate at first.
    """

    def __init__(self, peak: float, schedule: str, steps: int, epochs: int, done: int) -> None:
        super().__init__()
        self._peak, self._schedule, self._total, self._begun, self._step = peak, schedule, steps * epochs, done, done

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the rate; Keras calls it."""
        part = self._step / self._total
        warm = min(1.0, (self._step - self._begun + 1) / min(50, self._total))
        bend = 0.5 * (1 + np.cos(np.pi * part)) if self._schedule == "cosine" else 1.0
        self.model.optimizer.learning_rate = self._peak * (0.01 + 0.99 * bend) * warm
        self._step += 1
