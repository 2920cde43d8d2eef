"""The watched folder itself: that it is there, mounted, and still the one that was opened.

Blind must not look idle: under a lost mount there is an empty folder.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from inspector.errors import SourceError


class WatchedFolder:
    """One folder, distinguished from any other at the same path.

    Args:
        path: As it is configured.

    Attributes:
        root: The folder without links, once it was opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._id: tuple[int, int] | None = None
        self._mount = ""
        self.root = ""

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and was there ever since."""
        return self._id is not None

    def look(self) -> tuple[int, int]:
        """Return what distinguishes this folder from any other.

        Raises:
            SourceError: It is not there, cannot be read, or is another one than was opened.
        """
        try:
            found = Path(self._path).stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if self._mount and not os.path.ismount(self._mount):  # what lies under a mount point is another folder
                raise FileNotFoundError(errno.ENOENT, f"{self._mount} is not mounted any more")
            if not self.is_open:
                os.scandir(self._path).close()
        except OSError as exc:
            raise SourceError(f"folder cannot be read: {self._path}: {exc.strerror}") from exc
        if self._id not in (None, (found.st_dev, found.st_ino)):
            raise SourceError(f"folder was replaced by another: {self._path}")
        return found.st_dev, found.st_ino

    def open(self, folder_id: tuple[int, int]) -> None:
        """Keep to the folder that `look` saw; its mount is kept to even after `forget`."""
        self.root = os.path.realpath(self._path)
        self._mount = next(str(place) for place in (Path(self.root), *Path(self.root).parents) if place.is_mount())
        self._id = folder_id

    def forget(self) -> None:
        """Take any folder at this path again."""
        self._id = None
