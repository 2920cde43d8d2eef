"""What the commands of training share: a data set and its manifest as they open it, their options, and `--ray`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from training.cluster import CPUS_A_TASK, Cluster, open_cluster
from training.data.blocks import Mapped, one_by_one
from training.data.dataset import DataSet
from training.data.folds import held_out, shared_with_training
from training.data.manifest import Manifest, check_files, read_manifest, write_manifest
from training.data.prepare import build_manifest
from training.recipe import recipe_names

console = Console(stderr=True)

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help=f"{', '.join(recipe_names())}, or a Python file of your own.")
]
Data = Annotated[Path, typer.Option(help="Data set: a folder or a zip file.", envvar="INSPECTOR_TRAINING_DATA")]
ManifestFile = Annotated[Path, typer.Option("--manifest", help="What prepare wrote; made when it is not there.")]
Weights = Annotated[Path | None, typer.Option(help="MobileNetV2 weights without head (.weights.h5); none: download.")]
AuxiliaryData = Annotated[
    Path | None, typer.Option("--auxiliary", help="Pictures from elsewhere, for recipes that learn from them.")
]
OnRay = Annotated[bool, typer.Option("--ray", help="Run the parts as tasks of Ray, on this machine or a cluster.")]
Address = Annotated[str | None, typer.Option(help="Of the cluster, as auto or HOST:PORT; none: one is started here.")]
TaskCpus = Annotated[float, typer.Option(min=0.1, help="Processors that one task of --ray takes.")]
MANIFEST = Path("runs/data/manifest.json")


@contextmanager
def on_ray(ray: bool, address: str | None, cpus_a_task: float = CPUS_A_TASK) -> Iterator[Cluster | None]:
    """Yield the cluster that the options ask for, or None.

    Raises:
        ClusterError: As `open_cluster`.
    """
    if not ray and address is None:
        yield None
        return
    with open_cluster(address, cpus_a_task) as cluster:
        console.print(f"on Ray: {cluster.cpus:g} processors, {cpus_a_task:g} a task", highlight=False)
        yield cluster


def open_data(data: Path, manifest_path: Path) -> tuple[DataSet, Manifest]:
    """Return the files of a data set and its manifest, prepared now when it is not there.

    Raises:
        DataError: As `build_manifest`, or the manifest is that of other pictures.
    """
    data_set = DataSet(data)
    if manifest_path.is_file():
        manifest = read_manifest(manifest_path)
        check_files(manifest_path, manifest, data_set)
        return data_set, manifest
    return data_set, make_manifest(data_set, manifest_path)


def make_manifest(data_set: DataSet, path: Path, hold_out: int = 0, mapped: Mapped | None = None) -> Manifest:
    """Return the manifest of a data set, written to `path` if everything is in order; it replaces an existing one.

    Args:
        data_set: Its files.
        path: Of the manifest.
        hold_out: Every so manieth group of a label is held out; 0: none.
        mapped: Compares blocks of pictures elsewhere.

    Raises:
        DataError: As `build_manifest` and `held_out`.
    """
    with Progress(console=console) as progress:
        task = progress.add_task("checking and grouping", total=None)
        manifest = build_manifest(
            data_set, lambda done, total: progress.update(task, completed=done, total=total), mapped or one_by_one
        )
    if hold_out:
        manifest = held_out(manifest, hold_out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(path, manifest)
    if shared := shared_with_training(manifest):
        console.print(
            f"{len(shared)} of {len(manifest.split('validation'))} validation pictures show what a training picture"
            f" shows, which flatters; evaluate gives the figure without them too. One of them: {min(shared)}"
        )
    return manifest


def warn(texts: list[str]) -> None:
    """Print a line for each, the first word of it WARNING."""
    for text in texts:
        console.print(f"WARNING: {text}", style="bold yellow", highlight=False, markup=False, soft_wrap=True)
