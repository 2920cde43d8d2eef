"""`training.recipe`: configurations are read, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from small_run import SMALL

from training.errors import RecipeError
from training.recipe import CONFIGS, Recipe, load_recipe

NEWER: tuple[dict[str, Any], ...] = (
    {"start": "random"}, {"local": ("dents",)}, {"boxes": "seen"}, {"drawn": {"scratches": "dents"}}, {"repeats": 2},
)  # fmt: skip


def test_a_recipe_of_another_version_is_read_without_what_this_one_does_not_have() -> None:
    """Fine-tuning starts from a bundle whose card names settings that are gone; a wrong value is still refused."""
    row = SMALL.model_dump() | {"forgotten": 1}
    row["stages"][0]["also_forgotten"] = True

    assert Recipe.of_another_version(row) == SMALL
    assert "forgotten" in row
    with pytest.raises(ValidationError, match="width"):
        Recipe.of_another_version(row | {"width": -1})


def test_a_setting_that_is_at_its_default_changes_no_name() -> None:
    """Older recipes keep their digest; a recipe that uses a newer setting has another one."""
    before = SMALL.digest

    assert before == Recipe.model_validate(SMALL.model_dump() | {"start": "imagenet", "repeats": 1}).digest
    assert len({before, *(SMALL.changed(**each).digest for each in NEWER)}) == 1 + len(NEWER)


def test_the_open_recipe_learns_from_nothing_without_a_licence() -> None:
    """No ImageNet weights, no pictures beside its own set, and it begins from no bundle."""
    recipe = load_recipe("open-fast")

    assert (recipe.start, recipe.auxiliary, recipe.refines) == ("random", None, False)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_every_configuration_loads_and_states_its_command(path: Path) -> None:
    """A configuration says what it trains, what it costs, and how to run it."""
    recipe = load_recipe(path.stem.replace("_", "-"))
    text = path.read_text()

    assert recipe.name.replace("-", "_") == path.stem
    assert f"python -m training train {recipe.name} " in text
    assert "Cost:" in text
    assert "Claim:" in text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name = 'a'\nwidht = 1.0\n", "widht"),
        ("name = 'a'\nwidth = -1\ninput_px = 64\nstages = ({'epochs': 1, 'learning_rate': 1},)\n", "width"),
        ("name = \n", "not a configuration"),
        (
            "name = 'a'\nwidth = 1\ninput_px = 64\nstages = ({'epochs': 1, 'learning_rate': 1, 'input_px': 32},)\n",
            "the last one must run at input_px",
        ),
        ("import absent_module\n", "not a configuration"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    """The error names the file and the setting."""
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "a.py"))

    assert named in str(caught.value)
    assert "a.py" in str(caught.value)
