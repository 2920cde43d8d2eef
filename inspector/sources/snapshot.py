"""A camera that gives one picture a request: it is asked again at a rate of its own, `source.snapshot_interval_s`."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from urllib.parse import SplitResult

from inspector.clock import Clock
from inspector.errors import PictureError, SourceError
from inspector.frame import Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.http_get import decode_body, redirection, request
from inspector.sources.login import UnknownLoginError
from inspector.sources.urls import shown_url

_PIECE_BYTES = 1 << 18


class SnapshotStream:
    """One GET a picture; see `camera.Stream`.

    The time between two requests is `snapshot_interval_s`, counted from request to request; a camera that answers more
    slowly is asked as soon as it has answered.

    Args:
        options: Limits, time-outs, and the rate.
        clock: Time.
        url: As it is sent, without user and password.
        connection: Of the first answer.
        response: The first answer, of which `begin` is read already.
        begin: The first bytes of the first picture.
    """

    def __init__(
        self,
        options: CameraOptions,
        clock: Clock,
        url: SplitResult,
        *,
        connection: socket.socket,
        response: http.client.HTTPResponse,
        begin: bytes,
    ) -> None:
        self._options = options
        self._clock = clock
        self._url = url
        self._description = shown_url(url)
        self._connection: socket.socket | None = connection
        self._response: http.client.HTTPResponse | None = response
        self._begin = begin
        self._asked_s = clock.monotonic()
        self._interrupted = threading.Event()

    def next_picture(self) -> Pixels | PictureError:
        """Return the picture of the next request; see `camera.Stream`. Waits for its time first."""
        try:
            if self._response is None:
                self._ask()
            body = self._read_body()
        except UnknownLoginError as exc:
            raise SourceError(f"camera stopped delivering: {self._description}: {exc}") from exc
        except (OSError, ValueError, http.client.HTTPException) as exc:
            why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise SourceError(f"camera stopped delivering: {self._description}: {why}") from exc
        finally:
            self.close()
        return decode_body(body, self._options, self._description)

    def _ask(self) -> None:
        due_s = self._asked_s + self._options.snapshot_interval_s
        if self._interrupted.wait(max(0.0, due_s - self._clock.monotonic())):
            raise SourceError(f"camera closed: {self._description}")
        self._asked_s = self._clock.monotonic()
        self._connection, response = request(self._options, self._url)
        self._response = response
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"HTTP {response.status} {response.reason}{redirection(response, self._url)}")

    def _read_body(self) -> bytes:
        """Return the whole body, within `read_timeout_s`."""
        assert self._response is not None  # noqa: S101 - asked for above
        body, self._begin = bytearray(self._begin), b""
        announced = self._response.getheader("Content-Length")
        until_s = self._clock.monotonic() + self._options.read_timeout_s
        while data := self._response.read1(_PIECE_BYTES):
            body += data
            if len(body) > self._options.max_file_bytes:
                raise SourceError(f"{self._description}: a picture has more than {self._options.max_file_bytes} bytes")
            if self._clock.monotonic() > until_s:
                raise SourceError(f"camera stopped delivering: {self._description}: no whole picture in time")
        if announced is not None and announced.isdigit() and len(announced) < 20 and len(body) < int(announced):
            raise SourceError(f"camera stopped delivering: {self._description}: {len(body)} of {announced} bytes came")
        return bytes(body)

    def interrupt(self) -> None:
        """End a blocked `next_picture` at once; see `camera.Stream`."""
        self._interrupted.set()
        if (connection := self._connection) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; see `camera.Stream`."""
        response, self._response = self._response, None
        connection, self._connection = self._connection, None
        for one in (response, connection):
            if one is not None:
                one.close()
