"""Streams that OpenCV opens: V4L2 devices, RTSP and other URLs, and video files for `video`.

FFmpeg is named as the backend, gets its time-outs when it opens, and may use only the protocol of the URL. `isOpened()`
stays true when a camera has died, so only a frame proves that it lives.

`decoder` takes the pictures: one that cannot be converted is refused, and a stream that changes its size is opened
again. What cannot be seen: a picture that H.264 concealed after packet loss looks like a good one (use
`rtsp_transport = "tcp"`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote

import cv2

from inspector.clock import Clock
from inspector.errors import PictureError, SourceError
from inspector.frame import Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.decoder import Decoder, SizeChanged
from inspector.sources.diagnosis import find_out_why
from inspector.sources.login import read_login
from inspector.sources.urls import shown_url

FIRST_FRAME_S = 25.0
"""Longest wait for the first frame, which needs a keyframe: many cameras send one every 4 to 20 s."""
MAX_BACKLOG_S = 2.0
"""Longest time after opening in which frames that were waiting in the camera are thrown away."""
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_options_lock = threading.Lock()

# FFmpeg would write to stderr past our log; what matters is in the SourceError. Read once, when FFmpeg is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class CaptureStream:
    """A camera behind `cv2.VideoCapture`; see `camera.Stream`."""

    def __init__(self, capture: cv2.VideoCapture, options: CameraOptions, clock: Clock, description: str) -> None:
        self._decoder = Decoder(capture, description)
        self._options = options
        self._clock = clock
        self._description = description
        self._begun = self._fresh = False

    def next_picture(self) -> Pixels | PictureError:
        """Return the next picture, the first time a fresh one; see `camera.Stream`."""
        picture = self._grab()
        if not self._fresh:
            picture = self._skip_backlog(picture)
            self._fresh = True
        return picture

    def _take(self) -> Pixels | PictureError | None:
        try:
            return self._decoder.take()
        except PictureError as exc:
            return exc
        except SizeChanged as exc:
            raise SourceError(f"{self._description}: {exc}") from exc

    def _grab(self) -> Pixels | PictureError:
        if not self._begun:
            return self._grab_first()
        started_s = self._clock.monotonic()
        picture = self._take()
        # From a camera that hangs H.264 still gives the frames it held back, each after a whole time-out.
        if picture is None or self._clock.monotonic() - started_s >= self._options.read_timeout_s:
            raise SourceError(f"camera stopped delivering: {self._description}")
        return picture

    def _grab_first(self) -> Pixels | PictureError:
        """Wait for the first frame as long as a keyframe may take; a camera that sends nothing ends it sooner."""
        started_s = self._clock.monotonic()
        if (picture := self._take()) is not None:
            self._begun = True
            return picture
        waited_s = self._clock.monotonic() - started_s
        why = f": no keyframe for {waited_s:.0f} s" if waited_s >= FIRST_FRAME_S - 1 else ""
        raise SourceError(f"camera stopped delivering: {self._description}{why}")

    def _skip_backlog(self, picture: Pixels | PictureError) -> Pixels | PictureError:
        """Throw frames away while they come faster than they were taken: those had been waiting in the camera."""
        started_s = last_s = self._clock.monotonic()
        taken_ms = self._decoder.capture.get(cv2.CAP_PROP_POS_MSEC)
        while last_s - started_s < MAX_BACKLOG_S:
            picture = self._grab()
            now_s, now_ms = self._clock.monotonic(), self._decoder.capture.get(cv2.CAP_PROP_POS_MSEC)
            if (now_s - last_s) * 1000 >= (now_ms - taken_ms) / 2:
                break
            last_s, taken_ms = now_s, now_ms
        return picture

    def interrupt(self) -> None:
        """OpenCV cannot be interrupted; it returns after `read_timeout_s`."""

    def close(self) -> None:
        """Release the device; see `camera.Stream`."""
        self._decoder.close()


def open_device(options: CameraOptions, clock: Clock) -> CaptureStream:
    """Open a V4L2 device by its number or path.

    Raises:
        SourceError: It is not there, not accessible, in use, or sends more pixels than allowed.
    """
    path = options.path
    device = Path(f"/dev/video{path}" if path.isdecimal() else path)
    if not device.exists():
        raise SourceError(f"camera is not there: {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(f"camera may not be used (is the user in the group of the device?): {device}")
    capture = cv2.VideoCapture(int(path) if path.isdecimal() else path, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(f"camera cannot be opened (in use, or no capture device): {device}")
    check_size(capture, options.max_frame_px, str(device))
    return CaptureStream(capture, options, clock, str(device))


def open_rtsp(options: CameraOptions, url: SplitResult, clock: Clock) -> CaptureStream:
    """Open an RTSP camera; see `open_url`."""
    ffmpeg = {
        "rtsp_transport": options.rtsp_transport,
        "fflags": "discardcorrupt",  # with `nobuffer` the keyframe is lost that came while FFmpeg probed
        "flags": "low_delay",
        "timeout": str(int(options.read_timeout_s * 1e6)),  # of silence, in microseconds
        "analyzeduration": "300000",
        "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto",
        "allowed_media_types": "video",
    }
    return open_url(options, url, clock, ffmpeg)


def open_url(options: CameraOptions, url: SplitResult, clock: Clock, ffmpeg: dict[str, str]) -> CaptureStream:
    """Open a URL with FFmpeg.

    Args:
        options: Limits and time-outs, and where the login is.
        url: Without user and password.
        clock: Time.
        ffmpeg: FFmpeg's own options, the whitelist of protocols among them.

    Raises:
        SourceError: It cannot be opened, with the reason that the camera itself gives.
    """
    description = shown_url(url)
    user = read_login(options.credentials_file)
    named = url
    if user is not None:
        login = ":".join(quote(part, safe="") for part in user)
        named = url._replace(netloc=f"{login}@{url.netloc}")
    capture = open_ffmpeg(named.geturl(), options, ffmpeg, max(FIRST_FRAME_S, options.read_timeout_s))
    if not capture.isOpened():
        raise SourceError(f"camera cannot be opened: {description}: {find_out_why(url, user)}")
    check_size(capture, options.max_frame_px, description)
    return CaptureStream(capture, options, clock, description)


def open_ffmpeg(
    name: str, options: CameraOptions, ffmpeg: dict[str, str], read_timeout_s: float | None = None
) -> cv2.VideoCapture:
    """Let FFmpeg open a file or URL (which may hold a password); whether it did, `isOpened` says."""
    parameters = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(options.open_timeout_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int((read_timeout_s or options.read_timeout_s) * 1000),
    ]
    with _ffmpeg_options(ffmpeg):
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, parameters)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # boxes are in the pixels that the camera sends
    return capture


@contextlib.contextmanager
def _ffmpeg_options(ffmpeg: dict[str, str]) -> Iterator[None]:
    """Set FFmpeg's options for one opening: OpenCV takes them from the environment of the process only."""
    with _options_lock:
        before = os.environ.get(_OPTIONS)
        os.environ[_OPTIONS] = "|".join(f"{key};{value}" for key, value in ffmpeg.items())
        try:
            yield
        finally:
            if before is None:
                del os.environ[_OPTIONS]
            else:
                os.environ[_OPTIONS] = before


def check_size(capture: cv2.VideoCapture, max_px: int, description: str) -> None:
    """Release `capture` and raise a SourceError if its pictures have more than `max_px` pixels."""
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > max_px:
        capture.release()
        raise SourceError(f"{description}: more than {max_px} pixels: {width}x{height}")


def pixel_format(capture: cv2.VideoCapture) -> bytes:
    """Return FFmpeg's four letters for how the pixels are stored: `Y800` is grey."""
    return int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(8, "little", signed=True)[:4]
