"""A model bundle: a folder with `card.json`, the `.tflite` file(s), `golden.npz` and, where it has one, `unknown.npz`.

`Card` is the one description of that format; `seal` writes it, the daemon refuses what breaks it. Loading a bundle
checks the hash of the card and of every file; `pool.open_model` then proves shape, operators, golden scores and
decisions on this machine. Nothing here imports an inference runtime.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspector.errors import BundleError
from inspector.inspection.distance import FeatureDistance, Space
from inspector.model.arrays import read_arrays
from inspector.model.card import Card, UnknownRule, read_card_text
from inspector.model.golden_tiles import Golden, read_golden

SHIPPED = Path(__file__).parent.parent / "bundles"
DEFAULT_BUNDLE = "neu-fast"
MAX_CARD_BYTES = 1 << 20
MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose files are all there and hold the card's hashes.

    Attributes:
        root: Its folder.
        card: Its card.
        fingerprint: The card's sha256, of its content or, in format 1, of its bytes. It names every other file's hash:
            what messages call `bundle`.
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

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not keep the bundle from working, and should be known."""
        found = []
        if self.card.format == 1:
            found.append(
                f"{self.root}: a card of format 1 is not proven against edits, and the next release will refuse it;"
                f" `inspector card {self.root}` writes format 2"
            )
        if self.card.golden_unreached:
            found.append(f"{self.root}: no golden tile proves {', '.join(self.card.golden_unreached)}")
        return tuple(found)

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


def read_card_bytes(root: Path) -> bytes:
    """Return what `card.json` of the bundle at `root` holds.

    Raises:
        BundleError: No card there, or one that is too large.
    """
    path = root / "card.json"
    try:
        _refuse_special(path, MAX_CARD_BYTES)
        return path.read_bytes()
    except OSError as exc:
        shipped = ", ".join(sorted(card.parent.name for card in SHIPPED.glob("*/card.json")))
        raise BundleError(
            f"model.path: no bundle ({shipped}, or a folder), cannot read {path}: {exc.strerror}"
        ) from exc
    except ValueError as exc:  # NUL in the path
        raise BundleError(f"model.path: no bundle: {exc}: {str(path)!r}") from exc


def read_card(root: Path) -> tuple[Card, str]:
    """Return the card of the bundle at `root` and its fingerprint.

    Raises:
        BundleError: No card there, or one that is not as `Card` says; the text names file and key.
    """
    raw = read_card_bytes(root)
    try:
        card = read_card_text(raw)
    except ValueError as exc:
        raise BundleError(f"{root / 'card.json'}: {exc}") from exc
    return card, card.sha256 or hashlib.sha256(raw).hexdigest()


def load_bundle(root: Path) -> Bundle:
    """Read a bundle and check every file against its card.

    Raises:
        BundleError: A file is missing, has another hash, or arrays of the wrong shape; the text names it.
    """
    card, fingerprint = read_card(root)
    for name, expected in sorted(card.files.items()):
        path = root / name
        try:
            _refuse_special(path, MAX_FILE_BYTES)
            actual = sha256_file(path)
        except OSError as exc:
            raise BundleError(f"{path}: cannot be read: {exc.strerror}") from exc
        if actual != expected:
            raise BundleError(f"{path}: its sha256 differs from the card's: {actual} instead of {expected}")
    golden = read_golden(root / card.golden, card)
    distance = read_distance(root / card.unknown.file, card.unknown) if card.unknown else None
    return Bundle(root, card, fingerprint, golden, distance)


def _refuse_special(path: Path, most_bytes: int) -> None:
    """Refuse what would never end when it is read: devices, pipes, and files without bounds."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path}: cannot be read: not a regular file")
    if found.st_size > most_bytes:
        raise BundleError(f"{path}: more than {most_bytes} bytes: {found.st_size}")


def read_distance(path: Path, rule: UnknownRule) -> FeatureDistance:
    """Return the distance that a rule's file holds.

    Raises:
        BundleError: An array is missing, or they do not belong together; the text names it.
    """
    spaces = []
    for space in rule.spaces:
        names = f"{space.prefix}means", f"{space.prefix}whitening"
        arrays = read_arrays(path, dict.fromkeys(names, np.floating))
        means, whitening = (arrays[name].astype(np.float64) for name in names)
        try:
            spaces.append(Space(space.start, means, whitening, space.unit_length))
        except ValueError as exc:
            raise BundleError(f"{path}: {space.prefix}{exc}") from exc
    return FeatureDistance(tuple(spaces))
