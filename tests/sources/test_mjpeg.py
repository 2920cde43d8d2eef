"""Motion JPEG over HTTP: only whole pictures become frames, however they arrive."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import cv2
import numpy as np
import pytest
from fakes import FakeClock
from http_camera import HttpCamera, head, part, send, stream
from hypothesis import given
from hypothesis import strategies as st
from rigs import (
    free_port,
    jpeg,
    make_camera,
    number_of,
    only_frames,
    only_gaps,
    picture,
    read_items,
    read_to,
)

from inspector.errors import SourceError
from inspector.frame import Cause, Frame, Gap
from inspector.settings.source import CameraOptions
from inspector.sources.base import FrameSource
from inspector.sources.mjpeg import HttpStream, Parts

Open = Callable[[FrameSource], FrameSource]


FFMPEG = shutil.which("ffmpeg")


def read_to_the_end(source: FrameSource) -> list[Frame | Gap]:
    """Read until the camera ends the stream."""
    return read_to(source, SourceError, "ended the stream")


OTHERS = [
    part(b"RIFF....WAVE").replace(b"image/jpeg", b"audio/basic"),
    part(b"temperature 40", with_length=False).replace(b"image/jpeg", b'Text/Plain; charset="utf-8"'),
    part(b"{}").replace(b"image/jpeg", b"application/json"),
]
"""Parts that are no pictures."""

STREAMS: dict[str, list[bytes]] = {
    "with lengths": [head(), *(part(jpeg(n)) for n in range(4)), b"--frame--\r\n"],
    "without lengths": [head(), *(part(jpeg(n), with_length=False) for n in range(4)), b"--frame--\r\n"],
    "quoted boundary": [head('"frame"'), *(part(jpeg(n)) for n in range(4))],
    "dashes in the boundary": [head("--frame"), *(part(jpeg(n)) for n in range(4))],
    "dashes in the boundary and before it": [head("--frame"), *(part(jpeg(n), "----frame") for n in range(4))],
    "text before the first part": [head(), b"hello\r\n\r\n", *(part(jpeg(n)) for n in range(4))],
    "announced as something else": [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n",
        *(part(jpeg(n)) for n in range(4)),
    ],
    "chunked": [
        head("frame", "200 OK", "Transfer-Encoding: chunked"),
        *(f"{len(part(jpeg(n))):x}\r\n".encode() + part(jpeg(n)) + b"\r\n" for n in range(4)),
        b"0\r\n\r\n",
    ],
    "lengths that are no numbers of bytes": [
        head(),
        *(part(jpeg(n)).replace(b"Content-Length: ", b"Content-Length: " + b"9" * 5000) for n in range(4)),
        b"--frame--\r\n",
    ],
    "line ends first": [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n",
        *(b"\r\n", b"\n", b"\r\n-", b"-fra", b"me\r\n"),
        *(part(jpeg(n)).removeprefix(b"--frame\r\n" if n == 0 else b"") for n in range(4)),
    ],
    "sound, text and data between": [
        head(),
        *(b"".join(OTHERS) + part(jpeg(n), with_length=n < 2) for n in range(4)),
        b"--frame--\r\n",
    ],
    "text that is a picture": [head(), *(part(jpeg(n)).replace(b"image/jpeg", b"text/plain") for n in range(4))],
    "no type": [head(), *(part(jpeg(n)).replace(b"Content-Type: image/jpeg\r\n", b"") for n in range(4))],
    "a type that is none": [head(), *(part(jpeg(n)).replace(b"image/jpeg", b"jpg") for n in range(4))],
    "byte by byte": [head(), *(bytes([byte]) for n in range(4) for byte in part(jpeg(n)))],
}


@pytest.mark.parametrize("case", STREAMS)
def test_each_part_is_a_frame(case: str, opened: Open) -> None:
    """Exactly the picture that was sent, in order, counted from 0."""
    with HttpCamera(send(*STREAMS[case])) as camera:
        source = make_camera(camera.url)
        opened(source)

        frames = only_frames(read_to_the_end(source))

    assert [frame.frame_id for frame in frames] == [0, 1, 2, 3]
    assert len({frame.identity for frame in frames}) == 4
    for number, frame in enumerate(frames):
        expected = cv2.imdecode(np.frombuffer(jpeg(number), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(frame.pixels, expected)


HALF = jpeg(1)[: len(jpeg(1)) // 2]


TORN: dict[str, bytes] = {
    "cut, with its full length announced": part(HALF, length=len(jpeg(1))),
    "cut, with its real length announced": part(HALF),
    "cut, without length": part(HALF, with_length=False),
    "cut, and closed with an end marker": part(HALF + b"\xff\xd9"),
    "empty": part(b"", with_length=False),
    "no picture": part(b"camera is busy"),
}


@pytest.mark.parametrize("case", TORN)
def test_a_torn_part_is_a_gap_and_never_a_picture(case: str, opened: Open) -> None:
    """FFmpeg would fill the missing rows from the frame before; the next whole part is a frame again."""
    with HttpCamera(stream(part(jpeg(0)), TORN[case], part(jpeg(2)), part(jpeg(3)))) as camera:
        source = make_camera(camera.url)
        opened(source)

        items = read_to_the_end(source)

    assert [number_of(frame) for frame in only_frames(items)] == [0, 2, 3]
    gap = items[1]
    assert isinstance(gap, Gap)
    assert gap.cause in (Cause.UNREADABLE, Cause.UNSUPPORTED)
    assert (gap.frames, gap.frame_id, gap.identity) == (1, 1, None)
    assert camera.url in gap.detail


def test_a_torn_part_of_independent_pictures_has_an_identity(opened: Open) -> None:
    """Every captured still gets its message."""
    with HttpCamera(stream(part(HALF))) as camera:
        source = make_camera(camera.url, independent=True)
        opened(source)

        (gap,) = only_gaps(read_to_the_end(source))

    assert gap.identity == "store:1:0"


def test_a_camera_may_change_its_picture_size(opened: Open) -> None:
    sizes = [(64, 48), (80, 60), (32, 24)]
    bodies = [cv2.imencode(".jpg", picture(1, *size))[1].tobytes() for size in sizes]
    with HttpCamera(stream(*(part(body) for body in bodies))) as camera:
        source = make_camera(camera.url)
        opened(source)

        frames = only_frames(read_to_the_end(source))

    assert [(frame.width_px, frame.height_px) for frame in frames] == sizes


class Dribble:
    """An answer that gives a byte every tenth of a second, by the clock of the test."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def read1(self, _: int) -> bytes:
        self._clock.advance(0.1)
        return b"x"


def test_a_byte_now_and_then_is_no_sign_of_life(clock: FakeClock) -> None:
    """A camera that gives no whole picture within the time-out is down then, however many bytes it sends."""
    options, answer = CameraOptions(path="http://cam/", read_timeout_s=1.05), cast(Any, Dribble(clock))
    parts = Parts("frame")
    stream = HttpStream(options, clock, "cam", connection=socket.socket(), response=answer, parts=parts)
    begun_s = clock.monotonic()
    with pytest.raises(SourceError, match="no whole picture in time"):
        stream.next_picture()
    stream._connection.close()

    assert clock.monotonic() - begun_s == pytest.approx(1.1)


@pytest.mark.parametrize("case", ["silent", "dribbling"])
def test_a_camera_that_hangs_is_down_after_the_time_out(case: str, opened: Open) -> None:
    """Silent or dribbling, it is down after the time-out, and not before."""
    done = threading.Event()

    def script(connection: socket.socket, _: str) -> None:
        connection.sendall(head() + part(jpeg(1)) + part(jpeg(2))[:100])
        while not done.wait(0.05):
            if case == "dribbling":
                connection.sendall(b"x")

    with HttpCamera(script) as camera:
        source = make_camera(camera.url, read_timeout_s=0.4)
        opened(source)
        read_items(source, 1)

        started_s = time.monotonic()
        with pytest.raises(SourceError, match="stopped delivering"):
            source.read()
        done.set()

    assert time.monotonic() - started_s > 0.3


def test_a_camera_that_comes_back_is_a_new_epoch(opened: Open) -> None:
    with HttpCamera(stream(part(jpeg(1)))) as camera:
        source = make_camera(camera.url)
        opened(source)
        first = only_frames(read_to_the_end(source))
        second = only_frames(read_to_the_end(source))

    assert [(frame.epoch, frame.frame_id) for frame in first + second] == [(1, 0), (2, 0)]


@pytest.mark.parametrize("when", ["waiting for a part", "waiting for the answer"])
def test_close_ends_a_blocked_read(when: str) -> None:
    """At once while pictures are awaited, and within the open time-out before."""
    began = threading.Event()

    def script(connection: socket.socket, _: str) -> None:
        if when == "waiting for a part":
            connection.sendall(head() + part(jpeg(1)))
        began.set()
        camera.released.wait(10)

    with HttpCamera(script) as camera:
        source = make_camera(camera.url, open_timeout_s=0.5, read_timeout_s=30)
        if when == "waiting for a part":
            read_items(source, 1)
        ended = threading.Event()

        def read() -> None:
            with contextlib.suppress(SourceError):
                source.read()
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        assert began.wait(5)
        source.close()
        source.close()

        assert ended.wait(1)
        thread.join()
        assert source.read() is None


BAD_ANSWERS: dict[str, tuple[bytes, str]] = {
    "a redirect": (
        b"HTTP/1.1 302 Found\r\nLocation: http://u:secret@10.0.0.9/live?p=secret\r\nContent-Length: 0\r\n\r\n",
        "HTTP 302 Found, to http://10.0.0.9/live?...",
    ),
    "not there": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404 Not Found"),
    "login wanted": (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "credentials_file is not set"),
    "a page": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "no stream of pictures: text/html"),
    "no boundary": (b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n", "no stream of pictures"),
    "not HTTP": (b"RTSP/1.0 200 OK\r\n\r\n", "cannot be opened"),
    "nothing": (b"", "cannot be opened"),
    "endless header": (head() + b"--frame\r\n" + b"x" * 9000, "header has more than"),
    "endless part": (head() + b"--frame\r\n\r\n" + bytes(30_000), "more than 4096 bytes"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_wrong_answer_names_the_camera_and_the_fault(case: str, opened: Open) -> None:
    answer, words = BAD_ANSWERS[case]
    with HttpCamera(send(answer)) as camera:
        source = make_camera(camera.url, max_file_bytes=4096)
        opened(source)

        with pytest.raises(SourceError, match=re.escape(words)):
            read_items(source, 1)


@given(
    bodies=st.lists(st.binary(max_size=60).filter(lambda body: b"frame" not in body), max_size=6),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=200),
    with_length=st.booleans(),
)
def test_parts_do_not_depend_on_how_the_bytes_arrive(
    bodies: list[bytes], cuts: Sequence[int], with_length: bool
) -> None:
    """Any division of the stream gives the same bodies."""
    bodies = [body.strip(b"\r\n") or b"x" for body in bodies]
    data = b"".join(part(body, with_length=with_length) for body in bodies) + b"--frame--\r\n"
    parts, found, at = Parts("frame"), [], 0
    for cut in [*cuts, len(data)]:
        parts.feed(data[at : at + cut])
        at += cut
        while (body := parts.next_body()) is not None:
            found.append(body)

    assert found == bodies


@pytest.mark.parametrize("boundary", ["b", "--", "frame"])
@given(bodies=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4), cut=st.integers(1, 30))
def test_a_part_of_known_length_may_hold_any_bytes(boundary: str, bodies: list[bytes], cut: int) -> None:
    """Its bytes are no delimiter, not even the delimiter's: a one-letter boundary tears no picture."""
    line = f"--{boundary.strip('-')}"
    bodies = [body + line.encode() + b"--" + b" \r\n" + line.encode() + b"\r\n\xff" for body in bodies]
    bodies = [body.replace(b"\n" + line.encode() + b"--", b"") for body in bodies]
    data = b"".join(part(body, line) for body in bodies)
    parts, found = Parts(boundary), []
    for at in range(0, len(data), cut):
        parts.feed(data[at : at + cut])
        while (body := parts.next_body()) is not None:
            found.append(body)

    assert found == bodies


@pytest.mark.real
def test_ffmpegs_own_multipart_stream(opened: Open) -> None:
    """A peer that is not ours: every frame of it decodes."""
    if FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    url = f"http://127.0.0.1:{free_port()}/cam.mjpg"
    make = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-f", "mpjpeg", "-listen", "1", url]
    server = subprocess.Popen([FFMPEG, "-v", "quiet", *make], stdin=subprocess.DEVNULL)
    try:
        source = make_camera(url)
        opened(source)

        items = read_items(source, 10, patient=True)
    finally:
        server.kill()
        server.wait()

    assert len(only_frames(items)) == 10
    assert items[0].frame_id == 0
