"""What a station was taught, and what that has proven since: read from its folder, whether or not it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inspector.errors import StoreBusyError
from inspector.station.proving import Proof, read_proof
from inspector.store.database import DATABASE
from inspector.store.read_only import StoreReader
from inspector.teach.accepted import Accepted
from inspector.teach.files import FOLDER
from inspector.teach.teach_in import read_teach_in


def stored_proof(folder: Path) -> Proof | None:
    """Return what the station has seen under its reference, as it noted last, or None.

    Args:
        folder: Of the store.
    """
    try:
        if not (folder / DATABASE).is_file():
            return None
        reader = StoreReader(folder / DATABASE, "records")
        try:
            return read_proof(reader.reference_proof())
        finally:
            reader.close()
    except (OSError, StoreBusyError):
        return None


def reference_lines(folder: Path, taught: Accepted) -> Iterator[str]:
    """Yield what a person should know, a line each.

    Args:
        folder: Of the store.
        taught: What is known about the accepted reference.
    """
    if taught.card is not None and taught.card.accepted is not None:
        card, who = taught.card, taught.card.accepted
        coils = "unknown coils" if card.coils is None else f"{card.coils} coils"
        yield f"{taught.short} of {card.tiles} tiles and {coils}, accepted by {who.by} at {who.at}"
        proof = stored_proof(folder)
        if proof is not None and proof.reference == taught.short:
            yield f"proven so far: {proof.text}"
    if (teach_in := read_teach_in(folder / FOLDER)) is not None:
        yield teach_in.summary
