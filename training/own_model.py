"""From a folder of your pictures to a bundle, in one go: fine-tune, quantize, compare, measure, pack, report.

Each step that was done for these pictures is kept, and done again only for others. The report begins with one sentence:
what the new model names rightly, and whether that shows it to be better than the one in service.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.model.bundle import load_bundle
from training.bundle.bundle import bundle_run
from training.data.dataset import DataSet, Picture
from training.data.manifest import Manifest
from training.data.prepare import label_contradictions, small_pictures
from training.errors import GateError
from training.files import write_json
from training.int8 import signoff
from training.int8.quantize import Parity
from training.judge.gallery import Gallery
from training.judge.held_out import judge_held
from training.judge.own_report import write_own_report
from training.own import fine_tune
from training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class OwnModel:
    """What came of a folder.

    Attributes:
        sentence: What the report begins with.
        report: The page.
        bundle: The packed folder.
    """

    sentence: str
    report: Path
    bundle: Path


@dataclass(frozen=True, slots=True)
class Wish:
    """What to make, and where.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        init: The bundle or run to start from, which is in service.
        place: Folder for the run and the report.
        output: The bundle's folder.
        language: Of the report.
        gate: Pack nothing whose int8 network decides otherwise than its float one.
    """

    name: str
    version: str
    init: Path
    place: Path
    output: Path
    language: str
    gate: bool = True


def make_own(wish: Wish, recipe: Recipe, data_set: DataSet, manifest: Manifest, say: Callable[[str], None]) -> OwnModel:
    """Make the bundle and its report, or go on where an interrupted call stopped.

    Raises:
        DataError: The pictures are refused; the text names one.
        GateError: The int8 network decides pictures otherwise than the float one; nothing is packed.
    """
    run = wish.place / f"run-{manifest.sha256[:12]}"
    comparison = run / "comparison.json"
    if comparison.is_file():
        say(f"1/4 trained already, for these pictures: {run}")
    else:
        say(f"1/4 fine-tuning {wish.init} on {len(manifest.pictures)} pictures, then to int8: {run}")
        fine_tune(recipe.changed(name=wish.name), wish.init, data_set, manifest, run)
    compared = json.loads(comparison.read_text())
    parity = signoff.load(run).parity
    if parity.refusal and wish.gate:
        raise GateError(
            f"own: not packed: {parity.refusal}; {parity.account}. Add pictures like these, or pack it: --no-gate"
        )
    say("2/4 packing and proving the bundle")
    if not _is_packed(wish, run, manifest):
        bundle_run(run, wish.output, manifest, wish.version, None, gate=wish.gate)
    say("3/4 judging the held-out pictures as the daemon does")
    held = [picture for picture in manifest.pictures if picture.group in set(compared["held_groups"])]
    gallery = Gallery()
    judged = judge_held(load_bundle(wish.output), data_set, held, gallery)
    say("4/4 writing the report")
    results = {
        "name": wish.name, "in_service": wish.init.name, "compared": compared, "judged": judged,
        "labels": _count(manifest.pictures, held), "parity": _parity(parity),
        "warnings": [*small_pictures(manifest.pictures, recipe.tile_px), *label_contradictions(manifest)],
        "bundle": str(wish.output),
    }  # fmt: skip
    write_json(wish.place / "own.json", results)
    sentence, page = write_own_report(wish.place, results, gallery, wish.language)
    return OwnModel(sentence, page, wish.output)


def _is_packed(wish: Wish, run: Path, manifest: Manifest) -> bool:
    """Whether the bundle that is there is this one."""
    if not (wish.output / "card.json").is_file():
        return False
    card = load_bundle(wish.output).card
    model = (wish.output / card.main.file).read_bytes()
    there = (card.name, card.version, card.data.get("manifest_sha256"), model)
    return there == (wish.name, wish.version, manifest.sha256, signoff.load(run).model)


def _count(pictures: Sequence[Picture], held: Sequence[Picture]) -> dict[str, dict[str, int]]:
    """Return how many pictures each label has, and how many of them were held out."""
    every, out = Counter(picture.label for picture in pictures), Counter(picture.label for picture in held)
    return {label: {"pictures": every[label], "held_out": out[label]} for label in sorted(every)}


def _parity(parity: Parity) -> Mapping[str, Any]:
    return {"tiles": parity.tiles, "alike": round(parity.tiles * parity.agreement), "refusal": parity.refusal}
