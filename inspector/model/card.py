"""The card of a bundle, the one description of the format: `seal` writes it, the daemon refuses what breaks it.

Format 2 names its own content by a hash and is bound to golden tiles that were decided under it. Format 1 has neither:
it is read for one more release, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from inspector.labels import CLEAN, RESERVED, BoxFrom, Severity
from inspector.model.canonical import content_sha256, read_described

CARD_SCHEMA = "inspector/bundle/2"
MAX_LABELS = 256

Fraction = Annotated[float, Field(ge=0, le=1)]


def _matching(pattern: str, expected: str) -> AfterValidator:
    """Return a check of a text, whose refusal is in words and ends with the text."""
    whole = re.compile(pattern)

    def check(text: str) -> str:
        if whole.fullmatch(text) is None:
            raise ValueError(f"{expected} is expected: {text[:80]!r}")
        return text

    return AfterValidator(check)


_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
Name = Annotated[str, _matching(_NAME, "a name of a-z, 0-9, dot, hyphen and underscore")]
Word = Annotated[str, _matching(r"[^\x00-\x1f\x7f]{1,64}", "a word of 1 to 64 characters, without control characters,")]
"""A label or a version."""
FileName = Annotated[str, _matching(r"(?!\.{0,2}$)[^/\x00-\x1f\x7f]{1,128}", "a name, not a path,")]
Sha256 = Annotated[str, _matching(r"[0-9a-f]{64}", "a sha256, 64 of 0-9 and a-f,")]
Role = Annotated[str, _matching(r"[a-z][a-z0-9_]{0,31}", "a role of a-z, 0-9 and underscore")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelEntry(_Strict):
    """One network of the bundle.

    `outputs` maps roles to the output names in the file's signature: the converter reorders outputs, so they are never
    taken by position. The daemon asks for `logits`, `cam` and `features`; further ones (`map`: what places look like)
    may be named, and golden tiles prove them as they prove these.
    """

    role: Literal["main", "gate", "shadow"]
    file: FileName
    outputs: dict[Role, Word] = Field(max_length=16)


class UnknownSpace(_Strict):
    """Some of the features, in which a tile has a distance of its own; see `distance.Space`."""

    name: str = Field(default="", pattern=r"^[a-z]*$", max_length=32)
    """Its arrays in the file are `NAME_means` and `NAME_whitening`; `means` and `whitening` where it has no name."""
    start: int = Field(default=0, ge=0, le=1 << 20)
    """First of its features."""
    unit_length: tuple[tuple[int, int], ...] = Field(default=(), max_length=1024)
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

    file: FileName
    threshold: float = Field(gt=0, le=1e9)
    false_unknown_rate: Fraction
    """Share of held-out tiles of known labels that this threshold calls unknown."""
    spaces: tuple[UnknownSpace, ...] = Field(default=(UnknownSpace(),), min_length=1, max_length=16)


class Card(_Strict):
    """What a bundle promises; `card.json`."""

    schema_: Literal["inspector/bundle/1", "inspector/bundle/2"] = Field(alias="schema")
    name: Name
    version: Word
    created: Word
    description: str = Field(max_length=20_000)
    models: tuple[ModelEntry, ...] = Field(min_length=1, max_length=8)
    labels: tuple[Word, ...] = Field(min_length=2, max_length=MAX_LABELS)
    """Order of the logits."""
    tile_px: int = Field(ge=16, le=4096)
    """Field of view of one tile, frame pixels a side."""
    input_px: int = Field(ge=16, le=1024)
    mm_per_px: float | None = Field(default=None, gt=0, le=1e6)
    overlap: Fraction | None = None
    """Share of a tile by which the tiles of a stream overlapped when its figures were measured; null: not stated. The
    daemon tiles as `tiling` in its configuration says."""
    colour: Literal["grey"] = "grey"
    resize: Literal["bilinear-exact-area-from-half"] = "bilinear-exact-area-from-half"
    quantization: dict[str, Any]
    temperature: float = Field(ge=1e-3, le=1e3)
    thresholds: dict[str, Fraction]
    severity: dict[str, Severity]
    looks: Literal[1, 4] = 1
    """How many views of a tile, itself and its mirror images, are scored before it is called a defect (see
    `inspection`); temperature and thresholds are those of their mean."""
    box_from: BoxFrom = "tile"
    """What a defect's box is drawn around: whole tiles, or what is hot in their maps (see `localize`), where these have
    learned from boxes to point."""
    unknown: UnknownRule | None = None
    golden: FileName = "golden.npz"
    golden_unreached: tuple[Word, ...] = Field(default=(), max_length=MAX_LABELS + 1)
    """Labels for which no tile was found that the network gives them: nothing proves these here."""
    metrics: dict[str, Any]
    """Each figure with its protocol (split, folds, seed) and the command that reproduces it."""
    training: dict[str, Any]
    data: dict[str, Any]
    """Data sets with citation, licence as stated, and the hash of the manifest."""
    files: dict[FileName, Sha256] = Field(max_length=64)
    """sha256 of every file of the bundle but the card."""
    sha256: Sha256 | None = None
    """Of the card's own content without this key (see `canonical`): how it is laid out does not count, all else does.
    Format 1 has none."""

    @model_validator(mode="after")
    def _check(self) -> Card:
        if (self.sha256 is None) != (self.format == 1):
            raise ValueError(f"sha256 belongs to a card of format 2, and to none before: {self.schema_}")
        defects = set(self.labels) - {CLEAN}
        if len(set(self.labels)) != len(self.labels) or not defects.isdisjoint(RESERVED):
            words = " and ".join(map(repr, RESERVED))
            raise ValueError(f"labels must be unique and without {words}: {list(self.labels)}")
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
    def format(self) -> int:
        """1 or 2."""
        return int(self.schema_.rpartition("/")[2])

    @property
    def golden_sha256(self) -> str:
        """sha256 of all that golden tiles are decided under: the card's content, without their own file's hash."""
        return _bound_sha256(self.model_dump(mode="json", by_alias=True))

    @property
    def main(self) -> ModelEntry:
        """The network that decides."""
        return next(entry for entry in self.models if entry.role == "main")

    @property
    def defect_labels(self) -> tuple[str, ...]:
        """All labels but `clean`, in the order of the logits."""
        return tuple(label for label in self.labels if label != CLEAN)


def is_bundle_name(text: str) -> bool:
    """Whether a card's `name` may be this."""
    return re.fullmatch(_NAME, text) is not None


def read_card_text(raw: bytes) -> Card:
    """Return the card that `card.json` holds.

    Raises:
        ValueError: It is no JSON within bounds, a key is missing, unknown, of another type or out of its range, or its
            hash is that of another card; the text begins with the key.
    """
    card, actual = read_described(raw, Card)
    if card.sha256 not in (None, actual):
        raise ValueError(f"sha256: the card's content is another one than its hash names: {actual}")
    return card


def write_card_text(card: Card) -> bytes:
    """Return what `card.json` holds for a card, its hash named anew."""
    fields = card.model_dump(mode="json", by_alias=True)
    fields["sha256"] = content_sha256(fields)
    return (Card.model_validate(fields).model_dump_json(by_alias=True, indent=2) + "\n").encode()


def _bound_sha256(fields: Mapping[str, Any]) -> str:
    files = {name: sha256 for name, sha256 in fields["files"].items() if name != fields["golden"]}
    return content_sha256({**fields, "files": files})
