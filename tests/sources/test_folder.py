"""The folder source: every finished file exactly once, whatever the file system does."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import MemoryLedger
from folder_rig import assert_silent, drain, finish, keys, make_folder_source, write
from rigs import jpeg, number_of, read_items

from inspector.frame import Cause, FileStamp, Frame, Gap
from inspector.sources import folder_finder
from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


def test_frame_says_what_the_file_is(folder: Path, opened: Open) -> None:
    """Key, time, stamp and identity come from the file; the identity holds its content."""
    path = write(folder / "a" / "b.jpg", 3)
    source = make_folder_source(folder)
    opened(source)

    frame = read_items(source, 1)[0]

    assert isinstance(frame, Frame)
    assert number_of(frame) == 3
    assert (frame.source_key, frame.epoch, frame.frame_id) == ("a/b.jpg", 1, 0)
    assert frame.independent
    assert frame.captured_at.timestamp() == pytest.approx(1_700_000_000 - 60)
    found = path.stat()
    stamp = FileStamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
    assert frame.file_stamp == stamp
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert frame.identity == f"a/b.jpg:{stamp.size_bytes}:{stamp.mtime_ns}:{digest}"
    assert frame.file_digest == digest


def test_the_pictures_of_a_renamed_folder_are_others(folder: Path, opened: Open) -> None:
    """The name is the path below the watched folder: what has another one is inspected and reported under it."""
    ledger = MemoryLedger()
    write(folder / "monday" / "1.jpg", 1)
    source = make_folder_source(folder, ledger=ledger)
    opened(source)
    first = drain(source, ledger, 1)
    (folder / "monday").rename(folder / "tuesday")

    assert keys(first + drain(source, ledger, 1)) == ["monday/1.jpg", "tuesday/1.jpg"]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


REFUSED: dict[str, tuple[Callable[[Path], object], Cause]] = {
    "empty": (lambda path: path.write_bytes(b""), Cause.UNREADABLE),
    "truncated": (lambda path: path.write_bytes(jpeg(1)[:-100]), Cause.UNREADABLE),
    "text": (lambda path: path.write_bytes(b"hello"), Cause.UNSUPPORTED),
    "huge file": (lambda path: path.write_bytes(jpeg(1) + bytes(5000)), Cause.TOO_LARGE),
    "FIFO": (make_fifo, Cause.UNSUPPORTED),
    "socket": (make_socket, Cause.UNSUPPORTED),
    "loop of links": (lambda path: path.symlink_to(path.name), Cause.UNREADABLE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_inspected_is_a_gap_that_names_the_file(case: str, folder: Path, opened: Open) -> None:
    """A gap per file, with the identity of a captured still, and only once."""
    make, cause = REFUSED[case]
    make(folder / "a.jpg")
    ledger = MemoryLedger()
    source = make_folder_source(folder, ledger, max_file_bytes=4096)
    opened(source)

    gap = drain(source, ledger, 1)[0]

    assert isinstance(gap, Gap)
    assert (gap.cause, gap.source_key, gap.frame_id, gap.frames) == (cause, "a.jpg", 0, 1)
    assert gap.detail.startswith("a.jpg: ")
    assert str(folder) not in gap.detail
    assert gap.identity
    assert gap.since == gap.until
    assert_silent(source)


def test_a_picture_with_too_many_pixels_is_a_gap(folder: Path, opened: Open) -> None:
    """The limit in pixels holds whatever the file's size is."""
    write(folder / "a.jpg", 1)
    source = make_folder_source(folder, max_frame_px=2000)
    opened(source)

    gap = read_items(source, 1)[0]

    assert isinstance(gap, Gap)
    assert gap.cause is Cause.TOO_LARGE


def test_a_name_that_is_no_utf8_gets_a_printable_key(folder: Path, opened: Open) -> None:
    """Keys go into JSON and SQLite, which take no half characters."""
    ledger = MemoryLedger()
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xe4.jpg"))).write_bytes(jpeg(2))
    source = make_folder_source(folder, ledger, finished="delete")
    opened(source)

    item = drain(source, ledger, 1)[0]

    assert item.source_key == "\\xff\\xe4.jpg"
    assert isinstance(item, Frame)
    assert not list(folder.iterdir())


def test_finished_files_are_not_read_again(folder: Path, opened: Open) -> None:
    """Neither by a later scan nor by another process; the ledger remembers."""
    ledger = MemoryLedger()
    for number in range(3):
        write(folder / f"{number}.jpg", number, age_s=10 - number)
    first = make_folder_source(folder, ledger)
    opened(first)
    drain(first, ledger, 3)
    assert_silent(first)

    write(folder / "3.jpg", 3, age_s=1)
    second = make_folder_source(folder, ledger)
    opened(second)

    assert keys(drain(second, ledger, 1)) == ["3.jpg"]
    assert_silent(second)


def test_a_file_in_work_is_not_read_again(folder: Path, opened: Open) -> None:
    """Not by scans, not by a second close of the unchanged file."""
    path = write(folder / "a.jpg", 1)
    source = make_folder_source(folder)
    opened(source)
    read_items(source, 1)

    stamp = path.stat().st_mtime_ns
    with path.open("ab"):
        os.utime(path, ns=(stamp, stamp))

    assert_silent(source)


def test_the_same_file_has_the_same_identity_after_a_crash(folder: Path, opened: Open) -> None:
    write(folder / "a.jpg", 1)
    identities = set()
    for _ in range(2):
        source = make_folder_source(folder)
        opened(source)
        identities |= {item.identity for item in read_items(source, 1)}

    assert len(identities) == 1


def test_a_file_written_again_is_another_picture(folder: Path, opened: Open) -> None:
    """Also while the first is in work; and what is done to the first leaves the second alone."""
    ledger = MemoryLedger()
    path = write(folder / "a.jpg", 1)
    source = make_folder_source(folder, ledger, finished="delete")
    opened(source)
    first = read_items(source, 1)[0]

    write(path, 2, age_s=5)
    finish(source, ledger, first)
    second = read_items(source, 1)[0]

    assert isinstance(second, Frame)
    assert number_of(second) == 2
    assert second.identity != first.identity
    finish(source, ledger, second)
    assert not path.exists()


def test_close_ends_a_waiting_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that would wait for another minute ends at once."""
    source = make_folder_source(folder, rescan_s=3600)
    source.read()
    monkeypatch.setattr(folder_finder, "READ_TIMEOUT_S", 60.0)
    thread = threading.Thread(target=source.read)
    thread.start()

    source.close()
    source.close()

    thread.join(10)
    assert not thread.is_alive()
    assert source.read() is None
