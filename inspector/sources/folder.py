"""Stills from a watched folder: every finished file exactly once, oldest first.

`folder_finder` says which file is next, this module reads and decodes it, `put_away` takes it once it is committed. The
ledger says what is finished, so neither a restart nor a second event repeats or skips a file; a file that is written
again under its name is another picture.

What is not done: nothing waits or retries here (`reader` does that), and no file is changed before `done` names it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import structlog

from inspector.errors import PictureError, SourceError
from inspector.faults import crash_point
from inspector.frame import Cause, FileStamp, Frame, Gap, Pixels
from inspector.pictures.child import CHILD_MEMORY_BYTES, decode_in_child
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import read_picture_file
from inspector.settings.source import FolderOptions
from inspector.sources.base import Ledger, Policy, SourceContext
from inspector.sources.file_time import FileTimes
from inspector.sources.folder_file import VANISHED, FoundFile, stamp_of
from inspector.sources.folder_finder import Finder
from inspector.sources.folder_work import FilesInWork
from inspector.sources.folder_writers import is_open_for_writing
from inspector.sources.put_away import FinishedFiles

READ_SLICE_S = 0.2
"""Longest stretch of comparing files with finished ones inside one `read`."""
MAX_TRIES = 3
"""Failed reads (not missing, not damaged: refused by the system) after which a file is given up."""
OPEN_REPORT_S = 30.0
"""A file that its writer has open, unchanged, for longer is reported."""
OPEN_LIMIT_S = 600.0
"""A file that its writer has open, unchanged, for longer is taken as it is."""
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_log = structlog.get_logger("folder")


class FolderSource:
    """Reads the pictures in a folder, and puts them away as the settings say once they are committed.

    Args:
        options: The section `[source]`.
        context: Time and epochs.
        ledger: What is finished already, and what the process died over.

    Raises:
        ConfigError: Finished or refused files would come back as new ones.
    """

    policy = Policy.LOSSLESS

    def __init__(self, options: FolderOptions, context: SourceContext, ledger: Ledger) -> None:
        self._options = options
        self._context = context
        self._clock = context.clock
        self._changed = threading.Condition()  # guards what other threads touch: `_closed`, hints, begun files
        self._closed = False
        self._finished = FinishedFiles(options)
        self._times = FileTimes()
        self._work = FilesInWork(ledger, self._changed)
        self._finder = Finder(options, context.clock, self._work, self._finished, self._changed)
        self._epoch = self._next_frame_id = 0
        self._reported: set[str] = set()

    @property
    def description(self) -> str:
        """The folder."""
        return f"folder {self._options.path}"

    @property
    def is_caught_up(self) -> bool:
        """Whether the folder was scanned to its end and every file found was delivered; a replay ends then."""
        return self._finder.is_caught_up

    def read(self) -> Frame | Gap | None:
        """Return the oldest finished picture; see `FrameSource`."""
        with self._changed:
            if self._closed:
                return None
        self._open_or_check()
        if (item := self._next_item()) is not None:
            return item
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._finder.has_news(), self._finder.pause_s())
            if self._closed:
                return None
        return self._next_item()

    def done(self, item: Frame | Gap) -> None:
        """Put the file away as the settings say, unless it was written again meanwhile; see `FrameSource`."""
        if item.source_key is None or item.file_stamp is None:
            return
        if (file := self._work.find(item.source_key, item.file_stamp, item.file_digest)) is None:
            return
        with self._changed:  # what was closed since may be another picture, however alike: reading it decides
            comes_again = self._finder.is_expected(os.path.join(file.root, file.path), file.key)  # noqa: PTH118
        if not comes_again:
            self._finished.put_away(file.root, file.path, file.stamp, refused=isinstance(item, Gap))
        self._work.end(file)

    def close(self) -> None:
        """Stop watching; see `FrameSource`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._finder.close()

    def _open_or_check(self) -> None:
        if (folder_id := self._finder.check()) is not None:
            self._epoch = self._context.next_epoch()
            self._next_frame_id = 0
            self._work.load_suspects()
            self._finder.open(folder_id)

    def _next_item(self) -> Frame | Gap | None:
        self._finder.look()
        until_s = self._clock.monotonic() + READ_SLICE_S
        while not self._closed and (file := self._finder.next_ready()) is not None:
            if (item := self._read_file(file)) is not None:
                return item
            if self._clock.monotonic() >= until_s:  # many files are compared: new ones go before them
                return None
        self._work.flush()
        if self._reported:
            self._report_open()
        return None

    def _read_file(self, file: FoundFile) -> Frame | Gap | None:
        path, key, file.digest = Path(file.root, file.path), file.key, None
        stamp = stamp_of(path)
        if stamp is None:
            return None
        if stamp != file.stamp:
            touched = file.closed and stamp.size_bytes == file.stamp.size_bytes
            self._finder.put_back(file, stamp, closed=touched)
            return None
        if self._is_held(file, path):
            return None
        try:
            data = read_picture_file(path, self._options.max_file_bytes, name=key)
        except PictureError as exc:
            if isinstance(exc.__cause__, OSError) and not self._is_given_up(file, exc.__cause__):
                return None
            return None if self._is_finished(file, stamp) else self._refuse(file, exc)
        if stamp_of(path) != stamp or len(data) != stamp.size_bytes:
            self._finder.put_back(file, stamp_of(path) or stamp)
            return None
        file.digest = hashlib.sha256(data).hexdigest()
        if self._is_finished(file, stamp):
            return None
        self._work.note_start(key)
        crash_point("file.started")
        try:
            pixels = self._decode(data, key)
        except PictureError as exc:
            if file.closed and exc.reason == Cause.UNREADABLE:
                self._finder.put_back(file, stamp)  # some writers close a file more than once
                return None
            return self._refuse(file, exc)
        captured_at = self._times.moment(stamp.mtime_ns, key)
        self._work.begin(file)
        return Frame(
            pixels=pixels,
            epoch=self._epoch,
            frame_id=self._number_frame(),
            captured_at=captured_at,
            captured_mono_s=self._clock.monotonic() - max(0.0, (self._clock.now() - captured_at).total_seconds()),
            identity=_identity(file),
            source_key=key,
            file_stamp=stamp,
            file_digest=file.digest,
            found_mono_s=file.found_s,
            independent=self._options.independent is not False,
        )

    def _is_held(self, file: FoundFile, path: Path) -> bool:
        """Say whether its writer has the file open, and it has to wait for the close."""
        is_open = self._finder.is_open(str(path))
        if is_open or not file.closed:
            known = is_open_for_writing(path)
            is_open = known if known is not None else is_open and not file.closed
        if not is_open:
            return False
        now_s = self._clock.monotonic()
        file.held_s = now_s if file.held_s is None else file.held_s
        if (held_s := now_s - file.held_s) >= OPEN_LIMIT_S:
            _log.warning("file_taken_open", file=file.key, open_s=round(held_s))
            return False
        if held_s >= OPEN_REPORT_S and file.key not in self._reported:
            self._reported.add(file.key)
            _log.warning("file_open", file=file.key, open_s=round(held_s))
        self._finder.hold(file)
        return True

    def _report_open(self) -> None:
        self._reported = {key for key in self._reported if self._finder.is_waiting(key)}
        name = min(self._reported, default=None)
        more = f" and {len(self._reported) - 1} more" if len(self._reported) > 1 else ""
        self._context.report(name and f"file_open: {name}{more}: its writer does not close it")

    def _is_finished(self, file: FoundFile, stamp: FileStamp) -> bool:
        """Say whether it is the picture that is in work or finished under this name, by its content."""
        if not self._work.is_same(file, stamp, file.digest):
            return False
        if not self._work.is_in_work(file.key):
            self._work.confirm(file.key, stamp, file.digest)
            self._finished.put_away(file.root, file.path, stamp, refused=self._work.was_refused(file.key))
        return True

    def _decode(self, data: bytes, key: str) -> Pixels:
        max_px, full_scale = self._options.max_frame_px, self._options.full_scale
        if not self._work.is_suspect(key):
            return decode_picture(data, name=key, max_px=max_px, full_scale=full_scale)
        try:  # it may be what the process died over, or have met its death by chance
            return decode_in_child(
                data, name=key, max_px=max_px, full_scale=full_scale, memory_bytes=CHILD_MEMORY_BYTES + 16 * max_px
            )
        except OSError as exc:
            raise SourceError(f"a process to decode {key} cannot be started: {exc.strerror}") from exc

    def _is_given_up(self, file: FoundFile, exc: OSError) -> bool:
        if exc.errno in _OUT_OF_RESOURCES:
            self._finder.put_back(file, file.stamp)
            raise SourceError(f"folder cannot be read: {self._options.path}: {exc.strerror}") from exc
        if exc.errno in VANISHED:
            return False
        file.tries += 1
        if exc.errno != errno.ELOOP and file.tries < MAX_TRIES:  # its writer may still hold a lock on it
            self._finder.put_back(file, file.stamp)
            return False
        return True

    def _refuse(self, file: FoundFile, exc: PictureError) -> Gap:
        moment = self._times.moment(file.stamp.mtime_ns, file.key)
        self._work.begin(file)
        return Gap(
            cause=Cause(exc.reason),
            since=moment,
            until=moment,
            epoch=self._epoch,
            frames=1,
            frame_id=self._number_frame(),
            identity=_identity(file),
            source_key=file.key,
            file_stamp=file.stamp,
            file_digest=file.digest,
            detail=str(exc),
        )

    def _number_frame(self) -> int:
        self._next_frame_id += 1
        return self._next_frame_id - 1


def _identity(file: FoundFile) -> str:
    return identity_of_still(file.key, file.stamp.size_bytes, file.stamp.mtime_ns, file.digest)


def identity_of_still(key: str, size_bytes: int, mtime_ns: int, digest: str | None) -> str:
    """Return what a still *is*; see `Frame.identity`.

    Args:
        key: Below the folder.
        size_bytes: Of the file.
        mtime_ns: When it was written.
        digest: SHA-256 of its content in hexadecimal; None: it was not read.
    """
    return f"{key}:{size_bytes}:{mtime_ns}:{digest or '-'}"
