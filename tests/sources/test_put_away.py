"""Finished and refused files are put away as the settings say, and none is ever replaced."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import MemoryLedger
from folder_rig import assert_silent, drain, make_folder_source, names, write
from rigs import jpeg

from inspector.errors import ConfigError
from inspector.frame import FinishedFile
from inspector.settings.source import FolderOptions
from inspector.sources.base import FrameSource
from inspector.sources.folder_file import stamp_of
from inspector.sources.put_away import FinishedFiles

Open = Callable[[FrameSource], FrameSource]


def test_keep_leaves_everything(folder: Path, opened: Open) -> None:
    ledger = MemoryLedger()
    write(folder / "a.jpg", 1)
    (folder / "b.jpg").write_bytes(b"")
    source = make_folder_source(folder, ledger)
    opened(source)

    drain(source, ledger, 2)

    assert names(folder) == ["a.jpg", "b.jpg"]


def test_moves_keep_the_path_and_never_overwrite(folder: Path, opened: Open) -> None:
    """Folders for finished and refused files may lie inside the watched one: they are never scanned."""
    ledger = MemoryLedger()
    away: dict[str, Any] = {
        "finished": "move",
        "finished_dir": folder / "ok",
        "refused": "move",
        "refused_dir": folder / "bad",
    }
    source = make_folder_source(folder, ledger, **away)
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
    source = make_folder_source(folder, ledger, finished="move", finished_dir=target)
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
        stamp = stamp_of(folder / name)
        assert stamp is not None
        ledger.finished[name] = FinishedFile(stamp, None, refused=name == "b.jpg")
    write(folder / "c.jpg", 3)
    source = make_folder_source(
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
    source = make_folder_source(folder, ledger, finished="move", finished_dir=tmp_path / "ok")
    opened(source)

    drain(source, ledger, 1)

    assert (folder / "a.jpg").exists()
    assert_silent(source)


def test_a_file_that_a_read_only_disk_kept_is_put_away_later(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure doubles the pause; what is put away in the end leaves nothing to do."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    write(folder / "a.jpg", 1)
    stamp = stamp_of(folder / "a.jpg")
    assert stamp is not None
    options = FolderOptions(kind="folder", path=str(folder), finished="move", finished_dir=tmp_path / "ok")
    finished = FinishedFiles(options)

    def put_away(now_s: float) -> bool:
        return finished.put_away_late(str(folder), "a.jpg", stamp, refused=False, now_s=now_s)

    with monkeypatch.context() as read_only:
        read_only.setattr("os.link", refuse)
        assert not put_away(0.0)
        assert not put_away(5.0)
    assert not put_away(14.9), "the second pause is 10 s"
    assert put_away(15.0)
    assert names(tmp_path / "ok") == ["a.jpg"]


def test_putting_files_away_into_the_watched_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.finished_dir"):
        make_folder_source(folder, finished="move", finished_dir=folder)
