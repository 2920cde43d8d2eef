"""`python -m training evaluate`, `crossval` and `sweep`: what a bundle or a recipe is worth, here or on a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from training.opened import (
    MANIFEST,
    Address,
    AuxiliaryData,
    Data,
    ManifestFile,
    OnRay,
    RecipeName,
    TaskCpus,
    Weights,
    console,
    on_ray,
    open_data,
)  # fmt: skip
from training.recipe import load_recipe, recipe_names

judging = typer.Typer()


@judging.command()
def evaluate(
    bundle_name: Annotated[str, typer.Argument(metavar="BUNDLE", help="A shipped bundle's name, a folder, or a run.")],
    data: Data,
    foreign: Annotated[Path | None, typer.Option(help="Folder with x-sdd, severstal-sample, magnetic-tile.")] = None,
    output: Annotated[Path | None, typer.Option(help="Report folder; default runs/evaluate-NAME.")] = None,
    results: Annotated[Path | None, typer.Option(help="Also write the JSON here.")] = None,
    manifest_path: ManifestFile = MANIFEST,
    quick: Annotated[bool, typer.Option(help="A tenth of the line benchmark.")] = False,
    ray: OnRay = False,
    address: Address = None,
) -> None:
    """Measure a bundle: official test, corruptions, clean steel, the line, other mills, localisation.

    Of a run, its float network on the official test alone.
    """
    from inspector.model.bundle import SHIPPED, find_bundle, load_bundle
    from inspector.pages.language import code_of_environment
    from training.bundle.bundle import folder_of
    from training.files import write_json
    from training.judge.evaluate import evaluate as measure
    from training.judge.evaluate import evaluate_float
    from training.judge.gallery import Gallery
    from training.judge.report import write_report

    data_set, manifest = open_data(data, manifest_path)
    on = folder_of(manifest.pictures_sha256)
    if (Path(bundle_name) / "run.json").is_file():
        row = evaluate_float(Path(bundle_name), manifest, data_set)
        row["command"] = f"python -m training evaluate RUN_OF_{row['run']} --data {on}"
        if results is not None:
            write_json(results, row)
        console.print(row["official"])
        return
    loaded = load_bundle(find_bundle(bundle_name))
    gallery = Gallery()
    with on_ray(ray, address) as cluster:
        found = measure(
            loaded, manifest, data_set, foreign, gallery=gallery, quick=quick,
            say=lambda text: console.print(f"  {text}"), mapped=cluster.mapped if cluster else None,
        )  # fmt: skip
    shipped = SHIPPED / loaded.card.name
    named = loaded.card.name if loaded.root == shipped else f"FOLDER_OF_{loaded.card.name}"
    found["command"] = f"python -m training evaluate {named} --data {on}"
    found["command"] += (" --foreign DATA" if foreign else "") + (" --quick" if quick else "")
    folder = output or Path("runs") / f"evaluate-{loaded.card.name}"
    page = write_report(folder, loaded.short, found, gallery, code_of_environment(os.environ))
    if results is not None:
        write_json(results, {key: value for key, value in found.items() if key != "offenders"})
    console.print(f"look at {page}")


@judging.command()
def crossval(
    recipe_name: RecipeName,
    data: Data,
    weights: Weights = None,
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1 on.")] = 1,
    fold: Annotated[list[int] | None, typer.Option(help="Run this fold only, from 0 on; may be given again.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for crossval.json and crossval/, the folds.")] = Path("runs"),
    manifest_path: ManifestFile = MANIFEST,
    auxiliary_root: AuxiliaryData = None,
    ray: OnRay = False,
    address: Address = None,
    task_cpus: TaskCpus = 2,
) -> None:
    """Train and measure on group-aware folds over all pictures; a fold of the same configuration is skipped."""
    options = _Options(folds, seeds, tuple(fold or ()), output, ray, address, task_cpus)
    for row in _sweep([recipe_name], data, weights, manifest_path, auxiliary_root, options).values():
        console.print(row)


@judging.command()
def sweep(
    recipe_names_: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE...", help=f"{', '.join(recipe_names())}, or Python files of your own."),
    ],
    data: Data,
    weights: Weights = None,
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1 on.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder for crossval.json and crossval/, the folds.")] = Path("runs"),
    manifest_path: ManifestFile = MANIFEST,
    auxiliary_root: AuxiliaryData = None,
    ray: OnRay = False,
    address: Address = None,
    task_cpus: TaskCpus = 2,
) -> None:
    """Cross-validate several recipes on the same folds and show them side by side; finished folds are skipped."""
    options = _Options(folds, seeds, (), output, ray, address, task_cpus)
    found = _sweep(recipe_names_, data, weights, manifest_path, auxiliary_root, options)
    table = Table("recipe", "int8", "95 %", "worst fold", "worst class", "float", title=f"{folds} folds, {seeds} seeds")
    for name, row in sorted(found.items(), key=lambda each: -each[1]["int8"]["mean"]):
        int8, bounds = row["int8"], " to ".join(f"{100 * bound:.2f}" for bound in row["int8"]["wilson95"])
        worst = f"{int8['worst_class']} {100 * int8['worst_recall']:.1f}"
        mean, least, floats = (f"{100 * each:.2f}" for each in (int8["mean"], int8["worst_fold"], row["float"]["mean"]))
        table.add_row(name, mean, bounds, least, worst, floats)
    console.print(table)


@dataclass(frozen=True, slots=True)
class _Options:
    folds: int
    seeds: int
    only: tuple[int, ...]
    output: Path
    ray: bool
    address: str | None
    task_cpus: float


def _sweep(
    names: list[str],
    data: Path,
    weights: Path | None,
    manifest_path: Path,
    auxiliary_root: Path | None,
    options: _Options,
) -> dict[str, dict[str, Any]]:
    from training.errors import RecipeError

    recipes = [load_recipe(name) for name in names]
    for recipe in recipes:
        if recipe.refines:
            raise RecipeError(f"recipe {recipe.name}: refines a model that is there, and each fold begins without one")
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise RecipeError(f"sweep: two recipes of one name, under which their folds are kept: {', '.join(names)}")
    from training.judge.crossval import one_after_another
    from training.judge.crossval import sweep as run
    from training.tiles.auxiliary import load_auxiliary

    data_set, manifest = open_data(data, manifest_path)
    each = [(recipe, load_auxiliary(recipe, auxiliary_root, manifest.labels)) for recipe in recipes]
    with on_ray(options.ray, options.address, options.task_cpus) as cluster:
        return run(
            each, data_set, manifest, weights, folds=options.folds, seeds=options.seeds, output=options.output,
            only=options.only, finished=cluster.finished if cluster else one_after_another,
        )  # fmt: skip
