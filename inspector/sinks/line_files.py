"""Lines in numbered files of one folder: appended, synced, and from a certain size on continued in the next file.

It knows nothing about messages. Only the newest file is written. A file may be deleted or moved away at any time, and
the folder too: writing continues in a new one. What another program writes into a file is not noticed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(r"^messages-(\d{9,})\.jsonl$")
_BLOCK = 1 << 16


class LineFiles:
    """Files named `messages-000000001.jsonl` and so on; sorted by name they are in order.

    Args:
        folder: Made when it is needed. Only files of these names are read, written or deleted in it.
        rotate_bytes: A file that would grow beyond it is followed by the next; a longer line gets a file of its own.
        keep_files: How many of the newest stay, including the one being written.
    """

    def __init__(self, folder: Path, rotate_bytes: int, keep_files: int) -> None:
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._keep_files = keep_files
        self._path = folder
        self._fd: int | None = None

    def open(self) -> None:
        """Make folder and file if they are missing, and cut off the half line that a power cut may have left.

        Raises:
            OSError: The folder or file cannot be used.
        """
        if self._fd is not None and _is_still_at(self._path, self._fd):
            return
        self.close()
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(self._folder.parent)
        numbers = self._numbers()
        if not numbers:
            self._begin(1)
            return
        self._path = self._folder / _name(numbers[-1])
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._fd, _end_of_lines(self._fd))

    def append(self, lines: Sequence[bytes]) -> int:
        """Append whole lines, each with its newline, and return when they would survive a power cut.

        Returns:
            How many were appended, at least one: those that go into the same file as the first.

        Raises:
            OSError: None of them counts as written.
        """
        try:
            self.open()
            size = os.fstat(self._file).st_size
            if size and size + len(lines[0]) > self._rotate_bytes:
                self._begin(self._numbers()[-1] + 1)
                size = 0
            content, count = lines[0], 1
            while count < len(lines) and size + len(content) + len(lines[count]) <= self._rotate_bytes:
                content += lines[count]
                count += 1
            self._write(content, size)
        except BaseException:
            self.close()  # what the kernel holds after an error is unknown: the next call looks at the file
            raise
        return count

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def _file(self) -> int:
        assert self._fd is not None  # noqa: S101 - `open` was called
        return self._fd

    def _write(self, content: bytes, size: int) -> None:
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):  # otherwise each try on a full disk would use the room that was made for the next
                os.ftruncate(self._file, size)
            raise

    def _begin(self, number: int) -> None:
        self.close()
        self._path = self._folder / _name(number)
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        _sync_folder(self._folder)
        for old in self._numbers()[: -self._keep_files]:
            (self._folder / _name(old)).unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        return sorted(int(match[1]) for path in self._folder.iterdir() if (match := _NAME.match(path.name)))


def _name(number: int) -> str:
    return f"messages-{number:09}.jsonl"


def _is_still_at(path: Path, fd: int) -> bool:
    try:
        there, here = path.stat(), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _end_of_lines(fd: int) -> int:
    """Return how long the file is up to its last newline."""
    end = os.fstat(fd).st_size
    while end > 0:
        begin = max(0, end - _BLOCK)
        newline = os.pread(fd, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
