"""`inspector.telemetry.log_stream`: the log loses lines where it must, and never holds up or ends whoever logs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.errors import EXIT_REFUSED
from inspector.telemetry import log_stream
from inspector.telemetry.log_stream import MAX_LINES, LogStream

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("kind", ["full disk", "closed pipe"])
def test_lines_that_cannot_be_written_are_counted(kind: str) -> None:
    """No error comes back to whoever logs."""
    if kind == "full disk":
        fd = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, fd = os.pipe()
        os.close(reader)
    stream = LogStream(fd)
    for _ in range(3):
        stream.write("line\n")

    assert stream.drain(10)
    assert stream.dropped == 3


def fill(fd: int) -> int:
    """Write to a pipe until it takes no more, and return how many bytes that were."""
    os.set_blocking(fd, False)
    written = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            written += os.write(fd, b"-" * 4096)
    os.set_blocking(fd, True)
    return written


def test_a_reader_that_has_stopped_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it reads again, all that waited comes, then how many lines are missing."""
    told: list[int] = []

    class Log:
        def warning(self, event: str, count: int) -> None:
            assert event == "log_lines_dropped"
            told.append(count)

    monkeypatch.setattr(log_stream, "_log", Log())
    reader, fd = os.pipe()
    full = fill(fd)  # else the first lines may be written, and losses reported, in between
    stream = LogStream(fd)
    for _ in range(MAX_LINES + 500):
        stream.write("x" * 999 + "\n")
    dropped = stream.dropped
    waiting = stream.drain(0.0)
    read = 0
    while read < full + (MAX_LINES + 500 - dropped) * 1000:
        read += len(os.read(reader, 1 << 16))

    assert not waiting
    assert stream.drain(10)
    assert 0 < dropped == sum(told)


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2> >(exit 0)"])
def test_the_exit_code_stays_whatever_becomes_of_the_log(tmp_path: Path, where: str) -> None:
    """A configuration that is refused is 78, also when nobody can read why."""
    config = tmp_path / "cam1.toml"
    config.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\nwidth_px = 64\n'
        '[model]\npath = "/absent"\n'
    )
    command = f"{sys.executable} -m inspector run --config {config} {where}"
    done = subprocess.run(["bash", "-c", command], check=False, timeout=50)

    assert done.returncode == EXIT_REFUSED
