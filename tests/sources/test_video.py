"""Video files: every frame once, the same on every run, and what is missing is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rigs import make_camera, make_video, only_frames, only_gaps, picture, play

from inspector.errors import SourceError
from inspector.frame import Cause
from inspector.sources.base import FrameSource, Policy

Open = Callable[[FrameSource], FrameSource]

FFMPEG = shutil.which("ffmpeg")


@pytest.mark.real
@pytest.mark.parametrize("container", ["mkv", "avi", "mov"])
def test_a_lossless_video_gives_its_pixels_and_ends(container: str, tmp_path: Path, opened: Open) -> None:
    """Grey stays grey; every frame comes once, and then the source ends, again and again."""
    pictures = [picture(number) for number in range(7)]
    encode = ("-c:v", "png") if container == "mov" else ()
    path = make_video(tmp_path / f"a.{container}", pictures, *encode)
    source = make_camera(path)
    opened(source)

    frames = only_frames(play(source))

    assert source.policy is Policy.LOSSLESS
    assert [frame.frame_id for frame in frames] == list(range(7))
    for frame, expected in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame.pixels, expected)
    assert (frames[5].captured_at - frames[0].captured_at).total_seconds() == pytest.approx(0.5)
    assert play(source) == []


@pytest.mark.real
def test_a_video_is_the_same_on_each_run(tmp_path: Path, opened: Open) -> None:
    """Identity and time come from the file, so a replay gives the same messages."""
    path = make_video(tmp_path / "a.mkv", [picture(number) for number in range(3)])
    runs = []
    for _ in range(2):
        source = make_camera(path)
        opened(source)
        runs.append([(frame.identity, frame.captured_at) for frame in only_frames(play(source))])

    assert runs[0] == runs[1]
    assert runs[0][1][0] == f"a.mkv:{path.stat().st_size}:{path.stat().st_mtime_ns}:1"


@pytest.mark.real
def test_a_truncated_video_says_what_is_missing(tmp_path: Path, opened: Open) -> None:
    path = make_video(
        tmp_path / "a.avi", [np.random.default_rng(n).integers(0, 256, (48, 64), np.uint8) for n in range(20)]
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = make_camera(path)
    opened(source)

    items = play(source)

    (gap,) = only_gaps(items)
    assert gap.cause is Cause.UNREADABLE
    assert len(only_frames(items)) + gap.frames == 20
    assert items[-1] is gap


BAD_VIDEOS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello " * 100),
    "directory": lambda path: path.mkdir(),
    "FIFO": lambda path: os.mkfifo(path),
    "playlist of the network": lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_a_file_that_is_no_video_is_named(case: str, tmp_path: Path, opened: Open) -> None:
    BAD_VIDEOS[case](tmp_path / "a.mkv")
    source = make_camera(tmp_path / "a.mkv")
    opened(source)

    for _ in range(2):
        with pytest.raises(SourceError, match=r"video file cannot be read: .*a\.mkv"):
            source.read()


@pytest.mark.real
def test_a_video_with_too_many_pixels_is_refused(tmp_path: Path, opened: Open) -> None:
    path = make_video(tmp_path / "a.mkv", [picture(1)])
    source = make_camera(path, max_frame_px=1024)
    opened(source)

    with pytest.raises(SourceError, match="64x48"):
        source.read()


def test_ffmpeg_options_leave_the_environment_as_it_was(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "video_codec;x")
    (tmp_path / "a.mkv").write_bytes(b"x")
    source = make_camera(tmp_path / "a.mkv")
    opened(source)
    with pytest.raises(SourceError):
        source.read()

    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "video_codec;x"
