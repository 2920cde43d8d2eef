"""Where the stream goes: raw lines, stills in a folder, or a video file."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import cv2
import numpy as np

from inspector.frame import Pixels
from inspector.simulate.order import Order, OrderError

OPTION = "--output"
CODECS = {".avi": "FFV1", ".mkv": "FFV1", ".mp4": "mp4v"}
"""By suffix; the first two lose nothing."""
FRAMES_PER_S = 25.0


class Output(Protocol):
    """What lines are written to."""

    paced: bool
    """Whether somebody reads along, so that time counts."""

    def write(self, pixels: Pixels) -> None:
        """Take the next lines.

        Raises:
            OSError: They cannot be written, or nobody reads them any more.
        """

    def close(self) -> None:
        """Write what is left."""


class RawOutput:
    """Bytes as `kind = "lines"` reads them: to a file, a FIFO (it waits for its reader) or standard output."""

    def __init__(self, path: str) -> None:
        if path != "-" and Path(path).is_dir():
            raise OrderError(OPTION, f"a folder, the name of a file is expected: {path}")
        self._file: BinaryIO = sys.stdout.buffer if path == "-" else Path(path).open("wb", buffering=0)  # noqa: SIM115
        self.paced = not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def write(self, pixels: Pixels) -> None:
        """See `Output`."""
        view = memoryview(pixels.tobytes())
        while view:
            view = view[self._file.write(view) :]
        self._file.flush()

    def close(self) -> None:
        """See `Output`."""
        with suppress(BrokenPipeError):
            self._file.close()


class FolderOutput:
    """Stills one below the other, without overlap; the name of each has its number and its first line, and sorts."""

    paced = False

    def __init__(self, path: Path, order: Order) -> None:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OrderError(OPTION, f"an empty folder, or none yet, is expected: {path}")
        path.mkdir(parents=True, exist_ok=True)
        self._path, self._frames, self._number = path, _Frames(order), 0

    def write(self, pixels: Pixels) -> None:
        """See `Output`."""
        for frame in self._frames.add(pixels):
            self._save(frame)

    def _save(self, frame: Pixels) -> None:
        name = self._path / f"strip-{self._number:08d}-line-{self._number * self._frames.lines:010d}.png"
        self._number += 1
        partial = name.with_suffix(".partial")
        partial.write_bytes(cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
        partial.replace(name)

    def close(self) -> None:
        """See `Output`."""
        if (rest := self._frames.rest()) is not None:
            self._save(rest)


class VideoOutput:
    """A video file of frames one below the other; what is left of a frame at the end is black."""

    paced = False

    def __init__(self, path: Path, order: Order) -> None:
        if path.suffix.lower() not in CODECS:
            raise OrderError(OPTION, f"a video is named .avi, .mkv or .mp4: {path}")
        if not path.parent.is_dir():
            raise OrderError(OPTION, f"no such folder: {path.parent}")
        code = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        size = (order.width_px, order.frame_lines)
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, FRAMES_PER_S, size)
        if not self._writer.isOpened():
            raise OrderError(OPTION, f"cannot be written as a video of {size[0]}x{size[1]}: {path}")
        self._frames = _Frames(order)

    def write(self, pixels: Pixels) -> None:
        """See `Output`."""
        for frame in self._frames.add(pixels):
            self._writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))

    def close(self) -> None:
        """See `Output`."""
        if (rest := self._frames.rest()) is not None:
            whole = np.zeros((self._frames.lines, rest.shape[1]), np.uint8)
            whole[: len(rest)] = rest
            self._writer.write(cv2.cvtColor(whole, cv2.COLOR_GRAY2BGR))
        self._writer.release()


class _Frames:
    """Lines that become frames."""

    def __init__(self, order: Order) -> None:
        self.lines = order.frame_lines
        self._waiting = np.empty((0, order.width_px), np.uint8)

    def add(self, pixels: Pixels) -> list[Pixels]:
        self._waiting = np.concatenate([self._waiting, pixels])
        whole = []
        while len(self._waiting) >= self.lines:
            whole.append(self._waiting[: self.lines])
            self._waiting = self._waiting[self.lines :]
        return whole

    def rest(self) -> Pixels | None:
        return self._waiting if len(self._waiting) else None


def open_output(kind: str, path: str, order: Order) -> Output:
    """Return what lines are written to; a FIFO waits for its reader.

    Raises:
        OrderError: It cannot be written.
    """
    try:
        if kind == "raw":
            return RawOutput(path)
        if path == "-":
            raise OrderError(OPTION, f"standard output takes raw lines only: {kind}")
        return FolderOutput(Path(path), order) if kind == "folder" else VideoOutput(Path(path), order)
    except OSError as exc:
        raise OrderError(OPTION, f"cannot be written: {path}: {exc.strerror}") from exc
