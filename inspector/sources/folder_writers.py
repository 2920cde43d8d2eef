"""Whether somebody still writes a file: the kernel knows who has it open.

Two ways tell. A read lease is granted only while nobody has the file open for writing, but only to its owner or with
CAP_LEASE, and on file systems that have leases. Events of opening and closing tell of any writer that came since the
folder is watched, and of readers, too. Where neither works (NFS, SMB), a file that stays as it is counts as finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
from pathlib import Path

MAX_OPEN = 10_000
"""Open files that are kept in mind; of more, nothing is known."""


def is_open_for_writing(path: Path) -> bool | None:
    """Say whether anybody has this file open for writing; None if it cannot be known, or is no regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a device or a FIFO can be an action
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Somebody who opens it in this very moment makes the kernel signal us: SIGURG, which is ignored, not SIGIO.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        with contextlib.suppress(OSError):  # closing gives it back as well
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)


class OpenFiles:
    """Counts, by events, how often each file is open."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def opened(self, path: str) -> None:
        """Note one opening."""
        if path in self._count or len(self._count) < MAX_OPEN:
            self._count[path] = self._count.get(path, 0) + 1

    def closed(self, path: str) -> None:
        """Note one close; of a file that was opened before anybody listened, nothing."""
        if (count := self._count.pop(path, 0)) > 1:
            self._count[path] = count - 1

    def moved(self, path: str, new_path: str) -> None:
        """Note another name; an empty one means that it left, or came from, elsewhere."""
        if (count := self._count.pop(path, 0)) and new_path:
            self._count[new_path] = count

    def is_open(self, path: str) -> bool:
        """Say whether somebody has it open."""
        return path in self._count

    def clear(self) -> None:
        """Forget all."""
        self._count.clear()
