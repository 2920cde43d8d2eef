"""Puts finished and refused files away as the settings say: keeps, moves or deletes them. No file is ever replaced.

What is not done: nothing is decided here. A file is finished when its messages are committed, which the caller knows.
"""

from __future__ import annotations

import errno
import os
import shutil
from itertools import count
from pathlib import Path

import structlog

from inspector.errors import ConfigError
from inspector.frame import FileStamp
from inspector.settings.source import FolderOptions
from inspector.sources.folder_file import UNFINISHED, stamp_of

_RETRY_S, _LONGEST_RETRY_S = 5.0, 600.0
"""Pause after a finished file could not be put away: the first, and the longest that it doubles to."""
_MAX_STUCK = 100_000
"""Most of such files whose pauses are remembered."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EINVAL}

_log = structlog.get_logger("folder")


class FinishedFiles:
    """What becomes of files that were inspected or refused.

    Args:
        options: The section `[source]`.

    Attributes:
        folders: Where files are moved to, without links: nothing in there is a new picture.

    Raises:
        ConfigError: Finished or refused files would come back as new ones.
    """

    def __init__(self, options: FolderOptions) -> None:
        self._options = options
        self.folders = {
            os.path.realpath(folder)
            for folder, action in ((options.finished_dir, options.finished), (options.refused_dir, options.refused))
            if folder is not None and action == "move"
        }
        if os.path.realpath(options.path) in self.folders:
            raise ConfigError(f"source.finished_dir and source.refused_dir must not be source.path: {options.path}")
        self._stuck: dict[str, tuple[float, float]] = {}
        """Finished files that `put_away_late` could not put away: when each is due again, and its last pause."""

    def put_away_late(self, root: str, relative: str, stamp: FileStamp, *, refused: bool, now_s: float) -> bool:
        """Put away a file that was finished earlier, now or, after a failure, when its pause is over.

        Returns:
            Whether nothing is left to do: a disk that was read-only for a while is no reason to leave a file for ever.
        """
        due_s, pause_s = self._stuck.get(relative, (now_s, _RETRY_S / 2))
        if now_s < due_s:
            return False
        if self.put_away(root, relative, stamp, refused=refused):
            self._stuck.pop(relative, None)
            return True
        pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
        if len(self._stuck) >= _MAX_STUCK:
            self._stuck.clear()
        self._stuck[relative] = (now_s + pause_s, pause_s)
        return False

    def put_away(self, root: str, relative: str, stamp: FileStamp, *, refused: bool) -> bool:
        """Put one file away, unless it was written again meanwhile; what cannot be moved stays, with a warning.

        Args:
            root: The watched folder.
            relative: The file's path below it, kept where it is moved.
            stamp: Its size and time when it was read.
            refused: It could not be inspected.

        Returns:
            Whether it is where it belongs, or gone.
        """
        action = self._options.refused if refused else self._options.finished
        folder = self._options.refused_dir if refused else self._options.finished_dir
        if action == "keep":
            return True
        path = Path(root, relative)
        try:
            if stamp_of(path) != stamp:
                return True  # gone, or written again: that is another picture
            if action == "delete":
                path.unlink()
            elif folder is not None:
                move_file(path, Path(os.path.realpath(folder), relative))
        except OSError as exc:
            _log.warning("file_not_put_away", file=str(path), action=action, reason=exc.strerror or str(exc))
            return False
        return True


def move_file(source: Path, target: Path) -> None:
    """Move a file, across file systems too, without ever replacing one: the newcomer's name gets a number.

    Raises:
        OSError: It could not be moved; it lies where it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _move_within(source, target)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        carried = target.with_name(f".{target.name}{UNFINISHED[1]}")
        try:
            shutil.copy2(source, carried)
            with carried.open("rb") as file:
                os.fsync(file.fileno())
            _move_within(carried, target)
        finally:
            carried.unlink(missing_ok=True)
        source.unlink()


def _move_within(source: Path, target: Path) -> None:
    for number in count(1):
        place = target if number == 1 else target.with_name(f"{target.stem}-{number}{target.suffix}")
        try:
            os.link(source, place, follow_symlinks=False)  # unlike a rename, it fails where a file is
        except FileExistsError:
            if not os.path.samestat(source.lstat(), place.lstat()):
                continue  # else a move that was cut off between link and unlink
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            if os.path.lexists(place):
                continue
            source.rename(place)
            return
        source.unlink()
        return
