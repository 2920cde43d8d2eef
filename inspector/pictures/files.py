"""Which files are pictures, and how to find them below folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


def expand_paths(names: Sequence[str]) -> Iterator[str]:
    """Yield files as given, and the pictures below directories, sorted."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = (file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and not file.is_dir())
            yield from sorted(str(file) for file in found)
        else:
            yield name
