"""Cameras and video files: only whole, fresh pictures become frames, and what is missing is said."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from http_camera import HttpCamera, head, part, send, stream
from hypothesis import given
from hypothesis import strategies as st
from rigs import free_port, jpeg, make_context, number_of, only_frames, only_gaps, picture, read_items, read_until

from inspector.errors import ConfigError, PictureError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.settings.sections import Source
from inspector.sources.base import EndOfSource, FrameSource, Policy
from inspector.sources.camera import LiveCamera, Parts, open_camera

Open = Callable[[FrameSource], FrameSource]
FFMPEG = shutil.which("ffmpeg")
SYSTEM_PYTHON = "/usr/bin/python3"


def make_source(path: str | Path, **values: Any) -> FrameSource:
    settings = Source(kind="camera", path=str(path), **({"open_timeout_s": 2, "read_timeout_s": 1} | values))
    return open_camera(settings, make_context())


# --- HTTP -------------------------------------------------------------------------------------------------------------


def read_to_the_end(source: FrameSource) -> list[Frame | Gap]:
    """Read until the camera ends the stream."""
    items: list[Frame | Gap] = []
    with pytest.raises(SourceError, match="ended the stream"):
        read_until(source, lambda came: bool(items.extend(came) or came.clear()))
    return items


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
    "byte by byte": [head(), *(bytes([byte]) for n in range(4) for byte in part(jpeg(n)))],
}


@pytest.mark.parametrize("case", STREAMS)
def test_each_part_is_a_frame(case: str, opened: Open) -> None:
    """Exactly the picture that was sent, in order, counted from 0."""
    with HttpCamera(send(*STREAMS[case])) as camera:
        source = make_source(camera.url)
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
        source = make_source(camera.url)
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
        source = make_source(camera.url, independent=True)
        opened(source)

        (gap,) = only_gaps(read_to_the_end(source))

    assert gap.identity == "store:1:0"


def test_a_camera_may_change_its_picture_size(opened: Open) -> None:
    sizes = [(64, 48), (80, 60), (32, 24)]
    bodies = [cv2.imencode(".jpg", picture(1, *size))[1].tobytes() for size in sizes]
    with HttpCamera(stream(*(part(body) for body in bodies))) as camera:
        source = make_source(camera.url)
        opened(source)

        frames = only_frames(read_to_the_end(source))

    assert [(frame.width_px, frame.height_px) for frame in frames] == sizes


@pytest.mark.parametrize("case", ["silent", "dribbling"])
def test_a_camera_that_hangs_is_down_after_the_time_out(case: str, opened: Open) -> None:
    """A byte now and then is no sign of life."""
    done = threading.Event()

    def script(connection: socket.socket, _: str) -> None:
        connection.sendall(head() + part(jpeg(1)) + part(jpeg(2))[:100])
        while not done.wait(0.05):
            if case == "dribbling":
                connection.sendall(b"x")

    with HttpCamera(script) as camera:
        source = make_source(camera.url, read_timeout_s=0.4)
        opened(source)
        read_items(source, 1)

        started_s = time.monotonic()
        with pytest.raises(SourceError, match="stopped delivering"):
            source.read()
        done.set()

    assert 0.3 < time.monotonic() - started_s < 1.5


def test_a_camera_that_comes_back_is_a_new_epoch(opened: Open) -> None:
    with HttpCamera(stream(part(jpeg(1)))) as camera:
        source = make_source(camera.url)
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
        source = make_source(camera.url, open_timeout_s=0.5, read_timeout_s=30)
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
        source = make_source(camera.url, max_file_bytes=4096)
        opened(source)

        with pytest.raises(SourceError, match=re.escape(words)):
            read_items(source, 1)


def demand_basic(connection: socket.socket, request: str) -> None:
    if "Authorization: Basic " + base64.b64encode("line:pä:ss".encode()).decode() not in request:
        connection.sendall(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\nContent-Length: 0\r\n\r\n')
    else:
        stream(part(jpeg(5)))(connection, request)


def demand_digest(connection: socket.socket, request: str) -> None:
    answer = dict(re.findall(r'(\w+)="?([^",\r]+)"?', request.partition("Authorization: Digest ")[2]))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    ha1, ha2 = md5(f"{answer.get('username')}:cam:pä:ss"), md5("GET:/cam.mjpg")
    fields = (answer.get(key, "") for key in ("nonce", "nc", "cnonce", "qop"))
    if answer.get("response") != md5(":".join([ha1, *fields, ha2])):
        connection.sendall(
            b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="cam", nonce="n1", qop="auth", algorithm=MD5\r\n'
            b"Content-Length: 0\r\n\r\n"
        )
    else:
        stream(part(jpeg(5)))(connection, request)


@pytest.mark.parametrize("demand", [demand_basic, demand_digest])
@pytest.mark.parametrize("password", ["pä:ss", "wrong-secret"])
def test_the_login_is_sent_and_never_shown(
    demand: Callable[[socket.socket, str], None], password: str, tmp_path: Path, opened: Open
) -> None:
    """Basic and digest; the password is in no message and no description."""
    (tmp_path / "login").write_text(f"line:{password}\n", encoding="utf-8")
    with HttpCamera(demand) as camera:
        source = make_source(camera.url, credentials_file=tmp_path / "login")
        opened(source)

        if password.startswith("wrong"):
            with pytest.raises(SourceError, match="HTTP 401") as caught:
                source.read()
            assert password not in str(caught.value)
        else:
            assert number_of(only_frames(read_items(source, 1))[0]) == 5
        assert password not in source.description
        assert all(password not in request for request in camera.requests)


@pytest.mark.parametrize("user", ["linë", "łódź"])
def test_a_login_may_have_any_letters(user: str, tmp_path: Path, opened: Open) -> None:
    """A digest login goes out as the UTF-8 that its digest is made of."""
    (tmp_path / "login").write_text(f"{user}:pä:ss\n", encoding="utf-8")
    with HttpCamera(demand_digest) as camera:
        source = make_source(camera.url, credentials_file=tmp_path / "login")
        opened(source)

        assert number_of(only_frames(read_items(source, 1))[0]) == 5
        assert f'username="{user}"' in camera.requests[1]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("prüf/a b.mjpg", "/pr%C3%BCf/a%20b.mjpg"),
        ("a%20b%C3%BC.mjpg", "/a%20b%C3%BC.mjpg"),
        ("cam?size=1280x720&name=lö,(1)/~@%26", "/cam?size=1280x720&name=l%C3%B6,(1)/~@%26"),
    ],
)
def test_a_url_is_sent_as_a_browser_sends_it(path: str, sent: str, opened: Open) -> None:
    """What is no URL text is encoded; what is encoded already stays as it is."""
    with HttpCamera(stream(part(jpeg(5)))) as camera:
        source = make_source(camera.url.replace("cam.mjpg", path))
        opened(source)

        assert number_of(only_frames(read_items(source, 1))[0]) == 5
        assert camera.requests[0].startswith(f"GET {sent} HTTP/1.1\r\n")


@pytest.mark.parametrize("url", ["http://a..b/x", "rtsp://a..b/x", f"http://{'a' * 70}.b/x"])
def test_a_host_name_that_cannot_be_is_named(url: str, opened: Open) -> None:
    """A slip in the address is a camera that is down, not the end of the process."""
    source = make_source(url)
    opened(source)

    with pytest.raises(SourceError, match=rf"camera cannot be opened: {re.escape(url)}: .*label"):
        source.read()


CREDENTIALS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "cannot be read"),
    "no colon": (b"secret", "must hold user:password"),
    "not text": (b"\xff\xfe:\x80", "cannot be read"),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_a_bad_credentials_file_is_named(case: str, tmp_path: Path, opened: Open) -> None:
    content, words = CREDENTIALS[case]
    if content is not None:
        (tmp_path / "login").write_bytes(content)
    source = make_source("http://127.0.0.1:9/x", credentials_file=tmp_path / "login")
    opened(source)

    with pytest.raises(SourceError, match=rf"{words}: .*login") as caught:
        source.read()

    assert "secret" not in str(caught.value)


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


# --- Frozen cameras ---------------------------------------------------------------------------------------------------


class ScriptedStream:
    """Plays pictures; at the end the camera is gone."""

    def __init__(self, pictures: Sequence[Pixels | PictureError]) -> None:
        self._pictures = iter(pictures)
        self.closed = False

    def next_picture(self) -> Pixels | PictureError:
        for pixels in self._pictures:
            return pixels
        raise SourceError("gone")

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def play(numbers: Sequence[int], **values: Any) -> list[str]:
    """Return what a camera that shows these pictures delivers: numbers, and `cause xN` for gaps."""
    settings = Source(kind="camera", path="0", **values)
    source = LiveCamera(settings, make_context(), "cam", lambda: ScriptedStream([picture(n) for n in numbers]))
    told: list[str] = []
    while True:
        try:
            item = source.read()
        except SourceError:
            return told
        if isinstance(item, Gap):
            told.append(f"{item.cause} x{item.frames}")
        elif item is not None:
            told.append(str(number_of(item)))


FROZEN: dict[str, tuple[list[int], int, list[str]]] = {
    "never frozen": ([1, 2, 3, 3, 4], 3, ["1", "2", "3", "3", "4"]),
    "frozen, then alive": ([1, 2, 2, 2, 2, 2, 3], 3, ["1", "2", "2", "frozen x1", "frozen x2", "3"]),
    "frozen for one frame": ([2, 2, 2, 3], 3, ["2", "2", "frozen x1", "3"]),
    "frozen until it is gone": ([1, 1, 1, 1, 1], 2, ["1", "frozen x1", "frozen x3"]),
    "frozen twice": ([1, 1, 1, 2, 2, 2], 2, ["1", "frozen x1", "frozen x1", "2", "frozen x1", "frozen x1"]),
    "off": ([1, 1, 1, 1], 0, ["1", "1", "1", "1"]),
}


@pytest.mark.parametrize("case", FROZEN)
def test_a_frozen_camera_is_a_gap(case: str) -> None:
    """Said when it is noticed, and once more for all the frames that were held back since."""
    numbers, limit, expected = FROZEN[case]

    assert play(numbers, frozen_frames=limit) == expected


def test_a_frozen_stretch_has_no_holes() -> None:
    """The second gap begins where the first ends, and the first where the picture was new."""
    settings = Source(kind="camera", path="0", frozen_frames=2)
    pictures = [picture(1)] * 4 + [picture(2)]
    source = LiveCamera(settings, make_context(), "cam", lambda: ScriptedStream(pictures))

    new, first, second, alive = read_items(source, 4)

    assert isinstance(new, Frame)
    assert isinstance(alive, Frame)
    assert isinstance(first, Gap)
    assert isinstance(second, Gap)
    assert first.since == new.captured_at
    assert first.until == second.since
    assert second.until == alive.captured_at


def test_a_camera_with_too_many_pixels_gives_gaps() -> None:
    assert play([1, 2], max_frame_px=1024) == ["too_large x1", "too_large x1"]


def test_a_camera_without_an_epoch_is_opened_again() -> None:
    """While the store refuses an epoch the camera is down and released; no frame of it ever has an epoch of before."""
    epochs = iter([1, None, 2])

    def next_epoch() -> int:
        if (epoch := next(epochs)) is None:
            raise SourceError("the store refuses: disk full")
        return epoch

    context = replace(make_context(), next_epoch=next_epoch)
    streams: list[ScriptedStream] = []

    def open_stream() -> ScriptedStream:
        streams.append(ScriptedStream([picture(1)]))
        return streams[-1]

    source = LiveCamera(Source(kind="camera", path="0"), context, "cam", open_stream)
    first = read_items(source, 1)
    for words in ("gone", "disk full"):
        with pytest.raises(SourceError, match=words):
            source.read()
    second = read_items(source, 1)

    assert [frame.identity for frame in only_frames(first + second)] == ["store:1:0", "store:2:0"]
    assert [stream.closed for stream in streams] == [True, True, False]


# --- Video files ------------------------------------------------------------------------------------------------------


def make_video(path: Path, pictures: Sequence[Pixels], *encode: str) -> Path:
    """Encode pictures; lossless grey by default."""
    if FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    height, width = pictures[0].shape
    command = [FFMPEG, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", "10"]
    raw = b"".join(pixels.tobytes() for pixels in pictures)
    subprocess.run([*command, "-i", "-", *(encode or ("-c:v", "ffv1")), str(path)], input=raw, check=True, timeout=30)
    return path


def play_file(source: FrameSource) -> list[Frame | Gap]:
    items: list[Frame | Gap] = []
    with pytest.raises(EndOfSource):
        read_until(source, lambda came: bool(items.extend(came) or came.clear()))
    return items


@pytest.mark.real
@pytest.mark.parametrize("container", ["mkv", "avi", "mov"])
def test_a_lossless_video_gives_its_pixels_and_ends(container: str, tmp_path: Path, opened: Open) -> None:
    """Grey stays grey; every frame comes once, and then the source ends, again and again."""
    pictures = [picture(number) for number in range(7)]
    encode = ("-c:v", "png") if container == "mov" else ()
    path = make_video(tmp_path / f"a.{container}", pictures, *encode)
    source = make_source(path)
    opened(source)

    frames = only_frames(play_file(source))

    assert source.policy is Policy.LOSSLESS
    assert [frame.frame_id for frame in frames] == list(range(7))
    for frame, expected in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame.pixels, expected)
    assert (frames[5].captured_at - frames[0].captured_at).total_seconds() == pytest.approx(0.5)
    assert play_file(source) == []


@pytest.mark.real
def test_a_video_is_the_same_on_each_run(tmp_path: Path, opened: Open) -> None:
    """Identity and time come from the file, so a replay gives the same messages."""
    path = make_video(tmp_path / "a.mkv", [picture(number) for number in range(3)])
    runs = []
    for _ in range(2):
        source = make_source(path)
        opened(source)
        runs.append([(frame.identity, frame.captured_at) for frame in only_frames(play_file(source))])

    assert runs[0] == runs[1]
    assert runs[0][1][0] == f"a.mkv:{path.stat().st_size}:{path.stat().st_mtime_ns}:1"


@pytest.mark.real
def test_a_truncated_video_says_what_is_missing(tmp_path: Path, opened: Open) -> None:
    path = make_video(
        tmp_path / "a.avi", [np.random.default_rng(n).integers(0, 256, (48, 64), np.uint8) for n in range(20)]
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = make_source(path)
    opened(source)

    items = play_file(source)

    (gap,) = only_gaps(items)
    assert gap.cause is Cause.UNREADABLE
    assert len(only_frames(items)) + gap.frames == 20
    assert items[-1] is gap


PLAYLIST = "ffconcat version 1.0\nfile '{}'\n"
BAD_VIDEOS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello " * 100),
    "directory": lambda path: path.mkdir(),
    "FIFO": lambda path: os.mkfifo(path),
    "playlist of the network": lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_a_file_that_is_no_video_is_named(case: str, tmp_path: Path, opened: Open) -> None:
    BAD_VIDEOS[case](tmp_path / "a.mkv")
    source = make_source(tmp_path / "a.mkv")
    opened(source)

    for _ in range(2):
        with pytest.raises(SourceError, match=r"video file cannot be read: .*a\.mkv"):
            source.read()


@pytest.mark.real
def test_a_video_with_too_many_pixels_is_refused(tmp_path: Path, opened: Open) -> None:
    path = make_video(tmp_path / "a.mkv", [picture(1)])
    source = make_source(path, max_frame_px=1024)
    opened(source)

    with pytest.raises(SourceError, match="64x48"):
        source.read()


def test_ffmpeg_options_leave_the_environment_as_it_was(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "video_codec;x")
    (tmp_path / "a.mkv").write_bytes(b"x")
    source = make_source(tmp_path / "a.mkv")
    opened(source)
    with pytest.raises(SourceError):
        source.read()

    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "video_codec;x"


# --- Which camera -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["0", "7", "/dev/video42", "/dev/v4l/by-id/usb-none-video-index0"])
def test_a_device_that_is_absent_is_named(path: str, opened: Open) -> None:
    """V4L2 itself cannot be tested here: the kernel has no such device."""
    source = make_source(path)
    opened(source)

    assert source.policy is Policy.LIVE
    with pytest.raises(SourceError, match=r"camera is not there: /dev/v"):
        source.read()


@pytest.mark.parametrize("scheme", ["rtmp", "file", "udp", "concat", "ftp"])
def test_other_protocols_are_refused(scheme: str) -> None:
    with pytest.raises(ConfigError, match=rf"source\.path: .*{scheme}://"):
        make_source(f"{scheme}://127.0.0.1/x")


def test_a_query_is_not_shown() -> None:
    """Some cameras take their password there."""
    assert make_source("http://cam/video?user=a&pwd=secret").description == "http://cam/video?..."


# --- RTSP -------------------------------------------------------------------------------------------------------------


class RtspServer:
    """GStreamer's RTSP server, in a process that can be killed, stopped and started again."""

    def __init__(self, folder: Path, codec: str, login: str = "") -> None:
        self._command = [SYSTEM_PYTHON, str(Path(__file__).with_name("rtsp_server.py"))]
        self._rest = [str(folder), codec, "10", *([login] if login else [])]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, str(self.port), *self._rest], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture
def serve_rtsp(tmp_path: Path) -> Iterator[Callable[..., RtspServer]]:
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode:
        pytest.skip("no RTSP server: gir1.2-gst-rtsp-server-1.0 and python3-gi are not installed")
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number:05}.jpg"), cv2.merge([picture(number, 320, 240)] * 3))
    servers: list[RtspServer] = []

    def serve(codec: str, login: str = "") -> RtspServer:
        servers.append(RtspServer(tmp_path, codec, login))
        servers[-1].start()
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


@pytest.mark.real
@pytest.mark.timeout(40)
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_rtsp_camera_dies_hangs_and_comes_back(codec: str, serve_rtsp: Callable[..., RtspServer], opened: Open) -> None:
    """Frames in order and in time; dead at once, hung after one time-out, back in a new epoch."""
    server = serve_rtsp(codec)
    source = make_source(server.url, open_timeout_s=5, read_timeout_s=1)
    opened(source)

    frames = only_frames(read_items(source, 6))
    numbers = [number_of(frame) for frame in frames]
    assert all(later == (one + 1) % 20 for one, later in itertools.pairwise(numbers)), numbers
    took_s = frames[-1].captured_mono_s - frames[0].captured_mono_s
    assert 0.3 < took_s < 2.0  # five frames at 10 a second: no stale burst

    server.stop()
    down_s = time.monotonic()
    with pytest.raises(SourceError, match="stopped delivering"):
        read_until(source, lambda _: False, 3)
    assert time.monotonic() - down_s < 1
    with pytest.raises(SourceError, match="Connection refused"):
        source.read()

    server.start()
    again = only_frames(read_items(source, 1, patient=True))[0]
    assert (again.epoch, again.frame_id) == (2, 0)

    server.send_signal(signal.SIGSTOP)
    hung_s = time.monotonic()
    with pytest.raises(SourceError, match="stopped delivering"):
        read_until(source, lambda _: False, 5)
    assert time.monotonic() - hung_s < 2.5
    server.send_signal(signal.SIGCONT)
    assert only_frames(read_items(source, 1, patient=True))[0].epoch == 3


@pytest.mark.real
@pytest.mark.timeout(30)
def test_rtsp_login(serve_rtsp: Callable[..., RtspServer], tmp_path: Path, opened: Open) -> None:
    """Taken from the file, whatever characters it holds; refused and missing logins are told apart."""
    server = serve_rtsp("mjpeg", "line:p@ss/w%rd")
    (tmp_path / "login").write_text("line:p@ss/w%rd\n")
    (tmp_path / "wrong").write_text("line:other-secret\n")
    source = make_source(server.url, credentials_file=tmp_path / "login", open_timeout_s=5)
    opened(source)
    assert only_frames(read_items(source, 1))

    for login, words in {None: "it asks for a login", tmp_path / "wrong": "the login was refused"}.items():
        other = make_source(server.url, credentials_file=login)
        opened(other)
        with pytest.raises(SourceError, match=words) as caught:
            other.read()
        assert "secret" not in str(caught.value)


@pytest.mark.real
def test_rtsp_path_that_is_not_there(serve_rtsp: Callable[..., RtspServer], opened: Open) -> None:
    server = serve_rtsp("mjpeg")
    source = make_source(server.url + "2")
    opened(source)

    with pytest.raises(SourceError, match=r"cam2: RTSP/1\.0 404 Not Found"):
        source.read()


BASIC, DIGEST = 'Basic realm="cam"', 'Digest realm="cam", nonce="n1"'
LOGINS: dict[str, tuple[str | None, str, str]] = {
    "none, basic": (None, BASIC, "it asks for a login (source.credentials_file)"),
    "wrong, basic": ("line:other-secret", BASIC, "the login was refused"),
    "wrong, digest": ("line:other-secret", DIGEST, "the login was refused"),
    "right, basic": ("line:pä:ss", BASIC, "RTSP/1.0 503 Service Unavailable"),
    "right, digest": ("line:pä:ss", DIGEST, "RTSP/1.0 503 Service Unavailable"),
}


@pytest.mark.parametrize("case", LOGINS)
def test_a_camera_in_trouble_is_not_taken_for_a_wrong_login(case: str, tmp_path: Path, opened: Open) -> None:
    """A camera that asks for a login is asked once more with it: only a 401 to that is a refused login."""
    login, challenge, words = LOGINS[case]
    if login is not None:
        (tmp_path / "login").write_text(f"{login}\n", encoding="utf-8")

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def serve(connection: socket.socket, request: str) -> None:
        right = (
            base64.b64encode("line:pä:ss".encode()).decode(),
            md5(f"{md5('line:cam:pä:ss')}:n1:{md5(f'DESCRIBE:{url}')}"),
        )
        while request:
            if request.startswith("DESCRIBE") and not any(proof in request for proof in right):
                answer = f"401 Unauthorized\r\nWWW-Authenticate: {challenge}"
            else:
                answer = "503 Service Unavailable"
            connection.sendall(f"RTSP/1.0 {answer}\r\nCSeq: 1\r\n\r\n".encode())
            request = connection.recv(4096).decode()

    with HttpCamera(serve) as camera:
        url = camera.url.replace("http", "rtsp")
        source = make_source(url, credentials_file=tmp_path / "login" if login else None)
        opened(source)

        with pytest.raises(SourceError, match=re.escape(f"{url}: {words}")) as caught:
            source.read()
        assert "secret" not in str(caught.value)


# --- Motion JPEG from FFmpeg ------------------------------------------------------------------------------------------


@pytest.mark.real
def test_ffmpegs_own_multipart_stream(opened: Open) -> None:
    """A peer that is not ours: every frame of it decodes."""
    if FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    url = f"http://127.0.0.1:{free_port()}/cam.mjpg"
    make = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-f", "mpjpeg", "-listen", "1", url]
    server = subprocess.Popen([FFMPEG, "-v", "quiet", *make], stdin=subprocess.DEVNULL)
    try:
        source = make_source(url)
        opened(source)

        items = read_items(source, 10, patient=True)
    finally:
        server.kill()
        server.wait()

    assert len(only_frames(items)) == 10
    assert items[0].frame_id == 0
