"""Cameras (V4L2, RTSP, HTTP) and video files.

A device or URL is live: the newest frame counts. A video file is lossless and ends. FFmpeg is named as the backend,
gets its time-outs when it opens, and may use no protocol but the one that was asked for. `isOpened()` stays true when a
camera has died, so only a frame proves that it lives.

Motion JPEG over HTTP is read here and not by FFmpeg: of a part that was cut in half FFmpeg makes a picture whose lower
rows are the frame before, and calls it good. Each part is decoded strictly instead, or becomes a gap.

What is not done: a picture that H.264 concealed after packet loss cannot be told from a good one (use `rtsp_transport =
"tcp"`); a stream that changes its size in the middle is scaled by FFmpeg to the size it began with, only HTTP cameras
may change it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import re
import socket
import ssl
import stat
import string
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, urlsplit

import cv2
import numpy as np

from inspector.clock import Clock
from inspector.errors import ConfigError, PictureError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.pictures.decode import decode_picture
from inspector.settings.sections import Source
from inspector.sources.base import EndOfSource, FrameSource, Policy, SourceContext

MAX_BACKLOG_S = 2.0
"""Longest time after opening in which frames that were waiting in the camera are thrown away."""
PROBE_TIMEOUT_S = 1.0
MAX_PART_HEADER_BYTES = 8192
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_CHALLENGE = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')
_DIGESTS = {"MD5": "md5", "SHA-256": "sha256"}
_URL_SAFE = string.punctuation.translate(str.maketrans("", "", '"<>'))
_options_lock = threading.Lock()

# FFmpeg would write to stderr past our log; what matters is in the SourceError. Read once, when FFmpeg is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def open_camera(values: Source, context: SourceContext) -> FrameSource:
    """Return the source for `values.path`: device index or path, URL, or video file.

    Raises:
        ConfigError: A URL of another kind than RTSP or HTTP.
    """
    path = values.path
    if "://" in path:
        url = urlsplit(path)
        if url.scheme in ("rtsp", "rtsps"):
            return LiveCamera(values, context, _without_secrets(url), lambda: _open_rtsp(values, url, context.clock))
        if url.scheme in ("http", "https"):
            sent = _encoded(url)
            return LiveCamera(values, context, _without_secrets(url), lambda: _open_http(values, sent, context.clock))
        raise ConfigError(f"source.path: rtsp://, rtsps://, http:// or https:// is wanted: {url.scheme}://")
    if path.isdecimal() or path.startswith("/dev/"):
        return LiveCamera(values, context, f"camera {path}", lambda: _open_device(values, context.clock))
    return VideoFile(values, context)


class Stream(Protocol):
    """An open live camera."""

    def next_picture(self) -> Pixels | PictureError:
        """Return the next picture, or why one that came cannot be used; blocks for `read_timeout_s` at most.

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
    said when it is noticed, and again, with how many frames were missing, when it ends.

    Args:
        values: The section `[source]`.
        context: Time and epochs.
        description: What to call the camera, without secrets.
        open_stream: Opens it, or raises `SourceError`.
    """

    policy = Policy.LIVE

    def __init__(
        self, values: Source, context: SourceContext, description: str, open_stream: Callable[[], Stream]
    ) -> None:
        self.description = description
        self._values = values
        self._context = context
        self._open_stream = open_stream
        self._stream: Stream | None = None
        self._busy = threading.Lock()  # held by `read`; whoever holds it may close the stream
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
        if (pixel_count := picture.shape[0] * picture.shape[1]) > self._values.max_frame_px:
            text = f"{self.description}: more than {self._values.max_frame_px} pixels: {pixel_count}"
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
            independent=bool(self._values.independent),
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
            identity=self._context.stream_identity(self._epoch, frame_id) if self._values.independent else None,
            detail=str(exc),
        )

    def _note_picture(self, frame: Frame) -> Frame | Gap | None:
        """Pass the frame on unless it is one too many of the same."""
        limit = self._values.frozen_frames
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
    # A few rows tell living pictures apart; only then all of them.
    return one.shape == other.shape and np.array_equal(one[::61], other[::61]) and np.array_equal(one, other)


class VideoFile:
    """Plays a video file once, losing nothing; its frames have the same identity on every run.

    Args:
        values: The section `[source]`.
        context: Time and epochs.
    """

    policy = Policy.LOSSLESS

    def __init__(self, values: Source, context: SourceContext) -> None:
        self.description = f"video {values.path}"
        self._values = values
        self._context = context
        self._path = Path(values.path)
        self._busy = threading.Lock()
        self._closed = threading.Event()
        self._capture: cv2.VideoCapture | None = None
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
            if self._capture is not None:
                self._capture.release()
                self._capture = None

    def _read(self) -> Frame | Gap | None:
        if self._capture is None:
            self._capture = self._open()
        taken, pixels = self._capture.read()
        frame_id, self._next_frame_id = self._next_frame_id, self._next_frame_id + 1
        captured_at = self._began + timedelta(seconds=frame_id / self._fps if self._fps > 0 else 0)
        if not taken:
            self._ended = True
            # Some containers only estimate their number of frames.
            if (missing := self._frame_count - frame_id) > 1 + self._frame_count // 100:
                text = f"{self.description}: unreadable after frame {frame_id}: {missing} frames are missing"
                return Gap(Cause.UNREADABLE, captured_at, captured_at, self._epoch, missing, detail=text)
            raise EndOfSource
        return Frame(
            pixels=np.asarray(pixels, dtype=np.uint8),
            epoch=self._epoch,
            frame_id=frame_id,
            captured_at=captured_at,
            captured_mono_s=self._context.clock.monotonic(),
            identity=f"{self._name}:{frame_id}",
            independent=bool(self._values.independent),
        )

    def _open(self) -> cv2.VideoCapture:
        try:
            found = self._path.stat()
        except OSError as exc:
            raise SourceError(f"video file cannot be read: {self._path}: {exc.strerror}") from exc
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"video file cannot be read: {self._path}: not a regular file")
        capture = _open_ffmpeg(str(self._path), self._values, {"protocol_whitelist": "file"})
        if not capture.isOpened():
            raise SourceError(f"video file cannot be read: {self._path}: not a video that FFmpeg knows")
        _check_size(capture, self._values, self.description)
        if _pixel_format(capture) == b"Y800":
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # grey stays one channel
        self._epoch = self._context.next_epoch()
        self._next_frame_id = 0
        self._name = f"{self._path.name}:{found.st_size}:{found.st_mtime_ns}"
        self._began = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found.st_mtime_ns // 1000)
        self._fps = float(capture.get(cv2.CAP_PROP_FPS))
        self._frame_count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        return capture


# --- OpenCV -----------------------------------------------------------------------------------------------------------


class _CaptureStream:
    """A camera behind `cv2.VideoCapture`."""

    def __init__(self, capture: cv2.VideoCapture, values: Source, clock: Clock, description: str) -> None:
        self._capture = capture
        self._values = values
        self._clock = clock
        self._description = description
        self._fresh = False

    def next_picture(self) -> Pixels | PictureError:
        pixels = self._grab()
        if not self._fresh:
            pixels = self._skip_backlog(pixels)
            self._fresh = True
        return pixels

    def _grab(self) -> Pixels:
        started_s = self._clock.monotonic()
        taken, pixels = self._capture.read()
        # From a camera that hangs H.264 still gives the frames it held back, each after a whole time-out.
        if not taken or self._clock.monotonic() - started_s >= self._values.read_timeout_s:
            raise SourceError(f"camera stopped delivering: {self._description}")
        return np.asarray(pixels, dtype=np.uint8)

    def _skip_backlog(self, pixels: Pixels) -> Pixels:
        """Throw frames away while they come faster than they were taken: those had been waiting in the camera."""
        started_s = last_s = self._clock.monotonic()
        taken_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        while last_s - started_s < MAX_BACKLOG_S:
            pixels = self._grab()
            now_s, now_ms = self._clock.monotonic(), self._capture.get(cv2.CAP_PROP_POS_MSEC)
            if (now_s - last_s) * 1000 >= (now_ms - taken_ms) / 2:
                break
            last_s, taken_ms = now_s, now_ms
        return pixels

    def interrupt(self) -> None:
        """OpenCV cannot be interrupted; it returns after `read_timeout_s`."""

    def close(self) -> None:
        self._capture.release()


def _open_device(values: Source, clock: Clock) -> Stream:
    path = values.path
    device = Path(f"/dev/video{path}" if path.isdecimal() else path)
    if not device.exists():
        raise SourceError(f"camera is not there: {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(f"camera may not be used (is the user in the group of the device?): {device}")
    capture = cv2.VideoCapture(int(path) if path.isdecimal() else path, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(f"camera cannot be opened (in use, or no capture device): {device}")
    _check_size(capture, values, str(device))
    return _CaptureStream(capture, values, clock, str(device))


def _open_rtsp(values: Source, url: SplitResult, clock: Clock) -> Stream:
    options = {
        "rtsp_transport": values.rtsp_transport,
        "fflags": "nobuffer+discardcorrupt",
        "flags": "low_delay",
        "analyzeduration": "300000",
        "protocol_whitelist": "rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto",
        "allowed_media_types": "video",
    }
    return _open_url(values, url, clock, options)


def _open_url(values: Source, url: SplitResult, clock: Clock, options: dict[str, str]) -> Stream:
    description = _without_secrets(url)
    user = _credentials(values)
    named = url
    if user is not None:
        login = ":".join(quote(part, safe="") for part in user)
        named = url._replace(netloc=f"{login}@{url.netloc}")
    capture = _open_ffmpeg(named.geturl(), values, options)
    if not capture.isOpened():
        raise SourceError(f"camera cannot be opened: {description}: {_find_out_why(url, user)}")
    _check_size(capture, values, description)
    return _CaptureStream(capture, values, clock, description)


def _open_ffmpeg(name: str, values: Source, options: dict[str, str]) -> cv2.VideoCapture:
    parameters = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(values.open_timeout_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int(values.read_timeout_s * 1000),
    ]
    with _ffmpeg_options(options):
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, parameters)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # boxes are in the pixels that the camera sends
    return capture


@contextlib.contextmanager
def _ffmpeg_options(options: dict[str, str]) -> Iterator[None]:
    """Set FFmpeg's options for one opening: OpenCV takes them from the environment of the process only."""
    with _options_lock:
        before = os.environ.get(_OPTIONS)
        os.environ[_OPTIONS] = "|".join(f"{key};{value}" for key, value in options.items())
        try:
            yield
        finally:
            if before is None:
                del os.environ[_OPTIONS]
            else:
                os.environ[_OPTIONS] = before


def _check_size(capture: cv2.VideoCapture, values: Source, description: str) -> None:
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > values.max_frame_px:
        capture.release()
        raise SourceError(f"{description}: more than {values.max_frame_px} pixels: {width}x{height}")


def _pixel_format(capture: cv2.VideoCapture) -> bytes:
    return int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(8, "little", signed=True)[:4]


# --- URLs -------------------------------------------------------------------------------------------------------------


def _without_secrets(url: SplitResult) -> str:
    """Return the URL for people: a query may hold a password."""
    return url._replace(query="...", fragment="").geturl() if url.query else url.geturl()


def _encoded(url: SplitResult) -> SplitResult:
    """Return the URL as it is sent: what is no URL text is encoded, what is encoded stays."""
    return url._replace(path=quote(url.path, safe=_URL_SAFE), query=quote(url.query, safe=_URL_SAFE))


def _credentials(values: Source) -> tuple[str, str] | None:
    if values.credentials_file is None:
        return None
    try:
        text = values.credentials_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SourceError(f"source.credentials_file cannot be read: {values.credentials_file}") from exc
    user, colon, password = text.partition(":")
    if not colon:
        raise SourceError(f"source.credentials_file must hold user:password: {values.credentials_file}")
    return user, password


def _find_out_why(url: SplitResult, user: tuple[str, str] | None) -> str:
    """Ask the camera itself, as FFmpeg says nothing."""
    port = url.port or {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}[url.scheme]
    try:
        with socket.create_connection((url.hostname or "", port), PROBE_TIMEOUT_S) as connection:
            if url.scheme != "rtsp":
                return "it answers, but sends no picture"
            connection.settimeout(PROBE_TIMEOUT_S)
            answer, headers = _describe(connection, url, "")
            if _status(answer) == "401" and user is not None:
                login = _authorization("DESCRIBE", url.geturl(), headers, user)
                answer, _ = _describe(connection, url, f"Authorization: {login}\r\n")
    except TimeoutError:
        return "it does not answer"
    except (OSError, ValueError) as exc:  # ValueError: a name that no host can have
        return getattr(exc, "strerror", None) or str(exc)
    if _status(answer) == "401":
        return "it asks for a login (source.credentials_file)" if user is None else "the login was refused"
    if _status(answer) == "200":
        return "it answers, but sends no picture"
    return answer or "it closes the connection"


def _describe(connection: socket.socket, url: SplitResult, login: str) -> tuple[str, Message]:
    """Ask for the stream over RTSP; returns the first line of the answer and its headers."""
    ask = f"DESCRIBE {url.geturl()} RTSP/1.0\r\nCSeq: {2 if login else 1}\r\nAccept: application/sdp\r\n{login}\r\n"
    connection.sendall(ask.encode())
    answer = b""
    for _ in range(8):  # pieces: one that dribbles is not waited for
        if b"\r\n\r\n" in answer or not (data := connection.recv(4096)):
            break
        answer += data
    first, _, headers = answer.partition(b"\r\n\r\n")[0].decode("latin-1").partition("\r\n")
    return first[:200], message_from_string(headers)


def _status(answer: str) -> str:
    return "".join(answer.split(" ")[1:2])


# --- Motion JPEG over HTTP --------------------------------------------------------------------------------------------


def _open_http(values: Source, url: SplitResult, clock: Clock) -> Stream:
    description = _without_secrets(url)
    try:
        connection, response = _request(values, url)
        begin = response.read1(1024) if response.status == http.HTTPStatus.OK else b""
    except (OSError, ValueError, http.client.HTTPException) as exc:
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise SourceError(f"camera cannot be opened: {description}: {why}") from exc
    kind = response.headers.get_content_type()
    boundary = response.headers.get_boundary() if kind.startswith("multipart/") else None
    if boundary is None and begin.lstrip().startswith(b"--"):  # some announce it as something else
        boundary = begin.split(maxsplit=1)[0].decode("latin-1")
    if boundary is not None:
        stream = _HttpStream(connection, response, boundary, values, clock, description)
        stream.feed(begin)
        return stream
    response.close()
    connection.close()
    if response.status != http.HTTPStatus.OK:
        login = "" if values.credentials_file or response.status != 401 else " (source.credentials_file is not set)"
        raise SourceError(f"camera cannot be opened: {description}: HTTP {response.status} {response.reason}{login}")
    if kind.startswith(("video/", "application/")):
        options = {"protocol_whitelist": "http,https,tcp,tls,crypto", "fflags": "nobuffer", "flags": "low_delay"}
        return _open_url(values, url, clock, options)
    raise SourceError(f"camera cannot be opened: {description}: no stream of pictures: {kind}")


def _request(values: Source, url: SplitResult) -> tuple[socket.socket, http.client.HTTPResponse]:
    user = _credentials(values)
    connection, response = _get(values, url, {})
    if response.status == http.HTTPStatus.UNAUTHORIZED and user is not None:
        connection.close()
        response.close()
        answer = _authorization("GET", _target(url), response.headers, user)
        connection, response = _get(values, url, {"Authorization": answer.encode()})
    connection.settimeout(values.read_timeout_s)
    return connection, response


def _get(values: Source, url: SplitResult, headers: dict[str, bytes]) -> tuple[socket.socket, http.client.HTTPResponse]:
    host, port, wait_s = url.hostname or "", url.port, values.open_timeout_s
    client = (
        http.client.HTTPSConnection(host, port, timeout=wait_s, context=ssl.create_default_context())
        if url.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=wait_s)
    )
    try:
        client.request("GET", _target(url), headers={"Accept": b"multipart/x-mixed-replace, */*"} | headers)
        connection: socket.socket = client.sock
        return connection, client.getresponse()
    except BaseException:
        client.close()
        raise


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _authorization(method: str, target: str, headers: Message, user: tuple[str, str]) -> str:
    """Answer a challenge: digest (RFC 7616, MD5 or SHA-256, without body) if it is offered, else basic."""
    for challenge in headers.get_all("WWW-Authenticate", []):
        scheme, _, rest = challenge.partition(" ")
        asked = {key.lower(): quoted or bare for key, quoted, bare in _CHALLENGE.findall(rest)}
        algorithm = asked.get("algorithm", "MD5")
        if scheme.lower() != "digest" or algorithm.upper() not in _DIGESTS:
            continue

        def digest(*parts: str, name: str = _DIGESTS[algorithm.upper()]) -> str:
            return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

        secret, what = digest(user[0], asked.get("realm", ""), user[1]), digest(method, target)
        fields = {"username": user[0], "realm": asked.get("realm", ""), "nonce": asked.get("nonce", ""), "uri": target}
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        if "qop" in asked:
            once = os.urandom(8).hex()
            fields["response"] = digest(secret, fields["nonce"], "00000001", once, "auth", what)
            more = f', algorithm={algorithm}, qop=auth, nc=00000001, cnonce="{once}"'
        else:
            fields["response"] = digest(secret, fields["nonce"], what)
            more = f", algorithm={algorithm}"
        return "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items()) + more
    return "Basic " + base64.b64encode(":".join(user).encode()).decode()


class _HttpStream:
    """A multipart answer of which each part is one picture."""

    def __init__(
        self,
        connection: socket.socket,
        response: http.client.HTTPResponse,
        boundary: str,
        values: Source,
        clock: Clock,
        description: str,
    ) -> None:
        self._connection = connection
        self._response = response
        self._parts = Parts(boundary)
        self._values = values
        self._clock = clock
        self._description = description

    def feed(self, data: bytes) -> None:
        self._parts.feed(data)

    def next_picture(self) -> Pixels | PictureError:
        until_s = self._clock.monotonic() + self._values.read_timeout_s
        while (body := self._parts.next_body()) is None:
            if self._clock.monotonic() > until_s:
                raise SourceError(f"camera stopped delivering: {self._description}: no whole picture in time")
            self._parts.feed(self._receive())
            if self._parts.size_bytes > self._values.max_file_bytes + MAX_PART_HEADER_BYTES:
                raise SourceError(f"{self._description}: a part has more than {self._values.max_file_bytes} bytes")
        try:
            return decode_picture(
                body,
                name=self._description,
                max_px=self._values.max_frame_px,
                full_scale=self._values.full_scale,
            )
        except PictureError as exc:
            return exc

    def _receive(self) -> bytes:
        try:
            data = self._response.read1(1 << 18)
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise SourceError(f"camera stopped delivering: {self._description}: {exc}") from exc
        if not data:
            raise SourceError(f"camera ended the stream: {self._description}")
        return data

    def interrupt(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._response.close()
        self._connection.close()


class Parts:
    """Takes a `multipart/x-mixed-replace` stream apart; no I/O.

    Args:
        boundary: As the content type names it; cameras disagree about the leading dashes.
    """

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"--" + boundary.strip().lstrip("-").encode("latin-1", "replace")
        self._buffer = bytearray()
        self._searched = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that wait for the end of their part."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add bytes as they came."""
        self._buffer += data

    def next_body(self) -> bytes | None:
        """Return the next part's body, or None when more bytes are needed.

        A body that is shorter than its announced length ends where the next part begins.

        Raises:
            SourceError: A part's header does not end.
        """
        start = self._buffer.find(self._delimiter)
        if start < 0:
            del self._buffer[: -len(self._delimiter)]
            return None
        del self._buffer[:start]
        if (body := self._find_body()) is None:
            if len(self._buffer) > MAX_PART_HEADER_BYTES:
                raise SourceError(f"a part's header has more than {MAX_PART_HEADER_BYTES} bytes")
            return None
        begin, length = body
        following = self._buffer.find(self._delimiter, max(begin, self._searched - len(self._delimiter)))
        self._searched = len(self._buffer)
        if length and not 0 <= following < begin + length:
            if len(self._buffer) < begin + length:
                return None
            end = rest = begin + length
        elif following >= 0:
            end, rest = following, following
            if self._buffer[end - 1 : end] == b"\n":
                end -= 1
            if self._buffer[end - 1 : end] == b"\r":
                end -= 1
        else:
            return None
        content = bytes(self._buffer[begin : max(begin, end)])
        del self._buffer[:rest]
        self._searched = 0
        return content

    def _find_body(self) -> tuple[int, int] | None:
        """Return where the body begins and how long it is announced to be (0: not announced)."""
        ends = [
            (at, len(gap))
            for gap in (b"\r\n\r\n", b"\n\n")
            if (at := self._buffer.find(gap, 0, MAX_PART_HEADER_BYTES)) >= 0
        ]
        if not ends:
            return None
        at, gap = min(ends)
        for line in bytes(self._buffer[:at]).splitlines():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit() and len(value) < 20:
                return at + gap, int(value)
        return at + gap, 0
