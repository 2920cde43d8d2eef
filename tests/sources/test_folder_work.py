"""Files that kill the process: found out, and set aside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import MemoryLedger
from folder_rig import drain, keys, make_folder_source, names, write
from rigs import number_of, read_items

from inspector.errors import PictureError, SourceError
from inspector.frame import Cause, Frame, Gap, Pixels
from inspector.pictures.decode import decode_picture
from inspector.sources import folder as folder_module
from inspector.sources.base import FrameSource

Open = Callable[[FrameSource], FrameSource]


def test_a_file_is_noted_before_it_is_decoded(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "a.jpg", 1)
    ledger = MemoryLedger()
    source = make_folder_source(folder, ledger)
    opened(source)
    noted: list[list[str]] = []

    def decode(*arguments: Any, **more: Any) -> Pixels:
        noted.append(list(ledger.started))
        return decode_picture(*arguments, **more)

    monkeypatch.setattr(folder_module, "decode_picture", decode)

    read_items(source, 1)

    assert noted == [["a.jpg"]]


@pytest.mark.parametrize("deaths", [1, 2, 100])
def test_a_good_picture_is_not_given_up_however_often_the_process_died(folder: Path, opened: Open, deaths: int) -> None:
    """Suspects come first, decoded in a child, and nothing waits for them; they give the pixels of any other file."""
    ledger = MemoryLedger(deaths={"c.jpg": deaths, "d.jpg": deaths})
    for number, name in enumerate(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]):
        write(folder / name, number, age_s=100 - number)
    source = make_folder_source(folder, ledger, settle_s=0)
    opened(source)

    items = read_items(source, 4)

    assert keys(items) == ["c.jpg", "d.jpg", "a.jpg", "b.jpg"]
    assert [number_of(item) for item in items if isinstance(item, Frame)] == [2, 3, 0, 1]
    assert ledger.started == keys(items)


def test_a_file_that_kills_its_child_is_set_aside(
    folder: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never decoded in this process, and goes where refused files go; the others are not decoded in a child."""
    tried: list[str] = []

    def die(data: bytes, *, name: str, **_: object) -> Pixels:
        tried.append(name)
        raise PictureError(f"{name}: decoding it ends the process that does it (signal 11)", Cause.DEADLY)

    monkeypatch.setattr(folder_module, "decode_in_child", die)
    ledger = MemoryLedger(deaths={"b.jpg": 1})
    write(folder / "a.jpg", 1, age_s=20)
    write(folder / "b.jpg", 2, age_s=10)
    source = make_folder_source(folder, ledger, refused="move", refused_dir=tmp_path / "bad")
    opened(source)

    gap, frame = drain(source, ledger, 2)

    assert isinstance(gap, Gap)
    assert (gap.cause, gap.source_key) == (Cause.DEADLY, "b.jpg")
    assert gap.identity
    assert isinstance(frame, Frame)
    assert tried == ["b.jpg"]
    assert names(tmp_path / "bad") == ["b.jpg"]

    write(folder / "b.jpg", 3, age_s=5)  # the next picture under its name is no suspect
    assert isinstance(drain(source, ledger, 1)[0], Frame)
    assert tried == ["b.jpg"]


def test_no_child_is_no_fault_of_the_file(folder: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no process can be started, the source is down and the file comes later."""

    def refuse(data: bytes, **_: object) -> Pixels:
        raise OSError(11, "Resource temporarily unavailable")

    write(folder / "a.jpg", 1)
    source = make_folder_source(folder, MemoryLedger(deaths={"a.jpg": 1}))
    opened(source)
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "decode_in_child", refuse)
        with pytest.raises(SourceError, match="cannot be started"):
            read_items(source, 1)

    assert isinstance(read_items(source, 1)[0], Frame)
