"""A model bundle: a folder with `card.json`, the `.tflite` file(s), `golden.npz` and, where it has one, `unknown.npz`.

`Card` is the one description of that format; training writes it, the daemon refuses what breaks it. Loading a
bundle checks the hash of every file; `pool.open_model` then proves shape, operators and golden scores on this
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
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.distance import FeatureDistance, Space
from inspector.model.card import Card, UnknownRule

SHIPPED = Path(__file__).parent.parent / "bundles"
DEFAULT_BUNDLE = "neu-fast"
MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Generated tiles with the logits that the model must give for them.

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
        with path.open("rb") as file:
            raw = file.read(MAX_CARD_BYTES + 1)
    except OSError as exc:
        shipped = ", ".join(sorted(card.parent.name for card in SHIPPED.glob("*/card.json")))
        raise BundleError(
            f"model.path: no bundle ({shipped}, or a folder), cannot read {path}: {exc.strerror}"
        ) from exc
    if len(raw) > MAX_CARD_BYTES:
        raise BundleError(f"{path}: more than {MAX_CARD_BYTES} bytes")
    try:
        card = Card.model_validate(json.loads(raw))
    except RecursionError as exc:
        raise BundleError(f"{path}: not JSON: nested too deep") from exc
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
        if Path(name).name != name or "\0" in name:
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
    except (
        OSError, ValueError, LookupError, TypeError, EOFError, ArithmeticError, MemoryError, RuntimeError,
        zipfile.BadZipFile, zlib.error,
    ) as exc:  # fmt: skip
        raise BundleError(f"{path}: needs the arrays {', '.join(kinds)}: {exc}") from exc
    for name, kind in kinds.items():
        if not np.issubdtype(arrays[name].dtype, kind):
            raise BundleError(f"{path}: {name} must be {kind.__name__}: {arrays[name].dtype}")
    return arrays
