"""Where lines come from: what is not there is named, a slow or silent writer is waited for, and no byte is dropped."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock
from lines_rig import FFMPEG_OUTPUT, LINES, WIDTH, Peer, join, make_lines_source, read_until_down, strip
from rigs import only_frames, read_items

from inspector.errors import ConfigError, SourceError
from inspector.sources.base import FrameSource
from inspector.sources.channel import Channel, Incoming

Open = Callable[[FrameSource], FrameSource]


def test_a_silent_writer_is_idle_and_not_down(peer: Peer, opened: Open) -> None:
    """`read` says None while the writer waits for it, and goes on in the middle of a line."""
    source = make_lines_source(peer.path)
    opened(source)
    begin, go_on, leave = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        with peer.connected() as send:
            send(strip(LINES).tobytes()[:333])
            begin.set()
            go_on.wait(10)
            send(strip(LINES).tobytes()[333:])
            leave.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    while not begin.is_set():
        with contextlib.suppress(SourceError):
            assert source.read() is None
    assert [source.read(), source.read()] == [None, None]
    go_on.set()

    (frame,) = only_frames(read_items(source, 1))
    np.testing.assert_array_equal(frame.pixels, strip(LINES))
    leave.set()
    thread.join()


@dataclass(frozen=True, slots=True)
class Dribble(Channel):
    """A writer of a byte every tenth of a second, by the clock of the test."""

    clock: FakeClock = field(default_factory=FakeClock)

    def read_into(self, view: memoryview) -> int | None:
        self.clock.advance(0.1)
        view[:1] = b"x"
        return 1


def test_a_trickle_is_answered_in_time(clock: FakeClock) -> None:
    """However slowly bytes come, whoever reads them gets an answer every half second."""
    incoming = Incoming(Dribble(-1, clock=clock), clock, threading.Event())
    begun_s = clock.monotonic()
    answers = [clock.monotonic() - begun_s for _ in incoming.read_into(memoryview(bytearray(17)))]

    assert answers == pytest.approx([0.5, 1.0, 1.5])


def test_a_slow_line_is_not_stuck(tmp_path: Path, opened: Open) -> None:
    """While bytes trickle in, `read` answers before the frame is there, and the frame comes whole in the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb", buffering=0) as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        source = make_lines_source("-")
        opened(source)
        enough = threading.Event()
        data = strip(LINES).tobytes()

        def trickle() -> None:
            for at in range(len(data)):
                ours.sendall(data[at : at + 1])
                enough.wait(0.01)

        thread = threading.Thread(target=trickle)
        thread.start()
        assert source.read() is None
        enough.set()
        (frame,) = only_frames(read_items(source, 1))
        thread.join()

    np.testing.assert_array_equal(frame.pixels, strip(LINES))


def test_a_reader_that_does_not_read_makes_the_writer_wait(peer: Peer, opened: Open) -> None:
    """Back-pressure: nothing is dropped, however late it is read."""
    pixels = np.resize(np.arange(251, dtype=np.uint8), (40_000, 400))
    source = make_lines_source(peer.path, width_px=400, frame_lines=1000, overlap_lines=0)
    opened(source)
    thread = peer.send(pixels.tobytes())
    first = only_frames(read_items(source, 1, patient=True))
    thread.join(0.3)
    assert thread.is_alive()

    rest = only_frames(read_until_down(source))
    thread.join()

    np.testing.assert_array_equal(np.concatenate([frame.pixels for frame in first + rest]), pixels)


def test_close_ends_a_waiting_read(peer: Peer) -> None:
    source = make_lines_source(peer.path)
    ended, connected = threading.Event(), threading.Event()
    release = threading.Event()

    def write() -> None:
        with contextlib.suppress(ConnectionError), peer.connected() as send:
            send(b"x")
            connected.set()
            release.wait(10)

    def read() -> None:
        while not ended.is_set():
            with contextlib.suppress(SourceError):
                if source.read() is None and closing.is_set():
                    ended.set()

    closing = threading.Event()
    writer, reader = threading.Thread(target=write), threading.Thread(target=read)
    writer.start()
    reader.start()
    assert connected.wait(5)
    source.close()
    source.close()
    closing.set()

    assert ended.wait(1.5)
    release.set()
    reader.join()
    writer.join()
    assert source.read() is None


@pytest.mark.real
@pytest.mark.parametrize("framing", FFMPEG_OUTPUT)
@pytest.mark.parametrize("way", ["fifo", "tcp", "unix", "file"])
def test_what_ffmpeg_writes(framing: str, way: str, tmp_path: Path, opened: Open) -> None:
    """The same pixels in each framing and over each way."""
    if (ffmpeg := shutil.which("ffmpeg")) is None:
        pytest.skip("ffmpeg is not installed")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    target = tmp_path / "out"
    path, output = {
        "fifo": (str(target), str(target)),
        "file": (str(target), str(target)),
        "tcp": (f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}?listen=1"),
        "unix": (f"unix://{target}", f"unix:{target}"),
    }[way]
    listen = ["-listen", "1"] if way == "unix" else []
    if way == "fifo":
        os.mkfifo(target)
    command = [ffmpeg, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{LINES}", "-i", "-"]
    process = subprocess.Popen([*command, *FFMPEG_OUTPUT[framing], *listen, output], stdin=subprocess.PIPE)
    feeder = threading.Thread(target=process.communicate, args=(strip(5 * LINES).tobytes(),))
    feeder.start()
    if way == "file":
        feeder.join()
    source = make_lines_source(path, format=framing, overlap_lines=0)
    opened(source)
    try:
        frames = only_frames(read_items(source, 5, patient=True))
    finally:
        source.close()
        feeder.join(5)
        process.kill()
        feeder.join()

    assert process.returncode == 0
    np.testing.assert_array_equal(join(frames), strip(5 * LINES))


READ_STDIN = """
import sys
from inspector.clock import SystemClock
from inspector.settings.source import LinesOptions
from inspector.sources.base import EndOfSource, SourceContext
from inspector.sources.lines import LinesSource

values = LinesOptions(path="-", width_px=40, frame_lines=20, overlap_lines=0)
source = LinesSource(values, SourceContext(SystemClock(), lambda: 1, "s"))
lines = 0
try:
    while True:
        item = source.read()
        lines += item.height_px if item else 0
except EndOfSource:
    source.close()
    sys.stdout.write(str(lines))
"""


@pytest.mark.parametrize("way", ["pipe", "file", "nothing"])
def test_standard_input_ends_the_source(way: str, tmp_path: Path) -> None:
    """A pipe and a redirected file alike."""
    data = b"" if way == "nothing" else strip(50).tobytes()
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as file:
        given: dict[str, Any] = {"stdin": file} if way == "file" else {"input": data}
        done = subprocess.run([sys.executable, "-c", READ_STDIN], capture_output=True, check=True, timeout=30, **given)

    assert done.stdout == (b"0" if way == "nothing" else b"50")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


ABSENT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no file": ("{}/lines", lambda path: None, "No such file"),
    "a folder": ("{}/lines", lambda path: path.mkdir(), "neither a FIFO nor a file"),
    "a device": ("/dev/zero", lambda path: None, "neither a FIFO nor a file"),
    "a socket as a path": ("{}/lines", make_socket, "write unix://"),
    "nobody writes": ("{}/lines", lambda path: os.mkfifo(path), "nobody writes to it"),
    "nobody listens on TCP": ("tcp://127.0.0.1:1", lambda path: None, "Connection refused"),
    "nobody listens on the socket": ("unix://{}/lines", make_socket, "Connection refused"),
    "no socket": ("unix://{}/lines", lambda path: None, "No such file"),
    "unknown host": ("tcp://nowhere.invalid:1", lambda path: None, "nowhere.invalid"),
}


@pytest.mark.parametrize("case", ABSENT)
def test_what_is_not_there_is_named(case: str, tmp_path: Path, opened: Open) -> None:
    """Again and again, without an epoch being spent."""
    path, make, words = ABSENT[case]
    make(tmp_path / "lines")
    path = path.format(tmp_path)
    epochs: list[int] = []
    source = make_lines_source(path)
    opened(source)

    for _ in range(2):
        with pytest.raises(SourceError, match=words) as caught:
            source.read()
        assert path.removeprefix("unix://") in str(caught.value)
    assert not epochs


@pytest.mark.parametrize("path", ["http://host:80/x", "tcp://host", "tcp://:80", "unix://", "udp://h:1"])
def test_an_address_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"source\.path"):
        make_lines_source(path)
