"""From a recipe and a data set to a float network: read from top to bottom.

A run folder holds `run.json` (recipe, data, labels), `state.weights.h5` with `progress.json` (to go on after an
interruption), `history.jsonl`, TensorBoard logs and, where the rate stays constant, `best.weights.h5`. Every file is
written beside itself and renamed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from inspector.frame import Pixels
from inspector.labels import CLEAN
from training.checkpoint import Progress, Rate, replace_weights, save_state
from training.data.dataset import Picture, Store, load_pixels
from training.data.learned import LEARNED, known_groups, picture_id, write_learned
from training.data.manifest import Manifest
from training.data.prepare import check_sizes, check_surfaces
from training.data.reviewed import read_marked_pictures
from training.errors import DataError, RecipeError
from training.feed import stacked_input, steps_per_epoch, training_batches
from training.files import write_json
from training.network import build_network, float_input, fold_batch_norm, pointing_loss, set_trainable, with_map
from training.recipe import Recipe
from training.tiles.auxiliary import NOTHING, Auxiliary
from training.tiles.composed import ARTIFICIAL_GROUND, composed_tiles, cut_picture_tiles
from training.tiles.generated import TRAIN_SEED, VALIDATION_SEED, generated_clean_tiles, generated_tiles
from training.tiles.tile_set import TileSet, picture_tiles, sum_tiles, texture_tiles

VALIDATION_CLEAN = 4
"""So many times as many clean tiles for each held-out picture: a threshold needs rare false alarms to be seen."""
VALIDATION_FOLDS = 8
"""One part in eight of the training split, whole groups, is held out to stop early and to set thresholds."""


# -- what to learn from ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a run learns from and is judged by: tiles, and the label order of the logits."""

    labels: tuple[str, ...]
    train: TileSet
    validation: TileSet
    learned: frozenset[str]
    """Marks of the data set's pictures behind `train` (see `learned`)."""


def carve_validation(
    pictures: Sequence[Picture], seed: int = 0, known: frozenset[str] = frozenset()
) -> tuple[list[int], list[int]]:
    """Split pictures into (train, validation) indices by group, an eighth of each label's as near as groups allow.

    Groups of which the start has learned a picture (`known`) are held out last.

    Raises:
        DataError: A label has all its pictures in one group, so that nothing of it could be held out.
    """
    labels, groups = [picture.label for picture in pictures], [picture.group for picture in pictures]
    groups_of = {label: {picture.group for picture in pictures if picture.label == label} for label in set(labels)}
    fewest = min(groups_of, key=lambda label: (len(groups_of[label]), label))
    check_surfaces(pictures)
    if len(groups_of[fewest]) >= VALIDATION_FOLDS and not known:
        folds = StratifiedGroupKFold(VALIDATION_FOLDS, shuffle=True, random_state=seed)
        kept, held = next(iter(folds.split(np.zeros(len(pictures)), labels, groups)))
        return kept.tolist(), held.tolist()
    chosen = _groups_to_hold_out(pictures, known, np.random.default_rng(seed))
    sides = [[i for i, group in enumerate(groups) if (group in chosen) == side] for side in (False, True)]
    return sides[0], sides[1]


def _groups_to_hold_out(pictures: Sequence[Picture], known: frozenset[str], rng: np.random.Generator) -> set[str]:
    """Return at least one group a label, no more than an eighth where more than one are taken.

    Never the largest of the label, or of its known ones. For data with a rare label: as many folds as it has groups
    would hold out half of everything. And for data of which a part is `known` to the start: those groups come last.
    """
    chosen: set[str] = set()
    for label in sorted({picture.label for picture in pictures}):
        sizes = Counter(picture.group for picture in pictures if picture.label == label)
        wanted = sizes.total() / VALIDATION_FOLDS
        largest = max(sorted(sizes), key=lambda each: (each in known, sizes[each]))
        shuffled = [str(group) for group in rng.permutation(sorted(set(sizes) - {largest}))]
        taken = sum(sizes[group] for group in chosen)
        for group in sorted(shuffled, key=lambda each: (each in known, sizes[each])):
            if taken == 0 or taken + sizes[group] <= wanted:
                chosen.add(group)
                taken += sizes[group]
    return chosen


def course_of(
    recipe: Recipe,
    store: Store,
    manifest: Manifest,
    auxiliary: Auxiliary = NOTHING,
    learned: frozenset[str] = frozenset(),
) -> Course:
    """Return the tiles of a run over a data set's training split, or over all of it where it brings no split.

    `learned` marks what the start of the run has learned from.

    Raises:
        DataError: It brings a split to be held out, and none to train on, or a picture that the daemon would tile.
    """
    pictures = manifest.split("train")
    if not pictures and manifest.split("validation"):
        raise DataError(f"train: the data set has pictures to hold out, and none in a folder named train: {store.root}")
    pictures = pictures or list(manifest.pictures)
    check_sizes(pictures, recipe.tile_px)
    known = known_groups(manifest.pictures, learned)
    return assemble(recipe, pictures, load_pixels(store, pictures), auxiliary, known)


def assemble(
    recipe: Recipe,
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    auxiliary: Auxiliary = NOTHING,
    known: frozenset[str] = frozenset(),
) -> Course:
    """Return the tiles of a run; `pictures` are those it may learn from, held-out test pictures are not among them.

    Generated tiles join for the labels that the pictures have, and for `clean`. Auxiliary tiles are learned from, and
    nothing is judged or calibrated on them.
    """
    labels = tuple(sorted({picture.label for picture in pictures} - {CLEAN}))
    if recipe.clean or any(picture.label == CLEAN for picture in pictures):
        labels = (*labels, CLEAN)
    kept, held = carve_validation(pictures, known=known)
    sides = []
    for part, (side, share) in enumerate(((kept, 1.0), (held, len(held) / len(kept)))):
        theirs, their_pixels = [pictures[i] for i in side], [pixels[i] for i in side]
        clean_times = VALIDATION_CLEAN if part else 1
        tiles = companions(recipe, theirs, their_pixels, share, clean_times, seed=1000 * recipe.seed + part)
        sides.append(tiles.pick([i for i, label in enumerate(tiles.labels) if label in labels]))
    return Course(labels, sides[0] + auxiliary.tiles, sides[1], frozenset(picture_id(pictures[i]) for i in kept))


def companions(
    recipe: Recipe, pictures: Sequence[Picture], pixels: Sequence[Pixels], share: float, clean_times: int, seed: int
) -> TileSet:
    """Return the pictures as tiles, with the recipe's clean, cut and generated tiles made from these pictures alone.

    Args:
        recipe: How many tiles of a kind.
        pictures: Of one side.
        pixels: Theirs.
        share: Part of the recipe's numbers.
        clean_times: So many times as many clean tiles.
        seed: Of what is drawn.
    """
    wanted = recipe.tiles
    marked_pictures = read_marked_pictures() if recipe.ground == "reviewed" else frozenset()

    def count(number: int, times: int = 1) -> int:
        return round(number * share * times)

    parts = [picture_tiles(pictures, pixels)]
    if wanted.clean_quilted or wanted.cut:
        made = composed_tiles(
            pictures, pixels, clean=count(wanted.clean_quilted, clean_times), cut=count(wanted.cut),
            tile_px=recipe.tile_px, seed=seed, artificial=ARTIFICIAL_GROUND, marked_pictures=marked_pictures,
        )  # fmt: skip
        parts.append(made)
    parts.append(
        cut_picture_tiles(pictures, pixels, count(wanted.cut_pictures), recipe.tile_px, seed + 500, marked_pictures)
    )
    parts.append(texture_tiles(count(wanted.clean_textures), recipe.tile_px, seed))
    drawn = seed % 1000 * (VALIDATION_SEED - TRAIN_SEED) + TRAIN_SEED + seed // 1000 * 10_000
    parts.append(generated_tiles(count(wanted.generated_defects), recipe.tile_px, drawn))
    parts.append(generated_clean_tiles(count(wanted.generated_clean, clean_times), recipe.tile_px, drawn))
    return sum_tiles(parts)


# -- the run -----------------------------------------------------------------------------------------------------------


def train(recipe: Recipe, course: Course, run: Path, weights: Path | None, provenance: dict[str, Any]) -> Any:
    """Train, or go on where an interrupted run stopped, and return the network; see `kept_weights`.

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
    """Return the file of the weights that a finished run gives.

    They are the last ones where the rate has fallen along a cosine: the lowest validation loss comes by chance, while
    the rate is still high (`LOG.md`). Under a constant rate no epoch is the end, and the best one is taken.
    """
    return run / ("best.weights.h5" if recipe.stages[-1].schedule == "constant" else "state.weights.h5")


def load_run(run: Path) -> tuple[Recipe, tuple[str, ...], Any]:
    """Return recipe, labels and float network of a finished run.

    Raises:
        RecipeError: No run there, or one that has not reached its end.
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
    """Refuse to go on with a run on data that it was not trained on.

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


def float_logits(network: Any, tiles: Sequence[Pixels], recipe: Recipe) -> npt.NDArray[np.float64]:
    """Return the (N, C) output of a float network, its logits as a rule, for whole tiles."""
    rows = [
        network.predict_on_batch(float_input(stacked_input(tiles[start : start + 64], recipe.input_px), recipe))
        for start in range(0, len(tiles), 64)
    ]
    return np.concatenate(rows).astype(np.float64)


# -- keeping what was done ---------------------------------------------------------------------------------------------


class _Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: validates, keeps state and, where asked for, best weights, tells one line, stops early."""

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
    """Write what a run folder is for, or see that it is for the same.

    Raises:
        RecipeError: It belongs to another recipe or other data.
    """
    run.mkdir(parents=True, exist_ok=True)
    identity = {"recipe": recipe.model_dump(), "digest": recipe.digest, "labels": list(course.labels), **provenance}
    identity, path = json.loads(json.dumps(identity)), run / "run.json"
    if path.is_file():
        known = json.loads(path.read_text())
        keys = (identity.keys() | known.keys()) - {"pictures"}  # follows from `data`, and runs of before lack it
        differing = sorted(key for key in keys if identity.get(key) != known.get(key))
        if differing:
            raise RecipeError(f"{run}: holds a run of another configuration, {', '.join(differing)} differ: {run}")
    write_json(path, identity)
