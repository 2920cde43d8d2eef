"""`python -m training`: what a command line refuses before it has cost anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

from inspector.drawn.tiles import draw_tile
from training import __main__ as commands
from training import judging, own
from training.data.dataset import Picture
from training.data.manifest import Manifest, read_manifest
from training.data.prepare import check_sizes, check_surfaces, small_pictures, training_refusals
from training.errors import ClusterError, DataError, RecipeError
from training.judge import crossval
from training.opened import on_ray
from training.recipe import CONFIGS, load_recipe

NOWHERE = Path("nowhere")


def own_pictures(root: Path, side: int = 200) -> Path:
    """Write three drawn surfaces of two labels."""
    for place, label in enumerate(("scratches", "patches")):
        (root / label).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(root / label / f"{number}.png"), draw_tile(label, 10 * place + number, side))
    return root


def train(name: str, **options: Path) -> None:
    commands.train(name, NOWHERE, **options)


def test_a_recipe_that_refines_wants_a_start() -> None:
    """It neither begins from ImageNet's weights nor looks at the data; folds, which begin without one, refuse it."""
    with pytest.raises(RecipeError, match=r"neu-fast-refine: refines a model .*: --init BUNDLE or RUN is wanted"):
        train("neu-fast-refine")
    with pytest.raises(RecipeError, match="neu-fast-refine: refines a model that is there, and each fold begins"):
        judging.crossval("neu-fast-refine", NOWHERE)


@pytest.mark.parametrize("option", ["weights", "auxiliary_root"])
def test_options_that_fine_tuning_would_not_heed_are_refused(option: str) -> None:
    """The start brings its weights, and only your own pictures are learned from."""
    name = f"--{option.removesuffix('_root')}"
    with pytest.raises(RecipeError, match=f"{name} is for training from the start .* beside --init: nowhere"):
        train("neu-fast-refine", init=Path("neu-fast"), **{option: NOWHERE})


def test_that_a_recipe_refines_does_not_rename_it() -> None:
    """Runs, cards and results of before keep the digest, and hold the same settings."""
    recipe = load_recipe("neu-fast-refine")

    assert recipe.refines
    assert recipe.changed().digest == recipe.digest
    assert "refines" not in recipe.model_dump()


def test_prepare_replaces_a_manifest_by_a_whole_one_alone(tmp_path: Path) -> None:
    """A mistyped folder, or a picture that does not decode, leaves the manifest of before; a good one replaces it."""
    data, manifest = own_pictures(tmp_path / "own"), tmp_path / "run" / "manifest.json"
    commands.prepare(data, manifest.parent)
    before = manifest.read_bytes()
    with pytest.raises(DataError, match="neither a folder nor a zip file"):
        commands.prepare(tmp_path / "onw", manifest.parent)
    (data / "scratches" / "9.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"9\.png: empty"):
        commands.prepare(data, manifest.parent)
    assert manifest.read_bytes() == before

    cv2.imwrite(str(data / "scratches" / "9.png"), draw_tile("scratches", 99, 200))
    commands.prepare(data, manifest.parent)
    assert b"9.png" in manifest.read_bytes()


def test_prepare_warns_of_what_train_will_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole frames and a label of one surface, in the words of `train`; pictures that it can learn from, not at all."""
    commands.prepare(own_pictures(tmp_path / "good"), tmp_path / "run")
    assert "WARNING" not in capsys.readouterr().err

    data = own_pictures(tmp_path / "own", side=300)
    for number in range(2):
        (data / "dent").mkdir(exist_ok=True)
        cv2.imwrite(str(data / "dent" / f"{number}.png"), draw_tile("patches", 50, 200))
    commands.prepare(data, tmp_path / "run")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("WARNING")]
    assert [line.removeprefix("WARNING: train refuses these pictures: ") for line in told] == [
        "train: patches/0.png: 300 x 300 px is more than one tile (250 px a side at most, 6 such pictures): cut tiles"
        " of 200 px that show what their label says",
        "validation: all pictures of 'dent' are views of one surface: nothing could be held out",
    ]
    checks: tuple[Callable[[Sequence[Picture]], None], ...] = (lambda found: check_sizes(found, 200), check_surfaces)
    for text, check in zip(told, checks, strict=True):
        with pytest.raises(DataError) as caught:
            check(read_manifest(tmp_path / "run" / "manifest.json").pictures)
        assert text.endswith(str(caught.value))


def test_pictures_smaller_than_a_tile_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name and size, the first five of them; pictures as large as a tile are not."""
    small = [Picture(f"dent/{i}.png", "dent", "", f"a{i}", 150, 220, group=f"g{i}") for i in range(7)]
    good = Picture("dent/good.png", "dent", "", "b", 200, 200, group="g9")
    (line,) = small_pictures([*small, good], 200)

    assert line.startswith(
        "7 pictures are smaller than a tile of 200 px, which no tile of a line is: dent/0.png (150 x "
    )
    assert line.endswith("dent/4.png (150 x 220 px) and 2 more")
    assert small_pictures([good], 200) == []
    commands.prepare(own_pictures(tmp_path / "own", side=128), tmp_path / "run")
    assert "WARNING: 6 pictures are smaller than a tile of 200 px" in capsys.readouterr().err


def test_pictures_that_are_only_held_out_are_no_reason_to_warn(tmp_path: Path) -> None:
    """What is never learned from may be as large as it likes, and all of one surface."""
    large = Picture("test/dent/1.png", "dent", "validation", "aa", 640, 480, group="1")
    small = [Picture(f"train/dent/{i}.png", "dent", "train", f"b{i}", 200, 200, group=f"b{i}") for i in range(2)]

    assert not training_refusals(Manifest((large, *small), ()), 200)
    assert not training_refusals(Manifest((large,), ()), 200)


def test_one_file_under_two_labels_is_told_with_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `prepare` and by `train`; a copy under its own label contradicts nothing."""
    data, manifest = own_pictures(tmp_path / "own"), tmp_path / "run" / "manifest.json"
    shutil.copy(data / "scratches" / "1.png", data / "patches" / "9.png")
    shutil.copy(data / "scratches" / "2.png", data / "scratches" / "9.png")
    told = "WARNING: patches/9.png and scratches/1.png are the same file under two labels, 'patches' and 'scratches':"
    told += " one is wrong"
    commands.prepare(data, manifest.parent)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "WARNING" in line] == [told]
    assert "byte-identical: scratches/2.png = scratches/9.png" in lines

    monkeypatch.setattr(own, "fine_tune", lambda *args: "tuned")
    commands.train("neu-fast-refine", data, manifest_path=manifest, init=Path("neu-fast"))
    assert capsys.readouterr().err.splitlines() == [told, "tuned"]


def test_a_recipe_that_is_not_there_is_answered_with_those_that_are() -> None:
    """So does the help of both commands that want one; no name is forgotten."""
    names = ", ".join(path.stem.replace("_", "-") for path in sorted(CONFIGS.glob("[a-z]*.py")))
    with pytest.raises(RecipeError) as caught:
        train("nope")
    assert str(caught.value) == f"recipe: neither a Python file nor one of {names}: nope"

    for command in ("train", "crossval"):
        told = CliRunner().invoke(commands.app, [command, "--help"], env={"COLUMNS": "400"}).output
        assert f"{names}, or a Python file" in " ".join(told.split())


def test_a_run_that_is_not_there_is_none_to_every_command(tmp_path: Path) -> None:
    """Bundling, quantizing and explaining refuse it with one sentence and one exit code."""
    data, manifest = own_pictures(tmp_path / "own"), tmp_path / "manifest.json"
    asked: tuple[Callable[[], object], ...] = (
        lambda: commands.bundle(NOWHERE, tmp_path / "bundle", data, manifest_path=manifest),
        lambda: commands.quantize(NOWHERE, data, manifest),
        lambda: commands.explain(data / "scratches" / "1.png", NOWHERE),
    )
    for command in asked:
        with pytest.raises(RecipeError, match="nowhere: not a run folder: ") as caught:
            command()
        assert caught.value.exit_code == 78


def test_folds_of_your_own_leave_the_committed_ones_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else is said, crossval writes below runs/, as every other command does."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(crossval, "sweep", lambda *args, **options: seen.update(options) or {})
    judging.crossval("six-way", own_pictures(tmp_path / "own"), manifest_path=tmp_path / "manifest.json")

    assert seen["output"] == Path("runs")


@pytest.mark.parametrize("missing", ["sklearn", "keras"])
def test_without_its_requirements_training_says_what_to_install(missing: str) -> None:
    """One sentence and exit code 1, whether the package is wanted at once or by one command alone."""
    script = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv += ['train', 'six-way', '--data', '.'];"
        " runpy.run_module('training', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: training needs more packages: pip install '.[training]' in the repository;")
    assert ended.stderr.splitlines()[0].partition("not there: ")[2].startswith(missing)
    assert len(ended.stderr.splitlines()) == 1


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by a cluster's address alone, too."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"--ray needs Ray: pip install 'inspector\[ray\]'"), on_ray(False, "auto"):
        pass
    with on_ray(False, None) as cluster:
        assert cluster is None
