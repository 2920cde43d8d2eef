"""What the decoder calls a picture is one: not an earlier one, not a scaled one, not old memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeClock
from rigs import make_camera, only_frames, only_gaps, play

from inspector.errors import PictureError, SourceError
from inspector.frame import Cause, Pixels
from inspector.settings.source import CameraOptions
from inspector.sources.base import FrameSource
from inspector.sources.capture import CaptureStream

Open = Callable[[FrameSource], FrameSource]
FRAMES = 12
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
MPEG2 = ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-bf", "0")
MPEG4 = ("-c:v", "mpeg4")
MJPEG = ("-c:v", "mjpeg", "-f", "mjpeg")
INTERLACED = ("-flags", "+ilme+ildct")
SMALL, LARGE = "192x160", "256x192"


def encode(path: Path, *options: str, size: str = SMALL) -> bytes:
    """Return a video of moving things, in a container whose files can be put one after the other."""
    if (ffmpeg := shutil.which("ffmpeg")) is None:
        pytest.skip("ffmpeg is not installed")
    source = ("-f", "lavfi", "-i", f"testsrc=s={size}:r=10", "-frames:v", str(FRAMES))
    subprocess.run([ffmpeg, "-y", "-v", "error", *source, *options, str(path)], check=True, timeout=30)
    return path.read_bytes()


def shown(path: Path, opened: Open) -> list[Pixels]:
    source = opened(make_camera(path))
    return [frame.pixels for frame in only_frames(play(source))]


@pytest.mark.parametrize("codec", [H264, MPEG2], ids=["H.264", "MPEG-2"])
def test_an_interlaced_video_has_no_picture(codec: tuple[str, ...], tmp_path: Path, opened: Open) -> None:
    """FFmpeg refuses to convert it; what OpenCV shows instead is memory."""
    encode(tmp_path / "a.ts", *codec, *INTERLACED)

    items = play(opened(make_camera(tmp_path / "a.ts")))

    assert only_frames(items) == []
    assert {gap.cause for gap in only_gaps(items)} == {Cause.UNSUPPORTED}
    assert "interlaced" in only_gaps(items)[0].detail
    assert len(items) >= FRAMES - 1


def test_a_video_that_turns_interlaced_repeats_no_picture(tmp_path: Path, opened: Open) -> None:
    """The pictures before are shown, each place after is a gap of its own, and one that turns back goes on."""
    good = encode(tmp_path / "a.ts", *H264)
    bad = encode(tmp_path / "b.ts", *H264, *INTERLACED)
    (tmp_path / "c.ts").write_bytes(good + bad)
    alone = shown(tmp_path / "a.ts", opened)

    items = play(opened(make_camera(tmp_path / "c.ts", independent=True)))

    assert [type(item).__name__ for item in items] == ["Frame"] * FRAMES + ["Gap"] * FRAMES
    assert [item.frame_id for item in items] == list(range(2 * FRAMES))
    assert all(np.array_equal(frame.pixels, one) for frame, one in zip(only_frames(items), alone, strict=True))
    assert len({gap.identity for gap in only_gaps(items)}) == FRAMES


@pytest.mark.parametrize("codec", [H264, MPEG2, MPEG4, MJPEG], ids=["H.264", "MPEG-2", "MPEG-4", "MJPEG"])
@pytest.mark.parametrize("sizes", [(SMALL, LARGE), (LARGE, SMALL), (SMALL, LARGE, SMALL)], ids=["up", "down", "back"])
def test_no_picture_is_scaled(codec: tuple[str, ...], sizes: tuple[str, ...], tmp_path: Path, opened: Open) -> None:
    """Each picture is one of the first part, pixel for pixel; the others are gaps that say both sizes."""
    suffix = "mjpeg" if codec == MJPEG else "ts"
    parts = [encode(tmp_path / f"{number}.{suffix}", *codec, size=size) for number, size in enumerate(sizes)]
    (tmp_path / f"all.{suffix}").write_bytes(b"".join(parts))
    alone = shown(tmp_path / f"0.{suffix}", opened)

    items = play(opened(make_camera(tmp_path / f"all.{suffix}")))
    frames, gaps = only_frames(items), only_gaps(items)

    assert all(np.array_equal(frame.pixels, one) for frame, one in zip(frames, alone, strict=False))
    assert 4 <= len(frames) <= FRAMES
    assert {gap.cause for gap in gaps} == {Cause.UNSUPPORTED}
    assert f"from {sizes[0]} to {sizes[1]}" in gaps[0].detail
    assert len(items) >= len(sizes) * FRAMES - len(sizes)


def test_another_pixel_format_is_no_other_size(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "c.ts").write_bytes(
        encode(tmp_path / "a.ts", *H264) + encode(tmp_path / "b.ts", "-c:v", "libx264", "-pix_fmt", "yuv444p")
    )

    assert len(only_frames(play(opened(make_camera(tmp_path / "c.ts"))))) == 2 * FRAMES


def test_a_live_stream_says_the_same(tmp_path: Path) -> None:
    """A picture that cannot be converted is refused by itself; after a change of size the camera is opened again."""
    parts = [encode(tmp_path / "a.ts", *H264), encode(tmp_path / "b.ts", *H264, *INTERLACED)]
    other = encode(tmp_path / "c.ts", *H264, size=LARGE)
    seen = []
    for name, data in (("interlaced.ts", b"".join(parts)), ("size.ts", parts[0] + other)):
        (tmp_path / name).write_bytes(data)
        capture = cv2.VideoCapture(str(tmp_path / name), cv2.CAP_FFMPEG)
        stream = CaptureStream(capture, CameraOptions(path="rtsp://camera/"), FakeClock(), "camera")
        pictures: list[Pixels | PictureError] = []
        with pytest.raises(SourceError) as caught:
            pictures.extend(stream.next_picture() for _ in range(99))
        stream.close()
        seen.append((any(isinstance(one, PictureError) for one in pictures), str(caught.value)))

    assert seen == [
        (True, "camera stopped delivering: camera"),
        (False, f"camera: the size changed in mid-stream from {SMALL} to {LARGE}"),
    ]
