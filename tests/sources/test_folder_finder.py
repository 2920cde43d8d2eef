"""The finder: which files, in what order, and when each counts as finished."""

from __future__ import annotations

import os
import shutil
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeClock, MemoryLedger
from folder_rig import assert_silent, drain, keys, make_folder_source, names, no_events, write
from hypothesis import given, strategies
from rigs import jpeg, number_of, read_items, read_until

from inspector.frame import FinishedFile, Frame
from inspector.settings.source import FolderOptions
from inspector.sources import folder as folder_module
from inspector.sources import folder_finder, folder_marks
from inspector.sources.base import FrameSource
from inspector.sources.folder_file import stamp_of
from inspector.sources.folder_finder import Finder
from inspector.sources.folder_hints import Hints
from inspector.sources.folder_marks import Marks
from inspector.sources.folder_work import FilesInWork
from inspector.sources.put_away import FinishedFiles

Open = Callable[[FrameSource], FrameSource]


def test_takes_files_by_pattern_and_leaves_the_others(folder: Path, opened: Open) -> None:
    """Patterns are compared without case; hidden and unfinished names are left alone."""
    for number, name in enumerate(["a.JPG", "b.jpeg", "c.Tif", "sub/d.jpg", "sub/sub/e.jpg"]):
        write(folder / name, number, age_s=100 - number)
    for name in (
        ".f.jpg", "g.jpg.tmp", "h.jpg.part", "i.jpg.filepart", "j.txt", ".hidden/k.jpg", "~$a.JPG", "~tmp1.jpg",
        "l.jpg~", "m.jpg.crdownload", "n.jpg.partial",
    ):  # fmt: skip
        write(folder / name, 9)
    source = make_folder_source(folder)
    opened(source)

    assert keys(read_items(source, 5)) == ["a.JPG", "b.jpeg", "c.Tif", "sub/d.jpg", "sub/sub/e.jpg"]
    assert_silent(source)


def test_unfinished_names_are_left_alone_whatever_the_patterns_say(folder: Path, opened: Open) -> None:
    for name in ("a.jpg.part", "~$b", "b~", "b.swp"):
        write(folder / name, 1)
    write(folder / "b", 2)
    source = make_folder_source(folder, patterns=("*",))
    opened(source)

    assert keys(read_items(source, 1)) == ["b"]
    assert_silent(source)


def test_recursion_can_be_off(folder: Path, opened: Open) -> None:
    write(folder / "a.jpg", 1)
    write(folder / "sub" / "b.jpg", 2)
    source = make_folder_source(folder, recursive=False)
    opened(source)

    assert keys(read_items(source, 1)) == ["a.jpg"]
    assert_silent(source)


def test_links_to_folders_are_never_followed(folder: Path, opened: Open, tmp_path: Path) -> None:
    """A loop of links ends nothing, and what lies elsewhere stays there; links to files are pictures."""
    write(folder / "sub" / "a.jpg", 1, age_s=9)
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    write(tmp_path / "elsewhere" / "b.jpg", 2)
    (folder / "away").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    write(tmp_path / "target.jpg", 3, age_s=8)
    (folder / "c.jpg").symlink_to(tmp_path / "target.jpg")
    (folder / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    source = make_folder_source(folder)
    opened(source)

    assert keys(read_items(source, 2)) == ["sub/a.jpg", "c.jpg"]
    assert_silent(source)


def test_oldest_first_then_by_name(folder: Path, opened: Open) -> None:
    for name, age_s in {"a.jpg": 10, "b.jpg": 30, "d.jpg": 20, "c.jpg": 20}.items():
        write(folder / name, 1, age_s)
    source = make_folder_source(folder)
    opened(source)

    assert keys(read_items(source, 4)) == ["b.jpg", "c.jpg", "d.jpg", "a.jpg"]


def test_many_files_are_taken_in_order_with_a_bounded_list(
    folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More files than fit into memory still come oldest first, each once."""
    monkeypatch.setattr(folder_finder, "MAX_WAITING", 10)
    no_events(monkeypatch)
    for number in np.random.default_rng(1).permutation(95):
        write(folder / f"{number:03}.jpg", number, age_s=1000 - int(number))
    ledger = MemoryLedger()
    source = make_folder_source(folder, ledger, settle_s=0)
    opened(source)

    assert keys(drain(source, ledger, 95)) == [f"{number:03}.jpg" for number in range(95)]
    assert_silent(source)


def test_an_event_makes_a_file_ready_in_a_moment(folder: Path, opened: Open) -> None:
    """A closed file, and one moved in, need no scan: the next one would be an hour away."""
    source = make_folder_source(folder, rescan_s=3600, settle_s=3600)
    opened(source)
    assert source.read() is None

    (folder / "a.jpg").write_bytes(jpeg(1))
    assert keys(read_items(source, 1)) == ["a.jpg"]

    (folder / "b.jpg.tmp").write_bytes(jpeg(2))
    (folder / "b.jpg.tmp").rename(folder / "b.jpg")
    assert keys(read_items(source, 1)) == ["b.jpg"]

    write(folder.parent / "c.jpg", 3).rename(folder / "c.jpg")
    assert keys(read_items(source, 1)) == ["c.jpg"]


def test_a_time_that_is_set_after_the_close_makes_no_second_picture(folder: Path, opened: Open) -> None:
    """`shutil.copy2`, some FTP and SMB servers: write, close, then give the file the time of the original."""
    ledger = MemoryLedger()
    original = write(folder.parent / "original.jpg", 3)
    source = make_folder_source(folder, ledger, settle_s=1, finished="delete")
    opened(source)
    source.read()

    shutil.copy2(original, folder / "a.jpg")
    items = drain(source, ledger, 1)

    assert items[0].file_stamp is not None
    assert items[0].file_stamp[:2] == (original.stat().st_size, original.stat().st_mtime_ns)
    assert_silent(source)
    assert names(folder) == []


def test_a_file_that_is_still_written_is_not_read(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its writer is unknown, it must stay as it is for `settle_s`, by our clock: the server's may be wrong."""
    no_events(monkeypatch)
    monkeypatch.setattr(folder_module, "is_open_for_writing", lambda _: None)
    clock = FakeClock()
    source = make_folder_source(folder, clock=clock, rescan_s=1, settle_s=10)
    opened(source)
    data = jpeg(5)
    with (folder / "a.jpg").open("wb", buffering=0) as file:
        for start in range(0, len(data), 500):
            file.write(data[start : start + 500])
            clock.advance(9)
            assert source.read() is None
        clock.advance(9)
        source.read()
        clock.advance(1)

        frame = read_items(source, 1)[0]

    assert isinstance(frame, Frame)
    assert number_of(frame) == 5


def test_scans_alone_are_enough(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS and SMB send no events, and inotify's watches can be used up."""
    no_events(monkeypatch)
    source = make_folder_source(folder)
    opened(source)
    assert source.read() is None

    write(folder / "sub" / "a.jpg", 1)

    assert keys(read_items(source, 1)) == ["sub/a.jpg"]


def test_lost_events_are_made_up_for(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the queue of events overflows, the next scan finds the files."""
    monkeypatch.setattr(Hints, "note", lambda self, path, moved: None)
    source = make_folder_source(folder)
    opened(source)
    assert source.read() is None

    for number in range(5):
        write(folder / f"{number}.jpg", number, age_s=10 - number)

    assert keys(read_items(source, 5)) == [f"{number}.jpg" for number in range(5)]


def test_a_writer_that_closes_twice_gives_one_frame(folder: Path, opened: Open) -> None:
    """A half file that was closed is looked at again before it is refused: some servers create, close, then write."""
    ledger = MemoryLedger()
    source = make_folder_source(folder, ledger, settle_s=0.3)
    opened(source)
    source.read()
    data = jpeg(4)
    (folder / "a.jpg").write_bytes(data[:300])
    read_until(source, lambda _: bool(ledger.started))
    with (folder / "a.jpg").open("ab") as file:
        file.write(data[300:])

    item = drain(source, ledger, 1)[0]

    assert isinstance(item, Frame)
    assert_silent(source)


def test_a_file_that_vanishes_before_it_is_read_is_no_error(folder: Path, opened: Open) -> None:
    clock = FakeClock()
    write(folder / "a.jpg", 1, age_s=20)
    write(folder / "b.jpg", 2, age_s=10)
    source = make_folder_source(folder, clock=clock)
    opened(source)
    assert source.read() is None
    (folder / "a.jpg").unlink()
    clock.advance(0.03)

    assert keys(read_items(source, 1)) == ["b.jpg"]


def test_the_finder_opens_no_file(folder: Path) -> None:
    """It finds by names, sizes and times: what cannot be read or decoded is found like any other, and put back once."""
    values = FolderOptions(path=str(folder), settle_s=0)
    changed, clock = threading.Condition(), FakeClock()
    (folder / "b.jpg").symlink_to(folder / "b.jpg")
    write(folder / "a.jpg", 1).write_bytes(b"no picture")
    finder = Finder(values, clock, FilesInWork(MemoryLedger(), changed), FinishedFiles(values), changed)
    folder_id = finder.check()
    assert folder_id is not None
    finder.open(folder_id)

    with closing(finder):
        finder.look()
        found = [finder.next_ready(), finder.next_ready()]
        assert finder.next_ready() is None
        for file in found:
            assert file is not None
            finder.put_back(file, file.stamp)
        finder.look()
        again = [finder.next_ready(), finder.next_ready()]

    assert sorted(file.key for file in found if file is not None) == ["a.jpg", "b.jpg"]
    assert again == found
    assert finder.is_caught_up


class AllDone(MemoryLedger):
    """Knows every file of a folder as finished.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.asked = 0
        self._folder = folder

    def find(self, source_key: str) -> FinishedFile | None:
        self.asked += 1
        stamp = stamp_of(self._folder / source_key)
        return stamp and FinishedFile(stamp, "", refused=False)


def test_finished_files_that_stay_take_eight_bytes_each(folder: Path) -> None:
    """3,000 kept files: after two scans less than 70 KB, and the second one has asked the ledger of none."""
    values = FolderOptions(path=str(folder), settle_s=0)
    changed, clock, ledger = threading.Condition(), FakeClock(), AllDone(folder)
    write(folder / "0.jpg", 1)
    for number in range(1, 3000):
        os.link(folder / "0.jpg", folder / f"{number}.jpg")
    finder = Finder(values, clock, FilesInWork(ledger, changed), FinishedFiles(values), changed)
    finder.open(finder.check() or (0, 0))
    asked = []
    with closing(finder):
        tracemalloc.start()
        for _ in range(2):
            clock.advance(values.rescan_s + 1)
            finder.look()
            asked.append(ledger.asked)
        more_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert finder.is_caught_up
    assert 3000 <= asked[0] == asked[1]
    assert more_bytes < 70_000


@given(strategies.sets(strategies.integers(-(1 << 63), (1 << 63) - 1)), strategies.integers(-3, 3))
def test_marks_are_a_set(added: set[int], other: int) -> None:
    """What was added is in it, and nothing else."""
    marks = Marks()
    for mark in added:
        marks.add(mark)
    marks.close()

    assert all(mark in marks for mark in added)
    assert (other in marks) == (other in added)


def test_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more files than that the ledger is asked."""
    monkeypatch.setattr(folder_marks, "MAX_MARKS", 2)
    marks = Marks()
    for mark in (3, 1, 2):
        marks.add(mark)

    assert [mark in marks.close() for mark in (1, 2, 3)] == [True, False, True]
