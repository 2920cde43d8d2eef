"""The references of a station on its disk: the accepted one, a candidate, and the previous one.

Each is a folder with `reference.npz` (arrays, no pickle), `reference.json` (see `card`), `tiles.npz` (the pixels that
it was fitted to, for a refit) and, of a candidate, `strangest.png` and `tiles.csv`. A reference is read whole or
refused with the name of the file; whoever asks for one inspects on without it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.errors import BundleError, LessonError, SiteReferenceError
from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.model.arrays import read_arrays
from inspector.model.bundle import Bundle, sha256_file
from inspector.teach.card import ARRAYS, CARD, TILES, ReferenceCard, Signature, read_card, write_card
from inspector.teach.durable import Bytes, held_lock, remove_folder, sync_folder, write_file, write_folder

FOLDER = "reference"
"""Below the folder of the store."""
ACCEPTED, CANDIDATE, PREVIOUS = "accepted", "candidate", "previous"
MAX_BYTES = {CARD: 1 << 20, ARRAYS: 32 << 20, TILES: 124 << 20}
"""Larger files are refused before they are read; 3,000 tiles of 200 x 200 have 120,000,000 bytes."""

LOCK, BEGUN, _ASIDE = ".lock", ".begun.json", ".aside"


@dataclass(frozen=True, slots=True, eq=False)
class KeptTiles:
    """The pixels of a lesson.

    Attributes:
        tiles: (N, H, W) uint8.
        groups: (N,) int32, numbers of coils, or of what stands for them.
        frames: (N,) int32, numbers of frames.
    """

    tiles: npt.NDArray[np.uint8]
    groups: npt.NDArray[np.int32]
    frames: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        count = len(self.tiles)
        if self.tiles.ndim != 3 or self.groups.shape != (count,) or self.frames.shape != (count,):
            shapes = self.tiles.shape, self.groups.shape, self.frames.shape
            raise ValueError(f"tiles (N, H, W), groups (N,) and frames (N,) are expected: {shapes}")


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A reference that was read and holds.

    Attributes:
        folder: Where it lies.
        card: What it says of itself.
        reference: What decides.
    """

    folder: Path
    card: ReferenceCard
    reference: SiteReference


def load_reference(folder: Path, bundle: Bundle) -> SiteReference | None:
    """Return the accepted reference of a station, or None where none was accepted.

    Args:
        folder: `reference/` in the folder of the store.
        bundle: The one that runs.

    Raises:
        SiteReferenceError: As `read_stored`, or it is for another bundle; the text names the file.
    """
    stored = read_stored(folder)
    if stored is None:
        return None
    if stored.card.bundle_sha256 != bundle.fingerprint:
        raise SiteReferenceError(
            f"{stored.folder / CARD}: taught with another bundle than {bundle.short}, teach again or refit:"
            f" {stored.card.bundle}",
            "bundle",
        )
    return stored.reference


def read_stored(folder: Path, name: str = ACCEPTED) -> Stored | None:
    """Return one of the references of a station, whatever bundle it is for; None where there is none.

    Raises:
        SiteReferenceError: A file is missing, cut, too large, not what was written, or of a release to come.
    """
    place = folder / name
    try:
        if not place.is_dir() and (folder / BEGUN).is_file():
            _settle(folder)
        if not place.is_dir():
            return None
    except OSError as exc:
        raise SiteReferenceError(f"{place}: cannot be read: {exc.strerror}", "damaged") from exc
    card = _read_card(place / CARD)
    _demand(place / ARRAYS, card.files[ARRAYS])
    return Stored(place, card, _read_reference(place / ARRAYS, card))


def read_tiles(stored: Stored) -> KeptTiles:
    """Return the pixels that a reference was fitted to.

    Raises:
        SiteReferenceError: They are missing, cut, or not what was written.
    """
    path = stored.folder / TILES
    if TILES not in stored.card.files:
        raise SiteReferenceError(f"{path}: no tiles were kept", "absent")
    _demand(path, stored.card.files[TILES])
    try:
        arrays = read_arrays(path, {"tiles": np.uint8, "groups": np.int32, "frames": np.int32})
        return KeptTiles(arrays["tiles"], arrays["groups"], arrays["frames"])
    except (BundleError, ValueError) as exc:
        raise SiteReferenceError(f"{path}: {exc}", "damaged") from exc


def reference_bytes(
    spaces: tuple[PlaceSpace, ...], defect_threshold: float, unclassified_threshold: float
) -> memoryview:
    """Return what `reference.npz` holds: all that decides, the same bytes for the same numbers."""
    arrays: dict[str, npt.NDArray[Any]] = {"thresholds": np.array([defect_threshold, unclassified_threshold])}
    for space in spaces:
        arrays[f"mean_{space.role}"] = space.mean.astype(np.float64)
        arrays[f"whitening_{space.role}"] = space.whitening.astype(np.float64)
        arrays[f"scale_{space.role}"] = np.array(space.scale, np.float64)
    return _packed(arrays)


def build_reference(
    spaces: tuple[PlaceSpace, ...], defect_threshold: float, unclassified_threshold: float
) -> SiteReference:
    """Return the reference as it will be read back, under the hash of its file."""
    data = reference_bytes(spaces, defect_threshold, unclassified_threshold)
    return SiteReference(hashlib.sha256(data).hexdigest(), spaces, defect_threshold, unclassified_threshold)


def write_candidate(
    folder: Path,
    card: ReferenceCard,
    reference: SiteReference,
    kept: KeptTiles,
    extras: Mapping[str, bytes] | None = None,
) -> Stored:
    """Write a candidate in place of the last one; nothing that counts is touched.

    Args:
        folder: `reference/` in the folder of the store; made if it is not there.
        card: Its `files` and `sha256` are set here.
        reference: What decides.
        kept: The pixels.
        extras: Further files by name: `strangest.png`, `tiles.csv`.

    Raises:
        OSError: With the name of the file: the disk is full.
        SiteReferenceError: More pixels than are kept.
    """
    data = reference_bytes(reference.spaces, reference.defect_threshold, reference.unclassified_threshold)
    tiles = _packed({"tiles": kept.tiles, "groups": kept.groups, "frames": kept.frames})
    if len(tiles) > MAX_BYTES[TILES]:
        raise SiteReferenceError(f"{TILES}: more than {MAX_BYTES[TILES]} bytes: {len(tiles)}", "bounds")
    files: dict[str, Bytes] = {ARRAYS: data, TILES: tiles, **(extras or {})}
    named = card.model_copy(
        update={"files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}}
    )
    with held_lock(folder / LOCK, wait=True):
        _finish(folder)
        write_folder(folder / CANDIDATE, {**files, CARD: write_card(named)})
    found = read_stored(folder, CANDIDATE)
    if found is None or found.reference.sha256 != named.reference:
        raise SiteReferenceError(f"{folder / CANDIDATE}: was not read back as it was written", "damaged")
    return found


def accept(folder: Path, bundle: Bundle, signature: Signature) -> Stored:
    """Let the candidate count; the reference that counted until now becomes the previous one.

    Raises:
        LessonError: There is no candidate.
        SiteReferenceError: It is damaged, or for another bundle.
        OSError: The disk cannot be written: what counted counts on.
    """
    with held_lock(folder / LOCK, wait=True):
        _finish(folder)
        candidate = read_stored(folder, CANDIDATE)
        if candidate is None:
            raise LessonError(f"there is no candidate to accept, teach one first: {folder / CANDIDATE}")
        if candidate.card.bundle_sha256 != bundle.fingerprint:
            raise SiteReferenceError(
                f"{candidate.folder / CARD}: taught with another bundle than {bundle.short}: {candidate.card.bundle}",
                "bundle",
            )
        signed = write_card(candidate.card.model_copy(update={"accepted": signature}))
        write_file(candidate.folder / CARD, signed)
        _begin(folder, "accept", hashlib.sha256(signed).hexdigest())
        _finish(folder)
    found = read_stored(folder)
    assert found is not None  # noqa: S101 - it was renamed into its place under the lock
    return found


def undo(folder: Path) -> Stored | None:
    """Let the previous reference count again, and put the present one in its place: undone twice, nothing changed.

    Returns:
        What counts now; None where the station had none before: it is untaught again.

    Raises:
        LessonError: There is neither.
        SiteReferenceError: The previous one is damaged: what counts counts on.
    """
    with held_lock(folder / LOCK, wait=True):
        _finish(folder)
        before = read_stored(folder, PREVIOUS)
        if before is None and not (folder / ACCEPTED).is_dir():
            raise LessonError(f"there is nothing to undo: no reference was accepted: {folder}")
        _begin(folder, "undo", "" if before is None else _digest(folder / PREVIOUS))
        _finish(folder)
    return read_stored(folder)


def _begin(folder: Path, what: str, target: str) -> None:
    write_file(folder / BEGUN, json.dumps({"do": what, "target": target}).encode())


def _settle(folder: Path) -> None:
    with held_lock(folder / LOCK, wait=True):
        _finish(folder)


def _finish(folder: Path) -> None:
    """Carry to its end what was begun and perhaps cut off; every step may have been done already."""
    begun = folder / BEGUN
    if not begun.is_file():
        return
    try:
        intent = json.loads(begun.read_bytes())
        what, target = str(intent["do"]), str(intent["target"])
    except (ValueError, LookupError, TypeError) as exc:
        raise SiteReferenceError(f"{begun}: not what was written, remove it: {exc}", "damaged") from exc
    accepted, candidate, previous, aside = (folder / n for n in (ACCEPTED, CANDIDATE, PREVIOUS, _ASIDE))
    if what == "accept" and candidate.is_dir() and _digest(candidate) == target:
        if accepted.is_dir():
            remove_folder(previous)
            accepted.rename(previous)
            sync_folder(folder)
        candidate.rename(accepted)
    elif what == "undo" and (aside.is_dir() or _digest(accepted) != target):
        if accepted.is_dir() and not aside.is_dir():
            accepted.rename(aside)
        if previous.is_dir() and not accepted.is_dir():
            previous.rename(accepted)
        if aside.is_dir():
            sync_folder(folder)
            aside.rename(previous)
    sync_folder(folder)
    begun.unlink()


def _digest(place: Path) -> str:
    """Return the sha256 of a reference's card, as it lies there; empty where there is none."""
    return sha256_file(place / CARD) if (place / CARD).is_file() else ""


def _read_card(path: Path) -> ReferenceCard:
    _demand_size(path)
    try:
        return read_card(path.read_bytes())
    except (OSError, ValueError) as exc:
        kind = "bounds" if str(exc).startswith("schema:") else "damaged"
        raise SiteReferenceError(f"{path}: {exc}", kind) from exc


def _demand_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as exc:
        raise SiteReferenceError(f"{path}: cannot be read: {exc.strerror}", "damaged") from exc
    if not path.is_file() or size > MAX_BYTES[path.name]:
        raise SiteReferenceError(f"{path}: no file of at most {MAX_BYTES[path.name]} bytes: {size}", "bounds")


def _demand(path: Path, expected: str) -> None:
    _demand_size(path)
    if (actual := sha256_file(path)) != expected:
        raise SiteReferenceError(f"{path}: cut or changed, its sha256 is {actual} instead of {expected}", "damaged")


def _read_reference(path: Path, card: ReferenceCard) -> SiteReference:
    kinds: dict[str, type[np.generic]] = {"thresholds": np.floating}
    for space in card.spaces:
        kinds |= {f"{part}_{space.role}": np.floating for part in ("mean", "whitening", "scale")}
    try:
        arrays = read_arrays(path, kinds)
        spaces = []
        for space in card.spaces:
            mean, whitening, scale = (arrays[f"{part}_{space.role}"] for part in ("mean", "whitening", "scale"))
            if mean.shape != (space.depth,) or whitening.shape != (space.depth, space.rank) or scale.shape != ():
                raise ValueError(f"{space.role}: shapes {mean.shape}, {whitening.shape} are not the card's")
            spaces.append(PlaceSpace(space.role, mean.astype(float), whitening.astype(float), float(scale)))
        if arrays["thresholds"].tolist() != [card.defect_threshold, card.unclassified_threshold]:
            raise ValueError(f"thresholds {arrays['thresholds'].tolist()} are not the card's")
        return SiteReference(card.reference, tuple(spaces), card.defect_threshold, card.unclassified_threshold)
    except (BundleError, ValueError) as exc:
        raise SiteReferenceError(f"{path}: {exc}", "damaged") from exc


def _packed(arrays: Mapping[str, npt.NDArray[Any]]) -> memoryview:
    memory = io.BytesIO()
    np.savez(memory, allow_pickle=False, **arrays)
    return memory.getbuffer()
