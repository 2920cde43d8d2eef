"""What a card says of the pictures behind a network."""

from __future__ import annotations

import pytest

from training.bundle.bundle import SEVERITY, card_figures
from training.bundle.provenance import NEU_PICTURES, X_SDD_PICTURES, data_sets, notice
from training.recipe import load_recipe

OTHER = "0" * 64


def test_a_network_from_x_sdd_alone_says_so() -> None:
    """Its own set with its licence, generated strip, and nothing else: ImageNet is named only to be ruled out."""
    recipe = load_recipe("open-fast")
    sets = data_sets({"pictures": X_SDD_PICTURES, "recipe": recipe.model_dump()})
    said = notice(recipe, sets, own=False)

    assert {row["licence"] for row in sets} == {"Apache-2.0"}
    assert len(sets) == 2
    assert "from random weights" in said
    assert "NEU" not in said


@pytest.mark.parametrize("init", [None, "neu-fast"])
@pytest.mark.parametrize(("data", "named"), [(NEU_PICTURES, "NEU-DET"), (OTHER, "the user's own pictures")])
def test_the_pictures_themselves_tell_whose_they_are(data: str, named: str, init: str | None) -> None:
    """Neither NEU's label names on other pictures nor a start from a bundle changes the name of the data set."""
    identity = {"pictures": data, "labels": [*SEVERITY, "clean"], "recipe": load_recipe("six-way").model_dump()}

    assert data_sets({**identity, "init": init})[0]["name"] == named


@pytest.mark.parametrize(("data", "split"), [(NEU_PICTURES, "NEU-DET official"), (OTHER, "the pictures' own split")])
def test_figures_name_the_pictures_they_were_measured_on(data: str, split: str) -> None:
    """Only NEU's own pictures are called its official test split."""
    corruption = {"mean": 0.98, "worst": 0.9, "worst_cell": "noise/3"}
    row = {"command": "", "provenance": {"commit": "", "data_pictures": data}, "official": {}, "corruption": corruption}

    assert card_figures(row)["official"]["protocol"].startswith(split)
