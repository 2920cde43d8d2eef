"""A file is finished when its writer closes it, where the system can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from fakes import FakeClock, MemoryLedger
from folder_rig import assert_silent, drain, keys, make_folder_source, no_events, write
from rigs import jpeg, number_of, read_items, read_until
from structlog.testing import capture_logs

from inspector.frame import Frame
from inspector.settings.source import FolderOptions
from inspector.sources import folder as folder_module
from inspector.sources import folder_finder
from inspector.sources.base import FrameSource, SourceContext
from inspector.sources.folder import OPEN_LIMIT_S, OPEN_REPORT_S, FolderSource
from inspector.sources.folder_writers import OpenFiles, is_open_for_writing

Open = Callable[[FrameSource], FrameSource]
TELLS = pytest.mark.parametrize("tells", ["lease", "events", "both"])


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_finder, "OPEN_LOOK_S", 0.01)


def let_tell(monkeypatch: pytest.MonkeyPatch, tells: str) -> None:
    """Leave only this way to know who has a file open."""
    if tells in ("lease", "nothing"):
        no_events(monkeypatch)
    if tells in ("events", "nothing"):
        monkeypatch.setattr(folder_module, "is_open_for_writing", lambda _: None)


@contextmanager
def half_written(path: Path, number: int, mode: str = "wb") -> Iterator[IO[bytes]]:
    """Preallocate a picture and stall in its middle, with the file open; the rest comes at the end."""
    data = jpeg(number)
    with path.open(mode, buffering=0) as file:
        file.truncate(len(data))
        file.write(data[: len(data) // 2])
        yield file
        file.write(data[len(data) // 2 :])


def test_the_lease_tells_writers_from_readers(folder: Path) -> None:
    """Only of regular files, and none is left behind: a writer that comes later need not wait."""
    path = write(folder / "a.jpg", 1)
    told = [is_open_for_writing(path)]
    with path.open("rb"):
        told.append(is_open_for_writing(path))
    with path.open("ab"):
        told.append(is_open_for_writing(path))
    told.append(is_open_for_writing(path))
    os.mkfifo(folder / "fifo.jpg")

    assert told == [False, False, True, False]
    assert [is_open_for_writing(folder / name) for name in ("fifo.jpg", "none.jpg")] == [None, None]


@pytest.mark.parametrize(
    ("events", "is_open"),
    [
        pytest.param("o", True, id="opened"),
        pytest.param("oc", False, id="closed"),
        pytest.param("ooc", True, id="two, one closed"),
        pytest.param("ccoc", False, id="opened before anybody listened"),
        pytest.param("om", False, id="another name"),
        pytest.param("omo", True, id="another name, and a new one under the old"),
    ],
)
def test_openings_are_counted(events: str, is_open: bool) -> None:
    files = OpenFiles()
    does: dict[str, Callable[[str], None]] = {
        "o": files.opened,
        "c": files.closed,
        "m": lambda path: files.moved(path, "b"),
    }
    for event in events:
        does[event]("a")

    assert files.is_open("a") is is_open
    assert files.is_open("b") is ("m" in events)


@TELLS
@pytest.mark.parametrize("how", ["new", "written over", "renamed while open"])
def test_a_stalled_writer_gets_no_verdict_until_it_closes(
    folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, tells: str, how: str
) -> None:
    """However long it stays as it is; then the whole picture is inspected, once."""
    let_tell(monkeypatch, tells)
    path, ledger = folder / "a.jpg", MemoryLedger()
    source = make_folder_source(folder, ledger)
    opened(source)
    assert source.read() is None
    if how == "written over":
        write(path, 1)
        drain(source, ledger, 1)
    written = folder / "a.tmp" if how == "renamed while open" else path
    with half_written(written, 2, "r+b" if how == "written over" else "wb"):
        if written != path:
            written.rename(path)
        assert_silent(source, reads=12)
        assert ledger.started == (["a.jpg"] if how == "written over" else [])
    (frame,) = drain(source, ledger, 1)

    assert isinstance(frame, Frame)
    assert number_of(frame) == 2
    assert_silent(source)


def test_a_writer_that_was_there_before_us_is_waited_for(folder: Path, opened: Open) -> None:
    """After a restart no event tells of it; the lease does."""
    source = make_folder_source(folder)
    with half_written(folder / "a.jpg", 2):
        opened(source)
        assert_silent(source, reads=12)

    assert keys(read_items(source, 1)) == ["a.jpg"]


@TELLS
def test_a_reader_holds_nothing_up(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, tells: str) -> None:
    """A viewer that opens each new picture and keeps it open."""
    let_tell(monkeypatch, tells)
    source = make_folder_source(folder)
    opened(source)
    source.read()
    write(folder / "a.jpg", 1)
    with (folder / "a.jpg").open("rb"):
        assert keys(read_items(source, 1)) == ["a.jpg"]


def test_where_nothing_tells_the_time_decides(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS and SMB: a file that stays as it is for `settle_s` counts as finished."""
    let_tell(monkeypatch, "nothing")
    source = make_folder_source(folder)
    opened(source)
    with (folder / "a.jpg").open("wb", buffering=0) as file:
        file.write(jpeg(1))

        assert keys(read_items(source, 1)) == ["a.jpg"]


def test_a_file_that_stays_open_is_reported_and_taken_in_the_end(
    folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that never closes is in the log and in health after 30 s, and keeps its picture for ten minutes."""
    no_events(monkeypatch)
    clock, reports = FakeClock(), list[str | None]()
    context = SourceContext(clock, lambda: 1, "store", reports.append)
    source = FolderSource(FolderOptions(path=str(folder), rescan_s=1, settle_s=0), context, MemoryLedger())
    opened(source)

    def go_on(seconds: float) -> None:
        clock.advance(seconds)
        assert source.read() is None

    with (folder / "a.jpg").open("wb", buffering=0) as file, capture_logs() as log:
        file.write(jpeg(1))
        source.read()
        go_on(2)
        go_on(OPEN_REPORT_S - 5)
        before = list(reports)
        go_on(5)
        go_on(OPEN_LIMIT_S - OPEN_REPORT_S - 10)
        during = set(reports)
        clock.advance(10)
        item = read_until(source, bool)[0]
        source.read()

    assert before == []
    assert during == {"file_open: a.jpg: its writer does not close it"}
    assert isinstance(item, Frame)
    assert reports[-1] is None
    said = [line["event"] for line in log if line["event"] != "folder_events_unavailable"]
    assert said == ["file_open", "file_taken_open"]
