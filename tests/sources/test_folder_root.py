"""The watched folder itself: one that went, was replaced or is not mounted is never taken for an empty one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import MemoryLedger
from folder_rig import assert_silent, drain, keys, make_folder_source, write
from rigs import read_items, read_until

from inspector.errors import SourceError
from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


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
    source = make_folder_source(folder, ledger)
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
    source = make_folder_source(tmp_path / "later")
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
    source = make_folder_source(folder)
    opened(source)
    assert source.read() is None

    mounted[0] = False
    for _ in range(2):
        with pytest.raises(SourceError, match="not mounted"):
            source.read()

    mounted[0] = True
    assert source.read() is None
