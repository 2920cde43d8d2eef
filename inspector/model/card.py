"""The card of a bundle, the one description of the format: training writes it, the daemon refuses what breaks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspector.labels import CLEAN, UNKNOWN, BoxFrom, Severity

CARD_SCHEMA = "inspector/bundle/1"
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(_Strict):
    """One network of the bundle.

    `outputs` maps what the daemon asks for (`logits`, `cam`, `features`) to the output names in the file's signature:
    the converter reorders outputs, so they are never taken by position.
    """

    role: Literal["main", "gate", "shadow"]
    file: str
    outputs: dict[Literal["logits", "cam", "features"], str]


class UnknownSpace(_Strict):
    """Some of the features, in which a tile has a distance of its own; see `distance.Space`."""

    name: str = Field(default="", pattern=r"^[a-z]*$")
    """Its arrays in the file are `NAME_means` and `NAME_whitening`; `means` and `whitening` where it has no name."""
    start: int = Field(default=0, ge=0)
    """First of its features."""
    unit_length: tuple[tuple[int, int], ...] = ()
    """Groups brought to length 1, first and one past the last feature counted from `start`."""

    @property
    def prefix(self) -> str:
        """What the names of its arrays begin with."""
        return f"{self.name}_" if self.name else ""


class UnknownRule(_Strict):
    """When a tile is `unknown`: its distance to everything known in feature space exceeds `threshold`.

    `file` holds for each space means (P, D) and whitening (D, K), float; the distance in one is the smallest
    Euclidean norm of `(features - mean) @ whitening`, and the largest over all spaces counts.
    """

    file: str
    threshold: float = Field(gt=0)
    false_unknown_rate: Fraction
    """Share of held-out tiles of known labels that this threshold calls unknown."""
    spaces: tuple[UnknownSpace, ...] = Field(default=(UnknownSpace(),), min_length=1)


class Card(_Strict):
    """What a bundle promises; `card.json`."""

    schema_: Literal["inspector/bundle/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str
    created: str
    description: str
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=2)
    """Order of the logits."""
    tile_px: int = Field(ge=16, le=4096)
    """Field of view of one tile, frame pixels a side."""
    input_px: int = Field(ge=16, le=1024)
    mm_per_px: float | None = Field(default=None, gt=0)
    colour: Literal["grey"] = "grey"
    resize: Literal["bilinear-exact-area-from-half"] = "bilinear-exact-area-from-half"
    quantization: dict[str, Any]
    temperature: float = Field(gt=0)
    thresholds: dict[str, Fraction]
    severity: dict[str, Severity]
    looks: Literal[1, 4] = 1
    """How many views of a tile, itself and its mirror images, are scored before it is called a defect (see
    `inspection`); temperature and thresholds are those of their mean."""
    box_from: BoxFrom = "tile"
    """What a defect's box is drawn around: whole tiles, or what is hot in their maps (see `localize`), where these have
    learned from boxes to point."""
    unknown: UnknownRule | None = None
    golden: str = "golden.npz"
    metrics: dict[str, Any]
    """Each figure with its protocol (split, folds, seed) and the command that reproduces it."""
    training: dict[str, Any]
    data: dict[str, Any]
    """Data sets with citation, licence as stated, and the hash of the manifest."""
    files: dict[str, str]
    """sha256 of every file of the bundle but the card."""

    @model_validator(mode="after")
    def _check(self) -> Card:
        defects = set(self.labels) - {CLEAN}
        if len(set(self.labels)) != len(self.labels) or UNKNOWN in self.labels:
            raise ValueError(f"labels must be unique and without {UNKNOWN!r}: {list(self.labels)}")
        for key, given in (("thresholds", self.thresholds), ("severity", self.severity)):
            if set(given) != defects:
                raise ValueError(f"{key} must name exactly the defect labels {sorted(defects)}: {sorted(given)}")
        if [entry.role for entry in self.models].count("main") != 1:
            raise ValueError("models must hold exactly one entry with the role main")
        if "logits" not in self.main.outputs:
            raise ValueError("the main model must name its output logits")
        if self.box_from == "cam" and "cam" not in self.main.outputs:
            raise ValueError("box_from cam needs a main model with the output cam")
        if self.unknown and "features" not in self.main.outputs:
            raise ValueError("unknown needs a main model with the output features")
        named = {entry.file for entry in self.models} | {self.golden}
        named |= {self.unknown.file} if self.unknown else set()
        if missing := named - set(self.files):
            raise ValueError(f"files lacks the sha256 of {sorted(missing)}")
        return self

    @property
    def main(self) -> ModelEntry:
        """The network that decides."""
        return next(entry for entry in self.models if entry.role == "main")

    @property
    def defect_labels(self) -> tuple[str, ...]:
        """All labels but `clean`, in the order of the logits."""
        return tuple(label for label in self.labels if label != CLEAN)
