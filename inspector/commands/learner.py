"""What `inspector learn` and `inspector forget-label` do: pictures in, a label in the station's folder."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from inspector.clock import SystemClock, to_rfc3339
from inspector.drawn.tiles import draw_tile
from inspector.errors import LessonError, PictureError, SiteReferenceError
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_grey
from inspector.labels import CLEAN
from inspector.model.bundle import Bundle, find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import expand_paths, read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES, MAX_FRAME_PX
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.teach.durable import held_lock
from inspector.teach.files import FOLDER as REFERENCES
from inspector.teach.files import read_stored, read_tiles
from inspector.teach.own_labels import (
    FOLDER,
    MOST,
    MOST_CLEAN,
    as_pixels,
    check_name,
    fit_label,
    forget_label,
    read_labels,
    require_no_contradiction,
    write_label,
)

RELOAD = "A running station reloads for it by itself, within seconds; else it counts from the next start."
_BUSY = "another learn or forget-label is under way"


def learn_label(label: str, paths: Sequence[str], config: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Teach a label, and yield what came of it, a line each.

    Args:
        label: Its name.
        paths: Pictures, or folders of them.
        config: TOML file of the station.
        say: Called with the progress.

    Raises:
        LessonError: The name, the number of pictures or one of them is refused; the text names it.
        RefusedError: The configuration or the bundle cannot be used.
    """
    settings = load_settings(config).settings
    bundle = load_bundle(find_bundle(settings.model.path))
    check_name(label, bundle.card.labels)
    pictures = read_examples(paths, say)
    state = state_folder(settings, unit_file=config)
    folder = state / FOLDER
    clean, whence = clean_tiles(state / REFERENCES, bundle)
    pixels = as_pixels(label, pictures, clean, bundle.card.tile_px)
    with held_lock(folder / ".lock", wait=False, busy=_BUSY):
        others, _ = read_labels(folder, bundle.card.labels)
        require_no_contradiction(label, pictures, others)
        say(f"fitting {label} from {len(pixels.examples)} pictures")
        learned = fit_label(pixels, Classifier(bundle, settings.model.runtime, maps=False, places=True))
        facts = {"bundle": bundle.short, "by": _who(), "learned_at": to_rfc3339(SystemClock().now())}
        write_label(folder, pixels, learned, facts)
    severity = settings.decision.severity.get(label, "minor")
    yield f"{label}: {len(pixels.examples)} pictures, severity {severity}"
    yield f"found again, each judged by the others: {learned.found.text}"
    yield f"clean tiles as near as that ({whence}): {learned.clean.text}"
    if learned.found.count < 0.5 * learned.found.of:
        yield "WARNING: the pictures are not much like each other; give more of them, or teach two labels"
    yield RELOAD


def forget_own_label(label: str, config: Path) -> str:
    """Delete a label, and return what to do next.

    Raises:
        LessonError: There is none of this name, or the configuration names it.
        RefusedError: The configuration cannot be used.
    """
    settings = load_settings(config).settings
    for key, given in (("severity", settings.decision.severity), ("thresholds", settings.decision.thresholds)):
        if label in given:
            raise LessonError(f"{config}: decision.{key} names it; remove it there first: {label}")
    folder = state_folder(settings, unit_file=config) / FOLDER
    if not folder.is_dir():
        raise LessonError(f"no label of your own in {folder}: {label[:80]}")
    with held_lock(folder / ".lock", wait=False, busy=_BUSY):
        forget_label(folder, label)
    return f"{label} is forgotten. {RELOAD}"


def read_examples(paths: Sequence[str], say: Callable[[str], None]) -> dict[str, Pixels]:
    """Return the pictures by their path, (H, W) uint8.

    Raises:
        LessonError: One cannot be read; too many.
    """
    names = list(expand_paths(list(paths)))
    if len(names) > MOST:
        raise LessonError(f"at most {MOST} pictures are expected: {len(names)}")
    pictures: dict[str, Pixels] = {}
    for number, name in enumerate(names, 1):
        try:
            data = read_picture_file(Path(name), MAX_FILE_BYTES)
            pictures[name] = to_grey(decode_picture(data, name=name, max_px=MAX_FRAME_PX))
        except PictureError as exc:
            raise LessonError(str(exc)) from exc
        if number % 10 == 0 or number == len(names):
            say(f"read {number} of {len(names)} pictures")
    return pictures


def clean_tiles(references: Path, bundle: Bundle) -> tuple[list[Pixels], str]:
    """Return clean tiles to fit against, and where they are from: the site's own if it was taught."""
    try:
        stored = read_stored(references)
        if stored is not None:
            tiles = read_tiles(stored).tiles
            chosen = np.linspace(0, len(tiles) - 1, min(MOST_CLEAN, len(tiles))).astype(int)
            return [tiles[number] for number in chosen], "of the site's reference"
    except SiteReferenceError as exc:
        return _drawn(bundle), f"drawn, because {exc}"
    return _drawn(bundle), "drawn: the site is untaught"


def _drawn(bundle: Bundle) -> list[Pixels]:
    golden = [
        tile
        for tile, decision in zip(bundle.golden.tiles, bundle.golden.decisions, strict=False)
        if decision.label == CLEAN
    ]
    return [*golden, *(draw_tile(CLEAN, seed) for seed in range(30))]


def _who() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
