"""Line streams: every line once and in its place, however the bytes arrive and whenever the stream breaks."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rigs import make_context, only_frames, only_gaps, read_items, read_until

from inspector.errors import ConfigError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.settings.sections import Source
from inspector.sources.base import EndOfSource, FrameSource, Policy
from inspector.sources.camera import open_camera
from inspector.sources.lines import LinesSource

Open = Callable[[FrameSource], FrameSource]
WIDTH, LINES, OVERLAP = 40, 20, 6


def make_source(path: str | Path, **values: Any) -> LinesSource:
    shape = {"width_px": WIDTH, "frame_lines": LINES, "overlap_lines": OVERLAP}
    return LinesSource(Source(kind="lines", path=str(path), **(shape | values)), make_context())


def strip(lines: int, width: int = WIDTH, first: int = 0) -> Pixels:
    """Lines that can be told apart: no two within 256 x 16 are equal, nor is any row a shifted other one."""
    number = np.arange(first, first + lines)[:, None]
    pixels = (np.arange(width)[None, :] * 7 + number * 3) % 251
    pixels[:, 0], pixels[:, 1] = number[:, 0] % 256, number[:, 0] // 256
    return pixels.astype(np.uint8)


def pgm(pixels: Pixels, header: str = "P5\n{} {}\n255\n") -> bytes:
    height, width = pixels.shape
    return header.format(width, height).encode() + pixels.tobytes()


def y4m(pixels: Pixels, height: int, chroma: str = "Cmono") -> bytes:
    width = pixels.shape[1]
    colour = b"" if chroma == "Cmono" else bytes([7]) * (2 * ((width + 1) // 2) * ((height + 1) // 2))
    parts = [f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 {chroma} XCOLORRANGE=FULL\n".encode()]
    parts += [b"FRAME\n" + pixels[top : top + height].tobytes() + colour for top in range(0, len(pixels), height)]
    return b"".join(parts)


def play(source: FrameSource) -> list[Frame | Gap]:
    """Read to the end of a file."""
    items: list[Frame | Gap] = []
    with pytest.raises(EndOfSource):
        read_until(source, lambda came: bool(items.extend(came) or came.clear()))
    return items


def read_until_down(source: FrameSource, words: str = "the stream ended") -> list[Frame | Gap]:
    items: list[Frame | Gap] = []
    with pytest.raises(SourceError, match=words):
        read_until(source, lambda came: bool(items.extend(came) or came.clear()))
    return items


def join(frames: Sequence[Frame]) -> Pixels:
    """Put frames together by their line numbers, demanding that overlaps agree and nothing is left out."""
    lines: dict[int, Pixels] = {}
    for frame in frames:
        assert frame.first_line is not None
        for number, row in enumerate(frame.pixels, frame.first_line):
            if number in lines:
                assert number < frame.first_line + frame.overlap_lines
                np.testing.assert_array_equal(lines[number], row)
            lines[number] = row
    assert sorted(lines) == list(range(len(lines)))
    return np.array([lines[number] for number in range(len(lines))], np.uint8)


# --- Files: what becomes of the lines ---------------------------------------------------------------------------------

FORMATS: dict[str, tuple[dict[str, Any], Callable[[Pixels], bytes]]] = {
    "raw": ({}, lambda pixels: pixels.tobytes()),
    "one PGM": ({"format": "pgm"}, pgm),
    "PGM line by line": ({"format": "pgm"}, lambda pixels: b"".join(pgm(row[None]) for row in pixels)),
    "PGM of 7 lines": ({"format": "pgm"}, lambda p: b"".join(pgm(p[top : top + 7]) for top in range(0, len(p), 7))),
    "PGM with comments": (
        {"format": "pgm", "width_px": None},
        lambda pixels: pgm(pixels, "P5 # by a grabber\n# {}\n{}\t\n #x\n{}\n255\r".replace("{}", "8", 1)),
    ),
    "Y4M mono": ({"format": "y4m"}, lambda pixels: y4m(pixels, 1)),
    "Y4M mono, unknown width": ({"format": "y4m", "width_px": None}, lambda pixels: y4m(pixels, len(pixels))),
    "Y4M 4:2:0": ({"format": "y4m"}, lambda pixels: y4m(pixels, len(pixels), "C420jpeg")),
}


@pytest.mark.parametrize("case", FORMATS)
@pytest.mark.parametrize("lines", [20, 34, 48, 5, 27])
def test_every_line_comes_once_and_in_its_place(case: str, lines: int, tmp_path: Path, opened: Open) -> None:
    """Full frames overlap as set; the last one may be shorter, and holds new lines."""
    values, encode = FORMATS[case]
    (tmp_path / "a").write_bytes(encode(strip(lines)))
    source = make_source(tmp_path / "a", **values)
    opened(source)

    frames = only_frames(play(source))

    np.testing.assert_array_equal(join(frames), strip(lines))
    step = LINES - OVERLAP
    assert [frame.first_line for frame in frames] == [number * step for number in range(len(frames))]
    assert [frame.overlap_lines for frame in frames] == [0, *[OVERLAP] * (len(frames) - 1)]
    assert [frame.frame_id for frame in frames] == list(range(len(frames)))
    assert [frame.complete for frame in frames] == [frame.height_px == LINES for frame in frames]
    assert all(frame.height_px > frame.overlap_lines for frame in frames)
    assert source.policy is Policy.LOSSLESS


def test_a_file_is_the_same_on_each_run(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "a.raw").write_bytes(strip(50).tobytes())
    runs = []
    for _ in range(2):
        source = make_source(tmp_path / "a.raw")
        opened(source)
        runs.append([(frame.identity, frame.captured_at) for frame in only_frames(play(source))])

    assert runs[0] == runs[1]
    assert runs[0][1][0].startswith(f"a.raw:{50 * WIDTH}:")
    assert runs[0][1][0].endswith(":14")


def test_frames_without_overlap_are_the_pictures_of_the_stream(tmp_path: Path, opened: Open) -> None:
    """So that a video and its lines give the same defects."""
    (tmp_path / "a").write_bytes(y4m(strip(60), LINES))
    source = make_source(tmp_path / "a", format="y4m", overlap_lines=0, independent=True)
    opened(source)

    frames = only_frames(play(source))

    assert [frame.height_px for frame in frames] == [LINES] * 3
    assert all(frame.independent and frame.complete and not frame.overlap_lines for frame in frames)
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels, strip(LINES, first=number * LINES))


CUT: dict[str, tuple[dict[str, Any], bytes, int, str]] = {
    "in a raw line": ({}, strip(30).tobytes() + b"abc", 30, "in a line after 3 bytes"),
    "in the first line": ({}, b"abc", 0, "in a line after 3 bytes"),
    "in a line of the overlap's frame": ({}, strip(20).tobytes() + b"abc", 20, "in a line after 3 bytes"),
    "in a PGM": ({"format": "pgm"}, pgm(strip(30))[:-5], 29, "in a picture after 29 of 30 lines"),
    "between two lines of a PGM": ({"format": "pgm"}, pgm(strip(30))[:-WIDTH], 29, "after 29 of 30 lines"),
    "in a PGM header": ({"format": "pgm"}, pgm(strip(30)) + b"P5\n40 3", 30, "in a PGM header"),
    "in the colour of Y4M": ({"format": "y4m"}, y4m(strip(30), 30, "C420jpeg")[:-5], 30, "in the colour"),
    "in a Y4M frame header": ({"format": "y4m"}, y4m(strip(30), 30) + b"FRA", 30, "in a header"),
}


@pytest.mark.parametrize("case", CUT)
def test_a_stream_that_stops_in_the_middle_gives_its_whole_lines(case: str, tmp_path: Path, opened: Open) -> None:
    """Never a line that was made up, and what is missing is said."""
    values, data, lines, words = CUT[case]
    (tmp_path / "a").write_bytes(data)
    source = make_source(tmp_path / "a", **values)
    opened(source)

    *frames, gap = play(source)

    np.testing.assert_array_equal(join(only_frames(frames)).reshape(-1, WIDTH), strip(lines))
    assert isinstance(gap, Gap)
    assert gap.cause is Cause.PARTIAL
    assert words in gap.detail


def with_size(width: int, height: int) -> bytes:
    return f"P5 {width} {height} 255\n".encode()


MALFORMED: dict[str, tuple[dict[str, Any], bytes, int, str]] = {
    "not PGM": ({"format": "pgm"}, b"P6\n40 1\n255\n" + bytes(120), 0, "begins with 'P5': b'P6'"),
    "raw lines for PGM": ({"format": "pgm"}, strip(3).tobytes(), 0, "begins with 'P5'"),
    "PGM of 16 bits": ({"format": "pgm"}, b"P5\n40 1\n65535\n" + bytes(80), 0, "maximum of 255 is expected: 65535"),
    "PGM of another width": ({"format": "pgm"}, pgm(strip(3)) + with_size(39, 2), 3, "40 pixels are expected: 39"),
    "PGM of a wrong width": ({"format": "pgm"}, with_size(39, 2), 0, "40 pixels are expected: 39"),
    "PGM without pixels": ({"format": "pgm"}, with_size(0, 2), 0, "0x2"),
    "PGM too wide": ({"format": "pgm", "width_px": None}, with_size(70_000, 2), 0, "70000x2"),
    "PGM with words": ({"format": "pgm"}, b"P5 forty 3 255\n", 0, "a number is expected"),
    "PGM with an endless header": ({"format": "pgm"}, b"P5" + b" " * 2000, 0, "a number is expected"),
    "PGM over the limit": ({"format": "pgm", "width_px": None, "max_frame_px": 2000}, with_size(200, 1), 0, "20x200"),
    "not Y4M": ({"format": "y4m"}, b"RIFF\n", 0, "begins with 'YUV4MPEG2': b'RIFF'"),
    "Y4M of 10 bits": ({"format": "y4m"}, b"YUV4MPEG2 W40 H2 C420p10\n", 0, "C420p10"),
    "Y4M without size": ({"format": "y4m"}, b"YUV4MPEG2 F25:1\n", 0, "pixels a line is expected"),
    "Y4M of another width": ({"format": "y4m"}, y4m(strip(2, 42), 1), 0, "40 pixels are expected: 42"),
    "Y4M with a lost frame header": ({"format": "y4m"}, y4m(strip(3), 3) + b"oops\n", 3, "begins with 'FRAME'"),
    "Y4M with an endless header": ({"format": "y4m"}, b"x" * 2000, 0, "at most 1024 bytes"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_stream_is_an_error_that_says_what_was_expected(case: str, tmp_path: Path, opened: Open) -> None:
    """The lines before it are kept."""
    values, data, lines, words = MALFORMED[case]
    (tmp_path / "a").write_bytes(data)
    source = make_source(tmp_path / "a", **values)
    opened(source)

    items = read_until_down(source, words)

    assert sum(frame.height_px for frame in only_frames(items)) == lines
    with pytest.raises(SourceError, match=str(tmp_path / "a")):
        read_until(source, lambda _: False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.integers(0, 70),
    spare=st.integers(0, WIDTH - 1),
    frame_lines=st.integers(16, 24),
    overlap=st.integers(0, 15),
    cuts=st.lists(st.integers(1, 3 * WIDTH), max_size=30),
)
def test_lines_do_not_depend_on_how_the_bytes_arrive(
    lines: int, spare: int, frame_lines: int, overlap: int, cuts: list[int]
) -> None:
    """Whatever the shape, overlap and division of the stream: the same strip, and a gap if a line is broken."""
    data = strip(lines).tobytes() + bytes(spare)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        source = make_source("-", frame_lines=frame_lines, overlap_lines=overlap)
        with pytest.MonkeyPatch.context() as patch, contextlib.closing(source):
            patch.setattr(sys, "stdin", theirs.makefile("rb", buffering=0))
            items: list[Frame | Gap] = []
            at = 0
            for cut in [*cuts, len(data)]:
                ours.sendall(data[at : at + cut])
                at += cut
                if cut == len(data):
                    ours.shutdown(socket.SHUT_WR)
                    items += play(source)
            sys.stdin.close()

    frames = only_frames(items)
    assert sum(frame.height_px - frame.overlap_lines for frame in frames) == lines
    if frames:
        np.testing.assert_array_equal(join(frames), strip(lines))
    assert bool(only_gaps(items)) == bool(spare)


# --- FIFOs and sockets: writers come and go ---------------------------------------------------------------------------


class Peer:
    """A writer that connects, or is connected to, as often as it likes."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._listener: socket.socket | None = None
        if kind == "fifo":
            os.mkfifo(folder / "lines")
            self.path = str(folder / "lines")
        elif kind == "tcp":
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.path = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(folder / "lines"))
            self._listener.listen()
            self.path = f"unix://{folder / 'lines'}"

    @contextlib.contextmanager
    def connected(self) -> Iterator[Callable[[bytes], None]]:
        """Open a stream to the reader; yields what sends bytes."""
        if self._listener is None:
            with Path(self.path).open("wb", buffering=0) as file:
                yield lambda data: self._write_all(file, data)
        else:
            connection, _ = self._listener.accept()
            with connection:
                yield connection.sendall

    @staticmethod
    def _write_all(file: Any, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def send(self, data: bytes) -> threading.Thread:
        """Connect, send and go, on another thread."""

        def run() -> None:
            with contextlib.suppress(ConnectionError), self.connected() as write:
                write(data)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()


@pytest.fixture(params=["fifo", "tcp", "unix"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(request.param, tmp_path)
    yield peer
    peer.close()


def test_a_reconnect_in_mid_line_never_shears_the_picture(peer: Peer, opened: Open) -> None:
    """Each writer is an epoch of its own, from line 0; the broken line of the first is a gap."""
    source = make_source(peer.path)
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


def test_a_silent_writer_is_idle_and_not_down(peer: Peer, opened: Open) -> None:
    """`read` says None in time, and goes on in the middle of a line."""
    source = make_source(peer.path)
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
    started_s = time.monotonic()
    assert [source.read(), source.read()] == [None, None]
    assert time.monotonic() - started_s < 2
    go_on.set()

    (frame,) = only_frames(read_items(source, 1))
    np.testing.assert_array_equal(frame.pixels, strip(LINES))
    leave.set()
    thread.join()


def test_a_slow_line_is_not_stuck(tmp_path: Path, opened: Open) -> None:
    """While bytes trickle in, `read` answers in time, and the frame comes whole in the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb", buffering=0) as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        source = make_source("-")
        opened(source)
        enough = threading.Event()
        data = strip(LINES).tobytes()

        def trickle() -> None:
            for at in range(len(data)):
                ours.sendall(data[at : at + 1])
                enough.wait(0.01)

        thread = threading.Thread(target=trickle)
        thread.start()
        started_s = time.monotonic()
        assert source.read() is None
        assert time.monotonic() - started_s < 1.5
        enough.set()
        (frame,) = only_frames(read_items(source, 1))
        thread.join()

    np.testing.assert_array_equal(frame.pixels, strip(LINES))


def test_a_reader_that_does_not_read_makes_the_writer_wait(peer: Peer, opened: Open) -> None:
    """Back-pressure: nothing is dropped, however late it is read."""
    pixels = np.resize(np.arange(251, dtype=np.uint8), (40_000, 400))
    source = make_source(peer.path, width_px=400, frame_lines=1000, overlap_lines=0)
    opened(source)
    thread = peer.send(pixels.tobytes())
    first = only_frames(read_items(source, 1, patient=True))
    thread.join(0.3)
    assert thread.is_alive()

    rest = only_frames(read_until_down(source))
    thread.join()

    np.testing.assert_array_equal(np.concatenate([frame.pixels for frame in first + rest]), pixels)


def test_close_ends_a_waiting_read(peer: Peer) -> None:
    source = make_source(peer.path)
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


def test_a_malformed_stream_sends_its_writer_away(tmp_path: Path, opened: Open) -> None:
    """A FIFO is closed, too: what follows in it makes no sense, and the writer learns of it."""
    peer = Peer("fifo", tmp_path)
    source = make_source(peer.path, format="pgm")
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
        source = make_source(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
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
        Source(kind="lines", path=peer.path, **(shape | values)), replace(make_context(), next_epoch=next_epoch)
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

    values = Source(kind="lines", path=path, width_px=100, frame_lines=LINES, overlap_lines=OVERLAP)
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
def test_whole_lines_of_a_silent_writer_are_a_last_frame_at_close(peer: Peer, format_: str) -> None:
    """The writer pauses in the middle of a frame when the stop comes: what was read is inspected all the same."""
    values = Source(
        kind="lines", path=peer.path, format=format_, width_px=100, frame_lines=LINES, overlap_lines=OVERLAP
    )
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


# --- Real programs ----------------------------------------------------------------------------------------------------

FFMPEG_OUTPUT = {
    "mono8": ["-f", "rawvideo", "-pix_fmt", "gray"],
    "pgm": ["-f", "image2pipe", "-c:v", "pgm", "-pix_fmt", "gray"],
    "y4m": ["-f", "yuv4mpegpipe", "-pix_fmt", "gray", "-strict", "-1"],
}


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
    source = make_source(path, format=framing, overlap_lines=0)
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
    video = open_camera(Source(kind="camera", path=str(tmp_path / "a.mkv"), independent=True), make_context())
    opened(video)
    frames = only_frames(play(video))

    os.mkfifo(tmp_path / "fifo")
    decode = [ffmpeg, "-y", "-v", "error", "-i", str(tmp_path / "a.mkv"), *FFMPEG_OUTPUT["y4m"], str(tmp_path / "fifo")]
    process = subprocess.Popen(decode)
    lines = make_source(
        tmp_path / "fifo", format="y4m", width_px=200, frame_lines=200, overlap_lines=0, independent=True
    )
    opened(lines)
    through_lines = only_frames(read_items(lines, len(pictures), patient=True))
    assert process.wait(10) == 0

    assert len(frames) == len(pictures)
    for one, other, expected in zip(frames, through_lines, pictures, strict=True):
        np.testing.assert_array_equal(one.pixels, expected)
        np.testing.assert_array_equal(other.pixels, expected)


READ_STDIN = """
import sys
from inspector.clock import SystemClock
from inspector.settings.sections import Source
from inspector.sources.base import EndOfSource, SourceContext
from inspector.sources.lines import LinesSource

values = Source(kind="lines", path="-", width_px=40, frame_lines=20, overlap_lines=0)
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
        given = {"stdin": file} if way == "file" else {"input": data}
        done = subprocess.run([sys.executable, "-c", READ_STDIN], capture_output=True, check=True, timeout=30, **given)

    assert done.stdout == (b"0" if way == "nothing" else b"50")


# --- What is not there ------------------------------------------------------------------------------------------------


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
    source = make_source(path)
    opened(source)

    for _ in range(2):
        with pytest.raises(SourceError, match=words) as caught:
            source.read()
        assert path.removeprefix("unix://") in str(caught.value)
    assert not epochs


@pytest.mark.parametrize("path", ["http://host:80/x", "tcp://host", "tcp://:80", "unix://", "udp://h:1"])
def test_an_address_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"source\.path"):
        make_source(path)


def test_a_frame_over_the_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="20x65536"):
        make_source("-", width_px=65_536, max_frame_px=1_000_000)
