"""One picture after the other out of OpenCV's decoder, each one proven to be the picture that was just decoded.

OpenCV calls a picture good although FFmpeg refused to convert it (interlaced among others): then its buffer still holds
an earlier picture, or memory of something else. And a picture of another size than the stream began with is scaled.
OpenCV tells of neither, FFmpeg's log does: the converter's errors come while a picture is retrieved, and a decoder says
when it sets up for pictures of another size or format. So FFmpeg's log is listened to; nothing of it is written.

A decoder with several threads is some pictures ahead, so the last ones before a change of size are refused with those
after it. None is taken after a change until the stream is opened again. What cannot be seen: pictures that H.264
concealed after a loss.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
from pathlib import Path

import cv2
import numpy as np
import structlog

from inspector.errors import PictureError
from inspector.frame import Cause, Pixels

_ERROR = 16
"""AV_LOG_ERROR; what is worse has a smaller number."""
_CONVERTER = b"SWScaler"
_DECODER = b"AVCodecContext"
_SET_UP = b"Format %s chosen by get_format()"
"""How the message of a decoder begins that knows size and format of the pictures to come."""
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_log = structlog.get_logger("source")


class SizeChanged(Exception):  # noqa: N818 - the source says what it means for it
    """The pictures have another size than those that the stream began with; its text says both."""


class Decoder:
    """Takes pictures from an open `cv2.VideoCapture`; belongs to one thread.

    Args:
        capture: Open; closed by `close`.
        description: What to call the stream in errors.
    """

    def __init__(self, capture: cv2.VideoCapture, description: str) -> None:
        self.capture = capture
        self._description = description
        self._said = _Said.get()
        self._size_px = self._said.size_px
        self._change = ""

    def take(self) -> Pixels | None:
        """Return the next picture, (H, W) or (H, W, 3) BGR, uint8; None at the end, or when none came in time.

        Raises:
            PictureError: `unsupported`: it was decoded, and what OpenCV gives is not it.
            SizeChanged: It is scaled.
        """
        if not self.capture.grab():
            return None
        errors = self._said.errors
        good, pixels = self.capture.retrieve()
        if not good or self._said.errors != errors:
            text = f"{self._description}: a decoded picture that cannot be converted (interlaced?)"
            raise PictureError(text, Cause.UNSUPPORTED)
        self._size_px = self._size_px or self._said.size_px
        if self._said.size_px != self._size_px and not self._change:
            self._change = f"the size changed in mid-stream from {self._size_px} to {self._said.size_px}"
        if self._change:  # for good: where a size begins and ends is known to some pictures only
            raise SizeChanged(self._change)
        return np.asarray(pixels, dtype=np.uint8)

    def close(self) -> None:
        """Release the stream or device."""
        self.capture.release()


class _Said:
    """What FFmpeg said; it has one log for the whole process.

    Attributes:
        errors: How often its converter failed.
        size_px: Width and height that a decoder set up last, as coded: some have more rows than are shown.
    """

    _one: _Said | None = None
    _guard = threading.Lock()

    def __init__(self) -> None:
        self.errors = 0
        self.size_px = ""
        self._heard = _Callback(self._hear)  # kept: FFmpeg has its address
        self._library = _find_libavutil()
        if self._library is None:
            _log.warning("decoder_not_watched", reason="libavutil, with FFmpeg's log, is not found in this process")
        else:
            self._library.av_log_set_callback(self._heard)
            atexit.register(self._library.av_log_set_callback, self._library.av_log_default_callback)

    @classmethod
    def get(cls) -> _Said:
        """Return what is said from now on; FFmpeg has been loaded if it is used at all."""
        with cls._guard:
            if cls._one is None or cls._one._library is None:
                cls._one = cls()
            return cls._one

    def _hear(self, subject: int | None, level: int, form: bytes, _arguments: int) -> None:
        """Take a message; on whatever thread of FFmpeg's, so it does as little as possible."""
        if not subject:
            return
        if level <= _ERROR:
            if _class_name(subject) == _CONVERTER:
                self.errors += 1
        elif form.startswith(_SET_UP) and self._library is not None and _class_name(subject) == _DECODER:
            width, height = ctypes.c_int(), ctypes.c_int()
            at = ctypes.byref(width), ctypes.byref(height)
            if self._library.av_opt_get_image_size(ctypes.c_void_p(subject), b"video_size", 0, *at) == 0:
                self.size_px = f"{width.value}x{height.value}"


def _class_name(subject: int) -> bytes | None:
    described = ctypes.cast(subject, ctypes.POINTER(ctypes.c_void_p))[0]
    return ctypes.cast(described, ctypes.POINTER(ctypes.c_char_p))[0] if described else None


def _find_libavutil() -> ctypes.CDLL | None:
    """Return the very library that OpenCV has loaded, or None if it has loaded none."""
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()}
    for path in sorted(path for path in paths if "/libavutil" in path):
        return ctypes.CDLL(path)
    return None
