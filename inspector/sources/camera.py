"""A live camera: the newest frame counts, and one that sends the same picture again and again is frozen.

`open_camera` chooses by `source.path` who opens the stream: `capture` (V4L2, RTSP) or `mjpeg` (HTTP, which passes
single pictures on to `snapshot`); a file is not live and goes to `video`.

What is not done: nothing here knows a protocol, and nothing waits or retries (`reader` does).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np

from inspector.errors import ConfigError, PictureError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.base import FrameSource, Policy, SourceContext
from inspector.sources.capture import open_device, open_rtsp
from inspector.sources.mjpeg import open_http
from inspector.sources.urls import sent_url, shown_url
from inspector.sources.video import VideoFile


def open_camera(options: CameraOptions, context: SourceContext) -> FrameSource:
    """Return the source for `options.path`: device index or path, URL, or video file.

    Raises:
        ConfigError: A URL of another kind than RTSP or HTTP.
    """
    path = options.path
    if "://" in path:
        url = urlsplit(path)
        if url.scheme in ("rtsp", "rtsps"):
            return LiveCamera(options, context, shown_url(url), lambda: open_rtsp(options, url, context.clock))
        if url.scheme in ("http", "https"):
            sent = sent_url(url)
            return LiveCamera(options, context, shown_url(url), lambda: open_http(options, sent, context.clock))
        raise ConfigError(f"source.path: rtsp://, rtsps://, http:// or https:// is wanted: {url.scheme}://")
    if path.isdecimal() or path.startswith("/dev/"):
        return LiveCamera(options, context, f"camera {path}", lambda: open_device(options, context.clock))
    return VideoFile(options, context)


class Stream(Protocol):
    """An open live camera."""

    def next_picture(self) -> Pixels | PictureError:
        """Return the next picture, or why a picture cannot be used; blocks for `read_timeout_s` at most.

        Raises:
            SourceError: The camera stopped delivering.
        """
        ...

    def interrupt(self) -> None:
        """End a blocked `next_picture` soon if that is possible; called from any thread."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class LiveCamera:
    """Reads a camera as fast as it delivers; each opening is an epoch.

    A camera that sends the same picture `frozen_frames` times in a row is frozen: from then on its frames are a gap,
    reported when it is noticed, and again, with the number of missing frames, when it ends.

    Args:
        options: The section `[source]`.
        context: Time and epochs.
        description: What to call the camera, without secrets.
        open_stream: Opens it, or raises `SourceError`.
    """

    policy = Policy.LIVE

    def __init__(
        self, options: CameraOptions, context: SourceContext, description: str, open_stream: Callable[[], Stream]
    ) -> None:
        self.description = description
        self._options = options
        self._context = context
        self._open_stream = open_stream
        self._stream: Stream | None = None
        self._busy = threading.Lock()  # held by `read`; its holder may close the stream
        self._closed = threading.Event()
        self._pending: deque[Frame | SourceError] = deque()
        self._epoch = self._next_frame_id = 0
        self._last: Pixels | None = None
        self._last_since = datetime.fromtimestamp(0, UTC)
        self._same = self._unsaid = 0

    def read(self) -> Frame | Gap | None:
        """Return the next frame or gap; see `FrameSource`."""
        with self._busy:
            try:
                return None if self._closed.is_set() else self._read()
            finally:
                if self._closed.is_set():
                    self._release()

    def done(self, item: Frame | Gap) -> None:
        """Nothing is kept for a live frame; see `FrameSource`."""

    def close(self) -> None:
        """Release the camera now, or as soon as a blocked `read` returns; see `FrameSource`."""
        self._closed.set()
        if self._busy.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._busy.release()
        elif (stream := self._stream) is not None:
            stream.interrupt()

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _read(self) -> Frame | Gap | None:
        if self._pending:
            item = self._pending.popleft()
            if isinstance(item, SourceError):
                raise item
            return item
        if self._stream is None:
            self._stream = self._open_stream()
            try:
                self._epoch = self._context.next_epoch()
            except SourceError:
                self._release()
                raise
            self._next_frame_id = self._same = self._unsaid = 0
            self._last = None
            if self._closed.is_set():
                return None
        try:
            picture = self._stream.next_picture()
        except SourceError as exc:
            self._release()
            if self._unsaid:
                self._pending.append(exc)
                return self._frozen_gap(self._context.clock.now())
            raise
        frame_id, self._next_frame_id = self._next_frame_id, self._next_frame_id + 1
        if isinstance(picture, PictureError):
            return self._refuse(frame_id, picture)
        if (pixel_count := picture.shape[0] * picture.shape[1]) > self._options.max_frame_px:
            text = f"{self.description}: more than {self._options.max_frame_px} pixels: {pixel_count}"
            return self._refuse(frame_id, PictureError(text, Cause.TOO_LARGE))
        return self._note_picture(self._to_frame(frame_id, picture))

    def _to_frame(self, frame_id: int, pixels: Pixels) -> Frame:
        return Frame(
            pixels=pixels,
            epoch=self._epoch,
            frame_id=frame_id,
            captured_at=self._context.clock.now(),
            captured_mono_s=self._context.clock.monotonic(),
            identity=self._context.stream_identity(self._epoch, frame_id),
            independent=bool(self._options.independent),
        )

    def _refuse(self, frame_id: int, exc: PictureError) -> Gap:
        now = self._context.clock.now()
        return Gap(
            cause=Cause(exc.reason),
            since=now,
            until=now,
            epoch=self._epoch,
            frames=1,
            frame_id=frame_id,
            identity=self._context.stream_identity(self._epoch, frame_id) if self._options.independent else None,
            detail=str(exc),
        )

    def _note_picture(self, frame: Frame) -> Frame | Gap | None:
        """Return the frame unless it is one too many of the same picture."""
        limit = self._options.frozen_frames
        if self._last is None or not _same_pixels(self._last, frame.pixels):
            was_frozen = bool(limit) and self._same >= limit
            gap = self._frozen_gap(frame.captured_at) if was_frozen and self._unsaid else None
            self._last, self._last_since, self._same = frame.pixels, frame.captured_at, 1
            if gap is None:
                return frame
            self._pending.append(frame)
            return gap
        self._same += 1
        if not limit or self._same < limit:
            return frame
        self._unsaid += 1
        return self._frozen_gap(frame.captured_at) if self._same == limit else None

    def _frozen_gap(self, until: datetime) -> Gap:
        gap = Gap(
            Cause.FROZEN,
            since=self._last_since,
            until=until,
            epoch=self._epoch,
            frames=self._unsaid,
            detail=f"{self.description}: the same picture {self._same} times",
        )
        self._last_since, self._unsaid = until, 0
        return gap


def _same_pixels(one: Pixels, other: Pixels) -> bool:
    # A few rows are enough to distinguish living pictures; compare all of them only if those are equal.
    return one.shape == other.shape and np.array_equal(one[::61], other[::61]) and np.array_equal(one, other)
