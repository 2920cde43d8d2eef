"""The pictures behind the weights of a run: whose they are, under what licence, and what a card says about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.configs import X_SDD
from training.recipe import Recipe

NEU_CITATION = (
    "the NEU surface defect database (NEU-DET). Its authors state no licence and ask to be cited: "
    "K. Song, Y. Yan, Applied Surface Science 285 (2013) 858-864; "
    "Y. He, K. Song, Q. Meng, Y. Yan, IEEE Trans. Instrumentation and Measurement 69(4) (2020) 1493-1504."
)
NEU_NOTICE = (
    f"Trained on {NEU_CITATION} "
    "The bundle holds weights only, none of the pictures; golden tiles are generated. "
    "Backbone: MobileNetV2, ImageNet weights (Sandler et al., CVPR 2018; Google, Apache-2.0)."
)

NEU_PICTURES = "a49c5b6d3a9438f7cb463e8e55a55204560a907d7857e20edbda5c97982bb204"
"""`Manifest.pictures_sha256` of NEU-DET's 1,800 pictures: labels alone do not show whose pictures they are."""
X_SDD_PICTURES = "e9427b7b94020b5194d7634a0cadad2b2d6694b04c455277518bb7e11fba44e7"
"""Of the 956 pictures of X-SDD."""
X_SDD_NOTICE = (
    f"Trained on {X_SDD['source']}, {X_SDD['licence']}, and on generated strip, from random weights: no picture without"
    " a licence is behind them, ImageNet's neither. The bundle holds weights only, none of the pictures; golden tiles"
    " are generated. X-SDD marks no place and has no clean picture: clean steel was taken from beside marks, and marks"
    " were found, by a rule over pixels."
)
OWN_NOTICE = "Trained on a user's own pictures. Backbone: MobileNetV2, ImageNet weights (Google, Apache-2.0)."


def is_own(identity: Mapping[str, Any]) -> bool:
    """Return whether a run was trained on other pictures than those of a published set that is known here."""
    return identity.get("pictures") not in (NEU_PICTURES, X_SDD_PICTURES)


def data_sets(identity: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a run has learned from, a set a row: its own data first, then what its start had learned from."""
    recipe, start = Recipe.of_another_version(identity["recipe"]), identity.get("init")
    if is_own(identity):
        sets = [{"name": "the user's own pictures", "role": "training", "licence": "the user's"}]
    elif identity["pictures"] == X_SDD_PICTURES:
        sets = [{"name": str(X_SDD["source"]), "role": "training split", "licence": str(X_SDD["licence"])}]
    else:
        stated = "none stated by its authors, who ask to be cited"
        sets = [{"name": "NEU-DET", "role": "training split", "licence": stated}]
    if recipe.auxiliary is not None:
        elsewhere = recipe.auxiliary
        folders = ", ".join(elsewhere.shows)
        sets.append({"name": elsewhere.source, "role": f"training, half of: {folders}", "licence": elsewhere.licence})
    if recipe.tiles.generated_defects or recipe.tiles.generated_clean:
        sets.append({"name": "generated strip of this product", "role": "training, own seeds", "licence": "Apache-2.0"})
    if start is not None:
        begun = f"through {Path(start).name}, from which it was fine-tuned: "
        sets += [{**row, "role": begun + row["role"]} for row in identity.get("init_sets", [])]
    return sets


def learned_from(identity: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the folders of another mill that a run, or a card's `training`, learned from, now or before its start."""
    auxiliary = identity.get("recipe", {}).get("auxiliary") or {}
    before = identity.get("init_learned_from") or identity.get("learned_from") or ()
    return tuple(dict.fromkeys((*auxiliary.get("shows", {}), *before)))


def notice(recipe: Recipe, sets: Sequence[Mapping[str, str]], *, own: bool) -> str:
    """Return what a card says about the pictures behind the weights."""
    if any(row["name"] == X_SDD["source"] and row["role"] == "training split" for row in sets):
        return X_SDD_NOTICE
    text = OWN_NOTICE if own else NEU_NOTICE
    if own and any(row["name"] == "NEU-DET" for row in sets):
        text += f" It was fine-tuned from one that was trained on {NEU_CITATION}"
    elsewhere = recipe.auxiliary
    if elsewhere is None:
        return text
    return f"{text} Half of some folders of {elsewhere.source}, {elsewhere.licence}, was learned from too."
