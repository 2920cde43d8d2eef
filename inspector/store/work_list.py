"""Which files are being worked on: a process that dies leaves their names behind."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path


class WorkList:
    """Which files are being worked on, in a plain file: `+` and `-` lines, written without waiting for the disk.

    It must survive the process, not the machine, so it costs one small write per file instead of one disk flush. A
    full disk is no reason to stop inspecting: then a deadly file is found one crash later.
    """

    MAX_BYTES = 1 << 20

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, int] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
                try:
                    key, started_ms = json.loads(line[1:])
                except (ValueError, TypeError):
                    continue  # the last line of a process that died while writing it
                if line[:1] == "+":
                    self._open[key] = started_ms
                else:
                    self._open.pop(key, None)
        self.left_over = dict(self._open)
        self._file = path.open("ab", buffering=0)

    def started(self, key: str, now_ms: int) -> None:
        """Note that this file is being read."""
        self._open[key] = now_ms
        self._write([("+", key, now_ms)])

    def finished(self, keys: Sequence[str]) -> None:
        """Note that these are done."""
        self._write([("-", key, self._open.pop(key)) for key in keys if key in self._open])
        with contextlib.suppress(OSError):
            if self._file.tell() > self.MAX_BYTES:
                self._write_again()

    def _write(self, lines: Sequence[tuple[str, str, int]]) -> None:
        if lines:
            with contextlib.suppress(OSError):
                self._file.write("".join(f"{sign}{json.dumps([key, ms])}\n" for sign, key, ms in lines).encode())

    def _write_again(self) -> None:
        """Replace the file by one with the open lines only; the file exists at every moment."""
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(f"+{json.dumps(item)}\n" for item in self._open.items()), encoding="utf-8")
        partial.replace(self._path)
        self._file.close()
        self._file = self._path.open("ab", buffering=0)

    def clear(self) -> None:
        """Forget all: the process ends on purpose."""
        self._open.clear()
        with contextlib.suppress(OSError):
            self._file.truncate(0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
