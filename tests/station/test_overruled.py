"""A sample of what the reference overrules is kept, for a person to check it by."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from inspector.box import Box
from inspector.clock import from_timestamp_ms
from inspector.frame import Frame
from inspector.inspection.decision import Verdict
from inspector.inspection.one_frame import Inspection
from inspector.station.overruled import EVERY_S, MOST, OverruledSample


def inspection(*distances: float | None, at_s: int = 0, top: str = "inclusion") -> Inspection:
    """Return a frame of tiles of 10 px side by side; a number is the distance of an overruled one, None is clean."""
    width = 10 * len(distances)
    pixels = np.arange(10 * width, dtype=np.uint8).reshape(10, width)
    frame = Frame(pixels, 1, at_s, from_timestamp_ms(1_700_000_000_000 + 1000 * at_s), 0.0, f"frame {at_s}")
    verdicts = tuple(
        Verdict("clean", 0.8, top, "clean", 0.1, distance=distance, overruled=True)
        if distance is not None
        else Verdict("clean", 0.9, "clean", top, 0.1, distance=0.1)
        for distance in distances
    )
    return Inspection(frame, None, tuple(Box(10 * n, 0, 10, 10) for n in range(len(distances))), verdicts)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_the_tile_that_is_farthest_is_kept_as_it_is(tmp_path: Path, clock: FakeClock) -> None:
    """Its pixels are those of the frame, and its name says when, what, how surely and how far."""
    sample, seen = OverruledSample(tmp_path / "overruled", clock), inspection(None, 0.31, 0.52, None)
    assert sample.offer(seen)
    sample.keep()

    (path,) = (tmp_path / "overruled").iterdir()
    shown = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert path.name == "20231114T221320.000Z_inclusion_0.80_at_0.52.png"
    assert shown is not None
    assert np.array_equal(shown, seen.frame.pixels[:, 20:30])


def test_one_is_taken_in_a_while_and_none_of_what_nobody_overruled(tmp_path: Path, clock: FakeClock) -> None:
    """A line that is overruled all day leaves one tile in five minutes; clean surface leaves none."""
    sample = OverruledSample(tmp_path, clock)
    taken = []
    for second in range(0, int(3 * EVERY_S), 10):
        taken.append(sample.offer(inspection(None, 0.4, at_s=second)))
        sample.keep()
        clock.advance(10)

    assert (sum(taken), len(list(tmp_path.iterdir()))) == (3, 3)
    assert not OverruledSample(tmp_path, clock).offer(inspection(None, None))


def test_the_newest_are_kept(tmp_path: Path, clock: FakeClock) -> None:
    """The sample is bounded; the oldest goes."""
    sample = OverruledSample(tmp_path, clock)
    for number in range(MOST + 3):
        assert sample.offer(inspection(0.4, at_s=number, top="odd/name"))
        sample.keep()
        clock.advance(EVERY_S)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == MOST
    assert names[0] == "20231114T221323.000Z_odd_name_0.80_at_0.40.png"


def test_a_disk_that_refuses_is_reported_once(tmp_path: Path, clock: FakeClock) -> None:
    """The station goes on; what could not be written is left, and the next is tried."""
    (tmp_path / "file").touch()
    sample = OverruledSample(tmp_path / "file", clock)
    with capture_logs() as logs:
        for number in range(3):
            assert sample.offer(inspection(0.4, at_s=number))
            sample.keep()
            clock.advance(EVERY_S)

    assert [row["event"] for row in logs] == ["overruled_not_kept"]
