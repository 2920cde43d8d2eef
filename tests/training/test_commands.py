"""`python -m training`: what a command line refuses before it has cost anything."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from inspector.strip import draw_tile
from training import __main__ as commands
from training.errors import DataError, RecipeError
from training.recipe import load_recipe

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
        commands.crossval("neu-fast-refine", NOWHERE)


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
