"""The live camera: only fresh pictures become frames, and what is missing is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from rigs import make_camera, make_context, number_of, only_frames, picture, read_items

from inspector.errors import ConfigError, PictureError, SourceError
from inspector.frame import Frame, Gap, Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.base import FrameSource, Policy
from inspector.sources.camera import LiveCamera

Open = Callable[[FrameSource], FrameSource]


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
    settings = CameraOptions(path="0", **values)
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
    settings = CameraOptions(path="0", frozen_frames=2)
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

    source = LiveCamera(CameraOptions(path="0"), context, "cam", open_stream)
    first = read_items(source, 1)
    for words in ("gone", "disk full"):
        with pytest.raises(SourceError, match=words):
            source.read()
    second = read_items(source, 1)

    assert [frame.identity for frame in only_frames(first + second)] == ["store:1:0", "store:2:0"]
    assert [stream.closed for stream in streams] == [True, True, False]


@pytest.mark.parametrize("path", ["0", "7", "/dev/video42", "/dev/v4l/by-id/usb-none-video-index0"])
def test_a_device_that_is_absent_is_named(path: str, opened: Open) -> None:
    """V4L2 itself cannot be tested here: the kernel has no such device."""
    source = make_camera(path)
    opened(source)

    assert source.policy is Policy.LIVE
    with pytest.raises(SourceError, match=r"camera is not there: /dev/v"):
        source.read()


@pytest.mark.parametrize("scheme", ["rtmp", "file", "udp", "concat", "ftp"])
def test_other_protocols_are_refused(scheme: str) -> None:
    with pytest.raises(ConfigError, match=rf"source\.path: .*{scheme}://"):
        make_camera(f"{scheme}://127.0.0.1/x")
