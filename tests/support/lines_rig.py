"""Lines that can be told apart, in every framing, and writers that come and go."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rigs import make_context, read_to

from inspector.errors import SourceError
from inspector.frame import Frame, Gap, Pixels
from inspector.settings.source import LinesOptions
from inspector.sources.base import FrameSource
from inspector.sources.lines import LinesSource

WIDTH, LINES, OVERLAP = 40, 20, 6


def make_lines_source(path: str | Path, **values: Any) -> LinesSource:
    shape = {"width_px": WIDTH, "frame_lines": LINES, "overlap_lines": OVERLAP}
    return LinesSource(LinesOptions(path=str(path), **(shape | values)), make_context())


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


def read_until_down(source: FrameSource, words: str = "the stream ended") -> list[Frame | Gap]:
    return read_to(source, SourceError, words)


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


FFMPEG_OUTPUT = {
    "mono8": ["-f", "rawvideo", "-pix_fmt", "gray"],
    "pgm": ["-f", "image2pipe", "-c:v", "pgm", "-pix_fmt", "gray"],
    "y4m": ["-f", "yuv4mpegpipe", "-pix_fmt", "gray", "-strict", "-1"],
}
