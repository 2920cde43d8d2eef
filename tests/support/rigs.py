"""Pictures that can be told apart, and a reader that waits for what a source delivers instead of sleeping."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeClock, MemoryLedger

from inspector.clock import SystemClock
from inspector.errors import SourceError
from inspector.frame import FinishedFile, Frame, Gap, Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.base import EndOfSource, FrameSource, SourceContext
from inspector.sources.camera import open_camera


def commit(ledger: MemoryLedger, item: Frame | Gap) -> None:
    """Do what a store does before the source hears `done`."""
    if item.source_key is not None and item.file_stamp is not None:
        refused = isinstance(item, Gap)
        ledger.finished[item.source_key] = FinishedFile(item.file_stamp, item.file_digest, refused)


def make_context(clock: FakeClock | None = None) -> SourceContext:
    epochs = itertools.count(1)
    return SourceContext(clock or SystemClock(), lambda: next(epochs), "store")


def make_camera(path: str | Path, **values: Any) -> FrameSource:
    settings = CameraOptions(path=str(path), **({"open_timeout_s": 2, "read_timeout_s": 1} | values))
    return open_camera(settings, make_context())


def read_until(
    source: FrameSource, wanted: Callable[[list[Frame | Gap]], bool], timeout_s: float = 10.0, patient: bool = False
) -> list[Frame | Gap]:
    """Read until `wanted` holds of what came; `patient` reads again after a SourceError, as the reader does."""
    items: list[Frame | Gap] = []
    until_s = time.monotonic() + timeout_s
    while not wanted(items):
        assert time.monotonic() < until_s, f"nothing more came in {timeout_s} s: {items}"
        try:
            item = source.read()
        except SourceError:
            if not patient:
                raise
            continue
        if item is not None:
            items.append(item)
    return items


def read_to(source: FrameSource, end: type[Exception], words: str | None = None) -> list[Frame | Gap]:
    """Read until this error; returns what came before it."""
    items: list[Frame | Gap] = []

    def note(came: list[Frame | Gap]) -> bool:
        items[:] = came
        return False

    with pytest.raises(end, match=words):
        read_until(source, note)
    return items


def play(source: FrameSource) -> list[Frame | Gap]:
    """Read to the end of a file."""
    return read_to(source, EndOfSource)


def make_video(path: Path, pictures: Sequence[Pixels], *encode: str) -> Path:
    """Encode pictures; lossless grey by default."""
    if (ffmpeg := shutil.which("ffmpeg")) is None:
        pytest.skip("ffmpeg is not installed")
    height, width = pictures[0].shape
    command = [ffmpeg, "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", "10"]
    raw = b"".join(pixels.tobytes() for pixels in pictures)
    subprocess.run([*command, "-i", "-", *(encode or ("-c:v", "ffv1")), str(path)], input=raw, check=True, timeout=30)
    return path


def read_items(source: FrameSource, number: int, timeout_s: float = 10.0, patient: bool = False) -> list[Frame | Gap]:
    return read_until(source, lambda items: len(items) >= number, timeout_s, patient)


def only_frames(items: list[Frame | Gap]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def only_gaps(items: list[Frame | Gap]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


def picture(number: int, width: int = 64, height: int = 48) -> Pixels:
    """Return a grey picture that can be told from others by its mean, through lossy coding too."""
    noise = np.random.default_rng(number).integers(-4, 5, (height, width))
    return (40 + 8 * (number % 20) + cv2.GaussianBlur(noise.astype(np.float32), (5, 5), 0)).astype(np.uint8)


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", picture(number))[1].tobytes()


def number_of(frame: Frame) -> int:
    """Return the number that `picture` was made from."""
    return round((float(frame.pixels.mean()) - 40) / 8)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
