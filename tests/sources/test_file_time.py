"""Times of files from outside the years that a message can hold: bounded where they enter, and said once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeClock, MemoryLedger
from folder_rig import drain, make_folder_source, write
from rigs import make_camera, make_video, picture, play
from structlog.testing import capture_logs

from inspector.clock import to_rfc3339, to_timestamp_ms
from inspector.frame import Frame
from inspector.sources.base import FrameSource
from inspector.sources.file_time import LAST_NS, FileTimes, bounded_ns
from inspector.store.entries import DoneMark, Entry
from inspector.store.store import Store

Open = Callable[[FrameSource], FrameSource]


@pytest.mark.parametrize(
    ("time_s", "moment"),
    [
        pytest.param(0, "1970-01-01T00:00:00.000Z", id="the first"),
        pytest.param(1_700_000_000, "2023-11-14T22:13:20.000Z", id="of today"),
        pytest.param(-1, "1970-01-01T00:00:00.000Z", id="before it"),
        pytest.param(-(1 << 40), "1970-01-01T00:00:00.000Z", id="before the year 1"),
        pytest.param(9_223_372_037, "2262-04-11T23:47:16.854Z", id="one second too late for 64 bits"),
        pytest.param(1 << 40, "2262-04-11T23:47:16.854Z", id="after the year 9999"),
        pytest.param(1 << 62, "2262-04-11T23:47:16.854Z", id="as far as seconds go"),
    ],
)
def test_any_time_is_a_moment(time_s: int, moment: str) -> None:
    """Whatever a file system says is a moment that messages and columns hold, and days later too."""
    assert to_rfc3339(FileTimes().moment(time_s * 10**9, "a.jpg")) == moment
    assert abs(bounded_ns(time_s * 10**9)) <= LAST_NS


@pytest.mark.parametrize("time_s", [-(1 << 31), 9_223_372_037, 15_000_000_000])
def test_a_picture_of_any_time_is_inspected_and_done(
    folder: Path, opened: Open, tmp_path: Path, clock: FakeClock, time_s: int
) -> None:
    """It comes with its neighbours, is committed to the real store, and is done after a restart; the log says so once.

    Previously SQLite refused the number, and the station ended at each start.
    """
    for name in ("bad.jpg", "worse.jpg", "good.jpg"):
        write(folder / name, 1)
    for name in ("bad.jpg", "worse.jpg"):
        os.utime(folder / name, (time_s, time_s))
    source = make_folder_source(folder)
    opened(source)

    with capture_logs() as log:
        items = drain(source, MemoryLedger(), 3)
    store = Store(tmp_path / "store", clock)
    for item in items:
        assert isinstance(item, Frame)
        assert item.source_key is not None
        assert item.file_stamp is not None
        assert abs(to_timestamp_ms(item.captured_at)) < 1 << 53
        store.commit([Entry([], {}, DoneMark(item.source_key, item.file_stamp, "clean"))])
        finished = store.ledger.find(item.source_key)
        assert finished is not None
        assert finished.stamp == item.file_stamp
    store.close()

    assert len(items) == 3
    (said,) = (line for line in log if line["event"] == "file_time_out_of_range")
    assert said["file"] in ("bad.jpg", "worse.jpg")


@pytest.mark.real
def test_a_video_of_any_time_is_played(tmp_path: Path, opened: Open) -> None:
    path = make_video(tmp_path / "a.mkv", [picture(number) for number in range(3)])
    os.utime(path, (15_000_000_000, 15_000_000_000))
    source = make_camera(path)
    opened(source)

    assert len(play(source)) == 3
