"""Which files of a folder are pictures to inspect, by name and place, and the walk through all of them.

Links to files are followed, links to folders never. Hidden files and folders are left alone, and names that programs
use for files of a moment (`~$name`, `name~`, `.tmp`, `.part` and others), and the folders for finished and refused
files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from fnmatch import translate
from pathlib import Path

import structlog

from inspector.settings.source import FolderOptions
from inspector.sources.folder_file import OF_A_MOMENT, UNFINISHED, VANISHED

_log = structlog.get_logger("folder")


class Walk:
    """Goes through a folder, and says whether the walk would find a path.

    Args:
        options: The section `[source]`.
        away: Folders, without links, whose files are no new pictures.
    """

    def __init__(self, options: FolderOptions, away: Set[str]) -> None:
        self._recursive = options.recursive
        self._away = away
        self._matches = re.compile("|".join(translate(pattern.lower()) for pattern in options.patterns)).match
        self._unreadable_folders: set[str] = set()

    def takes(self, path: str, relative: str) -> bool:
        """Say whether `path`, `relative` to the root, is a picture to inspect."""
        *folders, name = Path(relative).parts
        if not self._takes_name(name) or any(folder.startswith(".") for folder in folders):
            return False
        return not any(path.startswith(folder + os.sep) for folder in self._away)

    def _takes_name(self, name: str) -> bool:
        lower = name.lower()
        return not lower.startswith(OF_A_MOMENT) and not lower.endswith(UNFINISHED) and self._matches(lower) is not None

    def files(self, root: str) -> Iterator[tuple[str, str]]:
        """Yield path, and path below the root, of each picture; a folder that cannot be read is skipped with a warning.

        Raises:
            OSError: The root cannot be read.
        """
        folders = [root]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            hidden = entry.name.startswith(".")
                            if self._recursive and not hidden and entry.path not in self._away:
                                folders.append(entry.path)
                        elif self._takes_name(entry.name):
                            yield entry.path, entry.path[len(root.rstrip(os.sep)) + 1 :]
            except OSError as exc:
                if folder == root:
                    raise
                if exc.errno not in VANISHED and folder not in self._unreadable_folders:
                    self._unreadable_folders.add(folder)
                    _log.warning("folder_unreadable", folder=folder, reason=exc.strerror)
