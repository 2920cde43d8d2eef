"""A recipe: one Python file of plain assignments, read into `Recipe`; unknown names are refused.

A configuration file states in its docstring what it trains, the figure to expect, the cost and the exact command.
Two recipes with equal `digest` train the same network from the same tiles.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import runpy
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.errors import RecipeError

CONFIGS = Path(__file__).parent / "configs"
Chance = Annotated[float, Field(ge=0, le=1)]
CREDIBLE_GROUND = ("inclusion", "scratches")
"""Labels of NEU whose pictures show clean steel outside their boxes; on others the defect's texture continues there."""
_NEWER = ("start", "local", "boxes", "drawn", "repeats")
"""Settings that a recipe's digest leaves out where they are at their default: older recipes keep their name."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(_Strict):
    """One part of the training: which layers learn, for how long, how fast; the rate falls along a cosine."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    train_from: str = ""
    """First backbone layer that learns: a layer name, `head` for none of them, empty for all."""
    input_px: int | None = None
    """Side of the input in this stage; None: the recipe's. Small first, full size last costs a third."""
    schedule: Literal["cosine", "constant"] = "cosine"


class Rounding(_Strict):
    """How long int8 learns to follow the float network if plain int8 differs from it on the validation tiles."""

    epochs: int = Field(default=8, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)


class Augment(_Strict):
    """Chances and ranges of the changes to a tile before it is shown to the network."""

    flip: Chance = 0.5
    quarter_turn: Chance = 0.5
    rotate_deg: float = 8.0
    zoom: float = 0.12
    translate: float = 0.06
    affine: Chance = 0.5
    contrast: float = 0.5
    brightness: float = 25.0
    gamma: float = 0.5
    exposure: Chance = 0.5
    gradient: float = 0.4
    light: Chance = 0.25
    blur_sigma_px: float = 2.0
    motion_px: int = 12
    blur: Chance = 0.2
    noise_sigma: float = 24.0
    noise: Chance = 0.2
    jpeg_quality: int = 10
    jpeg: Chance = 0.15
    rough: Chance = 0.0
    """Chance that a tile is turned by any angle, and that it has uneven columns or dead pixels, as on a rough line."""
    clean_mix: Chance = 0.0
    """Chance that a clean tile is mixed with another clean one, and that it is drawn at another scale."""
    clean_scale: float = Field(default=2.0, ge=1)
    """Largest factor by which a clean tile may grow or shrink, along each side by itself."""


class Tiles(_Strict):
    """How many tiles of each origin are added to the pictures of the training split (see `tiles`)."""

    clean_quilted: int = 0
    clean_textures: int = 0
    cut: int = 0
    cut_pictures: int = 0
    """Windows over the edge of a whole picture on clean ground; a third of them show clean on clean."""
    generated_defects: int = 0
    generated_clean: int = 0


class AuxiliarySet(_Strict):
    """A data set of another mill, half of which is learned from (see `auxiliary`)."""

    source: str
    """What it is and who asks to be cited for it, as in the bundle's card."""
    licence: str
    shows: dict[str, str] = Field(min_length=1)
    """Its folders, and which label each shows; empty: none of them, the network is to be unsure."""


class Recipe(_Strict):
    """Everything that decides the result of a training run, except the data."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    # -- network
    width: float = Field(gt=0)
    input_px: int = Field(ge=32, le=1024)
    tile_px: int = 200
    colour: Literal["grey", "rgb"] = "grey"
    scaling: Literal["centred", "unit"] = "centred"
    """`centred`: (p - 128) / 128, what the quantized input is exactly; `unit`: p / 255, the source project's."""
    freeze_batch_norm: bool = True
    dropout: Chance = 0.2
    l2: float = 1e-4
    start: Literal["imagenet", "random"] = "imagenet"
    """Which weights it begins from: a file's, or none, and then no picture beyond its own data is behind them."""
    # -- data
    tiles: Tiles = Tiles()
    augment: Augment = Augment()
    ground: Literal["credible", "reviewed"] = "credible"
    """Where clean steel is taken from: surface outside the boxes by a rule over pixels, or only the part of it that two
    reviews do not both call marked (see `reviewed`)."""
    local: tuple[str, ...] = CREDIBLE_GROUND
    """Labels of marks with plain surface beside them, from which clean steel is taken."""
    boxes: Literal["annotated", "seen"] = "annotated"
    """Where marks are: as annotated, or for pictures without boxes by a rule over pixels (see `tiles.seen`)."""
    drawn: dict[str, str] = {}
    """What kinds of the generator are called here; empty: none of the labels, the network is to be unsure."""
    repeats: int = Field(default=1, ge=1)
    """How often an epoch shows each picture."""
    clean: bool = True
    """Whether the network has the label `clean`."""
    auxiliary: AuxiliarySet | None = None
    """Pictures from elsewhere that join those of the data set."""
    # -- course
    refines: bool = Field(default=False, exclude=True)
    """Whether it must begin from a bundle or run. Not in the digest: what is learned does not depend on it."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    batch: int = 32
    label_smoothing: Chance = 0.05
    pointing: float = Field(default=0.0, ge=0)
    """Weight of the loss that asks the label's activation map to peak inside its boxes (see `network`)."""
    rounding: Rounding = Rounding()
    patience: int = 100
    """Epochs without a better validation loss after which a stage ends."""
    seed: int = 1

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.stages[-1].input_px not in (None, self.input_px):
            raise ValueError(f"stages: the last one must run at input_px, where it is judged: {self.input_px}")
        return self

    @property
    def digest(self) -> str:
        """sha256 over every setting that decides what is learned: names the recipe in runs, cards and results."""
        row = self.model_dump()
        if self.auxiliary is None:  # recipes older than that setting keep their name
            del row["auxiliary"]
        if self.ground == "credible":
            del row["ground"]
        if not self.augment.rough:
            del row["augment"]["rough"]
        for name in _NEWER:
            if row[name] == type(self).model_fields[name].default:
                del row[name]
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @staticmethod
    def of_another_version(row: Any) -> Recipe:
        """Return the recipe in a card or run: settings that this version does not have are left out.

        Raises:
            ValidationError: Something else is wrong with it.
        """
        try:
            return Recipe.model_validate(row)
        except ValidationError as exc:
            unknown = [error["loc"] for error in exc.errors() if error["type"] == "extra_forbidden"]
        row = copy.deepcopy(row)
        for *path, name in unknown:
            place = row
            for step in path:
                place = place[step]
            del place[name]
        return Recipe.model_validate(row)

    def changed(self, **values: Any) -> Recipe:
        """Return a copy with other values, validated again."""
        return Recipe.model_validate({**self.model_dump(), **values})


def recipe_names() -> list[str]:
    """Return the names of the shipped configurations."""
    return sorted(path.stem.replace("_", "-") for path in CONFIGS.glob("[a-z]*.py"))


def find_recipe(name_or_path: str) -> Path:
    """Return the path of a shipped configuration's name (`neu-fast`), or the path itself."""
    shipped = CONFIGS / f"{name_or_path.replace('-', '_')}.py"
    return shipped if "/" not in name_or_path and shipped.is_file() else Path(name_or_path)


def load_recipe(name_or_path: str) -> Recipe:
    """Read a configuration file.

    Raises:
        RecipeError: It is missing, cannot be read, is not Python, or sets a name that `Recipe` does not know; the text
            names it.
    """
    path = find_recipe(name_or_path)
    if not path.exists():
        raise RecipeError(f"recipe: neither a Python file nor one of {', '.join(recipe_names())}: {name_or_path}")
    try:
        ast.parse(path.read_text())
        names = runpy.run_path(str(path))
    except (OSError, SyntaxError, NameError, ImportError, TypeError, ValueError) as exc:
        raise RecipeError(f"{path}: not a configuration that can be read: {exc}") from exc
    values = {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and not isinstance(value, ModuleType | type) and name != "annotations"
    }
    try:
        return Recipe.model_validate(values)
    except ValidationError as exc:
        # A misspelt name comes first: it is why another one is missing.
        first = min(exc.errors(include_url=False), key=lambda row: row["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{path}: {where}: {first['msg']}") from exc
