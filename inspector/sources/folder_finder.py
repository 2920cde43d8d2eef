"""Finds the pictures of a watched folder: each finished file once, oldest first. Nothing is opened or decoded here.

A file is ready at once when the kernel said that it was moved in, a moment after it said that a writer closed it, or
when two looks `settle_s` apart saw the same size and time. Hints (`folder_hints`) only make it fast; scans find every
file. Files that are finished or being worked on (`folder_work`) are skipped; those that may be others under the same
name, size and time are read last. If a process died before it could put a finished file away, the
scan of the next one does.
"""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Iterator

from inspector.clock import Clock
from inspector.errors import SourceError
from inspector.frame import FileStamp
from inspector.settings.source import FolderOptions
from inspector.sources.base import READ_TIMEOUT_S
from inspector.sources.folder_file import FoundFile, key_of, stamp_of
from inspector.sources.folder_hints import Hints
from inspector.sources.folder_marks import Marks
from inspector.sources.folder_root import WatchedFolder
from inspector.sources.folder_walk import Walk
from inspector.sources.folder_work import FilesInWork, FileState
from inspector.sources.put_away import FinishedFiles

MAX_WAITING = 10_000
"""Files kept in memory; the oldest ones, and more are fetched by the next scan."""
SCAN_SLICE_S = 0.2
"""Longest stretch of scanning inside one `look`."""
SCAN_SHARE = 0.1
"""Most of the time that may be spent scanning: a folder with very many files is scanned less often."""
CLOSED_SETTLE_S = 0.1
"""Pause after a writer closed a file: many set its time only then, and another time would be another picture."""
OPEN_LOOK_S = 0.5
"""Pause between two looks at a file that somebody has open."""
_SUSPECT, _OTHER, _IN_DOUBT = 0, 1, 2
"""Order of delivery: what the process died over comes first, and last what is most probably finished."""
_Found = tuple[bool, int, str, str, FileStamp]
"""What a scan found: in doubt, time, key, path below the root, stamp; in this order they are waited for."""


class Finder:
    """Knows the files of the folder that are not read yet, in the order in which they are to be read.

    All methods but `close` run on the reader's thread.

    Args:
        options: The section `[source]`.
        clock: Time.
        work: The files that are being worked on, or finished.
        finished: What becomes of finished files.
        changed: Guards the hints, and is notified when one comes.
    """

    def __init__(
        self,
        options: FolderOptions,
        clock: Clock,
        work: FilesInWork,
        finished: FinishedFiles,
        changed: threading.Condition,
    ) -> None:
        self._options = options
        self._clock = clock
        self._work = work
        self._finished = finished
        self._folder = WatchedFolder(options.path)
        self._walk = Walk(options, finished.folders)
        self._hints = Hints(options.recursive, options.rescan_s, changed)
        self._waiting: dict[str, FoundFile] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._settling: list[tuple[float, str]] = []
        self._known_done = Marks()
        self._scan: Iterator[None] | None = None
        self._scan_due_s = self._scan_spent_s = 0.0
        self._scanned_once = self._more = False

    @property
    def is_caught_up(self) -> bool:
        """Whether the folder was scanned to its end and every file found was delivered."""
        return self._scanned_once and not (self._waiting or self._ready or self._settling or self._more or self._scan)

    def has_news(self) -> bool:
        """Say whether `look` and `next_ready` would find something now; under the lock."""
        return bool(self._hints) or self._may_begin_next()

    def pause_s(self) -> float:
        """Return how long there is nothing to look at unless a hint comes; `READ_TIMEOUT_S` at most."""
        now_s = self._clock.monotonic()
        next_s = self._scan_due_s if self._scan is None else now_s
        if self._settling:
            next_s = min(next_s, self._settling[0][0])
        return min(READ_TIMEOUT_S, max(0.0, next_s - now_s))

    # The folder itself

    def check(self) -> tuple[int, int] | None:
        """Check whether the folder is there.

        Returns:
            None if it is the one that was opened; else what to `open`.

        Raises:
            SourceError: It is not there (any more); all that was found in it is forgotten.
        """
        try:
            folder_id = self._folder.look()
        except SourceError:
            self._forget()
            raise
        return None if self._folder.is_open else folder_id

    def open(self, folder_id: tuple[int, int]) -> None:
        """Begin to find the files of the folder that `check` saw."""
        self._folder.open(folder_id)
        self._scan_due_s = self._clock.monotonic()
        self._hints.start(self._folder.root)  # before the first scan, so that no file falls between the two

    def close(self) -> None:
        """Watch no more; may come from any thread."""
        self._hints.close()

    def _forget(self) -> None:
        self._hints.stop()
        self._folder.forget()
        self._scan = None
        self._scanned_once = False
        self._waiting.clear()
        self._ready.clear()
        self._settling.clear()
        self._known_done = Marks()

    # Files, one at a time

    def look(self) -> None:
        """Take hints, note which files have settled, and scan for a while if it is time.

        Raises:
            SourceError: The folder cannot be read any more.
        """
        for path, moved in self._hints.take().items():
            self._take_hint(path, moved)
        now_s = self._clock.monotonic()
        while self._settling and self._settling[0][0] <= now_s:
            _, key = heapq.heappop(self._settling)
            file = self._waiting.get(key)
            if file is not None and file.ready_s <= now_s:
                self._push_ready(file)
        if self._scan is None and (now_s >= self._scan_due_s or (self._more and not self._waiting)):
            self._scan, self._scan_spent_s = self._scan_in_steps(), 0.0
            self._scan_due_s = now_s + self._options.rescan_s
        if self._scan is not None:
            self._go_on_scanning(self._scan, now_s)

    def next_ready(self) -> FoundFile | None:
        """Return the next finished file that may be begun now, and let go of it; `put_back` takes it again."""
        while self._may_begin_next():
            _, mtime_ns, key = heapq.heappop(self._ready)
            file = self._waiting.get(key)
            if file is not None and file.stamp.mtime_ns == mtime_ns:  # else it has another place in the list
                del self._waiting[key]
                return file
        return None

    def is_expected(self, path: str, key: str) -> bool:
        """Say whether the file of this path and key is still to be read; from any thread, under the lock."""
        return key in self._waiting or self._hints.came(path)

    def put_back(self, file: FoundFile, stamp: FileStamp, *, closed: bool = False) -> None:
        """Look at the file again when it has had time to change."""
        file.stamp, file.closed, file.held_s = stamp, closed, None
        self._await(file, min(CLOSED_SETTLE_S, self._options.settle_s) if closed else self._options.settle_s)

    def hold(self, file: FoundFile) -> None:
        """Look at the file again soon, because somebody has it open."""
        self._await(file, OPEN_LOOK_S)

    def is_waiting(self, key: str) -> bool:
        """Say whether the file of this key was found and not read yet."""
        return key in self._waiting

    def is_open(self, path: str) -> bool:
        """Say whether events tell that somebody has this file open."""
        return self._hints.is_open(path)

    def _await(self, file: FoundFile, pause_s: float) -> None:
        file.ready_s = self._clock.monotonic() + pause_s
        self._waiting[file.key] = file
        heapq.heappush(self._settling, (file.ready_s, file.key))

    def _may_begin_next(self) -> bool:
        return bool(self._ready) and self._scanned_once

    def _push_ready(self, file: FoundFile) -> None:
        rank = _SUSPECT if self._work.is_suspect(file.key) else _IN_DOUBT if file.in_doubt else _OTHER
        heapq.heappush(self._ready, (rank, file.stamp.mtime_ns, file.key))

    def _take_hint(self, path: str, moved: bool) -> None:
        relative = os.path.relpath(path, self._folder.root)
        if not self._walk.takes(path, relative) or (stamp := stamp_of(path)) is None:
            return
        key = key_of(relative)
        # A close says that somebody wrote: on some file systems (FAT: times of 2 s) nothing else shows a new picture.
        in_doubt = self._work.state(key, stamp) is not FileState.NEW
        known = self._waiting.get(key)
        if known is None and len(self._waiting) >= 2 * MAX_WAITING:
            self._more = True
            return
        tries, found_s = (known.tries, known.found_s) if known else (0, self._clock.monotonic())
        file = FoundFile(self._folder.root, relative, key, stamp, 0.0, in_doubt=in_doubt, tries=tries, found_s=found_s)
        file.closed = not (moved and self._hints.is_open(path))
        self._await(file, 0.0 if moved else min(CLOSED_SETTLE_S, self._options.settle_s))

    # Scans

    def _go_on_scanning(self, scan: Iterator[None], started_s: float) -> None:
        try:
            ended = all(self._clock.monotonic() < started_s + SCAN_SLICE_S for _ in scan)
        except OSError as exc:
            self._forget()
            raise SourceError(f"folder cannot be read: {self._options.path}: {exc.strerror}") from exc
        now_s = self._clock.monotonic()
        self._scan_spent_s += now_s - started_s
        if ended:
            self._scan = None
            self._scan_due_s = max(self._scan_due_s, now_s + self._scan_spent_s * (1 / SCAN_SHARE - 1))

    def _scan_in_steps(self) -> Iterator[None]:
        """Go through the folder, pausing after each file; at the end replace the list of waiting files."""
        root = self._folder.root
        found: list[_Found] = []
        known_done = Marks()
        truncated = False
        for path, relative in self._walk.files(root):
            if (stamp := stamp_of(path)) is not None:
                key = key_of(relative)
                mark = hash((key, stamp))  # 64 bits: enough to distinguish files, small for very many
                if mark in self._known_done:
                    known_done.add(mark)
                elif (state := self._work.state(key, stamp)) is FileState.DONE:
                    # Finished by a process that died before it put it away, or while the disk refused.
                    refused, now_s = self._work.was_refused(key), self._clock.monotonic()
                    if self._finished.put_away_late(root, relative, stamp, refused=refused, now_s=now_s):
                        known_done.add(mark)
                elif state is not FileState.IN_WORK:
                    found.append((state is FileState.IN_DOUBT, stamp.mtime_ns, key, relative, stamp))
                    if len(found) >= 2 * MAX_WAITING:
                        found.sort()
                        del found[MAX_WAITING:]
                        truncated = True
            yield
        found.sort()
        truncated = truncated or len(found) > MAX_WAITING
        self._adopt(found[:MAX_WAITING])
        self._known_done, self._more, self._scanned_once = known_done.close(), truncated, True

    def _adopt(self, found: list[_Found]) -> None:
        now_s = self._clock.monotonic()
        waiting: dict[str, FoundFile] = {}
        for in_doubt, _, key, relative, stamp in found:
            if self._work.state(key, stamp) in (FileState.IN_WORK, FileState.DONE):  # read since it was seen
                continue
            known = self._waiting.get(key)
            if known is None or known.stamp != stamp:
                # What the process died over was finished before: it comes first, without waiting again.
                settle_s = 0.0 if self._work.is_suspect(key) else self._options.settle_s
                tries, found_s = (known.tries, known.found_s) if known else (0, now_s)
                known = FoundFile(
                    self._folder.root, relative, key, stamp, now_s + settle_s,
                    in_doubt=in_doubt, tries=tries, found_s=found_s,
                )  # fmt: skip
            waiting[key] = known
        for key, file in self._waiting.items():  # closed after the scan had passed them
            if file.closed and len(waiting) < 2 * MAX_WAITING:
                waiting.setdefault(key, file)
        self._waiting = waiting
        self._ready = []
        self._settling = []
        for file in waiting.values():
            if file.ready_s <= now_s:
                self._push_ready(file)
            else:
                heapq.heappush(self._settling, (file.ready_s, file.key))
