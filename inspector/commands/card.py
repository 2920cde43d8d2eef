"""Proves a bundle's card anew, from the bundle alone: golden tiles, their decisions, and the card's hash.

A bundle of format 1 becomes one of format 2; its network and every other file stay as they are. What does not hold (a
card that was edited, a file that was exchanged) is proven only when that is asked for, as it lies there.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.drawn.golden import choose_golden
from inspector.errors import BundleError
from inspector.model.bundle import find_bundle, load_bundle, read_card_bytes
from inspector.model.canonical import read_json
from inspector.model.card import Card
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.seal import replacing, write_proof


@dataclass(frozen=True, slots=True)
class ProvenCard:
    """What `prove_card` has done.

    Attributes:
        root: Folder of the proven bundle.
        card: Its card.
        tiles: How many golden tiles prove it.
        written: False where everything held already.
    """

    root: Path
    card: Card
    tiles: int
    written: bool

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "path": str(self.root), "schema": self.card.schema_, "bundle": f"{self.card.name}@{self.card.version}",
            "sha256": self.card.sha256, "golden_tiles": self.tiles, "written": self.written,
            "unreached": list(self.card.golden_unreached),
        }  # fmt: skip


def prove_card(bundle: str, output: Path | None = None, *, accept: bool = False) -> ProvenCard:
    """Write a bundle's card and golden tiles anew where they are of format 1, or do not hold and are accepted.

    Args:
        bundle: A folder, or the name of a shipped bundle.
        output: Folder of the proven bundle; None replaces the one that is there.
        accept: Take card and files as they lie, whatever hash or golden tile they break.

    Raises:
        BundleError: The bundle does not hold and is not accepted, or cannot be opened at all.
        OSError: `output` cannot be written.
    """
    root = find_bundle(bundle)
    target = output or root
    if output is not None and output.exists() and not (output / "card.json").is_file():
        raise BundleError(f"--output: something else than a bundle is there and is not replaced: {output}")
    try:
        loaded = load_bundle(root)
        check_golden(Classifier(loaded))
    except BundleError as exc:
        if not accept:
            raise BundleError(f"{exc} (--accept proves the bundle as it lies there)") from exc
    else:
        if loaded.card.format == 2 and target == root:
            return ProvenCard(root, loaded.card, len(loaded.golden.tiles), written=False)
    fields = _fields_of(root)
    with replacing(target) as folder:
        for path in sorted(root.iterdir()):
            if path.is_file() and path.name != "card.json":
                shutil.copyfile(path, folder / path.name)
        card = write_proof(folder, fields, choose_golden)
    return ProvenCard(target, card, len(load_bundle(target).golden.tiles), written=True)


def _fields_of(root: Path) -> dict[str, Any]:
    """Return what a card says, whether or not its hash holds; `write_proof` refuses what makes no card."""
    try:
        fields = read_json(read_card_bytes(root))
    except ValueError as exc:
        raise BundleError(f"{root / 'card.json'}: not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise BundleError(f"{root / 'card.json'}: an object is expected: {type(fields).__name__}")
    return fields
