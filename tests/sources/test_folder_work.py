"""Files that kill the process: found out, and set aside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import MemoryLedger
from folder_rig import assert_silent, drain, finish, keys, make_folder_source, names, write
from rigs import read_items

from inspector.frame import Cause, FileStamp, Frame, Gap
from inspector.sources import folder as folder_module
from inspector.sources.base import FrameSource
from inspector.sources.folder_file import FoundFile
from inspector.sources.folder_work import FilesInWork

Open = Callable[[FrameSource], FrameSource]


def test_a_file_is_noted_before_it_is_decoded(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "a.jpg", 1)
    ledger = MemoryLedger()
    source = make_folder_source(folder, ledger)
    opened(source)
    noted: list[list[str]] = []
    decode = folder_module.decode_picture
    monkeypatch.setattr(
        folder_module,
        "decode_picture",
        lambda *args, **more: noted.append(list(ledger.started)) or decode(*args, **more),
    )

    read_items(source, 1)

    assert noted == [["a.jpg"]]


def test_a_file_that_killed_the_process_twice_is_set_aside(folder: Path, opened: Open, tmp_path: Path) -> None:
    """It is never decoded again, and goes where refused files go."""
    ledger = MemoryLedger(deaths={"b.jpg": 2})
    write(folder / "a.jpg", 1, age_s=20)
    write(folder / "b.jpg", 2, age_s=10)
    source = make_folder_source(folder, ledger, refused="move", refused_dir=tmp_path / "bad")
    opened(source)

    gap, frame = drain(source, ledger, 2)

    assert isinstance(gap, Gap)
    assert (gap.cause, gap.source_key) == (Cause.DEADLY, "b.jpg")
    assert gap.identity
    assert frame.source_key == "a.jpg"
    assert ledger.started == ["a.jpg"]
    assert names(tmp_path / "bad") == ["b.jpg"]


def test_suspects_come_first_and_alone(folder: Path, opened: Open) -> None:
    """So that the guilty one is known if the process dies again."""
    ledger = MemoryLedger(deaths={"c.jpg": 1, "d.jpg": 1})
    for number, name in enumerate(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]):
        write(folder / name, number, age_s=100 - number)
    source = make_folder_source(folder, ledger, settle_s=0)
    opened(source)

    suspect = read_items(source, 1)[0]
    assert suspect.source_key == "c.jpg"
    assert_silent(source)

    finish(source, ledger, suspect)
    suspect = read_items(source, 1)[0]
    assert suspect.source_key == "d.jpg"
    assert_silent(source)

    finish(source, ledger, suspect)
    assert keys(read_items(source, 2)) == ["a.jpg", "b.jpg"]


def test_a_new_picture_under_a_deadly_name_is_no_suspect(folder: Path, opened: Open) -> None:
    """The next picture with the name of one that was set aside is inspected, and not alone."""
    ledger = MemoryLedger(deaths={"a.jpg": 2})
    write(folder / "a.jpg", 1, age_s=20)
    source = make_folder_source(folder, ledger)
    opened(source)
    drain(source, ledger, 1)

    write(folder / "a.jpg", 2, age_s=10)
    write(folder / "b.jpg", 3, age_s=5)
    items = read_items(source, 2)

    assert keys(items) == ["a.jpg", "b.jpg"]
    assert all(isinstance(item, Frame) for item in items)


def test_done_of_a_suspect_wakes_the_reader(folder: Path, opened: Open) -> None:
    """`done` comes from another thread, while `read` waits."""
    ledger = MemoryLedger(deaths={"a.jpg": 1})
    write(folder / "a.jpg", 1, age_s=20)
    write(folder / "b.jpg", 2, age_s=10)
    source = make_folder_source(folder, ledger, settle_s=0, rescan_s=3600)
    opened(source)
    suspect = read_items(source, 1)[0]

    thread = threading.Thread(target=finish, args=(source, ledger, suspect))
    thread.start()
    items = read_items(source, 1)
    thread.join()

    assert keys(items) == ["b.jpg"]


@pytest.mark.parametrize(
    ("deaths", "begun", "suspect", "expected"),
    [
        pytest.param({}, [], False, True, id="nothing in work"),
        pytest.param({}, ["a", "b"], False, True, id="others in work"),
        pytest.param({"c": 1}, [], True, True, id="a suspect, nothing in work"),
        pytest.param({"c": 1}, ["a"], True, False, id="a suspect waits for the others"),
        pytest.param({"c": 1}, ["c"], False, False, id="the others wait for a suspect"),
        pytest.param({"c": 2}, ["c"], False, True, id="the others do not wait for one that is set aside"),
    ],
)
def test_alone_means_alone(deaths: dict[str, int], begun: list[str], suspect: bool, expected: bool) -> None:
    """A file that the process died over once is worked on by itself; what is in work is taken until it ends."""
    work = FilesInWork(MemoryLedger(deaths=deaths), threading.Condition())
    work.load_suspects()
    files = [FoundFile("/frames", key, key, FileStamp(1, 2), 0.0) for key in begun]
    for file in files:
        work.begin(file)

    assert work.may_begin(suspect=suspect) is expected
    assert all(work.is_taken(file.key, file.stamp) and work.find(file.key, file.stamp) is file for file in files)
    for file in files:
        work.end(file.key, file.stamp)
    assert work.may_begin(suspect=suspect)
    assert not any(work.is_taken(file.key, file.stamp) for file in files)
