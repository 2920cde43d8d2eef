"""Labels that a site teaches itself: fitted from 5 to 50 pictures, kept on the disk with them, read at each start.

In `labels/` of the station's folder a label is `NAME.json` and the pixels it names by their hash. What decides is
fitted anew from the pixels at each start, with the bundle that runs: an upgrade leaves no label behind. A file that is
cut or changed is refused by name; the station inspects on without that label.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from inspector.errors import BundleError, LessonError, SiteReferenceError
from inspector.frame import Pixels
from inspector.inspection.own_labels import OwnLabel, embed
from inspector.inspection.predictions import Classify
from inspector.inspection.preprocess import resize_tile
from inspector.labels import CLEAN, OVERRULED, UNCLASSIFIED, UNKNOWN
from inspector.model.arrays import read_arrays
from inspector.model.canonical import content_sha256, read_json
from inspector.teach.durable import sync_folder, write_file

FOLDER = "labels"
"""Below the folder of the store."""
LEAST, MOST = 5, 50
"""Examples of a label."""
MOST_LABELS = 16
MOST_CLEAN = 60
"""Clean tiles that are kept with a label, to fit its threshold against."""
FOUND_SHARE = 0.95
"""Of the examples, each judged by the others, that the threshold lets through ..."""
CLEAN_SHARE = 0.01
"""... unless more than this share of the clean tiles is as near."""
_SCHEMA = "inspector/label/1"
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Bounded:
    """How many of how many, with the bounds within which the true share lies (Wilson, 95 %)."""

    count: int
    of: int

    @property
    def text(self) -> str:
        """As `18 of 20 (70-97 %)`."""
        low, high = wilson(self.count, self.of)
        return f"{self.count} of {self.of} ({100 * low:.0f}-{100 * high:.0f} %)"


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A label as it was fitted.

    Attributes:
        label: What decides.
        found: Examples that the others name.
        clean: Clean tiles that would be named, if anything else had called them strange.
    """

    label: OwnLabel
    found: Bounded
    clean: Bounded


@dataclass(frozen=True, slots=True, eq=False)
class LabelPixels:
    """What a label is fitted from: (N, H, W) uint8 each."""

    name: str
    examples: Pixels
    clean: Pixels


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the bounds of a share at 95 % (Wilson, 1927); 0 and 1 where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    z, share = 1.959963984540054, count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def check_name(name: str, bundle_labels: Sequence[str]) -> None:
    """Refuse what cannot be a label of the site's own.

    Raises:
        LessonError: It is one of the bundle's, a word with another meaning, or has characters that are not allowed.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,47}", name):
        raise LessonError(f"a label of a-z, 0-9, hyphen and underscore is expected, at most 48: {name[:80]!r}")
    if name in (CLEAN, UNKNOWN, UNCLASSIFIED, OVERRULED):
        raise LessonError(f"this word has another meaning: {name}")
    if name in bundle_labels:
        raise LessonError(f"the bundle has this label already: {name}")


def fit_label(pixels: LabelPixels, classify: Classify) -> Learned:
    """Return the label that these pictures make.

    Each example is judged by the others, each clean tile by all: the threshold comes from no tile that it is fitted to.
    """
    examples, clean = embed(classify(list(pixels.examples))), embed(classify(list(pixels.clean)))
    all_of = OwnLabel(pixels.name, examples, 0.0, 0.0)
    each = np.array(
        [
            OwnLabel(pixels.name, np.delete(examples, n, axis=0), 0.0, 0.0).similarity(examples[n : n + 1])[0]
            for n in range(len(examples))
        ]
    )
    strange = all_of.similarity(clean)
    lower = float(np.quantile(each, 1 - FOUND_SHARE))
    threshold = max(lower, float(np.quantile(strange, 1 - CLEAN_SHARE)) if len(strange) else 0.0)
    threshold = round(min(threshold, 1.0), 4)
    sure = round(max(threshold, float(np.median(each))), 4)
    return Learned(
        OwnLabel(pixels.name, examples, threshold, sure),
        Bounded(int((each >= threshold).sum()), len(each)),
        Bounded(int((strange > threshold).sum()), len(strange)),
    )


def as_pixels(name: str, pictures: Mapping[str, Pixels], clean: Sequence[Pixels], tile_px: int) -> LabelPixels:
    """Return pictures as examples of one size, each once.

    Raises:
        LessonError: Fewer than `LEAST` or more than `MOST` different pictures.
    """
    once = {resize_tile(picture, tile_px).tobytes(): resize_tile(picture, tile_px) for picture in pictures.values()}
    if not LEAST <= len(once) <= MOST:
        raise LessonError(f"{LEAST} to {MOST} different pictures of {name} are expected: {len(once)}")
    kept = [resize_tile(tile, tile_px) for tile in list(clean)[:MOST_CLEAN]]
    empty = np.zeros((0, tile_px, tile_px), np.uint8)
    return LabelPixels(name, np.stack(list(once.values())), np.stack(kept) if kept else empty)


def require_no_contradiction(name: str, pictures: Mapping[str, Pixels], others: Sequence[LabelPixels]) -> None:
    """Refuse a picture that is an example of another label already.

    Raises:
        LessonError: There is one; the text names it.
    """
    for other in others:
        known = {example.tobytes() for example in other.examples}
        for path, picture in pictures.items():
            if other.name != name and resize_tile(picture, other.examples.shape[1]).tobytes() in known:
                raise LessonError(f"{path}: an example of {other.name} already, and now of {name}")


# --- On the disk ------------------------------------------------------------------------------------------------------


def write_label(folder: Path, pixels: LabelPixels, learned: Learned, facts: Mapping[str, Any]) -> None:
    """Keep a label; one of the same name is replaced, at once or not at all.

    Args:
        folder: `labels/` in the folder of the store.
        pixels: What it is fitted from.
        learned: What came of it.
        facts: Who, when and with which bundle; JSON.

    Raises:
        LessonError: There are too many labels.
        OSError: The disk is full, or cannot be written.
    """
    others = {path.stem for path in folder.glob("*.json")} - {pixels.name}
    if len(others) >= MOST_LABELS:
        raise LessonError(f"at most {MOST_LABELS} labels of your own: forget one first ({', '.join(sorted(others))})")
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, examples=pixels.examples, clean=pixels.clean)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    fields: dict[str, Any] = {
        "schema": _SCHEMA, "label": pixels.name, "npz": f"{pixels.name}.{digest[:12]}.npz", "npz_sha256": digest,
        "examples": len(pixels.examples), "clean_tiles": len(pixels.clean), "threshold": learned.label.threshold,
        "sure": learned.label.sure, "found": learned.found.text, "clean_named": learned.clean.text, **facts,
    }  # fmt: skip
    fields["sha256"] = content_sha256(fields)
    write_file(folder / fields["npz"], data)
    write_file(folder / f"{pixels.name}.json", (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode())
    _remove_unnamed(folder, pixels.name, fields["npz"])


def forget_label(folder: Path, name: str) -> None:
    """Delete a label.

    Raises:
        LessonError: There is none of this name.
    """
    path = folder / f"{name}.json"
    if not re.fullmatch(r"[a-z0-9_-]+", name) or not path.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
        raise LessonError(f"no label of your own ({known}): {name[:80]}")
    path.unlink()
    _remove_unnamed(folder, name, None)


def _remove_unnamed(folder: Path, name: str, kept: str | None) -> None:
    for path in folder.glob(f"{name}.*.npz"):
        if path.name != kept:
            path.unlink(missing_ok=True)
    sync_folder(folder)


def read_label(path: Path) -> LabelPixels:
    """Return what a label is fitted from.

    Args:
        path: Its `NAME.json`.

    Raises:
        SiteReferenceError: A file is missing, cut, too large, or not what was written; the text names it.
    """
    try:
        fields = read_json(path.read_bytes()[: 1 << 20])
        if not isinstance(fields, dict) or fields.get("schema") != _SCHEMA or fields.get("label") != path.stem:
            raise ValueError(f"no label {path.stem} of schema {_SCHEMA}")
        if content_sha256(fields) != fields.get("sha256"):
            raise ValueError("its content is not what its hash names")
    except (OSError, ValueError) as exc:
        raise SiteReferenceError(f"{path}: {exc}", "damaged") from exc
    arrays_at = path.with_name(str(fields["npz"]))
    try:
        if arrays_at.parent != path.parent or arrays_at.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes, or not beside it")
        if hashlib.sha256(arrays_at.read_bytes()).hexdigest() != fields["npz_sha256"]:
            raise ValueError("its sha256 is not the one that was written")
        arrays = read_arrays(arrays_at, {"examples": np.uint8, "clean": np.uint8})
    except (OSError, ValueError, BundleError) as exc:
        raise SiteReferenceError(f"{arrays_at}: {exc}", "damaged") from exc
    return LabelPixels(path.stem, arrays["examples"], arrays["clean"])


def label_names(folder: Path) -> tuple[str, ...]:
    """Return the names of a station's labels, whether or not they can be used."""
    return tuple(sorted(path.stem for path in folder.glob("*.json")))


def label_state(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what changes whenever a label is taught, taught again or forgotten."""
    state = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # forgotten at this moment
            found = path.stat()
            state.append((path.name, found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(state)


def read_labels(folder: Path, bundle_labels: Sequence[str]) -> tuple[list[LabelPixels], list[str]]:
    """Return the labels of a station in the order of their names, and why others cannot be used.

    Args:
        folder: `labels/` in the folder of the store.
        bundle_labels: Of the bundle that runs: where it has a label of the same name by now, its own counts.
    """
    found: list[LabelPixels] = []
    troubles: list[str] = []
    for path in sorted(folder.glob("*.json"))[:MOST_LABELS]:
        try:
            check_name(path.stem, bundle_labels)
            found.append(read_label(path))
        except (LessonError, SiteReferenceError) as exc:
            troubles.append(str(exc))
    return found, troubles
