"""`inspector.store.evidence`: pictures of defects, bounded by bytes, age and free space."""

from __future__ import annotations

import hashlib
import os
import shutil
import tracemalloc
from collections.abc import Callable
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
from inspector.store import evidence
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
    named = open_folder(tmp_path / "new" / "folder", clock).keep("d1", PICTURE)
    again = open_folder(tmp_path / "new" / "folder", clock)
    data = again.read("d1")

    assert named is not None
    assert data is not None
    assert named.url == "/evidence/d1.jpg"
    assert hashlib.sha256(data).hexdigest() == named.sha256


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


@pytest.mark.parametrize(
    ("files", "free", "kept"),
    [
        pytest.param(10**6, 999, False, id="few places left"),
        pytest.param(10**6, 1000, True, id="enough"),
        pytest.param(60, 2, False, id="a small disk"),
        pytest.param(60, 3, True, id="a small disk with a twentieth free"),
        pytest.param(0, 0, True, id="a disk that needs no places"),
    ],
)
def test_places_for_files_are_left_to_others(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, files: int, free: int, kept: bool
) -> None:
    """A disk with bytes and no inodes is full: pictures do not take the last ones, which the store may need."""
    values = [*os.statvfs(tmp_path)]
    values[5:8] = files, free, free
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(values))

    assert (open_folder(tmp_path, clock).keep("d1", PICTURE) is not None) == kept


def test_bounded_by_bytes_oldest_first(tmp_path: Path, clock: FakeClock) -> None:
    """Beyond the limit the oldest pictures go, until 95 % of it are left; within it none goes."""
    folder = open_folder(tmp_path, clock, limit_bytes=20 * ONE_BYTES)
    for number in range(20):
        folder.keep(f"d{number:02}", PICTURE)
        clock.advance(1)
    assert folder.tidy() == 0
    folder.keep("d20", PICTURE)

    assert folder.tidy() == 2
    assert names(tmp_path) == [f"d{number:02}.jpg" for number in range(2, 21)]
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


def lay(folder: Path, number: int, size: int = ONE_BYTES) -> None:
    """Lay pictures of a former process into a folder, d0 the oldest."""
    for at in range(number):
        path = folder / f"d{at}.jpg"
        path.write_bytes(bytes(size))
        moment = (NOON - timedelta(seconds=number - at)).timestamp()
        os.utime(path, (moment, moment))


def test_a_restart_counts_what_lies_there(tmp_path: Path, clock: FakeClock) -> None:
    """Limits hold over restarts: what a former process left counts by its size and modification time."""
    lay(tmp_path, 4)
    folder = open_folder(tmp_path, clock, limit_bytes=int(3.9 * ONE_BYTES))
    folder.keep("d9", PICTURE)

    assert folder.tidy() == 2
    assert names(tmp_path) == ["d2.jpg", "d3.jpg", "d9.jpg"]


def test_a_torn_picture_of_a_dead_process_goes(tmp_path: Path, clock: FakeClock) -> None:
    """What a process left half-written is removed, or written over: it would count for nothing, forever."""
    (tmp_path / "d1.partial").write_bytes(b"half")
    (tmp_path / "new.partial").write_bytes(b"half")
    folder = open_folder(tmp_path, clock)
    folder.keep("d2", PICTURE)
    folder.tidy()

    assert names(tmp_path) == ["d2.jpg"]


def test_the_same_defect_again_replaces_its_picture(tmp_path: Path, clock: FakeClock) -> None:
    """A frame inspected again after a crash gives one picture, counted once and as old as its last writing."""
    folder = open_folder(tmp_path, clock, limit_bytes=int(2.2 * ONE_BYTES))
    folder.tidy()
    for name in ("again", "other", "again"):
        folder.keep(name, PICTURE)
        clock.advance(1)
    assert folder.tidy() == 0
    folder.keep("third", PICTURE)
    folder.tidy()

    assert names(tmp_path) == ["again.jpg", "third.jpg"]


def traced_kb(act: Callable[[], object]) -> tuple[float, float]:
    """Return how much more memory is in use after `act`, and at its peak."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        act()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / 1024, (peak - before) / 1024


def test_memory_does_not_grow_with_what_is_kept(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 kept pictures take no more memory than none, nor do 2,000 new ones; looking at them takes 2 MB at most."""
    (tmp_path / "d0.jpg").write_bytes(b"picture")
    for number in range(1, 20_000):
        os.link(tmp_path / "d0.jpg", tmp_path / f"0a1b2c3d-0a1b-4c2d-8e3f-{number:012}.jpg")
    monkeypatch.setattr(evidence, "draw_evidence", lambda *_: b"picture")
    folders = []

    def open_and_tidy() -> None:
        folders.append(open_folder(tmp_path, clock))
        folders[0].tidy()

    opened_kb, peak_kb = traced_kb(open_and_tidy)
    kept_kb, _ = traced_kb(lambda: [folders[0].keep(f"e{number}", PICTURE) and None for number in range(2000)])

    assert opened_kb < 256  # Python keeps 2,000 tuples in reserve
    assert kept_kb < 64
    assert peak_kb < 2048


def test_very_many_old_pictures_go_in_turns(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look deletes as many as it lists; the next rounds delete the rest, and then none looks for ten minutes."""
    monkeypatch.setattr(evidence, "OLDEST_LISTED", 4)
    lay(tmp_path, 10)
    clock.advance(60)
    folder = open_folder(tmp_path, clock, max_age_s=62.0)  # d8 and d9 are young
    rounds = [folder.tidy() for _ in range(4)]
    clock.advance(60)
    early = folder.tidy()
    clock.advance(600)

    assert (rounds, early, folder.tidy()) == ([4, 4, 0, 0], 0, 2)


class TickingClock(FakeClock):
    """A tenth of a second passes between two looks at it."""

    def monotonic(self) -> float:
        self.mono_s += 0.1
        return self.mono_s


def test_a_slow_disk_is_gone_through_in_turns(tmp_path: Path) -> None:
    """A look goes on where it was; what is kept meanwhile counts, and is not deleted under an old picture's name."""
    lay(tmp_path, 900, size=0)
    ticking = TickingClock()
    folder = open_folder(tmp_path, ticking, limit_bytes=int(2.2 * ONE_BYTES), max_age_s=100.0)
    first = folder.tidy()
    for number in range(800, 803):  # one too many; most of the old ones were seen already
        folder.keep(f"d{number}", PICTURE)
        ticking.advance(1)
    ticking.present += timedelta(seconds=90)
    rounds = [folder.tidy() for _ in range(9)]

    assert first == 0
    assert sum(rounds) > 800
    assert names(tmp_path) == ["d801.jpg", "d802.jpg"]


def test_one_picture_that_cannot_be_deleted_does_not_keep_the_others(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go; it is an error, and tried again after a minute. What is no file is left alone."""
    lay(tmp_path, 4)
    (tmp_path / "d.jpg").mkdir()
    unlink, stuck = Path.unlink, tmp_path / "d1.jpg"

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError("not permitted")
        unlink(path, missing_ok)

    folder = open_folder(tmp_path, clock, limit_bytes=ONE_BYTES // 2)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(OSError, match="not permitted"):
            folder.tidy()
    assert names(tmp_path) == ["d.jpg", "d1.jpg"]
    assert folder.tidy() == 0
    clock.advance(60)

    assert folder.tidy() == 1
    assert folder.read("d") is None


def test_a_disk_that_refuses_is_the_callers_business(tmp_path: Path, clock: FakeClock) -> None:
    """A folder that has gone is made again; one that cannot be made raises OSError, which the caller counts."""
    folder = open_folder(tmp_path / "gone", clock)
    (tmp_path / "gone").rmdir()
    assert folder.keep("d0", PICTURE) is not None
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "gone").write_text("a file where the folder was")
    with pytest.raises(OSError, match="gone"):
        folder.keep("d1", PICTURE)
