"""The last number that was given, beside the store: it shows that the store has lost what it had committed.

SQLite drops whatever follows a broken place in its log without a word, and a log that was deleted leaves no trace. The
numbers are written after each commit, without waiting for the disk: they survive the process, and after a power cut
they are at most older than the store. So numbers beyond the store's own mean that the store went back.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

FILE = "last-seq"
_MAX_BYTES = 512
_WIDTH = 160
"""Bytes of the one line, always the same, so that writing it again leaves nothing of the previous one."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers that were given.

    Attributes:
        store_id: By which store.
        seq: The last message.
        epoch: The last start of a source.
        delivered: The last message up to which every sink has everything.
    """

    store_id: str
    seq: int
    epoch: int
    delivered: int = 0


class LastSeq:
    """The file. It never raises: a disk that refuses here refuses the store, too.

    Args:
        folder: Of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._fd: int | None = None
        self.found = self._read()

    def note(self, numbers: Numbers) -> None:
        """Write the numbers over the previous ones."""
        text = json.dumps([numbers.store_id, numbers.seq, numbers.epoch, numbers.delivered])
        line = f"{zlib.crc32(text.encode()):08x} {text}".ljust(_WIDTH) + "\n"
        with contextlib.suppress(OSError):
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            os.pwrite(self._fd, line.encode(), 0)

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self) -> Numbers | None:
        """Return what the file holds; None if there is none, or it is torn."""
        try:
            if not self._path.is_file():
                return None
            with self._path.open("rb") as file:
                text = file.read(_MAX_BYTES).decode().rstrip()
            crc32, _, rest = text.partition(" ")
            if int(crc32, 16) == zlib.crc32(rest.encode()):
                return Numbers(*json.loads(rest))
        except (OSError, ValueError, TypeError):
            pass
        return None
