"""Writes the card of a bundle and the golden tiles that prove it, from the bundle's other files alone.

Needs the inference runtime, not TensorFlow. Where the tiles come from is the caller's: they must be generated.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspector.errors import BundleError
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.predictions import Classify
from inspector.inspection.preprocess import to_input
from inspector.model.bundle import Bundle, load_bundle, read_distance, sha256_file
from inspector.model.card import CARD_SCHEMA, Card, write_card_text
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden, kernels_of
from inspector.model.golden_tiles import Golden, decide_tiles, write_golden
from inspector.model.rules import decision_rules

_NOTHING = "0" * 64


@dataclass(frozen=True, slots=True, eq=False)
class ChosenTiles:
    """Tiles for a bundle's proof.

    Attributes:
        tiles: Each (tile_px, tile_px) uint8.
        unreached: Labels for which too few were found.
    """

    tiles: Sequence[Pixels]
    unreached: tuple[str, ...] = ()


Choose = Callable[[Classify, DecisionRules, int], ChosenTiles]
"""From the bundle's classifier, its rules and `tile_px`."""


def write_proof(folder: Path, fields: Mapping[str, Any], choose: Choose) -> Card:
    """Write `golden.npz` and `card.json` of format 2 into a folder that holds the bundle's other files.

    Args:
        folder: Every other file in it is named in the card.
        fields: Of the card; `schema`, `golden`, `files`, `sha256` and `golden_unreached` are set here.
        choose: Gives the golden tiles.

    Returns:
        The card, after the bundle has been opened and proven as the daemon does.

    Raises:
        BundleError: What is there does not make a bundle, on this machine at least.
    """
    golden_name = "golden.npz"
    files = {
        path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.name not in ("card.json", golden_name)
    }
    begun = {
        **fields, "schema": CARD_SCHEMA, "golden": golden_name, "golden_unreached": (), "sha256": _NOTHING,
        "files": {**files, golden_name: _NOTHING},
    }  # fmt: skip
    try:
        card = Card.model_validate(begun)
    except ValueError as exc:
        raise BundleError(f"{folder / 'card.json'}: {exc}") from exc
    distance = read_distance(folder / card.unknown.file, card.unknown) if card.unknown else None
    empty = Golden(np.zeros((0, 1, 1), np.uint8), np.array([], np.str_), np.zeros((0, len(card.labels)), np.int8))
    bundle = Bundle(folder, card, _NOTHING, empty, distance)
    classifier = Classifier(bundle)
    rules = decision_rules(bundle, {}, {}, record_floor=1.0)
    chosen = choose(classifier, rules, card.tile_px)
    card = card.model_copy(update={"golden_unreached": tuple(chosen.unreached)})
    outputs = classifier.raw_outputs(list(chosen.tiles))
    hashes = [hashlib.sha256(to_input(tile, card.input_px).tobytes()).hexdigest() for tile in chosen.tiles]
    golden = Golden(
        np.stack(chosen.tiles),
        np.array(hashes, np.str_),
        outputs.pop("logits"),
        outputs,
        tuple(decide_tiles(chosen.tiles, classifier, rules)),
        card.golden_sha256,
        kernels_of(classifier.runtime),
    )
    write_golden(folder / golden_name, golden)
    card = card.model_copy(update={"files": {**files, golden_name: sha256_file(folder / golden_name)}})
    (folder / "card.json").write_bytes(write_card_text(card))
    proven = load_bundle(folder)
    check_golden(Classifier(proven))
    return proven.card


@contextmanager
def replacing(root: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `root` when the block ends well, and leaves no trace otherwise."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-")
    except OSError as exc:  # of a name that nobody gave
        raise OSError(exc.errno, exc.strerror, str(root)) from exc
    with beside as temporary:
        folder, old = Path(temporary) / root.name, Path(temporary) / "old"
        folder.mkdir()
        yield folder
        if root.exists():
            root.replace(old)
        try:
            folder.replace(root)
        except OSError:
            if old.exists():
                old.replace(root)
            raise
        shutil.rmtree(old, ignore_errors=True)
