"""A file in the watched folder, as it was at the last look. No file is opened here."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from inspector.frame import FileStamp
from inspector.sources.file_time import bounded_ns

OF_A_MOMENT = (".", "~$", "~tmp")
"""Beginnings of names that are hidden, or that programs give to files beside the one they work on."""
UNFINISHED = (".tmp", ".part", ".filepart", ".partial", ".crdownload", ".download", ".swp", "~")
"""Ends of names that a writer uses until the file is complete."""
VANISHED = {errno.ENOENT, errno.ENOTDIR}
"""What the system answers when a file is not there (any more)."""


@dataclass(slots=True)
class FoundFile:
    """A file that was found and is not committed yet.

    Attributes:
        root: The folder, without links.
        path: Below the root, as the file system spells it.
        key: The same as text that can be stored and sent.
        stamp: Size, times and inode at the last look.
        ready_s: When it counts as finished if it stays as it is, on `Clock.monotonic`.
        closed: Its writer closed it.
        in_doubt: A finished file has this name, size and time: the content tells whether it is this one.
        digest: SHA-256 of its content, once it was read.
        tries: Failed reads.
        held_s: Since when it waits for a close, unchanged, on `Clock.monotonic`.
        found_s: When it was first noticed, on `Clock.monotonic`.
    """

    root: str
    path: str
    key: str
    stamp: FileStamp
    ready_s: float
    closed: bool = False
    in_doubt: bool = False
    digest: str | None = None
    tries: int = 0
    held_s: float | None = None
    found_s: float = 0.0


def stamp_of(path: str | Path) -> FileStamp | None:
    """Return size, times and inode of what `path` leads to, or None when there is nothing (any more)."""
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every file of every scan
    except OSError as exc:
        if exc.errno in VANISHED:
            return None
        try:  # a loop of links, or no permission: to be refused by name
            found = os.lstat(path)
        except OSError:
            return None
    inode = (found.st_ino + (1 << 63)) % (1 << 64) - (1 << 63)  # some file systems use all 64 bits
    return FileStamp(found.st_size, bounded_ns(found.st_mtime_ns), inode, bounded_ns(found.st_ctime_ns))


def key_of(relative: str) -> str:
    """Return a path as text that can be stored and sent; bytes that are no UTF-8 are spelled out."""
    return os.fsencode(relative).decode("utf-8", "backslashreplace")
