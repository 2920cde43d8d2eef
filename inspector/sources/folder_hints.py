"""Hints that a file is complete: the kernel says when a writer closed it or moved it in (inotify), and who has it open.

They only make the folder fast. Scans cover file systems that send none (NFS, SMB), queues that overflow and watches
that the system refuses; a lost hint costs `rescan_s`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog
from watchdog.events import (
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

from inspector.sources.folder_writers import OpenFiles

MAX_HINTS = 10_000
"""Hints kept until they are taken; a scan finds the other files."""

_EVENTS: list[type[FileSystemEvent]] = [FileOpenedEvent, FileClosedEvent, FileClosedNoWriteEvent, FileMovedEvent]

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
        self._paths: dict[str, bool] = {}
        self._open = OpenFiles()
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
            observer.schedule(_Listener(self.hear), root, recursive=self._recursive, event_filter=_EVENTS)
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

    def hear(self, event: FileSystemEvent) -> None:
        """Take note of an event; runs on the observer's thread."""
        path, new_path = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
        with self._changed:
            match event:
                case FileOpenedEvent():
                    self._open.opened(path)
                case FileClosedNoWriteEvent():
                    self._open.closed(path)
                case FileMovedEvent():
                    self._open.moved(path, new_path)
                    if new_path and not self._open.is_open(new_path):
                        self.note(new_path, moved=True)
                case FileClosedEvent():
                    self._open.closed(path)
                    self.note(path, moved=False)

    def note(self, path: str, *, moved: bool) -> None:
        """Take note of a file that was closed by a writer, or moved in; under the lock."""
        if len(self._paths) < MAX_HINTS:
            self._paths[path] = moved
            self._changed.notify_all()

    def is_open(self, path: str) -> bool:
        """Say whether somebody opened this file, to write or to read, and did not close it yet."""
        with self._changed:
            return self._open.is_open(path)

    def came(self, path: str) -> bool:
        """Say whether a hint about this path came and was not taken yet; under the lock."""
        return path in self._paths

    def take(self) -> dict[str, bool]:
        """Return the paths that came, and whether the file was moved there, and forget them."""
        with self._changed:
            paths, self._paths = self._paths, {}
        return paths

    def stop(self) -> None:
        """Stop watching, and forget what came; `start` may follow."""
        with self._changed:
            observer, self._observer = self._observer, None
            self._paths.clear()
            self._open.clear()
        if observer is not None:
            observer.stop()
            observer.join()

    def close(self) -> None:
        """Stop for good; a `start` in progress on another thread leaves nothing behind."""
        with self._changed:
            self._closed = True
        self.stop()


class _Listener(FileSystemEventHandler):
    def __init__(self, hear: Callable[[FileSystemEvent], None]) -> None:
        self._hear = hear

    def dispatch(self, event: FileSystemEvent) -> None:
        self._hear(event)
