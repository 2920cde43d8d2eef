"""Copies of bundles, spoilt or edited on purpose, with some hashes or all of them made right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fakes import hashes_of

from inspector.model.bundle import find_bundle
from inspector.model.card import Card, write_card_text

Hashed = Literal["nothing", "card", "golden"]
"""What is made right after an edit: no hash; those of the files and of the card; and what binds golden tiles, too."""

TINY = Path(__file__).parents[1] / "compat" / "0.1.0" / "bundle"
"""A bundle of format 1: three labels, 5 kB of network."""


def copy_bundle(folder: Path, source: str | Path = "neu-fast") -> Path:
    """Return a copy of a bundle, as a folder that was not there."""
    shutil.copytree(find_bundle(str(source)), folder, ignore=shutil.ignore_patterns(".*"))
    return folder


def edit_bundle(root: Path, change: Callable[[dict[str, Any]], object], hashed: Hashed = "card") -> None:
    """Change what a card says, in place, and make hashes right."""
    path = root / "card.json"
    fields = json.loads(path.read_text("utf-8"))
    change(fields)
    if hashed == "nothing":
        path.write_text(json.dumps(fields), "utf-8")
        return
    fields["files"] = {
        **fields["files"],
        **{name: sha for name, sha in hashes_of(root).items() if name in fields["files"]},
    }
    card = Card.model_validate(fields)
    if hashed == "golden":
        with np.load(root / card.golden) as archive:
            arrays = {name: archive[name] for name in archive.files}
        np.savez(root / card.golden, **{**arrays, "card_sha256": np.array(card.golden_sha256)})
        card = card.model_copy(update={"files": {**card.files, card.golden: hashes_of(root)[card.golden]}})
    path.write_bytes(write_card_text(card))


def flip_bit(path: Path, bit: int) -> None:
    """Flip one bit of a file, counted from its start."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def rename_labels(fields: dict[str, Any], names: dict[str, str]) -> None:
    """Give a card's labels other names, everywhere."""
    fields["labels"] = [names.get(label, label) for label in fields["labels"]]
    for key in ("thresholds", "severity"):
        fields[key] = {names.get(label, label): value for label, value in fields[key].items()}
