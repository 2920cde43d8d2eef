"""`inspector.store.evidence`: pictures of defects, bounded by bytes, age and free space."""

from __future__ import annotations

import hashlib
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fakes import NOON, FakeClock

from inspector.box import Box
from inspector.drafts import EvidencePicture
from inspector.heat import Heat
from inspector.store.evidence import EvidenceFolder, draw_evidence

PIXELS = np.random.default_rng(11).integers(60, 190, (400, 600)).astype(np.uint8)
PICTURE = EvidencePicture(PIXELS, Box(100, 100, 50, 50), Box(100, 100, 50, 50))
ONE_BYTES = len(draw_evidence(PICTURE, 640))


def open_folder(folder: Path, clock: FakeClock, **changes: Any) -> EvidenceFolder:
    values: dict[str, Any] = {
        "limit_bytes": 1 << 20, "max_age_s": 3600.0, "free_floor_bytes": 0, "longest_px": 640, **changes,
    }  # fmt: skip
    return EvidenceFolder(folder, clock, **values)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def decoded(jpeg: bytes) -> npt.NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels.astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "box", "longest_px", "expected"),
    [
        pytest.param(PIXELS, Box(100, 100, 50, 50), 640, (90, 90), id="a quarter and 8 px around it"),
        pytest.param(PIXELS, Box(0, 0, 50, 50), 640, (70, 70), id="cut at the frame's corner"),
        pytest.param(PIXELS, Box(0, 0, 600, 400), 300, (200, 300), id="a whole frame is made smaller"),
        pytest.param(np.dstack([PIXELS] * 3), Box(100, 100, 50, 50), 640, (90, 90), id="colour"),
        pytest.param(PIXELS[:1, :1], Box(0, 0, 1, 1), 640, (1, 1), id="one pixel"),
        pytest.param(PIXELS[:3], Box(0, 0, 600, 3), 64, (1, 64), id="a thin strip keeps a row"),
    ],
)
def test_picture(pixels: np.ndarray, box: Box, longest_px: int, expected: tuple[int, int]) -> None:
    """The picture is a colour JPEG of the box and its surroundings, no side over the limit."""
    drawn = decoded(draw_evidence(EvidencePicture(pixels, box, box), longest_px))

    assert (*expected, 3) == drawn.shape


def test_the_box_is_drawn_and_the_frame_is_not() -> None:
    """The outline lies on the box in orange; the frame's own pixels stay as they were."""
    pixels = np.full((400, 600), 40, np.uint8)
    drawn = decoded(draw_evidence(EvidencePicture(pixels, Box(100, 100, 50, 50), Box(100, 100, 50, 50)), 640))
    blue, _, red = (int(value) for value in drawn[20, 45])

    assert red > blue + 80
    assert abs(int(drawn[45, 45, 2]) - 40) < 12
    assert (pixels == 40).all()


def test_the_part_around_the_box_is_shown_and_not_outlined() -> None:
    """A small box in a part of 50 px: the picture begins 20 px beside the part, and the outline is the box's."""
    picture = EvidencePicture(np.full((400, 600), 40, np.uint8), Box(110, 110, 30, 20), Box(100, 100, 50, 50))
    drawn = decoded(draw_evidence(picture, 640)).astype(int)
    on_box, on_part, inside = drawn[30, 45], drawn[20, 45], drawn[40, 45]

    assert drawn.shape == (90, 90, 3)
    assert on_box[2] > on_box[0] + 80
    assert abs(on_part[2] - 40) < 12
    assert abs(inside[2] - 40) < 12


@pytest.mark.parametrize(
    ("part", "longest_px", "expected"),
    [
        pytest.param(Box(100, 100, 50, 50), 640, (90, 184), id="beside it"),
        pytest.param(Box(100, 100, 100, 50), 640, (184, 166), id="below it, if it is wide"),
        pytest.param(Box(0, 0, 400, 400), 100, (48, 100), id="both within the limit"),
    ],
)
def test_what_is_strange_glows_beside_the_picture(part: Box, longest_px: int, expected: tuple[int, int]) -> None:
    """The heat of an unclassified defect stands beside the part; places near the reference look as they are."""
    pixels = np.full((400, 400), 40, np.uint8)
    distances = np.zeros((1, 4, 4))
    distances[0, 1, 2] = 9.0
    picture = EvidencePicture(pixels, part, part, Heat((part,), distances, 4.0))
    drawn = decoded(draw_evidence(picture, longest_px)).astype(int)
    second = drawn[-drawn.shape[0] // 2 :] if drawn.shape[0] > drawn.shape[1] else drawn[:, -drawn.shape[1] // 2 :]
    redness = second[..., 2] - second[..., 0]

    assert (*expected, 3) == drawn.shape
    assert redness.max() > 60
    assert np.median(redness) < 12
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert row < second.shape[0] / 2
    assert column > second.shape[1] / 2
    assert (pixels == 40).all()


def test_kept_pictures_can_be_read_and_checked(tmp_path: Path, clock: FakeClock) -> None:
    """The message's sha256 is that of the file behind its URL, in this process and in the next."""
    evidence = open_folder(tmp_path / "new" / "folder", clock).keep("d1", PICTURE)
    again = open_folder(tmp_path / "new" / "folder", clock)
    data = again.read("d1")

    assert evidence is not None
    assert data is not None
    assert evidence.url == "/evidence/d1.jpg"
    assert hashlib.sha256(data).hexdigest() == evidence.sha256


@pytest.mark.parametrize("name", ["absent", "../secret", "/etc/passwd", "", "d1.jpg"])
def test_only_known_pictures_are_read(tmp_path: Path, clock: FakeClock, name: str) -> None:
    """Whatever is asked for, only pictures of this folder come out."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    folder = open_folder(tmp_path / "evidence", clock)
    folder.keep("d1", PICTURE)

    assert folder.read(name) is None


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"limit_bytes": 0}, id="no bytes allowed"),
        pytest.param({"free_floor_bytes": 1 << 60}, id="too little free space"),
    ],
)
def test_no_room_is_no_picture(tmp_path: Path, clock: FakeClock, limits: dict[str, Any]) -> None:
    """Without room nothing is written, and the message goes without evidence."""
    assert open_folder(tmp_path, clock, **limits).keep("d1", PICTURE) is None
    assert names(tmp_path) == []


def test_bounded_by_bytes_oldest_first(tmp_path: Path, clock: FakeClock) -> None:
    """Beyond the limit the oldest pictures go, and only as many as must."""
    folder = open_folder(tmp_path, clock, limit_bytes=3 * ONE_BYTES)
    for number in range(5):
        folder.keep(f"d{number}", PICTURE)
        clock.advance(1)
    gone = folder.tidy()

    assert gone == 2
    assert names(tmp_path) == ["d2.jpg", "d3.jpg", "d4.jpg"]
    assert folder.tidy() == 0


def test_bounded_by_age(tmp_path: Path, clock: FakeClock) -> None:
    """Pictures older than the limit go, younger ones stay."""
    folder = open_folder(tmp_path, clock, max_age_s=100.0)
    folder.keep("old", PICTURE)
    clock.advance(60)
    folder.keep("young", PICTURE)
    clock.advance(60)
    folder.tidy()

    assert names(tmp_path) == ["young.jpg"]
    assert folder.read("old") is None


def test_a_picture_of_a_clock_that_ran_ahead_keeps_no_others(tmp_path: Path, clock: FakeClock) -> None:
    """A picture written under a clock years ahead stays young; the old ones after it go all the same."""
    folder = open_folder(tmp_path, clock, max_age_s=100.0)
    now = clock.present
    clock.present = now + timedelta(days=3650)
    folder.keep("ahead", PICTURE)
    clock.present = now
    for number in range(3):
        folder.keep(f"d{number}", PICTURE)
    clock.advance(200)

    assert folder.tidy() == 3
    assert names(tmp_path) == ["ahead.jpg"]


def test_a_restart_counts_what_lies_there(tmp_path: Path, clock: FakeClock) -> None:
    """Limits hold over restarts: what a former process left counts by its size and modification time."""
    for number in range(4):
        path = tmp_path / f"d{number}.jpg"
        path.write_bytes(bytes(ONE_BYTES))
        moment = (NOON - timedelta(minutes=10 - number)).timestamp()
        os.utime(path, (moment, moment))
    folder = open_folder(tmp_path, clock, limit_bytes=3 * ONE_BYTES)
    folder.keep("d9", PICTURE)
    folder.tidy()

    assert names(tmp_path) == ["d2.jpg", "d3.jpg", "d9.jpg"]


def test_a_torn_picture_of_a_dead_process_goes(tmp_path: Path, clock: FakeClock) -> None:
    """What a process left half-written is removed at the next start: it would count for nothing, forever."""
    (tmp_path / "d1.partial").write_bytes(b"half")
    open_folder(tmp_path, clock)

    assert names(tmp_path) == []


def test_the_same_defect_again_replaces_its_picture(tmp_path: Path, clock: FakeClock) -> None:
    """A frame inspected again after a crash gives one picture, counted once and as old as its last writing."""
    folder = open_folder(tmp_path, clock, limit_bytes=2 * ONE_BYTES)
    for name in ("again", "other", "again"):
        folder.keep(name, PICTURE)
        clock.advance(1)
    assert folder.tidy() == 0
    folder.keep("third", PICTURE)
    folder.tidy()

    assert names(tmp_path) == ["again.jpg", "third.jpg"]


def test_a_disk_that_refuses_is_the_callers_business(tmp_path: Path, clock: FakeClock) -> None:
    """A folder that has gone is made again; one that cannot be made raises OSError, which the caller counts."""
    folder = open_folder(tmp_path / "gone", clock)
    (tmp_path / "gone").rmdir()
    assert folder.keep("d0", PICTURE) is not None
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "gone").write_text("a file where the folder was")
    with pytest.raises(OSError, match="gone"):
        folder.keep("d1", PICTURE)
