"""From a recipe and a data set to a float network: read from top to bottom.

A run folder holds `run.json` (recipe, data, labels), `state.weights.h5` with `progress.json` (to continue after an
interruption), `history.jsonl`, TensorBoard logs and, if the rate stays constant, `best.weights.h5`. Every file is
written under another name and renamed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.data.learned import LEARNED, write_learned
from training.errors import RecipeError
from training.files import write_json
from training.network.checkpoint import Progress, Rate, replace_weights, save_state
from training.network.course import Course
from training.network.feed import stacked_input, steps_per_epoch, training_batches
from training.network.network import build_network, float_input, fold_batch_norm, pointing_loss, set_trainable, with_map
from training.recipe import Recipe


def train(recipe: Recipe, course: Course, run: Path, weights: Path | None, provenance: dict[str, Any]) -> Any:
    """Train, or continue where an interrupted run stopped, and return the network; see `kept_weights`.

    Raises:
        RecipeError: `run` belongs to another recipe or other data.
    """
    claim(recipe, course, run, provenance)
    write_learned(run / LEARNED, course.learned)
    progress = Progress.load(run)
    held = float_input(stacked_input(course.validation.pixels, recipe.input_px), recipe)
    wanted = np.array([course.labels.index(label) for label in course.validation.labels])
    network = None
    first_epoch = 0
    for number, stage in enumerate(recipe.stages):
        last_epoch = first_epoch + stage.epochs
        if progress.epoch >= last_epoch:
            first_epoch = last_epoch
            continue
        side = stage.input_px or recipe.input_px
        network = build_network(recipe, course.labels, weights, side)
        if progress.epoch:
            network.load_weights(run / "state.weights.h5")
        elif (run / "init.weights.h5").is_file():
            network.load_weights(run / "init.weights.h5")
        learns = set_trainable(network, recipe, stage.train_from)
        if recipe.freeze_batch_norm:
            fold_batch_norm(network)
        learner = with_map(network)
        learner.compile(
            optimizer=keras.optimizers.Adam(stage.learning_rate),
            loss={
                "logits": keras.losses.CategoricalCrossentropy(True, label_smoothing=recipe.label_smoothing),
                "cam": pointing_loss,
            },
            loss_weights={"logits": 1.0, "cam": recipe.pointing},
            metrics={"logits": [keras.metrics.CategoricalAccuracy(name="accuracy")]},
            jit_compile=False,
        )
        told = f"stage {number + 1}/{len(recipe.stages)}: {learns:,} weights learn at {side} px"
        print(f"{told} from {len(course.train):,} tiles, epochs {progress.epoch + 1} to {last_epoch}", flush=True)
        steps = steps_per_epoch(course.train, recipe)
        judged = held if side == recipe.input_px else None
        keeper = _Keeper(run, progress, network, judged, wanted, recipe)
        rate = Rate(stage.learning_rate, stage.schedule, steps, stage.epochs, (progress.epoch - first_epoch) * steps)
        callbacks = [rate, keeper, keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False)]
        learner.fit(
            training_batches(
                course.train, course.labels, recipe,
                input_px=side, first_epoch=progress.epoch, epochs=last_epoch - progress.epoch,
            ),
            initial_epoch=progress.epoch, epochs=last_epoch, steps_per_epoch=steps, callbacks=callbacks, verbose=0,
            shuffle=False,
        )  # fmt: skip
        progress.epoch, first_epoch = last_epoch, last_epoch
        save_state(network, run, progress)
    network = build_network(recipe, course.labels, None)
    network.load_weights(kept_weights(run, recipe))
    return network


def kept_weights(run: Path, recipe: Recipe) -> Path:
    """Return the file of the weights that are the result of a finished run.

    They are the last ones if the rate has fallen along a cosine: the lowest validation loss comes by chance, while the
    rate is still high (`LOG.md`). Under a constant rate no epoch is the end, and the best one is taken.
    """
    return run / ("best.weights.h5" if recipe.stages[-1].schedule == "constant" else "state.weights.h5")


def load_run(run: Path) -> tuple[Recipe, tuple[str, ...], Any]:
    """Return recipe, labels and float network of a finished run.

    Raises:
        RecipeError: No run there, or an unfinished one.
    """
    identity = read_identity(run)
    try:
        recipe, labels = Recipe.of_another_version(identity["recipe"]), tuple(identity["labels"])
    except (ValueError, KeyError) as exc:
        raise RecipeError(f"{run}: not a run folder: {exc}") from exc
    done, wanted = Progress.load(run).epoch, sum(stage.epochs for stage in recipe.stages)
    kept = kept_weights(run, recipe)
    if done < wanted or not kept.is_file():
        raise RecipeError(f"{run}: interrupted, run train again: {done} of {wanted} epochs")
    network = build_network(recipe, labels, None)
    network.load_weights(kept)
    return recipe, labels, network


def read_identity(run: Path) -> dict[str, Any]:
    """Return what a run folder is for, as `claim` wrote it.

    Raises:
        RecipeError: No run there, or a damaged one.
    """
    try:
        return dict(json.loads((run / "run.json").read_text()))
    except (OSError, ValueError, TypeError) as exc:
        raise RecipeError(f"{run}: not a run folder: {exc}") from exc


def refuse_other_data(run: Path, provenance: dict[str, str]) -> None:
    """Refuse to continue with a run on data that it was not trained on.

    Args:
        run: A finished run.
        provenance: Kind of data to the hash of its manifest, as `train` got it.

    Raises:
        RecipeError: A hash differs, or no run is there.
    """
    known = read_identity(run)
    for kind, sha256 in provenance.items():
        if known.get(kind) != sha256:
            raise RecipeError(f"{run}: was trained on other pictures: {kind} {known.get(kind)}, here {sha256}")


class _Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: validates, keeps state and, if asked for, best weights, prints one line, stops early."""

    def __init__(self, run: Path, progress: Progress, network: Any, held: Any, wanted: Any, recipe: Recipe) -> None:
        super().__init__()
        self._run, self._progress, self._held, self._wanted = run, progress, held, wanted
        self._network, self._recipe, self._started = network, recipe, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        progress, row = self._progress, {"epoch": epoch + 1, **{k: round(float(v), 5) for k, v in (logs or {}).items()}}
        progress.epoch = epoch + 1
        if self._held is not None:
            logits = np.concatenate([self._network.predict_on_batch(part) for part in _chunks(self._held, 64)])
            shifted = logits - logits.max(axis=1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            loss = float(-log_p[np.arange(len(log_p)), self._wanted].mean())
            row |= {"val_loss": round(loss, 5), "val_accuracy": float((logits.argmax(axis=1) == self._wanted).mean())}
            if loss < progress.best_loss:
                progress.best_loss, progress.best_epoch = loss, epoch
                if self._recipe.stages[-1].schedule == "constant":
                    replace_weights(self._network, kept_weights(self._run, self._recipe))
            elif epoch - progress.best_epoch >= self._recipe.patience:
                self.model.stop_training = True
        row["seconds"] = round(time.monotonic() - self._started, 1)
        save_state(self._network, self._run, progress)
        with (self._run / "history.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print("  " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def _chunks(values: Any, size: int) -> list[Any]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def claim(recipe: Recipe, course: Course, run: Path, provenance: dict[str, Any]) -> None:
    """Write what a run folder is for, or check that it is for the same.

    Raises:
        RecipeError: It belongs to another recipe or other data.
    """
    run.mkdir(parents=True, exist_ok=True)
    identity = {"recipe": recipe.model_dump(), "digest": recipe.digest, "labels": list(course.labels), **provenance}
    identity, path = json.loads(json.dumps(identity)), run / "run.json"
    if path.is_file():
        known = json.loads(path.read_text())
        keys = (identity.keys() | known.keys()) - {"pictures"}  # follows from `data`, and older runs lack it
        differing = sorted(key for key in keys if identity.get(key) != known.get(key))
        if differing:
            raise RecipeError(f"{run}: holds a run of another configuration, {', '.join(differing)} differ: {run}")
    write_json(path, identity)
