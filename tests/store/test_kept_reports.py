"""`inspector.store.kept_reports`: reports outlive their rows, within bounds, and half of one is none."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from coil_reports import BEGAN, found_at, report_of

from inspector.reports.page import pictures_in, render_coil
from inspector.store.kept_reports import KeptReports, report_name

NOW = BEGAN + timedelta(days=400)


def kept_in(folder: Path, years: float = 10, limit: int = 1 << 30, coils: int = 2) -> KeptReports:
    return KeptReports(folder / "reports", years, limit, coils)


def write_some(kept: KeptReports, count: int) -> list[str]:
    """One report a day, the oldest first; returns their names."""
    names = [report_name("7731/a", BEGAN + timedelta(days=number), number) for number in range(count)]
    for number, name in enumerate(names):
        kept.write(name, report_of(), f"page {number}")
    return names


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Its page too, with the pictures in it; the coil's name need not be one of a file."""
    kept, report = kept_in(tmp_path), report_of(found_at(1), coil_id="../77/31 é")
    pictures = {one.file: b"\xff\xd8" for one in report.pictures}
    name = report_name("../77/31 é", BEGAN, 7)
    size = kept.write(name, report, render_coil(report, pictures))

    found = kept.read(name)

    assert found is not None
    assert found.report == report
    assert pictures_in(found.page) == pictures
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == [
        f"20260301T120000Z-77_31-7{suffix}" for suffix in (".html", ".json")
    ]
    assert size == sum(path.stat().st_size for path in (tmp_path / "reports").iterdir())
    assert kept.named("../77/31 é") == [name]


@pytest.mark.parametrize("spoilt", ["missing", "cut", "foreign"])
def test_what_is_not_whole_is_no_report(tmp_path: Path, spoilt: str) -> None:
    """A process that died before the JSON, a file that was cut, or one of something else: it is made again."""
    kept = kept_in(tmp_path)
    [name] = write_some(kept, 1)
    path = tmp_path / "reports" / f"{name}.json"
    if spoilt == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if spoilt == "cut" else b"{}")

    assert kept.read(name) is None


def test_the_oldest_make_room(tmp_path: Path) -> None:
    """Beyond the limit the oldest coils go, but for those that people keep."""
    kept = kept_in(tmp_path, limit=1)
    names = write_some(kept, 4)
    assert kept.keep(names[1])

    assert kept.tidy(NOW) == 3
    assert kept.names() == [names[1]]


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """By when the coil began; within the limit of bytes nothing else does."""
    kept = kept_in(tmp_path, years=1)
    names = write_some(kept, 60)

    kept.tidy(NOW)

    assert kept.names() == [
        name for number, name in enumerate(names) if timedelta(days=400 - number) < timedelta(365.25)
    ]


def test_keeping_has_a_quota(tmp_path: Path) -> None:
    """As many as may be; keeping twice is once, and letting one go makes room for another."""
    kept = kept_in(tmp_path, coils=2)
    names = write_some(kept, 3)

    assert [kept.keep(name) for name in (names[0], names[0], names[1], names[2])] == [True, True, True, False]
    kept.let_go(names[0])
    assert kept.keep(names[2])


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the disk's, and there is no report of this name afterwards, nor a part of one."""

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    kept = kept_in(tmp_path)
    [name] = write_some(kept, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            kept.write(name, report_of(), "page")

    assert kept.read(name) is None
    assert not list((tmp_path / "reports").glob("*.partial"))


def test_a_folder_that_is_not_there_has_no_reports(tmp_path: Path) -> None:
    """A station that wrote none yet."""
    kept = kept_in(tmp_path)

    assert (kept.names(), kept.named("7731"), kept.tidy(NOW), kept.kept()) == ([], [], 0, set())
