"""A URL that gives one picture a request: asked at its own rate, and each answer is whole or no picture."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from fakes import FakeClock
from http_camera import HttpCamera, send
from rigs import jpeg, make_camera, number_of, only_frames, only_gaps, read_items

from inspector.errors import SourceError
from inspector.frame import Cause
from inspector.settings.source import CameraOptions
from inspector.sources.base import FrameSource
from inspector.sources.mjpeg import open_http
from inspector.sources.snapshot import SnapshotStream
from inspector.sources.urls import sent_url

Open = Callable[[FrameSource], FrameSource]
Script = Callable[[socket.socket, str], None]


def answer(
    body: bytes, status: str = "200 OK", kind: str = "image/jpeg", *more: str, length: int | None = None
) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        f"Content-Type: {kind}",
    ]
    return "\r\n".join([*lines, *more, "", ""]).encode() + body


def moved(to: str, status: str = "302 Found") -> Script:
    return send(answer(b"", status, "text/html", f"Location: {to}"))


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream"])
def test_each_request_gives_a_picture(opened: Open, kind: str) -> None:
    """One GET a frame; what is announced as something else is taken by its first bytes."""
    with HttpCamera(*(send(answer(jpeg(number), kind=kind)) for number in range(4))) as camera:
        source = opened(make_camera(camera.url, snapshot_interval_s=0.02))
        frames = only_frames(read_items(source, 4))

        assert [number_of(frame) for frame in frames] == [0, 1, 2, 3]
        assert [frame.frame_id for frame in frames] == [0, 1, 2, 3]
        assert len(camera.requests) == 4


def test_the_next_request_waits_for_its_time() -> None:
    """From request to request; a camera that took longer is asked at once."""
    clock = FakeClock()
    waited: list[float] = []

    class Clocked(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    with HttpCamera(*(send(answer(jpeg(number))) for number in range(3))) as camera:
        options = CameraOptions(path=camera.url, snapshot_interval_s=5)
        stream = open_http(options, sent_url(urlsplit(camera.url)), clock)
        assert isinstance(stream, SnapshotStream)
        stream._interrupted = Clocked()
        stream.next_picture()
        clock.advance(2)
        stream.next_picture()
        clock.advance(60)
        stream.next_picture()

    assert waited == [3.0, 0.0]


def test_closing_ends_the_wait() -> None:
    """A source with a minute between two requests is closed at once."""
    with HttpCamera(send(answer(jpeg(1)))) as camera:
        source = make_camera(camera.url, snapshot_interval_s=60)
        read_items(source, 1)
        ended = threading.Event()

        def read() -> None:
            with contextlib.suppress(SourceError):
                source.read()
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        source.close()

        assert ended.wait(5)
        thread.join()


BAD: dict[str, tuple[bytes, str]] = {
    "a part of a picture": (answer(jpeg(1)[:500], length=len(jpeg(1))), "500 of"),
    "an error": (answer(b"", "503 Service Unavailable"), "HTTP 503 Service Unavailable"),
    "nothing": (b"", "camera stopped delivering"),
    "another host": (
        answer(b"", "302 Found", "text/html", "Location: http://u:secret@10.0.0.9/live?p=secret"),
        "HTTP 302 Found, to http://10.0.0.9/live?...",
    ),
    "without end": (answer(jpeg(1) + bytes(30_000)), "more than 20000 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_answer_ends_the_stream_by_name(case: str, opened: Open) -> None:
    """It is no picture, and the reader opens the camera anew."""
    bad, words = BAD[case]
    with HttpCamera(send(answer(jpeg(2))), send(bad), send(answer(jpeg(3)))) as camera:
        source = opened(make_camera(camera.url, snapshot_interval_s=0.02, max_file_bytes=20_000))
        first = only_frames(read_items(source, 1))
        with pytest.raises(SourceError) as caught:
            read_items(source, 1)
        second = only_frames(read_items(source, 1))

        assert words in str(caught.value)
        assert [number_of(frame) for frame in first + second] == [2, 3]


def test_a_damaged_picture_is_a_gap_among_its_neighbours(opened: Open) -> None:
    """Whole by its length, but no picture."""
    with HttpCamera(send(answer(jpeg(1))), send(answer(jpeg(2)[:-40])), send(answer(jpeg(3)))) as camera:
        source = opened(make_camera(camera.url, snapshot_interval_s=0.02))
        items = read_items(source, 3)

        assert [number_of(frame) for frame in only_frames(items)] == [1, 3]
        assert [gap.cause for gap in only_gaps(items)] == [Cause.UNREADABLE]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_on_the_same_host_is_followed(status: str, opened: Open) -> None:
    """By whatever status, relative or not."""
    with HttpCamera(moved("/a.jpg", status), moved("b.jpg?x=1", status), send(answer(jpeg(4)))) as camera:
        source = opened(make_camera(camera.url))

        assert number_of(only_frames(read_items(source, 1))[0]) == 4
        assert [request.split()[1] for request in camera.requests] == ["/cam.mjpg", "/a.jpg", "/b.jpg?x=1"]


def test_redirects_without_end_are_named(opened: Open) -> None:
    """A camera that sends one in circles is an error that says so, not a loop."""
    with HttpCamera(moved("/round")) as camera:
        source = opened(make_camera(camera.url))
        with pytest.raises(SourceError, match=r"HTTP 302 Found, to http://127\.0\.0\.1:\d+/round"):
            read_items(source, 1)

        assert len(camera.requests) == 6


def test_a_redirect_to_another_host_is_not_followed(opened: Open) -> None:
    """It may be another camera, and the login is not for it."""
    with HttpCamera(moved("http://localhost.example/cam.jpg")) as camera:
        source = opened(make_camera(camera.url))
        with pytest.raises(SourceError, match=r"to http://localhost\.example/cam\.jpg"):
            read_items(source, 1)


@pytest.mark.parametrize("status", ["HTTP/1.1 503 \x1b[31mBusy\x07", f"HTTP/1.1 503 {'x' * 20_000}", "hello\r\n\r\n"])
def test_what_a_camera_says_is_shown_as_one_short_line(opened: Open, status: str) -> None:
    """Its words go into health and onto terminals: no control character gets there, and no 20,000 letters."""
    with HttpCamera(send(f"{status}\r\nContent-Length: 0\r\n\r\n".encode())) as camera:
        source = opened(make_camera(camera.url))
        with pytest.raises(SourceError, match=r"^camera cannot be opened: ") as caught:
            read_items(source, 1)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 600
