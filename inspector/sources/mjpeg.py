"""Motion JPEG over HTTP: a multipart stream of which each part is one picture.

It is read here and not by FFmpeg: from a part that was cut in half FFmpeg makes a picture whose lower rows are the
previous frame, and reports no error. Here each part is decoded strictly, or becomes a gap. The pictures may change
their size. A URL that sends a video instead is passed on to FFmpeg (`capture`), one that sends a single picture is
asked again and again (`snapshot`).
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from urllib.parse import SplitResult

from inspector.clock import Clock
from inspector.errors import PictureError, SourceError
from inspector.frame import Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.capture import CaptureStream, open_url
from inspector.sources.http_get import decode_body, redirection, request
from inspector.sources.login import UnknownLoginError
from inspector.sources.snapshot import SnapshotStream
from inspector.sources.urls import shown_url

MAX_PART_HEADER_BYTES = 8192
_JPEG = b"\xff\xd8\xff"


def open_http(options: CameraOptions, url: SplitResult, clock: Clock) -> HttpStream | SnapshotStream | CaptureStream:
    """Open an HTTP camera.

    Args:
        options: Limits and time-outs, and where the login is.
        url: As it is sent, without user and password.
        clock: Time.

    Raises:
        SourceError: It cannot be reached, refuses, or sends no pictures.
    """
    description = shown_url(url)
    try:
        connection, response = request(options, url)
        begin = b""
        if response.status == http.HTTPStatus.OK:
            begin = _read_first_line(response, clock, options.open_timeout_s)
    except UnknownLoginError as exc:
        raise SourceError(f"camera cannot be opened: {description}: {exc}") from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise SourceError(f"camera cannot be opened: {description}: {why}") from exc
    kind = response.headers.get_content_type()
    boundary = response.headers.get_boundary() if kind.startswith("multipart/") else None
    if boundary is None and begin.lstrip().startswith(b"--"):  # some announce it as something else
        boundary = begin.split(maxsplit=1)[0].decode("latin-1")
    if boundary is not None:
        parts = Parts(boundary)
        parts.feed(begin)
        return HttpStream(options, clock, description, connection=connection, response=response, parts=parts)
    if response.status == http.HTTPStatus.OK and (kind.startswith("image/") or begin.startswith(_JPEG)):
        return SnapshotStream(options, clock, url, connection=connection, response=response, begin=begin)
    response.close()
    connection.close()
    if response.status != http.HTTPStatus.OK:
        login = "" if options.credentials_file or response.status != 401 else " (source.credentials_file is not set)"
        why = f"HTTP {response.status} {response.reason}{login}{redirection(response, url)}"
        raise SourceError(f"camera cannot be opened: {description}: {why}")
    if kind.startswith(("video/", "application/")):
        silence_us = str(int(options.read_timeout_s * 1e6))
        ffmpeg = {"protocol_whitelist": "http,https,tcp,tls,crypto", "flags": "low_delay", "rw_timeout": silence_us}
        return open_url(options, url, clock, ffmpeg)
    raise SourceError(f"camera cannot be opened: {description}: no stream of pictures: {kind}")


class HttpStream:
    """A multipart answer of which each part is one picture; see `camera.Stream`.

    Args:
        options: Limits and time-outs.
        clock: Time.
        description: What to call the camera, without secrets.
        connection: Under the answer; closed with the stream.
        response: The answer, of which the body is read here.
        parts: Takes the body apart; may hold what was read of it already.
    """

    def __init__(
        self,
        options: CameraOptions,
        clock: Clock,
        description: str,
        *,
        connection: socket.socket,
        response: http.client.HTTPResponse,
        parts: Parts,
    ) -> None:
        self._options = options
        self._clock = clock
        self._description = description
        self._connection = connection
        self._response = response
        self._parts = parts

    def next_picture(self) -> Pixels | PictureError:
        """Return the picture of the next part; see `camera.Stream`."""
        until_s = self._clock.monotonic() + self._options.read_timeout_s
        while (body := self._parts.next_body()) is None:
            if self._clock.monotonic() > until_s:
                raise SourceError(f"camera stopped delivering: {self._description}: no whole picture in time")
            self._parts.feed(self._receive())
            if self._parts.size_bytes > self._options.max_file_bytes + MAX_PART_HEADER_BYTES:
                raise SourceError(f"{self._description}: a part has more than {self._options.max_file_bytes} bytes")
        return decode_body(body, self._options, self._description)

    def _receive(self) -> bytes:
        try:
            data = self._response.read1(1 << 18)
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise SourceError(f"camera stopped delivering: {self._description}: {exc}") from exc
        if not data:
            raise SourceError(f"camera ended the stream: {self._description}")
        return data

    def interrupt(self) -> None:
        """End a blocked `next_picture` at once; see `camera.Stream`."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; see `camera.Stream`."""
        self._response.close()
        self._connection.close()


class Parts:
    """Takes a `multipart/x-mixed-replace` stream apart; no I/O.

    Args:
        boundary: As the content type names it; cameras disagree about the leading dashes.
    """

    def __init__(self, boundary: str) -> None:
        name = re.escape(boundary.strip().lstrip("-").encode("latin-1", "replace"))
        self._between = re.compile(rb"--" + name + rb"(?:--|[ \t]{0,8}\r?\n)")
        self._too_early = re.compile(rb"\n-*--" + name + rb"(?:--|[ \t]{0,8}\r?\n[!-9;-~]{1,80}:)")
        self._longest = len(boundary) + 100  # bytes that may belong to a delimiter of which the end is still to come
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
        """Return the body of the next part that may be a picture, or None when more bytes are needed.

        A body that is shorter than its announced length ends where the next part begins, with a delimiter on a line of
        its own and a header. Nothing else inside an announced length is a delimiter: a picture may hold any bytes.

        Raises:
            SourceError: A part's header does not end.
        """
        while (part := self._next_part()) is not None:
            kind, body = part
            if _may_be_picture(kind) or body.startswith(_JPEG):
                return body
        return None

    def _next_part(self) -> tuple[str, bytes] | None:
        start = self._find(self._between, 0)
        if start < 0:
            del self._buffer[: -self._longest]
            return None
        del self._buffer[:start]
        if (header := self._read_header()) is None:
            if len(self._buffer) > MAX_PART_HEADER_BYTES:
                raise SourceError(f"a part's header has more than {MAX_PART_HEADER_BYTES} bytes")
            return None
        begin, length, kind = header
        following = self._find(
            self._too_early if length else self._between, max(begin - 1, self._searched - self._longest)
        )
        if length:
            following += following >= 0  # behind the line feed
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
        return kind, content

    def _find(self, pattern: re.Pattern[bytes], begin: int) -> int:
        found = pattern.search(self._buffer, max(0, begin))
        return -1 if found is None else found.start()

    def _read_header(self) -> tuple[int, int, str] | None:
        """Return where the body begins, how long it is announced to be (0: not announced), and its type ("": none)."""
        ends = [
            (at, len(gap))
            for gap in (b"\r\n\r\n", b"\n\n")
            if (at := self._buffer.find(gap, 0, MAX_PART_HEADER_BYTES)) >= 0
        ]
        if not ends:
            return None
        at, gap = min(ends)
        length, kind = 0, ""
        for line in bytes(self._buffer[:at]).splitlines():
            name, _, value = line.partition(b":")
            match name.strip().lower():
                case b"content-length" if value.strip().isdigit() and len(value) < 20:
                    length = int(value)
                case b"content-type":
                    kind = value.partition(b";")[0].strip().lower().decode("latin-1")
        return at + gap, length, kind


def _may_be_picture(kind: str) -> bool:
    """Say whether a part of this type is to be decoded; sound, text and data beside the pictures are not."""
    return "/" not in kind or kind.startswith(("image/", "video/")) or kind == "application/octet-stream"


def _read_first_line(response: http.client.HTTPResponse, clock: Clock, wait_s: float) -> bytes:
    """Return the beginning of the body, as far as it takes to see whether it begins with a delimiter."""
    begin, until_s = b"", clock.monotonic() + wait_s
    while len(begin) < MAX_PART_HEADER_BYTES and clock.monotonic() < until_s:
        text = begin.lstrip()
        if (text and not text.startswith(b"--"[: len(text)])) or b"\n" in text:
            break
        if not (more := response.read1(1024)):
            break
        begin += more
    return begin
