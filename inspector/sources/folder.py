"""Stills from a watched folder: every finished file exactly once, oldest first.

A file is ready a moment after the kernel said that its writer closed it or moved it in, or when two looks `settle_s`
apart saw the same size and time. Events (inotify) only make it fast: file systems that send none (NFS, SMB), queues
that overflow and watches that cannot be had are covered by scans. The ledger says what is finished, so neither a
restart nor a second event repeats or skips a file; a file that is written again under its name is another picture.

Links to files are followed, links to folders never. Hidden files and folders, and names that uploads use until they are
complete (`.tmp`, `.part`, `.filepart`), are left alone, and so are the folders for finished and refused files.

What is not done: nothing waits or retries here (`reader` does), and no file is changed before `done` names it.
"""

from __future__ import annotations

import errno
import hashlib
import heapq
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from itertools import count
from pathlib import Path

import structlog
from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

from inspector.errors import ConfigError, PictureError, SourceError
from inspector.faults import crash_point
from inspector.frame import Cause, FileStamp, Frame, Gap
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.settings.sections import Source
from inspector.sources.base import READ_TIMEOUT_S, Ledger, Policy, SourceContext

MAX_WAITING = 10_000
"""Files kept in memory; the oldest ones, and more are fetched by the next scan."""
SCAN_SLICE_S = 0.2
"""Longest stretch of scanning inside one `read`."""
SCAN_SHARE = 0.1
"""Most of the time that may be spent scanning: a folder with very many files is scanned less often."""
CLOSED_SETTLE_S = 0.1
"""Pause after a writer closed a file: many set its time only then, and another time would be another picture."""
MAX_TRIES = 3
"""Failed reads (not missing, not damaged: refused by the system) after which a file is given up."""
UNFINISHED = (".tmp", ".part", ".filepart")
"""Ends of names that a writer uses until the file is complete."""
_SUSPECT, _OTHER = 0, 1
"""Order of delivery: what the process died over comes first."""
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_VANISHED = {errno.ENOENT, errno.ENOTDIR}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EINVAL}

_log = structlog.get_logger("folder")


@dataclass(slots=True)
class _Waiting:
    """A file that was seen and not read yet.

    Attributes:
        path: Below the root, as the file system spells it.
        stamp: Size and time when it was last looked at.
        ready_s: When it counts as finished if it stays as it is, on `Clock.monotonic`.
        closed: Its writer closed it.
        tries: Failed reads.
    """

    path: str
    stamp: FileStamp
    ready_s: float
    closed: bool = False
    tries: int = 0


class FolderSource:
    """Reads the pictures in a folder, and puts them away as the settings say once they are committed.

    Args:
        values: The section `[source]`.
        context: Time and epochs.
        ledger: What is finished already, and what the process died over.

    Raises:
        ConfigError: Finished or refused files would come back as new ones.
    """

    policy = Policy.LOSSLESS

    def __init__(self, values: Source, context: SourceContext, ledger: Ledger) -> None:
        self._values = values
        self._context = context
        self._clock = context.clock
        self._ledger = ledger
        self._matches = re.compile("|".join(translate(pattern.lower()) for pattern in values.patterns)).match
        self._away = {
            os.path.realpath(folder)
            for folder, action in ((values.finished_dir, values.finished), (values.refused_dir, values.refused))
            if folder is not None and action == "move"
        }
        if os.path.realpath(values.path) in self._away:
            raise ConfigError(f"source.finished_dir and source.refused_dir must not be source.path: {values.path}")

        self._changed = threading.Condition()  # guards what other threads touch: the five fields below
        self._hints: dict[str, None] = {}
        self._in_work: dict[tuple[str, FileStamp], tuple[str, str]] = {}  # root and path below it
        self._deaths: dict[str, int] = {}
        self._closed = False
        self._observer: InotifyObserver | None = None

        self._root = ""
        self._root_id: tuple[int, int] | None = None
        self._mount = ""
        self._epoch = self._next_frame_id = 0
        self._alone: tuple[str, FileStamp] | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._settling: list[tuple[float, str]] = []
        self._known_done: set[int] = set()
        self._scan: Iterator[None] | None = None
        self._scan_due_s = self._scan_spent_s = 0.0
        self._scanned_once = self._more = False
        self._unreadable_folders: set[str] = set()

    @property
    def description(self) -> str:
        """The folder."""
        return f"folder {self._values.path}"

    @property
    def is_caught_up(self) -> bool:
        """Whether the folder was looked through to its end and every file found was delivered; a replay ends then."""
        return self._scanned_once and not (self._waiting or self._ready or self._settling or self._more or self._scan)

    def read(self) -> Frame | Gap | None:
        """Return the oldest finished picture; see `FrameSource`."""
        with self._changed:
            if self._closed:
                return None
        self._open_or_check()
        if (item := self._next_item()) is not None:
            return item
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._hints or self._is_free(), self._pause_s())
            if self._closed:
                return None
        return self._next_item()

    def done(self, item: Frame | Gap) -> None:
        """Put the file away as the settings say, unless it was written again meanwhile; see `FrameSource`."""
        if item.source_key is None or item.file_stamp is None:
            return
        work = (item.source_key, item.file_stamp)
        with self._changed:
            place = self._in_work.get(work)
        if place is not None:
            self._put_away(*place, item.file_stamp, refused=isinstance(item, Gap))
        with self._changed:
            self._in_work.pop(work, None)
            self._deaths.pop(item.source_key, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop watching; see `FrameSource`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._stop_watching()

    # --- The folder itself ----------------------------------------------------------------------------------------

    def _open_or_check(self) -> None:
        path = self._values.path
        try:
            found = Path(path).stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if self._mount and not os.path.ismount(self._mount):  # what lies under a mount point is another folder
                raise FileNotFoundError(errno.ENOENT, f"{self._mount} is not mounted any more")
            root_id = (found.st_dev, found.st_ino)
            if self._root_id is None:
                os.scandir(path).close()
        except OSError as exc:
            self._forget_folder()
            raise SourceError(f"folder cannot be read: {path}: {exc.strerror}") from exc
        if self._root_id is None:
            self._open(root_id)
        elif root_id != self._root_id:
            self._forget_folder()
            raise SourceError(f"folder was replaced by another: {path}")

    def _open(self, root_id: tuple[int, int]) -> None:
        self._root = os.path.realpath(self._values.path)
        self._mount = next(str(place) for place in (Path(self._root), *Path(self._root).parents) if place.is_mount())
        self._epoch = self._context.next_epoch()
        self._next_frame_id = 0
        self._deaths = self._ledger.suspects()
        self._root_id = root_id
        self._scan_due_s = self._clock.monotonic()
        self._start_watching()  # before the first scan, so that no file falls between the two

    def _forget_folder(self) -> None:
        self._stop_watching()
        self._root_id = self._scan = None
        self._scanned_once = False
        self._waiting.clear()
        self._ready.clear()
        self._settling.clear()
        self._known_done.clear()

    def _start_watching(self) -> None:
        try:
            observer = InotifyObserver(generate_full_events=True)
        except OSError as exc:
            _log.warning(
                "folder_events_unavailable", folder=self._root, reason=str(exc), rescan_s=self._values.rescan_s
            )
            return
        try:
            observer.schedule(
                _Listener(self._note_event),
                self._root,
                recursive=self._values.recursive,
                event_filter=[FileClosedEvent, FileMovedEvent],
            )
            observer.start()
        except OSError as exc:
            observer.stop()
            _log.warning(
                "folder_events_unavailable", folder=self._root, reason=str(exc), rescan_s=self._values.rescan_s
            )
            return
        with self._changed:
            if not self._closed:
                self._observer, observer = observer, None  # type: ignore[assignment]
        if observer is not None:
            observer.stop()
            observer.join()

    def _stop_watching(self) -> None:
        with self._changed:
            observer, self._observer = self._observer, None
            self._hints.clear()
        if observer is not None:
            observer.stop()
            observer.join()

    def _note_event(self, path: str) -> None:
        """Take note of a file that was closed or moved in; runs on the observer's thread."""
        with self._changed:
            if len(self._hints) < MAX_WAITING:  # a scan finds the others
                self._hints[path] = None
                self._changed.notify_all()

    # --- Finding files --------------------------------------------------------------------------------------------

    def _pause_s(self) -> float:
        now_s = self._clock.monotonic()
        next_s = self._scan_due_s if self._scan is None else now_s
        if self._settling:
            next_s = min(next_s, self._settling[0][0])
        return min(READ_TIMEOUT_S, max(0.0, next_s - now_s))

    def _is_free(self) -> bool:
        """Say whether there is a ready file that may be started now; under the lock."""
        if not self._ready or not self._scanned_once or self._alone in self._in_work:
            return False
        return not (self._ready[0][0] == _SUSPECT and self._in_work)  # alone means alone

    def _look_for_files(self) -> None:
        with self._changed:
            hints, self._hints = self._hints, {}
        now_s = self._clock.monotonic()
        for path in hints:
            self._take_hint(path, now_s)
        while self._settling and self._settling[0][0] <= now_s:
            _, key = heapq.heappop(self._settling)
            file = self._waiting.get(key)
            if file is not None and file.ready_s <= now_s:
                self._push_ready(key, file)
        if self._scan is None and (now_s >= self._scan_due_s or (self._more and not self._waiting)):
            self._scan, self._scan_spent_s = self._scan_in_steps(), 0.0
            self._scan_due_s = now_s + self._values.rescan_s
        if self._scan is not None:
            self._go_on_scanning(self._scan, now_s)

    def _go_on_scanning(self, scan: Iterator[None], started_s: float) -> None:
        try:
            ended = all(self._clock.monotonic() < started_s + SCAN_SLICE_S for _ in scan)
        except OSError as exc:
            self._forget_folder()
            raise SourceError(f"folder cannot be read: {self._values.path}: {exc.strerror}") from exc
        now_s = self._clock.monotonic()
        self._scan_spent_s += now_s - started_s
        if ended:
            self._scan = None
            self._scan_due_s = max(self._scan_due_s, now_s + self._scan_spent_s * (1 / SCAN_SHARE - 1))

    def _take_hint(self, path: str, now_s: float) -> None:
        relative = os.path.relpath(path, self._root)
        *folders, name = Path(relative).parts
        if not self._is_wanted(name) or any(folder.startswith(".") for folder in folders):
            return
        if any(path.startswith(folder + os.sep) for folder in self._away):
            return
        if (stamp := _look_at(path)) is None:
            return
        key = _printable(relative)
        if self._is_taken(key, stamp):
            return
        known = self._waiting.get(key)
        if known is None and len(self._waiting) >= 2 * MAX_WAITING:
            self._more = True
            return
        file = _Waiting(relative, stamp, now_s, tries=known.tries if known else 0)
        self._settle(key, file, stamp, closed=True)

    def _push_ready(self, key: str, file: _Waiting) -> None:
        heapq.heappush(self._ready, (_SUSPECT if key in self._deaths else _OTHER, file.stamp.mtime_ns, key))

    def _is_wanted(self, name: str) -> bool:
        lower = name.lower()
        return not lower.startswith(".") and not lower.endswith(UNFINISHED) and self._matches(lower) is not None

    def _is_taken(self, key: str, stamp: FileStamp) -> bool:
        with self._changed:  # before the ledger: a file leaves the work list only after its commit
            if (key, stamp) in self._in_work:
                return True
        return self._ledger.is_done(key, *stamp)

    def _scan_in_steps(self) -> Iterator[None]:
        """Go through the folder, pausing after each file; at the end replace the list of waiting files."""
        found: list[tuple[int, str, str, int]] = []
        known_done: set[int] = set()
        truncated = False
        for path, relative in self._files():
            if (stamp := _look_at(path)) is not None:
                key = _printable(relative)
                mark = hash((key, stamp))  # 64 bits: enough to tell files from each other, small for very many
                if mark in self._known_done or self._is_taken(key, stamp):
                    if (key, stamp) not in self._in_work:
                        if mark not in self._known_done:  # finished by a process that died before it put it away
                            self._put_away(self._root, relative, stamp, refused=self._ledger.was_refused(key))
                        known_done.add(mark)
                else:
                    found.append((stamp.mtime_ns, key, relative, stamp.size_bytes))
                    if len(found) >= 2 * MAX_WAITING:
                        found.sort()
                        del found[MAX_WAITING:]
                        truncated = True
            yield
        found.sort()
        truncated = truncated or len(found) > MAX_WAITING
        self._adopt(found[:MAX_WAITING])
        self._known_done, self._more, self._scanned_once = known_done, truncated, True

    def _adopt(self, found: list[tuple[int, str, str, int]]) -> None:
        now_s = self._clock.monotonic()
        waiting: dict[str, _Waiting] = {}
        for mtime_ns, key, relative, size_bytes in found:
            stamp = FileStamp(size_bytes, mtime_ns)
            if self._is_taken(key, stamp):  # read since it was seen
                continue
            known = self._waiting.get(key)
            if known is None or known.stamp != stamp:
                # What the process died over was finished before: it comes first, without waiting again.
                settle_s = 0.0 if key in self._deaths else self._values.settle_s
                known = _Waiting(relative, stamp, now_s + settle_s, tries=known.tries if known else 0)
            waiting[key] = known
        for key, file in self._waiting.items():  # closed after the scan had passed them
            if file.closed and len(waiting) < 2 * MAX_WAITING:
                waiting.setdefault(key, file)
        self._waiting = waiting
        self._ready = []
        self._settling = []
        for key, file in waiting.items():
            if file.ready_s <= now_s:
                self._push_ready(key, file)
            else:
                heapq.heappush(self._settling, (file.ready_s, key))

    def _files(self) -> Iterator[tuple[str, str]]:
        """Yield absolute path and path below the root of each wanted file."""
        folders = [self._root]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            hidden = entry.name.startswith(".")
                            if self._values.recursive and not hidden and entry.path not in self._away:
                                folders.append(entry.path)
                        elif self._is_wanted(entry.name):
                            yield entry.path, entry.path[len(self._root.rstrip(os.sep)) + 1 :]
            except OSError as exc:
                if folder == self._root:
                    raise
                if exc.errno not in _VANISHED and folder not in self._unreadable_folders:
                    self._unreadable_folders.add(folder)
                    _log.warning("folder_unreadable", folder=folder, reason=exc.strerror)

    # --- Reading files --------------------------------------------------------------------------------------------

    def _next_item(self) -> Frame | Gap | None:
        self._look_for_files()
        while self._ready:
            with self._changed:
                if self._closed or not self._is_free():
                    return None
            _, mtime_ns, key = heapq.heappop(self._ready)
            file = self._waiting.get(key)
            if file is None or file.stamp.mtime_ns != mtime_ns:
                continue  # it changed, and has another place in the list
            del self._waiting[key]
            if (item := self._read_file(key, file)) is not None:
                return item
        return None

    def _read_file(self, key: str, file: _Waiting) -> Frame | Gap | None:
        path = Path(self._root, file.path)
        stamp = _look_at(path)
        if stamp is None or self._is_taken(key, stamp):
            return None
        if stamp != file.stamp:
            touched = file.closed and stamp.size_bytes == file.stamp.size_bytes
            self._settle(key, file, stamp, closed=touched)
            return None
        deaths = self._deaths.get(key, 0)
        if deaths >= 2:
            why = PictureError(f"{key}: the process died {deaths} times while it worked on this file", Cause.DEADLY)
            return self._refuse(key, file, why, None)
        try:
            data = read_picture_file(path, self._values.max_file_bytes, name=key)
        except PictureError as exc:
            if isinstance(exc.__cause__, OSError) and not self._is_given_up(key, file, exc.__cause__):
                return None
            return self._refuse(key, file, exc, None)
        if _look_at(path) != stamp or len(data) != stamp.size_bytes:
            self._settle(key, file, _look_at(path) or stamp)
            return None
        self._ledger.starting(key)
        crash_point("file.started")
        digest = hashlib.sha256(data).hexdigest()
        try:
            pixels = decode_picture(
                data, name=key, max_px=self._values.max_frame_px, full_scale=self._values.full_scale
            )
        except PictureError as exc:
            if file.closed and exc.reason == Cause.UNREADABLE:
                self._settle(key, file, stamp)  # some writers close a file more than once
                return None
            return self._refuse(key, file, exc, digest)
        captured_at = _moment(stamp.mtime_ns)
        return Frame(
            pixels=pixels,
            epoch=self._epoch,
            frame_id=self._count_frame(key, file),
            captured_at=captured_at,
            captured_mono_s=self._clock.monotonic() - max(0.0, (self._clock.now() - captured_at).total_seconds()),
            identity=_identity(key, stamp, digest),
            source_key=key,
            file_stamp=stamp,
            independent=self._values.independent is not False,
        )

    def _is_given_up(self, key: str, file: _Waiting, exc: OSError) -> bool:
        if exc.errno in _OUT_OF_RESOURCES:
            self._settle(key, file, file.stamp)
            raise SourceError(f"folder cannot be read: {self._values.path}: {exc.strerror}") from exc
        if exc.errno in _VANISHED:
            return False
        file.tries += 1
        if exc.errno != errno.ELOOP and file.tries < MAX_TRIES:  # its writer may still hold a lock on it
            self._settle(key, file, file.stamp)
            return False
        return True

    def _settle(self, key: str, file: _Waiting, stamp: FileStamp, *, closed: bool = False) -> None:
        """Look at the file again when it has had time to change."""
        settle_s = min(CLOSED_SETTLE_S, self._values.settle_s) if closed else self._values.settle_s
        file.stamp, file.closed, file.ready_s = stamp, closed, self._clock.monotonic() + settle_s
        self._waiting[key] = file
        heapq.heappush(self._settling, (file.ready_s, key))

    def _refuse(self, key: str, file: _Waiting, exc: PictureError, digest: str | None) -> Gap:
        moment = _moment(file.stamp.mtime_ns)
        return Gap(
            cause=Cause(exc.reason),
            since=moment,
            until=moment,
            epoch=self._epoch,
            frames=1,
            frame_id=self._count_frame(key, file),
            identity=_identity(key, file.stamp, digest),
            source_key=key,
            file_stamp=file.stamp,
            detail=str(exc),
        )

    def _count_frame(self, key: str, file: _Waiting) -> int:
        work = (key, file.stamp)
        with self._changed:
            self._in_work[work] = (self._root, file.path)
        self._alone = work if self._deaths.get(key) == 1 else None
        self._next_frame_id += 1
        return self._next_frame_id - 1

    # --- Putting files away ---------------------------------------------------------------------------------------

    def _put_away(self, root: str, relative: str, stamp: FileStamp, *, refused: bool) -> None:
        action = self._values.refused if refused else self._values.finished
        folder = self._values.refused_dir if refused else self._values.finished_dir
        if action == "keep":
            return
        path = Path(root, relative)
        try:
            if _look_at(path) != stamp:
                return  # gone, or written again: that is another picture
            if action == "delete":
                path.unlink()
            elif folder is not None:
                _move(path, Path(os.path.realpath(folder), relative))
        except OSError as exc:
            _log.warning("file_not_put_away", file=str(path), action=action, reason=exc.strerror or str(exc))


class _Listener(FileSystemEventHandler):
    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def dispatch(self, event: FileSystemEvent) -> None:
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        if path:
            self._note(os.fsdecode(path))


def _look_at(path: str | Path) -> FileStamp | None:
    """Return size and time of what `path` leads to, or None when there is nothing (any more)."""
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every file of every scan
    except OSError as exc:
        if exc.errno in _VANISHED:
            return None
        try:  # a loop of links, or no permission: to be refused by name
            found = os.lstat(path)
        except OSError:
            return None
    return FileStamp(found.st_size, found.st_mtime_ns)


def _printable(relative: str) -> str:
    """Return a path as text that can be stored and sent; bytes that are no UTF-8 are spelled out."""
    return os.fsencode(relative).decode("utf-8", "backslashreplace")


def _moment(mtime_ns: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:  # a damaged file system
        return datetime(1970, 1, 1, tzinfo=UTC)


def _identity(key: str, stamp: FileStamp, digest: str | None) -> str:
    return f"{key}:{stamp.size_bytes}:{stamp.mtime_ns}:{digest or '-'}"


def _move(source: Path, target: Path) -> None:
    """Move a file, across file systems too, without ever replacing one: the newcomer's name gets a number."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _move_within(source, target)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        carried = target.with_name(f".{target.name}{UNFINISHED[1]}")
        try:
            shutil.copy2(source, carried)
            with carried.open("rb") as file:
                os.fsync(file.fileno())
            _move_within(carried, target)
        finally:
            carried.unlink(missing_ok=True)
        source.unlink()


def _move_within(source: Path, target: Path) -> None:
    for number in count(1):
        place = target if number == 1 else target.with_name(f"{target.stem}-{number}{target.suffix}")
        try:
            os.link(source, place, follow_symlinks=False)  # unlike a rename, it fails where a file is
        except FileExistsError:
            if not os.path.samestat(source.lstat(), place.lstat()):
                continue  # else a move that was cut off between link and unlink
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            if os.path.lexists(place):
                continue
            source.rename(place)
            return
        source.unlink()
        return
