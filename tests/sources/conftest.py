"""Sources that a test opens are closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from lines_rig import Peer

from inspector.sources.base import FrameSource


@pytest.fixture
def opened() -> Iterator[Callable[[FrameSource], FrameSource]]:
    """Close at the end whatever source a test opens."""
    with ExitStack() as stack:
        yield lambda source: stack.enter_context(closing(source))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder to be watched."""
    path = tmp_path / "frames"
    path.mkdir()
    return path


@pytest.fixture(params=["fifo", "tcp", "unix"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """Yield a writer over each way that can be opened again."""
    peer = Peer(request.param, tmp_path)
    yield peer
    peer.close()
