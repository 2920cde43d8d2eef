"""Which files are being worked on or finished, and which must be worked on alone because the process died over them."""

from __future__ import annotations

import threading

from inspector.frame import FileStamp
from inspector.sources.base import Ledger
from inspector.sources.folder_file import FoundFile


class FilesInWork:
    """Files that were read and are not committed yet, in front of the ledger of those that are.

    A file that was being worked on when the process died is a suspect: it is worked on alone, so that the culprit is
    known if the process dies again. Files begin on the reader's thread and end on any.

    Args:
        ledger: What is finished already, and what the process died over.
        changed: Guards the files, and is notified when one ends.
    """

    def __init__(self, ledger: Ledger, changed: threading.Condition) -> None:
        self._ledger = ledger
        self._changed = changed
        self._files: dict[tuple[str, FileStamp], FoundFile] = {}
        self._deaths: dict[str, int] = {}
        self._alone: tuple[str, FileStamp] | None = None

    def load_suspects(self) -> None:
        """Ask the ledger which files were being worked on when the process died."""
        self._deaths = self._ledger.suspects()

    def is_suspect(self, key: str) -> bool:
        """Say whether the process died while it worked on this file."""
        return key in self._deaths

    def deaths_of(self, key: str) -> int:
        """Return how often the process died while it worked on this file."""
        return self._deaths.get(key, 0)

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

    def may_begin(self, *, suspect: bool) -> bool:
        """Say whether a file may begin now; a suspect may only while no other file is being worked on."""
        with self._changed:
            return self._alone not in self._files and not (suspect and self._files)

    def note_start(self, key: str) -> None:
        """Note durably that work on a file begins, before anything could kill the process over it."""
        self._ledger.starting(key)

    def begin(self, file: FoundFile) -> None:
        """Register a file as being worked on, until `end`."""
        with self._changed:
            self._files[file.key, file.stamp] = file
            self._alone = (file.key, file.stamp) if self._deaths.get(file.key) == 1 else None

    def find(self, key: str, stamp: FileStamp) -> FoundFile | None:
        """Return the file of this name and stamp that is being worked on."""
        with self._changed:
            return self._files.get((key, stamp))

    def end(self, key: str, stamp: FileStamp) -> None:
        """End the work on a file that was committed and put away; its name is no longer a suspect."""
        with self._changed:
            self._files.pop((key, stamp), None)
            self._deaths.pop(key, None)
            self._changed.notify_all()
