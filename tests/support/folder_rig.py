"""A watched folder, files that can be told apart, and a source that is read as the station reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, MemoryLedger
from rigs import commit, jpeg, make_context, read_items
from watchdog.observers.inotify import InotifyObserver

from inspector.frame import Frame, Gap
from inspector.settings.source import FolderOptions
from inspector.sources.folder import FolderSource


def make_folder_source(
    folder: Path, ledger: MemoryLedger | None = None, clock: FakeClock | None = None, **values: Any
) -> FolderSource:
    settings = FolderOptions(path=str(folder), **({"rescan_s": 0.05, "settle_s": 0.02} | values))
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
