"""What every source keeps, whatever it reads: the protocol in `inspector.sources.base`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import MemoryLedger
from rigs import commit, jpeg, make_context, picture, read_items

from inspector.errors import SourceError
from inspector.frame import Cause, Frame, Gap
from inspector.settings.source import SOURCE_KINDS
from inspector.sources.base import EndOfSource, FrameSource, Policy
from inspector.sources.opening import open_source

FRAMES = 4


@dataclass(frozen=True)
class Rig:
    """A source and the settings that open it.

    Attributes:
        values: The section `[source]`.
        appear: Brings what is read into being; there are `FRAMES` frames in it.
        policy: What the source must be.
        again: A second process gets the same identities.
    """

    values: dict[str, Any]
    appear: Callable[[], object]
    policy: Policy
    again: bool


def rig_folder(where: Path) -> Rig:
    folder = where / "frames"

    def appear() -> None:
        folder.mkdir()
        for number in range(FRAMES):
            (folder / f"{number}.jpg").write_bytes(jpeg(number))

    values = {"kind": "folder", "path": str(folder), "settle_s": 0.01, "rescan_s": 0.05}
    return Rig(values, appear, Policy.LOSSLESS, again=True)


def rig_video(where: Path) -> Rig:
    path = where / "a.avi"

    def appear() -> None:
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (64, 48), True)
        for number in range(FRAMES):
            writer.write(cv2.merge([picture(number)] * 3))
        writer.release()

    return Rig({"kind": "camera", "path": str(path)}, appear, Policy.LOSSLESS, again=True)


def rig_lines_file(where: Path) -> Rig:
    path = where / "a.raw"

    def appear() -> None:
        path.write_bytes(b"".join(picture(number).tobytes() for number in range(FRAMES)))

    values = {"kind": "lines", "path": str(path), "width_px": 64, "frame_lines": 48, "overlap_lines": 0}
    return Rig(values, appear, Policy.LOSSLESS, again=True)


def rig_lines_fifo(where: Path) -> Rig:
    path = where / "fifo"

    def write() -> None:
        with path.open("wb", buffering=0) as file, contextlib.suppress(BrokenPipeError):
            for number in range(FRAMES):
                file.write(picture(number).tobytes())

    def appear() -> None:
        os.mkfifo(path)
        threading.Thread(target=write, daemon=True).start()

    values = {"kind": "lines", "path": str(path), "width_px": 64, "frame_lines": 48, "overlap_lines": 0}
    return Rig(values, appear, Policy.LOSSLESS, again=False)


RIGS = {"folder": rig_folder, "video": rig_video, "lines file": rig_lines_file, "lines FIFO": rig_lines_fifo}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    return RIGS[request.param](tmp_path)


@contextlib.contextmanager
def opened(rig: Rig, ledger: MemoryLedger | None = None) -> Iterator[FrameSource]:
    source = open_source(SOURCE_KINDS[rig.values["kind"]](**rig.values), make_context(), ledger or MemoryLedger())
    with contextlib.closing(source):
        yield source


def test_what_is_absent_is_a_source_error_that_names_it(rig: Rig) -> None:
    """On every read, at once, and it comes by itself when it is there."""
    with opened(rig) as source:
        for _ in range(2):
            with pytest.raises(SourceError, match=rig.values["path"]):
                source.read()

        rig.appear()

        assert len(read_items(source, FRAMES, patient=True)) == FRAMES


def test_frames_say_where_and_when_they_are_from(rig: Rig) -> None:
    """In order, one epoch, counted from 0, each with an identity and a time of its own zone."""
    rig.appear()
    with opened(rig) as source:
        items = read_items(source, FRAMES, patient=True)

    assert source.policy is rig.policy
    assert rig.values["path"] in source.description
    frames = [item for item in items if isinstance(item, Frame)]
    assert [frame.frame_id for frame in frames] == list(range(FRAMES))
    assert {frame.epoch for frame in frames} == {1}
    assert len({frame.identity for frame in frames}) == FRAMES
    assert all(frame.captured_at.tzinfo is UTC for frame in frames)
    for number, frame in enumerate(frames):
        grey = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[:, :, 0]
        assert np.abs(grey.astype(int) - picture(number)).max() <= 4  # JPEG


def test_pixels_of_a_frame_stay_as_they_are(rig: Rig) -> None:
    """No source writes into a frame that it has given away."""
    rig.appear()
    with opened(rig) as source:
        frames = [item for item in read_items(source, 1, patient=True) if isinstance(item, Frame)]
        before = frames[0].pixels.copy()
        read_items(source, FRAMES - 1)

        np.testing.assert_array_equal(frames[0].pixels, before)


def test_another_process_gets_the_same_identities_where_it_can_read_again(rig: Rig) -> None:
    """So that a frame inspected again after a crash gives the same messages."""
    rig.appear()
    runs = []
    for _ in range(2 if rig.again else 1):
        with opened(rig) as source:
            runs.append([item.identity for item in read_items(source, FRAMES, patient=True)])

    assert runs[0] == runs[-1]


def test_the_setting_says_whether_frames_are_independent(rig: Rig) -> None:
    """Unset: true for a folder, false for streams."""
    rig.appear()
    with opened(rig) as source:
        first = read_items(source, 1, patient=True)[0]

    assert isinstance(first, Frame)
    assert first.independent == (rig.values["kind"] == "folder")


@pytest.mark.parametrize("wanted", [True, False])
def test_independent_can_be_set(rig: Rig, wanted: bool) -> None:
    rig.values["independent"] = wanted
    rig.appear()
    with opened(rig) as source:
        first = read_items(source, 1, patient=True)[0]

    assert isinstance(first, Frame)
    assert first.independent is wanted


def test_done_takes_whatever_is_committed(rig: Rig) -> None:
    """Frames and gaps, its own and those of others, from another thread."""
    rig.appear()
    ledger = MemoryLedger()
    with opened(rig, ledger) as source:
        items = read_items(source, FRAMES, patient=True)
        now = items[0].captured_at if isinstance(items[0], Frame) else items[0].since
        gaps = [Gap(Cause.SOURCE_DOWN, now, now, 1), Gap(Cause.UNREADABLE, now, now, 1, 1, 7, "x", "nowhere.jpg")]

        def finish() -> None:
            for item in [*items, *gaps]:
                commit(ledger, item)
                source.done(item)

        thread = threading.Thread(target=finish)
        thread.start()
        thread.join()


def test_close_is_final_and_may_come_twice(rig: Rig) -> None:
    """Before the first read, after it, and from another thread while one waits."""
    rig.appear()
    with opened(rig) as source:
        source.close()
        assert source.read() is None

    with opened(rig) as source:
        began = threading.Event()

        def read() -> None:
            with contextlib.suppress(SourceError, EndOfSource):
                while source.read() is not None or not closing.is_set():
                    began.set()

        closing = threading.Event()
        thread = threading.Thread(target=read)
        thread.start()
        assert began.wait(5)
        closing.set()
        source.close()
        source.close()
        thread.join(10)

        assert not thread.is_alive()
        assert source.read() is None
