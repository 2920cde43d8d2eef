"""Which files are being worked on: a process that dies leaves their names behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import structlog

_MAX_READ_BYTES = 16 << 20
"""A longer list is not one of ours."""

_log = structlog.get_logger("store")


class WorkList:
    """Which files are being worked on, in a plain file: `+` and `-` lines, written without waiting for the disk.

    It must survive the process, not the machine, so it costs one small write per file instead of one disk flush. A
    full disk is no reason to stop inspecting: then a deadly file is found one crash later.
    """

    MAX_BYTES = 1 << 20

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = _read(path)
        self.left_over = dict(self._open)
        self._file = self._append()

    def _append(self) -> io.FileIO | None:
        """Open the file for appending; None if the disk refuses: then only a crash's file is not known."""
        try:
            if os.path.lexists(self._path) and not self._path.is_file():
                self._path.rename(self._path.with_name(f"{self._path.name}.aside-{uuid.uuid4()}"))
            return self._path.open("ab", buffering=0)
        except OSError as exc:
            _log.warning("work_list_not_written", file=str(self._path), reason=str(exc))
            return None

    def started(self, key: str, now_ms: int) -> None:
        """Note that this file is being read."""
        self._open[key] = now_ms
        self._write([("+", key, now_ms)])

    def finished(self, keys: Sequence[str]) -> None:
        """Note that these are done."""
        self._write([("-", key, self._open.pop(key)) for key in keys if key in self._open])
        with contextlib.suppress(OSError):
            if self._file is not None and self._file.tell() > self.MAX_BYTES:
                self._write_again()

    def _write(self, lines: Sequence[tuple[str, str, int]]) -> None:
        if lines and self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write("".join(f"{sign}{json.dumps([key, ms])}\n" for sign, key, ms in lines).encode())

    def _write_again(self) -> None:
        """Replace the file by one with the open lines only; the file exists at every moment."""
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(f"+{json.dumps(item)}\n" for item in self._open.items()), encoding="utf-8")
        partial.replace(self._path)
        self.close()
        self._file = self._append()

    def clear(self) -> None:
        """Forget all: the process ends on purpose."""
        self._open.clear()
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.truncate(0)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _read(path: Path) -> dict[str, int]:
    """Return the files that the last process left open, with their times; what is not understood is passed over."""
    found: dict[str, int] = {}
    try:
        if not path.is_file():
            return found
        with path.open("rb") as file:
            text = file.read(_MAX_READ_BYTES).decode("utf-8", errors="surrogateescape")
    except OSError as exc:
        _log.warning("work_list_not_read", file=str(path), reason=str(exc))
        return found
    for line in text.splitlines():
        try:
            key, started_ms = json.loads(line[1:])
            key.encode()
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # the last line of a process that died while writing it, or damage
        if not isinstance(key, str) or not isinstance(started_ms, int) or not 0 <= started_ms < 1 << 53:
            continue
        if line[:1] == "+":
            found[key] = started_ms
        elif line[:1] == "-":
            found.pop(key, None)
    return found
