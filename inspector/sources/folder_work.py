"""Which files are being worked on or finished, and which were being worked on when the process died.

A file is known by its name, size and time. Those are what its writer chooses, so inode and change time are compared,
too. Where only they differ, or a writer closed the file again, the content decides: the same name and content is the
same picture (after a change of rights, a hard link, a restored backup), other content is another one.
"""

from __future__ import annotations

import threading
from enum import Enum, auto

from inspector.errors import StoreBusyError
from inspector.frame import FileStamp, FinishedFile
from inspector.sources.base import Ledger
from inspector.sources.folder_file import FoundFile

CONFIRMED_AT_ONCE = 500
"""Files whose new stamps the ledger gets in one transaction."""


class FileState(Enum):
    """What is known of a file by its name and stamp."""

    NEW = auto()
    IN_WORK = auto()
    DONE = auto()
    IN_DOUBT = auto()  # as finished, or in work, by size and time; its content must tell


class FilesInWork:
    """Files that were read and are not committed yet, in front of the ledger of those that are.

    A file that was being worked on when the process died is a suspect: it is decoded in a process of its own, so that
    it cannot kill this one. Files begin on the reader's thread and end on any.

    Args:
        ledger: What is finished already, and what the process died over.
        changed: Guards the files, and is notified when one ends.
    """

    def __init__(self, ledger: Ledger, changed: threading.Condition) -> None:
        self._ledger = ledger
        self._changed = changed
        self._files: dict[str, list[FoundFile]] = {}
        self._suspects: set[str] = set()
        self._confirmed: dict[str, tuple[FileStamp, str | None]] = {}

    def load_suspects(self) -> None:
        """Ask the ledger which files were being worked on when the process died."""
        self._suspects = set(self._ledger.suspects())

    def is_suspect(self, key: str) -> bool:
        """Say whether the process died while it worked on this file."""
        return key in self._suspects

    def was_refused(self, key: str) -> bool:
        """Say whether the finished file of this name could not be inspected."""
        finished = self._ledger.find(key)
        return finished is not None and finished.refused

    def state(self, key: str, stamp: FileStamp) -> FileState:
        """Return what is known of the file of this name and stamp."""
        with self._changed:  # before the ledger: a file leaves the work only after its commit
            stamps = [file.stamp for file in self._files.get(key, ()) if file.stamp.is_dated_as(stamp)]
        if stamps:
            return FileState.IN_WORK if stamp in stamps else FileState.IN_DOUBT
        finished = self._find(key)
        if finished is None or not finished.stamp.is_dated_as(stamp):
            return FileState.NEW
        return FileState.DONE if finished.proven and finished.stamp == stamp else FileState.IN_DOUBT

    def is_same(self, file: FoundFile, stamp: FileStamp, digest: str | None) -> bool:
        """Say whether the content of a file is that of the one in work, or finished, with its name, size and time.

        What a previous program finished has no digest: it counts as the same unless a writer closed it again.

        Args:
            file: As it was found.
            stamp: Of the file now.
            digest: SHA-256 of its content; None if it cannot be read.
        """
        with self._changed:
            known = [other.digest for other in self._files.get(file.key, ()) if other.stamp.is_dated_as(stamp)]
        if known:
            return digest in known
        finished = self._find(file.key)
        if finished is None or not finished.stamp.is_dated_as(stamp):
            return False
        return finished.digest == digest if finished.proven else not file.closed

    def is_in_work(self, key: str) -> bool:
        """Say whether a file of this name is being worked on."""
        with self._changed:
            return key in self._files

    def confirm(self, key: str, stamp: FileStamp, digest: str | None) -> None:
        """Remember the present stamp of a finished file; durable some time after."""
        self._confirmed[key] = (stamp, digest)
        if len(self._confirmed) >= CONFIRMED_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Give the ledger the stamps that it does not have yet."""
        if not self._confirmed:
            return
        try:
            self._ledger.confirm([(key, stamp, digest) for key, (stamp, digest) in self._confirmed.items()])
        except StoreBusyError:  # health reports the disk; what is not remembered is compared again after the next start
            if len(self._confirmed) < 100 * CONFIRMED_AT_ONCE:
                return
        self._confirmed.clear()

    def _find(self, key: str) -> FinishedFile | None:
        finished = self._ledger.find(key)
        if finished is not None and key in self._confirmed:
            stamp, digest = self._confirmed[key]
            if stamp.is_dated_as(finished.stamp):
                return FinishedFile(stamp, digest, finished.refused)
        return finished

    def note_start(self, key: str) -> None:
        """Note durably that work on a file begins, before anything could kill the process over it."""
        self._ledger.starting(key)

    def begin(self, file: FoundFile) -> None:
        """Register a file as being worked on, until `end`."""
        with self._changed:
            self._files.setdefault(file.key, []).append(file)

    def find(self, key: str, stamp: FileStamp, digest: str | None) -> FoundFile | None:
        """Return the file of this name, stamp and content that is being worked on."""
        with self._changed:
            same = (file for file in self._files.get(key, ()) if (file.stamp, file.digest) == (stamp, digest))
            return next(same, None)

    def end(self, file: FoundFile) -> None:
        """End the work on a file that was committed and put away; its name is no longer a suspect."""
        with self._changed:
            files = self._files[file.key]
            files.remove(file)
            if not files:
                del self._files[file.key]
            self._suspects.discard(file.key)
            self._changed.notify_all()
