"""`reference.json`: what a reference is for, what stands behind it, and who let it count.

One description of the format, as `model.card` is for bundles: its content names its own hash and that of every file
beside it. A later release reads this one by its `schema`; a release to come is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspector.model.canonical import content_sha256, read_described

SCHEMA = "inspector/reference/1"
ARRAYS, CARD, TILES = "reference.npz", "reference.json", "tiles.npz"
"""The files of a reference: where places of good tiles lie, this card, and the pixels for a refit."""

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Text = Annotated[str, Field(max_length=4000)]
_Count = Annotated[int, Field(ge=0, le=1 << 40)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SpaceEntry(_Strict):
    """One map's space; `mean_ROLE` (depth,) and `whitening_ROLE` (depth, rank) are in `reference.npz`."""

    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    depth: int = Field(ge=1, le=4096)
    rank: int = Field(ge=1, le=4096)
    scale: float = Field(gt=0, le=1e12)


REFIT_AT_START = "refit at the start"
"""Who signs where a station fits its reference anew by itself, for a new bundle: nobody has accepted anything."""


class Signature(_Strict):
    """Who did something, and when.

    Attributes:
        by: The user's name at this machine, or how the command came.
        at: RFC 3339, UTC.
        override: Why it had been refused, where a person accepted it all the same.
    """

    by: _Text
    at: _Text
    override: _Text | None = None


class ReferenceCard(_Strict):
    """What `reference.json` holds."""

    schema_: Literal["inspector/reference/1"] = Field(default="inspector/reference/1", alias="schema")
    bundle: _Text
    """Its short name, for people."""
    bundle_sha256: _Sha256
    """Its fingerprint: the reference counts under this bundle and no other."""
    kernels: _Text
    """Runtime and processor that made the maps, as `golden.kernels_of`."""
    recipe: _Text | None = None
    """The recipe it is for; null: all."""
    tile_px: int = Field(ge=1, le=4096)
    """Field of view of a tile, frame pixels a side."""
    spaces: tuple[SpaceEntry, ...] = Field(min_length=1, max_length=8)
    defect_threshold: float = Field(ge=0, le=1e12)
    unclassified_threshold: float = Field(ge=0, le=1e12)
    tiles: _Count
    """Good tiles that it was fitted to."""
    coils: _Count | None
    """Coils (groups) that they are from; null where that is not known."""
    aim: dict[str, Any]
    """What was asked for: false calls per km and side or per 1,000 pictures, and what they were reckoned with."""
    basis: dict[str, Any]
    """What stands behind the thresholds: frames, tiles left out and why, the tail, bounds, what is proven."""
    judgement: dict[str, Any] | None = None
    """Before and after, on coils that were not taught."""
    warnings: tuple[_Text, ...] = Field(default=(), max_length=64)
    taught: Signature
    accepted: Signature | None = None
    files: dict[Annotated[str, Field(pattern=r"^[a-z]+\.(npz|png|csv)$")], _Sha256] = Field(max_length=8)
    sha256: _Sha256 | None = None
    """Of the content without this key (see `canonical`)."""

    @model_validator(mode="after")
    def _check(self) -> ReferenceCard:
        if ARRAYS not in self.files:
            raise ValueError(f"files lacks the sha256 of {ARRAYS}")
        if len({space.role for space in self.spaces}) != len(self.spaces):
            raise ValueError("a map has two spaces")
        return self

    @property
    def reference(self) -> str:
        """sha256 of `reference.npz`, which holds all that decides: what messages carry the start of."""
        return self.files[ARRAYS]


def read_card(raw: bytes) -> ReferenceCard:
    """Return the card in the bytes of `reference.json`.

    Raises:
        ValueError: It is no JSON within bounds, a key is not as described, or its hash is that of other content.
    """
    card, actual = read_described(raw, ReferenceCard, SCHEMA)
    if actual != card.sha256:
        raise ValueError(f"sha256: the content is another one than its hash names: {actual}")
    return card


def write_card(card: ReferenceCard) -> bytes:
    """Return what `reference.json` holds for a card, its hash named anew."""
    fields = card.model_dump(mode="json", by_alias=True)
    fields["sha256"] = content_sha256(fields)
    return (ReferenceCard.model_validate(fields).model_dump_json(by_alias=True, indent=1) + "\n").encode()
