"""Streams that OpenCV opens: a camera that dies or hangs is down at once, and comes back fresh."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from rigs import free_port, make_camera, number_of, only_frames, picture, read_items, read_until

from inspector.errors import SourceError
from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


SYSTEM_PYTHON = "/usr/bin/python3"


class RtspServer:
    """GStreamer's RTSP server, in a process that can be killed, stopped and started again."""

    def __init__(self, folder: Path, codec: str, login: str = "") -> None:
        self._command = [SYSTEM_PYTHON, str(Path(__file__).parents[1] / "support" / "rtsp_server.py")]
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


def seconds_until_down(source: FrameSource) -> float:
    begun_s = time.monotonic()
    with pytest.raises(SourceError, match="stopped delivering"):
        read_until(source, lambda _: False)
    return time.monotonic() - begun_s


@pytest.mark.real
@pytest.mark.timeout(40)
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_rtsp_camera_dies_hangs_and_comes_back(codec: str, serve_rtsp: Callable[..., RtspServer], opened: Open) -> None:
    """Frames in order and in time; dead before a time-out, hung after one and not two, back in a new epoch."""
    server = serve_rtsp(codec)
    read_timeout_s = 2.0
    source = make_camera(server.url, open_timeout_s=5, read_timeout_s=read_timeout_s)
    opened(source)

    frames = only_frames(read_items(source, 6))
    numbers = [number_of(frame) for frame in frames]
    assert all(later == (one + 1) % 20 for one, later in itertools.pairwise(numbers)), numbers
    took_s = frames[-1].captured_mono_s - frames[0].captured_mono_s
    assert took_s > 0.3  # five frames at 10 a second: no stale burst

    server.stop()
    died_s = seconds_until_down(source)
    with pytest.raises(SourceError, match="Connection refused"):
        source.read()

    server.start()
    again = only_frames(read_items(source, 1, patient=True))[0]
    assert (again.epoch, again.frame_id) == (2, 0)

    server.send_signal(signal.SIGSTOP)
    hung_s = seconds_until_down(source)
    assert died_s < hung_s < 2.5 * read_timeout_s  # of MJPEG, FFmpeg waits out the silence twice
    server.send_signal(signal.SIGCONT)
    assert only_frames(read_items(source, 1, patient=True))[0].epoch == 3


@pytest.mark.real
@pytest.mark.timeout(60)
def test_a_camera_with_rare_keyframes_is_no_dead_camera(serve_rtsp: Callable[..., RtspServer], opened: Open) -> None:
    """The first frame may take as long as a keyframe does, the next one only its own time-out; twice in one stream."""
    server = serve_rtsp("h264-rare")
    first = make_camera(server.url, open_timeout_s=10, read_timeout_s=1)
    opened(first)
    assert len(only_frames(read_items(first, 15))) == 15

    late = make_camera(server.url, open_timeout_s=10, read_timeout_s=1)  # comes between two keyframes
    opened(late)
    assert len(only_frames(read_items(late, 5, timeout_s=30))) == 5


@pytest.mark.real
@pytest.mark.timeout(30)
def test_rtsp_login(serve_rtsp: Callable[..., RtspServer], tmp_path: Path, opened: Open) -> None:
    """Taken from the file, whatever characters it holds; refused and missing logins are told apart."""
    server = serve_rtsp("mjpeg", "line:p@ss/w%rd")
    (tmp_path / "login").write_text("line:p@ss/w%rd\n")
    (tmp_path / "wrong").write_text("line:other-secret\n")
    source = make_camera(server.url, credentials_file=tmp_path / "login", open_timeout_s=5)
    opened(source)
    assert only_frames(read_items(source, 1))

    for login, words in {None: "it asks for a login", tmp_path / "wrong": "the login was refused"}.items():
        other = make_camera(server.url, credentials_file=login)
        opened(other)
        with pytest.raises(SourceError, match=words) as caught:
            other.read()
        assert "secret" not in str(caught.value)


@pytest.mark.real
def test_rtsp_path_that_is_not_there(serve_rtsp: Callable[..., RtspServer], opened: Open) -> None:
    server = serve_rtsp("mjpeg")
    source = make_camera(server.url + "2")
    opened(source)

    with pytest.raises(SourceError, match=r"cam2: RTSP/1\.0 404 Not Found"):
        source.read()
