"""From bytes to frames: every line once and in its place, however the bytes arrive and wherever they stop."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lines_rig import FORMATS, LINES, OVERLAP, WIDTH, join, make_lines_source, pgm, read_until_down, strip, y4m
from rigs import only_frames, only_gaps, play, read_until

from inspector.errors import SourceError
from inspector.frame import Cause, Frame, Gap
from inspector.sources.base import FrameSource, Policy

Open = Callable[[FrameSource], FrameSource]


@pytest.mark.parametrize("case", FORMATS)
@pytest.mark.parametrize("lines", [20, 34, 48, 5, 27])
def test_every_line_comes_once_and_in_its_place(case: str, lines: int, tmp_path: Path, opened: Open) -> None:
    """Full frames overlap as set; the last one may be shorter, and holds new lines."""
    values, encode = FORMATS[case]
    (tmp_path / "a").write_bytes(encode(strip(lines)))
    source = make_lines_source(tmp_path / "a", **values)
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


def test_frames_without_overlap_are_the_pictures_of_the_stream(tmp_path: Path, opened: Open) -> None:
    """So that a video and its lines give the same defects."""
    (tmp_path / "a").write_bytes(y4m(strip(60), LINES))
    source = make_lines_source(tmp_path / "a", format="y4m", overlap_lines=0, independent=True)
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
    source = make_lines_source(tmp_path / "a", **values)
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
    source = make_lines_source(tmp_path / "a", **values)
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
        source = make_lines_source("-", frame_lines=frame_lines, overlap_lines=overlap)
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
