"""A video file as a source: lossless, once from its beginning to its end, the same on every run.

What is not done: a file that grows is not waited for.
"""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2

from inspector.errors import PictureError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.base import EndOfSource, Policy, SourceContext
from inspector.sources.capture import check_size, open_ffmpeg, pixel_format
from inspector.sources.decoder import Decoder, SizeChanged
from inspector.sources.file_time import FileTimes


class VideoFile:
    """Plays a video file once, losing nothing; its frames have the same identity on every run.

    Args:
        options: The section `[source]`.
        context: Time and epochs.
    """

    policy = Policy.LOSSLESS

    def __init__(self, options: CameraOptions, context: SourceContext) -> None:
        self.description = f"video {options.path}"
        self._options = options
        self._context = context
        self._path = Path(options.path)
        self._busy = threading.Lock()
        self._closed = threading.Event()
        self._decoder: Decoder | None = None
        self._ended = False
        self._epoch = self._next_frame_id = 0
        self._name = ""
        self._began = datetime.fromtimestamp(0, UTC)
        self._fps = 0.0
        self._frame_count = 0

    def read(self) -> Frame | Gap | None:
        """Return the next frame; see `FrameSource`."""
        with self._busy:
            if self._closed.is_set():
                return None
            if self._ended:
                raise EndOfSource
            return self._read()

    def done(self, item: Frame | Gap) -> None:
        """The file stays as it is; see `FrameSource`."""

    def close(self) -> None:
        """Release the file; see `FrameSource`."""
        self._closed.set()
        with self._busy:
            if self._decoder is not None:
                self._decoder.close()
                self._decoder = None

    def _read(self) -> Frame | Gap | None:
        if self._decoder is None:
            self._decoder = Decoder(self._open(), self.description)
        refusal = ""
        pixels: Pixels | None = None
        try:
            pixels = self._decoder.take()
        except PictureError as exc:
            refusal = str(exc)
        except SizeChanged as exc:
            refusal = f"{self.description}: {exc}"
        frame_id, self._next_frame_id = self._next_frame_id, self._next_frame_id + 1
        captured_at = self._began + timedelta(seconds=frame_id / self._fps if self._fps > 0 else 0)
        identity = f"{self._name}:{frame_id}"
        if refusal:
            return Gap(
                Cause.UNSUPPORTED, captured_at, captured_at, self._epoch, 1, frame_id,
                identity if self._options.independent else None, detail=refusal,
            )  # fmt: skip
        if pixels is None:
            self._ended = True
            # Some containers only estimate their number of frames.
            if (missing := self._frame_count - frame_id) > 1 + self._frame_count // 100:
                text = f"{self.description}: unreadable after frame {frame_id}: {missing} frames are missing"
                return Gap(Cause.UNREADABLE, captured_at, captured_at, self._epoch, missing, detail=text)
            raise EndOfSource
        return Frame(
            pixels=pixels,
            epoch=self._epoch,
            frame_id=frame_id,
            captured_at=captured_at,
            captured_mono_s=self._context.clock.monotonic(),
            identity=identity,
            independent=bool(self._options.independent),
        )

    def _open(self) -> cv2.VideoCapture:
        try:
            found = self._path.stat()
        except OSError as exc:
            raise SourceError(f"video file cannot be read: {self._path}: {exc.strerror}") from exc
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"video file cannot be read: {self._path}: not a regular file")
        capture = open_ffmpeg(str(self._path), self._options, {"protocol_whitelist": "file"})
        if not capture.isOpened():
            raise SourceError(f"video file cannot be read: {self._path}: not a video that FFmpeg knows")
        check_size(capture, self._options.max_frame_px, self.description)
        if pixel_format(capture) == b"Y800":
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # grey stays one channel
        self._epoch = self._context.next_epoch()
        self._next_frame_id = 0
        self._name = f"{self._path.name}:{found.st_size}:{found.st_mtime_ns}"
        self._began = FileTimes().moment(found.st_mtime_ns, self._path.name)
        self._fps = float(capture.get(cv2.CAP_PROP_FPS))
        self._frame_count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        return capture
