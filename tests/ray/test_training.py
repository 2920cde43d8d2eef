"""`training --ray`: what comes out is what comes out without it, whatever happens to the machines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
from drawn_pictures import surface, write_neu_layout
from ray_tasks import die_once, refuse, scored_fold, slow_first

from inspector.model.bundle import find_bundle, load_bundle
from training import cluster as clusters
from training.cluster import Cluster, open_cluster
from training.data.dataset import DataSet
from training.data.prepare import build_manifest
from training.errors import ClusterError, DataError
from training.judge.crossval import sweep
from training.judge.evaluate import evaluate
from training.judge.gallery import Gallery
from training.recipe import load_recipe
from training.tiles.auxiliary import NOTHING

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray of this machine's own."""
    with open_cluster(None, cpus_a_task=0.5) as cluster:
        yield cluster


@pytest.fixture
def pictures(tmp_path: Path) -> DataSet:
    """Two labels; of one two views overlap and one picture is a copy."""
    one = surface(1, 260)
    shown = {
        "dent/1": one[:200, :200], "dent/2": one[40:240, 30:230], "dent/3": surface(2)[:200, :200],
        "fold/1": surface(3)[:200, :200], "fold/2": surface(4)[:200, :200], "fold/3": surface(3)[:200, :200],
    }  # fmt: skip
    for name, pixels in shown.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    return DataSet(tmp_path)


def test_pictures_are_grouped_as_without_it(cluster: Cluster, pictures: DataSet) -> None:
    """Every path, hash, group and surface; blocks come from other processes, which read the files themselves."""
    found = build_manifest(pictures, mapped=cluster.mapped)

    assert found == build_manifest(pictures)
    assert [picture.group for picture in found.pictures][:3] == ["dent/1.png", "dent/1.png", "dent/3.png"]


def test_results_come_in_order_each_from_a_process_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    """Also where the first is the last to end."""
    found = list(Cluster(4, 0.1).mapped(slow_first, ((number, str(tmp_path)) for number in range(4))))

    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert len({pid for _, pid in found} | {os.getpid()}) == 5


def test_a_process_that_dies_costs_only_its_task_s_time(cluster: Cluster, tmp_path: Path) -> None:
    assert list(cluster.mapped(die_once, [(str(tmp_path),)])) == ["done"]
    assert (tmp_path / "died").exists()


def test_a_refusal_there_is_the_refusal_here(cluster: Cluster) -> None:
    """With its own words and exit code."""
    with pytest.raises(DataError, match=r"^a/b\.png: not a picture$") as refused:
        list(cluster.mapped(refuse, [("a/b.png",)]))
    assert refused.value.exit_code == 78


def test_a_machine_with_another_version_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hash of the code, before the task begins."""
    monkeypatch.setattr(clusters, "_digest", "another")
    with pytest.raises(ClusterError, match="has another version of inspector"):
        list(cluster.mapped(refuse, [("a/b.png",)]))


def undated(found: Any) -> Any:
    """The same without the moments at which it was measured."""
    if not isinstance(found, dict):
        return found
    return {key: undated(value) for key, value in found.items() if key != "date"}


def test_a_sweep_keeps_each_fold_of_each_recipe(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two recipes, two folds each, scored elsewhere: files, summaries and the digests of a run without Ray."""
    monkeypatch.chdir(tmp_path)
    write_neu_layout(tmp_path / "data", per_label=4, held=1)
    data_set = DataSet(tmp_path / "data")
    manifest = build_manifest(data_set)
    (tmp_path / "w.h5").write_bytes(b"weights")
    recipes = [(load_recipe("six-way"), NOTHING), (load_recipe("neu-224").changed(name="other"), NOTHING)]
    options: dict[str, Any] = {"folds": 2, "seeds": 1}

    def there(_: object, tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return cluster.finished(scored_fold, tasks)

    def here(_: object, tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        return ((number, scored_fold(*task)) for number, task in enumerate(tasks))

    weights = tmp_path / "w.h5"
    found = sweep(recipes, data_set, manifest, weights, output=tmp_path / "a", finished=there, **options)
    wanted = sweep(recipes, data_set, manifest, weights, output=tmp_path / "b", finished=here, **options)

    assert undated(found) == undated(wanted)
    assert [(name, row["folds_done"]) for name, row in sorted(found.items())] == [("other", 2), ("six-way", 2)]
    for path in (tmp_path / "b").rglob("*.json"):
        kept = tmp_path / "a" / path.relative_to(tmp_path / "b")
        assert undated(json.loads(kept.read_text())) == undated(json.loads(path.read_text()))


def test_the_figures_of_a_bundle_are_those_without_it(cluster: Cluster, tmp_path: Path) -> None:
    """Every part of `evaluate` that pictures without boxes have, and the report's pictures."""
    write_neu_layout(tmp_path, per_label=3, held=1)
    for note in tmp_path.rglob("*.xml"):
        note.unlink()
    data_set = DataSet(tmp_path)
    manifest, bundle, hung = build_manifest(data_set), load_bundle(find_bundle("neu-fast")), (Gallery(), Gallery())
    there = evaluate(bundle, manifest, data_set, None, gallery=hung[0], quick=True, mapped=cluster.mapped)
    here = evaluate(bundle, manifest, data_set, None, gallery=hung[1], quick=True)

    assert list(there) == list(here)
    assert undated(there) == undated(here)
    assert [(room, len(shown)) for room, shown in hung[0].rooms.items()] == [
        (room, len(shown)) for room, shown in hung[1].rooms.items()
    ]
