"""Lets a bundle know its labels as a rough line shows them: blurred, turned, noisy, from a sensor with uneven columns.

Nothing is trained: the rule for `unknown` gets places of spoilt training pictures (see `unknown.with_spoilt_places`).
Logits, thresholds and maps stay the same, bit for bit. Card and golden tiles are written anew and proven.
"""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from inspector.drawn.golden import choose_golden
from inspector.frame import Pixels
from inspector.model.bundle import Bundle, find_bundle, load_bundle
from inspector.model.card import Card
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.interpreter import Int8Network
from inspector.model.seal import replacing, write_proof
from training.data.dataset import DataSet, find_pictures, load_pixels
from training.data.learned import picture_id, read_learned
from training.errors import DataError
from training.files import write_bytes
from training.int8.signoff import spoilt_features
from training.int8.unknown import MAX_PLACES, SPACES, arrays_of, with_spoilt_places


def know_rough_pictures(bundle: str, data: Path, version: str, output: Path | None = None) -> Card:
    """Write the bundle with the wider rule and return its card.

    Args:
        bundle: A folder, or the name of a shipped bundle.
        data: The data set that it has learned from; only pictures that it lists are used.
        version: Of the bundle that is written.
        output: Its folder; None replaces the one that is there.

    Raises:
        BundleError: The bundle does not hold on this machine.
        DataError: It has no rule for `unknown` of this kind or no room in it, none of its pictures is in `data`, or
            something else than a bundle is at `output`.
    """
    loaded = load_bundle(find_bundle(bundle))
    check_golden(Classifier(loaded))
    card, rule, distance = loaded.card, loaded.card.unknown, loaded.distance
    if rule is None or distance is None or tuple(space.name for space in rule.spaces) != SPACES:
        raise DataError(f"rough: {loaded.root} has no rule for unknown with the spaces {' and '.join(SPACES)}")
    if 2 * len(distance.spaces[0].means) > MAX_PLACES:
        raise DataError(f"rough: {loaded.root} knows {len(distance.spaces[0].means)} places already, there is no room")
    root = output or loaded.root
    if root != loaded.root and root.exists() and not (root / "card.json").is_file():
        raise DataError(f"rough: {root} holds something else than a bundle and is not replaced")
    pixels, shown = _learned_pictures(loaded, data)
    features, named = spoilt_features(Int8Network(loaded.model_path()), card.labels, pixels, shown)
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays_of(with_spoilt_places(distance, features, named)))
    fields = card.model_dump(mode="json", by_alias=True) | {
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    with replacing(root) as folder:
        for path in sorted(loaded.root.iterdir()):
            if path.name in card.files and path.name not in (rule.file, card.golden):
                shutil.copyfile(path, folder / path.name)
        write_bytes(folder / rule.file, memory.getvalue())
        return write_proof(folder, fields, choose_golden)


def _learned_pictures(loaded: Bundle, data: Path) -> tuple[list[Pixels], list[str]]:
    data_set, learned = DataSet(data), read_learned(loaded.root)
    pictures = [picture for picture in find_pictures(data_set) if picture_id(picture) in learned]
    if not pictures:
        raise DataError(f"rough: {data} has none of the pictures that {loaded.short} has learned from")
    return load_pixels(data_set, pictures), [picture.label for picture in pictures]
