"""Group-aware cross-validation over all pictures of a data set, float and int8, one JSON a fold.

A fold is skipped if its file has the same configuration hash: recipe, data, fold and seed. Each fold trains the shipped
recipe on the other folds' pictures, with its own clean, cut and generated tiles made from those alone; whole groups of
overlapping views stay on one side.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import keras
import numpy as np

from inspector.inspection.decision import to_scores
from inspector.model.bundle import sha256_file
from inspector.model.interpreter import Int8Network
from training.data.dataset import DataSet, load_pixels
from training.data.folds import group_folds, seen_in
from training.data.manifest import Manifest
from training.errors import FoldError
from training.files import write_json
from training.int8 import signoff
from training.judge.intervals import share
from training.judge.measures import classification
from training.judge.origin import provenance
from training.network.course import assemble
from training.network.network import imagenet_weights
from training.network.predict import predict_tiles
from training.network.train import train
from training.recipe import Recipe
from training.tiles.auxiliary import NOTHING, Auxiliary

FOLD_SCHEMA = "inspector/fold/2"


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of a recipe.

    Attributes:
        recipe: With the fold's seed.
        auxiliary: Pictures from elsewhere that it learns from.
        number: From 0 on.
        digest: Names everything that the fold depends on.
        kept: Places of the pictures to learn from.
        held: Places of the pictures to score.
    """

    recipe: Recipe
    auxiliary: Auxiliary
    number: int
    digest: str
    kept: list[int]
    held: list[int]

    @property
    def run(self) -> Path:
        """The folder of its run, below the working directory."""
        name = f"{self.recipe.name}-{self.recipe.seed}-{self.number}-{self.digest[:8]}"
        return (Path("runs") / "crossval" / name).absolute()


Finished = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[tuple[int, Any]]]
"""Calls a function with each tuple of arguments and yields which one has finished, and what it returned."""


def one_after_another(_: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    """Run folds on this machine, one at a time, each in a process of its own."""
    return ((number, _in_its_own_process(*task)) for number, task in enumerate(tasks))


def cross_validate(
    recipe: Recipe,
    data_set: DataSet,
    manifest: Manifest,
    weights: Path | None,
    *,
    folds: int,
    seeds: int,
    output: Path,
    auxiliary: Auxiliary = NOTHING,
    only: Sequence[int] = (),
    finished: Finished = one_after_another,
) -> dict[str, Any]:
    """Run what is missing and return the summary of all folds; see `sweep`."""
    recipes = [(recipe, auxiliary)]
    found = sweep(
        recipes, data_set, manifest, weights, folds=folds, seeds=seeds, output=output, only=only, finished=finished
    )
    return found.get(recipe.name, {})


def sweep(
    recipes: Sequence[tuple[Recipe, Auxiliary]],
    data_set: DataSet,
    manifest: Manifest,
    weights: Path | None,
    *,
    folds: int,
    seeds: int,
    output: Path,
    only: Sequence[int] = (),
    finished: Finished = one_after_another,
) -> dict[str, dict[str, Any]]:
    """Run what is missing of several recipes' folds and return the summary of each, by name.

    Folds not in `only` are read if their file exists, and otherwise left out; empty: all are run. So several processes,
    or machines that share `output`, take a part of the folds each.

    Without `weights`, they are downloaded for the first fold that has to be run.

    After each fold the summary of the existing ones is written to `crossval.json`, beside those of other recipes;
    `folds_done` is how many they are, and a summary of more folds is not replaced.
    """
    rows: dict[str, dict[tuple[int, int], dict[str, Any]]] = {recipe.name: {} for recipe, _ in recipes}
    summaries: dict[str, dict[str, Any]] = {}
    named = {recipe.name: recipe for recipe, _ in recipes}

    def note(fold: Fold, row: dict[str, Any]) -> None:
        name, seed = fold.recipe.name, fold.recipe.seed
        told = f"{name} seed {seed} fold {fold.number}: int8 {row['int8_correct']} of {row['n']}"
        print(f"{told}, float {row['float_correct']}", flush=True)
        rows[name][seed, fold.number] = {**row, "seen": seen_in(manifest, fold.kept, fold.held)}
        mine = [rows[name][place] for place in sorted(rows[name])]
        summaries[name] = _keep_summary(named[name], mine, manifest, folds, seeds, output)

    missing: list[tuple[Fold, tuple[Any, ...]]] = []
    for fold in _plan(recipes, manifest, folds, seeds):
        if row := read_fold(_file_of(fold, output), fold.digest):
            note(fold, row)
        elif not only or fold.number in only:
            start = weights or imagenet_weights(fold.recipe.width, Path("cache"))
            task = (
                fold.recipe,
                data_set.root.absolute(),
                manifest,
                fold.auxiliary,
                start.absolute(),
                fold.kept,
                fold.held,
            )
            missing.append((fold, (*task, fold.run)))
    for number, found in finished(run_fold, [task for _, task in missing]):
        fold, (_, _, _, _, start, *_) = missing[number]
        row = found | {"schema": FOLD_SCHEMA, "digest": fold.digest, "seed": fold.recipe.seed, "fold": fold.number}
        row |= {"folds": folds, "provenance": {**provenance(manifest), "weights_sha256": sha256_file(start)}}
        path = _file_of(fold, output)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, row)
        note(fold, row)
    return summaries


def _plan(recipes: Sequence[tuple[Recipe, Auxiliary]], manifest: Manifest, folds: int, seeds: int) -> Iterator[Fold]:
    for recipe, auxiliary in recipes:
        for seed in range(1, seeds + 1):
            seeded = recipe.changed(seed=seed)
            for number, (kept, held) in enumerate(group_folds(manifest.pictures, seed, folds)):
                digest = fold_digest(seeded, manifest, auxiliary, folds, seed, number)
                yield Fold(seeded, auxiliary, number, digest, [int(i) for i in kept], [int(i) for i in held])


def _file_of(fold: Fold, output: Path) -> Path:
    return output / "crossval" / fold.recipe.name / f"seed-{fold.recipe.seed}-fold-{fold.number}.json"


def _keep_summary(
    recipe: Recipe, rows: Sequence[dict[str, Any]], manifest: Manifest, folds: int, seeds: int, output: Path
) -> dict[str, Any]:
    """Return the summary of the folds so far, written beside those of other recipes unless one of more is there."""
    summary = summarize(rows, folds, seeds)
    command = f"python -m training crossval {recipe.name} --data DATA/neu-det --seeds {seeds}"
    summary |= {"command": command + (" --auxiliary FOLDER" if recipe.auxiliary else "")}
    summary |= {"recipe": recipe.digest, **provenance(manifest)}
    known = read_summaries(output)
    before = known.get(recipe.name, {})
    if before.get("recipe") != recipe.digest or before["folds_done"] <= len(rows):
        write_json(output / "crossval.json", {**known, recipe.name: summary})
    return summary


def read_summaries(output: Path) -> dict[str, Any]:
    """Return what `crossval.json` holds, by recipe."""
    path = output / "crossval.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def fold_digest(recipe: Recipe, manifest: Manifest, auxiliary: Auxiliary, folds: int, seed: int, number: int) -> str:
    """Return the hash that names everything a fold depends on."""
    data = [manifest.sha256, *auxiliary.provenance.values()]
    text = json.dumps([FOLD_SCHEMA, recipe.digest, *data, folds, seed, number])
    return hashlib.sha256(text.encode()).hexdigest()


def read_fold(path: Path, digest: str) -> dict[str, Any] | None:
    """Return a fold's result if it exists, is complete, and of this configuration."""
    try:
        row = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return dict(row) if row.get("digest") == digest else None


def _in_its_own_process(*arguments: Any) -> dict[str, Any]:
    """Return what `run_fold` does with these: TensorFlow gives no memory back before its process ends.

    Raises:
        FoldError: The process was killed.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as process:
        try:
            return process.submit(run_fold, *arguments).result()
        except BrokenProcessPool as exc:
            raise FoldError(
                "crossval: the process of a fold was killed, for memory as a rule: finished folds are kept, and the"
                " same command goes on"
            ) from exc


def _end_with_parent() -> None:
    """End this process when its parent ends, in whatever way: another start must find no process in the run."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def run_fold(
    recipe: Recipe,
    data: Path,
    manifest: Manifest,
    auxiliary: Auxiliary,
    weights: Path,
    kept: Sequence[int],
    held: Sequence[int],
    run: Path,
) -> dict[str, Any]:
    """Train on `kept`, quantize, and score `held` by both networks, one look at each picture; int8 by four, too.

    Args:
        recipe: With the fold's seed.
        data: The data set that `manifest` describes.
        manifest: Of all pictures.
        auxiliary: Pictures from elsewhere.
        weights: To begin from.
        kept: Places of the pictures to learn from.
        held: Places of the pictures to score.
        run: The run's folder.
    """
    data_set = DataSet(data)
    keras.utils.set_random_seed(recipe.seed)
    pictures = [manifest.pictures[i] for i in kept]
    course = assemble(recipe, pictures, load_pixels(data_set, pictures), auxiliary)
    identity = {"data": manifest.sha256, **auxiliary.provenance, "held_out": [int(i) for i in held]}
    network = train(recipe, course, run, weights, identity)
    made = signoff.round_network(network, course, recipe, run)
    tested = [manifest.pictures[i] for i in held]
    pixels = load_pixels(data_set, tested)
    floats, int8 = predict_tiles(network, pixels, recipe), Int8Network(made.model)
    ints = int8(pixels, ("logits",))["logits"]
    looks, _ = signoff.look_where_doubtful(pixels, ints, course.labels, made.temperature, int8)
    truth = [picture.label for picture in tested]
    tops = {
        kind: [course.labels[int(i)] for i in each.argmax(axis=1)]
        for kind, each in (("f", floats), ("i", ints), ("looks", looks))
    }
    shift = np.abs(to_scores(floats, made.temperature) - to_scores(ints, made.temperature)).max(axis=1)
    return {
        "n": len(tested),
        "labels": list(course.labels),
        "float_correct": sum(a == b for a, b in zip(tops["f"], truth, strict=True)),
        "int8_correct": sum(a == b for a, b in zip(tops["i"], truth, strict=True)),
        "int8_four_looks_correct": sum(a == b for a, b in zip(tops["looks"], truth, strict=True)),
        "disagreements": sum(a != b for a, b in zip(tops["f"], tops["i"], strict=True)),
        "p99_shift": round(float(np.quantile(shift, 0.99)), 5),
        "pictures": [picture.name for picture in tested],
        "truth": truth,
        "float": tops["f"],
        "int8": tops["i"],
        "int8_four_looks": tops["looks"],
    }


def summarize(rows: Sequence[dict[str, Any]], folds: int, seeds: int) -> dict[str, Any]:
    """Return mean, deviation, worst fold and worst class of both networks, pooled over folds and seeds.

    `wilson95` is the widest of the seeds' intervals: another seed scores the same pictures again, not more of them.
    `int8_four_looks` is there if every fold has it: each picture scored as the daemon scores a doubtful tile. `apart`
    leaves out pictures whose surface was learned from another picture, which groups of near views do not cover.
    """
    summary: dict[str, Any] = {"folds": folds, "seeds": seeds, "grouped": True, "folds_done": len(rows)}
    truth = [label for row in rows for label in row["truth"]]
    for kind in ("float", "int8", "int8_four_looks"):
        if any(kind not in row for row in rows):
            continue
        top = [label for row in rows for label in row[kind]]
        rates = [row[f"{kind}_correct"] / row["n"] for row in rows]
        pooled = dict(classification(truth, top, rows[0]["labels"]))
        recalls = {label: each["recall"] for label, each in pooled["per_class"].items()}
        by_seed = [[row for row in rows if row["seed"] == seed] for seed in sorted({row["seed"] for row in rows})]
        bounds = [share(sum(row[f"{kind}_correct"] for row in mine), sum(row["n"] for row in mine)) for mine in by_seed]
        summary[kind] = {
            "mean": round(float(np.mean(rates)), 6),
            "sd": round(float(np.std(rates, ddof=1)), 6) if len(rates) > 1 else 0.0,
            "worst_fold": round(min(rates), 6),
            "worst_recall": min(recalls.values()),
            "worst_class": min(recalls, key=lambda label: recalls[label]),
            "wilson95": [min(bound["low"] for bound in bounds), max(bound["high"] for bound in bounds)],
            "k": sum(bound["k"] for bound in bounds),
            "n": len(truth),
            "per_class": pooled["per_class"],
            "macro": pooled["macro"],
            "confusion": pooled["confusion"],
        }
    if all("seen" in row for row in rows):
        summary["apart"] = {
            kind: _apart(rows, kind) for kind in ("float", "int8", "int8_four_looks") if kind in summary
        }
    summary["disagreements"] = sum(row["disagreements"] for row in rows)
    summary["net"] = summary["int8"]["k"] - summary["float"]["k"]
    summary["errors"] = [
        {"picture": name, "label": wanted, "top": top, "seed": row["seed"]}
        for row in rows
        for name, wanted, top in zip(row["pictures"], row["truth"], row["int8"], strict=True)
        if wanted != top
    ]
    return summary


def _apart(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return how many are right of the pictures of unseen surfaces, by seed, with the widest interval."""
    bounds = []
    for seed in sorted({row["seed"] for row in rows}):
        right = [
            top == wanted
            for row in rows
            if row["seed"] == seed
            for top, wanted, seen in zip(row[kind], row["truth"], row["seen"], strict=True)
            if not seen
        ]
        bounds.append(share(sum(right), len(right)))
    return {
        "k": [bound["k"] for bound in bounds],
        "n": [bound["n"] for bound in bounds],
        "wilson95": [min(bound["low"] for bound in bounds), max(bound["high"] for bound in bounds)],
    }
