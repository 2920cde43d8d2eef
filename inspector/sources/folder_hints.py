"""Hints that a file is complete: the kernel says when a writer closed it or moved it in (inotify).

They only make the folder fast. Scans cover file systems that send none (NFS, SMB), queues that overflow and watches
that the system refuses; a lost hint costs `rescan_s`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog
from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

MAX_HINTS = 10_000
"""Hints kept until they are taken; a scan finds the other files."""

_log = structlog.get_logger("folder")


class Hints:
    """Paths of files that were closed or moved in since they were last taken.

    Args:
        recursive: Watch the folders below, too.
        rescan_s: Pause between two scans: how late a file is without hints.
        changed: Guards the paths, and is notified when one comes.
    """

    def __init__(self, recursive: bool, rescan_s: float, changed: threading.Condition) -> None:
        self._recursive = recursive
        self._rescan_s = rescan_s
        self._changed = changed
        self._paths: dict[str, None] = {}
        self._observer: InotifyObserver | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._paths)

    def start(self, root: str) -> None:
        """Watch a folder; if the system refuses, warn and go without hints."""
        try:
            observer = InotifyObserver(generate_full_events=True)
        except OSError as exc:
            self._warn(root, exc)
            return
        try:
            observer.schedule(
                _Listener(self.note), root, recursive=self._recursive, event_filter=[FileClosedEvent, FileMovedEvent]
            )
            observer.start()
        except OSError as exc:
            observer.stop()
            self._warn(root, exc)
            return
        with self._changed:
            if not self._closed:
                self._observer, observer = observer, None  # type: ignore[assignment]
        if observer is not None:
            observer.stop()
            observer.join()

    def _warn(self, root: str, exc: OSError) -> None:
        _log.warning("folder_events_unavailable", folder=root, reason=str(exc), rescan_s=self._rescan_s)

    def note(self, path: str) -> None:
        """Take note of a file that was closed or moved in; runs on the observer's thread."""
        with self._changed:
            if len(self._paths) < MAX_HINTS:
                self._paths[path] = None
                self._changed.notify_all()

    def came(self, path: str) -> bool:
        """Say whether a hint about this path came and was not taken yet; under the lock."""
        return path in self._paths

    def take(self) -> list[str]:
        """Return the paths that came, each once, and forget them."""
        with self._changed:
            paths, self._paths = self._paths, {}
        return list(paths)

    def stop(self) -> None:
        """Stop watching, and forget what came; `start` may follow."""
        with self._changed:
            observer, self._observer = self._observer, None
            self._paths.clear()
        if observer is not None:
            observer.stop()
            observer.join()

    def close(self) -> None:
        """Stop for good; a `start` in progress on another thread leaves nothing behind."""
        with self._changed:
            self._closed = True
        self.stop()


class _Listener(FileSystemEventHandler):
    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def dispatch(self, event: FileSystemEvent) -> None:
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        if path:
            self._note(os.fsdecode(path))
