"""Pictures that can be told apart, and a reader that waits for what a source delivers instead of sleeping."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fakes import FakeClock, MemoryLedger

from inspector.clock import SystemClock
from inspector.errors import SourceError
from inspector.frame import Frame, Gap, Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.base import FrameSource, SourceContext
from inspector.sources.camera import open_camera


def commit(ledger: MemoryLedger, item: Frame | Gap) -> None:
    """Do what a store does before the source hears `done`."""
    if item.source_key is not None and item.file_stamp is not None:
        ledger.finished.add((item.source_key, *item.file_stamp))


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
