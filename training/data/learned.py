"""Which pictures a network has learned from, so that it is not judged by them.

A run and a bundle hold a list. The next model from a folder that has grown holds out other pictures first, and the
comparison with the model in service leaves out what that one has learned from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from training.data.dataset import Picture
from training.files import write_bytes

LEARNED = "learned.txt"
"""In a run: what it learned from itself; in a bundle: its start's pictures, too.

Pictures of the data set alone: neither those of another mill nor the eighth that was held out to set thresholds.
"""
LEARNED_BEFORE = "learned-before.txt"
"""In a run: what its start had learned from."""
ID_DIGITS = 16
"""Of a picture file's sha256: enough to distinguish any two, and a list of a thousand is 17 kB."""


def picture_id(picture: Picture) -> str:
    """Return the id of a picture in the lists: the beginning of its file's hash, because names change."""
    return picture.sha256[:ID_DIGITS]


def write_learned(path: Path, ids: Iterable[str]) -> None:
    """Write a list, sorted, one id a line."""
    write_bytes(path, "".join(f"{each}\n" for each in sorted(set(ids))).encode())


def read_learned(folder: Path) -> frozenset[str]:
    """Return the ids of all pictures behind a run or a bundle; empty if it was made before there were lists."""
    return _read(folder / LEARNED) | read_before(folder)


def read_before(run: Path) -> frozenset[str]:
    """Return the ids of what the start of a run had learned from; empty where it had no start."""
    return _read(run / LEARNED_BEFORE)


def _read(path: Path) -> frozenset[str]:
    return frozenset(path.read_text().split()) if path.is_file() else frozenset()


def known_groups(pictures: Iterable[Picture], learned: frozenset[str]) -> frozenset[str]:
    """Return the groups of which a view was learned from: their other views are not new either."""
    return frozenset(picture.group for picture in pictures if picture_id(picture) in learned)
