"""A model bundle: a folder with `card.json`, the `.tflite` file(s), `golden.npz` and, where it has one, `unknown.npz`.

`Card` is the one description of that format; training writes it, the daemon refuses what does not hold it. Loading a
bundle checks the hash of every file; `classifier.open_model` then proves shape, operators and golden scores on this
machine. Nothing here imports an inference runtime.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inspector.distance import FeatureDistance, Space
from inspector.errors import BundleError
from inspector.frame import Pixels

CARD_SCHEMA = "inspector/bundle/1"
CLEAN = "clean"
UNKNOWN = "unknown"
SHIPPED = Path(__file__).parent / "bundles"
DEFAULT_BUNDLE = "neu-fast"

Severity = Literal["minor", "major", "critical"]
BoxFrom = Literal["tile", "cam"]
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


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Generated tiles with what the model must make of them.

    Attributes:
        tiles: (N, tile_px, tile_px) uint8.
        input_sha256: (N,) text, sha256 of each preprocessed tile's bytes.
        logits: (N, C) int8, as the runtime that made the bundle gave them.
    """

    tiles: Pixels
    input_sha256: npt.NDArray[np.str_]
    logits: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose files are all there and hold the card's hashes.

    Attributes:
        root: Its folder.
        card: Its card.
        fingerprint: sha256 over the card's bytes, which name every other file's hash: what messages call `bundle`.
        distance: Of features from everything known, or None without a rule for `unknown`.
    """

    root: Path
    card: Card
    fingerprint: str
    golden: Golden
    distance: FeatureDistance | None

    @property
    def short(self) -> str:
        """Name, version and the start of the fingerprint: `neu-fast@1.0+1a2b3c4d5e6f`."""
        return f"{self.card.name}@{self.card.version}+{self.fingerprint[:12]}"

    def model_path(self) -> Path:
        """Path of the network that decides."""
        return self.root / self.card.main.file


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file as lower-case hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_bundle(name_or_path: str) -> Path:
    """Return the folder of a shipped bundle's name, or the path itself."""
    shipped = SHIPPED / name_or_path
    return shipped if "/" not in name_or_path and (shipped / "card.json").is_file() else Path(name_or_path)


def read_card(root: Path) -> tuple[Card, str]:
    """Return the card of the bundle at `root` and its fingerprint.

    Raises:
        BundleError: No card there, or one that is not as `Card` says; the text names file and key.
    """
    path = root / "card.json"
    try:
        raw = path.read_bytes()
    except OSError as exc:
        shipped = ", ".join(sorted(card.parent.name for card in SHIPPED.glob("*/card.json")))
        raise BundleError(
            f"model.path: no bundle ({shipped}, or a folder), cannot read {path}: {exc.strerror}"
        ) from exc
    try:
        card = Card.model_validate(json.loads(raw))
    except (ValueError, ValidationError) as exc:
        if isinstance(exc, ValidationError):
            first = exc.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "card"
            raise BundleError(f"{path}: {where}: {first['msg']}") from exc
        raise BundleError(f"{path}: not JSON: {exc}") from exc
    return card, hashlib.sha256(raw).hexdigest()


def load_bundle(root: Path) -> Bundle:
    """Read a bundle and check every file against its card.

    Raises:
        BundleError: A file is missing, has another hash, or arrays of the wrong shape; the text names it.
    """
    card, fingerprint = read_card(root)
    for name, expected in sorted(card.files.items()):
        if Path(name).name != name:
            raise BundleError(f"{root / 'card.json'}: files: a name, not a path, is wanted: {name!r}")
        path = root / name
        try:
            actual = sha256_file(path)
        except OSError as exc:
            raise BundleError(f"{path}: cannot be read: {exc.strerror}") from exc
        if actual != expected:
            raise BundleError(f"{path}: its sha256 differs from the card's: {actual} instead of {expected}")
    golden_arrays = _arrays(root / card.golden, {"tiles": np.uint8, "input_sha256": np.str_, "logits": np.int8})
    golden = Golden(golden_arrays["tiles"], golden_arrays["input_sha256"], golden_arrays["logits"])
    count = len(golden.tiles) if golden.tiles.ndim == 3 else 0
    if count == 0 or golden.logits.shape != (count, len(card.labels)) or golden.input_sha256.shape != (count,):
        raise BundleError(
            f"{root / card.golden}: {golden.tiles.shape} tiles, {golden.input_sha256.shape} hashes and"
            f" {golden.logits.shape} logits"
            f" do not belong together (labels: {len(card.labels)})"
        )
    distance = read_distance(root / card.unknown.file, card.unknown) if card.unknown else None
    return Bundle(root, card, fingerprint, golden, distance)


def read_distance(path: Path, rule: UnknownRule) -> FeatureDistance:
    """Return the distance that a rule's file holds.

    Raises:
        BundleError: An array is missing, or they do not belong together; the text names it.
    """
    spaces = []
    for space in rule.spaces:
        names = f"{space.prefix}means", f"{space.prefix}whitening"
        arrays = _arrays(path, dict.fromkeys(names, np.floating))
        means, whitening = (arrays[name].astype(np.float64) for name in names)
        try:
            spaces.append(Space(space.start, means, whitening, space.unit_length))
        except ValueError as exc:
            raise BundleError(f"{path}: {space.prefix}{exc}") from exc
    return FeatureDistance(tuple(spaces))


def _arrays(path: Path, kinds: Mapping[str, type[np.generic]]) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in kinds}
    # What NumPy raises for an empty file, a file that is no archive, a single array, and a damaged member.
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
        raise BundleError(f"{path}: needs the arrays {', '.join(kinds)}: {exc}") from exc
    for name, kind in kinds.items():
        if not np.issubdtype(arrays[name].dtype, kind):
            raise BundleError(f"{path}: {name} must be {kind.__name__}: {arrays[name].dtype}")
    return arrays
