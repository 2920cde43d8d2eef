"""Fixtures of the HTTP tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import Bench
from fakes import FakeClock

from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose zone is UTC, wherever the tests run."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(
        Store(tmp_path / "store", clock), EvidenceFolder(tmp_path / "evidence", clock, 1 << 24, 1e6, 0, 320), clock
    )
    yield bench
    bench.store.close()
