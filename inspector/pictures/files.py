"""Which files are pictures, and how to find them below folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from inspector.errors import PictureError
from inspector.frame import Cause

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


def read_picture_file(path: Path, max_bytes: int, *, name: str | None = None) -> bytes:
    """Read a regular file whole, links followed, without ever waiting on a FIFO or touching a device.

    Args:
        path: The file.
        max_bytes: Larger files are refused.
        name: What to call it in errors; None takes the path.

    Raises:
        PictureError: `unreadable`, `unsupported` (not a regular file) or `too_large`; where the operating system
            refused, its `OSError` is the `__cause__`.
    """
    name = name or str(path)
    try:
        _demand_regular(name, path.stat())  # before opening: to open a device can be an action
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _demand_regular(name, found)
            size = found.st_size
            # One without bytes may be of the kernel's own, where reading is an action; and one that waits gives None.
            data = file.read(max_bytes + 1) if 0 < size <= max_bytes else b""
    except OSError as exc:
        raise PictureError(f"{name}: cannot be read: {exc.strerror}", Cause.UNREADABLE) from exc
    if data is None:
        raise PictureError(f"{name}: cannot be read without waiting for somebody", Cause.UNREADABLE)
    size = max(size, len(data))
    if size > max_bytes:
        raise PictureError(f"{name}: larger than {max_bytes} bytes: {size}", Cause.TOO_LARGE)
    return data


def _demand_regular(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}.get(
            stat.S_IFMT(found.st_mode), "a device"
        )
        raise PictureError(f"{name}: not a regular file: {kind}", Cause.UNSUPPORTED)
