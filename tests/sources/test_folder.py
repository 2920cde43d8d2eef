"""The folder source: every finished file exactly once, whatever the file system does."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock, MemoryLedger
from rigs import commit, jpeg, make_context, number_of, read_items, read_until
from watchdog.observers.inotify import InotifyObserver

from inspector.errors import ConfigError, SourceError
from inspector.frame import Cause, FileStamp, Frame, Gap
from inspector.settings.sections import Source
from inspector.sources import folder as folder_module
from inspector.sources.base import FrameSource
from inspector.sources.folder import FolderSource

Open = Callable[[FrameSource], FrameSource]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    return path


def make_source(
    folder: Path, ledger: MemoryLedger | None = None, clock: FakeClock | None = None, **values: Any
) -> FolderSource:
    settings = Source(kind="folder", path=str(folder), **({"rescan_s": 0.05, "settle_s": 0.02} | values))
    return FolderSource(settings, make_context(clock), ledger or MemoryLedger())


def write(path: Path, number: int, age_s: float = 60) -> Path:
    """Write picture `number`, `age_s` seconds old; greater numbers are younger by default order of age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(number))
    moment_ns = 1_700_000_000_000_000_000 - int(age_s * 1e9)
    os.utime(path, ns=(moment_ns, moment_ns))
    return path


def finish(source: FolderSource, ledger: MemoryLedger, item: Frame | Gap) -> None:
    commit(ledger, item)
    source.done(item)


def drain(source: FolderSource, ledger: MemoryLedger, number: int) -> list[Frame | Gap]:
    items: list[Frame | Gap] = []
    while len(items) < number:
        for item in read_items(source, 1):
            finish(source, ledger, item)
            items.append(item)
    return items


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keys(items: list[Frame | Gap]) -> list[str | None]:
    return [item.source_key for item in items]


def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: InotifyObserver) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(InotifyObserver, "start", refuse)


def assert_silent(source: FolderSource, reads: int = 4) -> None:
    """Nothing comes although the folder was scanned several times."""
    assert [source.read() for _ in range(reads)] == [None] * reads


# --- What a picture becomes -------------------------------------------------------------------------------------------
def test_frame_says_what_the_file_is(folder: Path, opened: Open) -> None:
    """Key, time, stamp and identity come from the file; the identity holds its content."""
    path = write(folder / "a" / "b.jpg", 3)
    source = make_source(folder)
    opened(source)

    frame = read_items(source, 1)[0]

    assert isinstance(frame, Frame)
    assert number_of(frame) == 3
    assert (frame.source_key, frame.epoch, frame.frame_id) == ("a/b.jpg", 1, 0)
    assert frame.independent
    assert frame.captured_at.timestamp() == pytest.approx(1_700_000_000 - 60)
    stamp = FileStamp(path.stat().st_size, path.stat().st_mtime_ns)
    assert frame.file_stamp == stamp
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert frame.identity == f"a/b.jpg:{stamp.size_bytes}:{stamp.mtime_ns}:{digest}"


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
    source = make_source(folder, ledger, max_file_bytes=4096)
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
    source = make_source(folder, max_frame_px=2000)
    opened(source)

    gap = read_items(source, 1)[0]

    assert isinstance(gap, Gap)
    assert gap.cause is Cause.TOO_LARGE


def test_a_name_that_is_no_utf8_gets_a_printable_key(folder: Path, opened: Open) -> None:
    """Keys go into JSON and SQLite, which take no half characters."""
    ledger = MemoryLedger()
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xe4.jpg"))).write_bytes(jpeg(2))
    source = make_source(folder, ledger, finished="delete")
    opened(source)

    item = drain(source, ledger, 1)[0]

    assert item.source_key == "\\xff\\xe4.jpg"
    assert isinstance(item, Frame)
    assert not list(folder.iterdir())


# --- Which files, and in what order -----------------------------------------------------------------------------------
def test_takes_files_by_pattern_and_leaves_the_others(folder: Path, opened: Open) -> None:
    """Patterns are compared without case; hidden and unfinished names are left alone."""
    for number, name in enumerate(["a.JPG", "b.jpeg", "c.Tif", "sub/d.jpg", "sub/sub/e.jpg"]):
        write(folder / name, number, age_s=100 - number)
    for name in (".f.jpg", "g.jpg.tmp", "h.jpg.part", "i.jpg.filepart", "j.txt", ".hidden/k.jpg"):
        write(folder / name, 9)
    source = make_source(folder)
    opened(source)

    assert keys(read_items(source, 5)) == ["a.JPG", "b.jpeg", "c.Tif", "sub/d.jpg", "sub/sub/e.jpg"]
    assert_silent(source)


def test_unfinished_names_are_left_alone_whatever_the_patterns_say(folder: Path, opened: Open) -> None:
    write(folder / "a.jpg.part", 1)
    write(folder / "b", 2)
    source = make_source(folder, patterns=("*",))
    opened(source)

    assert keys(read_items(source, 1)) == ["b"]
    assert_silent(source)


def test_recursion_can_be_off(folder: Path, opened: Open) -> None:
    write(folder / "a.jpg", 1)
    write(folder / "sub" / "b.jpg", 2)
    source = make_source(folder, recursive=False)
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
    source = make_source(folder)
    opened(source)

    assert keys(read_items(source, 2)) == ["sub/a.jpg", "c.jpg"]
    assert_silent(source)


def test_oldest_first_then_by_name(folder: Path, opened: Open) -> None:
    for name, age_s in {"a.jpg": 10, "b.jpg": 30, "d.jpg": 20, "c.jpg": 20}.items():
        write(folder / name, 1, age_s)
    source = make_source(folder)
    opened(source)

    assert keys(read_items(source, 4)) == ["b.jpg", "c.jpg", "d.jpg", "a.jpg"]


def test_many_files_are_taken_in_order_with_a_bounded_list(
    folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More files than fit into memory still come oldest first, each once."""
    monkeypatch.setattr(folder_module, "MAX_WAITING", 10)
    no_events(monkeypatch)
    for number in np.random.default_rng(1).permutation(95):
        write(folder / f"{number:03}.jpg", number, age_s=1000 - int(number))
    ledger = MemoryLedger()
    source = make_source(folder, ledger, settle_s=0)
    opened(source)

    assert keys(drain(source, ledger, 95)) == [f"{number:03}.jpg" for number in range(95)]
    assert_silent(source)


# --- When a file is finished ------------------------------------------------------------------------------------------
def test_an_event_makes_a_file_ready_in_a_moment(folder: Path, opened: Open) -> None:
    """A closed file, and one moved in, need no scan: the next one would be an hour away."""
    source = make_source(folder, rescan_s=3600, settle_s=3600)
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
    source = make_source(folder, ledger, settle_s=1, finished="delete")
    opened(source)
    source.read()

    shutil.copy2(original, folder / "a.jpg")
    items = drain(source, ledger, 1)

    assert items[0].file_stamp == FileStamp(original.stat().st_size, original.stat().st_mtime_ns)
    assert_silent(source)
    assert names(folder) == []


def test_a_file_that_is_still_written_is_not_read(folder: Path, opened: Open) -> None:
    """Found by a scan, it must stay as it is for `settle_s`, by our own clock: the server's may be wrong."""
    clock = FakeClock()
    source = make_source(folder, clock=clock, rescan_s=1, settle_s=10)
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
    source = make_source(folder)
    opened(source)
    assert source.read() is None

    write(folder / "sub" / "a.jpg", 1)

    assert keys(read_items(source, 1)) == ["sub/a.jpg"]


def test_lost_events_are_made_up_for(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the queue of events overflows, the next scan finds the files."""
    monkeypatch.setattr(FolderSource, "_note_event", lambda self, path: None)
    source = make_source(folder)
    opened(source)
    assert source.read() is None

    for number in range(5):
        write(folder / f"{number}.jpg", number, age_s=10 - number)

    assert keys(read_items(source, 5)) == [f"{number}.jpg" for number in range(5)]


def test_a_writer_that_closes_twice_gives_one_frame(folder: Path, opened: Open) -> None:
    """A half file that was closed is looked at again before it is refused: some servers create, close, then write."""
    ledger = MemoryLedger()
    source = make_source(folder, ledger, settle_s=0.3)
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
    source = make_source(folder, clock=clock)
    opened(source)
    assert source.read() is None
    (folder / "a.jpg").unlink()
    clock.advance(0.03)

    assert keys(read_items(source, 1)) == ["b.jpg"]


# --- Exactly once -----------------------------------------------------------------------------------------------------
def test_finished_files_are_not_read_again(folder: Path, opened: Open) -> None:
    """Neither by a later scan nor by another process; the ledger remembers."""
    ledger = MemoryLedger()
    for number in range(3):
        write(folder / f"{number}.jpg", number, age_s=10 - number)
    first = make_source(folder, ledger)
    opened(first)
    drain(first, ledger, 3)
    assert_silent(first)

    write(folder / "3.jpg", 3, age_s=1)
    second = make_source(folder, ledger)
    opened(second)

    assert keys(drain(second, ledger, 1)) == ["3.jpg"]
    assert_silent(second)


def test_a_file_in_work_is_not_read_again(folder: Path, opened: Open) -> None:
    """Not by scans, not by a second close of the unchanged file."""
    path = write(folder / "a.jpg", 1)
    source = make_source(folder)
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
        source = make_source(folder)
        opened(source)
        identities |= {item.identity for item in read_items(source, 1)}

    assert len(identities) == 1


def test_a_file_written_again_is_another_picture(folder: Path, opened: Open) -> None:
    """Also while the first is in work; and what is done to the first leaves the second alone."""
    ledger = MemoryLedger()
    path = write(folder / "a.jpg", 1)
    source = make_source(folder, ledger, finished="delete")
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


# --- Putting files away -----------------------------------------------------------------------------------------------
def test_keep_leaves_everything(folder: Path, opened: Open) -> None:
    ledger = MemoryLedger()
    write(folder / "a.jpg", 1)
    (folder / "b.jpg").write_bytes(b"")
    source = make_source(folder, ledger)
    opened(source)

    drain(source, ledger, 2)

    assert names(folder) == ["a.jpg", "b.jpg"]


def test_moves_keep_the_path_and_never_overwrite(folder: Path, opened: Open) -> None:
    """Folders for finished and refused files may lie inside the watched one: they are never scanned."""
    ledger = MemoryLedger()
    away = {"finished": "move", "finished_dir": folder / "ok", "refused": "move", "refused_dir": folder / "bad"}
    source = make_source(folder, ledger, **away)
    opened(source)

    for number in (1, 2):
        write(folder / "sub" / "a.jpg", number, age_s=10 - number)
        (folder / "b.jpg").write_bytes(b"x" * number)
        drain(source, ledger, 2)

    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"ok/sub/a.jpg", "ok/sub/a-2.jpg", "bad/b.jpg", "bad/b-2.jpg"}
    assert (folder / "ok/sub/a.jpg").read_bytes() == jpeg(1)
    assert (folder / "bad/b-2.jpg").read_bytes() == b"xx"
    assert_silent(source)


@pytest.mark.parametrize("case", ["another file system", "no hard links"])
def test_moves_where_files_cannot_be_linked(
    case: str, folder: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content and time arrive, nothing is overwritten, nothing is left behind."""
    target = tmp_path / "ok"
    if case == "another file system":
        shared = Path("/dev/shm")  # noqa: S108 - a second file system that every Linux has
        if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("no second file system")
        target = shared / f"inspector-test-{os.getpid()}"
    else:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    ledger = MemoryLedger()
    source = make_source(folder, ledger, finished="move", finished_dir=target)
    opened(source)
    try:
        for number in (1, 2):
            write(folder / "a.jpg", number, age_s=10 - number)
            drain(source, ledger, 1)

        assert names(target) == ["a-2.jpg", "a.jpg"]
        assert (target / "a.jpg").read_bytes() == jpeg(1)
        assert (target / "a-2.jpg").read_bytes() == jpeg(2)
        assert (target / "a.jpg").stat().st_mtime == pytest.approx(1_700_000_000 - 9)
        assert not list(folder.iterdir())
    finally:
        if case == "another file system":
            shutil.rmtree(target, ignore_errors=True)


def test_what_a_dead_process_left_is_put_away(folder: Path, opened: Open, tmp_path: Path) -> None:
    """Committed, and then the process died before it moved the files: the next one does, and reads none again."""
    ledger = MemoryLedger()
    for name in ("a.jpg", "b.jpg"):
        write(folder / name, 1, age_s=60)
        found = (folder / name).stat()
        ledger.finished.add((name, found.st_size, found.st_mtime_ns))
    ledger.refused.add("b.jpg")
    write(folder / "c.jpg", 3)
    source = make_source(
        folder, ledger, finished="move", finished_dir=tmp_path / "ok", refused="move", refused_dir=tmp_path / "bad"
    )
    opened(source)

    (frame,) = drain(source, ledger, 1)

    assert frame.source_key == "c.jpg"
    assert names(folder) == []
    assert names(tmp_path / "ok") == ["a.jpg", "c.jpg"]
    assert names(tmp_path / "bad") == ["b.jpg"]


def test_what_cannot_be_put_away_stays_and_is_not_read_again(folder: Path, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "ok").write_bytes(b"a file where a folder should be")
    ledger = MemoryLedger()
    write(folder / "a.jpg", 1)
    source = make_source(folder, ledger, finished="move", finished_dir=tmp_path / "ok")
    opened(source)

    drain(source, ledger, 1)

    assert (folder / "a.jpg").exists()
    assert_silent(source)


def test_putting_files_away_into_the_watched_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.finished_dir"):
        make_source(folder, finished="move", finished_dir=folder)


# --- Files that kill the process --------------------------------------------------------------------------------------
def test_a_file_is_noted_before_it_is_decoded(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "a.jpg", 1)
    ledger = MemoryLedger()
    source = make_source(folder, ledger)
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
    source = make_source(folder, ledger, refused="move", refused_dir=tmp_path / "bad")
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
    source = make_source(folder, ledger, settle_s=0)
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
    source = make_source(folder, ledger)
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
    source = make_source(folder, ledger, settle_s=0, rescan_s=3600)
    opened(source)
    suspect = read_items(source, 1)[0]

    thread = threading.Thread(target=finish, args=(source, ledger, suspect))
    thread.start()
    items = read_items(source, 1)
    thread.join()

    assert keys(items) == ["b.jpg"]


# --- The folder itself ------------------------------------------------------------------------------------------------
def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def replace_by_another(folder: Path) -> None:
    folder.rename(folder.with_name("old"))
    folder.mkdir()


@pytest.mark.parametrize("lose", [remove, replace_by_file, replace_by_another])
def test_a_folder_that_goes_comes_back_by_itself(lose: Callable[[Path], None], folder: Path, opened: Open) -> None:
    """The error names it; once it is there, it is read again in a new epoch, and nothing twice."""
    ledger = MemoryLedger()
    write(folder / "a.jpg", 1)
    source = make_source(folder, ledger)
    opened(source)
    assert drain(source, ledger, 1)[0].epoch == 1

    lose(folder)
    with pytest.raises(SourceError, match=str(folder)):
        read_until(source, lambda items: len(items) > 0, 5)

    if folder.is_file():
        folder.unlink()
    write(folder / "a.jpg", 1)
    write(folder / "b.jpg", 2)
    items = read_items(source, 1, patient=True)

    assert keys(items) == ["b.jpg"]
    assert items[0].epoch == 2
    assert items[0].frame_id == 0
    assert_silent(source)


def test_a_missing_folder_is_a_source_error_from_the_start(tmp_path: Path, opened: Open) -> None:
    source = make_source(tmp_path / "later")
    opened(source)
    with pytest.raises(SourceError, match=r"later: No such file"):
        source.read()

    write(tmp_path / "later" / "a.jpg", 1)

    assert keys(read_items(source, 1)) == ["a.jpg"]


def test_a_mount_that_went_is_not_mistaken_for_an_empty_folder(
    folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a mount point lies an empty folder: being blind must not look like being idle."""
    mounted = [True]
    ismount = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: mounted[0] if path == str(folder.parent) else ismount(path))
    monkeypatch.setattr(Path, "is_mount", lambda path: os.path.ismount(str(path)))
    source = make_source(folder)
    opened(source)
    assert source.read() is None

    mounted[0] = False
    for _ in range(2):
        with pytest.raises(SourceError, match="not mounted"):
            source.read()

    mounted[0] = True
    assert source.read() is None


def test_close_ends_a_waiting_read(folder: Path) -> None:
    source = make_source(folder, rescan_s=3600)
    source.read()
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (source.read(), ended.set()))
    thread.start()

    source.close()
    source.close()

    assert ended.wait(0.4)
    thread.join()
    assert source.read() is None
