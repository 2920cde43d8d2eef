"""Which files are being worked on or finished, and which were being worked on when the process died."""

from __future__ import annotations

import threading

from inspector.frame import FileStamp
from inspector.sources.base import Ledger
from inspector.sources.folder_file import FoundFile


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
        self._files: dict[tuple[str, FileStamp], FoundFile] = {}
        self._suspects: set[str] = set()

    def load_suspects(self) -> None:
        """Ask the ledger which files were being worked on when the process died."""
        self._suspects = set(self._ledger.suspects())

    def is_suspect(self, key: str) -> bool:
        """Say whether the process died while it worked on this file."""
        return key in self._suspects

    def was_refused(self, key: str) -> bool:
        """Say whether the finished file of this name could not be inspected."""
        return self._ledger.was_refused(key)

    def is_taken(self, key: str, stamp: FileStamp) -> bool:
        """Say whether exactly this file is being worked on or finished."""
        # Before the ledger: a file leaves the work only after its commit.
        return self.is_begun(key, stamp) or self._ledger.is_done(key, *stamp)

    def is_begun(self, key: str, stamp: FileStamp) -> bool:
        """Say whether exactly this file is being worked on."""
        with self._changed:
            return (key, stamp) in self._files

    def note_start(self, key: str) -> None:
        """Note durably that work on a file begins, before anything could kill the process over it."""
        self._ledger.starting(key)

    def begin(self, file: FoundFile) -> None:
        """Register a file as being worked on, until `end`."""
        with self._changed:
            self._files[file.key, file.stamp] = file

    def find(self, key: str, stamp: FileStamp) -> FoundFile | None:
        """Return the file of this name and stamp that is being worked on."""
        with self._changed:
            return self._files.get((key, stamp))

    def end(self, key: str, stamp: FileStamp) -> None:
        """End the work on a file that was committed and put away; its name is no longer a suspect."""
        with self._changed:
            self._files.pop((key, stamp), None)
            self._suspects.discard(key)
            self._changed.notify_all()
