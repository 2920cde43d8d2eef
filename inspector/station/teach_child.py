"""A process of its own that fits the tiles of a teach-in, or refits the accepted reference.

It has the lowest priority while a station inspects. `teach_fit` runs it as `python -m inspector.station.teach_child`:
one line of JSON on standard input says what, one on standard output what came of it. It outlives its station by seconds
at most: what was not finished is begun anew at the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from inspector.clock import SystemClock, to_rfc3339
from inspector.errors import InspectorError, LessonError
from inspector.model.bundle import load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import kernels_of
from inspector.settings.sections import Settings
from inspector.station.wiring import inspect_rules
from inspector.teach.aim import aim_for
from inspector.teach.card import REFIT_AT_START, Signature
from inspector.teach.files import KeptTiles
from inspector.teach.own_labels import FOLDER as LABELS
from inspector.teach.own_labels import label_names
from inspector.teach.teach_in import STILLS, TILES_FILE, TeachIn
from inspector.teach.teaching import Site, Taught, refit, teach_lesson
from inspector.teach.tile_file import KeptTile, TileFile

LOWEST = 19
"""Of `nice`."""


def main() -> None:
    """Do what standard input asks for."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # they are meant for the station, which ends us
        signal.signal(number, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    if order["quietly"]:
        with contextlib.suppress(OSError):  # a sandbox that forbids it: it fits all the same
            os.nice(LOWEST)
    try:
        answer = answer_of(fit(order))
    except InspectorError as exc:
        answer = {"reference": None, "text": str(exc), "refused": str(exc)}
    except OSError as exc:
        answer = {"reference": None, "text": f"{exc.filename}: {exc.strerror}", "refused": exc.strerror}
    except MemoryError:
        answer = {"reference": None, "text": "there is not enough memory to fit", "refused": "memory"}
    sys.stdout.write(json.dumps(answer) + "\n")


def fit(order: dict[str, Any]) -> Taught:
    """Fit as `teach_fit.fit_order` says.

    Raises:
        LessonError: Nothing can be taught from what was collected.
        InspectorError: A file or the bundle is not as it was.
        OSError: The disk is full; the text names the file.
    """
    settings, folder = Settings.model_validate(order["settings"]), Path(order["folder"])
    bundle = load_bundle(Path(order["bundle"]))
    if bundle.fingerprint != order["fingerprint"]:
        raise LessonError(f"{bundle.root}: another bundle lies there than the one that runs: reload it first")
    rules = inspect_rules(settings.tiling, settings.decision, bundle, own_names=label_names(folder.parent / LABELS))
    classify = Classifier(bundle, settings.model.runtime, places=True)
    site = Site(bundle, classify, rules.decision, kernels_of(classify.runtime), folder)
    now = to_rfc3339(SystemClock().now())
    if order["teach_in"] is None:
        return refit(site, signature=Signature(by=REFIT_AT_START, at=now), max_loss=settings.teach.max_loss)
    teach_in = TeachIn.model_validate(order["teach_in"])
    aim = aim_for(
        settings,
        teach_in.false_calls_per_km,
        tile_px=bundle.card.tile_px,
        card_mm_per_px=bundle.card.mm_per_px,
        tiles_across=teach_in.tiles_across,
        tiles_per_frame=max(1.0, teach_in.tiles_seen / max(1, teach_in.frames)),
    )
    return teach_lesson(
        site,
        read_kept(folder / TILES_FILE, teach_in),
        aim,
        coils_known=teach_in.coils_known,
        signature=Signature(by=teach_in.by, at=now),
        max_loss=settings.teach.max_loss,
        lesson_notes=() if teach_in.trouble is None else (f"the disk refused tiles: {teach_in.trouble}",),
    )


def read_kept(path: Path, teach_in: TeachIn) -> KeptTiles:
    """Return the tiles of a teach-in; coils are numbered in the order in which they came.

    Raises:
        LessonError: There are none.
    """
    if teach_in.tile_hw is None or not path.is_file():
        if teach_in.trouble is not None:
            raise LessonError(f"no tile could be kept: {teach_in.trouble}")
        raise LessonError(
            f"no tile was collected: {teach_in.frames} frames were inspected meanwhile; black, frozen, missed and"
            " paused ones do not count"
        )
    pairs = sorted(TileFile(path, teach_in.tile_hw, teach_in.capacity).read(), key=lambda pair: pair[0].frame)
    numbers: dict[str, int] = {}
    for tile, _ in pairs:
        numbers.setdefault(_group(tile), len(numbers))
    return KeptTiles(
        np.stack([pixels for _, pixels in pairs]) if pairs else np.empty((0, *teach_in.tile_hw), np.uint8),
        np.array([numbers[_group(tile)] for tile, _ in pairs], np.int32),
        np.array([tile.frame for tile, _ in pairs], np.int32),
    )


def _group(tile: KeptTile) -> str:
    return f"still {tile.frame}" if tile.kept.coil.startswith(STILLS) else tile.kept.coil


def answer_of(taught: Taught) -> dict[str, Any]:
    """Return what came of it as JSON values."""
    card = taught.stored.card
    lines = [*taught.judgement.lines, *(f"warning: {warning}" for warning in card.warnings)]
    if taught.refusal is not None:
        lines.insert(0, taught.refusal)
    return {
        "reference": taught.stored.reference.short,
        "text": "; ".join(lines),
        "refused": taught.refusal,
        "counts": taught.counts,
    }


if __name__ == "__main__":
    main()
