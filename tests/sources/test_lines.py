"""Line streams: every line once and in its place, whenever writers come and go and whenever the source is closed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from lines_rig import (
    FFMPEG_OUTPUT,
    FORMATS,
    LINES,
    OVERLAP,
    WIDTH,
    Peer,
    join,
    make_lines_source,
    read_until_down,
    strip,
)
from rigs import make_context, only_frames, only_gaps, play, read_items

from inspector.errors import ConfigError, SourceError
from inspector.frame import Frame, Gap
from inspector.settings.source import CameraOptions, LinesOptions
from inspector.sources.base import FrameSource
from inspector.sources.camera import open_camera
from inspector.sources.lines import LinesSource

Open = Callable[[FrameSource], FrameSource]


def test_a_file_is_the_same_on_each_run(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "a.raw").write_bytes(strip(50).tobytes())
    runs = []
    for _ in range(2):
        source = make_lines_source(tmp_path / "a.raw")
        opened(source)
        runs.append([(frame.identity, frame.captured_at) for frame in only_frames(play(source))])

    assert runs[0] == runs[1]
    assert runs[0][1][0].startswith(f"a.raw:{50 * WIDTH}:")
    assert runs[0][1][0].endswith(":14")


def test_a_reconnect_in_mid_line_never_shears_the_picture(peer: Peer, opened: Open) -> None:
    """Each writer is an epoch of its own, from line 0; the broken line of the first is a gap."""
    source = make_lines_source(peer.path)
    opened(source)
    items: list[Frame | Gap] = []
    for number in range(3):
        thread = peer.send(strip(30, first=100 * number).tobytes() + b"broken"[: 2 * number])
        items += read_until_down_patiently(source, number + 1)
        thread.join()

    for number in range(3):
        epoch = [item for item in items if item.epoch == number + 1]
        frames = only_frames(epoch)
        np.testing.assert_array_equal(join(frames), strip(30, first=100 * number))
        assert [frame.complete for frame in frames] == [True, False]
        assert len(only_gaps(epoch)) == (number > 0)
    assert len({frame.identity for frame in only_frames(items)}) == 6


def read_until_down_patiently(source: FrameSource, epoch: int) -> list[Frame | Gap]:
    """Read until the writer of an epoch has gone; before it came the source may have been down."""
    items: list[Frame | Gap] = []
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            item = source.read()
        except SourceError:
            if items and items[-1].epoch == epoch:
                return items
            continue
        if item is not None:
            items.append(item)
    raise AssertionError(f"epoch {epoch} did not end: {items}")


def test_a_malformed_stream_sends_its_writer_away(tmp_path: Path, opened: Open) -> None:
    """A FIFO is closed, too: what follows in it makes no sense, and the writer learns of it."""
    peer = Peer("fifo", tmp_path)
    source = make_lines_source(peer.path, format="pgm")
    opened(source)
    refused = threading.Event()

    def write() -> None:
        try:
            with peer.connected() as send:
                while True:
                    send(b"P7" + bytes(5000))
        except BrokenPipeError:
            refused.set()

    thread = threading.Thread(target=write)
    thread.start()
    read_until_down_at(source, "begins with 'P5'")

    assert refused.wait(5)
    thread.join()


def read_until_down_at(source: FrameSource, words: str) -> None:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        try:
            source.read()
        except SourceError as exc:
            if words in str(exc):
                return
    raise AssertionError(f"not said: {words}")


def test_a_dead_connection_keeps_its_whole_lines(opened: Open) -> None:
    """A reset, as from a grabber that was switched off, is an end like another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = make_lines_source(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        opened(source)

        def write() -> None:
            connection, _ = listener.accept()
            connection.sendall(strip(25).tobytes())
            got.wait(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        got = threading.Event()
        thread = threading.Thread(target=write)
        thread.start()
        first = only_frames(read_items(source, 1))
        assert source.read() is None  # the other five lines are in
        got.set()
        rest = read_until_down(source, "reset")
        thread.join()

    np.testing.assert_array_equal(join(first + only_frames(rest)), strip(25))


@pytest.mark.parametrize("case", FORMATS)
def test_lines_wait_while_no_epoch_can_be_had(case: str, peer: Peer, opened: Open) -> None:
    """While the store refuses an epoch the source is down; then every line comes, the first ones too, unsheared."""
    values, encode = FORMATS[case]
    epochs = iter([None, None, 1])

    def next_epoch() -> int:
        if (epoch := next(epochs)) is None:
            raise SourceError("the store refuses: disk full")
        return epoch

    shape = {"width_px": WIDTH, "frame_lines": LINES, "overlap_lines": OVERLAP}
    source = LinesSource(
        LinesOptions(path=peer.path, **(shape | values)), replace(make_context(), next_epoch=next_epoch)
    )
    opened(source)
    thread = peer.send(encode(strip(34)))
    refused: list[str] = []
    while len(refused) < 2:
        try:
            assert source.read() is None
        except SourceError as exc:
            refused += ["disk full"] * ("disk full" in str(exc))
    frames = only_frames(read_until_down(source))
    thread.join()

    np.testing.assert_array_equal(join(frames), strip(34))
    assert {frame.epoch for frame in frames} == {1}


def closing_source(path: str) -> LinesSource:
    """A source that is closed as soon as the first bytes of its stream are there, in the middle of a read."""

    def next_epoch() -> int:
        source.close()
        return 1

    values = LinesOptions(path=path, width_px=100, frame_lines=LINES, overlap_lines=OVERLAP)
    source = LinesSource(values, replace(make_context(), next_epoch=next_epoch))
    return source


def test_whole_lines_that_came_before_the_source_is_closed_are_a_last_frame(peer: Peer) -> None:
    """A stop or reload in the middle of a frame loses no line that was read, as no writer sends it again."""
    source = closing_source(peer.path)
    leave = threading.Event()

    def write() -> None:
        with peer.connected() as send:
            send(strip(7, 100).tobytes() + b"half a line")
            leave.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    (frame,) = only_frames(read_items(source, 1, 3, patient=True))
    leave.set()
    thread.join()

    np.testing.assert_array_equal(frame.pixels, strip(7, 100))
    assert not frame.complete
    assert source.read() is None


@pytest.mark.parametrize("format_", ["mono8", "pgm"])
def test_whole_lines_of_a_silent_writer_are_a_last_frame_at_close(peer: Peer, format_: Literal["mono8", "pgm"]) -> None:
    """The writer pauses in the middle of a frame when the stop comes: what was read is inspected all the same."""
    values = LinesOptions(path=peer.path, format=format_, width_px=100, frame_lines=LINES, overlap_lines=OVERLAP)
    source = LinesSource(values, make_context())
    leave = threading.Event()
    header = b"P5\n100 2000\n255\n" if format_ == "pgm" else b""

    def write() -> None:
        with peer.connected() as send:
            send(header + strip(7, 100).tobytes())
            leave.wait(20)

    thread = threading.Thread(target=write)
    thread.start()
    items: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with contextlib.suppress(SourceError):
                items.append(source.read())
            if items.count(None) >= 3:  # it waits, its lines in hand
                waiting.set()

    waiting = threading.Event()
    reader = threading.Thread(target=read)
    reader.start()
    assert waiting.wait(10)
    source.close()
    done.set()
    reader.join()
    leave.set()
    thread.join()

    (frame,) = [item for item in items if isinstance(item, Frame)]
    np.testing.assert_array_equal(frame.pixels, strip(7, 100))


def test_a_file_that_is_closed_gives_no_short_frame(tmp_path: Path) -> None:
    """It is read again at the next start, under the same identities: a short frame would stand for the whole one."""
    (tmp_path / "a").write_bytes(strip(50, 100).tobytes())
    source = closing_source(str(tmp_path / "a"))

    (frame,) = only_frames(read_items(source, 1))

    assert (frame.height_px, frame.complete) == (LINES, True)
    assert source.read() is None


@pytest.mark.real
@pytest.mark.data
def test_a_lossless_video_and_its_lines_hold_the_same_pixels(tmp_path: Path, opened: Open) -> None:
    """NEU pictures as a video file, and the same through FFmpeg as lines: the same frames, byte for byte."""
    folder, ffmpeg = os.environ.get("INSPECTOR_TEST_DATA"), shutil.which("ffmpeg")
    if not folder or ffmpeg is None:
        pytest.skip("INSPECTOR_TEST_DATA is not set, or ffmpeg is not installed")
    paths = sorted(Path(folder, "neu-det").rglob("*.jpg"))[::150]
    pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8) for path in paths]
    raw = b"".join(pixels.tobytes() for pixels in pictures)
    command = [
        ffmpeg,
        "-y",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        "200x200",
        "-r",
        "10",
        "-i",
        "-",
    ]
    subprocess.run([*command, "-c:v", "ffv1", str(tmp_path / "a.mkv")], input=raw, check=True, timeout=30)
    video = open_camera(CameraOptions(path=str(tmp_path / "a.mkv"), independent=True), make_context())
    opened(video)
    frames = only_frames(play(video))

    os.mkfifo(tmp_path / "fifo")
    decode = [ffmpeg, "-y", "-v", "error", "-i", str(tmp_path / "a.mkv"), *FFMPEG_OUTPUT["y4m"], str(tmp_path / "fifo")]
    process = subprocess.Popen(decode)
    lines = make_lines_source(
        tmp_path / "fifo", format="y4m", width_px=200, frame_lines=200, overlap_lines=0, independent=True
    )
    opened(lines)
    through_lines = only_frames(read_items(lines, len(pictures), patient=True))
    assert process.wait(10) == 0

    assert len(frames) == len(pictures)
    for one, other, expected in zip(frames, through_lines, pictures, strict=True):
        np.testing.assert_array_equal(one.pixels, expected)
        np.testing.assert_array_equal(other.pixels, expected)


def test_a_frame_over_the_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="20x65536"):
        make_lines_source("-", width_px=65_536, max_frame_px=1_000_000)
